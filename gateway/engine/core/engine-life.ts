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
