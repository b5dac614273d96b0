/**
 * One process's view of time. The monotonic clock starts at a drawn value, so that comparing two processes' readings
 * is found out, runs fast or slow by a drawn drift, and never goes back or jumps, not even over a pause or a restart.
 * The wall clock is the monotonic one plus an offset that a fault may change at any moment, in either direction.
 * A pause (SIGSTOP) does not stop either clock: it stops the process, which the host does (`process.ts`).
 */
import assert from 'node:assert/strict';
import type { Prng } from '../world/prng.ts';

/** Where virtual wall clocks begin: 2026-11-21T00:00:00Z, in microseconds. */
export const wallStartUs = 1_795_219_200_000_000;

const driftPpmMax = 100_000;

export type ClockOptions = {
  /** Largest initial difference of a wall clock from true time, either way. */
  readonly offsetUsMax: number;
  /** Largest rate error of a clock in parts per million, either way. */
  readonly driftPpmMax: number;
};

export class ProcessClock {
  private readonly now: () => number;
  private readonly baseUs: number;
  private readonly driftPpm: number;
  private offsetUs: number;

  constructor(now: () => number, prng: Prng, options: ClockOptions) {
    assert(
      options.driftPpmMax >= 0 && options.driftPpmMax <= driftPpmMax,
      'drift beyond a tenth is not a clock',
    );
    this.now = now;
    this.baseUs = prng.between(0, 1_000_000_000);
    this.driftPpm = prng.between(-options.driftPpmMax, options.driftPpmMax);
    this.offsetUs = prng.between(-options.offsetUsMax, options.offsetUsMax);
  }

  /** Microseconds by this process's monotonic clock; only differences mean anything. */
  monotonicUs(): number {
    return this.baseUs + this.elapsedUs();
  }

  /** Microseconds since 1970 by this process's wall clock; may jump. */
  wallUs(): number {
    return wallStartUs + this.elapsedUs() + this.offsetUs;
  }

  /** True microseconds after which this clock will have advanced by at least `localUs`: timers never fire early. */
  worldDelayUs(localUs: number): number {
    assert(Number.isSafeInteger(localUs) && localUs >= 0, `bad delay ${localUs}`);
    const targetUs = this.elapsedUs() + localUs;
    // The estimate is within a microsecond or two of the answer; the loop settles it in integers.
    let delayUs = Math.max(0, Math.floor((localUs * 1_000_000) / (1_000_000 + this.driftPpm)) - 2);
    while (this.elapsedAt(this.now() + delayUs) < targetUs) delayUs += 1;
    return delayUs;
  }

  /** Moves the wall clock by `byUs`, as a careless time daemon would. */
  jump(byUs: number): void {
    assert(Number.isSafeInteger(byUs), `bad jump ${byUs}`);
    this.offsetUs += byUs;
  }

  private elapsedUs(): number {
    return this.elapsedAt(this.now());
  }

  /** In two parts so that the product stays a safe integer for years of virtual time. */
  private elapsedAt(worldUs: number): number {
    const seconds = Math.floor(worldUs / 1_000_000);
    const rest = worldUs - seconds * 1_000_000;
    return worldUs + seconds * this.driftPpm + Math.floor((rest * this.driftPpm) / 1_000_000);
  }
}
