/**
 * How much of a thread's time statements may take that are answered where they arrive, and whether another one is worth trying. Pure.
 * A pipeline of thousands of statements would otherwise keep a thread from everything else for as long as it runs.
 */

/** In each window of so long statements may take so much, milliseconds. */
export const quickWindow = { lengthMs: 10, shareMs: 4 } as const;

/**
 * Where a crowd reads, the way to other threads is shared by many statements, and this thread is the one that has most to do. So only
 * so many are answered here in one turn of the event loop, and none for a while after so many were seen on other threads.
 */
export const quickCrowd = { inTurn: 4, beside: 2, restMs: 20 } as const;

/** Of so many tries the last ones are remembered. */
const memory = 16;
/** While more than half of them lacked a page, one in so many is tried: it brings its pages for the next. */
const tryOneIn = 8;

export class QuickShare {
  private sinceMs = Number.NEGATIVE_INFINITY;
  private spentMs = 0;
  private inTurn = 0;
  private crowdedUntilMs = Number.NEGATIVE_INFINITY;
  private found = 1;
  private skipped = 0;

  /** A turn of the event loop is over. */
  turned(): void {
    this.inTurn = 0;
  }

  /** Whether a statement may begin. @param beside statements that other threads have now */
  allows(nowMs: number, beside: number): boolean {
    if (beside >= quickCrowd.beside) this.crowdedUntilMs = nowMs + quickCrowd.restMs;
    if (nowMs < this.crowdedUntilMs || this.inTurn >= quickCrowd.inTurn) return false;
    if (nowMs - this.sinceMs >= quickWindow.lengthMs) {
      this.sinceMs = nowMs;
      this.spentMs = 0;
    }
    if (this.spentMs >= quickWindow.shareMs) return false;
    if (this.found >= 0.5) return true;
    this.skipped = (this.skipped + 1) % tryOneIn;
    return this.skipped === 0;
  }

  /** One took so long. @param foundPages whether it lacked none. @returns whether it was the first of its turn: `turned` is due after it. */
  took(ms: number, foundPages: boolean): boolean {
    this.inTurn += 1;
    this.spentMs += ms;
    this.found += (Number(foundPages) - this.found) / memory;
    return this.inTurn === 1;
  }
}
