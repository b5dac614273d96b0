/** Six regions that fail over by themselves, under clocks that drift, processes that freeze, and regions that do. */
import { describe, expect, it } from 'vitest';
import { simulate } from '../deployment/deployment.ts';
import { sixRegions } from '../deployment/scenarios.ts';
import { allWell, objections, slow } from './running.ts';

describe('six regions with the policy on', { retry: 0 }, () => {
  it('keep every promise while they drift and freeze, and fail over by themselves', slow, async () => {
    const { automatic, acked } = await allWell(sixRegions, [0, 310_020]);
    expect(automatic).toBeGreaterThan(0);
    expect(acked).toBeGreaterThan(100);
  });

  it(
    'find the log that a branch needs, which is lost where a region lets go of more than is promised (R96)',
    slow,
    async () => {
      const seed = 1_300_911;
      expect(objections(await simulate(seed, 'six-regions'))).toEqual([]);
      const broken = await simulate(seed, 'six-regions', { defects: ['lets-go-unpromised'] });
      expect(broken.violations.map(({ judge }) => judge)).toContain('branches');
    },
  );
});
