/** A clock that all threads of a process read alike, whole milliseconds; `performance.now()` begins anew in each. */
export function sharedClockMs(): number {
  return Math.floor(Number(process.hrtime.bigint() / 1_000_000n));
}
