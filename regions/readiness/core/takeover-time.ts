/** About how long a move would take, and what that figure is made of: what was measured here, else a bound that is said to be one. */
import type { LeaseLimits } from '../../control/core/lease.ts';
import { moveLimits } from '../../control/core/move-limits.ts';
import type { Took } from './move-stopwatch.ts';

/** Until a promotion was measured: what recovering the volume of a lost writer takes, as measured with 1 GiB, and some more. */
export const promotionGuessMs = 1_500;

export interface TakeoverTime {
  readonly aboutMs: number;
  /** In words. */
  readonly madeOf: string;
}

/** How long writes would wait. @param lagMs what the target has to catch up with while they wait. */
export function switchoverTime(took: Took, lagMs: number): TakeoverTime {
  if (took.switchoverMs !== null)
    return { aboutMs: took.switchoverMs, madeOf: 'what the last switchover to it took' };
  const { drainMs } = moveLimits;
  return {
    aboutMs: drainMs + lagMs + promotionGuessMs,
    madeOf: `at most: ${drainMs} ms to drain, ${lagMs} ms of lag, ${promotionGuessMs} ms to recover; none was measured yet`,
  };
}

/** What a failover has to wait for before it may begin. */
export interface FailoverWait {
  /** Somebody holds the lease, which has to lapse first. */
  readonly isHeld: boolean;
  /**
   * The primary has told of redo that the target lacks: while it may be alive, that is no reason to give the redo up. It counts as
   * lost once it has not been heard for `silenceMs`. Null where it has told of no more.
   */
  readonly primary: { readonly name: string; readonly silenceMs: number } | null;
}

/** How long nobody could write. */
export function failoverTime(took: Took, wait: FailoverWait, lease: LeaseLimits): TakeoverTime {
  const { ms, words } = longestWait(wait, lease);
  return took.promotionMs === null
    ? {
        aboutMs: ms + promotionGuessMs,
        madeOf: `${words}, and at most ${promotionGuessMs} ms to recover; none was measured yet`,
      }
    : { aboutMs: ms + took.promotionMs, madeOf: `${words}, and what its last promotion took` };
}

/** Both waits begin with the loss of the primary, so that the longer one counts. */
function longestWait(
  { isHeld, primary }: FailoverWait,
  { ttlMs, marginMs }: LeaseLimits,
): { readonly ms: number; readonly words: string } {
  const leaseMs = isHeld ? ttlMs + marginMs : 0;
  if (primary !== null && primary.silenceMs > leaseMs)
    return {
      ms: primary.silenceMs,
      words: `at most ${primary.silenceMs} ms until ${primary.name}, which has told of redo that is not here yet, has been silent for so long`,
    };
  if (!isHeld) return { ms: 0, words: 'no lease to wait for' };
  return { ms: leaseMs, words: `at most ${leaseMs} ms until the lost writer's lease has lapsed` };
}
