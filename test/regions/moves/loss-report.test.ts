import { describe, expect, test } from 'vitest';
import { moveLimits } from '../../../regions/control/core/move-limits.ts';
import {
  branchOfLoss,
  LossCollector,
  type LossReport,
  lossPlaces,
  lossReportSchema,
  mergeLosses,
  pathOfLoss,
} from '../../../regions/moves/core/loss-report.ts';
import { encodeFrame, type ReceivedFrame, splitFrames } from '../../../storage/redo/frame.ts';
import { branchName, epoch, type Lsn, lsn, pgId, regionId } from '../../../storage/redo/ids.ts';
import { type Commit, encodeMtr } from '../../../storage/redo/record.ts';

const commit = (commitTimeUs: number, trace: Uint8Array | null = null): Commit => ({
  kind: 'commit',
  commitTimeUs,
  trace,
});
/** An untraced commit record encodes to this many bytes. */
const commitBytes = encodeMtr([], [commit(0)], 1 << 20).byteLength;

function frameOf(base: Lsn, commits: readonly Commit[]): ReceivedFrame {
  const parts = commits.flatMap((each) => encodeMtr([], [each], 1 << 20).runs.map((run) => run.bytes));
  const split = splitFrames(encodeFrame({ epoch: epoch(1), pg: pgId(0), base, prevPg: base }, parts));
  if (split.kind === 'bad' || split.frames[0] === undefined) throw new Error('the frame does not check');
  return split.frames[0];
}

const about = { epoch: epoch(2), orphanEpoch: epoch(1), region: regionId('us-east-1'), foundAtMs: 5 };

describe('loss collector', () => {
  test('lists the commits of its range, with their times and trace ids', () => {
    const trace = new Uint8Array(25).fill(0xab);
    const collector = new LossCollector({ from: lsn(100), to: lsn(1_000) });
    collector.add(frameOf(lsn(100), [commit(7), commit(9, trace)]));
    const report = collector.report(about);
    expect(report).toMatchObject({
      count: 2,
      firstCommitTimeUs: 7,
      lastCommitTimeUs: 9,
      lostBytes: 900,
      truncated: false,
    });
    expect(report.commits).toEqual([
      { lsn: 100 + commitBytes, commitTimeUs: 7, traceId: null },
      { lsn: 100 + 2 * commitBytes + 25, commitTimeUs: 9, traceId: 'ab'.repeat(16) },
    ]);
    expect(lossReportSchema.parse(report)).toEqual(report);
  });

  test('names the branch, and says nothing of one for main', () => {
    const collector = new LossCollector({ from: lsn(0), to: lsn(1_000) });
    collector.add(frameOf(lsn(0), [commit(7)]));
    expect(collector.report(about)).not.toHaveProperty('branch');
    const report = collector.report({ ...about, branch: branchName('dev') });
    expect(report).toMatchObject({ branch: 'dev', count: 1 });
    expect(lossReportSchema.parse(report)).toEqual(report);
    expect([branchOfLoss(report), branchOfLoss(collector.report(about))]).toEqual(['dev', 'main']);
    expect([pathOfLoss(report), pathOfLoss(collector.report(about))]).toEqual(['/branch/dev/', '']);
    const main = collector.report({ ...about, orphanEpoch: epoch(9) });
    expect(mergeLosses([main, report, report]).map(branchOfLoss)).toEqual(['dev', 'main']);
  });

  test('says up to where the log was gone, and counts what lies above', () => {
    const collector = new LossCollector({ from: lsn(10), to: lsn(1_000) });
    collector.skip(lsn(100));
    collector.add(frameOf(lsn(100), [commit(7)]));
    expect(collector.report(about)).toMatchObject({ fromLsn: 10, unlistedTo: 100, count: 1 });
  });

  test('leaves out what lies at or below the fork and what was never durable', () => {
    const collector = new LossCollector({ from: lsn(commitBytes), to: lsn(2 * commitBytes) });
    collector.add(frameOf(lsn(0), [commit(1), commit(2), commit(3)]));
    expect(collector.report(about).commits.map((each) => each.commitTimeUs)).toEqual([2]);
  });

  test('counts a commit once when its frame is read again', () => {
    const collector = new LossCollector({ from: lsn(0), to: lsn(10_000) });
    collector.add(frameOf(lsn(0), [commit(1), commit(2)]));
    collector.add(frameOf(lsn(0), [commit(1), commit(2), commit(3)]));
    expect(collector.report(about)).toMatchObject({ count: 3, lastCommitTimeUs: 3 });
  });

  test('keeps a bounded list, and counts on', () => {
    const perFrame = 10_000;
    const collector = new LossCollector({ from: lsn(0), to: lsn(Number.MAX_SAFE_INTEGER) });
    const frames = moveLimits.lossCommitsMax / perFrame + 1;
    for (let at = 0; at < frames; at++) {
      const base = at * perFrame * commitBytes;
      collector.add(
        frameOf(
          lsn(base),
          Array.from({ length: perFrame }, (_, index) => commit(at * perFrame + index)),
        ),
      );
    }
    const report = collector.report(about);
    expect(report.commits.length).toBe(moveLimits.lossCommitsMax);
    expect(report).toMatchObject({
      count: frames * perFrame,
      truncated: true,
      lastCommitTimeUs: frames * perFrame - 1,
    });
  });

  test('of a range without commits reports none', () => {
    expect(new LossCollector({ from: lsn(5), to: lsn(9) }).report(about)).toMatchObject({
      count: 0,
      firstCommitTimeUs: null,
    });
  });
});

describe('merged losses', () => {
  const report = (region: string, orphanEpoch: number, lsns: readonly number[]): LossReport => ({
    v: 1,
    epoch: 9,
    orphanEpoch,
    region,
    fromLsn: (lsns[0] ?? 1) - 1,
    toLsn: lsns.at(-1) ?? 0,
    lostBytes: (lsns.at(-1) ?? 0) - (lsns[0] ?? 1) + 1,
    count: lsns.length,
    firstCommitTimeUs: lsns[0] ?? null,
    lastCommitTimeUs: lsns.at(-1) ?? null,
    truncated: false,
    commits: lsns.map((at) => ({ lsn: at, commitTimeUs: at, traceId: null })),
    foundAtMs: 1,
  });

  test('hold a commit once that two regions lost', () => {
    const merged = mergeLosses([report('a', 3, [10, 20]), report('b', 3, [10, 20, 30]), report('a', 1, [5])]);
    expect(merged.map((each) => [each.orphanEpoch, each.count])).toEqual([
      [1, 1],
      [3, 3],
    ]);
    expect(merged[1]?.commits.map((each) => each.lsn)).toEqual([10, 20, 30]);
  });

  test('are read in the region whose orphan reaches furthest, also when another lists more of it', () => {
    const [merged] = mergeLosses([report('a', 3, [10, 20, 30]), report('b', 3, [30, 40])]);
    expect(merged).toMatchObject({ region: 'b', count: 4 });
    expect(merged === undefined ? null : lossPlaces(merged)).toEqual({ before: '3:9', after: '3:40' });
  });

  test('cover everything that any region lost, in range, times and count alike', () => {
    const [merged] = mergeLosses([report('a', 3, [10, 20]), report('b', 3, [30, 40, 50])]);
    expect(merged).toMatchObject({
      count: 5,
      fromLsn: 9,
      toLsn: 50,
      lostBytes: 41,
      firstCommitTimeUs: 10,
      lastCommitTimeUs: 50,
    });
    expect(merged?.commits.map((each) => each.lsn)).toEqual([10, 20, 30, 40, 50]);
  });

  test('name what was collected before it could be listed, unless another region lists it', () => {
    const collected = { ...report('a', 3, [20, 30]), fromLsn: 9, unlistedTo: 15 };
    expect(lossReportSchema.parse(collected)).toEqual(collected);
    expect(mergeLosses([collected])[0]).toMatchObject({ fromLsn: 9, unlistedTo: 15 });
    const merged = mergeLosses([collected, report('b', 3, [10, 20])])[0];
    expect(merged?.unlistedTo).toBeUndefined();
    expect(merged?.commits.map((each) => each.lsn)).toEqual([10, 20, 30]);
  });

  test('stay truncated while they list fewer than they count', () => {
    const long = { ...report('a', 3, [10, 20]), count: 9, truncated: true };
    expect(mergeLosses([long, report('b', 3, [10, 30])])[0]).toMatchObject({ count: 9, truncated: true });
  });

  test('do not depend on the order of the reports', () => {
    const reports = [report('a', 3, [10, 20]), report('b', 3, [20, 30]), report('c', 2, [1])];
    expect(mergeLosses([...reports].reverse())).toEqual(mergeLosses(reports));
  });
});
