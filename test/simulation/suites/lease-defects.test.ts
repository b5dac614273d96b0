/** The judges object to what is broken on purpose between two writers: the lease, the gate, the seal. */
import { describe, expect, it } from 'vitest';
import { simulate } from '../deployment/deployment.ts';
import { frozenWriters, isolation, isolationUnderLongLease } from '../deployment/scenarios.ts';
import { objectors, slow } from './running.ts';

describe('the judges object when', { retry: 0 }, () => {
  it('a gateway acknowledges without looking at its lease', slow, async () => {
    const planted = { defects: ['ignore-lease'], scenario: isolation, seeds: 10, first: 2 } as const;
    expect(await objectors(planted)).toContain('single-writer');
  });

  it('a suspended lease does not close the gate', slow, async () => {
    const planted = { defects: ['gate-stays-open'], scenario: isolation, seeds: 10, first: 2 } as const;
    expect(await objectors(planted)).toContain('single-writer');
  });

  it(
    'a suspended lease opens the gate because the record, as it is read, still names the writer',
    slow,
    async () => {
      const planted = { defects: ['reopen-unproved'], scenario: isolation, seeds: 10, first: 2 } as const;
      expect(await objectors(planted)).toContain('single-writer');
    },
  );

  it('a failover does not wait for the lease to lapse', slow, async () => {
    const planted = {
      defects: ['hasty-failover'],
      scenario: isolationUnderLongLease,
      seeds: 10,
      first: 2,
    } as const;
    expect(await objectors(planted)).toContain('single-writer');
  });

  it('within a region neither the lease nor the seal stands between two writers', slow, async () => {
    const planted = { defects: ['ignore-lease', 'ignore-seal'], scenario: frozenWriters, seeds: 40 } as const;
    expect(await objectors(planted)).toContain('single-writer');
  });

  it(
    'but not when only the lease fails within a region, for the seal stands behind it (S2)',
    slow,
    async () => {
      for (let seed = 0; seed < 25; seed += 1) {
        const result = await simulate(seed, 'swarm', { defects: ['ignore-lease'], adjust: frozenWriters });
        const broken = result.violations.filter((violation) => violation.verdict === 'correctness');
        expect([seed, broken]).toEqual([seed, []]);
      }
    },
  );
});
