/**
 * What a failover can cost at most, in milliseconds of commits, known before the lost region is heard again. It counts from
 * the last moment when a survivor held all that the primary had called durable, until the primary can no longer have
 * acknowledged anything. It is a bound and no estimate: redo that never arrived cannot be counted.
 */
import type { RegionId } from '../../../storage/core.ts';
import type { LeaseLimits } from './lease.ts';
import type { Policy } from './policy.ts';

export interface ExposureQuestion {
  /** How long ago the survivor that holds most was last level with the primary; null when it never was. */
  readonly levelMsAgo: number | null;
  /** How long ago the holder's last renewal was first seen. */
  readonly stillMs: number;
  readonly lease: Pick<LeaseLimits, 'ttlMs'>;
  readonly policy: Pick<Policy, 'rpoMs'>;
  /** Every other region is heard. Else the one that an RPO waited for may be among those that are not. */
  readonly isEverybodyHeard: boolean;
}

/** @returns the bound in milliseconds; null when nothing bounds it. */
export function mostLostMs(question: ExposureQuestion): number | null {
  const { levelMsAgo, stillMs, lease, policy, isEverybodyHeard } = question;
  // No holder acknowledges later than its term after a renewal that was seen (R24).
  const endedMsAgo = stillMs - lease.ttlMs;
  const byLevel = levelMsAgo === null ? null : Math.max(0, levelMsAgo - endedMsAgo);
  const byRpo = isEverybodyHeard ? policy.rpoMs : null;
  const bounds = [byLevel, byRpo].filter((bound) => bound !== null);
  return bounds.length === 0 ? null : Math.round(Math.min(...bounds));
}

/** Why a failover is refused for what it might lose, in words for an operator. */
export function lossAboveBound(target: RegionId, lostMs: number | null, maxLossMs: number): string {
  const loss = lostMs === null ? 'nothing bounds what is lost' : `up to ${lostMs} ms of commits are lost`;
  return (
    `the policy allows a failover to lose ${maxLossMs} ms, and by going on in ${target} ${loss}. ` +
    'Begin it by hand (sextant failover --allow-data-loss), or allow more (sextant policy --max-loss-ms); an RPO ' +
    '(sextant policy --rpo-ms) keeps the loss within bounds beforehand'
  );
}
