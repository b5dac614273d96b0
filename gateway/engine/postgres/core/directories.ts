/**
 * Directories: files that are made of slots of 32 bytes. An entry takes one slot, or a few where its name is longer than 27
 * bytes, all in one page: the inode (4 bytes), the length of the name (1), the name. A slot that no entry uses is zero.
 *
 * A directory that was looked into is kept in memory, since the pages of a volume are changed by nobody else while it is open.
 */
import { pageNo, redoLimits } from '../../../../storage/redo.ts';
import type { BlockMap } from './block-map.ts';
import { FileError } from './file-error.ts';
import type { FilePages } from './file-pages.ts';
import type { Ino, InodeTable } from './inode-table.ts';
import { putU32, u32At } from './page-bytes.ts';
import { unreadable } from './superblock.ts';

const { pageBytes } = redoLimits;
const slotBytes = 32;
const headBytes = 5;
const perBlock = pageBytes / slotBytes;
/** Bytes of the longest name, in UTF-8. */
const nameBytesMax = 255;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

interface Entry {
  ino: Ino;
  readonly slot: number;
  readonly slots: number;
}

interface Directory {
  readonly entries: Map<string, Entry>;
  /** Whether a slot is in use. */
  readonly used: boolean[];
  /** No slot below is free. */
  lowest: number;
}

export class Directories {
  private readonly pages: FilePages;
  private readonly table: InodeTable;
  private readonly map: BlockMap;
  private readonly known = new Map<Ino, Directory>();

  constructor(pages: FilePages, table: InodeTable, map: BlockMap) {
    this.pages = pages;
    this.table = table;
    this.map = map;
  }

  /** @returns the inode of that name, null when there is none */
  find(directory: Ino, name: string): Ino | null {
    return this.open(directory).entries.get(name)?.ino ?? null;
  }

  /** Names in the directory, in no order that means anything. */
  names(directory: Ino): readonly string[] {
    return [...this.open(directory).entries.keys()];
  }

  isEmpty(directory: Ino): boolean {
    return this.open(directory).entries.size === 0;
  }

  /** Adds a name that is not there yet. @param name one that `checkName` lets pass */
  add(directory: Ino, name: string, ino: Ino): void {
    const bytes = encoder.encode(name);
    const opened = this.open(directory);
    const slots = Math.ceil((headBytes + bytes.length) / slotBytes);
    const slot = this.place(directory, opened, slots);
    const { page, at } = this.slotPlace(directory, slot);
    const target = this.pages.change(pageNo(page));
    putU32(target, at, ino);
    target[at + headBytes - 1] = bytes.length;
    target.set(bytes, at + headBytes);
    opened.used.fill(true, slot, slot + slots);
    opened.entries.set(name, { ino, slot, slots });
  }

  /** Lets a name that is there stand for another inode. */
  point(directory: Ino, name: string, ino: Ino): void {
    const entry = this.entry(directory, name);
    const { page, at } = this.slotPlace(directory, entry.slot);
    putU32(this.pages.change(pageNo(page)), at, ino);
    entry.ino = ino;
  }

  /** Takes a name out that is there. */
  remove(directory: Ino, name: string): void {
    const opened = this.open(directory);
    const { slot, slots } = this.entry(directory, name);
    const { page, at } = this.slotPlace(directory, slot);
    this.pages.change(pageNo(page)).fill(0, at, at + slots * slotBytes);
    opened.entries.delete(name);
    opened.used.fill(false, slot, slot + slots);
    opened.lowest = Math.min(opened.lowest, slot);
    this.shorten(directory, opened);
  }

  /** Forgets a directory that is gone. */
  drop(directory: Ino): void {
    this.known.delete(directory);
  }

  private entry(directory: Ino, name: string): Entry {
    const entry = this.open(directory).entries.get(name);
    if (entry === undefined) throw new FileError('ENOENT', name);
    return entry;
  }

  private open(directory: Ino): Directory {
    const known = this.known.get(directory);
    if (known !== undefined) return known;
    const opened: Directory = { entries: new Map(), used: [], lowest: 0 };
    const blocks = this.table.size(directory) / pageBytes;
    for (let block = 0; block < blocks; block++) this.load(directory, opened, block);
    this.known.set(directory, opened);
    return opened;
  }

  private load(directory: Ino, opened: Directory, block: number): void {
    const { page } = this.slotPlace(directory, block * perBlock);
    const bytes = this.pages.read(pageNo(page));
    if (bytes === null) throw unreadable(`Page ${page} of the volume, which holds names of files, is gone`);
    for (let index = 0; index < perBlock; ) {
      const at = index * slotBytes;
      const length = bytes[at + headBytes - 1] ?? 0;
      const slots = Math.max(Math.ceil((headBytes + length) / slotBytes), 1);
      const slot = block * perBlock + index;
      for (let part = 0; part < slots; part++) opened.used[slot + part] = length > 0;
      if (length > 0) {
        const name = decoder.decode(bytes.subarray(at + headBytes, at + headBytes + length));
        opened.entries.set(name, { ino: u32At(bytes, at), slot, slots });
      }
      index += slots;
    }
  }

  /** The lowest run of free slots in one page; the directory becomes a page longer where there is none. */
  private place(directory: Ino, opened: Directory, slots: number): number {
    const { used } = opened;
    while (used[opened.lowest] === true) opened.lowest++;
    let run = 0;
    for (let slot = opened.lowest; slot < used.length; slot++) {
      if (slot % perBlock === 0) run = 0;
      run = used[slot] === true ? 0 : run + 1;
      if (run === slots) return slot - slots + 1;
    }
    const block = used.length / perBlock;
    this.map.fill(this.table.placeOf(directory), block);
    this.table.setSize(directory, (block + 1) * pageBytes);
    for (let index = 0; index < perBlock; index++) used.push(false);
    return block * perBlock;
  }

  /** Gives back the pages at the end that hold no names. */
  private shorten(directory: Ino, opened: Directory): void {
    const last = opened.used.lastIndexOf(true);
    const blocks = Math.floor(last / perBlock) + 1;
    if (blocks === opened.used.length / perBlock) return;
    this.map.cut(this.table.placeOf(directory), blocks);
    this.table.setSize(directory, blocks * pageBytes);
    opened.used.length = blocks * perBlock;
  }

  private slotPlace(directory: Ino, slot: number): { readonly page: number; readonly at: number } {
    const page = this.map.find(this.table.placeOf(directory), Math.floor(slot / perBlock));
    if (page === 0) throw unreadable(`Directory ${directory} of the volume has a hole`);
    return { page, at: (slot % perBlock) * slotBytes };
  }
}

/** @throws FileError ENAMETOOLONG, EINVAL when no file can have that name */
export function checkName(name: string): void {
  if (Buffer.byteLength(name) > nameBytesMax) throw new FileError('ENAMETOOLONG', `the name ${name}`);
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name))
    throw new FileError('EINVAL', `the name ${JSON.stringify(name)}`);
}
