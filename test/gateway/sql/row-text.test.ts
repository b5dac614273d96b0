import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeRow, LyingText, longBytes, RowsWriter } from '../../../gateway/sql/row-text.ts';
import type { SqlValue } from '../../../gateway/sql/sql.ts';

const decoder = new TextDecoder();
const textOf = (parts: readonly Uint8Array[]): string => parts.map((part) => decoder.decode(part)).join('');

function writtenOf(batches: readonly (readonly (readonly (SqlValue | LyingText)[])[])[]) {
  const writer = new RowsWriter();
  const lengths = batches.map((rows) => writer.write(rows));
  return { ...writer.finish(), length: lengths.reduce((sum, length) => sum + length, 0) };
}

const value: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.constant(null),
  fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
  fc.double(),
  fc.string({ unit: 'grapheme' }),
  fc.uint8Array(),
);

it('writes rows some at a time as it would write them all at once', () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.array(value))), (batches) => {
      const { parts, length } = writtenOf(batches);
      expect(textOf(parts)).toBe(batches.flat().map(encodeRow).join(','));
      expect(length).toBe(parts.reduce((sum, part) => sum + part.length, 0));
    }),
  );
});

const utf8 = (text: string) => new TextEncoder().encode(text);
const bytesOf = (...texts: (string | readonly number[])[]) =>
  Buffer.concat(texts.map((one) => (typeof one === 'string' ? utf8(one) : Uint8Array.from(one))));

it.each([
  ['of one more byte than a piece', bytesOf('x'.repeat(longBytes + 1))],
  ['of characters that are escaped', bytesOf('"\n'.repeat(longBytes))],
  ['with four bytes of a character across the end of a piece', bytesOf('x'.repeat(longBytes - 2), '😀é')],
  ['with a character that ends with the piece', bytesOf('x'.repeat(longBytes - 3), '€€')],
  [
    'that is no UTF-8 around the end of a piece',
    bytesOf('x'.repeat(longBytes - 2), [0xf0, 0x9f, 0x41, 0xc3], 'y'),
  ],
  ['of nothing but bytes that continue something', bytesOf(new Array(longBytes + 9).fill(0x9f))],
])('writes a text %s in pieces, and says what it says as a whole', (_, bytes) => {
  const { parts } = writtenOf([[[1n, new LyingText(bytes), null], ['short']]]);
  expect(parts.length).toBeGreaterThan(2);
  const whole = [[1n, bytes.toString('utf8'), null], ['short']].map(encodeRow).join(',');
  expect(textOf(parts) === whole).toBe(true);
});

it.each([longBytes, longBytes + 1, 2 * longBytes + 2])('writes a blob of %i bytes as one', (length) => {
  const rows: SqlValue[][] = [[new Uint8Array(length).fill(7), 1n]];
  expect(textOf(writtenOf([rows]).parts) === rows.map(encodeRow).join(',')).toBe(true);
});

it('keeps each part in memory of its own, so that it can be handed over', () => {
  const { parts } = writtenOf([[['a']], [['b']]]);
  for (const part of parts) expect(part.buffer.byteLength).toBe(part.byteLength);
});
