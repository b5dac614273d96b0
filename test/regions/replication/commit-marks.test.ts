import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type CommitMark,
  CommitMarks,
  commitMarksIn,
} from '../../../regions/replication/core/commit-marks.ts';
import { encodeFrame, splitFrames } from '../../../storage/redo/frame.ts';
import { epoch, lsn, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';
import { encodeMtr } from '../../../storage/redo/record.ts';

const mark = (at: number): CommitMark => ({ lsn: lsn(at), commitTimeUs: at * 1_000, commits: 1 });

describe('commit marks', () => {
  test('name the oldest commit above the settled VDL', () => {
    const marks = new CommitMarks(8);
    expect(marks.oldest).toBeNull();
    marks.add([mark(10), mark(20), mark(30)]);
    expect(marks.oldest).toEqual(mark(10));
    marks.settle(lsn(20));
    expect(marks.oldest).toEqual(mark(30));
    marks.settle(lsn(30));
    expect(marks.oldest).toBeNull();
  });

  test('take a commit once, however often it is read', () => {
    const marks = new CommitMarks(8);
    marks.add([mark(10), mark(20)]);
    marks.add([mark(10), mark(20), mark(30)]);
    marks.settle(lsn(10));
    expect(marks.oldest).toEqual(mark(20));
    marks.settle(lsn(20));
    expect(marks.oldest).toEqual(mark(30));
  });

  test('start anew after clear', () => {
    const marks = new CommitMarks(8);
    marks.add([mark(50)]);
    marks.clear();
    marks.add([mark(10)]);
    expect(marks.oldest).toEqual(mark(10));
  });

  test('count what is left exactly, or less than that when they had to be thinned and say so', () => {
    const batches = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(
        batches,
        fc.integer({ min: 2, max: 64 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (sizes, limit, share) => {
          const marks = new CommitMarks(limit);
          let last = 0;
          for (const size of sizes) {
            marks.add(Array.from({ length: size }, (_, index) => mark(last + index + 1)));
            last += size;
          }
          const vdl = Math.floor(share * last);
          marks.settle(lsn(vdl));
          const { commits, isExact } = marks.count;
          if (isExact || last <= limit) expect(commits).toBe(last - vdl);
          expect(commits).toBeLessThanOrEqual(last - vdl);
          if (vdl < last) expect(commits).toBeGreaterThan(0);
          if (last <= limit) expect(isExact).toBe(true);
        },
      ),
    );
  });

  test('never understate the age of the oldest commit, however much is thinned', () => {
    const batches = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(batches, fc.array(fc.double({ min: 0, max: 1, noNaN: true })), (sizes, settles) => {
        const marks = new CommitMarks(4);
        let last = 0;
        for (const size of sizes) {
          marks.add(Array.from({ length: size }, (_, index) => mark(last + index + 1)));
          last += size;
        }
        for (const share of [...settles].sort((a, b) => a - b)) {
          const vdl = Math.floor(share * last);
          marks.settle(lsn(vdl));
          const truly = vdl < last ? (vdl + 1) * 1_000 : null;
          const told = marks.oldest?.commitTimeUs ?? null;
          if (truly === null) expect(told).toBeNull();
          else expect(told ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(truly);
        }
      }),
    );
  });
});

describe('commit marks of frames', () => {
  const timesUs = [1, 255, 1_764_200_000_123_456, Number.MAX_SAFE_INTEGER];
  const traces = [null, new Uint8Array(25).fill(7)];
  const change = {
    kind: 'pageDelta',
    page: pageNo(1),
    runs: [{ offset: 3, bytes: new Uint8Array([9]) }],
  } as const;
  const base = lsn(1_000);
  const parts = timesUs.map(
    (commitTimeUs, at) =>
      encodeMtr(
        [change],
        [{ kind: 'commit', commitTimeUs, trace: traces[at % 2] ?? null }],
        redoLimits.pgBytesMin,
      ).runs[0]?.bytes ?? new Uint8Array(0),
  );
  const ends = parts.map((_, at) =>
    lsn(base + parts.slice(0, at + 1).reduce((sum, { length }) => sum + length, 0)),
  );
  const split = splitFrames(encodeFrame({ epoch: epoch(1), pg: pgId(0), base, prevPg: base }, parts));
  const frames = split.kind === 'bad' ? [] : split.frames;

  test('are where and when each transaction was committed, traced or not', () => {
    expect(commitMarksIn(frames, base, lsn(1e9))).toEqual(
      timesUs.map((commitTimeUs, at) => ({ lsn: ends[at], commitTimeUs, commits: 1 })),
    );
  });

  test('leave out what was read before, and what lies beyond', () => {
    const [first = base, second, third = base] = ends;
    expect(commitMarksIn(frames, first, lsn(third - 1)).map((mark) => mark.lsn)).toEqual([second]);
  });
});
