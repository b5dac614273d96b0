/**
 * Where the blocks of a file lie: the pointers in its inode, and in pages of pointers.
 *
 * The first 10 blocks are pointed to by the inode, the next 1,024 by a page of pointers, and the rest by a page of pointers to
 * such pages. A pointer is a page number; 0 is a hole, which reads as zero and takes no page.
 */
import { type PageNo, pageNo, redoLimits } from '../../../../storage/redo.ts';
import type { FilePages } from './file-pages.ts';
import { putU32, u32At } from './page-bytes.ts';
import type { PageSpace } from './page-space.ts';
import { type InodePlace, unreadable } from './superblock.ts';

const { pageBytes } = redoLimits;
const pointerBytes = 4;
const direct = 10;
const perPage = pageBytes / pointerBytes;
/** Of the pointers, from the beginning of the inode. */
const pointersAt = 16;
const indirectAt = pointersAt + direct * pointerBytes;
const doubleAt = indirectAt + pointerBytes;

/** Blocks of the longest file. */
export const fileBlocksMax = direct + perPage + perPage * perPage;

/** Where one pointer lies. */
interface Slot {
  readonly page: number;
  readonly at: number;
}

export class BlockMap {
  private readonly pages: FilePages;
  private readonly space: PageSpace;

  constructor(pages: FilePages, space: PageSpace) {
    this.pages = pages;
    this.space = space;
  }

  /** @returns the page of a block, 0 for a hole. */
  find(inode: InodePlace, block: number): number {
    let left = block;
    if (left < direct) return this.pointer(inode.page, inode.offset + pointersAt + left * pointerBytes);
    left -= direct;
    if (left < perPage) {
      const page = this.pointer(inode.page, inode.offset + indirectAt);
      return page === 0 ? 0 : this.pointer(page, left * pointerBytes);
    }
    left -= perPage;
    const outer = this.pointer(inode.page, inode.offset + doubleAt);
    const inner = outer === 0 ? 0 : this.pointer(outer, Math.floor(left / perPage) * pointerBytes);
    return inner === 0 ? 0 : this.pointer(inner, (left % perPage) * pointerBytes);
  }

  /** Gives a hole a page, which is zero. @param block a hole below `fileBlocksMax`. */
  fill(inode: InodePlace, block: number): PageNo {
    const slot = this.slotOf(inode, block);
    const page = this.space.allocate();
    putU32(this.pages.change(pageNo(slot.page)), slot.at, page);
    return page;
  }

  /** Gives back the pages of all blocks from `from` on, and the pages of pointers that point nowhere any more. */
  cut(inode: InodePlace, from: number): void {
    for (let block = Math.min(from, direct); block < direct; block++) {
      this.cutSlot({ page: inode.page, at: inode.offset + pointersAt + block * pointerBytes }, 0, 0);
    }
    this.cutSlot({ page: inode.page, at: inode.offset + indirectAt }, 1, Math.max(from - direct, 0));
    this.cutSlot({ page: inode.page, at: inode.offset + doubleAt }, 2, Math.max(from - direct - perPage, 0));
  }

  /** Where the pointer to a block lies; makes the pages of pointers on the way. */
  private slotOf(inode: InodePlace, block: number): Slot {
    let left = block;
    if (left < direct) return { page: inode.page, at: inode.offset + pointersAt + left * pointerBytes };
    left -= direct;
    if (left < perPage) {
      const page = this.through({ page: inode.page, at: inode.offset + indirectAt });
      return { page, at: left * pointerBytes };
    }
    left -= perPage;
    const outer = this.through({ page: inode.page, at: inode.offset + doubleAt });
    const inner = this.through({ page: outer, at: Math.floor(left / perPage) * pointerBytes });
    return { page: inner, at: (left % perPage) * pointerBytes };
  }

  private through(slot: Slot): number {
    const known = this.pointer(slot.page, slot.at);
    if (known !== 0) return known;
    const page = this.space.allocate();
    putU32(this.pages.change(pageNo(slot.page)), slot.at, page);
    return page;
  }

  /**
   * Gives back what lies below a pointer, from the block `from` of its own on.
   * @param levels how many pages of pointers lie between the pointer and a block. @returns whether the pointer is 0 now
   */
  private cutSlot(slot: Slot, levels: number, from: number): boolean {
    const page = this.pointer(slot.page, slot.at);
    if (page === 0) return true;
    const span = perPage ** levels;
    if (from >= span) return false;
    if (levels > 0 && !this.cutBelow(page, levels, from)) return false;
    this.space.free(pageNo(page));
    putU32(this.pages.change(pageNo(slot.page)), slot.at, 0);
    return true;
  }

  /** @returns whether no pointer of the page is left. A page that goes as a whole is not changed first. */
  private cutBelow(page: number, levels: number, from: number): boolean {
    const span = perPage ** (levels - 1);
    if (from === 0) {
      this.freeBelow(page, levels);
      return true;
    }
    for (let entry = Math.floor(from / span); entry < perPage; entry++) {
      this.cutSlot({ page, at: entry * pointerBytes }, levels - 1, Math.max(from - entry * span, 0));
    }
    for (let at = 0; at < pageBytes; at += pointerBytes) if (this.pointer(page, at) !== 0) return false;
    return true;
  }

  private freeBelow(page: number, levels: number): void {
    for (let at = 0; at < pageBytes; at += pointerBytes) {
      const below = this.pointer(page, at);
      if (below === 0) continue;
      if (levels > 1) this.freeBelow(below, levels - 1);
      this.space.free(pageNo(below));
    }
  }

  private pointer(page: number, at: number): number {
    const bytes = this.pages.read(pageNo(page));
    if (bytes === null) throw unreadable(`Page ${page} of the volume, which says where a file lies, is gone`);
    return u32At(bytes, at);
  }
}
