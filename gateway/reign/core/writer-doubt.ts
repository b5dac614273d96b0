/**
 * Whether the writer of this region, another gateway, is to be held for gone. Pure. The writer is asked several times a second
 * over NATS. When its process has ended, the server says at once that nobody listens; when it is frozen or cut off from NATS,
 * nothing comes back.
 *
 * G61. Only what was asked counts: while this gateway had no connection, was frozen, or the NATS server itself was silent, nothing
 *      is held against the writer.
 *
 * Doubt decides nothing by itself: whoever doubts seals the region's nodes against the writer's reign, and may then claim (R78).
 * A writer that was doubted for nothing loses its reign and the transactions open in it, so doubt needs more than one sign,
 * and none that this gateway may have missed because it was itself frozen or cut off.
 */

/** What came of asking the writer. `unable`: this gateway has no connection, so nothing can be said. */
export type WriterAnswer = 'alive' | 'nobody' | 'silent' | 'unable';

export type Doubt = 'none' | 'gone' | 'silent';

export interface DoubtLimits {
  /** From one question to the next. */
  readonly askMs: number;
  /** A question that is not answered for so long counts as silence. */
  readonly answerMs: number;
  /** So many times in turn nobody listened: its process has ended. A restart of the NATS server tells it once or twice of everybody. */
  readonly nobodyTimes: number;
  /** From so long on after this gateway's connection was made it counts that nobody listens: others connect again, too. */
  readonly settledMs: number;
  /** It has said nothing for so long, and was asked all the while. */
  readonly silentMs: number;
  /** This gateway did not run for so long: what it missed counts for nothing. */
  readonly asleepMs: number;
}

/**
 * A process that ends is told by the second question, hence within 150 ms. A frozen one suspends its own lease after 2.15 s
 * (`lease.ts`), and is taken over from a little before that. The main thread of a gateway runs no SQL: 1.5 s without a sign
 * are not a slow statement.
 */
export const defaultDoubtLimits: DoubtLimits = {
  askMs: 100,
  answerMs: 500,
  nobodyTimes: 2,
  settledMs: 2_000,
  silentMs: 1_500,
  asleepMs: 400,
};

/** Times are monotonic milliseconds of this process. */
export class WriterDoubt {
  private readonly limits: DoubtLimits;
  /** The start of a gateway that is watched; null while there is none. */
  private target: string | null = null;
  private lookedAtMs = 0;
  private aliveAtMs = 0;
  private askedAtMs = Number.NEGATIVE_INFINITY;
  private connectedSinceMs: number | null = null;
  private nobody = 0;
  private silences = 0;

  constructor(limits: DoubtLimits = defaultDoubtLimits) {
    this.limits = limits;
  }

  /**
   * To be called several times a second.
   * @param target the start of the gateway that writes in this region, when that is another one; else null.
   * @returns whether it is to be asked now; then `answered` has to follow. The next question does not wait for that: one that a
   * process got which ended then is never answered, and the next one is told so at once.
   */
  look(target: string | null, isConnected: boolean, nowMs: number): boolean {
    const slept = nowMs - this.lookedAtMs > this.limits.asleepMs;
    this.lookedAtMs = nowMs;
    if (!isConnected) this.connectedSinceMs = null;
    else this.connectedSinceMs ??= nowMs;
    if (target !== this.target || slept || !isConnected) this.begin(target, nowMs);
    if (target === null || !isConnected || nowMs - this.askedAtMs < this.limits.askMs) return false;
    this.askedAtMs = nowMs;
    return true;
  }

  /** @param target as it was when it was asked: an answer about another one is passed over. */
  answered(target: string, answer: WriterAnswer, nowMs: number): void {
    if (target !== this.target) return;
    switch (answer) {
      case 'alive':
        this.begin(target, nowMs);
        return;
      case 'unable':
        this.connectedSinceMs = null;
        this.begin(target, nowMs);
        return;
      case 'nobody':
        this.nobody += this.isSettled(nowMs) ? 1 : 0;
        return;
      case 'silent':
        this.silences += 1;
        return;
    }
  }

  doubt(nowMs: number): Doubt {
    const { nobodyTimes, silentMs } = this.limits;
    if (this.target === null) return 'none';
    if (this.nobody >= nobodyTimes) return 'gone';
    // One question that was lost is no silence, however long it took.
    return this.silences >= 2 && nowMs - this.aliveAtMs >= silentMs ? 'silent' : 'none';
  }

  /** What was seen counts no more: the nodes were sealed, or could not be. */
  forget(nowMs: number): void {
    this.begin(this.target, nowMs);
  }

  private isSettled(nowMs: number): boolean {
    return this.connectedSinceMs !== null && nowMs - this.connectedSinceMs >= this.limits.settledMs;
  }

  private begin(target: string | null, nowMs: number): void {
    this.target = target;
    this.aliveAtMs = nowMs;
    this.nobody = 0;
    this.silences = 0;
  }
}
