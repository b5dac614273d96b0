/**
 * The journal of a run that is filled with pages from elsewhere, a batch at a time: which pages lie in its file by now, and where
 * to go on. A kill at any moment leaves whole entries and perhaps a torn one, which does not count. Little-endian.
 *
 *     magic "SXFJ" | n u32 | file u32 | epoch u32 | at u64 | next u32 (0: none) | (page u32, CRC-32 of the page u32) × n | CRC-32 u32
 */
import { crc32 } from 'node:zlib';
import type { Floor } from '../../history/floor.ts';
import { readU64, viewOf, writeU64 } from '../../redo/bytes.ts';
import { epoch, lsn, type PageNo, pageNo } from '../../redo/ids.ts';
import { decodeIndex, encodeIndex, indexEntryBytes, type RunIndex } from './run-format.ts';

/** What one batch added. */
export interface FillEntry {
  /** Number of the run's file. */
  readonly file: number;
  /** The pages are as of this place. */
  readonly at: Floor;
  /** Where to go on; null when these were the last. */
  readonly next: PageNo | null;
  readonly index: RunIndex;
}

const magic = 0x4a46_5853;
const headBytes = 28;

export function encodeFillEntry({ file, at, next, index }: FillEntry): Uint8Array {
  const entries = encodeIndex(index);
  const bytes = new Uint8Array(headBytes + entries.length + 4);
  const view = viewOf(bytes);
  view.setUint32(0, magic, true);
  view.setUint32(4, index.pages.length, true);
  view.setUint32(8, file, true);
  view.setUint32(12, at.epoch, true);
  writeU64(view, 16, at.lsn);
  view.setUint32(24, next ?? 0, true);
  bytes.set(entries, headBytes);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, bytes.length - 4)), true);
  return bytes;
}

/** @returns the entries that can be believed, and how many bytes of the journal those are. */
export function decodeFillJournal(bytes: Uint8Array): {
  readonly entries: readonly FillEntry[];
  readonly length: number;
} {
  const entries: FillEntry[] = [];
  let length = 0;
  for (;;) {
    const read = decodeAt(bytes.subarray(length));
    const before = entries.at(-1);
    if (read === null) return { entries, length };
    // What does not go on where the one before it ended was written for another fill.
    const first = read.entry.index.pages[0] ?? 0;
    if (
      before !== undefined &&
      (before.next === null || before.file !== read.entry.file || first < before.next)
    )
      return { entries, length };
    entries.push(read.entry);
    length += read.length;
  }
}

function decodeAt(bytes: Uint8Array): { readonly entry: FillEntry; readonly length: number } | null {
  if (bytes.length < headBytes + 4) return null;
  const view = viewOf(bytes);
  const count = view.getUint32(4, true);
  const length = headBytes + count * indexEntryBytes + 4;
  if (view.getUint32(0, true) !== magic || count === 0 || length > bytes.length) return null;
  if (view.getUint32(length - 4, true) !== crc32(bytes.subarray(0, length - 4))) return null;
  const index = bytes.subarray(headBytes, length - 4);
  const decoded = decodeIndex(index, { pages: count, indexCrc: crc32(index) });
  const at = readU64(view, 16);
  const next = view.getUint32(24, true);
  const last = decoded?.pages[count - 1] ?? 0;
  if (decoded === null || Number.isNaN(at) || at === 0 || (next !== 0 && next <= last)) return null;
  return {
    entry: {
      file: view.getUint32(8, true),
      at: { epoch: epoch(view.getUint32(12, true)), lsn: lsn(at) },
      next: next === 0 ? null : pageNo(next),
      index: decoded,
    },
    length,
  };
}
