import { expect, test } from 'vitest';
import { frameMessageBytesMax, messageFrame } from '../../../storage/wire/core/message-frame.ts';

/** Headers as RFC 6455 has them, section 5.2: whole and binary; the length in 7 bits, or 126 and 16 bits. */
const headers = [
  [0, [0x82, 0]],
  [1, [0x82, 1]],
  [125, [0x82, 125]],
  [126, [0x82, 126, 0, 126]],
  [256, [0x82, 126, 1, 0]],
  [2_048, [0x82, 126, 8, 0]],
  [frameMessageBytesMax, [0x82, 126, 0xff, 0xff]],
] as const;

test.each(headers)(
  'a frame of %i bytes has its length in its header, and its bytes behind',
  (length, header) => {
    const message = Uint8Array.from({ length }, (_, at) => at * 7);
    const frame = messageFrame(message, false);
    expect([...frame.subarray(0, header.length)]).toEqual(header);
    expect(Buffer.compare(frame.subarray(header.length), message)).toBe(0);
  },
);

test.each(headers)('a masked frame of %i bytes says so, and its mask changes nothing', (length, header) => {
  const message = Uint8Array.from({ length }, (_, at) => at * 7);
  const frame = messageFrame(message, true);
  const [first, second, ...rest] = header;
  expect([...frame.subarray(0, header.length + 4)]).toEqual([first, second | 0x80, ...rest, 0, 0, 0, 0]);
  expect(Buffer.compare(frame.subarray(header.length + 4), message)).toBe(0);
});

test('a frame holds its message as it was when the frame was made', () => {
  const message = Uint8Array.of(1, 2, 3);
  const frame = messageFrame(message, false);
  message.fill(9);
  expect([...frame]).toEqual([0x82, 3, 1, 2, 3]);
});
