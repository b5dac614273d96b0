import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EpochTree, endOfTime } from '../../../storage/history/epoch-tree.ts';
import type { HeldFrame } from '../../../storage/log/core/held-frames.ts';
import { Segment } from '../../../storage/log/core/segment.ts';
import { epoch, lsn, pgId } from '../../../storage/redo/ids.ts';
import { Prng } from '../../simulation/world/prng.ts';
import { type FrameSample, fork, held } from '../samples.ts';

/** Epoch 1 in two groups up to 100; 2 forks inside its frame [40, 70) at 50; 3 forks 2 at 80; 4 rewinds to 20. */
const tree = () => new EpochTree([fork(1, 0, 0), fork(2, 1, 50), fork(3, 2, 80), fork(4, 3, 20)]);
const samples: readonly FrameSample[] = [
  { base: 0, prev: 0, pg: 0 },
  { base: 10, prev: 0, pg: 1, commits: 3 },
  { base: 40, prev: 10, pg: 0, commits: 3 },
  { base: 70, prev: 40, pg: 1, commits: 3 },
  { epoch: 2, base: 50, prev: 50, pg: 1 },
  { epoch: 2, base: 60, prev: 60, pg: 1, commits: 1 },
  { epoch: 2, base: 70, prev: 50, pg: 0, commits: 2 },
  { epoch: 3, base: 80, prev: 80, pg: 0 },
  { epoch: 4, base: 20, prev: 20, pg: 2 },
];

function filled(frames: readonly HeldFrame[]): Segment {
  const segment = new Segment(tree());
  for (const frame of frames) segment.insert(frame);
  return segment;
}

function view(segment: Segment): unknown {
  return [1, 2, 3, 4].map(epoch).map((head) => ({
    end: segment.volumeEnd(head),
    scls: [0, 1, 2].map((pg) => segment.scl(head, pgId(pg))),
    listed: [...segment.scls(head)].sort(([a], [b]) => a - b),
    run: segment.run(head, lsn(0), 1e9, endOfTime).frames.map((frame) => [frame.epoch, frame.base]),
  }));
}

const basesOf = (frames: readonly HeldFrame[]) => frames.map((frame) => `${frame.epoch}:${frame.base}`);

describe('what a node holds', () => {
  const all = filled(samples.map(held));

  it('reads gap-free along every path, over forks inside frames and rewinds', () => {
    expect([1, 2, 3, 4].map((head) => all.volumeEnd(epoch(head)))).toEqual([100, 90, 90, 30]);
    expect(basesOf(all.run(epoch(3), lsn(0), 1e9, endOfTime).frames)).toEqual([
      '1:0',
      '1:10',
      '1:40',
      '2:50',
      '2:60',
      '2:70',
      '3:80',
    ]);
    expect(basesOf(all.run(epoch(4), lsn(0), 1e9, endOfTime).frames)).toEqual(['1:0', '1:10', '4:20']);
  });

  it('has SCLs from the chains of each group, anchored at the fork of the head', () => {
    const scls = (head: number) => [0, 1, 2].map((pg) => all.scl(epoch(head), pgId(pg)));
    expect(scls(1)).toEqual([70, 100, 0]);
    expect(scls(2)).toEqual([90, 70, 50]);
    expect(scls(3)).toEqual([90, 80, 80]);
    expect([...all.scls(epoch(3))].sort()).toEqual([
      [0, 90],
      [1, 80],
    ]);
  });

  it('is complete only to its hole, for every group, while that lies below the fork of the head', () => {
    const holed = filled(samples.filter((sample) => sample.base !== 10).map(held));
    expect(holed.volumeEnd(epoch(3))).toBe(10);
    expect([0, 1].map((pg) => holed.scl(epoch(3), pgId(pg)))).toEqual([10, 10]);
    expect([0, 1].map((pg) => holed.scl(epoch(1), pgId(pg)))).toEqual([70, 0]);
    holed.insert(held({ base: 10, prev: 0, pg: 1, commits: 3 }));
    expect(view(holed)).toEqual(view(all));
  });

  it('is the same in whatever order and however often frames arrive', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 8 }), (seed, repeats) => {
        const dice = Prng.fromSeed(seed);
        const order = dice.shuffle([...samples, ...samples.slice(0, repeats)].map(held));
        expect(view(filled(order))).toEqual(view(all));
      }),
      { numRuns: 300 },
    );
  });

  it('says whether a frame was here already', () => {
    const segment = new Segment(tree());
    const frame = held({ base: 0 });
    expect(segment.has(frame)).toBe(false);
    expect(segment.insert(frame)).toBe(true);
    expect(segment.insert(frame)).toBe(false);
    expect(segment.has(frame)).toBe(true);
    expect(segment.has({ epoch: epoch(2), base: lsn(0) })).toBe(false);
    expect(segment.frameCount).toBe(1);
    expect(segment.lastLsn).toBe(10);
  });

  it('takes no frame of an epoch it does not know', () => {
    expect(() => new Segment(tree()).insert(held({ epoch: 9, base: 0 }))).toThrow('S4');
  });
});

describe('a run of frames', () => {
  const all = filled(samples.map(held));

  it('starts with the frame that holds its first byte', () => {
    expect(basesOf(all.run(epoch(3), lsn(45), 1e9, endOfTime).frames).slice(0, 2)).toEqual(['1:40', '2:50']);
    expect(basesOf(all.run(epoch(3), lsn(50), 1e9, endOfTime).frames).slice(0, 1)).toEqual(['2:50']);
    expect(basesOf(all.run(epoch(1), lsn(50), 1e9, endOfTime).frames).slice(0, 1)).toEqual(['1:40']);
  });

  it('ends before the limit, before a gap and within the bytes, but is never empty for being too long', () => {
    expect(all.run(epoch(3), lsn(0), 1e9, lsn(60))).toMatchObject({ end: 60 });
    expect(all.run(epoch(3), lsn(0), 1e9, lsn(61))).toMatchObject({ end: 70 });
    expect(basesOf(all.run(epoch(3), lsn(0), 1, endOfTime).frames)).toEqual(['1:0']);
    expect(basesOf(all.run(epoch(3), lsn(0), 46 + 66, endOfTime).frames)).toEqual(['1:0', '1:10']);
    const holed = filled(samples.filter((sample) => sample.base !== 60).map(held));
    expect(holed.run(epoch(3), lsn(0), 1e9, endOfTime)).toMatchObject({ end: 60 });
    expect(holed.run(epoch(3), lsn(60), 1e9, endOfTime)).toEqual({ frames: [], end: 60 });
  });

  it('can be followed to the end from any start, a piece at a time', () => {
    for (let from = 0; from < 90; from++) {
      let at = lsn(from);
      for (
        let next = all.run(epoch(3), at, 1, endOfTime);
        next.frames.length > 0;
        next = all.run(epoch(3), at, 1, endOfTime)
      ) {
        expect(next.end).toBeGreaterThan(at);
        at = next.end;
      }
      expect(at).toBe(90);
    }
  });

  it('above a point lists frames over gaps too, with the one that straddles it', () => {
    const holed = filled(samples.filter((sample) => sample.base !== 10).map(held));
    expect(basesOf(holed.framesAbove(epoch(1), lsn(45)))).toEqual(['1:40', '1:70']);
    expect(basesOf(holed.framesAbove(epoch(1), lsn(70)))).toEqual(['1:70']);
    expect(basesOf(holed.framesAbove(epoch(1), lsn(5)))).toEqual(['1:0', '1:40', '1:70']);
    expect(holed.framesAbove(epoch(9), lsn(0))).toEqual([]);
  });
});
