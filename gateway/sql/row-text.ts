/**
 * Rows as JSON of the libSQL protocol. The thread that reads the rows of a large result writes them, too: the main thread, where
 * everybody's sockets and the lease are, only passes the bytes on.
 */
import type { SqlValue } from './sql.ts';
import { encodeBase64 } from './values.ts';

/** Rows that have been written, without the brackets around them all: UTF-8 in parts, each with memory of its own. */
export interface RowsText {
  readonly parts: readonly Uint8Array[];
}

/** A long text where it lies, in UTF-8: it is written in pieces, so that there is never a second one of its size. */
export class LyingText {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** A text or a blob of more bytes is long. A multiple of three, so that no piece of a blob but the last one would need padding. */
export const longBytes = 768 * 1024;

/**
 * One value as JSON text: integers as strings, blobs in base64 without padding. An infinity leaves as NULL: JSON has no number for
 * it, and the clients of most languages refuse `1e999` and a float whose value is `null` alike.
 */
export function encodeValue(value: SqlValue): string {
  switch (typeof value) {
    case 'bigint':
      return `{"type":"integer","value":"${value}"}`;
    case 'number':
      if (!Number.isFinite(value)) return '{"type":"null"}';
      return `{"type":"float","value":${Object.is(value, -0) ? '-0.0' : value}}`;
    case 'string':
      return `{"type":"text","value":${JSON.stringify(value)}}`;
    default:
      return value === null ? '{"type":"null"}' : `{"type":"blob","base64":"${encodeBase64(value)}"}`;
  }
}

export function encodeRow(row: readonly SqlValue[]): string {
  let text = '[';
  for (const value of row) {
    if (text.length > 1) text += ',';
    text += encodeValue(value);
  }
  return `${text}]`;
}

/** Writes the rows of one result, some at a time. */
export class RowsWriter {
  private readonly encoder = new TextEncoder();
  private readonly written: Uint8Array<ArrayBuffer>[] = [];
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
    }
    this.pass();
    return this.bytes - before;
  }

  finish(): RowsText {
    return { parts: this.written };
  }

  private writeText(bytes: Uint8Array): void {
    this.waiting += '{"type":"text","value":"';
    for (let from = 0; from < bytes.length; ) {
      const to = endOfPiece(bytes, from);
      const piece = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8');
      this.waiting += JSON.stringify(piece).slice(1, -1);
      this.pass();
      from = to;
    }
    this.waiting += '"}';
  }

  private writeBlob(bytes: Uint8Array): void {
    this.waiting += '{"type":"blob","base64":"';
    for (let from = 0; from < bytes.length; from += longBytes) {
      this.waiting += encodeBase64(bytes.subarray(from, from + longBytes));
      this.pass();
    }
    this.waiting += '"}';
  }

  private pass(): void {
    if (this.waiting === '') return;
    const part = this.encoder.encode(this.waiting);
    this.waiting = '';
    this.bytes += part.length;
    this.written.push(part);
  }
}

/** Where a piece of a text ends that begins at `from`: no character is parted. What is no UTF-8 reads the same in pieces. */
function endOfPiece(bytes: Uint8Array, from: number): number {
  const end = from + longBytes;
  if (end >= bytes.length) return bytes.length;
  for (let to = end; to > end - 4; to--) if (((bytes[to] ?? 0) & 0xc0) !== 0x80) return to;
  return end;
}
