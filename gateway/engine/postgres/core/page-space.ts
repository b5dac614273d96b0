/**
 * Which pages of the volume are in use: one bit a page, in bitmap pages at fixed places.
 *
 * The bitmap page of group g covers the pages g · 32,768 + 1 and on, one bit each. It is the first page of its group, but in
 * group 0, where that is the superblock, it is page 2. Bits of pages beyond the end are zero.
 */
import { type PageNo, pageNo, redoLimits } from '../../../../storage/redo.ts';
import { adviseError } from '../../../sql/errors.ts';
import { VolumeFault } from './file-error.ts';
import type { FilePages } from './file-pages.ts';
import { type Superblock, unreadable } from './superblock.ts';

/** Pages that one bitmap page covers: 128 MiB of the volume. */
export const groupPages = redoLimits.pageBytes * 8;
/** The longest volume: what page numbers can count. */
export const volumePagesMax = 0xffff_fffe;

const groupOf = (page: number): number => Math.floor((page - 1) / groupPages);
const firstOf = (group: number): number => group * groupPages + 1;
/** Where the bitmap of a group lies. */
export const bitmapOf = (group: number): PageNo => pageNo(group === 0 ? 2 : firstOf(group));

export class PageSpace {
  private readonly pages: FilePages;
  private readonly superblock: Superblock;
  private readonly pagesMax: number;
  /** No page below is free. */
  private lowest = 1;

  constructor(pages: FilePages, superblock: Superblock, pagesMax: number) {
    this.pages = pages;
    this.superblock = superblock;
    this.pagesMax = pagesMax;
  }

  /** Makes the first bitmap of a volume that has just the superblock. */
  format(): void {
    this.superblock.set('pages', 2);
    this.pages.replace(bitmapOf(0));
    this.mark(1, true);
    this.mark(2, true);
  }

  /**
   * Takes the lowest free page, so that the volume stays dense. It is zero from end to end (G81).
   * @throws VolumeFault when the volume is as long as it may be.
   */
  allocate(): PageNo {
    const end = this.superblock.get('pages');
    const found = this.lowestFree(end);
    const page = found ?? this.extend(end);
    this.lowest = page + 1;
    this.mark(page, true);
    this.pages.replace(page);
    return page;
  }

  /** Gives a page back. Where it was the last one, the volume ends at the last page that is still in use. */
  free(page: PageNo): void {
    if (!this.isUsed(page)) throw unreadable(`Page ${page} of the volume is given back twice (G80)`);
    this.mark(page, false);
    this.lowest = Math.min(this.lowest, page);
    const end = this.superblock.get('pages');
    if (page === end) this.superblock.set('pages', this.lastUsed(end));
  }

  isUsed(page: number): boolean {
    const index = (page - 1) % groupPages;
    return (((this.bitmap(groupOf(page))[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
  }

  private mark(page: number, used: boolean): void {
    const bits = this.pages.change(bitmapOf(groupOf(page)));
    const index = (page - 1) % groupPages;
    const bit = 1 << (index & 7);
    const byte = bits[index >> 3] ?? 0;
    bits[index >> 3] = used ? byte | bit : byte & ~bit;
  }

  private lowestFree(end: number): PageNo | null {
    for (let group = groupOf(this.lowest); firstOf(group) <= end; group++) {
      const bits = this.bitmap(group);
      const bitsUsed = Math.min(end - firstOf(group) + 1, groupPages);
      const from = Math.max(this.lowest - firstOf(group), 0);
      for (let byte = from >> 3; byte << 3 < bitsUsed; byte++) {
        const value = bits[byte] ?? 0;
        if (value === 0xff) continue;
        const lowestClear = 31 - Math.clz32(~value & (value + 1));
        const page = firstOf(group) + (byte << 3) + lowestClear;
        if (page <= end) return pageNo(page);
      }
      this.lowest = firstOf(group + 1);
    }
    return null;
  }

  /** Makes the volume a page longer, and two where a group begins, whose first page is its bitmap. @returns the last page */
  private extend(end: number): PageNo {
    const page = end + 1;
    const begins = page === firstOf(groupOf(page));
    const last = begins ? page + 1 : page;
    if (last > this.pagesMax)
      throw new VolumeFault(
        adviseError(
          'SEXTANT_LIMIT',
          `The volume is full: the limit volumePages = ${this.pagesMax} is reached`,
        ),
      );
    this.superblock.set('pages', last);
    if (begins) {
      this.pages.replace(pageNo(page));
      this.mark(page, true);
    }
    return pageNo(last);
  }

  /** The last page below `end` that somebody uses. A bitmap that covers nothing else any more goes with its group. */
  private lastUsed(end: number): number {
    let page = end - 1;
    for (; page > 2; page--) {
      if (!this.isUsed(page)) continue;
      if (page !== firstOf(groupOf(page))) break;
    }
    return page;
  }

  private bitmap(group: number): Uint8Array {
    const bytes = this.pages.read(bitmapOf(group));
    if (bytes === null)
      throw unreadable(`Page ${bitmapOf(group)} of the volume, a map of free pages, is gone`);
    return bytes;
  }
}
