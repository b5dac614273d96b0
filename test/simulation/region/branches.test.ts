/** Branches over faulty nodes, each run from one seed. `SEXTANT_CORE_SEEDS=1 SEXTANT_CORE_FIRST_SEED=<seed>` runs one again. */
import { describe, expect, it } from 'vitest';
import { type BranchDefect, branchReigns } from './branch-reigns.ts';

const { SEXTANT_CORE_SEEDS = '12', SEXTANT_CORE_FIRST_SEED = '1' } = process.env;
const seeds = Number(SEXTANT_CORE_SEEDS);
const firstSeed = Number(SEXTANT_CORE_FIRST_SEED);
const runs = Array.from({ length: seeds }, (_, at) => firstSeed + at);

function complaintOf(defect: BranchDefect): string {
  for (const seed of runs)
    try {
      branchReigns(seed, true, defect);
    } catch (error) {
      return String(error);
    }
  return 'none';
}

describe('branches over six faulty nodes', { retry: 0 }, () => {
  it(`lose nothing and fence only themselves, in ${seeds} runs`, { timeout: 300_000 }, () => {
    const sum = { announced: 0, reigns: 0, rewinds: 0, branches: 0, wipes: 0, deleted: 0, drops: 0 };
    for (const seed of runs) {
      const run = branchReigns(seed, seed % 2 === 0);
      for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += run[key];
    }
    // The runs are worth something only when much happened in them.
    expect(sum.announced).toBeGreaterThan(20 * seeds);
    expect(sum.reigns).toBeGreaterThan(3 * seeds);
    expect(sum.branches).toBeGreaterThan(seeds);
    if (seeds < 10) return;
    expect(sum.rewinds).toBeGreaterThan(0);
    expect(sum.wipes).toBeGreaterThan(0);
    expect(sum.deleted).toBeGreaterThan(0);
    expect(sum.drops).toBeGreaterThan(0);
  });

  it('lose no copy that a recovery brought to a node a moment before that drops older log', {
    timeout: 60_000,
  }, () => {
    // S20: its newest log file held both, and nobody had said yet that the newer part is durable.
    expect(branchReigns(160, true).drops).toBeGreaterThan(0);
  });

  it('run the same way twice from one seed', { timeout: 60_000 }, () => {
    expect(branchReigns(firstSeed, true)).toEqual(branchReigns(firstSeed, true));
  });

  it.each([
    ['leaks-seals', /S32/],
    ['forgets-branches', /lacks|refuses a reader|stands still|never caught up|no frame|is on \d nodes/],
  ] as const)('are seen to suffer when somebody %s', { timeout: 120_000 }, (defect, complaint) => {
    expect(complaintOf(defect)).toMatch(complaint);
  });
});
