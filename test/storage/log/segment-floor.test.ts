import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EpochTree, endOfTime } from '../../../storage/history/epoch-tree.ts';
import { type Floor, floorAbove, floorOn, noFloor } from '../../../storage/history/floor.ts';
import type { HeldFrame } from '../../../storage/log/core/held-frames.ts';
import { Segment } from '../../../storage/log/core/segment.ts';
import { type Epoch, epoch, lsn, pgId } from '../../../storage/redo/ids.ts';
import { Prng } from '../../simulation/world/prng.ts';
import { fork, held } from '../samples.ts';

const at = (of: number, position: number): Floor => ({ epoch: epoch(of), lsn: lsn(position) });

describe('a floor', () => {
  /** 2 forks 1 at 50; 3 forks 2 at 80; 4 rewinds 3 to 20. */
  const tree = new EpochTree([fork(1, 0, 0), fork(2, 1, 50), fork(3, 2, 80), fork(4, 3, 20)]);
  it.each([
    [at(1, 40), [40, 40, 40, null]],
    [at(1, 60), [60, null, null, null]],
    [at(2, 50), [50, 50, 50, null]],
    [at(2, 70), [null, 70, 70, null]],
    [at(3, 20), [20, 20, 20, 20]],
    [at(4, 20), [20, 20, 20, 20]],
    [at(4, 30), [null, null, null, 30]],
    [at(9, 10), [null, null, null, null]],
    [noFloor, [0, 0, 0, 0]],
  ])('%o counts for a path only when it lies on it', (floor, on) => {
    expect([1, 2, 3, 4].map((head) => floorOn(tree, floor, epoch(head)))).toEqual(on);
  });

  it('says of a path that leaves below it up to where nothing is kept: as far as it is shared', () => {
    const above = (head: number, position: number) => floorAbove(tree, at(2, 70), epoch(head), lsn(position));
    expect([49, 50, 60].map((position) => above(1, position) !== null)).toEqual([true, false, false]);
    expect([69, 70].map((position) => above(3, position) !== null)).toEqual([true, false]);
    expect(floorAbove(tree, noFloor, epoch(1), lsn(0))).toBeNull();
  });
});

describe('images of several places (S24)', () => {
  /** 2 forks 1 at 50. The images are as of 40 to 70 of epoch 2: some lie below the fork and some above. */
  const tree = new EpochTree([fork(1, 0, 0), fork(2, 1, 50)]);
  const filled = (frames: readonly HeldFrame[]): Segment => {
    const segment = new Segment(tree, noFloor);
    segment.setFuzzy(at(2, 70));
    segment.raiseFloor(at(2, 40));
    for (const frame of frames) segment.insert(frame);
    return segment;
  };
  const [below, above, beside] = [
    held({ epoch: 1, pg: 0, base: 40, prev: 30 }),
    held({ epoch: 2, pg: 0, base: 50, prev: 50 }),
    held({ epoch: 1, pg: 0, base: 50, prev: 50 }),
  ];

  it('a log that begins below a fork counts from there on the path that they are of', () => {
    expect(filled([below]).volumeEnd(epoch(2))).toBe(50);
    const both = filled([below, above]);
    expect([both.volumeEnd(epoch(2)), both.scl(epoch(2), pgId(0))]).toEqual([60, 60]);
    expect(filled([above]).volumeEnd(epoch(2))).toBe(40);
  });

  it('and for nothing on the path that the fork left', () => {
    const segment = filled([below, beside]);
    expect([segment.volumeEnd(epoch(1)), segment.scl(epoch(1), pgId(0))]).toEqual([0, 0]);
  });
});

/** Epochs, each forked from a random place of an older one, and frames of one to three commits in three groups. */
function drawn(dice: Prng): { readonly tree: EpochTree; readonly frames: readonly HeldFrame[] } {
  const frames: HeldFrame[] = [];
  const forks = [fork(1, 0, 0)];
  for (let of = 1; of <= 4; of++) {
    if (of > 1) {
      const parent = 1 + dice.below(of - 1);
      const last = frames.findLast((frame) => frame.epoch === parent)?.end ?? forks[parent - 1]?.forkLsn ?? 0;
      forks.push(fork(of, parent, 10 * dice.below(last / 10 + 1)));
    }
    let base = forks[of - 1]?.forkLsn ?? 0;
    const start = base;
    const prevs = new Map<number, number>();
    for (let count = 2 + dice.below(8); count > 0; count--) {
      const pg = dice.below(3);
      const commits = 1 + dice.below(3);
      const sample = held({ epoch: of, pg, base, prev: prevs.get(pg) ?? start, commits });
      frames.push({ ...sample, position: { ...sample.position, file: 1 + Math.floor(frames.length / 4) } });
      base += 10 * commits;
      prevs.set(pg, base);
    }
  }
  // A fork never lies above what its parent has.
  return { tree: new EpochTree(forks), frames };
}

const heads = [1, 2, 3, 4].map(epoch);
const pgs = [0, 1, 2].map(pgId);

function expectSame(dropped: Segment, whole: Segment, tree: EpochTree, floor: Floor): void {
  for (const head of heads) {
    const on = floorOn(tree, floor, head);
    if (on === null) {
      expect([head, dropped.volumeEnd(head), dropped.scl(head, pgId(0))]).toEqual([head, 0, 0]);
      continue;
    }
    expect([head, dropped.volumeEnd(head)]).toEqual([head, Math.max(on, whole.volumeEnd(head))]);
    if (whole.volumeEnd(head) < Math.max(on, tree.startOf(head))) continue;
    for (const pg of pgs)
      expect([head, pg, dropped.scl(head, pg)]).toEqual([head, pg, Math.max(on, whole.scl(head, pg))]);
    const runOf = (segment: Segment) =>
      segment.run(head, lsn(on), 1e9, endOfTime).frames.map((frame) => [frame.epoch, frame.end]);
    expect(runOf(dropped)).toEqual(runOf(whole));
  }
}

const isNeeded = (tree: EpochTree, frame: HeldFrame, head: Epoch, floor: number): boolean =>
  frame.end > floor && frame.base < tree.visibleUntil(head, frame.epoch);

/** The highest file such that none up to it holds a frame of the path above the floor. */
function droppableFiles(
  frames: readonly HeldFrame[],
  segment: Segment,
  tree: EpochTree,
  head: Epoch,
): number {
  const first = frames
    .filter((frame) => isNeeded(tree, frame, head, segment.floor.lsn))
    .reduce((lowest, { position }) => Math.min(lowest, position.file), Number.POSITIVE_INFINITY);
  return Number.isFinite(first) ? first - 1 : 0;
}

describe('what a node holds above its floor', () => {
  it('S18: is said as if nothing had been dropped, in whatever order frames come, floors rise and files go', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const dice = Prng.fromSeed(seed);
        const { tree, frames } = drawn(dice);
        const whole = new Segment(tree);
        for (const frame of frames) whole.insert(frame);
        const head = dice.pick(heads);
        const end = whole.volumeEnd(head);
        const floors = [0, 1, 2].map(() => lsn(10 * dice.below(end / 10 + 1))).sort((a, b) => a - b);
        let segment = new Segment(tree);
        let gone = 0;
        const order = dice.shuffle(frames);
        for (const [index, frame] of order.entries()) {
          // What comes again after it was dropped is held again.
          segment.insert(frame);
          if (index % 8 !== 7) continue;
          const position = floors.shift();
          if (position !== undefined) segment.raiseFloor({ epoch: head, lsn: position });
          if (dice.perMille(300)) segment.join(head, lsn(dice.below(end + 1)));
          if (dice.perMille(300)) {
            // A restart: what was dropped is not read again.
            const { floor } = segment;
            segment = new Segment(tree, floor);
            for (const kept of order.slice(0, index + 1)) if (kept.position.file > gone) segment.insert(kept);
          }
          const droppable = droppableFiles(order, segment, tree, head);
          if (droppable > gone && dice.perMille(700)) {
            segment.forgetFiles(droppable);
            gone = droppable;
          }
        }
        // Frames that no path from the floor leads to may have gone: only what is above it on the path is compared.
        const { floor } = segment;
        for (const frame of frames) if (!isNeeded(tree, frame, head, floor.lsn)) segment.insert(frame);
        expectSame(segment, whole, tree, floor);
      }),
      { numRuns: 400 },
    );
  });

  it('tells where the path ends in a file, for files that hold several epochs', () => {
    const tree = new EpochTree([fork(1, 0, 0), fork(2, 1, 20)]);
    const segment = new Segment(tree);
    const put = (sample: Parameters<typeof held>[0], file: number) =>
      segment.insert({ ...held(sample), position: { file, offset: 0, length: 46 } });
    put({ base: 0 }, 1);
    put({ base: 10, commits: 3, prev: 10 }, 1);
    put({ base: 40, prev: 40 }, 2);
    put({ epoch: 2, base: 20 }, 2);
    expect([1, 2, 3].map((file) => segment.endInFile(epoch(1), file))).toEqual([40, 50, 0]);
    expect([1, 2, 3].map((file) => segment.endInFile(epoch(2), file))).toEqual([20, 30, 0]);
    segment.raiseFloor(at(2, 20));
    segment.forgetFiles(1);
    expect(segment.endInFile(epoch(1), 1)).toBe(0);
    // What was left behind at 20 went with the file: of that path nothing is claimed beyond it.
    expect([segment.volumeEnd(epoch(1)), segment.volumeEnd(epoch(2))]).toEqual([20, 30]);
    expect(segment.isBelowFloor(held({ base: 10 }))).toBe(true);
    expect(segment.isBelowFloor(held({ base: 20 }))).toBe(false);
    expect(segment.isBelowFloor(held({ epoch: 2, base: 20 }))).toBe(false);
  });
});
