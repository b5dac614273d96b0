/**
 * Which blocks of which files PostgreSQL's recovery will touch, as the WAL says it: the headers of its records name them.
 *
 * What is found here is a hint: whoever follows it asks for pages early, and recovery reads what it needs by itself. So nothing is
 * checked beyond what keeps the walk on its way, and it ends at the first bytes that are no record. Layout of PostgreSQL 18 on
 * 32 bits: `XLogPageHeaderData`, `XLogRecord` and `xlogrecord.h`'s block headers, everything little-endian, records aligned to 8.
 */

/** A block that a record changes. */
export interface WalBlock {
  /** OIDs, as a `RelFileLocator` has them. */
  readonly tablespace: number;
  readonly database: number;
  readonly relation: number;
  /** 0 the file itself, 1 its free space, 2 its visibility, 3 what an unlogged one begins with. */
  readonly fork: number;
  /** In blocks of 8 KiB. */
  readonly block: number;
}

/** Bytes of WAL from `start` on. */
export interface WalBytes {
  /** Position of the first byte; the beginning of a segment. */
  readonly start: number;
  readonly bytes: Uint8Array;
  readonly segmentBytes: number;
}

export const walPageBytes = 8192;
const shortHeader = 24;
const longHeader = 40;
const pageAddressAt = 8;
const recordHeader = 24;
const alignment = 8;
/** The highest number of a block in a record; what is above says something else. */
const blockIdMax = 32;
const id = { origin: 253, topTransaction: 252 } as const;
const hasImage = 0x10;
const sameRelation = 0x80;
const imageHasHole = 0x01;
const imageCompressed = 0x04 | 0x08 | 0x10;
const recordBytesMax = 64 * 1024 * 1024;

/**
 * Walks the records from `from` on. @param visit called for each block, the same one as often as it is named
 * @returns where the first record begins that is not whole, or not there yet
 */
export function walkWal(wal: WalBytes, from: number, visit: (block: WalBlock) => void): number {
  const walk = new WalWalk(wal, from);
  for (let record = walk.next(); record !== null; record = walk.next()) visitBlocks(record, visit);
  return walk.position;
}

class WalWalk {
  /** Where the next record begins. */
  position: number;
  private readonly wal: WalBytes;
  private readonly view: DataView;
  /** Where the last record began; 0 before the first. */
  private last = 0;

  constructor(wal: WalBytes, from: number) {
    this.wal = wal;
    this.view = viewOf(wal.bytes);
    this.position = from;
  }

  /** @returns the whole record, null at the end */
  next(): Uint8Array | null {
    const begin = this.enter(align(this.position));
    if (begin === null || begin + 4 > this.end) return null;
    const length = this.view.getUint32(begin - this.wal.start, true);
    if (length < recordHeader || length > recordBytesMax) return null;
    const read = this.gather(begin, length);
    if (read === null) return null;
    const previous = Number(viewOf(read.record).getBigUint64(8, true));
    if (this.last !== 0 && previous !== this.last) return null;
    this.last = begin;
    this.position = read.end;
    return read.record;
  }

  private get end(): number {
    return this.wal.start + this.wal.bytes.length;
  }

  /** Passes over the header where a page begins. @returns null where no such page was written */
  private enter(at: number): number | null {
    if (at % walPageBytes !== 0) return at;
    if (at + longHeader > this.end) return null;
    if (Number(this.view.getBigUint64(at - this.wal.start + pageAddressAt, true)) !== at) return null;
    return at + (at % this.wal.segmentBytes === 0 ? longHeader : shortHeader);
  }

  private gather(
    begin: number,
    length: number,
  ): { readonly record: Uint8Array; readonly end: number } | null {
    const { bytes, start } = this.wal;
    const onPage = walPageBytes - (begin % walPageBytes);
    if (length <= onPage) {
      if (begin + length > this.end) return null;
      return { record: bytes.subarray(begin - start, begin - start + length), end: begin + length };
    }
    const record = new Uint8Array(length);
    let at = begin;
    for (let done = 0; done < length; ) {
      const entered = this.enter(at);
      if (entered === null) return null;
      const count = Math.min(walPageBytes - (entered % walPageBytes), length - done);
      if (entered + count > this.end) return null;
      record.set(bytes.subarray(entered - start, entered - start + count), done);
      done += count;
      at = entered + count;
    }
    return { record, end: at };
  }
}

/** The headers come first, the data they speak of after the last one. */
function visitBlocks(record: Uint8Array, visit: (block: WalBlock) => void): void {
  const view = viewOf(record);
  let at = recordHeader;
  let data = 0;
  let file: { readonly tablespace: number; readonly database: number; readonly relation: number } | null =
    null;
  while (at + data + 2 <= record.length) {
    const what = record[at] ?? 0;
    if (what === id.origin) at += 3;
    else if (what === id.topTransaction) at += 5;
    else if (what > blockIdMax)
      return; // What belongs to no block, which comes last.
    else {
      const flags = record[at + 1] ?? 0;
      if (at + 4 > record.length) return;
      data += view.getUint16(at + 2, true);
      at += 4;
      if ((flags & hasImage) !== 0) {
        if (at + 5 > record.length) return;
        const info = record[at + 4] ?? 0;
        data += view.getUint16(at, true);
        at += (info & imageHasHole) !== 0 && (info & imageCompressed) !== 0 ? 7 : 5;
      }
      if ((flags & sameRelation) === 0) {
        if (at + 12 > record.length) return;
        file = {
          tablespace: view.getUint32(at, true),
          database: view.getUint32(at + 4, true),
          relation: view.getUint32(at + 8, true),
        };
        at += 12;
      }
      if (file === null || at + 4 > record.length) return;
      visit({ ...file, fork: flags & 0x0f, block: view.getUint32(at, true) });
      at += 4;
    }
  }
}

const align = (position: number): number => Math.ceil(position / alignment) * alignment;

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
