/** Six regions that fail over by themselves, under clocks that drift, processes that freeze, and regions that do. */
import { describe, expect, it } from 'vitest';
import { sixRegions } from '../deployment/scenarios.ts';
import { allWell, slow } from './running.ts';

describe('six regions with the policy on', { retry: 0 }, () => {
  it('keep every promise while they drift and freeze, and fail over by themselves', slow, async () => {
    const { automatic, acked } = await allWell(sixRegions, [0, 310_020]);
    expect(automatic).toBeGreaterThan(0);
    expect(acked).toBeGreaterThan(100);
  });
});
