/** A page reader over a log in memory and images on a disk in memory, which can be stopped and started again. */
import { expect } from 'vitest';
import { EpochTree } from '../../../storage/history/epoch-tree.ts';
import { mergeBounds } from '../../../storage/images/core/merge-policy.ts';
import { ImageStore } from '../../../storage/images/image-store.ts';
import type { PageSource } from '../../../storage/images/image-store-types.ts';
import type { HeldFrame } from '../../../storage/log/core/held-frames.ts';
import { Segment } from '../../../storage/log/core/segment.ts';
import { FrameReader } from '../../../storage/log/frame-reader.ts';
import { PageIndex } from '../../../storage/pages/core/page-index.ts';
import type { pageFolderBounds } from '../../../storage/pages/page-folder.ts';
import { PageReader } from '../../../storage/pages/page-reader.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { encodeFrame, parseFrame } from '../../../storage/redo/frame.ts';
import { epoch, type Lsn, mainBranch, type PageNo, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { MemoryDisk } from '../log/hot-log-memory-disk.ts';
import type { ReferencePages } from '../region-harness.ts';

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

/** What writes, and hears where its transactions end. */
export type Written = Pick<ReferencePages, 'change' | 'committed'>;

export class Bench {
  readonly tree = new EpochTree();
  readonly segment = new Segment(this.tree);
  index = new PageIndex(this.tree);
  readonly disk = new MemoryDisk();
  images!: ImageStore;
  readonly rotten: string[] = [];
  readonly troubles: string[] = [];
  private readonly bounds: Partial<typeof pageFolderBounds>;
  reader!: PageReader;
  /** What peers have. */
  source: PageSource = () => Promise.resolve(null);
  nowMs = 0;
  /** Records of branches that are indexed; taken up at a start. */
  recordsMax = 1_000_000;
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

  private static opened: Bench[] = [];

  /** @param bounds images in memory at which they are stored: all there are, as a rule. */
  static async open(bounds: Partial<typeof pageFolderBounds> = { foldPages: 4 }): Promise<Bench> {
    const bench = new Bench(bounds);
    await bench.start();
    Bench.opened.push(bench);
    return bench;
  }

  static async closeAll(): Promise<void> {
    for (const bench of Bench.opened.splice(0)) await bench.reader.close();
  }

  private constructor(bounds: Partial<typeof pageFolderBounds>) {
    this.bounds = bounds;
  }

  private async start(): Promise<void> {
    this.images = await openImages(this.disk, this.troubles);
    this.index = new PageIndex(this.tree);
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
      bounds: this.bounds,
      recordsMax: this.recordsMax,
    });
  }

  /** The machine loses power and starts again. @param durable what the node saved of it. */
  async crash(durable: { head: number; lsn: Lsn }, torn: number, spoil: () => void): Promise<void> {
    // What goes on writing writes to files that are not there any more.
    this.disk.fault = () => 'EIO';
    await this.reader.close();
    this.disk.fault = () => undefined;
    this.disk.crash((_path, unflushed) => Math.floor(torn * unflushed));
    spoil();
    await this.start();
    this.reader.start({ head: epoch(durable.head), lsn: durable.lsn });
    await this.reader.settled();
  }

  fork(reign: number, parent: number, at: Lsn, branch = mainBranch): void {
    const fork = { epoch: epoch(reign), branch, parent: epoch(parent), forkLsn: at };
    this.tree.add(fork);
    this.reader.branches.forked(fork);
  }

  /** Writes `count` transactions of the reference, one frame each. */
  write(reign: number, from: Lsn, reference: Written, count: number, pages = 4): Lsn {
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
