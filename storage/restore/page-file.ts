/**
 * The pages of a database in a flat file, page n at (n − 1) × 4096: what a backup is put together in. It is the file of the
 * database, as SQLite opens it. Redo is folded into it in any amount with a bounded part of it in memory.
 */
import { closeSync, fdatasyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import type { EpochTree } from '../history/epoch-tree.ts';
import { framePayload, type ReceivedFrame } from '../redo/frame.ts';
import { type Epoch, type Lsn, minLsn } from '../redo/ids.ts';
import { redoLimits } from '../redo/limits.ts';
import { RecordCursor } from '../redo/record-cursor.ts';

const { pageBytes } = redoLimits;
/** Changed pages in memory: 64 MiB. */
const changedMax = 16_384;

/** Part of a history: what of its frames counts. */
export interface FoldRange {
  readonly tree: EpochTree;
  readonly head: Epoch;
  readonly from: Lsn;
  readonly until: Lsn;
}

export class PageFile {
  readonly path: string;
  private readonly handle: number;
  private readonly changed = new Map<number, Uint8Array>();
  /** A bit for each page that exists. */
  private present = new Uint8Array(1024);
  private last = 0;

  /** Makes the file anew. @throws when the disk does not let it, as everything here. */
  constructor(path: string) {
    this.path = path;
    this.handle = openSync(path, 'w+', 0o600);
  }

  /** The highest page that exists; 0 without any. */
  get lastPage(): number {
    return this.last;
  }

  /** How many pages exist. */
  get pages(): number {
    let count = 0;
    for (let page = 1; page <= this.last; page += 1) if (this.has(page)) count += 1;
    return count;
  }

  has(page: number): boolean {
    return ((this.present[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0;
  }

  put(page: number, image: Uint8Array): void {
    this.changed.set(page, image.slice());
    this.mark(page);
    if (this.changed.size >= changedMax) this.write();
  }

  /** A copy of the page; zeros for one that does not exist. */
  read(page: number): Uint8Array {
    const known = this.changed.get(page);
    if (known !== undefined) return known.slice();
    const image = new Uint8Array(pageBytes);
    if (this.has(page)) readSync(this.handle, image, 0, pageBytes, (page - 1) * pageBytes);
    return image;
  }

  /**
   * Folds the records of frames, which come in volume order, that lie in the range. Redo that is in a page already does no harm,
   * as long as all that follows is folded, too.
   * @returns what is wrong with one; null when nothing is.
   */
  fold(frames: readonly ReceivedFrame[], { tree, head, from, until }: FoldRange): string | null {
    for (const { header, bytes } of frames) {
      const visible = minLsn(until, tree.visibleUntil(head, header.epoch));
      const cursor = new RecordCursor(framePayload(bytes));
      while (cursor.next()) {
        const end = header.base + cursor.end;
        if (end > visible) break;
        if (end <= from) continue;
        const { page, pagesLeft } = cursor;
        if (pagesLeft !== null) this.shrink(pagesLeft);
        if (page !== null && !cursor.applyTo(this.change(page)))
          return `the record of page ${page} at LSN ${end} does not fit a page`;
      }
      if (cursor.isMalformed) return `the frame at LSN ${header.base} is not a whole number of records`;
      if (this.changed.size >= changedMax) this.write();
    }
    return null;
  }

  /** Writes what is in memory and flushes the file, which then is as long as the database. */
  flush(): void {
    this.write();
    ftruncateSync(this.handle, this.last * pageBytes);
    fdatasyncSync(this.handle);
  }

  close(): void {
    closeSync(this.handle);
  }

  private change(page: number): Uint8Array {
    const known = this.changed.get(page);
    if (known !== undefined) return known;
    const image = this.read(page);
    this.changed.set(page, image);
    this.mark(page);
    return image;
  }

  /** S23: what lies beyond is gone; a page that comes into being there again begins with its image. */
  private shrink(pages: number): void {
    for (let page = pages + 1; page <= this.last; page += 1) {
      this.changed.delete(page);
      this.present[page >>> 3] = (this.present[page >>> 3] ?? 0) & ~(1 << (page & 7));
    }
    this.last = Math.min(this.last, pages);
    while (this.last > 0 && !this.has(this.last)) this.last -= 1;
  }

  private mark(page: number): void {
    if (page >>> 3 >= this.present.length) {
      const longer = new Uint8Array(Math.max(2 * this.present.length, (page >>> 3) + 1));
      longer.set(this.present);
      this.present = longer;
    }
    this.present[page >>> 3] = (this.present[page >>> 3] ?? 0) | (1 << (page & 7));
    this.last = Math.max(this.last, page);
  }

  private write(): void {
    for (const page of [...this.changed.keys()].sort((a, b) => a - b))
      writeSync(
        this.handle,
        this.changed.get(page) ?? new Uint8Array(0),
        0,
        pageBytes,
        (page - 1) * pageBytes,
      );
    this.changed.clear();
  }
}
