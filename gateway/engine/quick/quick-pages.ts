/**
 * Pages for statements that are answered where they arrive. Such a statement never waits: a page that is not here is asked for behind
 * its back, and whoever needs it next finds it.
 */
import { type Lsn, type PageNo, pageNo, zeroLsn } from '../../../storage/redo.ts';
import { followRedo, RedoQueue } from '../core/engine-redo.ts';
import { databasePages, PageStore } from '../core/page-store.ts';
import type { QuickParts } from '../quick-reads.ts';
import { QuickRedo } from './core/quick-redo.ts';

export interface QuickPagesOptions extends Pick<QuickParts, 'feed' | 'readPages'> {
  /** Bound on what is kept, bytes. */
  readonly cacheBytes: number;
  /** Redo that may wait for other redo before it, bytes. */
  readonly earlyRedoBytes: number;
}

/** Requests for pages that are under way at a time. */
const requestsMax = 4;
/** Pages of one request while there is much room. */
const together = 16;
const roomBelow = 0.5;
/** Pages are gathered anew after this long at the earliest. */
const anewAfterMs = 1_000;
const firstPage = pageNo(1);

export class QuickPages {
  private readonly options: QuickPagesOptions;
  private readonly onForgotten: () => void;
  private readonly redo = new QuickRedo();
  private open: { readonly store: PageStore; readonly queue: RedoQueue } | null = null;
  private openedAtMs = Number.NEGATIVE_INFINITY;
  private requests = 0;
  private readonly coming = new Set<PageNo>();

  /** @param onForgotten the pages are nobody's any more. */
  constructor(options: QuickPagesOptions, onForgotten: () => void = () => undefined) {
    this.options = options;
    this.onForgotten = onForgotten;
  }

  /** Redo behind what came before. */
  offer(frames: Uint8Array, nowMs: number): void {
    if (this.open === null) this.redo.pass(frames.length, nowMs);
    else if (!this.redo.offer(frames, nowMs)) this.forget();
  }

  /** What is here may be no part of history any more, or is not worth keeping. */
  forget(): void {
    this.open = null;
    this.redo.clear();
    this.coming.clear();
    this.onForgotten();
  }

  /** @returns the pages, up to everything that is to be seen now (G33); null when they cannot be had at once. */
  current(nowMs: number): PageStore | null {
    const vdl = this.options.feed.vdl();
    if (vdl === zeroLsn) return null;
    if (this.open === null && !this.begin(vdl, nowMs)) return null;
    const { open } = this;
    if (open === null) return null;
    if (!this.redo.isEmpty || open.queue.through < vdl || open.store.head < vdl) this.follow(open, vdl);
    // What is missing here may be on its way: others wait for it, this does not.
    return this.open !== null && open.queue.through >= vdl ? open.store : null;
  }

  private begin(vdl: Lsn, nowMs: number): boolean {
    if (nowMs - this.openedAtMs < anewAfterMs || !this.redo.isCalm(nowMs)) return false;
    const undurable = this.options.feed.undurable();
    if (undurable === null) return false;
    this.openedAtMs = nowMs;
    const { cacheBytes, earlyRedoBytes } = this.options;
    this.open = {
      store: new PageStore({ kind: 'reader', head: vdl, cacheBytesMax: cacheBytes }),
      queue: new RedoQueue(vdl, earlyRedoBytes),
    };
    for (const frames of undurable) this.redo.offer(frames, nowMs);
    return true;
  }

  private follow({ store, queue }: NonNullable<typeof this.open>, vdl: Lsn): void {
    const frames = this.redo.take();
    const diverged =
      frames === null
        ? 'there is too much of it'
        : followRedo(queue, frames, vdl, (mtr) => store.fold(mtr.changes, mtr.lsn));
    if (diverged !== null) this.forget();
  }

  /** Asks for a page that a statement lacked, and while there is room for those behind it. */
  want(store: PageStore, page: PageNo): void {
    if (this.open?.store !== store || this.requests >= requestsMax || this.coming.has(page)) return;
    const readPoint = store.head;
    const pages = this.choose(store, page, readPoint);
    this.requests += 1;
    for (const one of pages) this.coming.add(one);
    store.hold(readPoint);
    const isStill = (): boolean => this.open?.store === store;
    this.options
      .readPages(pages, store.fetchPoint(readPoint))
      .then((read) => {
        if (!isStill()) return;
        // The page itself last, so that it does not give way to its neighbours. A copy: the others of its message go.
        for (const [at, one] of [...pages.entries()].reverse())
          store.insert(one, readPoint, read[at]?.slice() ?? null);
      })
      // Whoever needs it goes another way, and hears there what is wrong.
      .catch(() => undefined)
      .finally(() => {
        this.requests -= 1;
        store.unpin(readPoint);
        if (isStill()) for (const one of pages) this.coming.delete(one);
      });
  }

  private choose(store: PageStore, page: PageNo, readPoint: Lsn): PageNo[] {
    const pages = [page];
    const first = store.readAt(firstPage, readPoint);
    if (first === undefined || store.filled >= roomBelow) return pages;
    const last = Math.min(databasePages(first), page + together - 1);
    for (let next = page + 1; next <= last; next++) {
      const one = pageNo(next);
      if (!this.coming.has(one) && !store.has(one, readPoint)) pages.push(one);
    }
    return pages;
  }
}
