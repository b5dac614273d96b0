import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EpochTree } from '../../../storage/history/epoch-tree.ts';
import {
  type CommitPoint,
  CommitSearch,
  commitPointsIn,
  type LocateQuestion,
} from '../../../storage/locate/core/commit-search.ts';
import type { HeldFrame } from '../../../storage/log/core/held-frames.ts';
import { Segment } from '../../../storage/log/core/segment.ts';
import { checkedFrames, encodeFrame } from '../../../storage/redo/frame.ts';
import { epoch, lsn, pgId } from '../../../storage/redo/ids.ts';
import { Prng } from '../../simulation/world/prng.ts';
import { commitAt, delta, encoded, fork } from '../samples.ts';

interface World {
  readonly tree: EpochTree;
  readonly segment: Segment;
  readonly bytes: ReadonlyMap<string, Uint8Array>;
  readonly points: readonly (CommitPoint & { readonly epoch: number })[];
}

/** Reigns that follow one another, each from a point of an older one; transactions, groups of them, and frames without a commit. */
function drawn(dice: Prng): World {
  const forks = [fork(1, 0, 0)];
  const frames: { readonly held: HeldFrame; readonly bytes: Uint8Array }[] = [];
  const points: (CommitPoint & { epoch: number })[] = [];
  let time = 1_000;
  for (let of = 1; of <= 4; of++) {
    if (of > 1) {
      const parent = 1 + dice.below(of - 1);
      const ends = points.filter((point) => point.epoch === parent).map((point) => point.lsn as number);
      const start = forks[parent - 1]?.forkLsn ?? 0;
      forks.push(fork(of, parent, ends[dice.below(ends.length + 1)] ?? start));
    }
    let base: number = forks[of - 1]?.forkLsn ?? 0;
    for (let count = dice.below(12); count > 0; count--) {
      const parts = [encoded(delta(1 + dice.below(3), 'x'))];
      let at = base + (parts[0]?.length ?? 0);
      const commits = dice.below(4);
      let first: number | null = null;
      for (let made = 0; made < commits; made++) {
        time += dice.below(3);
        const commit = encoded(commitAt(time));
        parts.push(commit);
        at += commit.length;
        first ??= at;
      }
      if (first !== null) points.push({ lsn: lsn(at), first: lsn(first), commitTimeUs: time, epoch: of });
      const bytes = encodeFrame({ epoch: epoch(of), pg: pgId(0), base: lsn(base), prevPg: lsn(base) }, parts);
      const position = { file: of, offset: base, length: bytes.length };
      const held = {
        epoch: epoch(of),
        pg: pgId(0),
        base: lsn(base),
        end: lsn(at),
        prevPg: lsn(base),
        lastCpl: first === null ? null : lsn(at),
        position,
      };
      frames.push({ held, bytes });
      base = at;
    }
  }
  const tree = new EpochTree(forks);
  const segment = new Segment(tree);
  for (const { held } of frames) segment.insert(held);
  const bytes = new Map(frames.map(({ held, bytes }) => [`${held.epoch}/${held.base}`, bytes]));
  return { tree, segment, bytes, points };
}

function found(world: World, question: LocateQuestion): { point: CommitPoint | null; reads: number } {
  const search = new CommitSearch(world.tree, world.segment, question);
  let reads = 0;
  for (let wanted = search.wanted; wanted !== null; wanted = search.wanted) {
    reads += 1;
    const bytes = world.bytes.get(`${wanted.epoch}/${wanted.base}`);
    if (bytes === undefined) throw new Error('a frame that is not there is wanted');
    search.heard(commitPointsIn(checkedFrames(bytes)));
  }
  return { point: search.found, reads };
}

/** Every point on the path, one by one. */
function plainly({ tree, points }: World, { head, upTo, atUs }: LocateQuestion): CommitPoint | null {
  const fits = points.filter(
    ({ epoch: of, lsn: end, first, commitTimeUs }) =>
      first <= upTo &&
      end <= tree.visibleUntil(head, epoch(of)) &&
      tree.path(head).some((step) => step.epoch === of) &&
      (atUs === null || commitTimeUs <= atUs),
  );
  const last = fits.sort((a, b) => a.lsn - b.lsn).at(-1);
  return last === undefined ? null : { lsn: last.lsn, first: last.first, commitTimeUs: last.commitTimeUs };
}

describe('S40: a place in history that a time or an LSN means', () => {
  it('is the last point on the path that lies at or before it, whatever was forked', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.nat({ max: 300 }),
        fc.nat({ max: 60 }),
        fc.boolean(),
        (seed, upTo, later, timed) => {
          const world = drawn(Prng.fromSeed(seed));
          for (const head of [1, 2, 3, 4].map(epoch)) {
            const question = { head, upTo: lsn(upTo), atUs: timed ? 1_000 + later : null };
            expect(found(world, question).point).toEqual(plainly(world, question));
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it('a group of commits counts as a whole: it is there when its first commit is meant, and not before its last was made', () => {
    const [first, second] = [encoded(commitAt(5)), encoded(commitAt(9))];
    const change = encoded(delta(1, 'x'));
    const bytes = encodeFrame({ epoch: epoch(1), pg: pgId(0), base: lsn(0), prevPg: lsn(0) }, [
      change,
      first,
      second,
    ]);
    const middle = change.length + first.length;
    const end = middle + second.length;
    const tree = new EpochTree([fork(1, 0, 0)]);
    const segment = new Segment(tree);
    const position = { file: 1, offset: 0, length: bytes.length };
    const held = {
      epoch: epoch(1),
      pg: pgId(0),
      base: lsn(0),
      end: lsn(end),
      prevPg: lsn(0),
      lastCpl: lsn(end),
    };
    segment.insert({ ...held, position });
    const world = { tree, segment, bytes: new Map([['1/0', bytes]]), points: [] };
    const at = (upTo: number, atUs: number | null) =>
      found(world, { head: epoch(1), upTo: lsn(upTo), atUs }).point?.lsn ?? null;
    expect([at(middle - 1, null), at(middle, null), at(end, null)]).toEqual([null, end, end]);
    expect([at(end, 4), at(end, 5), at(end, 8), at(end, 9)]).toEqual([null, null, null, end]);
  });

  it('is found with a read for each halving, not for each transaction', () => {
    const tree = new EpochTree([fork(1, 0, 0)]);
    const segment = new Segment(tree);
    const bytes = new Map<string, Uint8Array>();
    const [change] = [encoded(delta(1, 'x'))];
    let base = 0;
    for (let made = 0; made < 4_096; made++) {
      const parts = [change, encoded(commitAt(1_000 + made))];
      const end = base + parts.reduce((sum, part) => sum + part.length, 0);
      const frame = encodeFrame({ epoch: epoch(1), pg: pgId(0), base: lsn(base), prevPg: lsn(base) }, parts);
      bytes.set(`1/${base}`, frame);
      const held = { epoch: epoch(1), pg: pgId(0), base: lsn(base), end: lsn(end), prevPg: lsn(base) };
      segment.insert({
        ...held,
        lastCpl: lsn(end),
        position: { file: 1, offset: base, length: frame.length },
      });
      base = end;
    }
    const world = { tree, segment, bytes, points: [] };
    const { point, reads } = found(world, { head: epoch(1), upTo: lsn(base), atUs: 1_777 });
    expect(point?.commitTimeUs).toBe(1_777);
    expect(reads).toBeLessThanOrEqual(13);
  });
});
