/**
 * The first HTTP API of libSQL's servers, `POST /` with `{"statements": [...]}`, which DBeaver's driver and others speak:
 * plain JSON values, statements one after another until one fails, and an answer per statement. Pure.
 */
import { z } from 'zod';
import { adviseFailure, limitFailure } from '../../sql/errors.ts';
import type { BatchResult, SqlOutcome, SqlResult, SqlValue } from '../../sql/sql.ts';
import { decodeBase64, decodeInteger, encodeBase64 } from '../../sql/values.ts';
import type { WireStep } from './hrana-messages.ts';
import type { GatewayLimits } from './protocol-limits.ts';

const value = z.unknown().transform((wire, context): SqlValue => {
  if (wire === null || typeof wire === 'string' || typeof wire === 'number' || typeof wire === 'bigint')
    return wire;
  if (typeof wire === 'boolean') return wire ? 1n : 0n;
  const base64: unknown = Object(wire).base64;
  const bytes = typeof base64 === 'string' ? decodeBase64(base64) : null;
  if (bytes !== null) return bytes;
  context.addIssue({ code: 'custom', message: 'expected a value' });
  return z.NEVER;
});
const body = z.object({ statements: z.array(z.unknown()) });
const statement = z.union([
  z.string().transform((q) => ({ q, params: [] })),
  z.object({ q: z.string(), params: z.union([z.array(value), z.record(z.string(), value)]).nullish() }),
]);

/** An integer of JSON keeps its 64 bits; beyond them it is a float, as every number with a point or an exponent is. */
function exactNumber(...[, given, context]: [string, unknown, { readonly source?: string }?]): unknown {
  const source = context?.source ?? '';
  return typeof given === 'number' ? (decodeInteger(source) ?? given) : given;
}

/** The steps of a request, each of which runs only when the one before it has succeeded. */
export function decodeStatements(json: string, limits: GatewayLimits): SqlOutcome<readonly WireStep[]> {
  let wire: unknown;
  try {
    wire = JSON.parse(json, exactNumber);
  } catch {
    return adviseFailure('SEXTANT_PROTOCOL_ERROR', 'The request is not valid JSON');
  }
  const parsed = body.safeParse(wire);
  if (!parsed.success) return malformed('expected an object with an array named statements');
  const { statements } = parsed.data;
  if (statements.length > limits.batchSteps) return limitFailure('batchSteps', limits.batchSteps);
  const steps: WireStep[] = [];
  for (const [index, given] of statements.entries()) {
    const one = statement.safeParse(given);
    if (!one.success)
      return malformed(`at statements[${index}]: expected a text, or an object with q and params`);
    const params = one.data.params ?? [];
    const args = Array.isArray(params) ? params : [];
    const namedArgs = Array.isArray(params)
      ? []
      : Object.entries(params).map(([name, argument]) => ({ name, value: argument }));
    if (args.length + namedArgs.length > limits.statementArgs)
      return limitFailure('statementArgs', limits.statementArgs);
    const text = { kind: 'text', sql: one.data.q } as const;
    const condition = index === 0 ? null : ({ kind: 'ok', step: index - 1 } as const);
    steps.push({ condition, statement: { text, args, namedArgs, wantRows: true } });
  }
  return { ok: true, value: steps };
}

function malformed(what: string): SqlOutcome<never> {
  return adviseFailure('SEXTANT_PROTOCOL_ERROR', `The request is malformed: ${what}`);
}

/** The answer: for each statement its result, its error, or null when it did not run. Null when it is longer than `maxLength`. */
export function encodeStatements(results: BatchResult, maxLength: number): string | null {
  let text = '[';
  for (const [index, outcome] of results.entries()) {
    if (index > 0) text += ',';
    if (outcome === null) text += 'null';
    else if (!outcome.ok) text += encodeFailure(outcome.error.message, outcome.error.code);
    else {
      const result = encodeResult(outcome.value, maxLength - text.length);
      if (result === null) return null;
      text += result;
    }
  }
  return `${text}]`;
}

function encodeFailure(message: string, code: string): string {
  return `{"error":${JSON.stringify(message)},"code":${JSON.stringify(code)}}`;
}

/** Drivers show `rows_written` as the count of rows affected, so that is what it is here. */
function encodeResult(result: SqlResult, maxLength: number): string | null {
  const columns = JSON.stringify(result.columns.map((column) => column.name ?? ''));
  let text = `{"results":{"columns":${columns},"rows":[`;
  for (const [index, row] of result.rows.entries()) {
    text += `${index === 0 ? '' : ','}[${row.map(encodePlain).join(',')}]`;
    if (text.length > maxLength) return null;
  }
  const read = result.rowsRead ?? result.rows.length;
  return `${text}],"rows_read":${read},"rows_written":${result.affectedRowCount}}}`;
}

/** A value as plain JSON: floats are told from integers by their point or exponent. */
function encodePlain(given: SqlValue): string {
  switch (typeof given) {
    case 'bigint':
      return String(given);
    case 'number': {
      if (!Number.isFinite(given)) return 'null';
      const digits = Object.is(given, -0) ? '-0' : String(given);
      return /^-?[0-9]+$/.test(digits) ? `${digits}.0` : digits;
    }
    case 'string':
      return JSON.stringify(given);
    default:
      return given === null ? 'null' : `{"base64":"${encodeBase64(given)}"}`;
  }
}
