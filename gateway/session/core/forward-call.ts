/**
 * What is forwarded: an operation for the writer and what became of it, as JSON. Text and null stand for themselves, every
 * other SQL value says what it is, so that nothing loses a digit on the way.
 */
import { z } from 'zod';
import { type Epoch, epoch, type Lsn, lsn } from '../../../storage/core.ts';
import type { AnyOperationValue, SqlOperation } from '../../sql/operation.ts';
import type { BatchCondition, SqlOutcome, SqlResult, SqlStatement, SqlValue } from '../../sql/sql.ts';
import { readPreferences, type StreamState } from '../../sql/stream-state.ts';
import { decodeBase64, decodeInteger, encodeBase64 } from '../../sql/values.ts';
import { type WireOperation, type WireResult, wireStatuses } from '../../sql/wire-operation.ts';
import { type Decoded, parseChecked } from './forward-messages.ts';

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
const callSchema = z
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
  z.object({ ...answered, of: z.literal('wire'), outcome: outcomeOf(wireResultSchema) }),
]);

/** Everything but the values of SQL is JSON as it stands. */
function wireJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'bigint') return item.toString();
    return item;
  });
}

export function encodeCall(call: ForwardCall): Uint8Array {
  // Rows come back as values, whatever the statement allows here.
  const statement = ({ sql, args, namedArgs, wantRows }: SqlStatement) => ({
    sql,
    args: args.map(toWire),
    namedArgs: namedArgs.map(({ name, value }) => ({ name, value: toWire(value) })),
    wantRows,
  });
  const { operation, readOnly, ...parts } = call;
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
  return Buffer.from(wireJson({ ...parts, [readOnly ? 'reading' : 'operation']: wire }));
}

/** What `atLeast` and `mayMove` say is about engines that read; the writer shows everything. */
const wireMessages = ({ atLeast: _, mayMove: _mayMove, ...operation }: WireOperation): object => ({
  ...operation,
  messages: encodeBase64(operation.messages),
  prepared: operation.prepared.map(({ name, parse, fresh }) => ({ name, parse: encodeBase64(parse), fresh })),
});

export function decodeCall(bytes: Uint8Array): Decoded<ForwardCall> {
  return parseChecked(callSchema, textOf(bytes));
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
  if ('messages' in value) return { ...value, messages: encodeBase64(value.messages) };
  return value.map((step) => (step?.ok === true ? { ok: true, value: wireRows(step.value) } : step));
}

const wireRows = (result: SqlResult): object => ({
  ...result,
  rows: result.rows.map((row) => row.map(toWire)),
});

export function decodeResult(kind: SqlOperation['kind'], bytes: Uint8Array): Decoded<ForwardResult> {
  const result = parseChecked(forwardResultSchema, textOf(bytes));
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
