/**
 * What is known of each file but its name. An inode has 64 bytes:
 *
 * | bytes | |
 * |---|---|
 * | 0–1 | kind and permissions, as `st_mode` has them; 0 for a free inode |
 * | 2–3 | 1, or 0 for a file that was unlinked while it was open |
 * | 4–7 | bytes of the file |
 * | 8–11 | the next inode of the list that this one is in (free, or unlinked and open) |
 * | 16–63 | where its blocks lie, see `block-map.ts` |
 *
 * The table is a file without a name, whose own inode lies in the superblock. There are no times: they would be redo at each
 * write, and PostgreSQL needs none of them.
 */
import { pageNo, redoLimits } from '../../../../storage/redo.ts';
import type { BlockMap } from './block-map.ts';
import type { FilePages } from './file-pages.ts';
import { putU32, u32At } from './page-bytes.ts';
import { type InodePlace, type Superblock, tablePlace, unreadable } from './superblock.ts';

/** Number of an inode, from 1. The root directory is 1. */
export type Ino = number;
export const rootIno: Ino = 1;

const inodeBytes = 64;
const perBlock = redoLimits.pageBytes / inodeBytes;
const at = { links: 2, size: 4, next: 8 } as const;

/** Kinds of files, as `st_mode` has them. */
export const fileKind = { mask: 0o170000, directory: 0o040000, file: 0o100000, link: 0o120000 } as const;

export class InodeTable {
  private readonly pages: FilePages;
  private readonly superblock: Superblock;
  private readonly map: BlockMap;
  /** Page of each block of the table. They never move. */
  private readonly tablePages: number[] = [];

  constructor(pages: FilePages, superblock: Superblock, map: BlockMap) {
    this.pages = pages;
    this.superblock = superblock;
    this.map = map;
  }

  /** One more than the highest inode that was ever in use. */
  get end(): Ino {
    return this.superblock.get('inodes');
  }

  /** An inode of size 0, with a name. @param mode kind and permissions */
  create(mode: number): Ino {
    const ino = this.takeFree() ?? this.append();
    const place = this.placeOf(ino);
    const bytes = this.pages.change(pageNo(place.page));
    bytes.fill(0, place.offset, place.offset + inodeBytes);
    bytes[place.offset] = mode >> 8;
    bytes[place.offset + 1] = mode;
    bytes[place.offset + at.links + 1] = 1;
    return ino;
  }

  /** Gives an inode back, whose blocks are given back already. */
  release(ino: Ino): void {
    const place = this.placeOf(ino);
    const bytes = this.pages.change(pageNo(place.page));
    bytes.fill(0, place.offset, place.offset + inodeBytes);
    putU32(bytes, place.offset + at.next, this.superblock.get('freeInode'));
    this.superblock.set('freeInode', ino);
  }

  /** Kind and permissions; 0 for a free inode. */
  mode(ino: Ino): number {
    const place = this.placeOf(ino);
    const bytes = this.bytesOf(place);
    return ((bytes[place.offset] ?? 0) << 8) | (bytes[place.offset + 1] ?? 0);
  }

  setMode(ino: Ino, mode: number): void {
    if (this.mode(ino) === mode) return;
    const place = this.placeOf(ino);
    const bytes = this.pages.change(pageNo(place.page));
    bytes[place.offset] = mode >> 8;
    bytes[place.offset + 1] = mode;
  }

  /** Bytes of the file. */
  size(ino: Ino): number {
    const place = this.placeOf(ino);
    return u32At(this.bytesOf(place), place.offset + at.size);
  }

  setSize(ino: Ino, size: number): void {
    const place = this.placeOf(ino);
    putU32(this.pages.change(pageNo(place.page)), place.offset + at.size, size);
  }

  /** Notes that a file has no name any more and is open still (G84). */
  orphan(ino: Ino): void {
    const place = this.placeOf(ino);
    const bytes = this.pages.change(pageNo(place.page));
    bytes[place.offset + at.links + 1] = 0;
    putU32(bytes, place.offset + at.next, this.superblock.get('orphan'));
    this.superblock.set('orphan', ino);
  }

  isOrphan(ino: Ino): boolean {
    const place = this.placeOf(ino);
    const bytes = this.bytesOf(place);
    return this.mode(ino) !== 0 && bytes[place.offset + at.links + 1] === 0;
  }

  /** The files without a name, the latest first. */
  orphans(): readonly Ino[] {
    const found: Ino[] = [];
    for (let ino = this.superblock.get('orphan'); ino !== 0; ino = this.next(ino)) {
      if (found.length >= this.end) throw unreadable('The list of unlinked files in the volume has no end');
      found.push(ino);
    }
    return found;
  }

  /** Takes a file out of the list of those without a name. */
  forgetOrphan(ino: Ino): void {
    const orphans = this.orphans();
    const index = orphans.indexOf(ino);
    if (index < 0) throw unreadable(`Inode ${ino} of the volume is not in the list of unlinked files`);
    const next = this.next(ino);
    const before = orphans[index - 1];
    if (before === undefined) {
      this.superblock.set('orphan', next);
      return;
    }
    const place = this.placeOf(before);
    putU32(this.pages.change(pageNo(place.page)), place.offset + at.next, next);
  }

  /** Where an inode lies. */
  placeOf(ino: Ino): InodePlace {
    const block = Math.floor(ino / perBlock);
    let page = this.tablePages[block];
    if (page === undefined) {
      page = this.map.find(tablePlace, block);
      if (page === 0) throw unreadable(`Inode ${ino} of the volume is named and lies nowhere`);
      this.tablePages[block] = page;
    }
    return { page, offset: (ino % perBlock) * inodeBytes };
  }

  private next(ino: Ino): Ino {
    const place = this.placeOf(ino);
    return u32At(this.bytesOf(place), place.offset + at.next);
  }

  private takeFree(): Ino | null {
    const ino = this.superblock.get('freeInode');
    if (ino === 0) return null;
    this.superblock.set('freeInode', this.next(ino));
    return ino;
  }

  private append(): Ino {
    const ino = this.end;
    const block = Math.floor(ino / perBlock);
    if (this.map.find(tablePlace, block) === 0) this.map.fill(tablePlace, block);
    this.superblock.set('inodes', ino + 1);
    return ino;
  }

  private bytesOf(place: InodePlace): Uint8Array {
    const bytes = this.pages.read(pageNo(place.page));
    if (bytes === null) throw unreadable(`Page ${place.page} of the volume, which holds inodes, is gone`);
    return bytes;
  }
}
