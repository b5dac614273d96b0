/**
 * The whole deployment: seeds of every profile that must be well, seeds that once were not, and proof that the judges see
 * what is broken on purpose.
 */
import { describe, expect, it } from 'vitest';
import type { Verdict } from '../judges/judge.ts';
import { type ProfileName, profileNames } from '../options.ts';
import type { RunResult } from '../run-seeds.ts';
import { type RunChoices, simulate } from './deployment.ts';
import {
  blackouts,
  brokenSwitchovers,
  comingAndGoing,
  deafRegions,
  doubtedWriters,
  foldedPages,
  frozenPrimaries,
  frozenWriters,
  hastyRecoveries,
  interruptedWrites,
  isolation,
  isolationUnderBound,
  isolationUnderLongLease,
  isolationUnderRpo,
  largeTransactions,
  rottingLogs,
  type Scenario,
  slowLargeTransactions,
} from './scenarios.ts';
import type { Defect } from './sim-types.ts';

const slow = { timeout: 120_000 };

/** What the judges and the invariants objected to. */
const objections = (result: RunResult): readonly string[] => [
  ...(result.crash === undefined ? [] : [result.crash]),
  ...result.violations.map(({ judge, verdict, text }) => `${judge} (${verdict}): ${text}`),
];

const run = (seed: number, profile: ProfileName, choices?: RunChoices): Promise<RunResult> =>
  simulate(seed, profile, choices);

describe('a deployment', { retry: 0 }, () => {
  for (const profile of profileNames) {
    it(`keeps every promise under ${profile}`, slow, async () => {
      for (const seed of [101, 102, 103]) {
        const result = await run(seed, profile);
        expect([seed, objections(result)]).toEqual([seed, []]);
        expect(result.stats).toMatchObject({ acked: expect.any(Number) });
        expect(result.stats.acked).toBeGreaterThan(0);
      }
    });
  }

  it('is the same run for the same seed, and another for another', slow, async () => {
    for (const profile of ['lite', 'swarm'] as const) {
      const first = await run(7, profile);
      expect((await run(7, profile)).hash).toBe(first.hash);
      expect((await run(8, profile)).hash).not.toBe(first.hash);
    }
  });

  it(
    'sees writers that live taken over from within their region, and no promise broken (R78)',
    slow,
    async () => {
      let fences = 0;
      for (let seed = 0; seed < 6; seed += 1) {
        const result = await run(seed, 'swarm', { adjust: doubtedWriters });
        expect([seed, objections(result)]).toEqual([seed, []]);
        fences += result.stats.fences ?? 0;
      }
      expect(fences).toBeGreaterThan(4);
    },
  );

  it(
    'sees recoveries that take too long tried again with their epoch, and given up once it may be forked',
    slow,
    async () => {
      const totals = { retries: 0, spent: 0 };
      for (let seed = 0; seed < 10; seed += 1) {
        const result = await run(seed, 'swarm', { adjust: hastyRecoveries });
        expect([seed, objections(result)]).toEqual([seed, []]);
        totals.retries += result.stats.retries ?? 0;
        totals.spent += result.stats.spent ?? 0;
      }
      expect(totals.retries).toBeGreaterThan(50);
      expect(totals.spent).toBeGreaterThan(5);
    },
  );

  it('keeps every promise while regions leave and come back under faults (R54, R55)', slow, async () => {
    const result = await run(0, 'swarm', { adjust: comingAndGoing });
    const { departures = 0, arrivals = 0, switchovers = 0 } = result.stats;
    expect(objections(result)).toEqual([]);
    expect([departures > 1, arrivals > 1, switchovers > 0]).toEqual([true, true, true]);
  });

  it('sees log files sealed, and what rots in them found and brought back', slow, async () => {
    const totals = { sealed: 0, rotFound: 0, rotHealed: 0 };
    for (let seed = 0; seed < 6; seed += 1) {
      const result = await run(seed, 'swarm', { adjust: rottingLogs });
      expect([seed, objections(result)]).toEqual([seed, []]);
      totals.sealed += result.stats.sealed ?? 0;
      totals.rotFound += result.stats.rotFound ?? 0;
      totals.rotHealed += result.stats.rotHealed ?? 0;
    }
    expect(totals.sealed).toBeGreaterThan(20);
    expect(totals.rotFound).toBeGreaterThan(2);
    expect(totals.rotHealed).toBeGreaterThan(2);
  });

  it('sees leases taken, regions left and writes reported lost', slow, async () => {
    const totals = { forks: 0, failovers: 0, orphans: 0 };
    for (const seed of [2, 5, 6]) {
      const { stats } = await run(seed, 'swarm', { adjust: isolation });
      totals.forks += stats.forks ?? 0;
      totals.failovers += stats.failovers ?? 0;
      totals.orphans += stats.orphans ?? 0;
    }
    expect(totals.forks).toBeGreaterThan(3);
    expect(totals.failovers).toBeGreaterThan(0);
    expect(totals.orphans).toBeGreaterThan(0);
  });
});

describe('with an RPO', { retry: 0 }, () => {
  it('of 0 no answered write is lost although regions are cut off and failed away from', slow, async () => {
    const totals = { failovers: 0, heldToRpo: 0, orphans: 0 };
    for (const seed of [2, 5, 6]) {
      const result = await run(seed, 'swarm', { adjust: isolationUnderRpo });
      expect([seed, objections(result)]).toEqual([seed, []]);
      totals.failovers += result.stats.failovers ?? 0;
      totals.heldToRpo += result.stats.heldToRpo ?? 0;
    }
    expect(totals.failovers).toBeGreaterThan(0);
    expect(totals.heldToRpo).toBeGreaterThan(20);
  });
});

/** Each was found by the simulator; the name says what went wrong. */
describe('what once went wrong', { retry: 0 }, () => {
  const cases: readonly {
    readonly what: string;
    readonly seed: number;
    readonly profile: ProfileName;
    readonly adjust?: Scenario;
  }[] = [
    {
      what: 'the judge of the RPO took a reign for another region’s that had forked, and never known it',
      seed: 5063,
      profile: 'region-loss',
    },
    { what: 'the judge of the RPO did not know that clocks run slow', seed: 5794, profile: 'swarm' },
    {
      what: 'a switchover whose target died with the agent that ran it was never given up, and nobody could write again',
      seed: 10,
      profile: 'swarm',
      adjust: brokenSwitchovers,
    },
  ];
  for (const { what, seed, profile, adjust } of cases) {
    it(what, slow, async () => {
      expect(objections(await run(seed, profile, { adjust }))).toEqual([]);
    });
  }
});

describe('the judges object when', { retry: 0 }, () => {
  /** Runs seeds until a judge objects to what was broken; the same seeds are well when nothing is. */
  const objected = async (
    defects: readonly Defect[],
    adjust: Scenario,
    seedsMax: number,
    verdict: Verdict = 'correctness',
  ): Promise<readonly string[]> => {
    for (let seed = 0; seed < seedsMax; seed += 1) {
      const broken = await run(seed, 'swarm', { defects, adjust });
      const found = broken.violations.filter((violation) => violation.verdict === verdict);
      if (found.length === 0) continue;
      expect([seed, objections(await run(seed, 'swarm', { adjust }))]).toEqual([seed, []]);
      return [...new Set(found.map((violation) => violation.judge))];
    }
    return [];
  };

  it('a node acknowledges before its sync', slow, async () => {
    expect(await objected(['ack-before-sync'], blackouts, 10)).not.toEqual([]);
  });

  it('answers pass the gate before what they saw is durable', slow, async () => {
    expect(await objected(['answers-early'], interruptedWrites, 10)).toContain('durability');
  });

  it('a node forgets what its state file was given, seals and forks among it', slow, async () => {
    expect(await objected(['state-forgotten'], interruptedWrites, 10)).not.toEqual([]);
  });

  it('images of pages are those of long ago', slow, async () => {
    expect(await objected(['images-forgotten'], foldedPages, 10)).toContain('agreement');
  });

  it('a recovery does not copy what it builds on to four nodes', slow, async () => {
    expect(await objected(['skip-replication'], interruptedWrites, 10)).toContain('copies');
  });

  it('a gateway acknowledges without looking at its lease', slow, async () => {
    expect(await objected(['ignore-lease'], isolation, 10)).toContain('single-writer');
  });

  it('a suspended lease does not close the gate', slow, async () => {
    expect(await objected(['gate-stays-open'], isolation, 10)).toContain('single-writer');
  });

  it(
    'a suspended lease opens the gate because the record, as it is read, still names the writer',
    slow,
    async () => {
      expect(await objected(['reopen-unproved'], isolation, 10)).toContain('single-writer');
    },
  );

  it('a failover does not wait for the lease to lapse', slow, async () => {
    expect(await objected(['hasty-failover'], isolationUnderLongLease, 10)).toContain('single-writer');
  });

  it('within a region neither the lease nor the seal stands between two writers', slow, async () => {
    expect(await objected(['ignore-lease', 'ignore-seal'], frozenWriters, 40)).toContain('single-writer');
  });

  it('undurable redo is shipped', slow, async () => {
    expect(await objected(['ship-undurable'], isolation, 3)).toContain('monotonic');
  });

  it('a failover keeps quiet about what it lost', slow, async () => {
    expect(await objected(['hide-losses'], isolation, 10)).toContain('durability');
  });

  it('a gate opens although no other region has what an answer saw', slow, async () => {
    expect(await objected(['ignores-rpo'], isolationUnderRpo, 5)).toContain('rpo');
  });

  it('a gate stays open although every secondary is further behind than the RPO', slow, async () => {
    expect(await objected(['ignores-rpo'], isolationUnderBound, 10)).toContain('rpo');
  });

  it('one observer is enough for a failover', slow, async () => {
    expect(await objected(['one-observer'], deafRegions, 10)).toContain('observers');
  });

  it('a region counts as fenced once two of its nodes are sealed', slow, async () => {
    expect(await objected(['two-seals'], frozenPrimaries, 20)).toContain('fence');
  });

  it('a gateway takes over within its region once two nodes are sealed', slow, async () => {
    expect(await objected(['two-seals'], doubtedWriters, 10)).toContain('fence');
  });

  it('no disk is read again, so that what has rotted stays away', slow, async () => {
    expect(await objected(['never-scrubs'], rottingLogs, 6, 'liveness')).toContain('progress');
  });

  it('a write is applied twice', slow, async () => {
    expect(await objected(['apply-twice'], blackouts, 3)).toContain('durability');
  });

  it(
    'credit waits for the commit, so that a transaction larger than the window never arrives (r01)',
    slow,
    async () => {
      expect(await objected(['credit-by-vdl'], largeTransactions, 3, 'liveness')).toContain('convergence');
    },
  );

  it('a writer gives up on a record that is old, although four nodes get on (r17)', slow, async () => {
    expect(await objected(['age-ends-reign'], slowLargeTransactions, 3, 'liveness')).toContain('quorum');
  });

  it(
    'but not when only the lease fails within a region, for the seal stands behind it (S2)',
    slow,
    async () => {
      for (let seed = 0; seed < 25; seed += 1) {
        const result = await run(seed, 'swarm', { defects: ['ignore-lease'], adjust: frozenWriters });
        const broken = result.violations.filter((violation) => violation.verdict === 'correctness');
        expect([seed, broken]).toEqual([seed, []]);
      }
    },
  );
});
