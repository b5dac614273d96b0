import { describe, expect, it } from 'vitest';
import { Prng } from '../world/prng.ts';
import { ProcessClock, wallStartUs } from './clock.ts';

const makeClock = (seed: number, drift: number) => {
  const world = { nowUs: 0 };
  const clock = new ProcessClock(() => world.nowUs, Prng.fromSeed(seed), {
    offsetUsMax: 1_000_000,
    driftPpmMax: drift,
  });
  return { world, clock };
};

describe('process clock', () => {
  it('never goes back, and drifts no more than its bound', () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const { world, clock } = makeClock(seed, 200);
      const startUs = clock.monotonicUs();
      let previousUs = startUs;
      for (world.nowUs = 1_999_900; world.nowUs < 2_000_100; world.nowUs += 1) {
        expect(clock.monotonicUs()).toBeGreaterThanOrEqual(previousUs);
        previousUs = clock.monotonicUs();
      }
      world.nowUs = 1_000_000_000;
      expect(Math.abs(clock.monotonicUs() - startUs - world.nowUs)).toBeLessThanOrEqual(200_000);
    }
  });

  it('lets no timer fire before its own time has passed, nor much later', () => {
    const prng = Prng.fromSeed(1);
    for (let seed = 0; seed < 100; seed += 1) {
      const { world, clock } = makeClock(seed, 50_000);
      world.nowUs = prng.between(0, 10_000_000);
      const localUs = prng.between(0, 5_000_000);
      const startUs = clock.monotonicUs();
      world.nowUs += clock.worldDelayUs(localUs);
      expect(clock.monotonicUs() - startUs).toBeGreaterThanOrEqual(localUs);
      expect(clock.monotonicUs() - startUs).toBeLessThanOrEqual(localUs + 5);
    }
  });

  it('jumps only on the wall', () => {
    const { clock } = makeClock(1, 0);
    const wallUs = clock.wallUs();
    const monotonicUs = clock.monotonicUs();
    clock.jump(-3_000_000);
    expect(clock.wallUs()).toBe(wallUs - 3_000_000);
    expect(clock.monotonicUs()).toBe(monotonicUs);
    expect(Math.abs(wallUs - wallStartUs)).toBeLessThanOrEqual(1_000_000);
  });

  it('starts the monotonic clocks of two processes apart', () => {
    expect(makeClock(1, 0).clock.monotonicUs()).not.toBe(makeClock(2, 0).clock.monotonicUs());
  });
});
