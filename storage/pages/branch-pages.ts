/**
 * Pages of branches. Images are folded along `main` alone, so a page of a branch is an image from where `main` was at or before the
 * place that the branch left, and the records from there along its path. For each branch there is an index of its own records, and
 * one of those of `main` between the images and that place. The first is complete from the moment the branch begins; the second is
 * made in the background, and until then the index of `main` itself serves as long as `main` has not been folded beyond that place.
 *
 * S35: indexes of branches are caches: a page is the same with and without them. Without them the log is read from the images on.
 */
import { commonPoint, type EpochTree, type Fork } from '../history/epoch-tree.ts';
import { type Floor, floorOn } from '../history/floor.ts';
import type { ImageStore } from '../images/image-store.ts';
import type { HeldFrame } from '../log/core/held-frames.ts';
import type { Segment } from '../log/core/segment.ts';
import type { FrameReader } from '../log/frame-reader.ts';
import { pause, type Runtime } from '../process/runtime.ts';
import { type Epoch, type Lsn, mainBranch, maxLsn, zeroLsn } from '../redo/ids.ts';
import { branchLimits } from '../redo/limits.ts';
import { PageIndex } from './core/page-index.ts';
import { indexEntries } from './log-index.ts';

export interface BranchPagesOptions {
  readonly tree: EpochTree;
  readonly segment: Segment;
  readonly frames: FrameReader;
  readonly images: ImageStore;
  readonly runtime: Runtime;
  /** See `branchLimits.indexedRecordsMax`. */
  readonly recordsMax?: number;
}

/** What pages of a branch are made of. */
export interface BranchSource {
  /** The youngest line first. */
  readonly indexes: readonly PageIndex[];
  /** The end of the run of images that they start from; null to start from the newest images of `main`. */
  readonly imagesAt: Lsn | null;
}

/** Records of `main` between images and the place where a branch left it. */
interface SharedPart {
  /** Where the path leaves `main`. */
  readonly leaves: Floor;
  /** The end of a run of images, on the path. */
  readonly base: Floor;
  readonly index: PageIndex;
  isReady: boolean;
}

interface Entry {
  /** The epoch with which the branch began: a name may be used again on a path that leads through it. */
  readonly origin: Epoch;
  own: PageIndex;
  /** Every record of the branch that is held here is in `own`. */
  isOwnReady: boolean;
  shared: SharedPart | null;
  /** Of a branch that only others came from there is no path to read. */
  head: Epoch | null;
  readAtMs: number;
  /** When its indexes went because they took too much room; null while they did not. They are made again once it is read. */
  parkedAtMs: number | null;
}

/** Wait before a part of the log that could not be read is tried again. */
const retryMs = 1_000;
/** Between two times that an index is made for want of room. */
const parkMs = 60_000;
/** Redo that may wait to be indexed: a millisecond of a reader's time. */
const unindexedBytes = 64 * 1024;

export class BranchPages {
  /** Times that an index was made by reading the log. */
  readonly counters = { builds: 0 };
  private readonly options: BranchPagesOptions;
  private readonly recordsMax: number;
  /** By origin. */
  private readonly entries = new Map<Epoch, Entry>();
  private arrived: { readonly frame: HeldFrame; readonly bytes: Uint8Array }[] = [];
  private arrivedBytes = 0;
  /** No path leaves `main` above this. */
  private sharedBelow: Lsn = zeroLsn;
  private building: Promise<void> | null = null;
  private closed = false;

  constructor(options: BranchPagesOptions) {
    this.options = options;
    this.recordsMax = options.recordsMax ?? branchLimits.indexedRecordsMax;
  }

  /** Ends of runs of images that pages of branches start from: no merge may take them away. */
  get bases(): readonly Lsn[] {
    return [...this.entries.values()].flatMap(({ shared }) => (shared === null ? [] : [shared.base.lsn]));
  }

  get isBuilding(): boolean {
    return this.building !== null;
  }

  get recordCount(): number {
    let count = 0;
    for (const { own, shared } of this.entries.values())
      count += own.recordCount + (shared?.index.recordCount ?? 0);
    return count;
  }

  /** Whether an epoch is another branch's than `main`'s: its records are indexed here, and not with those of `main`. */
  isOfBranch(epoch: Epoch): boolean {
    const branch = this.options.tree.get(epoch)?.branch;
    return branch !== undefined && branch !== mainBranch;
  }

  /** A fork is in the tree from now on. Of a branch that begins with it no record can be held yet. */
  forked({ epoch, branch }: Fork): void {
    const origin = this.options.tree.originOf(epoch);
    if (branch === mainBranch || this.entries.has(origin)) return;
    this.add(origin);
  }

  /** Takes in a frame that is persisted, where it concerns a branch. */
  held(frame: HeldFrame, bytes: Uint8Array): void {
    if (this.entries.size === 0) return;
    if (!this.isOfBranch(frame.epoch) && frame.base >= this.sharedBelow) return;
    this.arrived.push({ frame, bytes });
    this.arrivedBytes += bytes.length;
    if (this.arrivedBytes >= unindexedBytes) this.flush();
  }

  /** Follows the newest paths of the branches that live, and drops what belongs to others. Call now and then. */
  follow(heads: readonly Epoch[]): void {
    this.flush();
    if (heads.length === 0 && this.entries.size === 0) return;
    const { tree } = this.options;
    const living = new Map(heads.map((head) => [tree.originOf(head), head]));
    const needed = new Set(heads.flatMap((head) => this.linesOn(head)));
    for (const origin of this.entries.keys()) if (!needed.has(origin)) this.entries.delete(origin);
    // Those that only others came from are needed, too, and after a start they are known from nothing else.
    for (const origin of needed) {
      const entry = this.entries.get(origin) ?? this.add(origin);
      entry.head = living.get(origin) ?? null;
    }
    this.sharedBelow = zeroLsn;
    for (const entry of this.entries.values()) {
      if (entry.head === null) continue;
      const { lsn } = this.leaveOf(entry.head);
      this.sharedBelow = maxLsn(this.sharedBelow, lsn);
      if (!this.isParked(entry) && !this.fits(entry.shared, entry.head))
        entry.shared = this.share(entry.head);
    }
    this.build();
  }

  /**
   * What pages of this path are made of; null when they have to be made from the log.
   * @param main the index of `main`, where it and its images hold all that the path shares with it.
   */
  source(head: Epoch, main: PageIndex | null): BranchSource | null {
    this.flush();
    const nowMs = this.options.runtime.nowMs();
    const owns: PageIndex[] = [];
    const entries = this.linesOn(head).map((origin) => this.entries.get(origin));
    for (const entry of entries) {
      if (entry === undefined) return null;
      entry.readAtMs = nowMs;
      if (nowMs - (entry.parkedAtMs ?? nowMs) >= parkMs) entry.parkedAtMs = null;
      if (this.isParked(entry) || !entry.isOwnReady) return null;
      owns.push(entry.own);
    }
    const [entry] = entries;
    if (main !== null) return { indexes: [...owns, main], imagesAt: null };
    const shared = entry?.shared ?? null;
    if (shared === null || !shared.isReady || !this.fits(shared, head)) return null;
    return { indexes: [...owns, shared.index], imagesAt: shared.base.lsn };
  }

  /** Frames lie elsewhere on the disk than they did: everything is made anew. */
  reset(): void {
    for (const entry of this.entries.values()) this.clear(entry);
    this.build();
  }

  /** Waits until all indexes are made that can be. */
  async settled(): Promise<void> {
    await this.building;
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.building;
  }

  private add(origin: Epoch): Entry {
    const { tree, segment } = this.options;
    const isNew = this.epochsOf(origin).every((epoch) => segment.framesAbove(epoch, zeroLsn).length === 0);
    const entry: Entry = {
      origin,
      own: new PageIndex(tree),
      isOwnReady: isNew,
      shared: null,
      head: null,
      readAtMs: Number.NEGATIVE_INFINITY,
      parkedAtMs: null,
    };
    this.entries.set(origin, entry);
    return entry;
  }

  private clear(entry: Entry): void {
    entry.own = new PageIndex(this.options.tree);
    entry.isOwnReady = false;
    entry.shared = null;
  }

  /** The origins of the branches that a path leads through, the youngest first, without `main`. */
  private linesOn(head: Epoch): readonly Epoch[] {
    const { tree } = this.options;
    const epochs = tree.forksOf(head).map(({ epoch }) => epoch);
    const origins = epochs.filter((epoch) => this.isOfBranch(epoch)).map((epoch) => tree.originOf(epoch));
    return [...new Set(origins.reverse())];
  }

  /** Every epoch of a branch. */
  private epochsOf(origin: Epoch): readonly Epoch[] {
    const { tree } = this.options;
    const epochs = tree.all().map(({ epoch }) => epoch);
    return epochs.filter((epoch) => tree.originOf(epoch) === origin);
  }

  /** Where a path leaves `main`. */
  private leaveOf(head: Epoch): Floor {
    const { tree } = this.options;
    const last = tree.path(head).findLast(({ epoch }) => !this.isOfBranch(epoch));
    return last === undefined ? { epoch: head, lsn: zeroLsn } : { epoch: last.epoch, lsn: last.until };
  }

  /** Whether a shared part holds what a path shares with `main` above images that are still there. */
  private fits(shared: SharedPart | null, head: Epoch): boolean {
    if (shared === null) return false;
    const { tree, images } = this.options;
    const { leaves, base } = shared;
    const { epoch, lsn } = this.leaveOf(head);
    if (epoch !== leaves.epoch || lsn > leaves.lsn || !this.hasLogFrom(base, head)) return false;
    const found = images.endBelow(base.lsn);
    return found.lsn === base.lsn && found.epoch === base.epoch && floorOn(tree, base, head) === base.lsn;
  }

  /** S26: what an empty node was sent before it got images says nothing of what lies below them. */
  private hasLogFrom({ lsn }: Floor, head: Epoch): boolean {
    const floor = this.options.segment.floorOn(head);
    return floor !== null && lsn >= floor;
  }

  /** Null where the log does not reach down to any images that lie on the path: pages of it cannot be told here. */
  private share(head: Epoch): SharedPart | null {
    const { tree, images } = this.options;
    const { point } = images;
    const common = tree.has(point.head) ? commonPoint(tree, point, head) : zeroLsn;
    const base = images.endBelow(common);
    if (!this.hasLogFrom(base, head)) return null;
    const index = new PageIndex(tree);
    index.raise(base.lsn);
    return { leaves: this.leaveOf(head), base, index, isReady: false };
  }

  private flush(): void {
    const { tree } = this.options;
    for (const { frame, bytes } of this.arrived) {
      const own = this.entries.get(tree.originOf(frame.epoch));
      if (own !== undefined && !this.isParked(own)) own.own.add(frame, bytes);
      if (this.isOfBranch(frame.epoch)) continue;
      for (const { shared } of this.entries.values())
        if (shared !== null && frame.base < shared.leaves.lsn) shared.index.add(frame, bytes);
    }
    this.arrived = [];
    this.arrivedBytes = 0;
    this.makeRoom();
  }

  private isParked({ parkedAtMs }: Entry): boolean {
    return parkedAtMs !== null;
  }

  /** The indexes of the branch that was read longest ago go, until the rest is small enough. */
  private makeRoom(): void {
    while (this.recordCount > this.recordsMax) {
      const [oldest] = [...this.entries.values()]
        .filter(({ own, shared }) => own.recordCount + (shared?.index.recordCount ?? 0) > 0)
        .sort((a, b) => a.readAtMs - b.readAtMs);
      if (oldest === undefined) return;
      this.clear(oldest);
      oldest.parkedAtMs = this.options.runtime.nowMs();
    }
  }

  private build(): void {
    if (this.building !== null || this.closed) return;
    if (this.nextPart() === null) return;
    this.building = this.buildAll().finally(() => {
      this.building = null;
    });
  }

  private async buildAll(): Promise<void> {
    for (let part = this.nextPart(); part !== null && !this.closed; part = this.nextPart())
      if (!(await part())) await pause(this.options.runtime, retryMs);
  }

  /** What is to be read next; own records first, of which there are fewer as a rule. */
  private nextPart(): (() => Promise<boolean>) | null {
    const entries = [...this.entries.values()].filter((entry) => !this.isParked(entry));
    const lacking = entries.find(({ isOwnReady }) => !isOwnReady);
    if (lacking !== undefined) return () => this.buildOwn(lacking);
    for (const entry of entries) {
      const { shared, head } = entry;
      if (shared !== null && !shared.isReady && head !== null)
        return () => this.buildShared(entry, shared, head);
    }
    return null;
  }

  private async buildOwn(entry: Entry): Promise<boolean> {
    const { segment } = this.options;
    const { own, origin } = entry;
    const goesOn = (): boolean => !this.closed && entry.own === own && this.entries.get(origin) === entry;
    for (const epoch of this.epochsOf(origin)) {
      if (!(await this.read(own, segment.framesAbove(epoch, zeroLsn), goesOn))) return !goesOn();
    }
    entry.isOwnReady = true;
    return true;
  }

  private async buildShared(entry: Entry, shared: SharedPart, head: Epoch): Promise<boolean> {
    const { tree, segment } = this.options;
    const goesOn = (): boolean =>
      !this.closed && entry.shared === shared && this.entries.get(entry.origin) === entry;
    for (const { epoch, until } of tree.path(head)) {
      if (this.isOfBranch(epoch) || until <= shared.base.lsn) continue;
      const frames = segment.framesAbove(epoch, shared.base.lsn).filter(({ base }) => base < until);
      if (!(await this.read(shared.index, frames, goesOn))) return !goesOn();
    }
    shared.isReady = true;
    return true;
  }

  /** @returns false when it could not be read, or is not wanted any more. */
  private async read(
    index: PageIndex,
    frames: readonly HeldFrame[],
    goesOn: () => boolean,
  ): Promise<boolean> {
    this.counters.builds += 1;
    return indexEntries(this.options, index, frames, () => {
      this.makeRoom();
      return goesOn();
    });
  }
}
