/**
 * Little-endian primitives of the redo and link formats. LSNs are 64 bits on disk and safe integers in memory,
 * so they are read as two 32-bit halves and no BigInt is allocated on the write path.
 */
import assert from 'node:assert/strict';

const twoTo32 = 0x1_0000_0000;

/** Reads an unsigned 64-bit integer. @returns NaN when it is not a safe integer, which no valid position is. */
export function readU64(view: DataView, offset: number): number {
  const value = view.getUint32(offset, true) + view.getUint32(offset + 4, true) * twoTo32;
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

export function writeU64(view: DataView, offset: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) assert.fail(`not an unsigned safe integer: ${value}`);
  view.setUint32(offset, value % twoTo32, true);
  view.setUint32(offset + 4, Math.floor(value / twoTo32), true);
}

/**
 * As `writeU64`, without a view. A small array lies in the JavaScript heap, and the first look at its `buffer`, which a
 * view takes, moves it out of there at the cost of an allocation.
 */
export function putU64(bytes: Uint8Array, offset: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) assert.fail(`not an unsigned safe integer: ${value}`);
  putU32(bytes, offset, value % twoTo32);
  putU32(bytes, offset + 4, Math.floor(value / twoTo32));
}

function putU32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value >>> 16;
  bytes[offset + 3] = value >>> 24;
}

/** A view over exactly the bytes given, wherever they lie in their buffer. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes a value takes as a LEB128 varint of at most 32 bits. */
export function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}

/** Writes an unsigned 32-bit LEB128 varint. @returns the offset just past it. */
export function writeVarint(bytes: Uint8Array, offset: number, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= twoTo32) assert.fail(`not a uint32: ${value}`);
  let at = offset;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

/** Reads forward through bytes that may be malformed; `failed` turns true instead of an exception being thrown. */
export class ByteReader {
  readonly bytes: Uint8Array;
  offset: number;
  failed = false;
  private readonly end: number;

  constructor(bytes: Uint8Array, offset = 0, end = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  u8(): number {
    if (this.offset >= this.end) return this.fail();
    return this.bytes[this.offset++] ?? this.fail();
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 5; count++, scale *= 128) {
      const byte = this.u8();
      if (this.failed) return 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value < twoTo32 ? value : this.fail();
    }
    return this.fail();
  }

  /** A view of the next `length` bytes, not a copy. */
  take(length: number): Uint8Array {
    if (length > this.remaining) {
      this.fail();
      return this.bytes.subarray(this.offset, this.offset);
    }
    const taken = this.bytes.subarray(this.offset, this.offset + length);
    this.offset += length;
    return taken;
  }

  private fail(): number {
    this.failed = true;
    this.offset = this.end;
    return 0;
  }
}

/** Joins byte runs into one. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/**
 * The same bytes as a plain Uint8Array. Sockets and logs hand out Buffers, whose `slice` is a view where that of every
 * other byte array is a copy: nobody behind this point may be surprised by writing into shared memory.
 */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}
