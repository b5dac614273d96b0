/** The clock of every drill of this machine: the operating system's monotonic clock is the same one in all processes. */
import { DrillClock } from '../core/drill-clock.ts';

const nsPerMs = 1e6;

export const drillClock = new DrillClock({
  monotonicMs: () => Number(process.hrtime.bigint()) / nsPerMs,
  wallMs: () => Date.now(),
});

/** A moment of that clock in ISO 8601. */
export const isoOf = (atMs: number): string => new Date(drillClock.wallOf(atMs)).toISOString();
