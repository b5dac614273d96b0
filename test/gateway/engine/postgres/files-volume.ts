/**
 * A volume for files in memory: a cache that forgets nothing, as an engine's may, and beside it what storage makes of the redo.
 * And an account of a volume's pages that is worked out from the bytes alone.
 */
import { databasePages } from '../../../../gateway/engine/core/page-store.ts';
import type { FilePages } from '../../../../gateway/engine/postgres/core/file-pages.ts';
import { PageSet } from '../../../../gateway/engine/postgres/core/page-set.ts';
import { type PageNo, pageNo } from '../../../../storage/redo/ids.ts';
import { applyChange, diffPage, type PageChange, recordBytes } from '../../../../storage/redo/record.ts';

const page1 = pageNo(1);

/** What one set was as redo. */
export interface SetRedo {
  readonly changes: readonly PageChange[];
  /** Bytes of its records, the commit left out. */
  readonly bytes: number;
}

export class FilesVolume {
  /** Pages by what was published last; those that are gone stay, so that who reads one is found out. */
  readonly cache = new Map<PageNo, Uint8Array>();
  /** What storage holds. No page is changed in place. */
  readonly stored = new Map<PageNo, Uint8Array>();
  readonly set: PageSet;
  /** Pages asked for. */
  reads = 0;

  constructor(stored: ReadonlyMap<PageNo, Uint8Array> = new Map()) {
    for (const [page, bytes] of stored) {
      this.cache.set(page, bytes);
      this.stored.set(page, bytes);
    }
    this.set = new PageSet({
      readPage: (page) => {
        this.reads++;
        return this.cache.get(page) ?? null;
      },
    });
  }

  get pages(): number {
    return databasePages(this.stored.get(page1) ?? null);
  }

  /** Publishes what has changed, as an engine does with a transaction. */
  publish(): SetRedo {
    const taken = this.set.take();
    const before = databasePages(this.cache.get(page1) ?? null);
    const after = databasePages(taken.get(page1) ?? this.cache.get(page1) ?? null);
    if (after < before)
      for (const page of [...this.stored.keys()]) if (page > after) this.stored.delete(page);
    const changes: PageChange[] = [];
    for (const [page, bytes] of taken) {
      const change = diffPage(page, page > before ? null : (this.cache.get(page) ?? null), bytes);
      this.cache.set(page, bytes);
      if (change === null) continue;
      if (page > after) throw new Error(`page ${page} is in the redo and lies beyond the end, ${after}`);
      changes.push(change);
      const image = this.stored.get(page);
      if (image === undefined && change.kind === 'pageDelta')
        throw new Error(`page ${page} begins with a delta`);
      this.stored.set(page, applyChange(image?.slice() ?? new Uint8Array(4096), change));
    }
    return { changes, bytes: changes.reduce((sum, change) => sum + recordBytes(change), 0) };
  }

  /** The pages of this moment as storage has them. */
  image(): Map<PageNo, Uint8Array> {
    return new Map(this.stored);
  }
}

const u32 = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, false);

/**
 * What is wrong with the pages of a volume of files: one used twice, used and free, free and lost, a last one that is free, or a file
 * without a name or with two.
 * Reads the bytes as the headers of the core's files describe them, with nothing of its code.
 */
export function pageTroubles(pages: Pick<FilePages, 'read'>): readonly string[] {
  const troubles: string[] = [];
  const owners = new Map<number, string>();
  const read = (page: number): Uint8Array => {
    const bytes = pages.read(pageNo(page));
    if (bytes !== null) return bytes;
    troubles.push(`page ${page} is used and not there`);
    return new Uint8Array(4096);
  };
  const own = (page: number, owner: string): void => {
    const other = owners.get(page);
    if (other !== undefined) troubles.push(`page ${page} belongs to ${other} and to ${owner}`);
    owners.set(page, owner);
  };
  const below = (page: number, levels: number, owner: string): void => {
    if (page === 0) return;
    own(page, owner);
    if (levels > 0) for (let at = 0; at < 4096; at += 4) below(u32(read(page), at), levels - 1, owner);
  };
  const blocksOf = (bytes: Uint8Array, at: number, owner: string): void => {
    for (let pointer = 0; pointer < 12; pointer++) {
      below(u32(bytes, at + 16 + 4 * pointer), Math.max(pointer - 9, 0), owner);
    }
  };
  const superblock = read(1);
  const [free, end, orphan, inodes] = [24, 28, 32, 36].map((at) => u32(superblock, at)) as [
    number,
    number,
    number,
    number,
  ];
  own(1, 'the superblock');
  blocksOf(superblock, 64, 'the table of inodes');
  const inodeAt = (ino: number): { bytes: Uint8Array; at: number } => {
    const block = Math.floor(ino / 64);
    const pointer =
      block < 10 ? u32(superblock, 80 + 4 * block) : u32(read(u32(superblock, 120)), 4 * (block - 10));
    return { bytes: read(pointer), at: (ino % 64) * 64 };
  };
  const listed = new Set<number>();
  for (const head of [free, orphan]) {
    for (let ino = head; ino !== 0; ) {
      if (listed.has(ino)) troubles.push(`inode ${ino} is listed twice`);
      if (listed.has(ino)) break;
      listed.add(ino);
      const { bytes, at } = inodeAt(ino);
      ino = u32(bytes, at + 8);
    }
  }
  const named = new Map<number, number>([[1, 1]]);
  const names = (bytes: Uint8Array, at: number): void => {
    const blocks = u32(bytes, at + 4) / 4096;
    if (blocks > 10) throw new Error('a directory of a test is shorter');
    for (let block = 0; block < blocks; block++) {
      const slots = read(u32(bytes, at + 16 + 4 * block));
      for (let slot = 0; slot < 4096; ) {
        const length = slots[slot + 4] ?? 0;
        const ino = u32(slots, slot);
        if (length > 0) named.set(ino, (named.get(ino) ?? 0) + 1);
        slot += Math.max(Math.ceil((5 + length) / 32), 1) * 32;
      }
    }
  };
  for (let ino = 1; ino < inodes; ino++) {
    const { bytes, at } = inodeAt(ino);
    if (u32(bytes, at) >>> 28 === 4) names(bytes, at);
  }
  for (let ino = 1; ino < inodes; ino++) {
    const { bytes, at } = inodeAt(ino);
    const used = u32(bytes, at) >>> 16 !== 0;
    const linked = (bytes[at + 3] ?? 0) === 1;
    if (listed.has(ino) !== !(used && linked)) troubles.push(`inode ${ino} is lost, or listed and in use`);
    const times = named.get(ino) ?? 0;
    if (times !== (used && linked ? 1 : 0)) troubles.push(`inode ${ino} has ${times} names`);
    if (used) blocksOf(bytes, at, `inode ${ino}`);
  }
  for (let group = 0; group * 32_768 + 1 <= end; group++)
    own(group === 0 ? 2 : group * 32_768 + 1, `bitmap ${group}`);
  for (let page = 1; page <= end; page++) {
    const group = Math.floor((page - 1) / 32_768);
    const bits = read(group === 0 ? 2 : group * 32_768 + 1);
    const bit = (page - 1) % 32_768;
    const marked = (((bits[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1;
    if (marked !== owners.has(page))
      troubles.push(`page ${page} is ${marked ? 'marked and lost' : 'used and not marked'}`);
  }
  for (const page of owners.keys()) if (page > end) troubles.push(`page ${page} is used and beyond the end`);
  if (!owners.has(end)) troubles.push(`the last page, ${end}, is free`);
  return troubles;
}
