import { afterEach, describe, expect, it } from 'vitest';
import { branchName, epoch, type Lsn, lsn, zeroLsn } from '../../../storage/redo/ids.ts';
import { Prng } from '../../simulation/world/prng.ts';
import { ReferencePages } from '../region-harness.ts';
import { Bench } from './page-bench.ts';

afterEach(() => Bench.closeAll());

const dev = branchName('dev');
const grandchild = branchName('grandchild');

/** Follows the branches that live until nothing is left to be read. */
async function follow(bench: Bench, ...heads: readonly number[]): Promise<void> {
  for (let round = 0; round < 2; round++) {
    bench.reader.follow(heads.map(epoch));
    await bench.reader.branches.settled();
  }
}

/** Reads everything of a path, and says how often the log had to be searched. */
async function searches(bench: Bench, head: number, reference: ReferencePages): Promise<number> {
  const before = bench.reader.counters.historyReads;
  await bench.matches(head, reference);
  return bench.reader.counters.historyReads - before;
}

interface Branched {
  readonly bench: Bench;
  readonly main: ReferencePages;
  readonly branch: ReferencePages;
  readonly forkLsn: Lsn;
  readonly end: Lsn;
}

/** Main with images below the fork, `dev` with writes of its own, and main gone on. */
async function branched(shrinks = 0): Promise<Branched> {
  const bench = await Bench.open({ foldPages: 2 });
  bench.fork(1, 0, zeroLsn);
  const main = new ReferencePages(7, shrinks);
  const imagesAt = bench.write(1, zeroLsn, main, 60);
  await bench.fold(1, imagesAt);
  const forkLsn = bench.write(1, imagesAt, main, 30);
  bench.fork(2, 1, forkLsn, dev);
  const branch = main.branchAt(forkLsn, 8);
  bench.write(2, forkLsn, branch, 40);
  const end = bench.write(1, forkLsn, main, 40);
  return { bench, main, branch, forkLsn, end };
}

describe('S35: pages of a branch', () => {
  it('are there at once, out of the index of main and its own', async () => {
    const { bench, branch, main } = await branched();
    expect(await searches(bench, 2, branch)).toBe(0);
    expect(bench.reader.branches.counters.builds).toBe(0);
    await bench.matches(1, main, 60);
  });

  it('are not searched for when main has been folded beyond where the branch left it', async () => {
    const { bench, branch, main, end } = await branched();
    await follow(bench, 2);
    await bench.fold(1, end);
    expect(bench.reader.folder.point.lsn).toBe(end);
    expect(await searches(bench, 2, branch)).toBe(0);
    await bench.matches(1, main, main.versions.length - 1);
  });

  it('are the same without an index, which is only slower', async () => {
    const { bench, branch, end } = await branched();
    await bench.fold(1, end);
    expect(await searches(bench, 2, branch)).toBeGreaterThan(0);
    await follow(bench, 2);
    expect(await searches(bench, 2, branch)).toBe(0);
  });

  it('start from images that no merge takes away while the branch lives', async () => {
    const { bench, branch, main, end } = await branched();
    await follow(bench, 2);
    const [base] = bench.reader.branches.bases;
    expect(base).toBeGreaterThan(zeroLsn);
    let at = bench.write(1, end, main, 0);
    for (let round = 0; round < 8; round++) {
      bench.images.keep(bench.reader.branches.bases);
      at = bench.write(1, at, main, 30);
      await bench.fold(1, at);
      while (await bench.images.merge());
    }
    expect(bench.images.boundaries).toContain(base);
    expect(await searches(bench, 2, branch)).toBe(0);
    bench.reader.follow([]);
    bench.images.keep(bench.reader.branches.bases);
    while (await bench.images.merge());
    expect(bench.reader.branches.bases).toEqual([]);
  });

  it('are found from lower images when those they started from are gone', async () => {
    const { bench, branch, end } = await branched();
    await bench.fold(1, end);
    await follow(bench, 2);
    await bench.images.dropAbove(zeroLsn);
    expect(await searches(bench, 2, branch)).toBeGreaterThan(0);
    await follow(bench, 2);
    expect(bench.reader.branches.bases).toEqual([zeroLsn]);
    expect(await searches(bench, 2, branch)).toBe(0);
  });

  it('are not told by what an empty node was sent of the log before it got images (S26)', async () => {
    const elsewhere = await Bench.open();
    elsewhere.fork(1, 0, zeroLsn);
    const main = new ReferencePages(7, 0);
    const imagesAt = elsewhere.write(1, zeroLsn, main, 60);
    const pages = main.versions.at(-1)?.pages ?? new Map();

    const bench = await Bench.open({ foldPages: 2 });
    bench.fork(1, 0, zeroLsn);
    const forkLsn = bench.write(1, imagesAt, main, 30);
    bench.fork(2, 1, forkLsn, dev);
    await follow(bench, 2);

    const at = { epoch: epoch(1), lsn: imagesAt };
    const filled = [...pages].map(([page, bytes]) => ({ page, bytes })).sort((a, b) => a.page - b.page);
    expect(await bench.images.addFill({ at, pages: filled, next: null })).toEqual({ kind: 'stored' });
    await bench.reader.adopt(epoch(1));
    bench.segment.raiseFloor(at);
    await bench.reader.settled();
    const branch = main.branchAt(forkLsn, 8);
    const end = bench.write(2, forkLsn, branch, 10);
    expect(branch.versions.at(-1)?.lsn).toBe(end);
    const from = branch.versions.findIndex((version) => version.lsn >= forkLsn);
    await bench.matches(2, branch, from);
    await follow(bench, 2);
    bench.images.keep(bench.reader.branches.bases);
    await bench.fold(1, bench.write(1, forkLsn, main, 40));
    expect(bench.reader.folder.point.lsn).toBeGreaterThan(forkLsn);
    await bench.matches(2, branch, from);
    await bench.matches(
      1,
      main,
      main.versions.findIndex((version) => version.lsn >= imagesAt),
    );
  });

  it('are those of a fork below all images', async () => {
    const bench = await Bench.open({ foldPages: 2 });
    bench.fork(1, 0, zeroLsn);
    const main = new ReferencePages(9);
    const forkLsn = bench.write(1, zeroLsn, main, 20);
    const end = bench.write(1, forkLsn, main, 60);
    await bench.fold(1, end);
    expect(bench.images.boundaries.every((at) => at > forkLsn)).toBe(true);
    bench.fork(2, 1, forkLsn, dev);
    const branch = main.branchAt(forkLsn, 3);
    bench.write(2, forkLsn, branch, 20);
    expect(await searches(bench, 2, branch)).toBeGreaterThan(0);
    await follow(bench, 2);
    expect(await searches(bench, 2, branch)).toBe(0);
  });

  it('are those of every reign over the branch, of its rewind, and of a branch of it', async () => {
    const { bench, branch, end } = await branched();
    await follow(bench, 2);
    await bench.fold(1, end);
    const rewoundAt = branch.versions[25]?.lsn ?? lsn(0);
    bench.fork(3, 2, rewoundAt, dev);
    const rewound = branch.branchAt(rewoundAt, 4);
    const rewoundEnd = bench.write(3, rewoundAt, rewound, 20);
    bench.fork(4, 2, branch.versions[10]?.lsn ?? lsn(0), grandchild);
    const child = branch.branchAt(branch.versions[10]?.lsn ?? lsn(0), 5);
    bench.write(4, branch.versions[10]?.lsn ?? lsn(0), child, 20);
    bench.fork(5, 3, rewoundEnd, dev);
    const next = rewound.branchAt(rewoundEnd, 6);
    bench.write(5, rewoundEnd, next, 20);
    await follow(bench, 5, 4);
    for (const [head, reference] of [
      [2, branch],
      [3, rewound],
      [4, child],
      [5, next],
    ] as const)
      expect([head, await searches(bench, head, reference)]).toEqual([head, 0]);
    // The branch it came from is deleted, and what it lies on stays.
    await follow(bench, 4);
    expect(await searches(bench, 4, child)).toBe(0);
  });

  it('are those of its own path where that leads through a branch of the same name, which was deleted', async () => {
    const { bench, branch, end } = await branched();
    const forkLsn = branch.versions[20]?.lsn ?? lsn(0);
    bench.fork(3, 2, forkLsn, grandchild);
    const child = branch.branchAt(forkLsn, 5);
    const childEnd = bench.write(3, forkLsn, child, 20);
    await follow(bench, 2, 3);
    bench.fork(4, 3, childEnd, dev);
    const again = child.branchAt(childEnd, 6);
    bench.write(4, childEnd, again, 20);
    await follow(bench, 3, 4);
    expect(await searches(bench, 4, again)).toBe(0);
    await bench.fold(1, end);
    await bench.crash({ head: 1, lsn: end }, 0, () => undefined);
    await follow(bench, 4);
    expect(await searches(bench, 4, again)).toBe(0);
  });

  it('are the same after a start, while its log is being read and afterwards', async () => {
    const { bench, branch, end } = await branched(0.1);
    await bench.fold(1, end);
    await bench.crash({ head: 1, lsn: end }, 0, () => undefined);
    expect(await searches(bench, 2, branch)).toBeGreaterThan(0);
    await follow(bench, 2);
    expect(await searches(bench, 2, branch)).toBe(0);
    bench.reader.branches.reset();
    expect(await searches(bench, 2, branch)).toBeGreaterThan(0);
    await follow(bench, 2);
    expect(await searches(bench, 2, branch)).toBe(0);
  });

  it('hold up no other index: records of branches are not kept with those of main', async () => {
    const { bench, end } = await branched();
    await bench.fold(1, end);
    await follow(bench, 2);
    expect(bench.index.recordCount).toBe(0);
    expect(bench.reader.branches.recordCount).toBeGreaterThan(0);
  });
});

it('keeps the indexes of the branches that are read, when there is not room for all', async () => {
  const bench = await Bench.open({ foldPages: 2 });
  bench.recordsMax = 250;
  await bench.crash({ head: 0, lsn: zeroLsn }, 0, () => undefined);
  bench.fork(1, 0, zeroLsn);
  const main = new ReferencePages(7);
  const forkLsn = bench.write(1, zeroLsn, main, 20);
  const names = [2, 3, 4].map((of) => branchName(`b${of}`));
  const references = names.map((name, at) => {
    bench.fork(2 + at, 1, forkLsn, name);
    return main.branchAt(forkLsn, at);
  });
  await bench.fold(1, bench.write(1, forkLsn, main, 20));
  const [first = main, ...others] = references;
  bench.write(2, forkLsn, first, 30);
  await follow(bench, 2, 3, 4);
  expect(await searches(bench, 2, first)).toBe(0);
  for (const [at, reference] of others.entries()) bench.write(3 + at, forkLsn, reference, 30);
  await follow(bench, 2, 3, 4);
  expect(bench.reader.branches.recordCount).toBeLessThanOrEqual(250);
  expect(await searches(bench, 2, first)).toBe(0);
  for (const [at, reference] of references.entries()) await bench.matches(2 + at, reference);
});

it('equals a reference in any order of writes, forks, folds and starts', { timeout: 60_000 }, async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const dice = Prng.fromSeed(seed);
    const bench = await Bench.open({ foldPages: 1 + dice.below(4) });
    bench.fork(1, 0, zeroLsn);
    const heads = [
      { branch: branchName('main'), head: 1, end: zeroLsn as Lsn, pages: new ReferencePages(seed, 0.05) },
    ];
    let allotted = 1;
    for (let act = 0; act < 40; act++) {
      const at = dice.pick(heads);
      const [main] = heads;
      if (main === undefined) throw new Error('main is there');
      const acts = [
        'write',
        'write',
        'write',
        'fold',
        'follow',
        'start',
        'branch',
        'branch',
        'rewind',
        'delete',
      ];
      const kind = dice.pick(acts);
      if (kind === 'write') at.end = bench.write(at.head, at.end, at.pages, 1 + dice.below(12));
      else if (kind === 'fold')
        await bench.fold(1, dice.pick([main.end, ...main.pages.versions.map(({ lsn: cpl }) => cpl)]));
      else if (kind === 'follow') await follow(bench, ...heads.slice(1).map(({ head }) => head));
      else if (kind === 'delete' && at !== main) heads.splice(heads.indexOf(at), 1);
      else if (kind === 'start')
        await bench.crash({ head: 1, lsn: main.end }, dice.below(1_000) / 1_000, () => undefined);
      else if (kind === 'branch' && at.pages.versions.length > 0 && heads.length < 6) {
        const from = dice.pick(at.pages.versions).lsn;
        allotted += 1;
        // Names of branches that were deleted are used again.
        const free = ['b1', 'b2', 'b3', 'b4', 'b5'].filter(
          (name) => !heads.some((one) => one.branch === name),
        );
        const branch = branchName(dice.pick(free));
        bench.fork(allotted, at.head, from, branch);
        heads.push({ branch, head: allotted, end: from, pages: at.pages.branchAt(from, allotted) });
      } else if (kind === 'rewind' && at !== main && at.pages.versions.length > 0) {
        // A rewind: the branch goes on from an older place.
        const from = dice.pick(at.pages.versions).lsn;
        allotted += 1;
        bench.fork(allotted, at.head, from, at.branch);
        const kept = at.pages.versions.filter(({ lsn: cpl }) => cpl <= from);
        at.pages = at.pages.branchAt(from, allotted);
        at.pages.versions.push(...kept);
        at.head = allotted;
        at.end = from;
      }
      const read = dice.pick(heads);
      const [version] = read.pages.versions.slice(-1 - dice.below(Math.max(1, read.pages.versions.length)));
      if (version === undefined) continue;
      for (let page = 1; page <= 4; page++) {
        const wanted = version.pages.get(page as never);
        const found = await bench.page(read.head, version.lsn, page as never);
        const what = `seed ${seed}, act ${act}: page ${page} of ${read.branch} at ${version.lsn}`;
        if (wanted === undefined) expect(found, what).toBeNull();
        else
          expect(
            found instanceof Buffer && found.equals(wanted),
            `${what}: ${String(found).slice(0, 20)}`,
          ).toBe(true);
      }
    }
  }
});
