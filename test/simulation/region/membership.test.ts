/** Storage nodes are replaced among faults, each run from one seed. */
import { describe, expect, it } from 'vitest';
import { membersAfter } from '../../../storage/members/core/membership.ts';
import { type QuorumSets, setsOf } from '../../../storage/members/core/quorum-sets.ts';
import { sixMembers, sixNodes } from '../../storage/samples.ts';
import { Writer } from './cluster-writer.ts';
import { replacements } from './replacements.ts';

/** `SEXTANT_CORE_SEEDS=1 SEXTANT_CORE_FIRST_SEED=<seed>` runs one seed again. */
const { SEXTANT_CORE_SEEDS = '20', SEXTANT_CORE_FIRST_SEED = '1' } = process.env;
const seeds = Number(SEXTANT_CORE_SEEDS);
const firstSeed = Number(SEXTANT_CORE_FIRST_SEED);

/** The defect: during a replacement four of the new set are enough for it. */
class HastyWriter extends Writer {
  protected override get counted(): QuorumSets {
    return [membersAfter(this.belief.membership).map(({ node }) => node)];
  }
}

describe('replacing storage nodes among faults', { retry: 0 }, () => {
  it(`S27, S28, S30: loses nothing that was called durable, in ${seeds} runs`, { timeout: 300_000 }, () => {
    let [announced, replaced, reverted] = [0, 0, 0];
    for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
      const run = replacements(seed);
      announced += run.announced;
      replaced += run.replaced;
      reverted += run.reverted;
    }
    // The runs are worth something only when much was durable and many nodes were replaced, or nearly.
    expect(announced).toBeGreaterThan(20 * seeds);
    expect(replaced).toBeGreaterThan(seeds / 2);
    expect(reverted).toBeGreaterThan(seeds / 10);
  });

  it('catches a writer that is content with four of the new set', { timeout: 60_000 }, () => {
    const caught = [1, 2, 3, 4, 5].flatMap((seed) => {
      try {
        replacements(seed, HastyWriter);
        return [];
      } catch (error) {
        return [error instanceof Error ? error.message : String(error)];
      }
    });
    expect(caught.length).toBeGreaterThan(0);
    expect(caught[0]).toMatch(/durable with 3 copies|called .* durable, epoch/);
  });

  it('runs the same way twice from one seed', { timeout: 30_000 }, () => {
    expect(replacements(firstSeed)).toEqual(replacements(firstSeed));
  });

  it('has sets of a membership that it was told of', () => {
    expect(setsOf(sixMembers)).toEqual([sixNodes]);
  });
});
