/**
 * Values on their way out of a gateway, as SQL literals that SQLite itself writes. An answer of the protocol has no infinities and
 * no text that is not UTF-8; a literal has both, and two values of one column are the same exactly when their literals are.
 */
import { type FileValue, TextBytes } from '../../transfer/core/wire-value.ts';

/** As the SQL of `literalSql` writes it. */
export type Literal = string;

/**
 * An expression whose value is the literal of `expression`, a text. Text outside of plain ASCII comes as its bytes: `quote()` ends
 * it at a NUL, and bytes that are no UTF-8 do not survive an answer.
 */
export const literalSql = (expression: string): string =>
  `CASE WHEN typeof(${expression})='text' AND (instr(${expression},char(0))>0 OR ` +
  `${expression} GLOB '*[^'||char(1)||'-'||char(127)||']*') ` +
  `THEN 'CAST(X'''||hex(${expression})||''' AS TEXT)' ELSE quote(${expression}) END`;

const bytesText = /^CAST\(X'([0-9A-F]*)' AS TEXT\)$/;
const blob = /^X'([0-9A-F]*)'$/i;
const real = /^-?(?:\d+\.\d+|\d+)(?:e[+-]?\d+)?$/i;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(bytes: Uint8Array): FileValue {
  try {
    return utf8.decode(bytes);
  } catch {
    return new TextBytes(bytes);
  }
}

/** The value of a literal. @throws Error for what `literalSql` never writes. */
export function readLiteral(literal: Literal): FileValue {
  if (literal === 'NULL') return null;
  if (/^-?\d+$/.test(literal)) return BigInt(literal);
  if (literal.startsWith("'") && literal.endsWith("'") && literal.length > 1)
    return literal.slice(1, -1).replaceAll("''", "'");
  const text = bytesText.exec(literal)?.[1];
  if (text !== undefined) return textOf(Buffer.from(text, 'hex'));
  const bytes = blob.exec(literal)?.[1];
  if (bytes !== undefined) return Buffer.from(bytes, 'hex');
  if (real.test(literal)) return Number(literal);
  throw new Error(`no literal of SQL: ${literal.slice(0, 60)}`);
}

/** NULL, numbers, texts, blobs: the order of SQLite's storage classes. */
function rankOf(value: FileValue): number {
  if (value === null) return 0;
  if (typeof value === 'bigint' || typeof value === 'number') return 1;
  return typeof value === 'string' || value instanceof TextBytes ? 2 : 3;
}

function bytesOf(value: FileValue): Uint8Array {
  if (typeof value === 'string') return Buffer.from(value);
  if (value instanceof TextBytes) return value.bytes;
  return value instanceof Uint8Array ? value : new Uint8Array();
}

/** The order of `ORDER BY x COLLATE BINARY`. @returns below, at or above 0. */
export function compareValues(a: FileValue, b: FileValue): number {
  const [left, right] = [rankOf(a), rankOf(b)];
  if (left !== right) return left - right;
  if (left === 0) return 0;
  // A bigint and a number compare as what they are, with nothing rounded.
  if (left === 1) return isBelow(a, b) ? -1 : isBelow(b, a) ? 1 : 0;
  return Buffer.compare(bytesOf(a), bytesOf(b));
}

const isBelow = (a: FileValue, b: FileValue): boolean => (a as bigint | number) < (b as bigint | number);

/** The order of rows by their keys, the first part first. */
export function compareKeys(a: readonly FileValue[], b: readonly FileValue[]): number {
  for (const [at, value] of a.entries()) {
    const order = compareValues(value, b[at] ?? null);
    if (order !== 0) return order;
  }
  return 0;
}

/** For JSON: integers beyond 2^53, and reals that JSON lacks, as strings; blobs, and text that is no UTF-8, as base64. */
export function plainOf(literal: Literal): string | number | null {
  const value = readLiteral(literal);
  if (value === null || typeof value === 'string') return value;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  return Buffer.from(bytesOf(value)).toString('base64');
}
