/** The two clocks of a process: one that people read, one that only goes forward. */

import { wallClock } from './core/wall-offset.ts';
import { everyOnGrid } from './ticker.ts';

/** Wall clock, microseconds since the Unix epoch. Stamps commits and messages; nothing is decided by it. */
export const wallUs = wallClock({
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  offsetMs: performance.timeOrigin,
});

/** Monotonic clock, milliseconds since the process started. Leases and timeouts. */
export const monotonicMs = (): number => performance.now();

/** Runs something every `ms` milliseconds; see `ticker.ts`. @returns how to stop that. */
export const every = (ms: number, run: () => void): (() => void) => everyOnGrid(ms, run, true);

/** The same, and the process does not stay alive for it. */
export const everyBeside = (ms: number, run: () => void): (() => void) => everyOnGrid(ms, run, false);
