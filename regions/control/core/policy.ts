/**
 * What an operator has decided beforehand: whether a failover may begin by itself, what it may cost, and how far writes may
 * run ahead of the other regions. It lies in the control record, so that whoever decides by it decides by the newest one
 * that its compare-and-set proves.
 */
import type { RegionId } from '../../../storage/core.ts';

export interface Policy {
  /** Whether a failover begins by itself when the primary is lost. */
  readonly automatic: boolean;
  /** The most that a failover that begins by itself may lose, in milliseconds of commits; null for any. */
  readonly maxLossMs: number | null;
  /**
   * How long a commit may be durable in the primary region alone, in milliseconds: an answer waits while every secondary is
   * further behind. 0: it waits until one more region has it durable. Null: it waits for no other region.
   */
  readonly rpoMs: number | null;
  /** Regions to fail over to, the best first: what another one holds beyond it is fetched first. The one that holds most when empty. */
  readonly prefer: readonly RegionId[];
}

/** What holds where nobody has decided: a person starts a failover, and no write waits for another region. */
export const defaultPolicy: Policy = { automatic: false, maxLossMs: null, rpoMs: null, prefer: [] };

export const policyLimits = {
  /** A day. A bound that is longer than anybody waits for is none. */
  lossMsMax: 86_400_000,
  /** An hour: answers that wait hold clients, and none waits so long. */
  rpoMsMax: 3_600_000,
  /** With fewer regions nobody could tell a lost primary from a cut link: suspicion takes a majority of the others. */
  automaticRegionsMin: 3,
} as const;

/** A change of the policy: what is left out stays as it is. */
export type PolicyChange = Partial<Policy>;

export function changedPolicy(policy: Policy, change: PolicyChange): Policy {
  return { ...policy, ...change };
}

export function samePolicy(a: Policy, b: Policy): boolean {
  return (
    a.automatic === b.automatic &&
    a.maxLossMs === b.maxLossMs &&
    a.rpoMs === b.rpoMs &&
    a.prefer.length === b.prefer.length &&
    a.prefer.every((region, at) => region === b.prefer[at])
  );
}

/** Why no failover begins by itself in a deployment of so many regions, in words for an operator; null when one may. */
export function whyNotAutomatic({ automatic }: Pick<Policy, 'automatic'>, regions: number): string | null {
  if (regions < policyLimits.automaticRegionsMin)
    return `with ${regions === 1 ? 'one region' : `${regions} regions`} it never begins by itself without a witness: who is left cannot tell a lost primary from a cut link`;
  return automatic ? null : 'the policy leaves it to a person (sextant policy --automatic on)';
}

/**
 * Why a deployment of these regions cannot keep a policy: the field, its limit and the way out, in words for an operator.
 * Null when it can.
 */
export function policyProblem(policy: Policy, regions: readonly RegionId[]): string | null {
  const { automatic, maxLossMs, rpoMs, prefer } = policy;
  const { lossMsMax, rpoMsMax, automaticRegionsMin } = policyLimits;
  if (automatic && regions.length < automaticRegionsMin) {
    return (
      `automatic: this deployment has ${regions.length === 1 ? 'one region' : `${regions.length} regions`}, and with two regions a failover is never automatic ` +
      'without a witness: the one that is left cannot tell a lost primary from a cut link. Add a third region, or keep ' +
      'automatic off and begin failovers by hand (sextant failover)'
    );
  }
  if (!isDuration(maxLossMs, lossMsMax))
    return `maxLossMs: ${maxLossMs} is no whole number from 0 to ${lossMsMax} (a day); null (--max-loss-ms none) sets no bound`;
  if (!isDuration(rpoMs, rpoMsMax))
    return `rpoMs: ${rpoMs} is no whole number from 0 to ${rpoMsMax} (an hour); null (--rpo-ms off) lets no write wait for another region`;
  if (rpoMs !== null && regions.length < 2)
    return 'rpoMs: this deployment has one region, so there is no other that could hold a write; null (--rpo-ms off) is what it can keep';
  const stranger = prefer.find((name) => !regions.includes(name));
  if (stranger !== undefined)
    return `prefer: there is no region ${stranger}; there are ${regions.join(', ')}`;
  const twice = prefer.find((name, at) => prefer.indexOf(name) !== at);
  if (twice !== undefined) return `prefer: ${twice} stands there twice; name each region once at most`;
  return null;
}

function isDuration(ms: number | null, msMax: number): boolean {
  return ms === null || (Number.isSafeInteger(ms) && ms >= 0 && ms <= msMax);
}
