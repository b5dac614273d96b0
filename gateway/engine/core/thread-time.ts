/** What a thread did with its time, as Linux counts it in `/proc/self/task/<thread>/stat`. Pure. */

export interface ThreadTime {
  /** CPU time since it was started, ms, in steps of 10. */
  readonly cpuMs: number;
  /** It runs, or waits for nothing but a CPU. */
  readonly wantsCpu: boolean;
}

/** One hundredth of a second, for every program on Linux. */
const tickMs = 10;

/** @returns null when the text is not of that form. */
export function threadTimeIn(stat: string): ThreadTime | null {
  // The name, in parentheses, may hold anything: the fields that count follow the last one.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[10]) + Number(fields[11]);
  return Number.isSafeInteger(ticks) ? { cpuMs: ticks * tickMs, wantsCpu: state === 'R' } : null;
}
