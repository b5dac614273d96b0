/**
 * What a sealed log file holds, as the bytes of the `.idx` file beside it. A start reads this instead of the frames.
 *
 * Layout, version 1, little-endian: a header of 40 bytes, an entry of 48 bytes for each stretch, and a CRC-32 of all before it.
 *
 * | header | field | |
 * |---|---|---|
 * | 0 | magic u32 | `SXIX` |
 * | 4 | version u32 | 1 |
 * | 8 | file u32 | number of the log file, so that a file that was renamed is not believed |
 * | 12 | entries u32 | |
 * | 16 | logBytes u64 | where the last stretch ends; the log file is at least so long |
 * | 24 | firstCommitUs u64 | 0 when the file holds no commit |
 * | 32 | lastCommitUs u64 | |
 *
 * | entry | field | |
 * |---|---|---|
 * | 0 | epoch u32 | |
 * | 4 | pg u32 | |
 * | 8 | base u64 | of the first frame |
 * | 16 | end u64 | of the last frame |
 * | 24 | prevPg u64 | of the first frame |
 * | 32 | lastCpl u64 | 0 when the stretch holds no commit: a commit ends above 0 |
 * | 40 | offset u32 | in the log file; ascending |
 * | 44 | length u32 | |
 *
 * A CRC-32 finds every change of up to 32 bits in a row, hence every changed byte. The number of entries gives the length, so
 * bytes that are missing or too many are found as well.
 */
import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { readU64, viewOf, writeU64 } from '../../redo/bytes.ts';
import { epoch, lsn, pgId } from '../../redo/ids.ts';
import type { HeldFrame } from './held-frames.ts';

const magic = 0x58495853; // "SXIX" in the byte order of the file
const version = 1;
const headerBytes = 40;
const entryBytes = 48;
const checksumBytes = 4;
const uint32Max = 0xffff_ffff;

/** More than the smallest frames of the longest file need. What claims to be longer is not read. */
export const sealedIndexBytesMax = 128 * 1024 * 1024;

/** What is said of a file as a whole. */
export interface SealedFacts {
  /** Number of the log file. */
  readonly file: number;
  /** Where the last stretch ends. */
  readonly logBytes: number;
  /** Times of the first and the last commit, by the clocks of their writers, microseconds since 1970; null when it holds none. */
  readonly firstCommitUs: number | null;
  readonly lastCommitUs: number | null;
}

export interface SealedIndex extends SealedFacts {
  /** In the order of the file; all of them lie in it. */
  readonly entries: readonly HeldFrame[];
}

export type DecodedIndex =
  | { readonly kind: 'index'; readonly index: SealedIndex }
  /** Not to be believed: the log file has to be read itself. */
  | { readonly kind: 'bad'; readonly reason: string };

/** Bytes of the index of a file with so many entries. */
export function sealedIndexBytes(entries: number): number {
  return headerBytes + entries * entryBytes + checksumBytes;
}

/** Encodes an index some entries at a time, so that no call takes long. */
export class SealedIndexEncoder {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly facts: SealedFacts;
  private at = headerBytes;
  private checksum: number;

  /** @param entries how many there will be. */
  constructor(facts: SealedFacts, entries: number) {
    this.facts = facts;
    this.bytes = new Uint8Array(sealedIndexBytes(entries));
    this.view = viewOf(this.bytes);
    const { view } = this;
    view.setUint32(0, magic, true);
    view.setUint32(4, version, true);
    view.setUint32(8, facts.file, true);
    view.setUint32(12, entries, true);
    writeU64(view, 16, facts.logBytes);
    writeU64(view, 24, facts.firstCommitUs ?? 0);
    writeU64(view, 32, facts.lastCommitUs ?? 0);
    this.checksum = crc32(this.bytes.subarray(0, headerBytes));
  }

  /** Adds the next entries, in the order of the file. */
  add(entries: readonly HeldFrame[]): void {
    const { view } = this;
    const from = this.at;
    for (const entry of entries) {
      const { file, offset, length } = entry.position;
      assert.equal(file, this.facts.file, 'an entry of another file');
      assert(offset + length <= this.facts.logBytes, 'an entry behind the end of its file');
      const { at } = this;
      view.setUint32(at, entry.epoch, true);
      view.setUint32(at + 4, entry.pg, true);
      writeU64(view, at + 8, entry.base);
      writeU64(view, at + 16, entry.end);
      writeU64(view, at + 24, entry.prevPg);
      writeU64(view, at + 32, entry.lastCpl ?? 0);
      view.setUint32(at + 40, offset, true);
      view.setUint32(at + 44, length, true);
      this.at = at + entryBytes;
    }
    this.checksum = crc32(this.bytes.subarray(from, this.at), this.checksum);
  }

  /** @returns the bytes of the `.idx` file, once every entry was added. */
  finish(): Uint8Array {
    assert.equal(this.at, this.bytes.length - checksumBytes, 'as many entries as announced');
    this.view.setUint32(this.at, this.checksum, true);
    return this.bytes;
  }
}

/** As `SealedIndexEncoder`, in one go. */
export function encodeSealedIndex(index: SealedIndex): Uint8Array {
  const encoder = new SealedIndexEncoder(index, index.entries.length);
  encoder.add(index.entries);
  return encoder.finish();
}

/** Reads an index and checks all of it before anything in it is believed (S16). @param file the number its name says. */
export function decodeSealedIndex(bytes: Uint8Array, file: number): DecodedIndex {
  const bad = (reason: string): DecodedIndex => ({ kind: 'bad', reason });
  if (bytes.length < headerBytes + checksumBytes) return bad(`${bytes.length} bytes are no index`);
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== magic) return bad('wrong magic');
  const found = view.getUint32(4, true);
  if (found !== version) return bad(`version ${found}, this process reads ${version}`);
  const count = view.getUint32(12, true);
  if (bytes.length !== sealedIndexBytes(count))
    return bad(`${bytes.length} bytes for ${count} entries, which take ${sealedIndexBytes(count)}`);
  const checked = bytes.length - checksumBytes;
  if (crc32(bytes.subarray(0, checked)) !== view.getUint32(checked, true)) return bad('checksum mismatch');
  const number = view.getUint32(8, true);
  if (number !== file) return bad(`it is the index of log file ${number}`);
  const logBytes = readU64(view, 16);
  const entries: HeldFrame[] = [];
  let behind = 0;
  for (let at = headerBytes; at < checked; at += entryBytes) {
    const entry = entryAt(view, at, file);
    if (entry === null || entry.position.offset < behind)
      return bad(`entry ${entries.length} contradicts itself`);
    behind = entry.position.offset + entry.position.length;
    entries.push(entry);
  }
  if (!(behind <= logBytes)) return bad(`entries up to ${behind} in a file of ${logBytes} bytes`);
  const [firstCommitUs, lastCommitUs] = [timeAt(view, 24), timeAt(view, 32)];
  return { kind: 'index', index: { file, logBytes, firstCommitUs, lastCommitUs, entries } };
}

/** Null for one that no encoder writes. */
function entryAt(view: DataView, at: number, file: number): HeldFrame | null {
  const base = readU64(view, at + 8);
  const end = readU64(view, at + 16);
  const prevPg = readU64(view, at + 24);
  const lastCpl = readU64(view, at + 32);
  const offset = view.getUint32(at + 40, true);
  const length = view.getUint32(at + 44, true);
  const isWhole =
    prevPg <= base && base < end && lastCpl <= end && length > 0 && offset + length <= uint32Max;
  if (!isWhole) return null;
  return {
    epoch: epoch(view.getUint32(at, true)),
    pg: pgId(view.getUint32(at + 4, true)),
    base: lsn(base),
    end: lsn(end),
    prevPg: lsn(prevPg),
    lastCpl: lastCpl === 0 ? null : lsn(lastCpl),
    position: { file, offset, length },
  };
}

function timeAt(view: DataView, at: number): number | null {
  const time = readU64(view, at);
  return time > 0 ? time : null;
}
