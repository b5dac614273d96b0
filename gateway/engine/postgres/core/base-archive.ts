/**
 * A base image as one file: `SXPGBASE`, a CRC-32 of the rest, and, compressed, the length of a table in JSON, the table, and the
 * bytes of the files one after the other.
 */
import { crc32, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { putU32, u32At } from './page-bytes.ts';

/** One file of PGDATA in a new database. */
export interface BaseFile {
  /** From the data directory, with slashes. A directory comes before what is in it. */
  readonly path: string;
  readonly kind: 'directory' | 'file';
  /** Permissions. */
  readonly mode: number;
  /** Empty for a directory. */
  readonly bytes: Uint8Array;
}

export type BaseImage = readonly BaseFile[];

const magic = new TextEncoder().encode('SXPGBASE');
const headBytes = magic.length + 4;
const lengthBytes = 4;

export function encodeBase(image: BaseImage): Uint8Array {
  const rows = image.map(({ path, kind, mode, bytes }) => [path, kind, mode, bytes.length]);
  const table = new TextEncoder().encode(JSON.stringify(rows));
  const plain = new Uint8Array(
    image.reduce((sum, { bytes }) => sum + bytes.length, lengthBytes + table.length),
  );
  putU32(plain, 0, table.length);
  plain.set(table, lengthBytes);
  let at = lengthBytes + table.length;
  for (const { bytes } of image) {
    plain.set(bytes, at);
    at += bytes.length;
  }
  const packed = zstdCompressSync(plain);
  const archive = new Uint8Array(headBytes + packed.length);
  archive.set(magic);
  putU32(archive, magic.length, crc32(packed));
  archive.set(packed, headBytes);
  return archive;
}

/** @returns null when the bytes are not a whole archive */
export function decodeBase(archive: Uint8Array): BaseImage | null {
  const packed = archive.subarray(headBytes);
  if (!magic.every((byte, at) => archive[at] === byte)) return null;
  if (u32At(archive, magic.length) !== crc32(packed)) return null;
  const plain = new Uint8Array(zstdDecompressSync(packed)); // A Buffer's slice() would be a view.
  const tableEnd = lengthBytes + u32At(plain, 0);
  const rows: [string, BaseFile['kind'], number, number][] = JSON.parse(
    new TextDecoder().decode(plain.subarray(lengthBytes, tableEnd)),
  );
  let at = tableEnd;
  return rows.map(([path, kind, mode, length]) => {
    const bytes = plain.subarray(at, at + length);
    at += length;
    return { path, kind, mode, bytes };
  });
}
