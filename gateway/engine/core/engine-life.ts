/**
 * Whether an engine's thread gets anywhere. Pure. It is looked at now and then; only time between two looks in which the
 * looker itself ran counts, so that a process that was stopped, or starved, does not take its threads for stuck.
 */

/** More than this between two looks says that the looker did not run either. */
const stepMaxMs = 500;

export class EngineLife {
  private life = 0;
  private lookedAtMs = 0;
  private silence = 0;

  /** The thread had nothing to do up to now. */
  rested(nowMs: number): void {
    this.silence = 0;
    this.lookedAtMs = nowMs;
  }

  /** @param life moves whenever the thread gets on. @param busy it has something to do. */
  look(life: number, busy: boolean, nowMs: number): void {
    if (!busy || life !== this.life) this.silence = 0;
    else this.silence += Math.min(stepMaxMs, nowMs - this.lookedAtMs);
    this.life = life;
    this.lookedAtMs = nowMs;
  }

  /** For how long it has given no sign of life although it has something to do. */
  get silentMs(): number {
    return this.silence;
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
