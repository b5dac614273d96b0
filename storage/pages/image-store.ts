/**
 * Page images folded from the log, in LMDB: one environment per protection group, so that dropping a group gives its
 * space back to the file system. There is one image of a page, stamped with the LSN up to which it holds everything.
 *
 * S9: images are a cache. They are made from the log and can be made again, so nothing is flushed for them (`noSync`): a
 * power failure may leave the files in any state, and they are emptied at every start. Each image carries a CRC-32 over
 * stamp and page that is checked when it is read.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { open, type RootDatabase } from 'lmdb';
import { readU64, viewOf, writeU64 } from '../redo/bytes.ts';
import { type Lsn, type PageNo, type PgId, lsn as toLsn } from '../redo/ids.ts';
import { redoLimits } from '../redo/limits.ts';
import { pgOfPage } from '../redo/record.ts';

export type ImageRead =
  /** The page as everything at or below `lsn` left it; a copy. */
  | { readonly kind: 'ok'; readonly lsn: Lsn; readonly bytes: Uint8Array }
  | { readonly kind: 'absent' }
  | { readonly kind: 'bad'; readonly reason: string };

/** Where images lie. */
export interface ImageStore {
  /** Images stored. */
  readonly size: number;
  /** Stores images that hold everything at or below `at`. Rejects when they cannot be written, such as on a full disk. */
  putAll(pages: ReadonlyMap<PageNo, Uint8Array>, at: Lsn): Promise<void>;
  get(page: PageNo): ImageRead;
  clear(): Promise<void>;
  close(): Promise<void>;
}

/** `crc32 u32 | lsn u64 | page`, little-endian. */
const stampBytes = 12;
/** Images written in one transaction, which is how long the event loop is kept at it: about a millisecond. */
const imagesPerTurn = 128;

export class LmdbImages implements ImageStore {
  private readonly directory: string;
  private readonly pgBytes: number;
  private readonly groups = new Map<PgId, RootDatabase<Buffer, Buffer>>();

  /** Empties `directory`, see above. @param pgBytes span of one protection group. */
  constructor(directory: string, pgBytes: number) {
    this.directory = directory;
    this.pgBytes = pgBytes;
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
  }

  /** Images stored. */
  get size(): number {
    let count = 0;
    for (const group of this.groups.values()) count += group.getCount();
    return count;
  }

  /** Stores images that hold everything at or below `at`. Rejects when LMDB cannot write, such as on a full disk. */
  async putAll(pages: ReadonlyMap<PageNo, Uint8Array>, at: Lsn): Promise<void> {
    let puts: Promise<boolean>[] = [];
    for (const [page, image] of pages) {
      const value = Buffer.allocUnsafe(stampBytes + image.length);
      writeU64(viewOf(value), 4, at);
      value.set(image, stampBytes);
      value.writeUInt32LE(crc32(value.subarray(4)), 0);
      puts.push(this.group(this.pgOf(page)).put(keyBytes(page), value));
      if (puts.length < imagesPerTurn) continue;
      await Promise.all(puts);
      puts = [];
    }
    await Promise.all(puts);
  }

  get(page: PageNo): ImageRead {
    const value = this.group(this.pgOf(page)).getBinary(keyBytes(page));
    if (value === undefined) return { kind: 'absent' };
    const lsn = value.length < stampBytes ? Number.NaN : readU64(viewOf(value), 4);
    if (
      value.length !== stampBytes + redoLimits.pageBytes ||
      Number.isNaN(lsn) ||
      crc32(value.subarray(4)) !== value.readUInt32LE(0)
    )
      return { kind: 'bad', reason: `the image of page ${page} does not match its checksum` };
    // A copy: LMDB's memory is not ours to keep, and readers fold into what they get.
    return { kind: 'ok', lsn: toLsn(lsn), bytes: new Uint8Array(value.subarray(stampBytes)) };
  }

  /** Closes and deletes the environment of one group. */
  async dropGroup(pg: PgId): Promise<void> {
    const group = this.groups.get(pg);
    this.groups.delete(pg);
    await group?.close();
    rmSync(this.path(pg), { recursive: true, force: true });
  }

  async clear(): Promise<void> {
    for (const pg of [...this.groups.keys()]) await this.dropGroup(pg);
  }

  async close(): Promise<void> {
    for (const group of this.groups.values()) await group.close();
    this.groups.clear();
  }

  private pgOf(page: PageNo): PgId {
    return pgOfPage(page, this.pgBytes);
  }

  private path(pg: PgId): string {
    return join(this.directory, `pg-${pg}`);
  }

  private group(pg: PgId): RootDatabase<Buffer, Buffer> {
    let group = this.groups.get(pg);
    if (group === undefined) {
      group = open<Buffer, Buffer>({
        path: this.path(pg),
        encoding: 'binary',
        keyEncoding: 'binary',
        noSync: true,
        compression: false,
      });
      this.groups.set(pg, group);
    }
    return group;
  }
}

/** Big-endian, so that neighbours lie side by side. */
function keyBytes(page: PageNo): Buffer {
  const key = Buffer.allocUnsafe(4);
  key.writeUInt32BE(page, 0);
  return key;
}
