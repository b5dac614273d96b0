import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import type { LossReport } from '../../../regions/moves/core/loss-report.ts';
import { OrphanSearch } from '../../../regions/moves/orphan-search.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import type { RecoveryGoal } from '../../../storage/index.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { branchName, epoch, lsn, nodeId, regionId } from '../../../storage/redo/ids.ts';
import type { StorageRequest } from '../../../storage/wire/core/messages.ts';
import { fork, frameBytes } from '../../storage/samples.ts';

/** A region that joins paths of one tree after another: each reign's writes reach up to its entry in `ends`, ten LSNs a commit. */
function searcher(tree: readonly Fork[], ends: ReadonlyMap<number, number>) {
  const reports: LossReport[] = [];
  const inspected: number[] = [];
  const search = new OrphanSearch({
    region: regionId('us-east-1'),
    links: {
      nodes: [nodeId('n1')],
      request: async (_, request: StorageRequest) => {
        if (request.kind !== 'fetch' || request.head === null) return { kind: 'unanswered', reason: 'no' };
        const { from, head: of } = request;
        const frames = frameBytes({ epoch: of, base: from, commits: 1 });
        return { kind: 'fetched', head: of, vdl: from, next: lsn(from + 10), forks: [], frames };
      },
    },
    recover: async (goal: RecoveryGoal) => {
      const reign = goal.kind === 'inspect' ? goal.head : 0;
      inspected.push(reign);
      const vdl = lsn(ends.get(reign) ?? 0);
      return { kind: 'recovered', outcome: { head: epoch(reign), forks: tree, vdl, tree } };
    },
    losses: {
      epochs: [],
      all: [],
      reportedFrom: (reign) =>
        reports
          .filter(({ orphanEpoch }) => orphanEpoch === reign)
          .reduce<number | null>((low, { fromLsn }) => Math.min(low ?? fromLsn, fromLsn), null),
      save: async (report) => void reports.push(report),
    },
    onReport: () => undefined,
    runtime: machine,
    log: pino({ level: 'silent' }),
  });
  return {
    close: () => search.close(),
    /** What it finds when it joins `head`, and which reigns it asks the nodes about for that. */
    join: async (head: number) => {
      const [found, asked] = [reports.length, inspected.length];
      const forks = tree.filter(({ epoch: of }) => of <= head);
      void search.search({ head: epoch(head), forks, vdl: lsn(0), tree: forks });
      await search.settled;
      expect(search.lookedUnder).toBe(epoch(head));
      const lost = reports
        .slice(found)
        .map(({ orphanEpoch, fromLsn, toLsn, count }) => ({ orphanEpoch, fromLsn, toLsn, count }));
      return { lost, inspected: inspected.slice(asked) };
    },
  };
}

/** What a region finds that joins `head` first of all. */
async function lostUnder(head: number, forks: readonly Fork[], ends: ReadonlyMap<number, number>) {
  const region = searcher(forks, ends);
  const { lost } = await region.join(head);
  region.close();
  return lost;
}

describe('R77: what a rewind left', () => {
  const began = [fork(1, 0, 0), fork(2, 1, 50)];
  const ends = new Map([
    [1, 100],
    [2, 80],
  ]);

  test('is no lost write, and what a failover left before it still is', async () => {
    const rewound = [...began, { ...fork(3, 2, 20), left: epoch(2) }];
    expect(await lostUnder(3, rewound, ends)).toEqual([
      { orphanEpoch: 1, fromLsn: 50, toLsn: 100, count: 5 },
    ]);
  });

  test('nor is what was written on a branch, which was never part of it', async () => {
    const beside = [...began, fork(3, 2, 60, branchName('dev')), fork(4, 2, 80)];
    expect(await lostUnder(4, beside, new Map([...ends, [1, 50], [3, 90]]))).toEqual([]);
  });

  test('is lost where the same fork is a failover', async () => {
    expect(await lostUnder(3, [...began, fork(3, 2, 20)], ends)).toEqual([
      { orphanEpoch: 1, fromLsn: 20, toLsn: 100, count: 8 },
      { orphanEpoch: 2, fromLsn: 50, toLsn: 80, count: 3 },
    ]);
  });

  test('stays what it is when history goes forward again, beside what was written in between', async () => {
    const forward = [...began, { ...fork(3, 2, 20), left: epoch(2) }, { ...fork(4, 2, 80), left: epoch(3) }];
    expect(await lostUnder(4, forward, new Map([...ends, [3, 60]]))).toEqual([
      { orphanEpoch: 1, fromLsn: 50, toLsn: 100, count: 5 },
    ]);
  });

  test('does not cover what a failover loses of the history behind it', async () => {
    const failed = [...began, { ...fork(3, 2, 20), left: epoch(2) }, fork(4, 3, 40)];
    expect(await lostUnder(4, failed, new Map([[3, 70]]))).toEqual([
      { orphanEpoch: 3, fromLsn: 40, toLsn: 70, count: 3 },
    ]);
  });
});

describe('R95: a region that looks under an older path than its nodes already know', () => {
  test('takes no write of a newer reign for lost, and still finds what it left of older ones', async () => {
    const forks = [fork(1, 0, 0), fork(2, 1, 50), fork(3, 2, 60)];
    const ends = new Map([
      [1, 70],
      [2, 60],
      [3, 90],
    ]);
    expect(await lostUnder(2, forks, ends)).toEqual([{ orphanEpoch: 1, fromLsn: 50, toLsn: 70, count: 2 }]);
    expect(await lostUnder(3, forks, ends)).toEqual([{ orphanEpoch: 1, fromLsn: 50, toLsn: 70, count: 2 }]);
  });
});

describe('R97: a region that has looked before', () => {
  test('asks about the newest reign alone after each of many switchovers', async () => {
    const heads = Array.from({ length: 200 }, (_, at) => at + 1);
    const region = searcher(
      heads.map((head) => fork(head, head - 1, 10 * (head - 1))),
      new Map(heads.map((head) => [head, 10 * head])),
    );
    for (const head of heads.slice(1))
      expect(await region.join(head)).toEqual({ lost: [], inspected: [head - 1] });
    region.close();
  });

  test('asks again about every reign of which a failover keeps less, and finds what it had followed since it last looked', async () => {
    // The third reign goes on from 70; the fourth knows the first up to 40 only.
    const region = searcher(
      [fork(1, 0, 0), fork(2, 1, 60), fork(3, 2, 70), fork(4, 1, 40)],
      new Map([
        [1, 60],
        [2, 70],
        [3, 90],
      ]),
    );
    await region.join(2);
    expect(await region.join(3)).toEqual({ lost: [], inspected: [2] });
    expect(await region.join(4)).toEqual({
      inspected: [1, 2, 3],
      lost: [
        { orphanEpoch: 1, fromLsn: 40, toLsn: 60, count: 2 },
        { orphanEpoch: 2, fromLsn: 60, toLsn: 70, count: 1 },
        { orphanEpoch: 3, fromLsn: 70, toLsn: 90, count: 2 },
      ],
    });
    region.close();
  });

  test('does not ask about what a rewind left, and asks when a failover then loses of it', async () => {
    const region = searcher(
      [fork(1, 0, 0), { ...fork(2, 1, 20), left: epoch(1) }, fork(3, 2, 30)],
      new Map([
        [1, 50],
        [2, 60],
      ]),
    );
    expect(await region.join(2)).toEqual({ lost: [], inspected: [] });
    expect(await region.join(3)).toEqual({
      inspected: [2],
      lost: [{ orphanEpoch: 2, fromLsn: 30, toLsn: 60, count: 3 }],
    });
    region.close();
  });
});
