import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameReader } from '../../../gateway/postgres/protocol/core/frame-reader.ts';
import { message } from '../../../gateway/postgres/protocol/core/message-bytes.ts';
import { concatBytes } from '../../../storage/redo.ts';

test('messages come out as they went in, however they were cut on the way', () => {
  const bodies = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 });
  const cuts = fc.array(fc.nat(80), { maxLength: 40 });
  fc.assert(
    fc.property(bodies, cuts, (given, lengths) => {
      const sent = given.map((bytes, at) => message('QPBS'[at % 4] ?? 'Q', { bytes }));
      const whole = concatBytes(sent);
      const reader = new FrameReader();
      const found: Uint8Array[] = [];
      const take = (): void => {
        for (
          let next = reader.next('messages', 100);
          next.kind === 'frame';
          next = reader.next('messages', 100)
        )
          found.push(next.frame.bytes.slice());
      };
      let at = 0;
      for (const length of lengths) {
        reader.push(whole.subarray(at, at + length));
        at = Math.min(at + length, whole.length);
        take();
      }
      reader.push(whole.subarray(at));
      take();
      expect(found).toEqual(sent);
      expect(reader.bufferedBytes).toBe(0);
    }),
  );
});

test('a length that lies is told, and nothing is kept ready for it', () => {
  const reader = new FrameReader();
  reader.push(Uint8Array.of(81, 0x7f, 0xff, 0xff, 0xff));
  expect(reader.next('messages', 1_000)).toEqual({ kind: 'tooLarge', length: 0x7fffffff });
  expect(reader.bufferedBytes).toBe(5);
  const short = new FrameReader();
  short.push(Uint8Array.of(81, 0, 0, 0, 3));
  expect(short.next('messages', 1_000)).toEqual({ kind: 'malformed', length: 3 });
  const negative = new FrameReader();
  negative.push(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  expect(negative.next('startup', 1_000)).toEqual({ kind: 'malformed', length: -1 });
});

test('a startup packet has no type', () => {
  const reader = new FrameReader();
  reader.push(Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47));
  expect(reader.next('startup', 1_000)).toMatchObject({
    kind: 'frame',
    frame: { type: '', body: Uint8Array.of(4, 210, 22, 47) },
  });
});
