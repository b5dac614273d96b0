/** In place of `storage/process/ticker.ts`: an interval of its own for each job, which fake timers can drive. */
export function everyOnGrid(periodMs: number, run: () => void): () => void {
  const timer = setInterval(run, periodMs);
  return () => clearInterval(timer);
}
