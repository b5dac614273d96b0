import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  commonPoint,
  EpochTree,
  endOfTime,
  type Fork,
  forkSchema,
} from '../../../storage/history/epoch-tree.ts';
import { branchName, epoch, lsn, mainBranch } from '../../../storage/redo/ids.ts';
import { epochs, fork } from '../samples.ts';

const clone = branchName('clone');

/**
 * 0 ─ 1 ──100── 2 ──150── 3          a crash at 100, another at 150
 *          │        └─50── 4          a rewind past the fork of 2, into epoch 1
 *          └──80── 5 (clone)          a clone at 80
 */
const forks: readonly Fork[] = [
  fork(1, 0, 0),
  fork(2, 1, 100),
  fork(3, 2, 150),
  fork(4, 2, 50),
  fork(5, 1, 80, clone),
];

const pathOf = (tree: EpochTree, head: number) =>
  tree
    .path(epoch(head))
    .map((step) => [step.epoch, step.from, step.until === endOfTime ? 'end' : step.until]);

describe('a path through the history tree', () => {
  const tree = new EpochTree(forks);

  it.each([
    [0, []],
    [1, [[1, 0, 'end']]],
    [
      2,
      [
        [1, 0, 100],
        [2, 100, 'end'],
      ],
    ],
    [
      3,
      [
        [1, 0, 100],
        [2, 100, 150],
        [3, 150, 'end'],
      ],
    ],
    [
      4,
      [
        [1, 0, 50],
        [4, 50, 'end'],
      ],
    ],
    [
      5,
      [
        [1, 0, 80],
        [5, 80, 'end'],
      ],
    ],
  ])('to %i reads %j', (head, expected) => {
    expect(pathOf(tree, head)).toEqual(expected);
  });

  it.each([
    [2, 1000, 1, 100, true],
    [2, 1000, 1, 101, false],
    [2, 90, 1, 91, false],
    [2, 90, 1, 90, true],
    [2, 1000, 2, 101, true],
    [1, 1000, 2, 101, false],
    [3, 1000, 2, 150, true],
    [3, 1000, 2, 151, false],
    [4, 1000, 1, 50, true],
    [4, 1000, 1, 51, false],
    [4, 1000, 2, 101, false],
    [5, 1000, 1, 80, true],
    [5, 1000, 1, 81, false],
    [0, 1000, 1, 1, false],
  ])('to head %i at read point %i shows epoch %i at %i: %s', (head, readPoint, of, at, expected) => {
    expect(tree.visible(epoch(head), lsn(readPoint), { epoch: epoch(of), lsn: lsn(at) })).toBe(expected);
  });

  it('begins with the reign that began the branch, and not with an older branch of that name', () => {
    const again = new EpochTree([...forks, fork(6, 5, 90, branchName('other')), fork(7, 6, 95, clone)]);
    const origins = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((head) => again.originOf(epoch(head)));
    expect(origins).toEqual([0, 1, 1, 1, 1, 5, 6, 7, 8]);
    again.add(fork(8, 7, 99, clone));
    expect(again.originOf(epoch(8))).toBe(7);
  });

  it('leaves out epochs in which nothing was written', () => {
    const idle = new EpochTree([fork(1, 0, 0), fork(2, 1, 100), fork(3, 2, 100), fork(4, 3, 100)]);
    expect(pathOf(idle, 4)).toEqual([
      [1, 0, 100],
      [4, 100, 'end'],
    ]);
    expect(idle.forksOf(epoch(4)).map((step) => step.epoch)).toEqual([1, 2, 3, 4]);
  });

  it('stays what it was when siblings and children are added later', () => {
    const growing = new EpochTree(forks.slice(0, 2));
    const before = pathOf(growing, 2);
    expect(growing.add(fork(6, 1, 10))).toBe('added');
    expect(growing.add(fork(7, 2, 110))).toBe('added');
    expect(pathOf(growing, 2)).toEqual(before);
    expect(pathOf(growing, 7)).toEqual([
      [1, 0, 100],
      [2, 100, 110],
      [7, 110, 'end'],
    ]);
  });

  it('is not to be had to an epoch that is not in the tree', () => {
    expect(() => tree.path(epoch(9))).toThrow('epoch 9 is not in the tree');
    expect(() => tree.forksOf(epoch(9))).toThrow('epoch 9 is not in the tree');
  });
});

describe('adding a fork', () => {
  it.each([
    [fork(2, 1, 100), 'known'],
    [fork(2, 1, 101), 'conflict'],
    [fork(2, 0, 100), 'conflict'],
    [fork(2, 1, 100, clone), 'conflict'],
    [fork(6, 6, 0), 'conflict'],
    [fork(6, 7, 0), 'conflict'],
    [fork(9, 8, 10), 'orphan'],
    [fork(6, 3, 10), 'added'],
  ])('%j is %s', (candidate, expected) => {
    expect(new EpochTree(forks).add(candidate)).toBe(expected);
  });

  it('a tree is not made of forks that contradict each other or lack a parent', () => {
    expect(() => new EpochTree([fork(1, 0, 0), fork(1, 0, 5)])).toThrow(
      'S3: the tree holds two forks of epoch 1',
    );
    expect(() => new EpochTree([fork(1, 0, 0), fork(3, 2, 5)])).toThrow(
      'S3: the tree holds epoch 3 without its parent 2',
    );
  });

  it('takes forks in any order when they come together', () => {
    expect(new EpochTree([...forks].reverse()).all()).toEqual(forks);
  });

  it('moves the head of its own branch only', () => {
    const tree = new EpochTree(forks);
    expect(tree.headOf(mainBranch)).toBe(4);
    expect(tree.headOf(clone)).toBe(5);
    expect(tree.headOf(branchName('other'))).toBe(0);
  });

  it('is refused by the schema with names and numbers that cannot be', () => {
    const raw = { epoch: 1, branch: 'main', parent: 0, forkLsn: 0 };
    expect(forkSchema.parse(raw)).toEqual(fork(1, 0, 0));
    for (const bad of [{ epoch: 0 }, { parent: -1 }, { forkLsn: 1.5 }, { more: 1 }]) {
      expect(forkSchema.safeParse({ ...raw, ...bad }).success).toBe(false);
    }
  });
});

describe('the common point of two positions', () => {
  const tree = new EpochTree([...forks, fork(6, 2, 150), fork(7, 1, 100)]);

  it.each([
    [1, 70, 2, 70],
    [1, 120, 2, 100],
    [2, 120, 1, 100],
    [2, 120, 3, 120],
    [2, 180, 3, 150],
    [3, 180, 2, 150],
    [3, 180, 6, 150],
    [6, 180, 3, 150],
    [3, 180, 4, 50],
    [4, 60, 3, 50],
    [4, 40, 3, 40],
    [2, 130, 7, 100],
    [7, 130, 2, 100],
    [5, 90, 3, 80],
    [3, 170, 5, 80],
    [3, 170, 3, 170],
    [0, 0, 3, 0],
    [3, 170, 0, 0],
  ])('of epoch %i at %i with epoch %i is %i', (from, at, head, expected) => {
    expect(commonPoint(tree, { head: epoch(from), lsn: lsn(at) }, epoch(head))).toBe(expected);
  });
});

const trees = fc
  .array(fc.record({ parent: fc.nat(), at: fc.integer({ min: 0, max: 300 }) }), {
    minLength: 1,
    maxLength: 12,
  })
  .map((raw) => {
    const made: Fork[] = [fork(1, 0, 0)];
    for (const { parent, at } of raw) made.push(fork(made.length + 1, 1 + (parent % made.length), at));
    return made;
  });

describe('visibility', () => {
  it('follows its definition: on the path, and not above where the path goes below', () => {
    fc.assert(
      fc.property(trees, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 320 }), (made, h, e, at) => {
        const tree = new EpochTree(made);
        const head = epoch(1 + (h % made.length));
        const of = epoch(1 + (e % made.length));
        let until = Number.POSITIVE_INFINITY;
        let walk: number = head;
        while (walk !== 0 && walk !== of) {
          const step = made[walk - 1];
          until = Math.min(until, step?.forkLsn ?? 0);
          walk = step?.parent ?? 0;
        }
        // An epoch has records only above its own fork.
        const own = at > (made[of - 1]?.forkLsn ?? 0);
        if (own)
          expect(tree.visible(head, endOfTime, { epoch: of, lsn: lsn(at) })).toBe(walk === of && at <= until);
      }),
    );
  });

  it('gives every LSN to exactly one epoch of a path, and a prefix of the parent to a child', () => {
    fc.assert(
      fc.property(trees, (made) => {
        const tree = new EpochTree(made);
        for (const { epoch: head, parent, forkLsn } of made) {
          let end = 0;
          for (const step of tree.path(head)) {
            expect(step.from).toBe(end);
            expect(step.until).toBeGreaterThan(step.from);
            end = step.until;
          }
          expect(end).toBe(endOfTime);
          const owner = (of: number, at: number) =>
            of === 0
              ? undefined
              : tree.path(epoch(of)).find((step) => step.from < at && at <= step.until)?.epoch;
          for (let at = 1; at <= forkLsn; at += 17)
            if (parent !== 0) expect(owner(head, at)).toBe(owner(parent, at));
        }
      }),
    );
  });

  it('agrees with the common point, which is the same from both sides', () => {
    fc.assert(
      fc.property(trees, fc.nat(), fc.nat(), (made, a, b) => {
        const tree = new EpochTree(made);
        const [one, other] = epochs(1 + (a % made.length), 1 + (b % made.length));
        if (one === undefined || other === undefined) return;
        const common = commonPoint(tree, { head: one, lsn: lsn(400) }, other);
        expect(commonPoint(tree, { head: other, lsn: lsn(400) }, one)).toBe(common);
        const owner = (of: typeof one, at: number) =>
          tree.path(of).find((step) => step.from < at && at <= step.until)?.epoch;
        for (let at = 1; at <= 400; at++)
          expect(owner(one, at) === owner(other, at), `at ${at}`).toBe(at <= common);
      }),
    );
  });
});
