/** Branches of several regions: made, written, moved and deleted under faults; and what is broken on purpose about them. */
import { describe, expect, it } from 'vitest';
import { branchesInRegions, branchesUnheard, collectedBranches } from '../deployment/scenarios.ts';
import { allWell, objectors, slow } from './running.ts';

describe('a deployment with branches', { retry: 0 }, () => {
  it(
    'keeps every promise while they come and go and are written in turn by several regions',
    slow,
    async () => {
      const { branches, branchReigns, branchAcked, switchovers } = await allWell(
        branchesInRegions,
        [0, 1, 2],
      );
      expect(branches).toBeGreaterThan(20);
      expect(branchReigns).toBeGreaterThan(20);
      expect(branchAcked).toBeGreaterThan(60);
      expect(switchovers).toBeGreaterThan(2);
    },
  );

  it(
    'keeps every promise where little log is kept, where main was not written before, and where names are used again (S33 to S35)',
    slow,
    async () => {
      const { branches, branchAcked, refilled } = await allWell(collectedBranches, [2, 5, 6, 7, 12, 13, 93]);
      expect(branches).toBeGreaterThan(12);
      expect(branchAcked).toBeGreaterThan(20);
      expect(refilled).toBeGreaterThan(0);
    },
  );

  it(
    'has each of them in each region in the end, also those that left another branch while the region was away (R69)',
    slow,
    async () => {
      const { branches } = await allWell(branchesUnheard, [0, 3]);
      expect(branches).toBeGreaterThan(8);
    },
  );
});

describe('the judges object when', { retry: 0 }, () => {
  it(
    'an agent tells its nodes that a branch is deleted which has come to them since they were asked (R73)',
    slow,
    async () => {
      const planted = { defects: ['stale-branch-list'], scenario: branchesInRegions, seeds: 3 } as const;
      expect(await objectors({ ...planted, verdict: 'liveness' })).toContain('branches');
    },
  );

  it('a seal of one branch ends reigns of main (S32)', slow, async () => {
    const planted = { defects: ['seals-main'], scenario: branchesInRegions, seeds: 3 } as const;
    expect(await objectors(planted)).toContain('seals');
  });
});
