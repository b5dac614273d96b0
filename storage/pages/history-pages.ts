/**
 * Pages as they were before the images that are kept, or on a path that leaves theirs: from the newest run of images below, and the
 * log from there. The log is read once for a path: an index of what it says serves every page and every place below its end, as long
 * as somebody asks now and then.
 */
import { commonPoint, type EpochTree } from '../history/epoch-tree.ts';
import type { ImageStore } from '../images/image-store.ts';
import type { Segment } from '../log/core/segment.ts';
import type { FrameReader } from '../log/frame-reader.ts';
import { nextTurn, type Runtime } from '../process/runtime.ts';
import { type Epoch, type Lsn, minLsn, type PageNo, zeroLsn } from '../redo/ids.ts';
import type { RefusalCode } from '../wire/core/messages.ts';
import { PageIndex } from './core/page-index.ts';
import { addStretch } from './log-index.ts';
import { buildPages, type PagesRead, type PagesRefused, payloadsOf, refused } from './page-building.ts';

export interface HistoryPagesOptions {
  readonly tree: EpochTree;
  readonly segment: Segment;
  readonly frames: FrameReader;
  readonly images: ImageStore;
  readonly runtime: Runtime;
}

export const historyBounds = {
  bytesPerTurn: 1024 * 1024,
  /** Reads that may wait for one another. */
  readsMax: 16,
  /** Paths whose index is kept, the newest used ones. */
  pathsMax: 2,
  /** An index that nobody has used for so long goes. */
  idleMs: 60_000,
  /** Records of one index: 22 bytes each. */
  recordsMax: 8_000_000,
};

/** What the log says along a path, from the floor of the index up to `to`. */
interface Covered {
  readonly head: Epoch;
  readonly index: PageIndex;
  to: Lsn;
  usedAtMs: number;
}

const nothing = new Uint8Array(0);

export class HistoryPages {
  /** Times that the log was read from the images on. */
  readonly counters = { indexes: 0 };
  private readonly options: HistoryPagesOptions;
  private covered: Covered[] = [];
  private waiting = 0;
  private last: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(options: HistoryPagesOptions) {
    this.options = options;
  }

  /** One read at a time: each may take the disk for itself. */
  read(head: Epoch, readPoint: Lsn, pages: readonly PageNo[]): Promise<PagesRead> {
    if (this.waiting >= historyBounds.readsMax)
      return Promise.resolve(refused('OVERLOADED', `${this.waiting} reads of old versions wait for the log`));
    this.waiting += 1;
    const read = this.last.then(() => this.readNow(head, readPoint, pages));
    const over = (): void => {
      this.waiting -= 1;
    };
    // One that throws fails by itself, and not those behind it.
    this.last = read.then(over, over);
    return read;
  }

  /** Lets go of indexes that nobody uses; call now and then. */
  tend(): void {
    if (this.covered.length === 0) return;
    const since = this.options.runtime.nowMs() - historyBounds.idleMs;
    this.covered = this.covered.filter(({ usedAtMs }) => usedAtMs > since);
  }

  close(): void {
    this.closed = true;
    this.covered = [];
  }

  /** The end of the run of images that pages on this path start from. */
  private startOf(head: Epoch, readPoint: Lsn): Lsn {
    const { images, tree } = this.options;
    const { point } = images;
    // Of what the images hold, so much lies on this path.
    const common = tree.has(point.head) ? commonPoint(tree, point, head) : zeroLsn;
    return images.endBelow(minLsn(readPoint, common)).lsn;
  }

  private async readNow(head: Epoch, readPoint: Lsn, pages: readonly PageNo[]): Promise<PagesRead> {
    // S15: rot that was found has made a hole, and what was indexed of it is claimed no more.
    const end = this.options.segment.volumeEnd(head);
    if (end < readPoint) {
      this.covered = [];
      return refused('NOT_COMPLETE', `the log ends at ${end} here, below the read point ${readPoint}`);
    }
    // A merge may take the run away while the log is read: then the index has to begin at an older one.
    for (let from = this.startOf(head, readPoint); ; ) {
      const covered = await this.cover(head, from, readPoint);
      if ('code' in covered) return covered;
      from = this.startOf(head, readPoint);
      if (from < covered.index.floor) continue;
      covered.index.raise(from);
      const built = await this.build(covered.index, { head, readPoint, from }, pages);
      // Where a frame lay that has rotted, or was dropped, the index is of no use any more.
      if (built.kind === 'refused') this.covered = this.covered.filter((other) => other !== covered);
      return built;
    }
  }

  /** An index of the path from `from` or below up to `readPoint`, made or gone on with. */
  private async cover(head: Epoch, from: Lsn, readPoint: Lsn): Promise<Covered | PagesRefused> {
    const { tree, segment, frames, runtime } = this.options;
    let covered = this.covered.find(({ head: of, index }) => of === head && index.floor <= from);
    if (covered === undefined) {
      this.counters.indexes += 1;
      covered = { head, index: new PageIndex(tree), to: from, usedAtMs: runtime.nowMs() };
      covered.index.clear(from);
    }
    const { index } = covered;
    covered.usedAtMs = runtime.nowMs();
    this.covered = [covered, ...this.covered.filter((other) => other !== covered)].slice(
      0,
      historyBounds.pathsMax,
    );
    // What lies between is left out: below `from` the index says nothing any more, should the images there be merged away.
    if (from > covered.to) {
      index.raise(from);
      covered.to = from;
    }
    let at = covered.to;
    while (at < readPoint && !this.closed) {
      const run = segment.run(head, at, historyBounds.bytesPerTurn, readPoint);
      if (run.frames.length === 0) break;
      const read = await frames.read(run.frames);
      if (read.kind === 'bad') return this.givenUp(covered, 'DISK_FAILED', read.reason);
      for (const [place, stretch] of run.frames.entries())
        addStretch(index, stretch, read.frames[place] ?? nothing);
      at = run.end;
      covered.to = at;
      if (index.recordCount > historyBounds.recordsMax)
        return this.givenUp(
          covered,
          'NOT_COMPLETE',
          `more than ${historyBounds.recordsMax} records lie between the images here and the read point ${readPoint}`,
        );
      await nextTurn(runtime);
    }
    // S15: the log had no hole up to the read point when the read began; rot that was found since has made one.
    if (at < readPoint)
      return this.givenUp(
        covered,
        'NOT_COMPLETE',
        `the log ends at ${at} here, below the read point ${readPoint}`,
      );
    return covered;
  }

  private givenUp(covered: Covered, code: RefusalCode, reason: string): PagesRefused {
    this.covered = this.covered.filter((other) => other !== covered);
    return refused(code, reason);
  }

  private async build(
    index: PageIndex,
    { head, readPoint, from }: { readonly head: Epoch; readonly readPoint: Lsn; readonly from: Lsn },
    pages: readonly PageNo[],
  ): Promise<PagesRead> {
    const plans = pages.map((page) => index.plan(page, head, readPoint));
    // Called before anything is waited for: which runs are read is settled with the plans.
    const [images, payloads] = await Promise.all([
      this.options.images.read(pages, from),
      payloadsOf(
        this.options.frames,
        plans.flatMap((plan) => plan?.records ?? []),
      ),
    ]);
    if ('kind' in payloads) return payloads;
    const rotten = images.find((image) => image.kind === 'bad');
    if (rotten?.kind === 'bad') return refused('NOT_COMPLETE', rotten.reason);
    const parts = plans.map((plan, place) => {
      const image = images[place];
      const matters = image?.kind === 'ok' && plan?.needsImage !== false;
      return { image: matters ? image.bytes : null, records: plan?.records ?? [] };
    });
    return buildPages(parts, payloads);
  }
}
