import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { wallUs } from '../../../storage/process/clock.ts';
import { WallOffset } from '../../../storage/process/core/wall-offset.ts';

/** Reads both clocks at those moments, each reading interrupted for that long between the clocks. */
function readAt(offset: WallOffset, aheadMs: number, moments: readonly number[], heldMs = 0): void {
  for (const atMs of moments) offset.note(atMs, Math.floor(atMs + heldMs + aheadMs), atMs + heldMs + 0.0001);
}

const everyTenthMs = Array.from({ length: 200 }, (_, at) => 1_000 + at * 0.1 + 0.007);

describe('how far the wall clock is ahead', () => {
  it('is known to a tenth of a millisecond after readings a tenth apart, however wrong the first guess was', () => {
    for (const guessMs of [0, 1_796_065_255_203, 1_796_065_255_207.9]) {
      const offset = new WallOffset(guessMs);
      readAt(offset, 1_796_065_255_204.25, everyTenthMs);
      expect(Math.abs(offset.offsetMs - 1_796_065_255_204.25)).toBeLessThan(0.11);
      expect(offset.uncertainMs).toBeLessThan(0.22);
    }
  });

  it('is not spoiled by a reading that had to wait between the two clocks', () => {
    const offset = new WallOffset(5_000);
    readAt(offset, 5_000.5, everyTenthMs);
    const before = offset.offsetMs;
    readAt(offset, 5_000.5, [2_000, 2_100, 2_200], 40);
    expect(offset.offsetMs).toBe(before);
  });

  it('follows a clock that was moved with the next reading, to the millisecond, and closer with those after it', () => {
    for (const byMs of [-3_600_000, -3, 2, 7_200_000]) {
      const offset = new WallOffset(5_000);
      readAt(offset, 5_000.5, everyTenthMs);
      readAt(offset, 5_000.5 + byMs, [3_000.3]);
      expect(Math.abs(offset.offsetMs - 5_000.5 - byMs)).toBeLessThanOrEqual(1);
      readAt(
        offset,
        5_000.5 + byMs,
        everyTenthMs.map((atMs) => atMs + 2_000),
      );
      expect(Math.abs(offset.offsetMs - 5_000.5 - byMs)).toBeLessThan(0.11);
    }
  });

  it('is never further off than one reading leaves open, whatever happens to the readings and the clock', () => {
    const reading = fc.record({
      afterMs: fc.double({ min: 0.001, max: 50, noNaN: true }),
      heldMs: fc.double({ min: 0, max: 20, noNaN: true }),
      atPart: fc.double({ min: 0, max: 1, noNaN: true }),
      movedMs: fc.oneof(
        { weight: 9, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: -90, max: 90 }) },
      ),
    });
    fc.assert(
      fc.property(fc.array(reading, { minLength: 1, maxLength: 60 }), (readings) => {
        const offset = new WallOffset(1_000_000);
        let nowMs = 500;
        let aheadMs = 1_000_003.4;
        for (const { afterMs, heldMs, atPart, movedMs } of readings) {
          nowMs += afterMs;
          aheadMs += movedMs;
          offset.note(nowMs, Math.floor(nowMs + heldMs * atPart + aheadMs), nowMs + heldMs);
          expect(Math.abs(offset.offsetMs - aheadMs)).toBeLessThanOrEqual(
            // Moves that fit into what earlier readings leave open cannot be seen; they are no larger than that.
            21.001,
          );
          nowMs += heldMs;
        }
      }),
    );
  });
});

describe('the wall clock of this process', () => {
  it('is the one that the machine tells, to the millisecond', () => {
    for (let at = 0; at < 1_000; at += 1) {
      const beforeMs = Date.now();
      const us = wallUs();
      expect(us).toBeGreaterThanOrEqual(beforeMs * 1_000 - 50);
      expect(us).toBeLessThanOrEqual((Date.now() + 1) * 1_000 + 50);
    }
  });

  it('is set right while the process runs', () => {
    const { now } = Date;
    try {
      Date.now = () => now() + 60_000;
      expect(Math.abs(wallUs() / 1_000 - now() - 60_000)).toBeLessThan(2);
    } finally {
      Date.now = now;
    }
    expect(Math.abs(wallUs() / 1_000 - now())).toBeLessThan(2);
  });
});
