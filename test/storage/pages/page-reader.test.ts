import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { EpochTree } from '../../../storage/history/epoch-tree.ts';
import { mergeBounds } from '../../../storage/images/core/merge-policy.ts';
import { ImageStore } from '../../../storage/images/image-store.ts';
import type { PageSource } from '../../../storage/images/image-store-types.ts';
import { type HeldFrame, Segment } from '../../../storage/log/core/segment.ts';
import { FrameReader } from '../../../storage/log/frame-reader.ts';
import { PageIndex } from '../../../storage/pages/core/page-index.ts';
import type { pageFolderBounds } from '../../../storage/pages/page-folder.ts';
import { PageReader, pageReaderBounds } from '../../../storage/pages/page-reader.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { encodeFrame, parseFrame } from '../../../storage/redo/frame.ts';
import {
  epoch,
  type Lsn,
  lsn,
  mainBranch,
  type PageNo,
  pageNo,
  pgId,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import { MemoryDisk } from '../log/hot-log-memory-disk.ts';
import { ReferencePages } from '../region-harness.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function openImages(disk: MemoryDisk, troubles: string[]): Promise<ImageStore> {
  const opened = await ImageStore.open({
    directory: 'images',
    disk,
    runtime: machine,
    onTrouble: (what) => troubles.push(what),
    bounds: { ...mergeBounds, aboveBaseBytesMin: 0 },
  });
  if (opened.kind === 'failed') throw new Error(opened.message);
  return opened.store;
}

/** A page reader over a log in memory. */
class Bench {
  readonly tree = new EpochTree();
  readonly segment = new Segment(this.tree);
  readonly index = new PageIndex(this.tree);
  readonly disk: MemoryDisk;
  readonly images: ImageStore;
  readonly rotten: string[] = [];
  readonly troubles: string[];
  readonly reader: PageReader;
  /** What peers have. */
  source: PageSource = () => Promise.resolve(null);
  nowMs = 0;
  /** What passes between two looks at the clock. */
  msPerLook = 0;
  /** The log's one file, frame by frame. */
  private readonly bytes: Uint8Array[] = [];
  private fileBytes = 0;
  private readonly counters = {
    batches: 0,
    appends: 0,
    bytesWritten: 0,
    appendsFailed: 0,
    readsFromTail: 0,
    readsFromDisk: 0,
  };

  /** @param bounds images in memory at which they are stored: all there are, as a rule. */
  static async open(bounds: Partial<typeof pageFolderBounds> = { foldPages: 4 }): Promise<Bench> {
    const disk = new MemoryDisk();
    const troubles: string[] = [];
    return new Bench(disk, await openImages(disk, troubles), troubles, bounds);
  }

  private constructor(
    disk: MemoryDisk,
    images: ImageStore,
    troubles: string[],
    bounds: Partial<typeof pageFolderBounds>,
  ) {
    this.disk = disk;
    this.images = images;
    this.troubles = troubles;
    const log = {
      counters: this.counters,
      read: ({ offset, length }: { offset: number; length: number }) => {
        this.counters.readsFromDisk += 1;
        const bytes = Buffer.concat(this.bytes).subarray(offset, offset + length);
        return Promise.resolve({ kind: 'ok', bytes, fromDisk: true } as const);
      },
    };
    this.reader = new PageReader({
      index: this.index,
      tree: this.tree,
      segment: this.segment,
      frames: new FrameReader(log, (_frames, reason) => this.rotten.push(reason)),
      images: this.images,
      source: (at, pages) => this.source(at, pages),
      runtime: { ...machine, nowMs: () => (this.nowMs += this.msPerLook) },
      onTrouble: (what) => this.troubles.push(what),
      bounds,
    });
    cleanups.push(() => this.reader.close());
  }

  fork(reign: number, parent: number, at: Lsn): void {
    const fork = { epoch: epoch(reign), branch: mainBranch, parent: epoch(parent), forkLsn: at };
    this.tree.add(fork);
  }

  /** Writes `count` transactions of the reference, one frame each. */
  write(reign: number, from: Lsn, reference: ReferencePages, count: number, pages = 4): Lsn {
    let at = from;
    for (let written = 0; written < count; written++) {
      const [run] = reference.change(pages).runs;
      const frame = encodeFrame({ epoch: epoch(reign), pg: pgId(0), base: at, prevPg: at }, [
        run?.bytes ?? new Uint8Array(0),
      ]);
      const parsed = parseFrame(frame);
      if (parsed.kind !== 'frame') throw new Error('a frame');
      const { epoch: of, pg, base, end, prevPg } = parsed.header;
      const held: HeldFrame = {
        epoch: of,
        pg,
        base,
        end,
        prevPg,
        lastCpl: end,
        position: { file: 1, offset: this.fileBytes, length: frame.length },
      };
      this.bytes.push(frame);
      this.fileBytes += frame.length;
      this.segment.insert(held);
      this.reader.held([held], [frame]);
      at = end;
      reference.committed(end);
    }
    return at;
  }

  rot(frame: number): void {
    const bytes = this.bytes[frame];
    if (bytes !== undefined) bytes[60] = (bytes[60] ?? 0) ^ 1;
  }

  async fold(head: number, lowWater: Lsn): Promise<void> {
    for (let round = 0; round < 10; round++) {
      await this.reader.fold({ head: epoch(head), lowWater });
      await this.reader.folder.stored();
    }
  }

  async page(head: number, at: Lsn, page: PageNo): Promise<Buffer | null | string> {
    const read = await this.reader.read(epoch(head), at, [page]);
    if (read.kind === 'refused') return read.code;
    const [bytes] = read.pages;
    return bytes === null || bytes === undefined ? null : Buffer.from(bytes);
  }

  async matches(head: number, reference: ReferencePages, from = 0): Promise<void> {
    for (const { lsn: at, pages } of reference.versions.slice(from)) {
      for (let page = 1; page <= 4; page++) {
        const wanted = pages.get(pageNo(page));
        const found = await this.page(head, at, pageNo(page));
        if (wanted === undefined) expect(found).toBeNull();
        else expect(found instanceof Buffer && found.equals(wanted), `page ${page} at ${at}`).toBe(true);
      }
    }
  }
}

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
