/**
 * Rows as JSON of the libSQL protocol. The thread that reads the rows of a large result writes them, too: the main thread, where
 * everybody's sockets and the lease are, only passes the bytes on.
 */
import type { SqlValue } from './sql.ts';
import { encodeBase64 } from './values.ts';

/** Rows that have been written, without the brackets around them all: UTF-8 in parts, each with memory of its own. */
export interface RowsText {
  readonly parts: readonly Uint8Array<ArrayBuffer>[];
}

/** A value beyond this is written in pieces, so that it is in memory twice, and not four times. UTF-16 units, or bytes. */
const pieceLength = 768 * 1024;

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
  write(rows: readonly (readonly SqlValue[])[]): number {
    const before = this.bytes;
    for (const row of rows) {
      if (!this.isFirst) this.waiting += ',';
      this.isFirst = false;
      if (row.some(isLong)) this.writeLongRow(row);
      else this.waiting += encodeRow(row);
    }
    this.pass();
    return this.bytes - before;
  }

  finish(): RowsText {
    return { parts: this.written };
  }

  private writeLongRow(row: readonly SqlValue[]): void {
    this.waiting += '[';
    for (const [index, value] of row.entries()) {
      if (index > 0) this.waiting += ',';
      if (!isLong(value)) this.waiting += encodeValue(value);
      else if (typeof value === 'string') this.writeLongText(value);
      else this.writeLongBlob(value);
    }
    this.waiting += ']';
  }

  private writeLongText(value: string): void {
    this.waiting += '{"type":"text","value":"';
    for (let from = 0; from < value.length; ) {
      let to = Math.min(from + pieceLength, value.length);
      // Both halves of a surrogate pair stay together: alone each would be escaped.
      if (to < value.length && isHighSurrogate(value.charCodeAt(to - 1))) to -= 1;
      this.waiting += JSON.stringify(value.slice(from, to)).slice(1, -1);
      this.pass();
      from = to;
    }
    this.waiting += '"}';
  }

  private writeLongBlob(value: Uint8Array): void {
    this.waiting += '{"type":"blob","base64":"';
    // A piece is a multiple of three bytes, so that none but the last one would need padding.
    for (let from = 0; from < value.length; from += pieceLength) {
      this.waiting += encodeBase64(value.subarray(from, from + pieceLength));
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

function isLong(value: SqlValue): value is string | Uint8Array {
  return (typeof value === 'string' || value instanceof Uint8Array) && value.length > pieceLength;
}

function isHighSurrogate(unit: number): boolean {
  return (unit & 0xfc00) === 0xd800;
}
