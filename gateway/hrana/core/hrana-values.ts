/** SQL values as clients send them: Hrana JSON to `SqlValue`, exact. The other direction is `sql/row-text.ts`. */
import { z } from 'zod';
import type { SqlValue } from '../../sql/sql.ts';
import { decodeBase64, decodeInteger } from '../../sql/values.ts';

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
