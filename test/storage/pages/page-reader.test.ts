import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { pageReaderBounds } from '../../../storage/pages/page-reader.ts';
import { epoch, type Lsn, lsn, pageNo, zeroLsn } from '../../../storage/redo/ids.ts';
import { ReferencePages } from '../region-harness.ts';
import { Bench } from './page-bench.ts';

afterEach(() => Bench.closeAll());

describe('building pages', () => {
  it('equals a reference at every commit, and reading changes nothing that is stored', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(3);
    bench.write(1, zeroLsn, reference, 60);
    await bench.matches(1, reference);
    await bench.matches(1, reference);
    expect(bench.rotten).toEqual([]);
  });

  it('indexes what came when a page is read, or a turn after much has come', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(3);
    let end = bench.write(1, zeroLsn, reference, 3);
    await nextTurn();
    expect(bench.index.recordCount).toBe(0);
    expect(await bench.page(1, end, pageNo(9))).toBeNull();
    const some = bench.index.recordCount;
    expect(some).toBeGreaterThanOrEqual(3);
    for (let bytes = 0; bytes <= pageReaderBounds.unindexedBytes; ) {
      const from = end;
      end = bench.write(1, from, reference, 50);
      bytes += end - from;
    }
    expect(bench.index.recordCount).toBe(some);
    await nextTurn();
    expect(bench.index.recordCount).toBeGreaterThan(some);
  });

  it('has no page that was not written at the read point', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    bench.write(1, zeroLsn, new ReferencePages(3), 3, 1);
    expect(await bench.page(1, lsn(1_000_000), pageNo(9))).toBeNull();
    expect(await bench.page(1, zeroLsn, pageNo(1))).toBeNull();
  });

  it('reports a frame that rotted and builds nothing from it', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    const end = bench.write(1, zeroLsn, new ReferencePages(3), 1, 1);
    bench.rot(0);
    expect(await bench.page(1, end, pageNo(1))).toBe('DISK_FAILED');
    expect(bench.rotten[0]).toContain('checksum');
  });
});

describe('folding', () => {
  it('keeps every version from the low-water mark on', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    const lowWater = bench.write(1, zeroLsn, reference, 120);
    bench.write(1, lowWater, reference, 40);
    await bench.fold(1, lowWater);
    expect(bench.reader.folder.point).toEqual({ head: 1, lsn: lowWater });
    expect(bench.index.floor).toBe(lowWater);
    expect(bench.images.point).toEqual({ head: 1, lsn: lowWater });
    expect(bench.images.boundaries.at(-1)).toBe(lowWater);
    await bench.matches(1, reference, 119);
    expect(bench.reader.counters).toMatchObject({ rebuilds: 0, historyReads: 0 });
  });

  it('goes on over its own images, and keeps no record below them', async () => {
    const bench = await Bench.open({ foldPages: 2 });
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    let end: Lsn = zeroLsn;
    for (let round = 0; round < 6; round++) {
      end = bench.write(1, end, reference, 100, 2);
      await bench.fold(1, end);
      expect(bench.index.recordCount).toBe(0);
    }
    expect(bench.images.point.lsn).toBe(end);
    await bench.matches(1, reference, reference.versions.length - 1);
  });

  it('stores nothing, however often its pages change, before many have', async () => {
    const bench = await Bench.open({ foldPages: 5 });
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    let end: Lsn = zeroLsn;
    const isDone = (): boolean => bench.reader.isDone({ head: epoch(1), lowWater: end });
    for (let round = 0; round < 5; round++) {
      end = bench.write(1, end, reference, 50);
      expect(isDone()).toBe(false);
      await bench.fold(1, end);
      expect(isDone()).toBe(true);
      expect(bench.reader.folder.point.lsn).toBe(end);
      expect(bench.index.recordCount).toBe(0);
      await bench.matches(1, reference, reference.versions.length - 1);
    }
    expect(bench.images.runCount).toBe(0);
    const wider = new ReferencePages(6);
    end = bench.write(1, end, wider, 50, 8);
    await bench.fold(1, end);
    expect(bench.images.runCount).toBeGreaterThan(0);
    expect(bench.reader.folder.counters.imagesStored).toBeGreaterThanOrEqual(5);
  });

  it.each(['frames', 'stretches'])(
    'gives up its turn between two frames when folding is slow: %s',
    async (held) => {
      const bench = await Bench.open();
      bench.msPerLook = 1;
      bench.fork(1, 0, zeroLsn);
      const reference = new ReferencePages(8);
      const end = bench.write(1, zeroLsn, reference, 100);
      if (held === 'stretches') bench.segment.join(epoch(1), end);
      expect(bench.segment.frameCount).toBe(held === 'frames' ? 100 : 1);
      const points: Lsn[] = [];
      while (bench.reader.folder.point.lsn < end) {
        await bench.reader.fold({ head: epoch(1), lowWater: end });
        await bench.reader.folder.stored();
        points.push(bench.reader.folder.point.lsn);
        await bench.matches(1, reference, reference.versions.length - 1);
      }
      // Four looks at the clock are four frames at most, wherever in a stretch they begin.
      expect(points.length).toBeGreaterThanOrEqual(25);
      expect(new Set(points).size).toBe(points.length);
    },
  );

  it.each([1, 2, 4, 5])(
    'is right at every moment of a fold, and while %i images are stored',
    async (foldPages) => {
      const bench = await Bench.open({ foldPages });
      bench.fork(1, 0, zeroLsn);
      const reference = new ReferencePages(8);
      let end: Lsn = zeroLsn;
      for (let round = 0; round < 12; round++) {
        end = bench.write(1, end, reference, 10);
        const folding = bench.reader.fold({ head: epoch(1), lowWater: end });
        const reads = Array.from({ length: 5 }, () =>
          bench.matches(1, reference, reference.versions.length - 1),
        );
        await Promise.all([folding, ...reads]);
      }
    },
  );

  it('waits at a hole: a record that comes later must not find its page folded', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    bench.write(1, lsn(500), new ReferencePages(5), 120);
    await bench.fold(1, lsn(100_000));
    expect(bench.reader.folder.point.lsn).toBe(0);
    expect(bench.index.floor).toBe(0);
  });

  it('never serves a rotten page, and brings it back from a peer (S12)', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    const end = bench.write(1, zeroLsn, reference, 160);
    await bench.fold(1, end);
    const wanted = Buffer.from(reference.versions.at(-1)?.pages.get(pageNo(1)) ?? []);
    for (const path of bench.disk.paths().filter((name) => name.endsWith('.run'))) bench.disk.rot(path, 100);
    expect(await bench.page(1, end, pageNo(1))).toBe('NOT_COMPLETE');
    expect(await bench.page(1, end, pageNo(2))).toBeInstanceOf(Buffer);
    await bench.fold(1, end);
    expect(await bench.page(1, end, pageNo(1))).toBe('NOT_COMPLETE');
    expect(bench.images.rotten).toBe(1);
    const asked: unknown[] = [];
    bench.source = (at, pages) => {
      asked.push([at, pages]);
      return Promise.resolve(asked.length === 1 ? [new Uint8Array(4096)] : [wanted]);
    };
    // A page that is not the one that was stored is not believed.
    for (let round = 0; round < 3; round++) {
      bench.nowMs += 1_000;
      await bench.fold(1, end);
      await nextTurn();
    }
    expect(asked).toEqual(Array(2).fill([{ head: 1, lsn: end }, [pageNo(1)]]));
    expect(await bench.page(1, end, pageNo(1))).toEqual(wanted);
    await vi.waitFor(() => expect(bench.images.wantsHealing).toBe(false));
    expect(bench.images.counters).toMatchObject({ rottenFound: 1, rottenHealed: 1 });
    await bench.matches(1, reference, 159);
  });

  it('takes the images back to where the history that is written forks below them, and serves both paths (S14)', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    const middle = bench.write(1, zeroLsn, reference, 40);
    const end = bench.write(1, middle, reference, 120);
    bench.images.keep([middle]);
    await bench.fold(1, middle);
    const boundary = bench.images.point.lsn;
    await bench.fold(1, end);
    expect(bench.images.point.lsn).toBe(end);
    const rewound = reference.versions[50]?.lsn ?? zeroLsn;
    const before = Buffer.from(reference.versions[50]?.pages.get(pageNo(1)) ?? []);
    bench.fork(2, 1, rewound);
    expect(await bench.page(2, rewound, pageNo(1))).toEqual(before);
    expect(bench.reader.counters).toMatchObject({ rebuilds: 0, historyReads: 1 });
    const other = new ReferencePages(6);
    const forked = bench.write(2, rewound, other, 20);
    // Of an older head a node hears when it has just started: no reason to take anything back.
    await bench.fold(0, rewound);
    await bench.reader.fold({ head: epoch(2), lowWater: rewound });
    await bench.reader.settled();
    expect(bench.images.boundaries).toContain(boundary);
    await bench.fold(2, rewound);
    expect(bench.reader.counters.rebuilds).toBe(1);
    expect(bench.reader.folder.point).toEqual({ head: 2, lsn: rewound });
    expect(await bench.page(2, rewound, pageNo(1))).toEqual(before);
    expect(bench.reader.counters.historyReads).toBe(1);
    expect(typeof (await bench.page(2, forked, pageNo(1)))).toBe('object');
    // What the fork left behind is an orphan: it can be read, from the log where images do not reach it.
    await bench.matches(1, reference);
  });

  it('forgets what lay beyond the end of a database that got shorter, in every version and in the runs (S23)', async () => {
    for (const seed of [5, 6, 7, 8]) {
      const bench = await Bench.open({ foldPages: 2 });
      bench.images.keep([]);
      bench.fork(1, 0, zeroLsn);
      const reference = new ReferencePages(seed, 0.2);
      let end = zeroLsn;
      for (let round = 0; round < 8; round++) {
        end = bench.write(1, end, reference, 20);
        await bench.matches(1, reference, reference.versions.length - 5);
        await bench.fold(1, reference.versions.at(-7)?.lsn ?? zeroLsn);
        await bench.matches(1, reference, reference.versions.length - 12);
        while (await bench.images.merge());
      }
      await bench.fold(1, end);
      const last = reference.versions.at(-1)?.pages ?? new Map();
      const all = await bench.images.pagesFrom(pageNo(1), 4096 * 99);
      expect(bench.images.point.lsn).toBe(end);
      expect(all.kind === 'pages' && all.pages.map(({ page }) => page)).toEqual([...last.keys()].sort());
      await bench.matches(1, reference, 150);
    }
  });

  it('refuses a version below the images when the log has a hole by now: rot was found since the read was let in (S15)', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(3);
    const end = bench.write(1, zeroLsn, reference, 60);
    await bench.fold(1, end);
    const at = reference.versions[40]?.lsn ?? zeroLsn;
    expect(await bench.page(1, at, pageNo(1))).toBeInstanceOf(Buffer);
    const lost = bench.segment.framesAbove(epoch(1), zeroLsn)[20];
    expect(lost && bench.segment.takeOut(lost)).toBe(lost);
    expect(await bench.page(1, at, pageNo(1))).toBe('NOT_COMPLETE');
    expect(bench.rotten).toEqual([]);
  });

  it('reads versions below the images from older images and the log, and changes nothing for it', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    const end = bench.write(1, zeroLsn, reference, 160);
    await bench.fold(1, end);
    await bench.matches(1, reference);
    expect(bench.reader.counters.historyReads).toBeGreaterThan(100);
    expect(bench.reader.counters.rebuilds).toBe(0);
    expect(bench.reader.folder.point.lsn).toBe(end);
  });

  it('serves what it has in memory while images cannot be stored, folds no more of them, and tries again', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    const some = bench.write(1, zeroLsn, reference, 60);
    bench.disk.capacityBytes = 10_000;
    await bench.fold(1, some);
    const end = bench.write(1, some, reference, 60);
    expect(bench.troubles).toEqual(['page images could not be stored']);
    expect(bench.disk.paths()).toEqual([]);
    expect(bench.reader.folder.point.lsn).toBe(some);
    bench.nowMs += 29_999;
    await bench.fold(1, end);
    expect(bench.troubles).toEqual(['page images could not be stored']);
    expect(bench.reader.folder.point.lsn).toBe(some);
    await bench.matches(1, reference, 59);
    bench.nowMs += 1;
    await bench.fold(1, end);
    expect(bench.troubles).toHaveLength(2);
    expect(bench.reader.folder.point.lsn).toBe(some);
    bench.disk.capacityBytes = Number.POSITIVE_INFINITY;
    bench.nowMs += 30_000;
    await bench.fold(1, end);
    expect(bench.reader.folder.point.lsn).toBe(end);
    expect(bench.reader.counters).toEqual({ pagesRead: 4 * 61, historyReads: 0, rebuilds: 0 });
    await bench.matches(1, reference, 119);
  });
});

describe('a start', () => {
  it('makes images of all but the end of the log, and an index of that', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    const end = bench.write(1, zeroLsn, reference, 160);
    bench.index.clear(zeroLsn);
    bench.reader.start({ head: epoch(1), lsn: end });
    expect(await bench.page(1, end, pageNo(1))).toBe('NOT_COMPLETE');
    await bench.reader.settled();
    await bench.matches(1, reference);
    expect(bench.reader.counters).toMatchObject({ rebuilds: 0, historyReads: 0 });
  });

  it('takes in what arrives meanwhile', async () => {
    const bench = await Bench.open();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    const end = bench.write(1, zeroLsn, reference, 40);
    bench.index.clear(zeroLsn);
    bench.reader.start({ head: epoch(1), lsn: end });
    bench.write(1, end, reference, 40);
    await bench.reader.settled();
    await bench.matches(1, reference);
  });
});
