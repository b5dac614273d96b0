import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeFrame,
  frameHeaderBytes,
  framePayload,
  parseFrame,
  parseFrameExtent,
  splitFrames,
} from '../../../storage/redo/frame.ts';
import { epoch, lsn, pgId } from '../../../storage/redo/ids.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';
import { frameBytes, fromHex, hex } from '../samples.ts';

const golden =
  '5358 01 00 11000000 07000000 02000000 0500000001000000 0400000000000000 3207e8fd 0105050102aabb0308e803000000000000';
const goldenFields = { epoch: epoch(7), pg: pgId(2), base: lsn(0x1_0000_0005), prevPg: lsn(4) };

function reasonFor(bytes: Uint8Array): string {
  const parsed = parseFrame(bytes);
  return parsed.kind === 'bad' ? parsed.reason : parsed.kind;
}

function with8(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
}

describe('a frame', () => {
  it('has exactly these bytes', () => {
    const payload = fromHex(golden).subarray(frameHeaderBytes);
    expect(hex(encodeFrame(goldenFields, [payload.subarray(0, 7), payload.subarray(7)]))).toBe(
      hex(fromHex(golden)),
    );
  });

  it('is read back from these bytes, wherever they lie', () => {
    const bytes = new Uint8Array([9, 9, 9, ...fromHex(golden), 8]);
    expect(parseFrame(bytes, 3)).toEqual({
      kind: 'frame',
      length: 53,
      header: { payloadBytes: 17, ...goldenFields, end: lsn(0x1_0000_0016) },
    });
    expect(framePayload(fromHex(golden)).length).toBe(17);
  });

  it('round-trips any fields and payload', () => {
    const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
    const position = fc
      .maxSafeInteger()
      .map((value) => Math.abs(value) - (Math.abs(value) > 2 ** 52 ? 2 ** 20 : 0));
    fc.assert(
      fc.property(
        u32,
        u32,
        position,
        position,
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        (e, pg, a, b, payload) => {
          const fields = {
            epoch: epoch(e),
            pg: pgId(pg),
            base: lsn(Math.max(a, b)),
            prevPg: lsn(Math.min(a, b)),
          };
          const bytes = encodeFrame(fields, [payload]);
          const parsed = parseFrame(bytes);
          expect(parsed).toMatchObject({ kind: 'frame', length: bytes.length, header: fields });
          expect(framePayload(bytes)).toEqual(payload);
        },
      ),
    );
  });

  it('is refused when any single bit of it is flipped', () => {
    const good = fromHex(golden);
    for (let bit = 0; bit < good.length * 8; bit++) {
      const flipped = with8(good, bit >> 3, (good[bit >> 3] ?? 0) ^ (1 << (bit & 7)));
      expect(parseFrame(flipped).kind, `bit ${bit}`).not.toBe('frame');
    }
  });

  it('is refused with the reason', () => {
    const good = fromHex(golden);
    expect(reasonFor(with8(good, 0, 0))).toBe('no frame starts here (wrong magic)');
    expect(reasonFor(with8(good, 2, 2))).toBe('frame version 2, this process reads 1');
    expect(reasonFor(with8(good, 4, 0))).toBe(
      `frame length 0 outside 1 to ${redoLimits.framePayloadBytesMax}`,
    );
    expect(reasonFor(with8(good, 7, 1))).toBe(
      `frame length 16777233 outside 1 to ${redoLimits.framePayloadBytesMax}`,
    );
    expect(reasonFor(with8(good, 40, 0))).toBe('frame checksum mismatch');
    const backwards = encodeFrame({ ...goldenFields, prevPg: lsn(0x1_0000_0006) }, [
      good.subarray(frameHeaderBytes),
    ]);
    expect(reasonFor(backwards)).toBe('frame positions out of order: previous 4294967302, base 4294967301');
  });

  it('is incomplete at every length short of its own', () => {
    const good = fromHex(golden);
    for (let length = 0; length < good.length; length++)
      expect(parseFrame(good.subarray(0, length)).kind).toBe('incomplete');
  });

  it('never makes the parser throw, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.boolean(), (noise, startLikeOne) => {
        const bytes = startLikeOne ? new Uint8Array([...fromHex(golden).subarray(0, 5), ...noise]) : noise;
        expect(parseFrame(bytes).kind).not.toBe('frame');
        expect(['bad', 'frames']).toContain(splitFrames(bytes).kind);
      }),
      { numRuns: 500 },
    );
  });
});

describe('frames back to back', () => {
  const three = [0, 10, 20].map((base) => frameBytes({ base }));

  it('are split where they meet, as views of the same bytes', () => {
    const joined = Buffer.concat(three);
    const split = splitFrames(joined);
    expect(split.kind === 'frames' && split.frames.map((frame) => frame.header.base)).toEqual([0, 10, 20]);
    expect(
      split.kind === 'frames' && split.frames.every((frame) => frame.bytes.buffer === joined.buffer),
    ).toBe(true);
  });

  it('say that the last is cut short, or what is wrong with one in the middle', () => {
    const joined = Buffer.concat(three);
    expect(splitFrames(joined.subarray(0, -1))).toEqual({
      kind: 'bad',
      reason: 'the last frame is cut short',
    });
    joined[46 + 36] = 0xff;
    expect(splitFrames(joined)).toEqual({ kind: 'bad', reason: 'frame checksum mismatch' });
  });

  it('cover the LSNs from the first base to the last end', () => {
    expect(parseFrameExtent(Buffer.concat(three))).toEqual({ from: 0, to: 30 });
    expect(parseFrameExtent(new Uint8Array(0))).toBeNull();
  });
});
