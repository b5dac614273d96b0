/**
 * Page 1 of a volume of files: what it is, how long it is, and where its inodes are.
 *
 * | bytes | |
 * |---|---|
 * | 0–15 | magic |
 * | 16–19 | format of the file system, 1 |
 * | 20–23 | bytes of a page |
 * | 24–27 | first free inode, 0 for none |
 * | 28–31 | pages of the volume, where SQLite keeps its own (`databasePages`) |
 * | 32–35 | first inode that is unlinked and open, 0 for none |
 * | 36–39 | inodes that the table has room for and has handed out once, that is one more than the highest |
 * | 40–43 | CRC-32 of bytes 0–39 and 64–127 |
 * | 64–127 | the inode of the inode table |
 */
import { crc32 } from 'node:zlib';
import { describeEngine, engineOf, pageNo, postgresMagic, redoLimits } from '../../../../storage/redo.ts';
import { adviseError } from '../../../sql/errors.ts';
import { VolumeFault } from './file-error.ts';
import type { FilePages } from './file-pages.ts';
import { putU32, u32At } from './page-bytes.ts';

/** Format of the file system; one that differs is refused. */
export const filesFormat = 1;

const firstPage = pageNo(1);
const at = { format: 16, pageBytes: 20, freeInode: 24, pages: 28, orphan: 32, inodes: 36, sum: 40 } as const;
type Field = 'freeInode' | 'pages' | 'orphan' | 'inodes';

/** Where an inode lies. */
export interface InodePlace {
  readonly page: number;
  readonly offset: number;
}

/** The inode of the inode table. */
export const tablePlace: InodePlace = { page: 1, offset: 64 };

/** The fields of page 1. Every change brings the sum up to date. */
export class Superblock {
  private readonly pages: FilePages;

  /** @throws VolumeFault when page 1 is not that of a volume of files. */
  constructor(pages: FilePages) {
    this.pages = pages;
    refuseOthers(pages.read(firstPage));
  }

  /** Writes the superblock of an empty volume of files. */
  static format(pages: FilePages): void {
    const bytes = pages.replace(firstPage);
    bytes.set(postgresMagic);
    putU32(bytes, at.format, filesFormat);
    putU32(bytes, at.pageBytes, redoLimits.pageBytes);
    putU32(bytes, at.pages, 1);
    putU32(bytes, at.inodes, 1); // There is no inode 0.
    putU32(bytes, at.sum, sumOf(bytes));
  }

  get(field: Field): number {
    const bytes = this.pages.read(firstPage);
    if (bytes === null) throw unreadable('Page 1 of the volume is gone');
    return u32At(bytes, at[field]);
  }

  set(field: Field, value: number): void {
    putU32(this.pages.change(firstPage), at[field], value);
    this.sumUp();
  }

  /** To be called after a change of the table's inode, which lies in this page. */
  sumUp(): void {
    const bytes = this.pages.change(firstPage);
    putU32(bytes, at.sum, sumOf(bytes));
  }
}

function sumOf(bytes: Uint8Array): number {
  return crc32(bytes.subarray(64, 128), crc32(bytes.subarray(0, at.sum)));
}

/** G85: a volume of another engine, of another format, or torn, is not touched. */
function refuseOthers(bytes: Uint8Array | null): void {
  const engine = engineOf(bytes);
  if (bytes === null || engine !== 'postgres')
    throw unreadable(`A PostgreSQL database was expected in this volume, and it ${describeEngine(engine)}`);
  const format = u32At(bytes, at.format);
  if (format !== filesFormat)
    throw unreadable(
      `The volume holds PostgreSQL's files in format ${format}, and this version of Sextant reads format ${filesFormat}`,
    );
  const pageBytes = u32At(bytes, at.pageBytes);
  if (pageBytes !== redoLimits.pageBytes)
    throw unreadable(
      `The volume has pages of ${pageBytes} bytes, and this deployment has ${redoLimits.pageBytes}`,
    );
  if (u32At(bytes, at.sum) !== sumOf(bytes))
    throw unreadable('Page 1 of the volume is damaged: its checksum does not match');
}

/** The volume is not what this engine can go on with. */
export function unreadable(detail: string): VolumeFault {
  return new VolumeFault(adviseError('SEXTANT_VOLUME_UNREADABLE', detail));
}
