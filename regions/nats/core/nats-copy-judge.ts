/**
 * Decides when a NATS server of a local deployment is started again because of its copy of the control record: its store was
 * deleted under it (which it does not notice: it goes on with files that have no name, and would start empty), or its copy
 * has not been current for long although it runs and its routes are there. A server that starts empty takes a copy from the
 * others, so the others have to be a majority by themselves, and one server is started at a time.
 */

/** One look at one server. Times are monotonic milliseconds. */
export interface CopyLook {
  /** It runs, and nobody has frozen it or cut it off. */
  readonly isReachable: boolean;
  /** It should have a store, and the directory is not there. */
  readonly isStoreGone: boolean;
  /** What the leader of the copies says; null while nobody says anything. */
  readonly isCurrent: boolean | null;
  /** Servers with a current copy besides this one whose stores are there. */
  readonly othersCurrent: number;
  /** Servers that keep copies. */
  readonly voters: number;
}

export const copyJudgeLimits = {
  /** A store that is gone for so long is not one that is just being made. */
  goneMs: 2_000,
  /** After a cut is healed 2.9 took 20 s, with an election, until the copy was current. */
  lostMs: 45_000,
  backoffMinMs: 60_000,
  backoffMaxMs: 600_000,
} as const;

export class CopyJudge {
  private goneSinceMs: number | null = null;
  private lostSinceMs: number | null = null;
  private notBeforeMs = Number.NEGATIVE_INFINITY;
  private backoffMs: number = copyJudgeLimits.backoffMinMs;
  private reason: string | null = null;

  /** What is wrong with the server's copy, in words; null while nothing is. */
  get trouble(): string | null {
    return this.reason;
  }

  /** @returns whether the server has to be started again now. */
  judge(look: CopyLook, nowMs: number): boolean {
    const { isReachable, isStoreGone, isCurrent } = look;
    this.goneSinceMs = isStoreGone && isReachable ? (this.goneSinceMs ?? nowMs) : null;
    this.lostSinceMs = isCurrent === false && isReachable ? (this.lostSinceMs ?? nowMs) : null;
    const isGone = this.goneSinceMs !== null && nowMs - this.goneSinceMs >= copyJudgeLimits.goneMs;
    const isLost = this.lostSinceMs !== null && nowMs - this.lostSinceMs >= copyJudgeLimits.lostMs;
    if (isCurrent === true && !isStoreGone) this.backoffMs = copyJudgeLimits.backoffMinMs;
    this.reason = isGone || isLost ? this.words(look, isGone) : null;
    if (this.reason === null || !hasMajority(look) || nowMs < this.notBeforeMs) return false;
    this.notBeforeMs = nowMs + this.backoffMs;
    this.backoffMs = Math.min(copyJudgeLimits.backoffMaxMs, 2 * this.backoffMs);
    this.goneSinceMs = null;
    this.lostSinceMs = null;
    return true;
  }

  private words(look: CopyLook, isGone: boolean): string {
    const what = isGone
      ? 'its store was deleted while it runs'
      : 'it has no current copy of the control record, and no vote';
    if (hasMajority(look)) return `${what}: it is started again, and takes a copy from the others`;
    return look.voters === 1
      ? `${what}, and there is no other copy: do not stop it before the data is backed up; \`sextant control rebuild\` makes the record anew`
      : `${what}, and only ${look.othersCurrent} of the other ${look.voters - 1} servers have a copy: start those first`;
  }
}

/** Whether the others decide without this server. */
const hasMajority = ({ othersCurrent, voters }: CopyLook): boolean =>
  voters > 1 && othersCurrent >= Math.floor(voters / 2) + 1;
