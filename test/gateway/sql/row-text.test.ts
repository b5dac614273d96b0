import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeRow, RowsWriter } from '../../../gateway/sql/row-text.ts';
import type { SqlValue } from '../../../gateway/sql/sql.ts';

const decoder = new TextDecoder();
const textOf = (parts: readonly Uint8Array[]): string => parts.map((part) => decoder.decode(part)).join('');

function writtenOf(batches: readonly (readonly (readonly SqlValue[])[])[]) {
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

const piece = 768 * 1024;

it.each([
  ['a text', 'x'.repeat(piece + 1)],
  ['a text of characters that are escaped', '"\n'.repeat(piece)],
  ['a surrogate pair across the end of a piece', `${'x'.repeat(piece - 1)}${'😀'.repeat(3)}`],
  ['surrogate pairs that end with the piece', '😀'.repeat(piece)],
  ['a lone surrogate at the end of a piece', `${'x'.repeat(piece - 1)}\ud83dyy`],
  ['bytes whose number is no multiple of three', new Uint8Array(2 * piece + 1).fill(7)],
  ['bytes of exactly one piece and one', new Uint8Array(piece + 1)],
])('writes %s in pieces, and says the same', (_, long) => {
  const rows: SqlValue[][] = [[1n, long, null], [long], ['short']];
  const { parts } = writtenOf([rows]);
  expect(parts.length).toBeGreaterThan(2);
  expect(textOf(parts) === rows.map(encodeRow).join(',')).toBe(true);
});

it('keeps each part in memory of its own, so that it can be handed over', () => {
  const { parts } = writtenOf([[['a']], [['b']]]);
  for (const part of parts) expect(part.buffer.byteLength).toBe(part.byteLength);
});
