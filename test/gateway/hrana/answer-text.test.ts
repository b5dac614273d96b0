import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type AnswerText,
  fits,
  joinText,
  release,
  sendable,
  textBytes,
  wholeText,
  withoutHead,
} from '../../../gateway/hrana/core/answer-text.ts';

const text = fc.string({ unit: 'grapheme' });
const written = text.map((one) => new TextEncoder().encode(one));
const answer: fc.Arbitrary<AnswerText> = fc.oneof(text, fc.array(fc.oneof(text, written)));

it('joins texts and written parts in their order, and counts their bytes', () => {
  fc.assert(
    fc.property(fc.array(answer), (texts) => {
      const joined = joinText(texts);
      expect(wholeText(joined)).toBe(texts.map(wholeText).join(''));
      expect(textBytes(joined)).toBe(Buffer.concat(sendable(joined)).length);
      expect(fits(joined, textBytes(joined))).toBe(true);
      expect(fits(joined, textBytes(joined) - 1)).toBe(false);
    }),
  );
});

it('keeps what is text only in one piece, and never decodes what is written', () => {
  const part = new Uint8Array([0x22, 0x22]);
  expect(joinText(['a', 'b', 'c'])).toBe('abc');
  expect(joinText(['a', ['b', part], 'c', 'd'])).toEqual(['ab', part, 'cd']);
});

it('takes text off the front of either', () => {
  expect(withoutHead('abc', 2)).toBe('c');
  expect(wholeText(withoutHead(['abc', new Uint8Array([0x64])], 2))).toBe('cd');
});

it('frees large pieces that have memory of their own, and touches no other', () => {
  const large = new Uint8Array(256 * 1024);
  const small = new Uint8Array(1_000);
  const shared = new Uint8Array(512 * 1024);
  const view = shared.subarray(0, 256 * 1024);
  release([large, small, view]);
  expect([large.byteLength, small.byteLength, view.byteLength, shared.byteLength]).toEqual([
    0,
    1_000,
    256 * 1024,
    512 * 1024,
  ]);
});
