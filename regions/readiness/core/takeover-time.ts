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

/** How long nobody could write. @param isHeld somebody holds the lease, which has to lapse first. */
export function failoverTime(took: Took, isHeld: boolean, { ttlMs, marginMs }: LeaseLimits): TakeoverTime {
  const leaseMs = isHeld ? ttlMs + marginMs : 0;
  const waits = isHeld
    ? `at most ${leaseMs} ms until the lost writer's lease has lapsed`
    : 'no lease to wait for';
  return took.promotionMs === null
    ? {
        aboutMs: leaseMs + promotionGuessMs,
        madeOf: `${waits}, and at most ${promotionGuessMs} ms to recover; none was measured yet`,
      }
    : { aboutMs: leaseMs + took.promotionMs, madeOf: `${waits}, and what its last promotion took` };
}
