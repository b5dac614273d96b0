/**
 * What a process does again and again, in as few wake-ups as may be. Every period has a grid: the multiples of it on the clock
 * of the process. So jobs of one period are due together, and those of 250 ms fall on moments at which those of 50 ms are due too.
 * Pure: the owner keeps the clock and the timer.
 */

/**
 * A job may run so much early: timers are not exact, and another wake-up for the rest of the way costs more than it is worth. Of a
 * short period it is a part.
 */
const earlyMsMax = 10;
const earlyMsOf = (periodMs: number): number => Math.min(earlyMsMax, periodMs / 5);

export interface GridJob {
  readonly periodMs: number;
  readonly run: () => void;
  /** Not before that: a job that begins between two points of its grid first waits for half a period at least. */
  readonly notBeforeMs: number;
}

interface Group {
  dueMs: number;
  readonly jobs: Set<GridJob>;
}

/**
 * The point of the grid after the one that is nearest: half a period to one and a half away. Whoever runs late by less than half a
 * period is back on the grid with the next run, and whoever runs later never runs twice for it.
 */
export function nextOnGrid(nowMs: number, periodMs: number): number {
  return (Math.round(nowMs / periodMs) + 1) * periodMs;
}

export class TickGrid {
  /** By period. */
  private readonly groups = new Map<number, Group>();

  /** When the next job is due; null while there is none. */
  get dueMs(): number | null {
    let dueMs: number | null = null;
    for (const group of this.groups.values()) if (dueMs === null || group.dueMs < dueMs) dueMs = group.dueMs;
    return dueMs;
  }

  /** @param periodMs above 0. @returns the job, for `remove`. */
  add(nowMs: number, periodMs: number, run: () => void): GridJob {
    const job = { periodMs, run, notBeforeMs: nowMs + periodMs / 2 };
    const group = this.groups.get(periodMs) ?? { dueMs: nextOnGrid(nowMs, periodMs), jobs: new Set() };
    group.jobs.add(job);
    this.groups.set(periodMs, group);
    return job;
  }

  /** It is never due any more. */
  remove(job: GridJob): void {
    const group = this.groups.get(job.periodMs);
    group?.jobs.delete(job);
    if (group?.jobs.size === 0) this.groups.delete(job.periodMs);
  }

  /** Whether the job was not removed. */
  has(job: GridJob): boolean {
    return this.groups.get(job.periodMs)?.jobs.has(job) ?? false;
  }

  /** The jobs that are due now, in the order in which they were added within a period; each is due again at its next point. */
  take(nowMs: number): readonly GridJob[] {
    const due: GridJob[] = [];
    for (const [periodMs, group] of this.groups) {
      const untilMs = nowMs + earlyMsOf(periodMs);
      if (group.dueMs > untilMs) continue;
      group.dueMs = nextOnGrid(nowMs, periodMs);
      for (const job of group.jobs) if (job.notBeforeMs <= untilMs) due.push(job);
    }
    return due;
  }
}
