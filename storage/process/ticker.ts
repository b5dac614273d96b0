/**
 * One timer for all that this process does again and again (`core/tick-grid.ts`). A timer of its own for each wakes an idle process
 * as often as there are timers; on the grid they share a wake-up, and a wake-up is most of what a short turn costs.
 */
import { TickGrid } from './core/tick-grid.ts';

const grid = new TickGrid();
/** Jobs that keep the process alive. */
let holding = 0;
let armed: { readonly timer: NodeJS.Timeout; readonly dueMs: number } | null = null;

/**
 * Runs something every `periodMs`, on the grid of that period: for the first time after half a period to one and a half.
 * @param holds whether the process stays alive for it.
 * @returns how to stop it.
 */
export function everyOnGrid(periodMs: number, run: () => void, holds: boolean): () => void {
  const job = grid.add(performance.now(), periodMs, run);
  if (holds) holding += 1;
  arm();
  return () => {
    if (!grid.has(job)) return;
    grid.remove(job);
    if (holds) holding -= 1;
    arm();
  };
}

function arm(): void {
  const { dueMs } = grid;
  if (armed !== null && armed.dueMs !== dueMs) {
    clearTimeout(armed.timer);
    armed = null;
  }
  if (dueMs === null) return;
  armed ??= { timer: setTimeout(wake, Math.max(0, Math.ceil(dueMs - performance.now()))), dueMs };
  if (holding > 0) armed.timer.ref();
  else armed.timer.unref();
}

function wake(): void {
  armed = null;
  const due = grid.take(performance.now());
  // Before anything runs: a job that throws ends the turn, and not those that come after.
  arm();
  for (const job of due) if (grid.has(job)) job.run();
}
