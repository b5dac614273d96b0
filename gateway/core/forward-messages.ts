/**
 * What gateways say to the writer over NATS, version 1. Every message is `headerLength u32 LE | header (JSON) | bytes`. A call
 * and its answer travel in parts, because a script or a result may be larger than the server's `max_payload`.
 *
 * G30. A call has an id and runs at most once, however often its messages are sent.
 * G31. `refused` and a `poll` answered `unknown` mean that the call has not run and never will.
 *
 * History of versions: 1 (2026-11-21).
 */
import { z } from 'zod';
import { viewOf } from '../../storage/core/bytes.ts';
import { type Epoch, epoch, type Lsn, lsn } from '../../storage/core/ids.ts';
import type { AnyOperationValue, SqlOperation } from './engine-protocol.ts';
import { decodeBase64, decodeInteger, encodeBase64 } from './hrana-values.ts';
import type { BatchCondition, SqlOutcome, SqlResult, SqlValue } from './sql.ts';

/** An operation for the writer. */
export interface ForwardCall {
  /** Names the stream at the writer; its transaction lives there until it ends. */
  readonly stream: string;
  /** True when the stream is not known at the writer yet. */
  readonly fresh: boolean;
  /** PRAGMAs to run first on a fresh stream: the client has set its stream up so. */
  readonly settings: readonly string[];
  readonly traceparent: string | null;
  readonly operation: SqlOperation;
}

export type ForwardResult =
  | {
      readonly kind: 'answered';
      readonly outcome: SqlOutcome<AnyOperationValue>;
      /** False when a transaction is open and the stream goes on. */
      readonly autocommit: boolean;
      /** What the answer saw, on the path of `epoch`: later reads in the asking gateway wait for it. */
      readonly seenLsn: Lsn;
      readonly epoch: Epoch;
    }
  /** Not run: this gateway was the writer no more when its turn came. */
  | { readonly kind: 'notRun' };

/** Why a writer does not take a call. */
export type ForwardRefusal = 'not-writer' | 'draining' | 'quorum-lost' | 'busy' | 'malformed' | 'too-large';

export type ForwardRequest =
  /** One part of a call; the last one starts it and is answered like a poll for part 0. */
  | {
      readonly kind: 'part';
      readonly call: string;
      readonly index: number;
      readonly count: number;
      readonly bytes: Uint8Array;
    }
  /** Asks for a part of the answer, and waits a moment for it. */
  | { readonly kind: 'poll'; readonly call: string; readonly part: number }
  /** The answer has arrived, or nobody waits for it. */
  | { readonly kind: 'forget'; readonly call: string }
  /** The client is gone: roll back. */
  | { readonly kind: 'close'; readonly stream: string }
  /** Up to where is everything that was ever acknowledged? */
  | { readonly kind: 'position' };

export type ForwardReply =
  | { readonly kind: 'received' }
  | { readonly kind: 'running' }
  | { readonly kind: 'part'; readonly index: number; readonly count: number; readonly bytes: Uint8Array }
  | { readonly kind: 'refused'; readonly reason: ForwardRefusal; readonly message: string }
  /** No such call was ever started here, and none with this id will be. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'position'; readonly epoch: Epoch; readonly vdl: Lsn };

export type Decoded<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'malformed'; readonly reason: string };

const idSchema = z.string().min(1).max(128);
const lsnSchema = z.int().min(0).transform(lsn);
const epochSchema = z.int().min(0).transform(epoch);
const version = z.literal(1);
const partsMax = 4_096;

const requestHeader = z.discriminatedUnion('kind', [
  z.object({
    v: version,
    kind: z.literal('part'),
    call: idSchema,
    index: z.int().min(0).max(partsMax),
    count: z.int().min(1).max(partsMax),
  }),
  z.object({ v: version, kind: z.literal('poll'), call: idSchema, part: z.int().min(0).max(partsMax) }),
  z.object({ v: version, kind: z.literal('forget'), call: idSchema }),
  z.object({ v: version, kind: z.literal('close'), stream: idSchema }),
  z.object({ v: version, kind: z.literal('position') }),
]);

const replyHeader = z.discriminatedUnion('kind', [
  z.object({ v: version, kind: z.literal('received') }),
  z.object({ v: version, kind: z.literal('running') }),
  z.object({
    v: version,
    kind: z.literal('part'),
    index: z.int().min(0),
    count: z.int().min(1).max(partsMax),
  }),
  z.object({
    v: version,
    kind: z.literal('refused'),
    reason: z.enum(['not-writer', 'draining', 'quorum-lost', 'busy', 'malformed', 'too-large']),
    message: z.string(),
  }),
  z.object({ v: version, kind: z.literal('unknown') }),
  z.object({ v: version, kind: z.literal('position'), epoch: epochSchema, vdl: lsnSchema }),
]);

const none = new Uint8Array(0);

function encode(header: object, bytes: Uint8Array): Uint8Array {
  const json = Buffer.from(JSON.stringify({ v: 1, ...header }));
  const message = new Uint8Array(4 + json.length + bytes.length);
  viewOf(message).setUint32(0, json.length, true);
  message.set(json, 4);
  message.set(bytes, 4 + json.length);
  return message;
}

function decode<T>(
  schema: z.ZodType<T>,
  message: Uint8Array,
): Decoded<{ readonly header: T; readonly bytes: Uint8Array }> {
  if (message.length < 4) return { kind: 'malformed', reason: 'a message shorter than its header length' };
  const length = viewOf(message).getUint32(0, true);
  if (4 + length > message.length) return { kind: 'malformed', reason: 'a message cut short' };
  const header = parsed(schema, Buffer.from(message.buffer, message.byteOffset + 4, length).toString('utf8'));
  if (header.kind === 'malformed') return header;
  return { kind: 'ok', value: { header: header.value, bytes: message.subarray(4 + length) } };
}

function parsed<T>(schema: z.ZodType<T>, text: string): Decoded<T> {
  try {
    const result = schema.safeParse(JSON.parse(text));
    return result.success
      ? { kind: 'ok', value: result.data }
      : { kind: 'malformed', reason: z.prettifyError(result.error) };
  } catch (error) {
    return { kind: 'malformed', reason: error instanceof Error ? error.message : String(error) };
  }
}

export function encodeRequest(request: ForwardRequest): Uint8Array {
  if (request.kind !== 'part') return encode(request, none);
  const { bytes, ...header } = request;
  return encode(header, bytes);
}

export function decodeRequest(message: Uint8Array): Decoded<ForwardRequest> {
  const split = decode(requestHeader, message);
  if (split.kind === 'malformed') return split;
  const { header, bytes } = split.value;
  return { kind: 'ok', value: header.kind === 'part' ? { ...header, bytes } : header };
}

export function encodeReply(reply: ForwardReply): Uint8Array {
  if (reply.kind !== 'part') return encode(reply, none);
  const { bytes, ...header } = reply;
  return encode(header, bytes);
}

export function decodeReply(message: Uint8Array): Decoded<ForwardReply> {
  const split = decode(replyHeader, message);
  if (split.kind === 'malformed') return split;
  const { header, bytes } = split.value;
  return { kind: 'ok', value: header.kind === 'part' ? { ...header, bytes } : header };
}

/** Cuts bytes into parts of at most `partBytes`; at least one. */
export function splitParts(bytes: Uint8Array, partBytes: number): readonly Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += partBytes) parts.push(bytes.subarray(at, at + partBytes));
  return parts.length === 0 ? [none] : parts;
}

/** Parts back to back. */
export function joinParts(parts: readonly Uint8Array[]): Uint8Array {
  const only = parts.length === 1 ? parts[0] : undefined;
  return only ?? Buffer.concat(parts);
}

// ---- values: text and null stand for themselves, everything else says what it is, so that nothing loses a digit

type WireValue =
  | null
  | string
  | { readonly i: string }
  | { readonly f: number | string }
  | { readonly b: string };

function toWire(value: SqlValue): WireValue {
  switch (typeof value) {
    case 'string':
      return value;
    case 'bigint':
      return { i: value.toString() };
    case 'number':
      return {
        f:
          Number.isFinite(value) && !Object.is(value, -0)
            ? value
            : Object.is(value, -0)
              ? '-0'
              : String(value),
      };
    default:
      return value === null ? null : { b: encodeBase64(value) };
  }
}

/** Undefined when it is no value. */
function fromWire(wire: unknown): SqlValue | undefined {
  if (wire === null || typeof wire === 'string') return wire;
  if (typeof wire !== 'object') return undefined;
  if ('i' in wire) return typeof wire.i === 'string' ? (decodeInteger(wire.i) ?? undefined) : undefined;
  if ('f' in wire)
    return typeof wire.f === 'number' || typeof wire.f === 'string' ? Number(wire.f) : undefined;
  if ('b' in wire) return typeof wire.b === 'string' ? (decodeBase64(wire.b) ?? undefined) : undefined;
  return undefined;
}

const valueSchema = z.unknown().transform((wire, context): SqlValue => {
  const value = fromWire(wire);
  if (value !== undefined) return value;
  context.addIssue({ code: 'custom', message: 'expected a SQL value' });
  return z.NEVER;
});

/** Rows are many: one pass over them instead of a schema per value. */
const rowsSchema = z.array(z.array(z.unknown())).transform((rows, context): SqlValue[][] => {
  const out: SqlValue[][] = [];
  for (const row of rows) {
    const values: SqlValue[] = [];
    for (const wire of row) {
      const value = fromWire(wire);
      if (value === undefined) {
        context.addIssue({ code: 'custom', message: 'expected rows of SQL values' });
        return z.NEVER;
      }
      values.push(value);
    }
    out.push(values);
  }
  return out;
});

const statementSchema = z.object({
  sql: z.string(),
  args: z.array(valueSchema),
  namedArgs: z.array(z.object({ name: z.string(), value: valueSchema })),
  wantRows: z.boolean(),
});

const conditionSchema: z.ZodType<BatchCondition> = z.lazy(() =>
  z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('ok'), step: z.int() }),
    z.object({ kind: z.literal('error'), step: z.int() }),
    z.object({ kind: z.literal('not'), condition: conditionSchema }),
    z.object({ kind: z.literal('and'), conditions: z.array(conditionSchema) }),
    z.object({ kind: z.literal('or'), conditions: z.array(conditionSchema) }),
    z.object({ kind: z.literal('isAutocommit') }),
  ]),
);

const operationSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('execute'), statement: statementSchema }),
  z.object({
    kind: z.literal('batch'),
    steps: z.array(z.object({ condition: conditionSchema.nullable(), statement: statementSchema })),
  }),
  z.object({ kind: z.literal('sequence'), sql: z.string() }),
  z.object({ kind: z.literal('describe'), sql: z.string() }),
]);

const callSchema = z.object({
  stream: idSchema,
  fresh: z.boolean(),
  settings: z.array(z.string()),
  traceparent: z.string().nullable(),
  operation: operationSchema,
});

const columnSchema = z.object({ name: z.string().nullable(), decltype: z.string().nullable() });
const errorSchema = z.object({ code: z.string(), message: z.string() });
const rowidSchema = z.string().transform((text, context): bigint => {
  const value = decodeInteger(text);
  if (value !== null) return value;
  context.addIssue({ code: 'custom', message: 'expected a 64-bit integer' });
  return z.NEVER;
});
const resultSchema = z
  .object({
    columns: z.array(columnSchema),
    rows: rowsSchema,
    affectedRowCount: z.number(),
    lastInsertRowid: rowidSchema.nullable(),
    rowsRead: z.number().optional(),
    rowsWritten: z.number().optional(),
  })
  .transform(
    ({ rowsRead, rowsWritten, ...result }): SqlResult => ({
      ...result,
      ...(rowsRead !== undefined && { rowsRead }),
      ...(rowsWritten !== undefined && { rowsWritten }),
    }),
  );
const failedSchema = z.object({ ok: z.literal(false), error: errorSchema });
const outcomeOf = <T>(value: z.ZodType<T>) =>
  z.discriminatedUnion('ok', [z.object({ ok: z.literal(true), value }), failedSchema]);
const descriptionSchema = z.object({
  params: z.array(z.object({ name: z.string().nullable() })),
  columns: z.array(columnSchema),
  isExplain: z.boolean(),
  isReadonly: z.boolean(),
});

const answered = {
  kind: z.literal('answered'),
  autocommit: z.boolean(),
  seenLsn: lsnSchema,
  epoch: epochSchema,
};
const forwardResultSchema = z.union([
  z.object({ kind: z.literal('notRun') }),
  z.object({ ...answered, of: z.literal('execute'), outcome: outcomeOf(resultSchema) }),
  z.object({
    ...answered,
    of: z.literal('batch'),
    outcome: outcomeOf(z.array(outcomeOf(resultSchema).nullable())),
  }),
  z.object({ ...answered, of: z.literal('sequence'), outcome: outcomeOf(z.null()) }),
  z.object({ ...answered, of: z.literal('describe'), outcome: outcomeOf(descriptionSchema) }),
]);

/** Everything but the values of SQL is JSON as it stands. */
function wireJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'bigint') return item.toString();
    return item;
  });
}

export function encodeCall(call: ForwardCall): Uint8Array {
  const statement = (given: {
    sql: string;
    args: readonly SqlValue[];
    namedArgs: readonly { name: string; value: SqlValue }[];
    wantRows: boolean;
  }) => ({
    ...given,
    args: given.args.map(toWire),
    namedArgs: given.namedArgs.map(({ name, value }) => ({ name, value: toWire(value) })),
  });
  const { operation } = call;
  const wire =
    operation.kind === 'execute'
      ? { kind: 'execute', statement: statement(operation.statement) }
      : operation.kind === 'batch'
        ? {
            kind: 'batch',
            steps: operation.steps.map((step) => ({ ...step, statement: statement(step.statement) })),
          }
        : operation;
  return Buffer.from(wireJson({ ...call, operation: wire }));
}

export function decodeCall(bytes: Uint8Array): Decoded<ForwardCall> {
  return parsed(callSchema, textOf(bytes));
}

export function encodeResult(kind: SqlOperation['kind'], result: ForwardResult): Uint8Array {
  if (result.kind === 'notRun') return Buffer.from('{"kind":"notRun"}');
  const { outcome } = result;
  const wire = outcome.ok ? { ok: true, value: wireValue(outcome.value) } : outcome;
  return Buffer.from(wireJson({ ...result, of: kind, outcome: wire }));
}

function wireValue(value: AnyOperationValue): unknown {
  if (value === null) return null;
  if ('rows' in value) return wireRows(value);
  if ('params' in value) return value;
  return value.map((step) => (step?.ok === true ? { ok: true, value: wireRows(step.value) } : step));
}

const wireRows = (result: SqlResult): object => ({
  ...result,
  rows: result.rows.map((row) => row.map(toWire)),
});

export function decodeResult(kind: SqlOperation['kind'], bytes: Uint8Array): Decoded<ForwardResult> {
  const result = parsed(forwardResultSchema, textOf(bytes));
  if (result.kind === 'malformed' || result.value.kind === 'notRun')
    return result.kind === 'malformed' ? result : { kind: 'ok', value: { kind: 'notRun' } };
  if (result.value.of !== kind)
    return { kind: 'malformed', reason: `the answer to a ${result.value.of}, not to a ${kind}` };
  const { of: _, ...value } = result.value;
  return { kind: 'ok', value };
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}
