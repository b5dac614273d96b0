/**
 * Where the pages of a large transaction lie in a file: a slot each, and the checksum of what was written there. Pure. A page that is
 * forgotten leaves its slot to another one.
 */
import type { PageNo } from '../../../../storage/redo.ts';

const firstSlots = 4_096;

export class PageSlots {
  private readonly slots = new Map<PageNo, number>();
  private readonly free: number[] = [];
  private crcs = new Uint32Array(firstSlots);
  private next = 0;

  get size(): number {
    return this.slots.size;
  }

  /** The slot of a page; undefined when it has none. */
  slotOf(page: PageNo): number | undefined {
    return this.slots.get(page);
  }

  /** The slot in which a page is to be written. It counts as the page's from `wrote` on. */
  slotFor(page: PageNo): number {
    return this.slots.get(page) ?? this.free.at(-1) ?? this.next;
  }

  /** A page was written in the slot that `slotFor` gave it. @param crc its CRC-32 */
  wrote(page: PageNo, slot: number, crc: number): void {
    if (!this.slots.has(page)) {
      if (this.free.at(-1) === slot) this.free.pop();
      else this.next = slot + 1;
      this.slots.set(page, slot);
    }
    if (slot >= this.crcs.length) {
      const more = new Uint32Array(2 * this.crcs.length);
      more.set(this.crcs);
      this.crcs = more;
    }
    this.crcs[slot] = crc;
  }

  /** The CRC-32 of what is in a slot. */
  crcAt(slot: number): number {
    return this.crcs[slot] ?? 0;
  }

  delete(page: PageNo): void {
    const slot = this.slots.get(page);
    if (slot === undefined) return;
    this.slots.delete(page);
    this.free.push(slot);
  }

  pages(): MapIterator<PageNo> {
    return this.slots.keys();
  }
}
