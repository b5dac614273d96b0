import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { valueSchema } from '../../../gateway/hrana/core/hrana-values.ts';
import { encodeValue } from '../../../gateway/sql/row-text.ts';
import type { SqlValue } from '../../../gateway/sql/sql.ts';
import { decodeBase64, decodeInteger, encodeBase64 } from '../../../gateway/sql/values.ts';

const value: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.constant(null),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.string({ unit: 'binary' }),
  fc.uint8Array({ maxLength: 200 }),
);

describe('values on the wire', () => {
  it('come back exactly as they were, whatever they are', () => {
    fc.assert(
      fc.property(value, (original) => {
        const back = valueSchema.parse(JSON.parse(encodeValue(original)));
        expect(back).toStrictEqual(original);
      }),
      { numRuns: 2_000 },
    );
  });

  it('are NULL where JSON has no number for them, and numbers beyond a double are infinities', () => {
    for (const value of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN])
      expect(encodeValue(value)).toBe('{"type":"null"}');
    for (const [text, value] of [
      ['1e999', Number.POSITIVE_INFINITY],
      ['-1e999', Number.NEGATIVE_INFINITY],
      [`${'9'.repeat(400)}.5`, Number.POSITIVE_INFINITY],
    ] as const)
      expect(valueSchema.parse(JSON.parse(`{"type":"float","value":${text}}`)), text).toBe(value);
  });

  it('take base64 with and without padding and refuse what is none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
        expect(decodeBase64(Buffer.from(bytes).toString('base64'))).toStrictEqual(bytes);
        expect(decodeBase64(encodeBase64(bytes))).toStrictEqual(bytes);
      }),
    );
    for (const bad of ['A', 'AA=', 'AAA==', 'A===', '====', 'AA AA', 'AA_A', 'ÄAAA', 'AAAA=']) {
      expect(decodeBase64(bad), bad).toBeNull();
    }
  });

  it('own the memory of their blobs, so that posting one to a thread copies no pool', () => {
    expect(decodeBase64('AAAA')?.buffer.byteLength).toBe(3);
  });

  it('are integers of 64 bits in decimal digits only', () => {
    expect(decodeInteger('9223372036854775807')).toBe(2n ** 63n - 1n);
    expect(decodeInteger('-9223372036854775808')).toBe(-(2n ** 63n));
    for (const bad of [
      '9223372036854775808',
      '-9223372036854775809',
      '',
      '-',
      '1.0',
      '1e3',
      '0x10',
      ' 1',
      '+1',
      '1n',
    ]) {
      expect(decodeInteger(bad), bad).toBeNull();
    }
    expect(valueSchema.safeParse({ type: 'integer', value: 1 }).success).toBe(false);
  });
});
