/**
 * What is forwarded: an operation for the writer and what became of it, as JSON. Text and null stand for themselves, every
 * other SQL value says what it is, so that nothing loses a digit on the way.
 */
import { z } from 'zod';
import { type Epoch, epoch, type Lsn, lsn } from '../../../storage/core.ts';
import { type AnyOperationValue, isBatch, type SqlOperation } from '../../sql/operation.ts';
import type { BatchCondition, SqlOutcome, SqlResult, SqlStatement, SqlValue } from '../../sql/sql.ts';
import { readPreferences, type StreamState } from '../../sql/stream-state.ts';
import { decodeBase64, decodeInteger, encodeBase64 } from '../../sql/values.ts';
import { type WireOperation, type WireResult, wireStatuses } from '../../sql/wire-operation.ts';
import { type Decoded, parseChecked } from './forward-messages.ts';
import { plainCall, plainResult } from './forward-plain.ts';
import { TailReader, TailWriter } from './forward-tail.ts';
import { fromWire, toWire } from './forward-values.ts';

/** An operation for the writer. */
export interface ForwardCall {
  /** Names the stream at the writer; its transaction lives there until it ends. */
  readonly stream: string;
  /** True when the stream is not known at the writer yet. */
  readonly fresh: boolean;
  /** What the stream comes with. */
  readonly state: StreamState;
  readonly traceparent: string | null;
  /** The stream may only read: nothing of the operation is to run that writes (G40). */
  readonly readOnly: boolean;
  readonly operation: SqlOperation;
}

export type ForwardResult =
  | {
      readonly kind: 'answered';
      readonly outcome: SqlOutcome<AnyOperationValue>;
      /** False when a transaction is open and the stream goes on. */
      readonly autocommit: boolean;
      /** True when the stream has more at the writer that cannot travel, and goes on there. */
      readonly holds: boolean;
      /** What the stream's state is afterwards; null: as it came. */
      readonly state: StreamState | null;
      /** What the answer saw, on the path of `epoch`: later reads in the asking gateway wait for it. */
      readonly seenLsn: Lsn;
      readonly epoch: Epoch;
    }
  /** Not run: this gateway was the writer no more when its turn came. */
  | { readonly kind: 'notRun' };

const idSchema = z.string().min(1).max(128);
const lsnSchema = z.int().min(0).transform(lsn);
const epochSchema = z.int().min(0).transform(epoch);

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
  /** Gateways of older versions do not say it, and do not understand it. */
  textRows: z.boolean().default(false),
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

const bytesSchema = z.string().transform((text, context): Uint8Array => {
  const bytes = decodeBase64(text);
  if (bytes !== null) return bytes;
  context.addIssue({ code: 'custom', message: 'expected bytes in base64' });
  return z.NEVER;
});
const wireSettingsSchema = z.record(z.string().max(64), z.string().max(8_192));

const operationSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('execute'), statement: statementSchema }),
  z.object({
    kind: z.literal('batch'),
    steps: z.array(z.object({ condition: conditionSchema.nullable(), statement: statementSchema })),
  }),
  z.object({ kind: z.literal('sequence'), sql: z.string() }),
  z.object({ kind: z.literal('describe'), sql: z.string() }),
  z.object({
    kind: z.literal('wire'),
    messages: bytesSchema,
    prepared: z.array(z.object({ name: z.string().max(63), parse: bytesSchema, fresh: z.boolean() })),
    statements: z.array(z.string()),
    class: z.enum(['read', 'write', 'unclear']),
    settings: wireSettingsSchema,
  }),
]);

const rowidSchema = z.string().transform((text, context): bigint => {
  const value = decodeInteger(text);
  if (value !== null) return value;
  context.addIssue({ code: 'custom', message: 'expected a 64-bit integer' });
  return z.NEVER;
});
const settingsMax = 128;
const stateSchema: z.ZodType<StreamState> = z.object({
  readPreference: z.enum(readPreferences),
  settings: z
    .array(z.object({ name: z.string().regex(/^[a-z_]{1,64}$/), value: z.string().max(256) }))
    .max(settingsMax),
  counters: z.object({ changes: z.int(), totalChanges: z.int(), lastInsertRowid: rowidSchema }),
});

const callParts = {
  stream: idSchema,
  fresh: z.boolean(),
  state: stateSchema,
  traceparent: z.string().nullable(),
};
/** A writer of an older version knows no `reading`, and refuses what it would otherwise run as a write. */
export const callSchema = z
  .union([
    z.object({ ...callParts, operation: operationSchema }),
    z.object({ ...callParts, reading: operationSchema }),
  ])
  .transform((call): ForwardCall => {
    if ('operation' in call) return { ...call, readOnly: false };
    const { reading, ...parts } = call;
    return { ...parts, readOnly: true, operation: reading };
  });

const columnSchema = z.object({ name: z.string().nullable(), decltype: z.string().nullable() });
const errorSchema = z.object({ code: z.string(), message: z.string() });
/** A result whose rows, where it has `textBytes`, lie behind the JSON. */
type WireResultRows = SqlResult & { readonly textBytes?: number };
const resultSchema = z
  .object({
    columns: z.array(columnSchema),
    rows: rowsSchema,
    textBytes: z.int().min(1).optional(),
    affectedRowCount: z.number(),
    lastInsertRowid: rowidSchema.nullable(),
    rowsRead: z.number().optional(),
    rowsWritten: z.number().optional(),
  })
  .transform(
    ({ rowsRead, rowsWritten, textBytes, ...result }): WireResultRows => ({
      ...result,
      ...(textBytes !== undefined && { textBytes }),
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

const wireResultSchema: z.ZodType<WireResult> = z.object({
  messages: bytesSchema,
  status: z.enum(wireStatuses),
  settings: wireSettingsSchema.nullable(),
  /** Not said by gateways from before it was. */
  error: errorSchema.nullable().default(null),
});

const answered = {
  kind: z.literal('answered'),
  autocommit: z.boolean(),
  holds: z.boolean(),
  state: stateSchema.nullable(),
  seenLsn: lsnSchema,
  epoch: epochSchema,
};
type WireForwardResult =
  | { readonly kind: 'notRun' }
  | (Extract<ForwardResult, { kind: 'answered' }> & { readonly of: SqlOperation['kind'] });
export const forwardResultSchema: z.ZodType<WireForwardResult> = z.union([
  z.object({ kind: z.literal('notRun') }),
  z.object({ ...answered, of: z.literal('execute'), outcome: outcomeOf(resultSchema) }),
  z.object({
    ...answered,
    of: z.literal('batch'),
    outcome: outcomeOf(z.array(outcomeOf(resultSchema).nullable())),
  }),
  z.object({ ...answered, of: z.literal('sequence'), outcome: outcomeOf(z.null()) }),
  z.object({ ...answered, of: z.literal('describe'), outcome: outcomeOf(descriptionSchema) }),
  z.object({ ...answered, of: z.literal('wire'), outcome: outcomeOf(wireResultSchema) }),
]);

/** JSON has no 64-bit integers. */
const wireState = ({ counters, ...state }: StreamState): object => ({
  ...state,
  counters: { ...counters, lastInsertRowid: counters.lastInsertRowid.toString() },
});

export function encodeCall(call: ForwardCall): Uint8Array {
  const statement = (given: SqlStatement) => ({
    ...given,
    args: given.args.map(toWire),
    namedArgs: given.namedArgs.map(({ name, value }) => ({ name, value: toWire(value) })),
  });
  const { operation, readOnly, state, ...parts } = call;
  const wire =
    operation.kind === 'execute'
      ? { kind: 'execute', statement: statement(operation.statement) }
      : operation.kind === 'batch'
        ? {
            kind: 'batch',
            steps: operation.steps.map((step) => ({ ...step, statement: statement(step.statement) })),
          }
        : operation.kind === 'wire'
          ? wireMessages(operation)
          : operation;
  const json = { ...parts, state: wireState(state), [readOnly ? 'reading' : 'operation']: wire };
  return Buffer.from(JSON.stringify(json));
}

/** What `atLeast` and `mayMove` say is about engines that read; the writer shows everything. */
const wireMessages = ({ atLeast: _, mayMove: _mayMove, ...operation }: WireOperation): object => ({
  ...operation,
  messages: encodeBase64(operation.messages),
  prepared: operation.prepared.map(({ name, parse, fresh }) => ({ name, parse: encodeBase64(parse), fresh })),
});

export function decodeCall(bytes: Uint8Array): Decoded<ForwardCall> {
  return parseChecked(callSchema, textOf(bytes), plainCall);
}

export function encodeResult(kind: SqlOperation['kind'], result: ForwardResult): Uint8Array {
  if (result.kind === 'notRun') return Buffer.from('{"kind":"notRun"}');
  const { outcome, state } = result;
  const tail = new TailWriter();
  const wire = outcome.ok ? { ok: true, value: wireValue(outcome.value, tail) } : outcome;
  const told = { state: state === null ? null : wireState(state), of: kind, outcome: wire };
  return tail.behind(JSON.stringify({ ...result, ...told }));
}

function wireValue(value: AnyOperationValue, tail: TailWriter): unknown {
  if (value === null) return null;
  if ('rows' in value) return wireRows(value, tail);
  if ('params' in value) return value;
  if ('messages' in value) return { ...value, messages: encodeBase64(value.messages) };
  return value.map((step) => (step?.ok === true ? { ok: true, value: wireRows(step.value, tail) } : step));
}

const wireRows = ({ rowsText, ...result }: SqlResult, tail: TailWriter): object => ({
  ...result,
  rows: result.rows.map((row) => row.map(toWire)),
  lastInsertRowid: result.lastInsertRowid?.toString() ?? null,
  ...(rowsText !== undefined && tail.add(rowsText)),
});

export function decodeResult(kind: SqlOperation['kind'], bytes: Uint8Array): Decoded<ForwardResult> {
  const tail = new TailReader(bytes);
  const result = parseChecked<WireForwardResult>(forwardResultSchema, textOf(tail.json), (wire) => {
    const plain = plainResult(kind, wire);
    return plain === null ? null : { ...plain, of: kind };
  });
  if (result.kind === 'malformed' || result.value.kind === 'notRun')
    return result.kind === 'malformed' ? result : { kind: 'ok', value: { kind: 'notRun' } };
  if (result.value.of !== kind)
    return { kind: 'malformed', reason: `the answer to a ${result.value.of}, not to a ${kind}` };
  const { of: _, ...value } = result.value;
  const outcome = withText(value.outcome, tail);
  return outcome === null
    ? { kind: 'malformed', reason: 'the answer ends within its rows' }
    : { kind: 'ok', value: { ...value, outcome } };
}

type Outcome = SqlOutcome<AnyOperationValue>;

/** The outcome with the rows that lie behind it; null when there are fewer than it says. */
function withText(outcome: Outcome, tail: TailReader): Outcome | null {
  if (!outcome.ok || outcome.value === null) return outcome;
  const { value } = outcome;
  if ('rows' in value) {
    const whole = withRows(value, tail);
    return whole === null ? null : { ok: true, value: whole };
  }
  if (!isBatch(value)) return outcome;
  const steps: (SqlOutcome<SqlResult> | null)[] = [];
  for (const step of value) {
    const whole = step?.ok === true ? withRows(step.value, tail) : null;
    if (step?.ok === true && whole === null) return null;
    steps.push(whole === null ? step : { ok: true, value: whole });
  }
  return { ok: true, value: steps };
}

function withRows(result: WireResultRows, tail: TailReader): SqlResult | null {
  const { textBytes, ...rest } = result;
  if (textBytes === undefined) return result;
  const rowsText = tail.take(textBytes);
  return rowsText === null ? null : { ...rest, rowsText };
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}
