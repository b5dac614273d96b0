/**
 * Page images folded from the log, in LMDB: one environment per protection group, so that dropping a group gives its
 * space back to the file system.
 *
 * S9: images are a cache. They are made from the log and can be made again, so nothing is flushed for them (`noSync`): a
 * power failure may leave the files in any state, and they are emptied at every start, where the scan of the log
 * rebuilds the index with every record in it and no image would be referred to. Each image carries a CRC-32 that is
 * checked when it is read.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { open, type RootDatabase } from 'lmdb';
import type { Epoch, Lsn, PageNo, PgId } from '../core/ids.ts';
import { redoLimits } from '../core/limits.ts';
import { pgOfPage } from '../core/record.ts';

export interface ImageKey {
  readonly page: PageNo;
  readonly epoch: Epoch;
  readonly lsn: Lsn;
}

export type ImageRead =
  | { readonly kind: 'ok'; readonly bytes: Uint8Array }
  | { readonly kind: 'bad'; readonly reason: string };

const checksumBytes = 4;

export class ImageStore {
  private readonly directory: string;
  private readonly pgBytes: number;
  private readonly groups = new Map<PgId, RootDatabase<Buffer, Buffer>>();
  private count = 0;

  /** Empties `directory`, see above. @param pgBytes span of one protection group. */
  constructor(directory: string, pgBytes: number) {
    this.directory = directory;
    this.pgBytes = pgBytes;
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
  }

  /** Images stored and not removed. */
  get size(): number {
    return this.count;
  }

  /** Stores an image. Rejects when LMDB cannot write, such as on a full disk. */
  async put(key: ImageKey, image: Uint8Array): Promise<void> {
    const value = Buffer.allocUnsafe(checksumBytes + image.length);
    value.writeUInt32LE(crc32(image), 0);
    value.set(image, checksumBytes);
    await this.group(this.pgOf(key)).put(keyBytes(key), value);
    this.count += 1;
  }

  get(key: ImageKey): ImageRead {
    const value = this.group(this.pgOf(key)).getBinary(keyBytes(key));
    if (value === undefined) return { kind: 'bad', reason: `no image of page ${key.page} at ${key.lsn}` };
    // A copy: LMDB's memory is not ours to keep, and readers fold into what they get.
    const bytes = new Uint8Array(value.subarray(checksumBytes));
    if (bytes.length === redoLimits.pageBytes && crc32(bytes) === value.readUInt32LE(0))
      return { kind: 'ok', bytes };
    return { kind: 'bad', reason: `the image of page ${key.page} at ${key.lsn} does not match its checksum` };
  }

  async remove(key: ImageKey): Promise<void> {
    if (await this.group(this.pgOf(key)).remove(keyBytes(key))) this.count -= 1;
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
    this.count = 0;
  }

  async close(): Promise<void> {
    for (const group of this.groups.values()) await group.close();
    this.groups.clear();
  }

  private pgOf(key: ImageKey): PgId {
    return pgOfPage(key.page, this.pgBytes);
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

/** `page u32 | epoch u32 | lsn u64`, big-endian, so that the versions of a page lie side by side in order. */
function keyBytes({ page, epoch, lsn }: ImageKey): Buffer {
  const key = Buffer.allocUnsafe(16);
  key.writeUInt32BE(page, 0);
  key.writeUInt32BE(epoch, 4);
  key.writeBigUInt64BE(BigInt(lsn), 8);
  return key;
}
