import { expect, test } from 'vitest';
import {
  CancelAllowance,
  decodeCancel,
  encodeCancel,
} from '../../../gateway/postgres/core/cancel-message.ts';

test.each([4, 32, 256])(
  'a key with a secret of %s bytes comes back as it was, wherever it lies',
  (length) => {
    const key = { processId: 2 ** 31 - 2, secret: Uint8Array.from({ length }, (_, at) => at * 7) };
    const bytes = encodeCancel(key);
    const inside = new Uint8Array(bytes.length + 9);
    inside.set(bytes, 5);
    expect(decodeCancel(inside.subarray(5, 5 + bytes.length))).toEqual(key);
  },
);

test.each([0, 3, 4, 261])('%s bytes are no key', (length) => {
  expect(decodeCancel(new Uint8Array(length))).toBeNull();
});

test('so many requests pass at once, and so many a second', () => {
  const allowance = new CancelAllowance(5);
  const passed = (count: number, nowMs: number): number =>
    Array.from({ length: count }, () => allowance.take(nowMs)).filter(Boolean).length;
  expect(passed(20, 1_000)).toBe(5);
  expect(passed(20, 1_100)).toBe(0);
  expect(passed(20, 1_200)).toBe(1);
  expect(passed(20, 60_000)).toBe(5);
});
