/**
 * The format of an image run, a file that never changes: pages back to back, so that each lies where a block of the disk does,
 * then the index, then the footer. Little-endian.
 *
 *     page × n | (page number u32, CRC-32 of the page u32) × n, ascending | footer
 *
 *     footer: magic "SXIR" | version u16 | flags u16 (1: consistent, 2: fuzzy) | page bytes u32 | n u32 | epoch u32 | from u64
 *             | to u64 | end u32 (all ones: none) | CRC-32 of the index u32 | CRC-32 of the footer before it u32
 *
 * A fuzzy run is a base, so its `from` is 0; the field holds `fuzzyTo` there.
 *
 * S12: a page is believed after its CRC-32, which lies in the index, which has one of its own in the footer.
 */
import { crc32 } from 'node:zlib';
import { readU64, viewOf, writeU64 } from '../../redo/bytes.ts';
import { type Epoch, type Lsn, epoch as toEpoch, lsn as toLsn } from '../../redo/ids.ts';
import { redoLimits } from '../../redo/limits.ts';

export const pageBytes: number = redoLimits.pageBytes;
export const indexEntryBytes = 8;
export const footerBytes = 48;

const magic = 0x5249_5853;
const version = 1;
const consistentFlag = 1;
const fuzzyFlag = 2;
const noEnd = 0xffff_ffff;

/** What a run holds: the newest images of the pages that changed in (from, to] on the path to `epoch`. */
export interface RunFacts {
  readonly epoch: Epoch;
  /** 0 for a base: it holds every page there is at `to`. */
  readonly from: Lsn;
  readonly to: Lsn;
  /** Whether `to` is a CPL. A transaction too large for the memory of folding is cut in two, and `to` is then inside it. */
  readonly isConsistent: boolean;
  /**
   * The fewest pages that the database had in it, where it got shorter: what older runs hold beyond is gone (S23). Null where it
   * did not.
   */
  readonly endsAt: number | null;
  /** Pages in it. */
  readonly pages: number;
  /**
   * Of a base that was fetched from several places of the log: each page is as of some point in [to, fuzzyTo]. With the log from
   * `to` on every page is right from `fuzzyTo` on, and at no point before. Left out where all pages are as of `to`.
   */
  readonly fuzzyTo?: Lsn;
}

export interface RunFooter extends RunFacts {
  readonly indexCrc: number;
}

/** Page numbers, ascending, and the CRC-32 of each page; the page at place n is slot n of the file. */
export interface RunIndex {
  readonly pages: Uint32Array;
  readonly crcs: Uint32Array;
}

export type FooterRead =
  | { readonly kind: 'footer'; readonly footer: RunFooter }
  | { readonly kind: 'bad'; readonly reason: string };

/** Length of the file of a run. */
export function runFileBytes(pages: number): number {
  return pages * (pageBytes + indexEntryBytes) + footerBytes;
}

export function encodeFooter({
  epoch,
  from,
  to,
  isConsistent,
  endsAt,
  pages,
  indexCrc,
  fuzzyTo,
}: RunFooter): Uint8Array {
  const bytes = new Uint8Array(footerBytes);
  const view = viewOf(bytes);
  view.setUint32(0, magic, true);
  view.setUint16(4, version, true);
  view.setUint16(6, (isConsistent ? consistentFlag : 0) + (fuzzyTo === undefined ? 0 : fuzzyFlag), true);
  view.setUint32(8, pageBytes, true);
  view.setUint32(12, pages, true);
  view.setUint32(16, epoch, true);
  writeU64(view, 20, fuzzyTo ?? from);
  writeU64(view, 28, to);
  view.setUint32(36, endsAt ?? noEnd, true);
  view.setUint32(40, indexCrc, true);
  view.setUint32(44, crc32(bytes.subarray(0, 44)), true);
  return bytes;
}

/** @param bytes the last `footerBytes` of a file of `fileBytes`. */
export function decodeFooter(bytes: Uint8Array, fileBytes: number): FooterRead {
  const bad = (reason: string): FooterRead => ({ kind: 'bad', reason });
  if (bytes.length !== footerBytes) return bad(`${fileBytes} bytes are too short for an image run`);
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== magic) return bad('it does not end like an image run');
  if (view.getUint32(44, true) !== crc32(bytes.subarray(0, 44)))
    return bad('its footer does not match its checksum');
  const found = view.getUint16(4, true);
  if (found !== version) return bad(`it is an image run of version ${found}, this process reads ${version}`);
  if (view.getUint32(8, true) !== pageBytes)
    return bad(`its pages have ${view.getUint32(8, true)} bytes, not ${pageBytes}`);
  const pages = view.getUint32(12, true);
  const flags = view.getUint16(6, true);
  const isFuzzy = (flags & fuzzyFlag) !== 0;
  const [first, to] = [readU64(view, 20), readU64(view, 28)];
  const from = isFuzzy ? 0 : first;
  if (pages === 0 || Number.isNaN(first) || Number.isNaN(to) || from >= to || (isFuzzy && first <= to))
    return bad(`a run of ${pages} pages from ${from} to ${to} cannot be`);
  if (runFileBytes(pages) !== fileBytes)
    return bad(`it has ${fileBytes} bytes and should have ${runFileBytes(pages)}`);
  const endsAt = view.getUint32(36, true);
  const footer: RunFooter = {
    epoch: toEpoch(view.getUint32(16, true)),
    from: toLsn(from),
    to: toLsn(to),
    isConsistent: (flags & consistentFlag) !== 0,
    endsAt: endsAt === noEnd ? null : endsAt,
    pages,
    indexCrc: view.getUint32(40, true),
    ...(isFuzzy && { fuzzyTo: toLsn(first) }),
  };
  return { kind: 'footer', footer };
}

/** Entries [from, to) of an index as bytes. */
export function encodeIndex({ pages, crcs }: RunIndex, from = 0, to = pages.length): Uint8Array {
  const bytes = new Uint8Array((to - from) * indexEntryBytes);
  const view = viewOf(bytes);
  for (let at = from; at < to; at++) {
    view.setUint32((at - from) * indexEntryBytes, pages[at] ?? 0, true);
    view.setUint32((at - from) * indexEntryBytes + 4, crcs[at] ?? 0, true);
  }
  return bytes;
}

/** @returns null when the bytes are not the index that the footer speaks of. */
export function decodeIndex(
  bytes: Uint8Array,
  { pages: count, indexCrc }: Pick<RunFooter, 'pages' | 'indexCrc'>,
): RunIndex | null {
  if (bytes.length !== count * indexEntryBytes || crc32(bytes) !== indexCrc) return null;
  const view = viewOf(bytes);
  const pages = new Uint32Array(count);
  const crcs = new Uint32Array(count);
  for (let at = 0, before = 0; at < count; at++) {
    const page = view.getUint32(at * indexEntryBytes, true);
    if (page <= before) return null;
    pages[at] = before = page;
    crcs[at] = view.getUint32(at * indexEntryBytes + 4, true);
  }
  return { pages, crcs };
}

/** Place of the first entry at or above `page`. */
export function slotAtOrAbove(pages: Uint32Array, page: number): number {
  let low = 0;
  let high = pages.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((pages[middle] ?? 0) < page) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Slot of a page, -1 when the run does not hold it. */
export function slotOf(pages: Uint32Array, page: number): number {
  const slot = slotAtOrAbove(pages, page);
  return pages[slot] === page ? slot : -1;
}
