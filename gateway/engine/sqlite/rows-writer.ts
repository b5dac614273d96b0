/**
 * The rows of a large result as JSON text in UTF-8. The thread that reads them writes them, too: the main thread, where everybody's
 * sockets and the lease are, only passes the bytes on. A long text is copied as it lies in SQLite's memory wherever JSON escapes
 * nothing of it; a string of it would be garbage of its size.
 */

import { encodeValue, type RowsText } from '../../sql/row-text.ts';
import type { SqlValue } from '../../sql/sql.ts';
import { encodeBase64 } from '../../sql/values.ts';
import { isPlainJson } from './plain-json.ts';

/** A long text where it lies, in UTF-8. */
export class LyingText {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** A text or a blob of more bytes is long: it is written piece by piece from where it lies. */
export const longBytes = 768 * 1024;
/** A multiple of three, so that no piece of a blob but the last one would need padding; as a string it is no large object of V8's. */
const pieceBytes = 72 * 1024;
/** The first part; each one after it is as large as all before it, up to the last figure. */
const partBytesMin = 128 * 1024;
const partBytesMax = 4 * 1024 * 1024;
/** Text below this is gathered before it is written. */
const gatherLength = 32_768;

/** Writes the rows of one result, some at a time. */
export class RowsWriter {
  private readonly encoder = new TextEncoder();
  private readonly full: Uint8Array[] = [];
  private part: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  private used = 0;
  private waiting = '';
  private isFirst = true;
  /** Bytes written so far. */
  private bytes = 0;

  /** @returns bytes that they took */
  write(rows: readonly (readonly (SqlValue | LyingText)[])[]): number {
    const before = this.bytes;
    for (const row of rows) {
      if (!this.isFirst) this.waiting += ',';
      this.isFirst = false;
      this.waiting += '[';
      for (const [index, value] of row.entries()) {
        if (index > 0) this.waiting += ',';
        if (value instanceof LyingText) this.writeText(value.bytes);
        else if (value instanceof Uint8Array && value.length > longBytes) this.writeBlob(value);
        else this.waiting += encodeValue(value);
      }
      this.waiting += ']';
      if (this.waiting.length >= gatherLength) this.pass();
    }
    this.pass();
    return this.bytes - before;
  }

  finish(): RowsText {
    this.endPart();
    return { parts: this.full };
  }

  private writeText(bytes: Uint8Array): void {
    this.waiting += '{"type":"text","value":"';
    this.pass();
    for (let from = 0; from < bytes.length; ) {
      const to = endOfPiece(bytes, from);
      const piece = bytes.subarray(from, to);
      if (isPlainJson(piece)) this.copy(piece);
      else {
        const text = Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString('utf8');
        this.encode(JSON.stringify(text).slice(1, -1));
      }
      from = to;
    }
    this.waiting += '"}';
  }

  private writeBlob(bytes: Uint8Array): void {
    this.waiting += '{"type":"blob","base64":"';
    this.pass();
    for (let from = 0; from < bytes.length; from += pieceBytes)
      this.encode(encodeBase64(bytes.subarray(from, from + pieceBytes)));
    this.waiting += '"}';
  }

  private pass(): void {
    if (this.waiting === '') return;
    this.encode(this.waiting);
    this.waiting = '';
  }

  private encode(text: string): void {
    for (let left = text; left !== ''; ) {
      const { read, written } = this.encoder.encodeInto(left, this.room());
      this.took(written);
      if (read === left.length) return;
      left = left.slice(read);
      // The character that comes next is longer than what is left of the part.
      if (written === 0 || this.part.length - this.used < 4) this.endPart();
    }
  }

  private copy(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const room = this.room();
      const piece = bytes.subarray(at, at + room.length);
      room.set(piece);
      this.took(piece.length);
      at += piece.length;
    }
  }

  /** What is left of the part; a new one where nothing is. */
  private room(): Uint8Array<ArrayBuffer> {
    if (this.used === this.part.length) {
      this.endPart();
      this.part = ownMemory(Math.min(partBytesMax, Math.max(partBytesMin, this.bytes)));
    }
    return this.part.subarray(this.used);
  }

  private took(bytes: number): void {
    this.used += bytes;
    this.bytes += bytes;
  }

  private endPart(): void {
    if (this.used > 0) this.full.push(cut(this.part, this.used));
    this.part = new Uint8Array(0);
    this.used = 0;
  }
}

/** From here on memory is worth a mapping of its own. */
const mappedBytesMin = 1024 * 1024;

/**
 * Memory for a part. What is large and could grow, V8 takes from the system, and gives back to it at once. The C library keeps other
 * memory in an arena of the thread that asked for it: dozens of answers leave holes there, which no other thread can use.
 */
function ownMemory(bytes: number): Uint8Array<ArrayBuffer> {
  if (bytes < mappedBytesMin) return new Uint8Array(bytes);
  return new Uint8Array(new ArrayBuffer(bytes, { maxByteLength: bytes }), 0, bytes);
}

/** The beginning of a part, which keeps no memory beyond it. */
function cut({ buffer, length }: Uint8Array<ArrayBuffer>, used: number): Uint8Array {
  if (used === length) return new Uint8Array(buffer, 0, used);
  if (!buffer.resizable) return new Uint8Array(buffer.transfer(used));
  buffer.resize(used);
  return new Uint8Array(buffer, 0, used);
}

/** Where a piece of a text ends that begins at `from`: no character is parted. What is no UTF-8 reads the same in pieces. */
function endOfPiece(bytes: Uint8Array, from: number): number {
  const end = from + pieceBytes;
  if (end >= bytes.length) return bytes.length;
  for (let to = end; to > end - 4; to--) if (((bytes[to] ?? 0) & 0xc0) !== 0x80) return to;
  return end;
}
