/**
 * The number by which a PostgreSQL database tells itself from others. It stands in `global/pg_control`, under a checksum, and in
 * the first page of each file of WAL: databases made from one image get one each.
 */
import { unreadable } from './superblock.ts';

export const controlPath = 'global/pg_control';
/** Where a WAL file names its database: in the long header of its first page. */
const walIdentifierAt = 24;
/** State in `pg_control`: closed in good order. */
const stateAt = 16;
const shutDown = 1;

/** Whether the database was closed in good order, so that nothing is to be recovered. */
export function isShutDown(control: Uint8Array): boolean {
  return viewOf(control).getUint32(stateAt, true) === shutDown;
}

export const isWalFile = (path: string): boolean => /^pg_wal\/[0-9A-F]{24}$/.test(path);

/** `pg_control` with another identifier. @throws VolumeFault when it is not what is expected */
export function controlWith(control: Uint8Array, identifier: bigint): Uint8Array {
  const sumAt = checksumAt(control);
  const changed = new Uint8Array(control);
  viewOf(changed).setBigUint64(0, identifier, true);
  viewOf(changed).setUint32(sumAt, crc32c(changed.subarray(0, sumAt)), true);
  return changed;
}

/** A file of WAL with another identifier. @throws VolumeFault when it is not of the database that `control` is of */
export function walWith(wal: Uint8Array, control: Uint8Array, identifier: bigint): Uint8Array {
  if (viewOf(wal).getBigUint64(walIdentifierAt, true) !== viewOf(control).getBigUint64(0, true))
    throw unreadable('A WAL file of the base image is not of its database');
  const changed = new Uint8Array(wal);
  viewOf(changed).setBigUint64(walIdentifierAt, identifier, true);
  return changed;
}

/** The checksum ends what is used of `pg_control`, whose length each version of PostgreSQL has its own. */
function checksumAt(control: Uint8Array): number {
  const view = viewOf(control);
  for (let at = 64; at < Math.min(control.length, 512); at += 4) {
    if (view.getUint32(at, true) === crc32c(control.subarray(0, at))) return at;
  }
  throw unreadable('pg_control of the base image has no checksum where one is expected');
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** CRC-32C (Castagnoli), as PostgreSQL computes it. */
export function crc32c(bytes: Uint8Array): number {
  let sum = 0xffff_ffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (0x82f6_3b78 & -(sum & 1));
  }
  return ~sum >>> 0;
}
