/** SQL values on the wire: Hrana JSON ↔ `SqlValue`, exact in both directions. */
import { z } from 'zod';
import type { SqlValue } from '../../sql/sql.ts';
import { decodeBase64, decodeInteger, encodeBase64 } from '../../sql/values.ts';

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
