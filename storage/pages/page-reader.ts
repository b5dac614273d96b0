/**
 * Builds pages at a read point: the image, which holds everything up to some point of the log, and the records above it. A
 * read point below the images, or on a path that leaves theirs, starts from the newest run of images that lies below and reads
 * the log from there.
 *
 * Images are taken back to where the history that is written forks below them (S14). Until the log above is read again, pages are
 * told as those of long ago are (S42): all nodes of a region go back at one moment. At a start reads are answered NOT_COMPLETE
 * meanwhile, and other nodes serve. So is a read of a page whose image is rotten, until it has been fetched.
 */
import { commonPoint, type EpochTree } from '../history/epoch-tree.ts';
import type { FoldPoint } from '../images/core/manifest.ts';
import type { ImageStore } from '../images/image-store.ts';
import type { ImageRead, ImagesStored, PageSource } from '../images/image-store-types.ts';
import { ImageUpkeep } from '../images/image-upkeep.ts';
import type { HeldFrame } from '../log/core/held-frames.ts';
import type { Segment } from '../log/core/segment.ts';
import type { FrameReader } from '../log/frame-reader.ts';
import { nextTurn, pause, type Runtime } from '../process/runtime.ts';
import { type Epoch, genesisEpoch, type Lsn, maxLsn, minLsn, type PageNo, zeroLsn } from '../redo/ids.ts';
import { BranchPages, type BranchSource } from './branch-pages.ts';
import type { PageIndex, PlannedRecord } from './core/page-index.ts';
import { planOver } from './core/path-plan.ts';
import { HistoryPages } from './history-pages.ts';
import { indexEntries } from './log-index.ts';
import { buildPages, type PagesRead, payloadsOf, refused } from './page-building.ts';
import { PageFolder, type pageFolderBounds } from './page-folder.ts';

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
  /** Where pages come from whose images have rotted. */
  readonly source: PageSource;
  readonly runtime: Runtime;
  /** Told of images that could not be stored, which stay in memory, and of why images are taken back. */
  readonly onTrouble: (what: string, reason: string) => void;
  readonly bounds?: Partial<typeof pageFolderBounds>;
  /** Records of branches that are indexed at most; simulations scale it. */
  readonly recordsMax?: number;
}

export const pageReaderBounds = {
  /** Redo that is left unfolded at a start, for snapshots that were taken before. */
  unfoldedBytes: 8 * 1024 * 1024,
  /** Persisted redo that may wait to be indexed: a millisecond of a reader's time. */
  unindexedBytes: 64 * 1024,
  /** Wait before the log is read once more, when a part of it could not be. */
  retryMs: 1_000,
};

interface Arrived {
  readonly frame: HeldFrame;
  readonly bytes: Uint8Array;
}

/** What a page will be built of, as of the moment it was asked for: folding goes on while its image and its records are read. */
interface Start {
  readonly page: PageNo;
  /** Null when the store has it, or when it does not matter. */
  readonly image: Uint8Array | null;
  readonly isStored: boolean;
  readonly records: readonly PlannedRecord[];
}

export class PageReader {
  readonly index: PageIndex;
  /** Pages served, reads of old versions, and times the images were taken back to a fork. */
  readonly counters = { pagesRead: 0, historyReads: 0, rebuilds: 0 };
  readonly folder: PageFolder;
  readonly branches: BranchPages;
  private readonly options: PageReaderOptions;
  private arrived: Arrived[] = [];
  private arrivedBytes = 0;
  private indexing: 'idle' | 'planned' = 'idle';
  private readonly upkeep: ImageUpkeep;
  private state: 'ready' | 'rebuilding' = 'ready';
  /** The log is read again since the images were taken back to a fork: until that is done pages are told as those of long ago are. */
  private hasGoneBack = false;
  private rebuilt: Promise<void> = Promise.resolve();
  private readonly history: HistoryPages;
  private folding = false;
  private foldUnderWay: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(options: PageReaderOptions) {
    this.options = options;
    this.index = options.index;
    this.folder = new PageFolder(options);
    this.branches = new BranchPages(options);
    this.history = new HistoryPages(options);
    this.upkeep = new ImageUpkeep(options.images, options.source, options.runtime);
  }

  get images(): ImageStore {
    return this.options.images;
  }

  get isRebuilding(): boolean {
    return this.state !== 'ready';
  }

  /** Takes in what the log held at the start. @param durable a point up to which nothing is missing. */
  start({ head, lsn }: FoldPoint): void {
    if (this.options.segment.frameCount === 0) return;
    const end = minLsn(lsn, this.options.segment.volumeEnd(head));
    const target = Math.max(0, end - pageReaderBounds.unfoldedBytes) as Lsn;
    // The point was saved some time ago. S14: it may be older than the images, which are not taken back for that.
    this.readLog(() => Promise.resolve(), { head, lsn: this.folder.isOnPath(head) ? target : zeroLsn });
  }

  /**
   * Takes in persisted frames. They are indexed many at a time, by the next fold, read, or turn when much has come: one by
   * one, each with a cold cache, took a fifth of a node's time.
   */
  held(frames: readonly HeldFrame[], bytes: readonly Uint8Array[]): void {
    for (const [at, frame] of frames.entries()) {
      const payload = bytes[at];
      if (payload === undefined) continue;
      this.branches.held(frame, payload);
      if (this.branches.isOfBranch(frame.epoch)) continue;
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
    if (this.isRebuilding && !this.hasGoneBack)
      return refused('NOT_COMPLETE', 'this node is reading its log again');
    const lacking = this.lacksImages(head);
    if (lacking !== null) return lacking;
    if (!this.isRebuilding) this.indexAll();
    const source = this.isRebuilding ? null : this.sourceOf(head, readPoint);
    if (source === null) this.counters.historyReads += 1;
    const built =
      source === null
        ? await this.history.read(head, readPoint, pages)
        : await this.build(this.startAll(source, head, readPoint, pages), source.imagesAt);
    if (built.kind === 'pages') this.counters.pagesRead += pages.length;
    return built;
  }

  /** S26: below its floor a node has no log, so what the log says above is nothing without images there, on the same path. */
  private lacksImages(head: Epoch): PagesRead | null {
    const { segment, tree, images } = this.options;
    const floor = segment.floorOn(head);
    if (floor === zeroLsn) return null;
    const { point } = images;
    const held = tree.has(point.head) ? commonPoint(tree, point, head) : zeroLsn;
    if (floor !== null && held >= floor) return null;
    return refused('NOT_COMPLETE', `the images here go up to ${held} on this path, below the floor`);
  }

  /** What pages are made of without a look at the log, when that is possible here. */
  private sourceOf(head: Epoch, readPoint: Lsn): BranchSource | null {
    const from = maxLsn(this.folder.point.lsn, this.images.fuzzyTo);
    const isFolded = readPoint >= from && this.folder.isOnPath(head);
    if (!this.branches.isOfBranch(head)) return isFolded ? { indexes: [this.index], imagesAt: null } : null;
    const source = this.branches.source(head, isFolded ? this.index : null);
    // S24: below that point the images that were filled are those of no one place.
    const told = source === null ? from : maxLsn(source.imagesAt ?? from, this.images.fuzzyTo);
    return readPoint >= told ? source : null;
  }

  /** Follows the newest paths of the branches that live; `main` is followed as it is folded. Call now and then. */
  follow(heads: readonly Epoch[]): void {
    if (!this.closed) this.branches.follow(heads);
  }

  /** Whether there is nothing to fold. What waits to be indexed is no reason to call `fold`: it is little, or a turn is planned for it. */
  isDone({ head, lowWater }: FoldLimit): boolean {
    const isIdle = this.state === 'ready' && !this.folding;
    return isIdle && this.folder.isDone(head, lowWater) && this.upkeep.isDone;
  }

  /** Folds for a few milliseconds; call now and then. Does nothing while an earlier call is still at it. */
  fold(limit: FoldLimit): Promise<void> {
    if (this.closed) return Promise.resolve();
    this.upkeep.tend();
    this.history.tend();
    if (this.folding || this.isRebuilding) return Promise.resolve();
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
    const { folder } = this;
    if (folder.isOnPath(head)) {
      this.indexAll();
      await folder.fold(head, limit);
      return;
    }
    // S14: of an older head a node hears before it has learnt of the newest. Only a newer one forks below the images.
    if (head <= folder.point.head) return;
    // S18: as long as the floor lies above the fork, too, it counts on these.
    if (segment.floorOn(head) === null) return;
    this.counters.rebuilds += 1;
    this.options.onTrouble(
      'the page images are taken back to a fork',
      `epoch ${head} leaves the history of the images below ${folder.point.lsn}`,
    );
    const goBack = async (): Promise<void> => {
      await folder.goBack(head);
      // All nodes of a region go back at one moment: there is no other to ask meanwhile.
      this.hasGoneBack = true;
    };
    this.readLog(goBack, { head, lsn: limit });
  }

  /** Puts the images that were filled from elsewhere in the place of those here, and reads the log above them (S24). */
  async adopt(head: Epoch): Promise<ImagesStored> {
    while (this.folding || this.isRebuilding) await Promise.all([this.foldUnderWay, this.rebuilt]);
    return new Promise((resolve) => {
      const prepare = async (): Promise<void> => {
        const stored = await this.options.images.adopt();
        await this.folder.goBack(head);
        resolve(stored);
      };
      this.readLog(prepare, { head, lsn: zeroLsn });
    });
  }

  /** Waits for a rebuild under way, if any. */
  async settled(): Promise<void> {
    await this.rebuilt;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.history.close();
    const folder = this.folder.close();
    await this.foldUnderWay;
    await this.rebuilt;
    await folder;
    await Promise.all([this.branches.close(), this.options.images.close(), this.upkeep.close()]);
  }

  private indexAll(): void {
    for (const { frame, bytes } of this.arrived) this.index.add(frame, bytes);
    this.arrived = [];
    this.arrivedBytes = 0;
  }

  /** Settles, in one go, what the pages are built of. */
  private startAll(
    { indexes, imagesAt }: BranchSource,
    head: Epoch,
    readPoint: Lsn,
    pages: readonly PageNo[],
  ): readonly Start[] {
    const changedSince = (page: PageNo): Uint8Array | 'gone' | 'stored' =>
      imagesAt === null ? this.folder.changed(page) : 'stored';
    return pages.map((page) => {
      const plan = planOver(indexes, page, head, readPoint);
      const changed = plan?.needsImage === false ? 'gone' : changedSince(page);
      return {
        page,
        image: changed instanceof Uint8Array ? changed : null,
        isStored: changed === 'stored',
        records: plan?.records ?? [],
      };
    });
  }

  /** @param imagesAt the end of the run that stored images are read at; null for the newest. */
  private async build(started: readonly Start[], imagesAt: Lsn | null): Promise<PagesRead> {
    const asked = started.filter(({ isStored }) => isStored).map(({ page }) => page);
    // Called before anything is waited for: which runs are read is settled with the plans.
    const reading: Promise<readonly ImageRead[]> =
      asked.length === 0 ? Promise.resolve([]) : this.images.read(asked, imagesAt ?? this.images.point.lsn);
    const planned = started.flatMap(({ records }) => records);
    const [stored, payloads] = await Promise.all([reading, payloadsOf(this.options.frames, planned)]);
    const rotten = stored.find((image) => image.kind === 'bad');
    if (rotten?.kind === 'bad') return refused('NOT_COMPLETE', rotten.reason);
    if ('kind' in payloads) return payloads;
    let next = 0;
    const parts = started.map(({ image, isStored, records }) => {
      const found = isStored ? stored[next++] : undefined;
      return { image: found?.kind === 'ok' ? found.bytes : image, records };
    });
    return buildPages(parts, payloads);
  }

  /** Folds up to `target` and indexes all that lies above, once `prepare` is done. Nobody is served until then. */
  private readLog(prepare: () => Promise<void>, target: FoldPoint): void {
    this.state = 'rebuilding';
    const run = async (): Promise<void> => {
      await prepare();
      // What cannot be read is fetched from peers, or ends the process.
      while (!this.closed && !(await this.readLogOnce(target)))
        await pause(this.options.runtime, pageReaderBounds.retryMs);
      this.state = 'ready';
      this.hasGoneBack = false;
      this.indexAll();
    };
    this.rebuilt = run();
  }

  /** @returns false when an image or a frame could not be read: an index with a hole must not serve. */
  private async readLogOnce({ head, lsn: target }: FoldPoint): Promise<boolean> {
    const { tree, segment, runtime } = this.options;
    while (this.folder.point.lsn < target && !this.closed) {
      const before = this.folder.point.lsn;
      await this.folder.fold(head, target);
      await nextTurn(runtime);
      if (this.folder.point.lsn === before && !(await this.folder.stored())) break;
    }
    this.index.clear(this.folder.point.lsn);
    // What arrived meanwhile is in the segment by now; what arrives from here on waits in `arrived` and may come twice.
    this.arrived = [];
    this.arrivedBytes = 0;
    for (const { epoch } of tree.all()) {
      if (this.branches.isOfBranch(epoch)) continue;
      const above = segment.framesAbove(epoch, this.folder.point.lsn);
      if (!(await indexEntries(this.options, this.index, above, () => !this.closed))) return this.closed;
    }
    return true;
  }
}
