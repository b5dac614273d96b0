/** SQL values on the wire: Hrana JSON ↔ `SqlValue`, exact in both directions. */
import { z } from 'zod';
import type { SqlValue } from './sql.ts';

const minimum = -(2n ** 63n);
const maximum = 2n ** 63n - 1n;
const integerPattern = /^-?[0-9]{1,64}$/;
const base64Pattern = /^[A-Za-z0-9+/]*={0,2}$/;

/** The 64-bit integer written in decimal, or null. */
export function decodeInteger(text: string): bigint | null {
  if (!integerPattern.test(text)) return null;
  const value = BigInt(text);
  return value < minimum || value > maximum ? null : value;
}

/**
 * The bytes of a base64 text, padded or not, or null when it is not base64. The array owns its memory: a view
 * into a shared pool would drag the whole pool along when it is posted to another thread.
 */
export function decodeBase64(text: string): Uint8Array | null {
  if (!base64Pattern.test(text)) return null;
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const digits = text.length - padding;
  if (digits % 4 === 1 || (padding > 0 && text.length % 4 !== 0)) return null;
  const bytes = new Uint8Array(Math.floor((digits * 3) / 4));
  bytes.set(Buffer.from(text, 'base64'));
  return bytes;
}

/** Base64 without padding. */
export function encodeBase64(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
  return text.endsWith('==') ? text.slice(0, -2) : text.endsWith('=') ? text.slice(0, -1) : text;
}

/**
 * A value as clients send it. A float may be infinite: `1e999` is a JSON number, and so is every other beyond a double. Integers
 * come as decimal strings only: a JSON number would already have lost digits.
 */
export const valueSchema = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('null') }),
    z.object({ type: z.literal('integer'), value: z.string() }),
    z.object({
      type: z.literal('float'),
      value: z.custom<number>((value) => typeof value === 'number', 'Invalid input: expected number'),
    }),
    z.object({ type: z.literal('text'), value: z.string() }),
    z.object({ type: z.literal('blob'), base64: z.string() }),
  ])
  .transform((wire, context): SqlValue => {
    switch (wire.type) {
      case 'null':
        return null;
      case 'float':
      case 'text':
        return wire.value;
      case 'integer': {
        const value = decodeInteger(wire.value);
        if (value !== null) return value;
        context.addIssue({ code: 'custom', message: 'expected a 64-bit integer as a decimal string' });
        return z.NEVER;
      }
      case 'blob': {
        const bytes = decodeBase64(wire.base64);
        if (bytes !== null) return bytes;
        context.addIssue({ code: 'custom', message: 'expected base64, padded or not' });
        return z.NEVER;
      }
    }
  });

/**
 * One value as Hrana JSON text: integers as strings, blobs in base64 without padding. An infinity leaves as NULL: JSON has
 * no number for it, and the clients of most languages refuse `1e999` and a float whose value is `null` alike.
 */
export function encodeValue(value: SqlValue): string {
  switch (typeof value) {
    case 'bigint':
      return `{"type":"integer","value":"${value}"}`;
    case 'number':
      if (!Number.isFinite(value)) return '{"type":"null"}';
      return `{"type":"float","value":${Object.is(value, -0) ? '-0.0' : value}}`;
    case 'string':
      return `{"type":"text","value":${JSON.stringify(value)}}`;
    default:
      return value === null ? '{"type":"null"}' : `{"type":"blob","base64":"${encodeBase64(value)}"}`;
  }
}
