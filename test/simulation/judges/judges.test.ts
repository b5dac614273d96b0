import { beforeEach, describe, expect, it } from 'vitest';
import { epoch, lsn, nodeId, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { AgreementJudge } from './agreement.ts';
import { ConvergenceJudge } from './convergence.ts';
import { CopiesJudge } from './copies.ts';
import { type Acknowledgement, DurabilityJudge, type FinalWrite } from './durability.ts';
import { collectViolations } from './judge.ts';
import type { LossReport } from './losses.ts';
import { MonotonicJudge } from './monotonic.ts';
import { QuorumJudge } from './quorum.ts';
import { SingleWriterJudge } from './single-writer.ts';

const place = (e: number, l: number) => ({ epoch: epoch(e), lsn: lsn(l) });
const ack = (writeId: string, e: number, l: number): Acknowledgement => ({
  writeId,
  ...place(e, l),
  region: 'us-east-1',
  atUs: 5,
});
const there = (writeId: string, e: number, l: number, parts = 2, times = 1): FinalWrite => ({
  writeId,
  parts,
  times,
  ...place(e, l),
});
const lost = (
  e: number,
  from: number,
  after: number,
  through: number | undefined,
  count?: number,
): LossReport => ({
  epoch: epoch(e),
  reason: 'failover',
  ranges: [
    {
      epoch: epoch(from),
      afterLsn: lsn(after),
      throughLsn: through === undefined ? undefined : lsn(through),
    },
  ],
  count,
});

describe('durability judge', () => {
  let judge: DurabilityJudge;

  beforeEach(() => {
    judge = new DurabilityJudge();
    for (const writeId of ['w1', 'w2', 'w3']) judge.issued(writeId, 2);
    judge.acknowledged(ack('w1', 1, 100));
    judge.acknowledged(ack('w2', 1, 200));
  });

  it('is content when all acknowledged writes are there, and the unknown one is or is not', () => {
    judge.final([there('w1', 1, 100), there('w2', 1, 200)]);
    expect(judge.violations()).toEqual([]);
    judge.final([there('w1', 1, 100), there('w2', 1, 200), there('w3', 1, 300)]);
    expect(judge.violations()).toEqual([]);
  });

  it('objects to a lost acknowledged write', () => {
    judge.final([there('w1', 1, 100)]);
    expect(judge.violations()).toEqual([
      expect.stringContaining('w2, acknowledged in us-east-1 at 5 us as (1, 200), is gone'),
    ]);
  });

  it('accepts the loss that a failover reported, and only that', () => {
    judge.lossReported(lost(2, 1, 150, undefined));
    judge.final([there('w1', 1, 100)]);
    expect(judge.violations()).toEqual([]);
    judge.final([]);
    expect(judge.violations()).toEqual([expect.stringContaining('w1, acknowledged')]);
    judge.lossReported(lost(2, 1, 150, 199));
    judge.final([there('w1', 1, 100)]);
    expect(judge.violations()).toEqual([expect.stringContaining('w2, acknowledged')]);
  });

  it('objects to a report that lists what is still there or counts too few', () => {
    judge.lossReported(lost(2, 1, 50, 300, 0));
    judge.final([there('w1', 1, 100)]);
    expect(judge.violations()).toEqual([
      expect.stringContaining('lists w1 as lost, and it is there'),
      expect.stringContaining('counts 0 lost commits; at least 1'),
    ]);
  });

  it('objects to a torn write, acknowledged or not', () => {
    judge.final([there('w1', 1, 100, 1), there('w2', 1, 200), there('w3', 1, 300, 1)]);
    expect(judge.violations()).toEqual([
      'w1 is torn: 1 of 2 parts are there',
      'w3 is torn: 1 of 2 parts are there',
    ]);
  });

  it('objects to a write at another place, twice applied, never issued, or refused and there', () => {
    judge.refused('w3');
    judge.final([there('w1', 1, 101), there('w2', 1, 200, 2, 2), there('w3', 1, 300), there('w9', 1, 400)]);
    expect(judge.violations()).toEqual([
      'w1 was acknowledged as (1, 100) and lies at (1, 101)',
      'w3 was refused and is there',
      'w2 was applied 2 times',
      'w9 is there and was never issued',
    ]);
  });

  it('objects when nobody read the final history', () => {
    expect(judge.violations()).toEqual(['the final history was never read']);
  });
});

describe('agreement judge', () => {
  const frame = (at: string, base: number, end: number, crc: number) => ({
    at,
    epoch: epoch(1),
    pg: pgId(0),
    base: lsn(base),
    end: lsn(end),
    crc,
  });

  it('is content with equal frames anywhere and neighbouring frames', () => {
    const judge = new AgreementJudge();
    for (const at of ['us-east-1/n1', 'eu-west-1/n4']) {
      judge.frame(frame(at, 10, 20, 7));
      judge.frame(frame(at, 0, 10, 8));
    }
    expect(judge.violations()).toEqual([]);
  });

  it('objects to other bytes or another end at the same place', () => {
    const judge = new AgreementJudge();
    judge.frame(frame('us-east-1/n1', 0, 10, 8));
    judge.frame(frame('eu-west-1/n1', 0, 10, 9));
    judge.frame(frame('eu-west-1/n2', 0, 12, 8));
    expect(judge.violations()).toHaveLength(2);
    expect(judge.violations()[0]).toContain(
      'frame (1, 0) differs: us-east-1/n1 has PG 0 to 10 crc 8, eu-west-1/n1',
    );
  });

  it('objects to frames that overlap, though not in neighbours by base', () => {
    const judge = new AgreementJudge();
    judge.frame(frame('us-east-1/n1', 0, 100, 1));
    judge.frame(frame('us-east-1/n2', 10, 20, 2));
    judge.frame(frame('us-east-1/n3', 50, 60, 3));
    expect(judge.violations()).toEqual([
      expect.stringContaining('[0, 100), us-east-1/n2 has [10, 20)'),
      expect.stringContaining('[0, 100), us-east-1/n3 has [50, 60)'),
    ]);
  });

  it('objects to a page that differs at one read point', () => {
    const judge = new AgreementJudge();
    const page = { head: epoch(1), readPoint: lsn(50), page: pageNo(3) };
    judge.page({ at: 'us-east-1/n1', ...page, crc: 1 });
    judge.page({ at: 'us-east-1/n2', ...page, readPoint: lsn(60), crc: 2 });
    expect(judge.violations()).toEqual([]);
    judge.page({ at: 'eu-west-1/n1', ...page, crc: 2 });
    expect(judge.violations()).toEqual([expect.stringContaining('page 3 at (1, 50) differs')]);
  });
});

describe('monotonic judge', () => {
  let judge: MonotonicJudge;
  beforeEach(() => {
    judge = new MonotonicJudge();
  });

  it('is content with an orderly switchover, stale reads and resent notices', () => {
    judge.controlRecord('a', 1, epoch(1));
    judge.controlRecord('a', 3, epoch(2));
    judge.controlRecord('b', 2, epoch(1));
    judge.primary(epoch(1), lsn(100));
    judge.durable('us-east-1', epoch(1), lsn(100), true);
    judge.shipped('eu-west-1', epoch(1), lsn(100));
    judge.shipped('eu-west-1', epoch(1), lsn(90));
    judge.durable('eu-west-1', epoch(1), lsn(95), false);
    judge.primary(epoch(2), lsn(95));
    judge.durable('eu-west-1', epoch(2), lsn(95), true);
    expect(judge.violations()).toEqual([]);
  });

  it('objects to a control record whose epoch goes back or that has two contents', () => {
    judge.controlRecord('a', 5, epoch(3));
    judge.controlRecord('b', 6, epoch(2));
    judge.controlRecord('c', 5, epoch(4));
    expect(judge.violations()).toEqual([
      'the control record went from epoch 3 back to 2 (b, 6)',
      'c saw epoch 4 in control record 5, others saw 3',
    ]);
  });

  it('objects to a region that goes back in epoch or VDL', () => {
    judge.primary(epoch(1), lsn(100));
    judge.primary(epoch(2), lsn(100));
    judge.durable('us-east-1', epoch(1), lsn(100), true);
    judge.durable('us-east-1', epoch(1), lsn(99), true);
    judge.durable('us-east-1', epoch(2), lsn(90), true);
    judge.durable('us-east-1', epoch(1), lsn(100), true);
    expect(judge.violations()).toEqual([
      'the VDL of us-east-1 in epoch 1 went from 100 back to 99',
      'us-east-1 went from epoch 2 back to 1',
    ]);
  });

  it('does not bind a region by what was shipped to it that wrote the epoch itself', () => {
    const judge = new MonotonicJudge();
    judge.primary(epoch(1), lsn(100));
    for (const region of ['us-east-1', 'eu-west-1']) judge.shipped(region, epoch(1), lsn(90));
    judge.durable('us-east-1', epoch(1), lsn(100), true);
    judge.durable('us-east-1', epoch(1), lsn(120), false);
    expect(judge.violations()).toEqual([]);
    judge.durable('eu-west-1', epoch(1), lsn(95), false);
    expect(judge.violations()).toHaveLength(1);
  });

  it('objects to a VDL shipped before it is durable, and to a region ahead of what was shipped to it', () => {
    judge.primary(epoch(1), lsn(100));
    judge.shipped('eu-west-1', epoch(1), lsn(101));
    judge.durable('eu-west-1', epoch(1), lsn(102), false);
    judge.durable('ap-northeast-1', epoch(1), lsn(1), false);
    judge.primary(epoch(1), lsn(99));
    expect(judge.violations()).toHaveLength(4);
  });
});

describe('convergence judge', () => {
  const regions = ['us-east-1', 'eu-west-1'];
  const meet = (judge: ConvergenceJudge, atUs: number, e: number, vdl: number): void => {
    for (const region of regions) {
      judge.progress(atUs, region);
      judge.position(atUs, region, epoch(e), lsn(vdl));
    }
  };

  it('is content when all meet in time, after progress everywhere', () => {
    const judge = new ConvergenceJudge(100);
    judge.position(5, 'us-east-1', epoch(2), lsn(50));
    judge.heal(10, regions);
    judge.quiet(20);
    expect(judge.converged()).toBe(false);
    meet(judge, 60, 2, 60);
    expect(judge.converged()).toBe(true);
    expect(judge.violations()).toEqual([]);
  });

  it('objects when they meet late, differ, or one stays silent', () => {
    const late = new ConvergenceJudge(100);
    late.heal(10, regions);
    late.quiet(20);
    meet(late, 111, 2, 60);
    expect(late.violations()).toEqual([expect.stringContaining('converged only 101 us after healing')]);

    const apart = new ConvergenceJudge(100);
    apart.heal(10, regions);
    apart.quiet(20);
    meet(apart, 30, 2, 60);
    const differing = new ConvergenceJudge(100);
    differing.heal(10, ['us-east-1', 'sa-east-1']);
    differing.quiet(20);
    meet(differing, 30, 2, 60);
    differing.finish(500);
    expect(differing.violations()).toEqual([
      'had not converged 490 us after healing (100 allowed): us-east-1 (2, 60); sa-east-1 silent, no write acknowledged since',
    ]);
  });

  it('objects when they meet behind what was durable at healing, or when no write goes through', () => {
    const behind = new ConvergenceJudge(100);
    behind.position(5, 'us-east-1', epoch(2), lsn(90));
    behind.heal(10, regions);
    behind.quiet(20);
    meet(behind, 60, 2, 60);
    expect(behind.violations()).toHaveLength(1);

    const stuck = new ConvergenceJudge(100);
    stuck.heal(10, regions);
    stuck.quiet(20);
    for (const region of regions) stuck.position(30, region, epoch(1), lsn(5));
    expect(stuck.violations()[0]).toContain('no write acknowledged since');
  });

  it('objects when the run was never healed', () => {
    expect(new ConvergenceJudge(1).violations()).toEqual(['the run was never healed']);
  });
});

describe('single-writer judge', () => {
  const say = (judge: SingleWriterJudge, writer: string, writeId: string, e: number, l: number): void => {
    judge.acknowledged({ writer, writeId, atUs: 9, ...place(e, l) });
  };
  const reign = (excuseReportedLosses: boolean): SingleWriterJudge => {
    const judge = new SingleWriterJudge({ excuseReportedLosses });
    judge.claimed(epoch(1), 'us-east-1/g1#1');
    say(judge, 'us-east-1/g1#1', 'w1', 1, 100);
    judge.claimed(epoch(2), 'eu-west-1/g1#1');
    judge.forked(epoch(2), epoch(1), lsn(150));
    return judge;
  };

  it('is content with reigns that follow each other, and with a late answer below the fork before the next reign speaks', () => {
    const judge = reign(true);
    say(judge, 'us-east-1/g1#1', 'w2', 1, 150);
    say(judge, 'eu-west-1/g1#1', 'w3', 2, 200);
    expect(judge.violations()).toEqual([]);
  });

  it('objects to an answer of an old reign after the new one spoke, reported lost or not as configured', () => {
    for (const excuse of [true, false]) {
      const judge = reign(excuse);
      say(judge, 'eu-west-1/g1#1', 'w3', 2, 200);
      say(judge, 'us-east-1/g1#1', 'w2', 1, 180);
      expect(judge.violations()).toEqual([
        expect.stringContaining('after epoch 2 had acknowledged'),
        expect.stringContaining('above 150 where epoch 2 left it'),
      ]);
      judge.lossReported(lost(2, 1, 150, 190));
      expect(judge.violations()).toEqual(excuse ? [] : [expect.stringContaining('(reported lost)')]);
      expect(judge.excused()).toBe(1);
    }
  });

  it('objects to an answer above the fork though the new reign has said nothing yet', () => {
    const judge = reign(true);
    say(judge, 'us-east-1/g1#1', 'w2', 1, 151);
    expect(judge.violations()).toEqual([expect.stringContaining('above 150 where epoch 2 left it')]);
  });

  it('objects to two claims of an epoch, answers without a claim, and one position for two writes', () => {
    const judge = reign(true);
    judge.claimed(epoch(2), 'us-east-1/g1#2');
    say(judge, 'us-east-1/g1#2', 'w4', 3, 300);
    say(judge, 'eu-west-1/g1#1', 'w5', 2, 250);
    say(judge, 'eu-west-1/g1#1', 'w6', 2, 250);
    expect(judge.violations()).toEqual(
      expect.arrayContaining([
        'epoch 2 was claimed by eu-west-1/g1#1 and by us-east-1/g1#2',
        expect.stringContaining('acknowledged w4 in epoch 3 at 9 us; nobody had claimed it'),
        'w5 and w6 were both acknowledged as (2, 250)',
      ]),
    );
  });
});

describe('collectViolations', () => {
  it('names the judge and its verdict', () => {
    const judge = new ConvergenceJudge(1);
    expect(collectViolations([judge, new AgreementJudge()])).toEqual([
      { judge: 'convergence', verdict: 'liveness', text: 'the run was never healed' },
    ]);
  });
});

describe('copies judge', () => {
  const counted = (complete: number, destroyed: number): readonly string[] => {
    const judge = new CopiesJudge();
    judge.counted({
      region: 'us-east-1',
      atUs: 5,
      when: 'recovered',
      head: epoch(2),
      vdl: lsn(100),
      complete,
      destroyed,
    });
    return judge.violations();
  };

  it('is content with four whole disks, or with three and one that a fault destroyed', () => {
    expect(counted(4, 0)).toEqual([]);
    expect(counted(3, 1)).toEqual([]);
  });

  it('objects to three', () => {
    expect(counted(3, 0)).toHaveLength(1);
  });
});

describe('quorum judge', () => {
  const ended = (
    answers: readonly (readonly [atMs: number, node: number, scl: number])[],
    lost: readonly number[] = [],
  ) => {
    const judge = new QuorumJudge();
    for (const [atMs, node, scl] of answers)
      judge.answered(1_000 * atMs, epoch(2), nodeId(`n${node}`), [[pgId(0), lsn(scl)]]);
    for (const node of lost) judge.lost(epoch(2), nodeId(`n${node}`));
    judge.reignEnded(1_000 * 10_000, 'us-east-1', epoch(2), 'as it says');
    return judge.violations();
  };
  const from = (atMs: number, scl: number, ...nodes: readonly number[]) =>
    nodes.map((node) => [atMs, node, scl] as const);

  it('is content when what got on was the next reign, of another gateway of the region', () => {
    const judge = new QuorumJudge();
    for (const [atMs, scl] of [
      [9_000, 1],
      [9_900, 2],
    ] as const)
      for (const node of [1, 2, 3, 4])
        judge.answered(1_000 * atMs, epoch(3), nodeId(`n${node}`), [[pgId(0), lsn(scl)]]);
    judge.reignEnded(1_000 * 10_000, 'us-east-1', epoch(2), 'as it says');
    expect(judge.violations()).toEqual([]);
  });

  it('objects to the end of a reign whose nodes had just persisted more', () => {
    expect(ended([...from(0, 10, 1, 2, 3, 4), ...from(9_000, 20, 1, 2, 3, 4)])).toEqual([
      expect.stringContaining('epoch 2 of us-east-1 ended'),
    ]);
  });

  it('is content when fewer than four did, or said the same again, or did long ago, or are gone', () => {
    expect(ended([...from(0, 10, 1, 2, 3, 4), ...from(9_000, 20, 1, 2, 3)])).toEqual([]);
    expect(ended([...from(0, 10, 1, 2, 3, 4), ...from(9_000, 10, 1, 2, 3, 4)])).toEqual([]);
    expect(ended([...from(0, 10, 1, 2, 3, 4), ...from(6_900, 20, 1, 2, 3, 4)])).toEqual([]);
    expect(ended([...from(0, 10, 1, 2, 3, 4), ...from(9_000, 20, 1, 2, 3, 4)], [4])).toEqual([]);
  });
});

describe('a recovered epoch', () => {
  it('may be shipped up to where it was recovered, which its dead writer did not know', () => {
    const judge = new MonotonicJudge();
    judge.primary(epoch(1), lsn(100));
    judge.recovered(epoch(1), lsn(140));
    judge.recovered(epoch(1), lsn(120));
    judge.shipped('eu-west-1', epoch(1), lsn(140));
    expect(judge.violations()).toEqual([]);
    judge.shipped('eu-west-1', epoch(1), lsn(141));
    expect(judge.violations()).toHaveLength(1);
  });
});
