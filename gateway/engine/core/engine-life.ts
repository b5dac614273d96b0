/**
 * Whether an engine's thread gets anywhere. Pure. It is looked at now and then; only time between two looks in which the
 * looker itself ran counts, so that a process that was stopped, or starved, does not take its threads for stuck.
 *
 * Silence alone does not say why. A thread in one long call that gets no CPU, since the machine has too much to do, is as silent
 * as one that spins for good. So what is held against a thread is what it did with the time: the CPU it used, and the time it slept.
 */
/** More than this between two looks says that the looker did not run either. */
const stepMaxMs = 500;
/** Asking the system what a thread does costs some microseconds: a silent one is asked about this often. */
const weighEveryMs = 100;

/** What a thread did with its time, as Linux counts it in `/proc/self/task/<thread>/stat`. */
export interface ThreadTime {
  /** CPU time since it was started, ms, in steps of 10. */
  readonly cpuMs: number;
  /** It runs, or waits for nothing but a CPU. */
  readonly wantsCpu: boolean;
}

/** One hundredth of a second, for every program on Linux. */
const tickMs = 10;

/** @param stat the text of that file. @returns null when it is not of that form. */
export function threadTimeIn(stat: string): ThreadTime | null {
  // The name, in parentheses, may hold anything: the fields that count follow the last one.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[10]) + Number(fields[11]);
  return Number.isSafeInteger(ticks) ? { cpuMs: ticks * tickMs, wantsCpu: state === 'R' } : null;
}

export class EngineLife {
  private life = 0;
  private lookedAtMs = 0;
  private silence = 0;
  private stuck = 0;
  /** How much of the silence is accounted for. */
  private weighed = 0;
  /** What the thread had done by then; null when that is not known. */
  private time: ThreadTime | null = null;

  /** The thread had nothing to do up to now. */
  rested(nowMs: number): void {
    this.lives();
    this.lookedAtMs = nowMs;
  }

  /** @param life moves whenever the thread gets on. @param busy it has something to do. */
  look(life: number, busy: boolean, nowMs: number): void {
    if (!busy || life !== this.life) this.lives();
    else this.silence += Math.min(stepMaxMs, nowMs - this.lookedAtMs);
    this.life = life;
    this.lookedAtMs = nowMs;
  }

  private lives(): void {
    this.silence = 0;
    this.stuck = 0;
    this.weighed = 0;
    this.time = null;
  }

  /** Whether `weigh` is to be told what a silent thread did with the time. */
  get isDue(): boolean {
    return this.silence > 0 && (this.weighed === 0 || this.silence - this.weighed >= weighEveryMs);
  }

  /**
   * Accounts for the silence since the last call. What the thread did before the first one is not known, and not held against it.
   * @param time null where the system does not say: then all silence counts.
   */
  weigh(time: ThreadTime | null): void {
    const ms = this.silence - this.weighed;
    if (time === null) this.stuck += ms;
    else if (this.time !== null) {
      const cpuMs = time.cpuMs - this.time.cpuMs;
      this.stuck += time.wantsCpu || cpuMs > 0 ? cpuMs : ms;
    }
    this.weighed = this.silence;
    this.time = time;
  }

  /** For how long it has given no sign of life although it has something to do. */
  get silentMs(): number {
    return this.silence;
  }

  /** How much of that it has computed, or slept: not waited for a CPU. This says whether it is stuck. */
  get stuckMs(): number {
    return this.stuck;
  }
}

/**
 * Which operations were sent long ago, at no cost for each of them: now and then it is noted which one was sent last, so that
 * all up to that are at least as old.
 */
export class SentMarks {
  private marks: { readonly last: number; readonly atMs: number }[] = [];

  /** Notes the number of the operation sent last. */
  note(last: number, nowMs: number): void {
    this.marks.push({ last, atMs: nowMs });
  }

  /** The last operation that was sent `ageMs` ago or earlier, as far as was noted; null when none is known to be that old. */
  olderThan(ageMs: number, nowMs: number): number | null {
    const old = this.marks.filter(({ atMs }) => nowMs - atMs >= ageMs);
    this.marks.splice(0, Math.max(0, old.length - 1));
    return old.at(-1)?.last ?? null;
  }
}
