/**
 * Builds pages at a read point: the image, which holds everything up to some point of the log, and the records above it.
 * What no image can serve (a read point below the images, or a path that leaves theirs) is read from the log itself, from
 * its beginning: right, and as slow as the log is long.
 *
 * Images are made anew when one turns out bad and when the history that is written forks below them. Until that is done
 * reads are answered NOT_COMPLETE, and other nodes serve.
 */
import type { EpochTree } from '../history/epoch-tree.ts';
import type { HeldFrame, Segment } from '../log/core/segment.ts';
import type { FrameReader } from '../log/frame-reader.ts';
import { nextTurn, type Runtime } from '../process/runtime.ts';
import { checkedFrames, framePayload } from '../redo/frame.ts';
import { type Epoch, genesisEpoch, type Lsn, minLsn, type PageNo, zeroLsn } from '../redo/ids.ts';
import { redoLimits } from '../redo/limits.ts';
import { RecordCursor } from '../redo/record-cursor.ts';
import type { RefusalCode } from '../wire/core/messages.ts';
import type { PageIndex, PagePlan } from './core/page-index.ts';
import type { ImageStore } from './image-store.ts';
import { type FoldPoint, PageFolder, type pageFolderBounds } from './page-folder.ts';

export type PagesRead =
  | { readonly kind: 'pages'; readonly pages: readonly (Uint8Array | null)[] }
  | { readonly kind: 'refused'; readonly code: RefusalCode; readonly reason: string };

/** Up to where the history that ends in `head` may be folded. */
export interface FoldLimit {
  readonly head: Epoch;
  readonly lowWater: Lsn;
}

export interface PageReaderOptions {
  readonly index: PageIndex;
  readonly tree: EpochTree;
  readonly segment: Segment;
  readonly frames: FrameReader;
  readonly images: ImageStore;
  readonly runtime: Runtime;
  /** Told of images that could not be stored, which stay in memory, and of why images are made anew. */
  readonly onTrouble: (what: string, reason: string) => void;
  readonly bounds?: Partial<typeof pageFolderBounds>;
}

export const pageReaderBounds = {
  /** Redo that is left unfolded at a start, for snapshots that were taken before. */
  unfoldedBytes: 8 * 1024 * 1024,
  /** Persisted redo that may wait to be indexed: a millisecond of a reader's time. */
  unindexedBytes: 64 * 1024,
  /** Frames indexed, or searched, at once. */
  framesPerTurn: 256,
  historyBytesPerTurn: 1024 * 1024,
  /** Reads of the log from its beginning that may wait for one another. */
  historyReadsMax: 16,
};

interface Arrived {
  readonly frame: HeldFrame;
  readonly bytes: Uint8Array;
}

/** What a page will be built of, with its image in hand: folding may replace that while records are read. */
interface Start {
  readonly image: Uint8Array | null;
  readonly plan: PagePlan | null;
}

export class PageReader {
  readonly index: PageIndex;
  /** Pages served, and times the images were made anew. */
  readonly counters = { pagesRead: 0, historyReads: 0, rebuilds: 0 };
  readonly folder: PageFolder;
  private readonly options: PageReaderOptions;
  private arrived: Arrived[] = [];
  private arrivedBytes = 0;
  private indexing: 'idle' | 'planned' = 'idle';
  /** `broken`: the log itself could not be read; the node's owner restarts it. */
  private state: 'ready' | 'rebuilding' | 'broken' = 'ready';
  private rebuilt: Promise<void> = Promise.resolve();
  private history: Promise<unknown> = Promise.resolve();
  private historyReads = 0;
  private folding = false;
  private foldUnderWay: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(options: PageReaderOptions) {
    this.options = options;
    this.index = options.index;
    this.folder = new PageFolder(options);
  }

  get isRebuilding(): boolean {
    return this.state !== 'ready';
  }

  /** Takes in what the log held at the start. @param durable a point up to which nothing is missing. */
  start({ head, lsn }: FoldPoint): void {
    if (this.options.segment.frameCount === 0) return;
    const target = Math.max(
      0,
      minLsn(lsn, this.options.segment.volumeEnd(head)) - pageReaderBounds.unfoldedBytes,
    );
    this.rebuild({ head, lsn: target as Lsn });
  }

  /**
   * Takes in persisted frames. They are indexed many at a time, by the next fold, read, or turn when much has come: one by
   * one, each with a cold cache, took a fifth of a node's time.
   */
  held(frames: readonly HeldFrame[], bytes: readonly Uint8Array[]): void {
    for (const [at, frame] of frames.entries()) {
      const payload = bytes[at];
      if (payload === undefined) continue;
      this.arrived.push({ frame, bytes: payload });
      this.arrivedBytes += payload.length;
    }
    if (this.arrivedBytes < pageReaderBounds.unindexedBytes) return;
    if (this.indexing === 'planned' || this.isRebuilding || this.closed) return;
    this.indexing = 'planned';
    this.options.runtime.turn(() => {
      this.indexing = 'idle';
      if (!this.isRebuilding) this.indexAll();
    });
  }

  /** Reads pages of a history this node is complete for, in the order asked. */
  async read(head: Epoch, readPoint: Lsn, pages: readonly PageNo[]): Promise<PagesRead> {
    if (this.isRebuilding) return refused('NOT_COMPLETE', 'this node is reading its log again');
    this.indexAll();
    const started = this.startAll(head, readPoint, pages);
    if (typeof started === 'string') {
      this.rebuild(this.folder.point, started);
      return refused('NOT_COMPLETE', 'an image was lost; this node is reading its log again');
    }
    const built =
      started === null ? await this.fromHistory(head, readPoint, pages) : await this.build(started);
    if (built.kind === 'pages') this.counters.pagesRead += pages.length;
    return built;
  }

  /** Whether there is nothing to index and nothing to fold. */
  isDone({ head, lowWater }: FoldLimit): boolean {
    const isIdle = this.state === 'ready' && !this.folding && this.arrived.length === 0;
    return isIdle && this.folder.isDone(head, lowWater);
  }

  /** Folds for a few milliseconds; call now and then. Does nothing while an earlier call is still at it. */
  fold(limit: FoldLimit): Promise<void> {
    if (this.folding || this.state !== 'ready' || this.closed) return Promise.resolve();
    if (limit.head === genesisEpoch || !this.options.tree.has(limit.head)) return Promise.resolve();
    this.folding = true;
    this.foldUnderWay = this.foldOnce(limit).finally(() => {
      this.folding = false;
    });
    return this.foldUnderWay;
  }

  private async foldOnce({ head, lowWater }: FoldLimit): Promise<void> {
    const { segment } = this.options;
    // Only below a point up to which nothing is missing here: a record that came later would find its page folded.
    const limit = minLsn(lowWater, segment.volumeEnd(head));
    if (!this.folder.isOnPath(head)) {
      this.rebuild(
        { head, lsn: limit },
        `epoch ${head} leaves the history of the images below what they hold`,
      );
      return;
    }
    this.indexAll();
    const lost = await this.folder.fold(head, limit);
    if (lost !== null) this.rebuild({ head, lsn: limit }, lost);
  }

  /** Waits for a rebuild under way, if any. */
  async settled(): Promise<void> {
    await this.rebuilt;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.folder.close();
    await this.foldUnderWay;
    await this.rebuilt;
    await this.options.images.close();
  }

  private indexAll(): void {
    for (const { frame, bytes } of this.arrived) this.index.add(frame, bytes);
    this.arrived = [];
    this.arrivedBytes = 0;
  }

  /** @returns null when images cannot serve this read, or why one was lost. */
  private startAll(head: Epoch, readPoint: Lsn, pages: readonly PageNo[]): readonly Start[] | null | string {
    if (readPoint < this.folder.point.lsn || !this.folder.isOnPath(head)) return null;
    const started: Start[] = [];
    for (const page of pages) {
      const plan = this.index.plan(page, head, readPoint);
      if (plan?.needsImage === false) {
        started.push({ image: new Uint8Array(redoLimits.pageBytes), plan });
        continue;
      }
      const image = this.folder.image(page);
      if (image.kind === 'bad') return image.reason;
      started.push({ image: image.kind === 'ok' ? image.bytes : null, plan });
    }
    return started;
  }

  private async build(started: readonly Start[]): Promise<PagesRead> {
    const frames = new Set<HeldFrame>();
    for (const { plan } of started) for (const { frame } of plan?.records ?? []) frames.add(frame);
    const wanted = [...frames].sort(
      (a, b) => a.position.file - b.position.file || a.position.offset - b.position.offset,
    );
    const read = await this.options.frames.read(wanted);
    if (read.kind === 'bad') return refused('DISK_FAILED', read.reason);
    const payloads = new Map<HeldFrame, Uint8Array>();
    wanted.forEach((frame, at) => {
      const bytes = read.frames[at];
      if (bytes !== undefined) payloads.set(frame, framePayload(bytes));
    });
    const pages: (Uint8Array | null)[] = [];
    for (const { image, plan } of started) {
      const page = plan === null ? image : (image ?? new Uint8Array(redoLimits.pageBytes));
      for (const { frame, offset } of plan?.records ?? []) {
        const cursor = new RecordCursor(payloads.get(frame) ?? nothing, offset);
        if (page === null || !cursor.next() || !cursor.applyTo(page))
          return refused(
            'DISK_FAILED',
            `no change of a page lies where one was indexed, in a frame at ${frame.base}`,
          );
      }
      pages.push(page);
    }
    return { kind: 'pages', pages };
  }

  /** Builds pages from the log alone. One such read at a time: each takes the disk for itself. */
  private fromHistory(head: Epoch, readPoint: Lsn, pages: readonly PageNo[]): Promise<PagesRead> {
    if (this.historyReads >= pageReaderBounds.historyReadsMax) {
      const reason = `${this.historyReads} reads of old versions wait for the log`;
      return Promise.resolve(refused('OVERLOADED', reason));
    }
    this.historyReads += 1;
    this.counters.historyReads += 1;
    const read = this.history.then(() => this.searchLog(head, readPoint, pages));
    this.history = read.finally(() => {
      this.historyReads -= 1;
    });
    return read;
  }

  private async searchLog(head: Epoch, readPoint: Lsn, pages: readonly PageNo[]): Promise<PagesRead> {
    const { segment, tree, frames } = this.options;
    const found = new Map<PageNo, Uint8Array | null>(pages.map((page) => [page, null]));
    let at: Lsn = zeroLsn;
    while (at < readPoint && !this.closed) {
      const run = segment.run(head, at, pageReaderBounds.historyBytesPerTurn, readPoint);
      if (run.frames.length === 0) break;
      const read = await frames.read(run.frames);
      if (read.kind === 'bad') return refused('DISK_FAILED', read.reason);
      for (const { header, bytes } of read.frames.flatMap(checkedFrames)) {
        const until = minLsn(readPoint, tree.visibleUntil(head, header.epoch));
        const cursor = new RecordCursor(framePayload(bytes));
        while (cursor.next() && header.base + cursor.end <= until) {
          const { page } = cursor;
          const image = page === null ? undefined : found.get(page);
          if (page === null || image === undefined) continue;
          const next = image ?? new Uint8Array(redoLimits.pageBytes);
          if (!cursor.applyTo(next))
            return refused('DISK_FAILED', `a record at ${header.base} does not fit a page`);
          found.set(page, next);
        }
      }
      at = run.end;
      await nextTurn(this.options.runtime);
    }
    // S15: the log had no hole up to the read point when the read began; rot that was found since has made one.
    if (at < readPoint)
      return refused('NOT_COMPLETE', `the log ends at ${at} here, below the read point ${readPoint}`);
    return { kind: 'pages', pages: pages.map((page) => found.get(page) ?? null) };
  }

  /** Makes images up to `target` and the index above. @param reason told to the operator; none at a start. */
  private rebuild(target: FoldPoint, reason?: string): void {
    if (this.isRebuilding || this.closed) return;
    if (reason !== undefined) {
      this.options.onTrouble('the page images are made anew from the log', reason);
      this.counters.rebuilds += 1;
    }
    this.state = 'rebuilding';
    // A fold under way ends first: two at once would mix their images.
    this.rebuilt = this.foldUnderWay
      .then(() => this.readLogAgain(target))
      .then((complete) => {
        this.state = complete ? 'ready' : 'broken';
        this.indexAll();
      });
  }

  /** @returns false when a frame could not be read: an index with a hole must not serve. */
  private async readLogAgain(target: FoldPoint): Promise<boolean> {
    const { tree, segment, frames } = this.options;
    if (!(await this.folder.restart(target))) return false;
    this.index.clear(this.folder.point.lsn);
    // What arrived meanwhile is in the segment by now; what arrives from here on waits in `arrived` and may come twice.
    this.arrived = [];
    this.arrivedBytes = 0;
    for (const { epoch } of tree.all()) {
      const above = segment.framesAbove(epoch, this.folder.point.lsn);
      for (let at = 0; at < above.length && !this.closed; at += pageReaderBounds.framesPerTurn) {
        const some = above.slice(at, at + pageReaderBounds.framesPerTurn);
        const read = await frames.read(some);
        if (read.kind === 'bad') return false;
        for (const [index, stretch] of some.entries()) {
          let { offset } = stretch.position;
          for (const { header, bytes } of checkedFrames(read.frames[index] ?? nothing)) {
            const { epoch: of, pg, base, end, prevPg } = header;
            const position = { ...stretch.position, offset, length: bytes.length };
            // The index asks for no commit.
            this.index.add({ epoch: of, pg, base, end, prevPg, lastCpl: null, position }, bytes);
            offset += bytes.length;
          }
        }
        await nextTurn(this.options.runtime);
      }
    }
    return true;
  }
}

const nothing = new Uint8Array(0);

function refused(code: RefusalCode, reason: string): PagesRead {
  return { kind: 'refused', code, reason };
}
