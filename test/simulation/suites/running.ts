/** What the suites of whole deployments have in common: runs, and what the judges said of them. */
import { expect } from 'vitest';
import { simulate } from '../deployment/deployment.ts';
import type { Scenario } from '../deployment/scenarios.ts';
import type { Defect } from '../deployment/sim-types.ts';
import type { Verdict } from '../judges/judge.ts';
import type { RunResult } from '../run-seeds.ts';

/** A run takes one to five seconds, and several times as long on a machine that is busy with other things. */
export const slow = { timeout: 300_000 };

/** What the judges and the invariants objected to. */
export const objections = (result: RunResult): readonly string[] => [
  ...(result.crash === undefined ? [] : [result.crash]),
  ...result.violations.map(({ judge, verdict, text }) => `${judge} (${verdict}): ${text}`),
];

/** Runs a scenario and expects no objection. @returns the sums of what happened in all of its runs. */
export async function allWell(scenario: Scenario, seeds: readonly number[]): Promise<Record<string, number>> {
  const totals: Record<string, number> = {};
  for (const seed of seeds) {
    const result = await simulate(seed, 'swarm', { adjust: scenario });
    expect([seed, objections(result)]).toEqual([seed, []]);
    for (const [name, count] of Object.entries(result.stats)) totals[name] = (totals[name] ?? 0) + count;
  }
  return totals;
}

/** Which defect, under which scenario, in how many seeds at most it has to be seen. */
export type Planted = {
  readonly defects: readonly Defect[];
  readonly scenario: Scenario;
  readonly seeds: number;
  /** The seed to begin with: one under which it is known to be seen. The others follow. */
  readonly first?: number;
  readonly verdict?: Verdict;
};

/** Seeds that are well without a defect, by scenario: several defects are looked for under one. */
const well = new Map<Scenario, Set<number>>();

/**
 * Runs seeds until a judge objects to what was broken, and expects that it does not when nothing is.
 * @returns the judges that objected; none when no seed showed anything.
 */
export async function objectors(planted: Planted): Promise<readonly string[]> {
  const { defects, scenario, seeds, first = 0, verdict = 'correctness' } = planted;
  for (let run = 0; run < seeds; run += 1) {
    const seed = (first + run) % seeds;
    const broken = await simulate(seed, 'swarm', { defects, adjust: scenario });
    const found = broken.violations.filter((violation) => violation.verdict === verdict);
    if (found.length === 0) continue;
    const known = well.get(scenario) ?? new Set();
    if (!known.has(seed)) await allWell(scenario, [seed]);
    well.set(scenario, known.add(seed));
    return [...new Set(found.map((violation) => violation.judge))];
  }
  return [];
}
