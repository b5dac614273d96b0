import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { EpochTree } from '../../storage/core/epoch-tree.ts';
import { encodeFrame, framePayload, parseFrame } from '../../storage/core/frame.ts';
import {
  epoch,
  type Lsn,
  lsn,
  mainBranch,
  type PageNo,
  pageNo,
  pgId,
  zeroLsn,
} from '../../storage/core/ids.ts';
import { PageIndex } from '../../storage/core/page-index.ts';
import { spansOf } from '../../storage/core/record.ts';
import { type HeldFrame, Segment } from '../../storage/core/segment.ts';
import { FrameReader } from '../../storage/shell/frame-reader.ts';
import { ImageStore } from '../../storage/shell/image-store.ts';
import { PageReader } from '../../storage/shell/page-reader.ts';
import { ReferencePages } from './region-harness.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A page reader over a log in memory. */
class Bench {
  readonly tree = new EpochTree();
  readonly segment = new Segment(this.tree);
  readonly index = new PageIndex(this.tree);
  readonly directory = mkdtempSync(join(tmpdir(), 'sextant-pages-'));
  readonly images = new ImageStore(join(this.directory, 'images'), 2 ** 20);
  readonly rotten: string[] = [];
  readonly troubles: string[] = [];
  readonly reader: PageReader;
  nowMs = 0;
  private readonly bytes: Uint8Array[] = [];
  private readonly counters = {
    fsyncs: 0,
    batches: 0,
    appends: 0,
    bytesWritten: 0,
    appendsFailed: 0,
    readsFromTail: 0,
    readsFromDisk: 0,
  };

  constructor() {
    const log = {
      counters: this.counters,
      read: ({ file }: { file: number }) => {
        this.counters.readsFromDisk += 1;
        return Promise.resolve({ kind: 'ok', bytes: this.bytes[file] ?? new Uint8Array(0) } as const);
      },
    };
    this.reader = new PageReader({
      index: this.index,
      tree: this.tree,
      segment: this.segment,
      frames: new FrameReader(log, (reason) => this.rotten.push(reason)),
      images: this.images,
      now: () => this.nowMs,
      onTrouble: (what) => this.troubles.push(what),
    });
    cleanups.push(async () => {
      await this.reader.close();
      rmSync(this.directory, { recursive: true });
    });
  }

  fork(reign: number, parent: number, at: Lsn): void {
    const fork = { epoch: epoch(reign), branch: mainBranch, parent: epoch(parent), forkLsn: at };
    this.tree.add(fork);
    this.reader.forked(fork);
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
        position: { file: this.bytes.length, offset: 0, length: frame.length },
      };
      this.bytes.push(frame);
      this.segment.insert(held);
      this.reader.held([held], [spansOf(framePayload(frame), base) ?? []]);
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
    for (let round = 0; round < 10; round++) await this.reader.fold({ head: epoch(head), lowWater });
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
    const bench = new Bench();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(3);
    bench.write(1, zeroLsn, reference, 60);
    await bench.matches(1, reference);
    await bench.matches(1, reference);
    expect(bench.rotten).toEqual([]);
  });

  it('has no page that was not written at the read point', async () => {
    const bench = new Bench();
    bench.fork(1, 0, zeroLsn);
    bench.write(1, zeroLsn, new ReferencePages(3), 3, 1);
    expect(await bench.page(1, lsn(1_000_000), pageNo(9))).toBeNull();
    expect(await bench.page(1, zeroLsn, pageNo(1))).toBeNull();
  });

  it('reports a frame that rotted and builds nothing from it', async () => {
    const bench = new Bench();
    bench.fork(1, 0, zeroLsn);
    const end = bench.write(1, zeroLsn, new ReferencePages(3), 1, 1);
    bench.rot(0);
    expect(await bench.page(1, end, pageNo(1))).toBe('DISK_FAILED');
    expect(bench.rotten[0]).toContain('checksum');
  });
});

describe('folding', () => {
  it('keeps every version from the low-water mark on', async () => {
    const bench = new Bench();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    const lowWater = bench.write(1, zeroLsn, reference, 120);
    bench.write(1, lowWater, reference, 40);
    await bench.fold(1, lowWater);
    expect(bench.reader.counters.pagesFolded).toBeGreaterThan(0);
    expect(bench.images.size).toBeGreaterThan(0);
    expect(readdirSync(join(bench.directory, 'images'))).toEqual(['pg-0']);
    await bench.matches(1, reference, 119);
    expect(bench.reader.counters.rebuilds).toBe(0);
  });

  it('replaces the image before by the new one', async () => {
    const bench = new Bench();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    let end: Lsn = zeroLsn;
    for (let round = 0; round < 6; round++) {
      end = bench.write(1, end, reference, 100, 2);
      await bench.fold(1, end);
    }
    expect(bench.images.size).toBe(2);
    await bench.matches(1, reference, reference.versions.length - 1);
  });

  it('waits at a hole: a record that comes later must not find its page folded', async () => {
    const bench = new Bench();
    bench.fork(1, 0, zeroLsn);
    bench.write(1, lsn(500), new ReferencePages(5), 120);
    await bench.fold(1, lsn(100_000));
    expect(bench.reader.counters.pagesFolded).toBe(0);
  });

  it('reads the log again when an image is lost', async () => {
    const bench = new Bench();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    const end = bench.write(1, zeroLsn, reference, 160);
    await bench.fold(1, end);
    const plan = bench.index.plan(pageNo(1), epoch(1), end);
    const first = plan === null || plan === 'foldedAway' ? undefined : plan.entries[0];
    expect(first?.kind).toBe('folded');
    if (first !== undefined)
      await bench.images.remove({ page: pageNo(1), epoch: first.epoch, lsn: first.lsn });
    expect(await bench.page(1, end, pageNo(1))).toBe('NOT_COMPLETE');
    await bench.reader.settled();
    await bench.matches(1, reference, 150);
  });

  it('reads the log again when history forks below what was folded, and serves both paths', async () => {
    const bench = new Bench();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    const end = bench.write(1, zeroLsn, reference, 160);
    await bench.fold(1, end);
    const rewound = reference.versions[50]?.lsn ?? zeroLsn;
    bench.fork(2, 1, rewound);
    expect(await bench.page(2, rewound, pageNo(1))).toBe('NOT_COMPLETE');
    await bench.reader.settled();
    expect(await bench.page(2, rewound, pageNo(1))).toEqual(
      Buffer.from(reference.versions[50]?.pages.get(pageNo(1)) ?? []),
    );
    expect(await bench.page(2, end, pageNo(1))).toEqual(await bench.page(2, rewound, pageNo(1)));
    await bench.matches(1, reference);
  });

  it('reads the log again for versions below the low-water mark, and rests from folding a while', async () => {
    const bench = new Bench();
    bench.fork(1, 0, zeroLsn);
    const reference = new ReferencePages(5);
    const end = bench.write(1, zeroLsn, reference, 160);
    await bench.fold(1, end);
    const folded = bench.reader.counters.pagesFolded;
    expect(await bench.page(1, reference.versions[20]?.lsn ?? zeroLsn, pageNo(1))).toBe('NOT_COMPLETE');
    await bench.reader.settled();
    await bench.fold(1, end);
    await bench.matches(1, reference);
    expect(bench.reader.counters.pagesFolded).toBe(folded);
  });
});
