import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isPlainJson } from '../../../../gateway/engine/sqlite/plain-json.ts';
import { LyingText, longBytes, RowsWriter } from '../../../../gateway/engine/sqlite/rows-writer.ts';
import { encodeRow } from '../../../../gateway/sql/row-text.ts';
import type { SqlValue } from '../../../../gateway/sql/sql.ts';

const textOf = (parts: readonly Uint8Array[]): string => Buffer.concat(parts).toString('utf8');

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
  [
    'of which one character in the middle is escaped',
    bytesOf('x'.repeat(longBytes), '\\', 'é'.repeat(longBytes)),
  ],
  ['that fills several parts', bytesOf('aé€😀'.repeat(longBytes))],
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

it.each([
  ['', true],
  ['abc', true],
  ['é€😀\u2028\x7f', true],
  ['"', false],
  ['abcd\\', false],
  ['abcdefgh\tx', false],
])('tells whether %j is in JSON what it is, wherever it lies', (text, isPlain) => {
  for (let before = 0; before < 8; before++) {
    const bytes = bytesOf('"'.repeat(before), text, '"').subarray(before, before + utf8(text).length);
    expect(isPlainJson(bytes)).toBe(isPlain);
  }
});

it('says of no bytes that they are plain which JSON would write in another way', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(7), (bytes, at) => {
      const lying = new Uint8Array(48).fill(0x61);
      lying.set(bytes, at);
      const piece = lying.subarray(at, at + bytes.length);
      const written = utf8(JSON.stringify(Buffer.from(bytes).toString('utf8')).slice(1, -1));
      expect(isPlainJson(piece)).toBe(Buffer.compare(written, bytes) === 0);
    }),
    { numRuns: 2_000 },
  );
});
