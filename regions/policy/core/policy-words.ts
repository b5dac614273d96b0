/** What each field of a policy means, in words for people. */
import { defaultLeaseLimits } from '../../control/core/lease.ts';
import type { Policy } from '../../control/core/policy.ts';

/** One field: as the command line names it, its value as it is given there, and what it means. */
export interface PolicyLine {
  readonly option: 'automatic' | 'max-loss-ms' | 'rpo-ms' | 'prefer';
  readonly value: string;
  readonly meaning: string;
}

export function describePolicy(
  policy: Pick<Policy, 'automatic' | 'maxLossMs' | 'rpoMs'> & PreferNames,
): readonly PolicyLine[] {
  const { automatic, maxLossMs, rpoMs, prefer } = policy;
  return [
    {
      option: 'automatic',
      value: automatic ? 'on' : 'off',
      meaning: automatic
        ? 'a failover begins by itself when most of the other regions have lost the primary'
        : 'a failover begins when a person starts it (sextant failover)',
    },
    {
      option: 'max-loss-ms',
      value: maxLossMs === null ? 'none' : `${maxLossMs}`,
      meaning:
        maxLossMs === null
          ? 'a failover that begins by itself may lose any writes that had not reached the target'
          : maxLossMeaning(maxLossMs, rpoMs),
    },
    { option: 'rpo-ms', value: rpoMs === null ? 'off' : `${rpoMs}`, meaning: rpoMeaning(rpoMs) },
    {
      option: 'prefer',
      value: prefer.length === 0 ? 'none' : prefer.join(','),
      meaning:
        prefer.length === 0
          ? 'a failover that begins by itself goes to the region that holds most'
          : `a failover that begins by itself goes to ${prefer[0]} if it can; what others hold beyond it is fetched first`,
    },
  ];
}

/** A writer that is cut off may go on for its lease's term, so that no smaller loss can be promised without an RPO. */
function maxLossMeaning(maxLossMs: number, rpoMs: number | null): string {
  const refused = `a failover that begins by itself is refused when more than ${maxLossMs} ms of writes may be lost`;
  const { ttlMs } = defaultLeaseLimits;
  const isMet = maxLossMs > ttlMs || (rpoMs !== null && rpoMs <= maxLossMs);
  return isMet
    ? refused
    : `${refused}, and without an RPO within it that is always so: a writer that is cut off may go on for ${ttlMs} ms`;
}

type PreferNames = { readonly prefer: readonly string[] };

function rpoMeaning(rpoMs: number | null): string {
  if (rpoMs === null)
    return 'a write is answered once the primary region has it durable; a failover may lose what had not arrived';
  if (rpoMs === 0)
    return 'an answer leaves once one more region has the write durable; a failover there loses no write that was answered';
  return `answers wait while every secondary is more than ${rpoMs} ms behind; a failover to the best one loses at most ${rpoMs} ms of writes that were answered`;
}
