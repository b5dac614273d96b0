/** The two clocks of a process: one that people read, one that only goes forward. */

/** Wall clock, microseconds since the Unix epoch. Stamps commits and messages; nothing is decided by it. */
export const wallUs = (): number => Math.round((performance.timeOrigin + performance.now()) * 1000);

/** Monotonic clock, milliseconds since the process started. Leases and timeouts. */
export const monotonicMs = (): number => performance.now();

/** Runs something every `ms` milliseconds. @returns how to stop that. */
export function every(ms: number, run: () => void): () => void {
  const timer = setInterval(run, ms);
  return () => clearInterval(timer);
}
