/**
 * Hrana requests, from JSON to types. Everything from outside is parsed once, here; what passes is
 * sound in shape and range. All versions share one decoder: what only Hrana 3 has (`get_autocommit`,
 * `is_autocommit`, cursors) harms nobody who speaks an older one.
 */
import { z } from 'zod';
import { adviseFailure, limitFailure } from '../../sql/errors.ts';
import type { BatchCondition, SqlOutcome, SqlStatement } from '../../sql/sql.ts';
import { plainMessage, plainPipeline, plainSocketRequest } from './hrana-plain.ts';
import { valueSchema } from './hrana-values.ts';
import type { GatewayLimits } from './protocol-limits.ts';

/** SQL given as text or by the id it was stored under. */
export type SqlText =
  | { readonly kind: 'text'; readonly sql: string }
  | { readonly kind: 'stored'; readonly sqlId: number };

export interface WireStatement {
  readonly text: SqlText;
  readonly args: SqlStatement['args'];
  readonly namedArgs: SqlStatement['namedArgs'];
  readonly wantRows: boolean;
}

export interface WireStep {
  readonly condition: BatchCondition | null;
  readonly statement: WireStatement;
}

/** What can be asked of one stream. */
export type StreamRequest =
  | { readonly kind: 'execute'; readonly statement: WireStatement }
  | { readonly kind: 'batch'; readonly steps: readonly WireStep[] }
  | { readonly kind: 'sequence'; readonly text: SqlText }
  | { readonly kind: 'describe'; readonly text: SqlText }
  | { readonly kind: 'get_autocommit' };

/** What Hrana 1 knows. */
const firstVersion: ReadonlySet<string> = new Set(['open_stream', 'close_stream', 'execute', 'batch']);

/** Why a request is none of Hrana 1, or null. */
export function newerThanFirst(request: SocketRequest): string | null {
  const kind = request.kind === 'stream' || request.kind === 'store' ? request.request.kind : request.kind;
  return firstVersion.has(kind)
    ? null
    : `This WebSocket speaks hrana1, which has no request ${kind}; offer the subprotocol hrana2 or hrana3`;
}

export type StoreRequest =
  | { readonly kind: 'store_sql'; readonly sqlId: number; readonly sql: string }
  | { readonly kind: 'close_sql'; readonly sqlId: number };

export type PipelineRequest = StreamRequest | StoreRequest | { readonly kind: 'close' };

export interface Pipeline {
  readonly baton: string | null;
  readonly requests: readonly PipelineRequest[];
}

export interface CursorRequest {
  readonly baton: string | null;
  readonly steps: readonly WireStep[];
}

export type SocketRequest =
  | { readonly kind: 'open_stream'; readonly streamId: number }
  | { readonly kind: 'close_stream'; readonly streamId: number }
  | { readonly kind: 'stream'; readonly streamId: number; readonly request: StreamRequest }
  | { readonly kind: 'store'; readonly request: StoreRequest }
  | {
      readonly kind: 'open_cursor';
      readonly streamId: number;
      readonly cursorId: number;
      readonly steps: readonly WireStep[];
    }
  | { readonly kind: 'fetch_cursor'; readonly cursorId: number; readonly maxCount: number }
  | { readonly kind: 'close_cursor'; readonly cursorId: number };

export type SocketMessage =
  | { readonly kind: 'hello'; readonly jwt: string | null }
  /** `request` is decoded on its own, so that what is wrong with it can be answered under its id. */
  | { readonly kind: 'request'; readonly requestId: number; readonly request: unknown };

/** Takes JSON text, and from other encodings what `JSON.parse` would have made of it. */
export interface HranaDecoder {
  pipeline(body: string | object): SqlOutcome<Pipeline>;
  cursor(body: string | object): SqlOutcome<CursorRequest>;
  /** `POST /v1/execute` and `/v1/batch`. */
  first(kind: 'execute' | 'batch', json: string): SqlOutcome<StreamRequest>;
  socketMessage(message: string | object): SqlOutcome<SocketMessage>;
  socketRequest(request: unknown): SqlOutcome<SocketRequest>;
}

const oneText = 'expected either sql or sql_id';

function sqlText(wire: {
  sql?: string | null | undefined;
  sql_id?: number | null | undefined;
}): SqlText | null {
  const { sql, sql_id: sqlId } = wire;
  if (typeof sql === 'string') return typeof sqlId === 'number' ? null : { kind: 'text', sql };
  return typeof sqlId === 'number' ? { kind: 'stored', sqlId } : null;
}

/** Where in the message an issue lies, as a JavaScript path: `requests[0].stmt.args[2]`. */
function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? String(key) : `.${String(key)}`;
  }
  return text;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}

/** The first thing wrong, for a person. Values are not repeated, except the name of an unknown type. */
function problem(error: z.ZodError, input: unknown, limits: GatewayLimits): SqlOutcome<never> {
  const issue = error.issues[0];
  if (issue === undefined) return adviseFailure('SEXTANT_PROTOCOL_ERROR', 'The request is malformed');
  if (issue.code === 'too_big') {
    switch (issue.path.at(-1)) {
      case 'steps':
        return limitFailure('batchSteps', limits.batchSteps);
      case 'requests':
        return limitFailure('pipelineRequests', limits.pipelineRequests);
      case 'args':
      case 'named_args':
        return limitFailure('statementArgs', limits.statementArgs);
    }
  }
  const where = pathText(issue.path);
  const at = where === '' ? '' : ` at ${where}`;
  const type = issue.path.at(-1) === 'type' ? valueAt(input, issue.path) : undefined;
  const what = typeof type === 'string' ? `unknown type ${JSON.stringify(type.slice(0, 40))}` : issue.message;
  return adviseFailure('SEXTANT_PROTOCOL_ERROR', `The request is malformed${at}: ${what}`);
}

function parsed(given: string | object): SqlOutcome<unknown> {
  if (typeof given === 'object') return { ok: true, value: given };
  try {
    const value: unknown = JSON.parse(given);
    return { ok: true, value };
  } catch {
    // The parser's own message quotes the input, which may hold data that belongs in no log.
    return adviseFailure('SEXTANT_PROTOCOL_ERROR', 'The request is not valid JSON');
  }
}

/** Decodes by hand because a condition nests: the depth must be bounded before anything recurses. */
function decodeCondition(wire: unknown, depth: number): BatchCondition | string {
  if (depth <= 0) return 'the condition nests deeper than the limit conditionDepth';
  if (typeof wire !== 'object' || wire === null) return 'expected a condition object';
  const type: unknown = Reflect.get(wire, 'type');
  switch (type) {
    case 'ok':
    case 'error': {
      const step: unknown = Reflect.get(wire, 'step');
      return typeof step === 'number' && Number.isSafeInteger(step) && step >= 0
        ? { kind: type, step }
        : 'expected a step number in the condition';
    }
    case 'not': {
      const condition = decodeCondition(Reflect.get(wire, 'cond'), depth - 1);
      return typeof condition === 'string' ? condition : { kind: 'not', condition };
    }
    case 'and':
    case 'or': {
      const list: unknown = Reflect.get(wire, 'conds');
      if (!Array.isArray(list)) return 'expected an array conds in the condition';
      const conditions: BatchCondition[] = [];
      for (const part of list) {
        const condition = decodeCondition(part, depth - 1);
        if (typeof condition === 'string') return condition;
        conditions.push(condition);
      }
      return { kind: type, conditions };
    }
    case 'is_autocommit':
      return { kind: 'isAutocommit' };
    default:
      return 'unknown type of condition';
  }
}

/** An array whose length is checked before its elements are looked at. */
function boundedArray<T extends z.ZodType>(element: T, length: number) {
  return z.array(z.unknown()).max(length).pipe(z.array(element));
}

function requestSchemas(limits: GatewayLimits) {
  const id = z.int();
  const textFields = { sql: z.string().nullish(), sql_id: id.nullish() };
  const statement = z
    .object({
      ...textFields,
      args: boundedArray(valueSchema, limits.statementArgs).nullish(),
      named_args: boundedArray(
        z.object({ name: z.string(), value: valueSchema }),
        limits.statementArgs,
      ).nullish(),
      want_rows: z.boolean().nullish(),
    })
    .transform((wire, context): WireStatement => {
      const text = sqlText(wire);
      if (text === null) {
        context.addIssue({ code: 'custom', message: oneText });
        return z.NEVER;
      }
      return {
        text,
        args: wire.args ?? [],
        namedArgs: wire.named_args ?? [],
        wantRows: wire.want_rows ?? true,
      };
    });
  const condition = z.unknown().transform((wire, context): BatchCondition | null => {
    if (wire === undefined || wire === null) return null;
    const decoded = decodeCondition(wire, limits.conditionDepth);
    if (typeof decoded !== 'string') return decoded;
    context.addIssue({ code: 'custom', message: decoded });
    return z.NEVER;
  });
  const step = z
    .object({ condition: condition.optional(), stmt: statement })
    .transform((wire): WireStep => ({ condition: wire.condition ?? null, statement: wire.stmt }));
  const batch = z.object({ steps: boundedArray(step, limits.batchSteps) });
  const textual = <K extends 'sequence' | 'describe'>(kind: K) => ({ type: z.literal(kind), ...textFields });
  return {
    id,
    statement,
    batch,
    execute: { type: z.literal('execute'), stmt: statement },
    batchRequest: { type: z.literal('batch'), batch },
    sequence: textual('sequence'),
    describe: textual('describe'),
    getAutocommit: { type: z.literal('get_autocommit') },
    storeSql: z.object({ type: z.literal('store_sql'), sql_id: id, sql: z.string() }),
    closeSql: z.object({ type: z.literal('close_sql'), sql_id: id }),
  };
}

type Schemas = ReturnType<typeof requestSchemas>;
type WireStreamRequest = z.output<
  | z.ZodObject<Schemas['execute']>
  | z.ZodObject<Schemas['batchRequest']>
  | z.ZodObject<Schemas['sequence']>
  | z.ZodObject<Schemas['describe']>
  | z.ZodObject<Schemas['getAutocommit']>
>;

function streamRequest(wire: WireStreamRequest, context: z.RefinementCtx): StreamRequest {
  switch (wire.type) {
    case 'execute':
      return { kind: 'execute', statement: wire.stmt };
    case 'batch':
      return { kind: 'batch', steps: wire.batch.steps };
    case 'sequence':
    case 'describe': {
      const text = sqlText(wire);
      if (text !== null) return { kind: wire.type, text };
      context.addIssue({ code: 'custom', message: oneText });
      return z.NEVER;
    }
    case 'get_autocommit':
      return { kind: 'get_autocommit' };
  }
}

/**
 * Builds the decoder once for a gateway's limits. Its functions never throw; failures are 400-class errors.
 * @param path `schemas` leaves out the short cut for plain requests, which gives the same results.
 */
export function createDecoder(limits: GatewayLimits, path: 'short' | 'schemas' = 'short'): HranaDecoder {
  const isShort = path === 'short';
  const schemas = requestSchemas(limits);
  const { id } = schemas;
  const baton = z.string().nullish();

  const pipelineRequest = z
    .discriminatedUnion('type', [
      z.object(schemas.execute),
      z.object(schemas.batchRequest),
      z.object(schemas.sequence),
      z.object(schemas.describe),
      z.object(schemas.getAutocommit),
      schemas.storeSql,
      schemas.closeSql,
      z.object({ type: z.literal('close') }),
    ])
    .transform((wire, context): PipelineRequest => {
      switch (wire.type) {
        case 'store_sql':
          return { kind: 'store_sql', sqlId: wire.sql_id, sql: wire.sql };
        case 'close_sql':
          return { kind: 'close_sql', sqlId: wire.sql_id };
        case 'close':
          return { kind: 'close' };
        default:
          return streamRequest(wire, context);
      }
    });
  const pipeline = z
    .object({ baton, requests: boundedArray(pipelineRequest, limits.pipelineRequests) })
    .transform((wire): Pipeline => ({ baton: wire.baton ?? null, requests: wire.requests }));
  const cursor = z
    .object({ baton, batch: schemas.batch })
    .transform((wire): CursorRequest => ({ baton: wire.baton ?? null, steps: wire.batch.steps }));
  const firstExecute = z
    .object({ stmt: schemas.statement })
    .transform((wire): StreamRequest => ({ kind: 'execute', statement: wire.stmt }));
  const firstBatch = z
    .object({ batch: schemas.batch })
    .transform((wire): StreamRequest => ({ kind: 'batch', steps: wire.batch.steps }));

  const onStream = { stream_id: id };
  const socketRequest = z
    .discriminatedUnion('type', [
      z.object({ type: z.literal('open_stream'), ...onStream }),
      z.object({ type: z.literal('close_stream'), ...onStream }),
      z.object({ ...schemas.execute, ...onStream }),
      z.object({ ...schemas.batchRequest, ...onStream }),
      z.object({ ...schemas.sequence, ...onStream }),
      z.object({ ...schemas.describe, ...onStream }),
      z.object({ ...schemas.getAutocommit, ...onStream }),
      schemas.storeSql,
      schemas.closeSql,
      z.object({ type: z.literal('open_cursor'), ...onStream, cursor_id: id, batch: schemas.batch }),
      z.object({ type: z.literal('fetch_cursor'), cursor_id: id, max_count: z.int().min(0) }),
      z.object({ type: z.literal('close_cursor'), cursor_id: id }),
    ])
    .transform((wire, context): SocketRequest => {
      switch (wire.type) {
        case 'open_stream':
        case 'close_stream':
          return { kind: wire.type, streamId: wire.stream_id };
        case 'store_sql':
          return { kind: 'store', request: { kind: 'store_sql', sqlId: wire.sql_id, sql: wire.sql } };
        case 'close_sql':
          return { kind: 'store', request: { kind: 'close_sql', sqlId: wire.sql_id } };
        case 'open_cursor':
          return {
            kind: 'open_cursor',
            streamId: wire.stream_id,
            cursorId: wire.cursor_id,
            steps: wire.batch.steps,
          };
        case 'fetch_cursor':
          return { kind: 'fetch_cursor', cursorId: wire.cursor_id, maxCount: wire.max_count };
        case 'close_cursor':
          return { kind: 'close_cursor', cursorId: wire.cursor_id };
        default:
          return { kind: 'stream', streamId: wire.stream_id, request: streamRequest(wire, context) };
      }
    });
  const socketMessage = z.discriminatedUnion('type', [
    z.object({ type: z.literal('hello'), jwt: z.string().nullish() }),
    z.object({ type: z.literal('request'), request_id: id, request: z.unknown() }),
  ]);

  function parse<T>(schema: z.ZodType<T>, input: unknown): SqlOutcome<T> {
    const result = schema.safeParse(input);
    return result.success ? { ok: true, value: result.data } : problem(result.error, input, limits);
  }
  function parseBody<T>(schema: z.ZodType<T>, body: string | object): SqlOutcome<T> {
    const json = parsed(body);
    return json.ok ? parse(schema, json.value) : json;
  }

  return {
    pipeline: (body) => {
      const json = parsed(body);
      if (!json.ok) return json;
      const plain = isShort ? plainPipeline(json.value, limits) : null;
      return plain === null ? parse(pipeline, json.value) : { ok: true, value: plain };
    },
    cursor: (body) => parseBody(cursor, body),
    first: (kind, json) => (kind === 'execute' ? parseBody(firstExecute, json) : parseBody(firstBatch, json)),
    socketRequest: (request) => {
      const plain = isShort ? plainSocketRequest(request, limits) : null;
      return plain === null ? parse(socketRequest, request) : { ok: true, value: plain };
    },
    socketMessage: (given) => {
      const json = parsed(given);
      if (!json.ok) return json;
      const plain = isShort ? plainMessage(json.value) : null;
      if (plain !== null) return { ok: true, value: { kind: 'request', ...plain } };
      const message = parse(socketMessage, json.value);
      if (!message.ok) return message;
      const wire = message.value;
      return wire.type === 'hello'
        ? { ok: true, value: { kind: 'hello', jwt: wire.jwt ?? null } }
        : { ok: true, value: { kind: 'request', requestId: wire.request_id, request: wire.request } };
    },
  };
}
