/**
 * How late the event loop is, by a timer that observes its own lateness. A loop with something to do is probed often; one that has
 * been at rest for a second is probed once a second, since the probe alone would wake it twenty times.
 */
import { performance } from 'node:perf_hooks';

export const loopProbeLimits = {
  /** Milliseconds from one probe to the next. */
  everyMs: 50,
  /** The same of a loop at rest. */
  restingMs: 1_000,
  /** Quiet probes in a row after which the loop is at rest. */
  quietProbes: 20,
  /** A loop that was busy for a larger share of the time is not quiet; nor is one that ran its probe later than this. */
  quietShare: 0.1,
  quietDelayMs: 50,
} as const;

/** When to probe next. Any probe that was not quiet ends the rest: a loop that is kept waiting by others, too. */
export class ProbePace {
  private quiet = 0;

  /** @param delayMs how late the probe was. @param busyShare of the time since the one before, from 0 to 1. @returns milliseconds to the next. */
  next(delayMs: number, busyShare: number): number {
    const { everyMs, restingMs, quietProbes, quietShare, quietDelayMs } = loopProbeLimits;
    const isQuiet = delayMs <= quietDelayMs && busyShare <= quietShare;
    this.quiet = isQuiet ? this.quiet + 1 : 0;
    return this.quiet >= quietProbes ? restingMs : everyMs;
  }
}

/** Tells `observe` how late each probe was, in seconds; keeps no process alive. @returns how to end it. */
export function watchLoop(observe: (delaySeconds: number) => void): () => void {
  const pace = new ProbePace();
  let before = performance.eventLoopUtilization();
  let dueMs = performance.now() + loopProbeLimits.everyMs;
  let timer: NodeJS.Timeout;
  const probe = (): void => {
    const nowMs = performance.now();
    const delayMs = Math.max(0, nowMs - dueMs);
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    const waitMs = pace.next(delayMs, utilization);
    dueMs = nowMs + waitMs;
    timer = setTimeout(probe, waitMs).unref();
    observe(delayMs / 1_000);
  };
  timer = setTimeout(probe, loopProbeLimits.everyMs).unref();
  return () => clearTimeout(timer);
}
