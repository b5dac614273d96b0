import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ClockOffset } from '../../../regions/replication/core/clock-offset.ts';

/** An exchange with a clock that is `aheadUs` ahead, over ways of these lengths. */
const exchange = (aheadUs: number, there: number, back: number, at = 1_000_000) => ({
  t0: at,
  t1: at + there + aheadUs,
  t2: at + there + 500 + aheadUs,
  t3: at + there + 500 + back,
});

describe('clock offset', () => {
  test('is 0 and wholly uncertain before the first exchange', () => {
    const offset = new ClockOffset();
    expect(offset.offsetUs).toBe(0);
    expect(offset.uncertaintyUs).toBe(Number.POSITIVE_INFINITY);
  });

  test('is their clock minus ours, exact when both ways take equally long', () => {
    const offset = new ClockOffset();
    offset.add(exchange(-70_000, 20_000, 20_000));
    expect(offset.offsetUs).toBe(-70_000);
    expect(offset.uncertaintyUs).toBe(20_000);
  });

  test('is taken from the exchange with the shortest round trip, and forgets old ones', () => {
    const offset = new ClockOffset();
    offset.add(exchange(9_000, 10, 10));
    offset.add(exchange(9_000, 90_000, 10));
    expect(offset.offsetUs).toBe(9_000);
    for (let count = 0; count < 16; count++) offset.add(exchange(4_000, 1_000, 1_000));
    expect(offset.offsetUs).toBe(4_000);
  });

  test('ignores an exchange that cannot have happened', () => {
    const offset = new ClockOffset();
    offset.add({ t0: 100, t1: 0, t2: 900, t3: 200 });
    offset.add({ t0: Number.NaN, t1: 0, t2: 0, t3: 0 });
    expect(offset.uncertaintyUs).toBe(Number.POSITIVE_INFINITY);
  });

  test('is never further off than it says', () => {
    const way = fc.integer({ min: 0, max: 300_000 });
    fc.assert(
      fc.property(
        fc.integer({ min: -1e9, max: 1e9 }),
        fc.array(fc.tuple(way, way), { minLength: 1 }),
        (ahead, ways) => {
          const offset = new ClockOffset();
          for (const [there, back] of ways) offset.add(exchange(ahead, there, back));
          expect(Math.abs(offset.offsetUs - ahead)).toBeLessThanOrEqual(offset.uncertaintyUs);
        },
      ),
    );
  });
});
