/**
 * The files of a volume as far as its pages are at hand: it never waits, and notes which pages it would have needed. Asking for those
 * and looking again, a whole directory tree is found in a few requests, where a file system has one for each page.
 */
import { type PageNo, pageNo, redoLimits } from '../../../../../storage/redo.ts';
import { BlockMap } from '../../core/block-map.ts';
import { Directories } from '../../core/directories.ts';
import { VolumeFault } from '../../core/file-error.ts';
import type { FilePages } from '../../core/file-pages.ts';
import { fileKind, type Ino, InodeTable, rootIno } from '../../core/inode-table.ts';
import { bitmapOf, groupPages, PageSpace, volumePagesMax } from '../../core/page-space.ts';
import { Superblock, tablePlace } from '../../core/superblock.ts';

const { pageBytes } = redoLimits;
const inodesPerBlock = pageBytes / 64;

/** A page that is not at hand. One for all: thousands are thrown in a look, and a stack for each would be most of what it takes. */
const missingPage = new Error('a page is not at hand');

/** A page at hand, null where the volume has none, undefined when it would have to be asked for. */
export type Peek = (page: PageNo) => Uint8Array | null | undefined;

export class KnownFiles {
  /** What was needed and is not at hand, since `forget`. */
  readonly missing = new Set<PageNo>();
  private readonly peek: Peek;
  private readonly superblock: Superblock;
  private readonly map: BlockMap;
  private readonly table: InodeTable;
  private readonly directories: Directories;
  private readonly inodes = new Map<string, Ino | null>();
  /** Directories of which all pages are at hand. */
  private readonly whole = new Set<Ino>();

  /** @param peek has page 1. @throws VolumeFault when the volume holds something else */
  constructor(peek: Peek) {
    this.peek = peek;
    const pages: FilePages = {
      read: (page) => this.page(page),
      change: refuse,
      replace: refuse,
    };
    this.superblock = new Superblock(pages);
    this.map = new BlockMap(pages, new PageSpace(pages, this.superblock, volumePagesMax));
    this.table = new InodeTable(pages, this.superblock, this.map);
    this.directories = new Directories(pages, this.table, this.map);
  }

  forget(): void {
    this.missing.clear();
  }

  /** Notes the table of inodes and the maps of free pages as needed: whoever looks for many files, and makes some, needs all of it. */
  needTables(): void {
    for (let group = 0; group * groupPages < this.superblock.get('pages'); group++)
      this.known(() => this.page(bitmapOf(group)));
    for (let block = 0; block * inodesPerBlock < this.superblock.get('inodes'); block++)
      this.known(() => this.page(pageNo(this.map.find(tablePlace, block))));
  }

  /** Names in a directory; none when it is not there, or not known. */
  list(path: string): readonly string[] {
    const ino = this.find(path);
    if (ino === null) return [];
    this.need(ino);
    return this.known(() => this.directories.names(ino)) ?? [];
  }

  /** @returns null when there is no such file, or when that is not known. */
  find(path: string): Ino | null {
    const known = this.inodes.get(path);
    if (known !== undefined) return known;
    let ino: Ino | null = rootIno;
    for (const name of path.split('/')) {
      if (ino === null || name === '') continue;
      const directory: Ino = ino;
      this.need(directory);
      const found: Ino | null | undefined = this.known(() => this.directories.find(directory, name));
      if (found === undefined) return null; // To be looked for again.
      ino = found;
    }
    this.inodes.set(path, ino);
    return ino;
  }

  /** Whether it is known to be one. */
  isDirectory(ino: Ino): boolean {
    return ((this.known(() => this.table.mode(ino)) ?? 0) & fileKind.mask) === fileKind.directory;
  }

  /** Pages that a file is long; 0 when that is not known. */
  pagesOf(ino: Ino): number {
    return Math.ceil((this.known(() => this.table.size(ino)) ?? 0) / pageBytes);
  }

  /** The page of the volume that a page of a file lies in; null for a hole, and when it is not known. */
  place(ino: Ino, index: number): PageNo | null {
    const page = this.known(() => this.map.find(this.table.placeOf(ino), index));
    return page === undefined || page === 0 ? null : pageNo(page);
  }

  /** The first `pages` pages of a file, zero where it has holes; null when one is not known. */
  read(ino: Ino, pages: number): Uint8Array | null {
    const bytes = new Uint8Array(pages * pageBytes);
    for (let index = 0; index < pages; index++) {
      const part = this.known(() => {
        const page = this.map.find(this.table.placeOf(ino), index);
        return page === 0 ? null : this.page(pageNo(page));
      });
      if (part === undefined) return null;
      if (part !== null) bytes.set(part, index * pageBytes);
    }
    return bytes;
  }

  /** Notes all pages of a directory as needed: it is read from end to end. */
  private need(directory: Ino): void {
    if (this.whole.has(directory)) return;
    const pages = this.pagesOf(directory);
    let isWhole = pages > 0;
    for (let index = 0; index < pages; index++) {
      const page = this.place(directory, index);
      if (page === null || this.known(() => this.page(page)) === undefined) isWhole = false;
    }
    if (isWhole) this.whole.add(directory);
  }

  private known<T>(look: () => T): T | undefined {
    try {
      return look();
    } catch (error) {
      // A volume that is damaged is told by whoever needs it.
      if (error === missingPage || error instanceof VolumeFault) return undefined;
      throw error;
    }
  }

  private page(page: PageNo): Uint8Array | null {
    const known = this.peek(page);
    if (known !== undefined) return known;
    this.missing.add(page);
    throw missingPage;
  }
}

function refuse(): never {
  throw new Error('what looks ahead changes nothing');
}
