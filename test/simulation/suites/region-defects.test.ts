/** The judges object to what is broken on purpose between regions: shipping, losses, the RPO, failovers. */
import { describe, expect, it } from 'vitest';
import {
  deafRegions,
  doubtedWriters,
  frozenPrimaries,
  isolation,
  isolationUnderBound,
  isolationUnderRpo,
} from '../deployment/scenarios.ts';
import { objectors, slow } from './running.ts';

describe('the judges object when', { retry: 0 }, () => {
  it('undurable redo is shipped', slow, async () => {
    const planted = { defects: ['ship-undurable'], scenario: isolation, seeds: 3, first: 2 } as const;
    expect(await objectors(planted)).toContain('monotonic');
  });

  it('a failover keeps quiet about what it lost', slow, async () => {
    const planted = { defects: ['hide-losses'], scenario: isolation, seeds: 10, first: 2 } as const;
    expect(await objectors(planted)).toContain('durability');
  });

  it('a gate opens although no other region has what an answer saw', slow, async () => {
    const planted = { defects: ['ignores-rpo'], scenario: isolationUnderRpo, seeds: 5 } as const;
    expect(await objectors(planted)).toContain('rpo');
  });

  it('a gate stays open although every secondary is further behind than the RPO', slow, async () => {
    const planted = { defects: ['ignores-rpo'], scenario: isolationUnderBound, seeds: 10, first: 1 } as const;
    expect(await objectors(planted)).toContain('rpo');
  });

  it('one observer is enough for a failover', slow, async () => {
    const planted = { defects: ['one-observer'], scenario: deafRegions, seeds: 60, first: 28 } as const;
    expect(await objectors(planted)).toContain('observers');
  });

  it('a region counts as fenced once two of its nodes are sealed', slow, async () => {
    const planted = { defects: ['two-seals'], scenario: frozenPrimaries, seeds: 20, first: 6 } as const;
    expect(await objectors(planted)).toContain('fence');
  });

  it('a gateway takes over within its region once two nodes are sealed', slow, async () => {
    const planted = { defects: ['two-seals'], scenario: doubtedWriters, seeds: 10 } as const;
    expect(await objectors(planted)).toContain('fence');
  });
});
