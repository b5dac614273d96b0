/** A value as a literal of SQL, exact. */
import { type FileValue, quotedText, TextBytes } from './wire-value.ts';

function realText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '9e999';
  if (value === Number.NEGATIVE_INFINITY) return '-9e999';
  if (Object.is(value, -0)) return '-0.0';
  const text = String(value);
  // Without a point or an exponent it would be an integer.
  return /[.e]/.test(text) ? text : `${text}.0`;
}

const hex = (bytes: Uint8Array): string =>
  `x'${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}'`;

export function dumpValue(value: FileValue): string {
  switch (typeof value) {
    case 'bigint':
      // The smallest integer has no literal: its digits alone are beyond the largest.
      return value === -(2n ** 63n) ? '(-9223372036854775807-1)' : String(value);
    case 'number':
      return realText(value);
    case 'string':
      // A text literal ends at a NUL.
      return value.includes('\0') ? `CAST(${hex(Buffer.from(value))} AS TEXT)` : quotedText(value);
    default:
      if (value === null) return 'NULL';
      return value instanceof TextBytes ? `CAST(${hex(value.bytes)} AS TEXT)` : hex(value);
  }
}
