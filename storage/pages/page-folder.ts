/**
 * Folds the log into page images, in one pass in the order of the log: each frame is read once, each record applied once to an
 * image in memory. What changed is stored as a run when it is many pages, much redo, or some time old; so a start finds images
 * and folds at most that much of the log. Nothing here is on the path of an acknowledgement, and no turn of the event loop is
 * long: images are fetched before the records of a stretch of log are applied, and folding goes on while a run is written.
 *
 * Records are byte ranges after the change, so folding one into an image that holds it already changes nothing.
 */
import { commonPoint, type EpochTree } from '../history/epoch-tree.ts';
import type { FoldPoint } from '../images/core/manifest.ts';
import type { ImageStore } from '../images/image-store.ts';
import type { Segment } from '../log/core/segment.ts';
import type { FrameReader } from '../log/frame-reader.ts';
import { nextTurn, type Runtime } from '../process/runtime.ts';
import { checkedFrames, type FrameHeader, framePayload } from '../redo/frame.ts';
import { type Epoch, type Lsn, lsn, minLsn, type PageNo, zeroLsn } from '../redo/ids.ts';
import { redoLimits } from '../redo/limits.ts';
import { RecordCursor } from '../redo/record-cursor.ts';
import type { PageIndex } from './core/page-index.ts';

const MiB = 1024 * 1024;

export const pageFolderBounds = {
  /** Time folding may take out of one tick, or one turn of the event loop. */
  foldMsPerTick: 4,
  /** Frames read at once, in bytes: about a millisecond of records. */
  foldBytes: 64 * 1024,
  /** Images fetched at once for them. */
  fetchPages: 256,
  /** Images in memory at which they are stored: 16 MiB. A transaction that goes on is cut in two at twice as many. */
  foldPages: 4_096,
  /** Redo folded since images were stored, at which they are. */
  storeBytes: 64 * MiB,
  /** Age of the first change at which images are stored. */
  storeAfterMs: 60_000,
  /** Folding rests this long after images could not be stored; what is in memory is served meanwhile. */
  retryMs: 30_000,
  /** Folding rests this long when an image cannot be read. */
  fetchRetryMs: 250,
};

export interface PageFolderOptions {
  readonly index: PageIndex;
  readonly tree: EpochTree;
  readonly segment: Segment;
  readonly frames: FrameReader;
  readonly images: ImageStore;
  readonly runtime: Runtime;
  /** Told of images that could not be stored, and of records that cannot be folded. */
  readonly onTrouble: (what: string, reason: string) => void;
  readonly bounds?: Partial<typeof pageFolderBounds>;
}

type Frame = { readonly header: FrameHeader; readonly payload: Uint8Array };

/** Frames to fold, with the images they need in hand up to `until`. */
interface Prepared {
  readonly frames: readonly Frame[];
  readonly until: Lsn;
}

export class PageFolder {
  readonly counters = { changesFolded: 0, imagesStored: 0 };
  private readonly options: PageFolderOptions;
  private readonly bounds: typeof pageFolderBounds;
  /** Images of pages that changed since images were stored last: newer than those. */
  private working = new Map<PageNo, Uint8Array>();
  /** The fewest pages that the database had since images were stored, where it got shorter (S23). */
  private endsAt: number | null = null;
  private leavingEndsAt: number | null = null;
  /** Images that are being written as a run, which nobody changes any more; below those of `working`. */
  private leaving: ReadonlyMap<PageNo, Uint8Array> | null = null;
  private storing: Promise<void> = Promise.resolve();
  /** The last run could not be written. */
  private hasFailed = false;
  /** Stored images that the next records change; null for a page that is not there yet. */
  private fetched = new Map<PageNo, Uint8Array | null>();
  private applied: FoldPoint;
  /** `working` holds what changed above. */
  private storedLsn: Lsn;
  /** Of the commit folded last. */
  private lastCpl: Lsn;
  private changedAtMs = 0;
  private restUntilMs = 0;
  private closed: boolean = false;

  constructor(options: PageFolderOptions) {
    this.options = options;
    this.bounds = { ...pageFolderBounds, ...options.bounds };
    this.applied = options.images.point;
    this.lastCpl = this.applied.lsn;
    this.storedLsn = this.applied.lsn;
    options.index.raise(this.applied.lsn);
  }

  /** What the images hold: everything visible here, and nothing else. */
  get point(): FoldPoint {
    return this.applied;
  }

  /** The page as of `point` where it has changed since images were stored, a copy, or that it is gone since; else the store has it. */
  changed(page: PageNo): Uint8Array | 'gone' | 'stored' {
    const changed = this.working.get(page);
    if (changed !== undefined) return changed.slice();
    if (isBeyond(this.endsAt, page)) return 'gone';
    const leaving = this.leaving?.get(page);
    if (leaving !== undefined) return leaving.slice();
    return isBeyond(this.leavingEndsAt, page) ? 'gone' : 'stored';
  }

  /** Whether images may be used on the way to `head`: nothing they hold was left behind by a fork. */
  isOnPath(head: Epoch): boolean {
    const { applied, options } = this;
    if (applied.lsn === zeroLsn) return true;
    return options.tree.has(applied.head) && commonPoint(options.tree, applied, head) === applied.lsn;
  }

  /** Whether everything up to `lowWater` is folded, and stored where it is time to. */
  isDone(head: Epoch, lowWater: Lsn): boolean {
    const isStored = this.leaving === null && !this.isStoreDue;
    return this.applied.lsn >= lowWater && this.isOnPath(head) && isStored;
  }

  /**
   * Folds for a few milliseconds towards `lowWater`, below which no reader goes and nothing is missing, along the path to
   * `head`, which the images are on.
   */
  async fold(head: Epoch, lowWater: Lsn): Promise<void> {
    const { runtime, index } = this.options;
    if (runtime.nowMs() < this.restUntilMs) return;
    let leftMs = this.bounds.foldMsPerTick;
    while (leftMs > 0 && this.applied.lsn < lowWater && !this.closed) {
      if (this.isStoreDue && !this.store()) break;
      // What could not be stored stays in memory, to which nothing is added until it can.
      if (this.hasFailed) break;
      const tookMs = await this.foldNext(head, lowWater, leftMs);
      if (tookMs === null) break;
      leftMs -= tookMs;
    }
    while (index.forget()) await nextTurn(runtime);
    if (this.isStoreDue && !this.closed) this.store();
  }

  /** Waits for a run that is being written. @returns false when none was, or it could not be. */
  async stored(): Promise<boolean> {
    if (this.leaving === null) return false;
    await this.storing;
    return this.options.runtime.nowMs() >= this.restUntilMs;
  }

  /**
   * Goes back to the images that are stored, and of those to where the path to `head` parts from theirs. The index is empty
   * afterwards.
   */
  async goBack(head: Epoch): Promise<void> {
    await this.storing;
    const { images, tree, index } = this.options;
    const { point } = images;
    const common = tree.has(point.head) ? commonPoint(tree, point, head) : zeroLsn;
    if (common < point.lsn) await images.dropAbove(common);
    this.working = new Map();
    this.endsAt = null;
    this.fetched = new Map();
    this.hasFailed = false;
    this.applied = images.point;
    this.lastCpl = this.applied.lsn;
    this.storedLsn = this.applied.lsn;
    this.restUntilMs = 0;
    index.clear(this.applied.lsn);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.storing;
  }

  /** Whether `point` is a CPL, as far as is known. */
  private get isConsistent(): boolean {
    return this.applied.lsn === this.lastCpl;
  }

  private get isStoreDue(): boolean {
    const { working, applied, bounds, options } = this;
    if (working.size === 0) return false;
    const redoBytes = applied.lsn - this.storedLsn;
    if (working.size >= 2 * bounds.foldPages || redoBytes >= 2 * bounds.storeBytes) return true;
    if (!this.isConsistent) return false;
    return (
      working.size >= bounds.foldPages ||
      redoBytes >= bounds.storeBytes ||
      options.runtime.nowMs() - this.changedAtMs >= bounds.storeAfterMs
    );
  }

  /** Folds the next frames, at least one. @returns how long the event loop was kept at it; null when nothing could be folded. */
  private async foldNext(head: Epoch, limit: Lsn, leftMs: number): Promise<number | null> {
    const { segment, frames, runtime } = this.options;
    const run = segment.run(head, this.applied.lsn, this.bounds.foldBytes, limit).frames;
    if (run.length === 0) return null;
    const read = await frames.read(run);
    // Whoever reads frames has said so already, and has the node end or the frame fetched.
    if (read.kind === 'bad' || this.closed) return null;
    const prepared = await this.prepare(head, read.frames, limit);
    if (prepared === null || this.closed) return null;
    const startMs = runtime.nowMs();
    const reached = this.apply(head, prepared, limit, startMs + leftMs);
    if (reached === this.applied.lsn) return null;
    this.applied = { head, lsn: reached };
    this.options.index.raise(reached);
    return runtime.nowMs() - startMs;
  }

  /** Fetches what the next records change. @returns null when an image cannot be read: folding rests. */
  private async prepare(head: Epoch, stretches: readonly Uint8Array[], limit: Lsn): Promise<Prepared | null> {
    const frames: Frame[] = [];
    const missing = new Set<PageNo>();
    /** Pages whose first record is the whole page: their image does not matter. */
    const whole = new Set<PageNo>();
    const from = this.applied.lsn;
    let until = from;
    for (const { header, bytes } of stretches.flatMap(checkedFrames)) {
      // A stretch may begin long before.
      if (header.end <= from) continue;
      if (missing.size >= this.bounds.fetchPages) break;
      const payload = framePayload(bytes);
      const visible = this.visible(head, header, limit);
      const cursor = new RecordCursor(payload);
      while (cursor.next() && header.base + cursor.end <= visible) {
        const { page } = cursor;
        if (page === null || header.base + cursor.end <= from) continue;
        if (this.working.has(page) || this.fetched.has(page) || whole.has(page)) continue;
        const changed = this.changed(page);
        if (changed !== 'stored') this.fetched.set(page, changed === 'gone' ? null : changed);
        else if (!missing.has(page)) (cursor.isWhole ? whole : missing).add(page);
      }
      frames.push({ header, payload });
      until = header.end;
    }
    const asked = [...missing];
    const read = asked.length === 0 ? [] : await this.options.images.read(asked);
    for (const [at, page] of asked.entries()) {
      const image = read[at];
      if (image === undefined || image.kind === 'bad') {
        this.restUntilMs = this.options.runtime.nowMs() + this.bounds.fetchRetryMs;
        return null;
      }
      // Read together with others they lie in one piece of memory, which they would keep.
      this.fetched.set(page, image.kind === 'ok' ? image.bytes.slice() : null);
    }
    return { frames, until };
  }

  /** @returns up to where. Code that runs for the first time is far slower: the clock is asked after every frame. */
  private apply(head: Epoch, { frames, until }: Prepared, limit: Lsn, untilMs: number): Lsn {
    let { lsn: at } = this.applied;
    for (const { header, payload } of frames) {
      const visible = this.visible(head, header, limit);
      const failed = this.applyFrame(header, payload, at, visible);
      if (failed !== null) {
        this.rest('folding has stopped', failed);
        return at;
      }
      at = lsn(Math.max(at, Math.min(header.end, visible)));
      if (this.options.runtime.nowMs() >= untilMs) return at;
    }
    // All that was fetched for these frames has been used.
    if (at >= until) this.fetched = new Map();
    return at;
  }

  private visible(head: Epoch, { epoch }: FrameHeader, limit: Lsn): Lsn {
    return minLsn(limit, this.options.tree.visibleUntil(head, epoch));
  }

  /** Applies the records that end in (from, until]. @returns what is wrong with one. */
  private applyFrame(header: FrameHeader, payload: Uint8Array, from: Lsn, until: Lsn): string | null {
    const cursor = new RecordCursor(payload);
    while (cursor.next()) {
      const end = header.base + cursor.end;
      if (end > until) break;
      if (end <= from) continue;
      const { page, pagesLeft } = cursor;
      if (cursor.isCommit) this.lastCpl = lsn(end);
      if (pagesLeft !== null) this.shrink(pagesLeft);
      if (page === null) continue;
      const image = this.imageOf(page, cursor.isWhole);
      if (image === null) return `the image of page ${page} was not fetched for a record at ${end}`;
      if (!cursor.applyTo(image)) return `a record of page ${page} at ${end} does not fit a page`;
      this.counters.changesFolded += 1;
    }
    return null;
  }

  /** What lies beyond is gone, and what is written there from now on begins with nothing. */
  private shrink(pages: number): void {
    for (const page of this.working.keys()) if (page > pages) this.working.delete(page);
    for (const page of this.fetched.keys()) if (page > pages) this.fetched.set(page, null);
    this.endsAt = Math.min(this.endsAt ?? pages, pages);
  }

  /** The image to change, null when it was not fetched. @param isWhole what was there before does not matter. */
  private imageOf(page: PageNo, isWhole: boolean): Uint8Array | null {
    const image = this.working.get(page);
    if (image !== undefined) return image;
    const fetched = this.fetched.get(page);
    if (fetched === undefined && !isWhole) return null;
    const made = fetched ?? new Uint8Array(redoLimits.pageBytes);
    this.fetched.delete(page);
    if (this.working.size === 0) this.changedAtMs = this.options.runtime.nowMs();
    this.working.set(page, made);
    return made;
  }

  private rest(what: string, reason: string): void {
    this.restUntilMs = this.options.runtime.nowMs() + this.bounds.retryMs;
    this.options.onTrouble(what, reason);
  }

  /** Begins to write what changed as a run. @returns false while another one is being written: folding waits for it. */
  private store(): boolean {
    if (this.leaving !== null) return false;
    this.leaving = this.working;
    this.leavingEndsAt = this.endsAt;
    this.working = new Map();
    this.endsAt = null;
    this.storedLsn = this.applied.lsn;
    this.storing = this.storeAll(this.leaving, this.applied, this.isConsistent);
    return true;
  }

  /** When images cannot be stored they stay in memory, and folding rests. */
  private async storeAll(
    pages: ReadonlyMap<PageNo, Uint8Array>,
    point: FoldPoint,
    isConsistent: boolean,
  ): Promise<void> {
    const endsAt = this.leavingEndsAt;
    const stored = await this.options.images.append({ point, isConsistent, endsAt, pages });
    this.leaving = null;
    this.leavingEndsAt = null;
    this.hasFailed = stored.kind === 'failed';
    if (stored.kind === 'stored') {
      this.counters.imagesStored += pages.size;
      return;
    }
    this.storedLsn = this.options.images.point.lsn;
    for (const [page, image] of pages) {
      if (this.working.has(page) || isBeyond(this.endsAt, page)) continue;
      this.working.set(page, image);
      this.fetched.delete(page);
    }
    if (endsAt !== null) this.endsAt = Math.min(this.endsAt ?? endsAt, endsAt);
    if (!this.closed) this.rest('page images could not be stored', stored.reason);
  }
}

function isBeyond(endsAt: number | null, page: PageNo): boolean {
  return endsAt !== null && page > endsAt;
}
