/**
 * Folds the log into page images, in one pass in the order of the log: each frame is read once, each record applied once
 * to an image in memory. Images are stored when many have changed, to make room: nobody needs them on the disk, since they
 * are made anew at every start, and a page that changes all the time is not written all the time. Nothing here is on the path
 * of an acknowledgement, and no turn of the event loop is long.
 *
 * Records are byte ranges after the change, so folding one into an image that holds it already changes nothing.
 */
import { commonPoint, type EpochTree } from '../history/epoch-tree.ts';
import type { Segment } from '../log/core/segment.ts';
import type { FrameReader } from '../log/frame-reader.ts';
import { nextTurn, type Runtime } from '../process/runtime.ts';
import { checkedFrames, type FrameHeader, framePayload } from '../redo/frame.ts';
import { type Epoch, genesisEpoch, type Lsn, lsn, minLsn, type PageNo, zeroLsn } from '../redo/ids.ts';
import { redoLimits } from '../redo/limits.ts';
import { RecordCursor } from '../redo/record-cursor.ts';
import type { PageIndex } from './core/page-index.ts';
import type { ImageRead, ImageStore } from './image-store.ts';

/** A place in a history. */
export interface FoldPoint {
  readonly head: Epoch;
  readonly lsn: Lsn;
}

export const pageFolderBounds = {
  /** Time folding may take out of one tick, or one turn of the event loop. */
  foldMsPerTick: 4,
  /** Frames read at once, in bytes: about a millisecond of records. */
  foldBytes: 64 * 1024,
  /** Images in memory at which they are stored: 16 MiB. */
  foldPages: 4_096,
  /** Folding rests this long after images could not be stored; what is in memory is served meanwhile. */
  retryMs: 30_000,
};

export interface PageFolderOptions {
  readonly index: PageIndex;
  readonly tree: EpochTree;
  readonly segment: Segment;
  readonly frames: FrameReader;
  readonly images: ImageStore;
  readonly runtime: Runtime;
  /** Told of images that could not be stored. */
  readonly onTrouble: (what: string, reason: string) => void;
  readonly bounds?: Partial<typeof pageFolderBounds>;
}

/** Why folding stopped: an image or the log could not be read. */
class Unreadable extends Error {}

export class PageFolder {
  readonly counters = { changesFolded: 0, imagesStored: 0 };
  private readonly options: PageFolderOptions;
  private readonly bounds: typeof pageFolderBounds;
  /** Images of pages that changed since images were stored last: newer than those. */
  private working = new Map<PageNo, Uint8Array>();
  private applied: FoldPoint = { head: genesisEpoch, lsn: zeroLsn };
  private restUntilMs = 0;
  private closed: boolean = false;

  constructor(options: PageFolderOptions) {
    this.options = options;
    this.bounds = { ...pageFolderBounds, ...options.bounds };
  }

  /** What the images hold: everything visible here, and nothing else. */
  get point(): FoldPoint {
    return this.applied;
  }

  /** The page as of `point`; a copy. */
  image(page: PageNo): ImageRead {
    const image = this.working.get(page);
    if (image === undefined) return this.options.images.get(page);
    return { kind: 'ok', lsn: this.applied.lsn, bytes: new Uint8Array(image) };
  }

  /** Whether images may be used on the way to `head`: nothing they hold was left behind by a fork. */
  isOnPath(head: Epoch): boolean {
    const { applied, options } = this;
    return applied.lsn === zeroLsn || commonPoint(options.tree, applied, head) === applied.lsn;
  }

  /** Whether everything up to `lowWater` is folded: folding again would change nothing. */
  isDone(head: Epoch, lowWater: Lsn): boolean {
    return this.applied.lsn >= lowWater && this.isOnPath(head);
  }

  /**
   * Folds for a few milliseconds towards `lowWater`, below which no reader goes and nothing is missing, along the path to
   * `head`, which the images are on.
   * @returns why the images have to be made anew; null when all is well.
   */
  async fold(head: Epoch, lowWater: Lsn): Promise<string | null> {
    const { runtime, index } = this.options;
    const startMs = runtime.nowMs();
    const untilMs = startMs + this.bounds.foldMsPerTick;
    if (startMs < this.restUntilMs) return null;
    try {
      while (this.applied.lsn < lowWater && this.hasRoom && !this.closed) {
        if (!(await this.applyNext(head, lowWater, untilMs))) break;
        if (runtime.nowMs() >= untilMs) break;
      }
    } catch (error) {
      if (error instanceof Unreadable) return error.message;
      throw error;
    }
    while (index.forget()) await nextTurn(this.options.runtime);
    if (!this.hasRoom) await this.store();
    return null;
  }

  /**
   * Makes the images anew, from the beginning of the log to `target` along the path to `head`.
   * @returns false when the log could not be read.
   */
  async restart({ head, lsn: target }: FoldPoint): Promise<boolean> {
    this.working.clear();
    this.applied = { head, lsn: zeroLsn };
    this.options.index.clear(zeroLsn);
    await this.options.images.clear();
    try {
      while (this.applied.lsn < target && !this.closed) {
        if (!(await this.applyNext(head, target, this.options.runtime.nowMs() + this.bounds.foldMsPerTick)))
          break;
        if (!this.hasRoom && !(await this.store())) break;
        await nextTurn(this.options.runtime);
      }
    } catch (error) {
      if (error instanceof Unreadable) return false;
      throw error;
    }
    return true;
  }

  close(): void {
    this.closed = true;
  }

  private get hasRoom(): boolean {
    return this.working.size < this.bounds.foldPages;
  }

  /** Applies the next frames, at least one, until `untilMs`. @returns false when there are none. @throws Unreadable */
  private async applyNext(head: Epoch, limit: Lsn, untilMs: number): Promise<boolean> {
    const { segment, frames } = this.options;
    const run = segment.run(head, this.applied.lsn, this.bounds.foldBytes, limit).frames;
    if (run.length === 0) return false;
    const read = await frames.read(run);
    if (read.kind === 'bad') throw new Unreadable(read.reason);
    if (this.closed) return false;
    this.applied = { head, lsn: this.applyFrames(head, read.frames, limit, untilMs) };
    this.options.index.raise(this.applied.lsn);
    return true;
  }

  /** @returns up to where. Code that runs for the first time is far slower: the clock is asked after every frame. */
  private applyFrames(head: Epoch, stretches: readonly Uint8Array[], limit: Lsn, untilMs: number): Lsn {
    let { lsn: at } = this.applied;
    for (const stretch of stretches)
      for (const { header, bytes } of checkedFrames(stretch)) {
        // A stretch may begin long before: what was applied must not use up the time again.
        if (header.end <= at) continue;
        at = this.applyFrame(head, header, framePayload(bytes), at, limit);
        if (this.options.runtime.nowMs() >= untilMs) return at;
      }
    return at;
  }

  /** Applies what lies above `from` and is visible at `limit`. @returns up to where that is. @throws Unreadable */
  private applyFrame(head: Epoch, frame: FrameHeader, payload: Uint8Array, from: Lsn, limit: Lsn): Lsn {
    const until = minLsn(limit, this.options.tree.visibleUntil(head, frame.epoch));
    const cursor = new RecordCursor(payload);
    while (cursor.next()) {
      const end = frame.base + cursor.end;
      if (end > until) break;
      const { page } = cursor;
      if (page === null || end <= from) continue;
      if (!cursor.applyTo(this.imageOf(page)))
        throw new Unreadable(`a record of page ${page} at ${end} does not fit a page`);
      this.counters.changesFolded += 1;
    }
    const reached = frame.end < until ? frame.end : until;
    return lsn(Math.max(from, reached));
  }

  private imageOf(page: PageNo): Uint8Array {
    let image = this.working.get(page);
    if (image !== undefined) return image;
    const found = this.options.images.get(page);
    if (found.kind === 'bad') throw new Unreadable(found.reason);
    image = found.kind === 'ok' ? found.bytes : new Uint8Array(redoLimits.pageBytes);
    this.working.set(page, image);
    return image;
  }

  /** Makes room. @returns false when the images could not be stored: they stay in memory, and folding rests. */
  private async store(): Promise<boolean> {
    const { images, runtime, onTrouble } = this.options;
    try {
      await images.putAll(this.working, this.applied.lsn);
    } catch (error) {
      this.restUntilMs = runtime.nowMs() + this.bounds.retryMs;
      onTrouble('page images could not be stored', String(error));
      return false;
    }
    this.counters.imagesStored += this.working.size;
    this.working = new Map();
    return true;
  }
}
