/** Frames joined into stretches: fewer entries, and the same answers to everybody who does not ask for single frames. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EpochTree, endOfTime } from '../../../storage/history/epoch-tree.ts';
import type { HeldFrame } from '../../../storage/log/core/held-frames.ts';
import { Segment } from '../../../storage/log/core/segment.ts';
import { type Epoch, epoch, type Lsn, lsn, pgId, zeroLsn } from '../../../storage/redo/ids.ts';
import { segmentLimits } from '../../../storage/redo/limits.ts';
import { fork } from '../samples.ts';

interface Sample {
  readonly payload: number;
  /** Whether it lies behind the frame before, in the same file. */
  readonly adjacent: boolean;
  readonly pg: number;
}

/** Frames one after another in an epoch, from `base` on. */
function chain(of: Epoch, base: Lsn, samples: readonly Sample[]): readonly HeldFrame[] {
  const lastOfPg = new Map<number, Lsn>();
  let at = base;
  let file = 1;
  let offset = 0;
  return samples.map(({ payload, adjacent, pg }) => {
    if (!adjacent) {
      file += 1;
      offset = 0;
    }
    const end = lsn(at + payload);
    const frame: HeldFrame = {
      epoch: of,
      pg: pgId(pg),
      base: at,
      end,
      prevPg: lastOfPg.get(pg) ?? base,
      lastCpl: end,
      position: { file, offset, length: payload + 36 },
    };
    lastOfPg.set(pg, end);
    at = end;
    offset += payload + 36;
    return frame;
  });
}

const samples = fc.array(
  fc.record({
    payload: fc.integer({ min: 1, max: 3_000 }),
    adjacent: fc.integer({ min: 0, max: 19 }).map((n) => n > 0),
    pg: fc.integer({ min: 0, max: 19 }).map((n) => (n === 0 ? 1 : 0)),
  }),
  { minLength: 100, maxLength: 250 },
);

function segmentOf(frames: readonly HeldFrame[], tree = new EpochTree([fork(1, 0, 0)])): Segment {
  const segment = new Segment(tree);
  for (const frame of frames) segment.insert(frame);
  return segment;
}

/** The bytes of the log that frames cover, in their order, as ranges that do not touch. */
function bytesOf(frames: readonly HeldFrame[]): readonly { file: number; from: number; to: number }[] {
  const ranges: { file: number; from: number; to: number }[] = [];
  for (const { position } of frames) {
    const { file, offset, length } = position;
    const last = ranges.at(-1);
    if (last?.file === file && last.to === offset) last.to += length;
    else ranges.push({ file, from: offset, to: offset + length });
  }
  return ranges;
}

it('answers for every frame, and covers the same bytes in the same order, with fewer entries', () => {
  fc.assert(
    fc.property(samples, fc.double({ min: 0, max: 1, noNaN: true }), (given, share) => {
      const frames = chain(epoch(1), zeroLsn, given);
      const whole = segmentOf(frames);
      const joined = segmentOf(frames);
      const limit = lsn(Math.floor(whole.lastLsn * share));
      joined.join(epoch(1), limit);
      for (const frame of frames) expect(joined.has(frame)).toBe(true);
      for (const frame of frames) expect(joined.insert(frame)).toBe(false);
      expect(joined.volumeEnd(epoch(1))).toBe(whole.volumeEnd(epoch(1)));
      expect(joined.scls(epoch(1))).toEqual(whole.scls(epoch(1)));
      expect(joined.framesAbove(epoch(1), limit)).toEqual(whole.framesAbove(epoch(1), limit));
      const run = joined.run(epoch(1), zeroLsn, 1e9, endOfTime);
      const before = whole.run(epoch(1), zeroLsn, 1e9, endOfTime);
      expect(run.end).toBe(before.end);
      expect(bytesOf(run.frames)).toEqual(bytesOf(before.frames));
      for (const { position } of run.frames)
        expect(position.length).toBeLessThanOrEqual(segmentLimits.stretchBytes);
    }),
    { numRuns: 30 },
  );
});

it('begins a run with the stretch that holds its start', () => {
  const frames = chain(
    epoch(1),
    zeroLsn,
    Array.from({ length: 200 }, () => ({ payload: 50, adjacent: true, pg: 0 })),
  );
  const segment = segmentOf(frames);
  segment.join(epoch(1), lsn(9_000));
  const { frames: run } = segment.run(epoch(1), lsn(1_025), 1e9, endOfTime);
  expect(run[0]?.base).toBe(0);
  expect(run[0]?.end).toBe(9_000);
  expect(segment.frameCount).toBe(21);
});

it('goes on joining as the limit rises, and keeps what came out of order', () => {
  const frames = chain(
    epoch(1),
    zeroLsn,
    Array.from({ length: 400 }, () => ({ payload: 50, adjacent: true, pg: 0 })),
  );
  const segment = segmentOf(frames.filter((_, at) => at !== 30));
  segment.join(epoch(1), lsn(5_000));
  const late = frames[30];
  if (late === undefined) throw new Error('a frame');
  expect(segment.has(late)).toBe(false);
  expect(segment.insert(late)).toBe(true);
  expect(segment.volumeEnd(epoch(1))).toBe(20_000);
  for (const limit of [10_000, 15_000, 20_000]) segment.join(epoch(1), lsn(limit));
  expect(segment.frameCount).toBeLessThan(10);
  expect(bytesOf(segment.run(epoch(1), zeroLsn, 1e9, endOfTime).frames)).toEqual(bytesOf(frames));
});

it('gives a path that leaves in the middle of a stretch nothing from beyond its fork', () => {
  const tree = new EpochTree([fork(1, 0, 0)]);
  const segment = segmentOf(
    chain(
      epoch(1),
      zeroLsn,
      Array.from({ length: 100 }, () => ({ payload: 50, adjacent: true, pg: 0 })),
    ),
    tree,
  );
  segment.join(epoch(1), lsn(5_000));
  tree.add(fork(2, 1, 1_000));
  const { frames, end } = segment.run(epoch(2), zeroLsn, 1e9, endOfTime);
  expect(frames.map((frame) => [frame.base, frame.end])).toEqual([[0, 1_000]]);
  expect(end).toBe(1_000);
});
