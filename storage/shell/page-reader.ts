/**
 * Builds pages: indexes what the log holds, plans a page at a read point, reads the records and folds them. Long chains
 * are folded into images in the background, a little at a time, where no reader goes below.
 *
 * The index is rebuilt from the log when an image turns out bad, when history forks below what was folded, and when a
 * read needs versions that were folded away. Until that is done reads are answered NOT_COMPLETE, and other nodes serve.
 */
import type { EpochTree, Fork } from '../core/epoch-tree.ts';
import { framePayload } from '../core/frame.ts';
import { type Epoch, genesisEpoch, type Lsn, minLsn, type PageNo, zeroLsn } from '../core/ids.ts';
import { redoLimits } from '../core/limits.ts';
import type { RefusalCode } from '../core/messages.ts';
import type { PageEntry, PageIndex, PagePlan } from '../core/page-index.ts';
import { applyChange, decodeRecords, type PageChange, type RecordSpan, spansOf } from '../core/record.ts';
import type { HeldFrame, Segment } from '../core/segment.ts';
import type { FrameReader } from './frame-reader.ts';
import type { ImageKey, ImageStore } from './image-store.ts';

export type PagesRead =
  | { readonly kind: 'pages'; readonly pages: readonly (Uint8Array | null)[] }
  | { readonly kind: 'refused'; readonly code: RefusalCode; readonly reason: string };

/** Up to where the history that ends in `head` may be folded. */
export interface FoldPoint {
  readonly head: Epoch;
  readonly lowWater: Lsn;
}

export interface PageReaderOptions {
  /** Filled by the scan of the log. */
  readonly index: PageIndex;
  readonly tree: EpochTree;
  readonly segment: Segment;
  readonly frames: FrameReader;
  readonly images: ImageStore;
  readonly now: () => number;
  /** Told of images that could not be written or read; the node goes on without them. */
  readonly onTrouble: (what: string, reason: string) => void;
  readonly bounds?: Partial<typeof pageReaderBounds>;
}

export const pageReaderBounds = {
  /** Records indexed in one turn of the event loop. */
  spansPerTurn: 4_000,
  /** Time folding may take out of one tick. */
  foldMsPerTick: 4,
  /** Pages, and about how many bytes of frames, folded together. */
  foldPages: 32,
  foldBytes: 2 * 1024 * 1024,
  /** Folding rests this long after an image could not be written. */
  foldRetryMs: 30_000,
  /** Folding rests this long after a read that needed what had been folded away. */
  unfoldedMs: 60_000,
  /** Frames read at once when the index is rebuilt. */
  rebuildFrames: 1_024,
};

interface Arrived {
  readonly frame: HeldFrame;
  readonly spans: readonly RecordSpan[];
}

/** A plan with its image, if it starts from one, already in hand: the store may replace it while records are read. */
interface Started {
  readonly plan: PagePlan;
  readonly image: Uint8Array | null;
}

export class PageReader {
  readonly index: PageIndex;
  /** Pages served and pages folded since the start. */
  readonly counters = { pagesRead: 0, pagesFolded: 0, rebuilds: 0 };
  private readonly options: PageReaderOptions;
  private readonly bounds: typeof pageReaderBounds;
  private arrived: Arrived[] = [];
  private indexing: 'idle' | 'planned' = 'idle';
  /** `broken`: the log itself could not be read; the node's owner restarts it. */
  private state: 'ready' | 'rebuilding' | 'broken' = 'ready';
  private rebuilt: Promise<void> = Promise.resolve();
  private folding = false;
  private noFoldBeforeMs = 0;
  /** Counts what makes a fold under way worthless: forks and rebuilds. */
  private generation = 0;
  private closed = false;

  constructor(options: PageReaderOptions) {
    this.options = options;
    this.bounds = { ...pageReaderBounds, ...options.bounds };
    this.index = options.index;
  }

  get isRebuilding(): boolean {
    return this.state !== 'ready';
  }

  /** Takes in persisted frames; they are indexed a turn later, behind the acknowledgement. */
  held(frames: readonly HeldFrame[], spans: readonly (readonly RecordSpan[])[]): void {
    for (const [at, frame] of frames.entries()) this.arrived.push({ frame, spans: spans[at] ?? [] });
    this.planIndexing();
  }

  /** A fork below what is folded: the images above it are of no use on the new path. */
  forked(fork: Fork): void {
    this.generation += 1;
    if (fork.forkLsn < this.index.foldHorizon)
      this.rebuild(`epoch ${fork.epoch} forks at ${fork.forkLsn}, below folded images`);
  }

  /** Reads pages of a history this node is complete for, in the order asked. */
  async read(head: Epoch, readPoint: Lsn, pages: readonly PageNo[]): Promise<PagesRead> {
    if (this.isRebuilding) return notComplete('this node is reading its log again');
    this.indexAll();
    const started: (Started | null)[] = [];
    for (const page of pages) {
      const plan = this.index.plan(page, head, readPoint);
      if (plan === 'foldedAway') {
        this.noFoldBeforeMs = this.options.now() + this.bounds.unfoldedMs;
        this.rebuild(`a read at ${readPoint} along epoch ${head} needs versions that were folded away`);
        return notComplete(
          `versions of page ${page} at ${readPoint} were folded away; this node is reading its log again`,
        );
      }
      const start = plan === null ? null : this.start(plan);
      if (start === 'lost') return notComplete('an image was lost; this node is reading its log again');
      started.push(start);
    }
    const built = await this.build(started);
    if (typeof built === 'string') return { kind: 'refused', code: 'DISK_FAILED', reason: built };
    this.counters.pagesRead += pages.length;
    return { kind: 'pages', pages: built };
  }

  /** Folds for a few milliseconds; call now and then. Does nothing while an earlier call is still at it. */
  async fold(point: FoldPoint): Promise<void> {
    const { now, segment, tree } = this.options;
    if (this.folding || this.state !== 'ready' || this.closed || now() < this.noFoldBeforeMs) return;
    if (point.head === genesisEpoch || !tree.has(point.head)) return;
    // Only below a point up to which nothing is missing here: a record that came later would find its page folded.
    const lowWater = minLsn(point.lowWater, segment.volumeEnd(point.head));
    if (lowWater === zeroLsn) return;
    this.folding = true;
    this.indexAll();
    const until = now() + this.bounds.foldMsPerTick;
    while (await this.foldSome(point.head, lowWater)) {
      if (now() >= until || this.isRebuilding || this.closed) break;
    }
    this.folding = false;
  }

  /** Waits for a rebuild under way, if any. */
  async settled(): Promise<void> {
    await this.rebuilt;
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.rebuilt;
    await this.options.images.close();
  }

  private planIndexing(): void {
    if (this.indexing === 'planned' || this.isRebuilding || this.closed) return;
    this.indexing = 'planned';
    setImmediate(() => {
      this.indexing = 'idle';
      if (this.isRebuilding) return;
      this.indexSome(this.bounds.spansPerTurn);
      if (this.arrived.length > 0) this.planIndexing();
    });
  }

  private indexAll(): void {
    this.indexSome(Number.POSITIVE_INFINITY);
  }

  private indexSome(spansMax: number): void {
    let spans = 0;
    let count = 0;
    for (const arrived of this.arrived) {
      if (spans >= spansMax) break;
      this.index.add(arrived.frame, arrived.spans);
      spans += arrived.spans.length;
      count += 1;
    }
    if (count === this.arrived.length) this.arrived = [];
    else this.arrived.splice(0, count);
  }

  private start(plan: PagePlan): Started | 'lost' {
    const first = plan.entries[0];
    if (first?.kind !== 'folded') return { plan, image: null };
    const image = this.options.images.get(keyOf(plan.page, first));
    if (image.kind === 'ok') return { plan, image: image.bytes };
    this.rebuild(image.reason);
    return 'lost';
  }

  /** @returns the pages, or why they could not be built. */
  private async build(
    started: readonly (Started | null)[],
  ): Promise<readonly (Uint8Array | null)[] | string> {
    const frames = new Set<HeldFrame>();
    for (const start of started) {
      for (const entry of start?.plan.entries ?? []) if (entry.at !== null) frames.add(entry.at.frame);
    }
    const wanted = [...frames].sort(
      (a, b) => a.position.file - b.position.file || a.position.offset - b.position.offset,
    );
    const read = await this.options.frames.read(wanted);
    if (read.kind === 'bad') return read.reason;
    const payloads = new Map<HeldFrame, Uint8Array>();
    read.frames.forEach((bytes, at) => {
      const frame = wanted[at];
      if (frame !== undefined) payloads.set(frame, framePayload(bytes));
    });
    const pages: (Uint8Array | null)[] = [];
    for (const start of started) {
      const page = start === null ? null : foldPage(start, payloads);
      if (typeof page === 'string') return page;
      pages.push(page);
    }
    return pages;
  }

  /** Folds some pages together, since pages changed at the same time share frames. @returns whether there may be more. */
  private async foldSome(head: Epoch, lowWater: Lsn): Promise<boolean> {
    const { generation } = this;
    const folds: { readonly started: Started; readonly result: PageEntry }[] = [];
    const frames = new Set<HeldFrame>();
    let bytes = 0;
    while (folds.length < this.bounds.foldPages && bytes < this.bounds.foldBytes) {
      const next = this.index.nextFold(head, lowWater);
      if (next === null) break;
      const started = this.start(next.plan);
      if (started === 'lost') return false;
      folds.push({ started, result: next.result });
      for (const { at } of next.plan.entries) {
        if (at === null || frames.has(at.frame)) continue;
        frames.add(at.frame);
        bytes += at.frame.position.length;
      }
    }
    if (folds.length === 0) return false;
    const built = await this.build(folds.map(({ started }) => started));
    if (typeof built === 'string' || generation !== this.generation || this.closed) return false;
    const images = folds.map(({ started, result }, at) => ({
      plan: started.plan,
      result,
      image: built[at] ?? null,
    }));
    if (!(await this.store(images)) || generation !== this.generation) return false;
    for (const { plan, result } of images) this.index.fold(plan, result);
    this.counters.pagesFolded += images.length;
    await this.removeReplaced(images.map(({ plan }) => plan));
    return true;
  }

  private async store(
    images: readonly {
      readonly plan: PagePlan;
      readonly result: PageEntry;
      readonly image: Uint8Array | null;
    }[],
  ): Promise<boolean> {
    try {
      await Promise.all(
        images.map(({ plan, result, image }) =>
          image === null ? undefined : this.options.images.put(keyOf(plan.page, result), image),
        ),
      );
      return true;
    } catch (error) {
      this.noFoldBeforeMs = this.options.now() + this.bounds.foldRetryMs;
      this.options.onTrouble('a page image could not be written', String(error));
      return false;
    }
  }

  private async removeReplaced(plans: readonly PagePlan[]): Promise<void> {
    const { images, onTrouble } = this.options;
    try {
      await Promise.all(
        plans.map((plan) => {
          const first = plan.entries[0];
          return first?.kind === 'folded' ? images.remove(keyOf(plan.page, first)) : undefined;
        }),
      );
    } catch (error) {
      onTrouble('an old page image could not be removed', String(error));
    }
  }

  private rebuild(reason: string): void {
    this.generation += 1;
    if (this.isRebuilding || this.closed) return;
    this.options.onTrouble('the page index is rebuilt from the log', reason);
    this.counters.rebuilds += 1;
    this.state = 'rebuilding';
    this.rebuilt = this.readLogAgain().then((complete) => {
      this.state = complete ? 'ready' : 'broken';
      if (this.arrived.length > 0) this.planIndexing();
    });
  }

  /** @returns false when a frame could not be read: an index with a hole must not serve. */
  private async readLogAgain(): Promise<boolean> {
    const { tree, segment, images, frames } = this.options;
    this.index.clear();
    await images.clear();
    for (const { epoch } of tree.all()) {
      const held = segment.framesAbove(epoch, zeroLsn);
      for (let at = 0; at < held.length && !this.closed; at += this.bounds.rebuildFrames) {
        const some = held.slice(at, at + this.bounds.rebuildFrames);
        const read = await frames.read(some);
        if (read.kind === 'bad') return false;
        some.forEach((frame, index) => {
          const bytes = read.frames[index];
          if (bytes !== undefined) this.index.add(frame, spansOf(framePayload(bytes), frame.base) ?? []);
        });
      }
    }
    return true;
  }
}

function notComplete(reason: string): PagesRead {
  return { kind: 'refused', code: 'NOT_COMPLETE', reason };
}

function keyOf(page: PageNo, entry: PageEntry): ImageKey {
  return { page, epoch: entry.epoch, lsn: entry.lsn };
}

/** @returns the page, or what is wrong with a record. */
function foldPage(
  { plan, image }: Started,
  payloads: ReadonlyMap<HeldFrame, Uint8Array>,
): Uint8Array | string {
  let page = image ?? new Uint8Array(redoLimits.pageBytes);
  for (const { at } of plan.entries) {
    if (at === null) continue;
    const payload = payloads.get(at.frame);
    if (payload === undefined) return `a frame at ${at.frame.base} was not read`;
    const change = changeAt(payload, at.offset, at.length, plan.page);
    if (typeof change === 'string') return change;
    page = applyChange(page, change);
  }
  return page;
}

function changeAt(payload: Uint8Array, offset: number, length: number, page: PageNo): PageChange | string {
  const decoded = decodeRecords(payload.subarray(offset, offset + length), zeroLsn);
  if (decoded.kind === 'malformed') return decoded.reason;
  const record = decoded.records[0];
  if (record === undefined || record.kind === 'commit' || record.page !== page)
    return `no change of page ${page} lies where one was indexed`;
  return record;
}
