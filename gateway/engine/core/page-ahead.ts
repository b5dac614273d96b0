/**
 * Which pages are worth having before anybody asks for them, going by what was missed. Pages are missed near each other: a scan
 * goes on, and a table or an index that is read at random lies together. So the extent around a miss is wanted, and those that
 * follow when misses follow one another. Nothing is wanted that would drive out what is used. Pure.
 */
import { type PageNo, pageNo } from '../../../storage/redo.ts';

export const aheadLimits = {
  /** Pages of an extent: 256 KiB. */
  extentPages: 64,
  /** Extents that are wanted behind one that continues the last. */
  followingExtents: 4,
  /** Pages that may be asked for and not here: 1 MiB. Whoever waits for a page waits behind some of them. */
  pagesUnderWay: 256,
  /** Of what the store keeps: what is beyond is for pages that were asked for. */
  storeShare: 0.9,
  /** Wanted extents that are remembered; the oldest are forgotten. */
  wanted: 1_024,
  /** Extents that are known to have been asked for: of 16 GiB. */
  asked: 65_536,
  /** Pages that are fetched again. */
  again: 4_096,
} as const;

const { extentPages } = aheadLimits;

/** What bounds the next request. */
export interface AheadRoom {
  /** Pages asked for and not here. */
  readonly underWay: number;
  /** Of the store, from 0 to 1 and beyond. */
  readonly filled: number;
  /** Last page of the volume. */
  readonly lastPage: number;
  /** Whether a page is at hand. */
  readonly has: (page: PageNo) => boolean;
}

export class PageAhead {
  /** The newest last. */
  private wanted: number[] = [];
  /** To be fetched again at the next read point, and now. */
  private later: PageNo[] = [];
  private again: PageNo[] = [];
  private readonly asked = new Set<number>();
  private last = Number.NEGATIVE_INFINITY;

  /** A page was asked for that was not at hand. */
  missed(page: PageNo): void {
    const extent = Math.floor((page - 1) / extentPages);
    if (extent === this.last + 1)
      for (let ahead = aheadLimits.followingExtents; ahead > 0; ahead--) this.want(extent + ahead);
    this.last = extent;
    this.want(extent);
  }

  /** A page has come that has changed meanwhile: it will be missed at the next read point. */
  outdated(page: PageNo): void {
    if (this.later.length < aheadLimits.again) this.later.push(page);
  }

  /** Pages are read at another read point from now on. */
  renewed(): void {
    this.again = this.later;
    this.later = [];
  }

  /** Whether there is anything to ask for, room given. */
  get isIdle(): boolean {
    return this.wanted.length === 0 && this.again.length === 0;
  }

  /** What is to be asked for now, in one request; null for nothing. */
  next({ underWay, filled, lastPage, has }: AheadRoom): readonly PageNo[] | null {
    while (!this.isIdle && filled < aheadLimits.storeShare && underWay < aheadLimits.pagesUnderWay) {
      const pages = this.take().filter((page) => page <= lastPage && !has(page));
      if (pages.length > 0) return pages;
    }
    return null;
  }

  private take(): readonly PageNo[] {
    if (this.again.length > 0) return [...new Set(this.again.splice(0, extentPages))];
    const extent = this.wanted.pop();
    if (extent === undefined) return [];
    return Array.from({ length: extentPages }, (_, at) => pageNo(extent * extentPages + at + 1));
  }

  private want(extent: number): void {
    if (this.asked.has(extent)) return;
    if (this.asked.size >= aheadLimits.asked) this.asked.clear();
    this.asked.add(extent);
    this.wanted.push(extent);
    if (this.wanted.length > aheadLimits.wanted) this.wanted.shift();
  }
}
