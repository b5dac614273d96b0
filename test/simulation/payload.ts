/**
 * Size and checksum of a message, whether bytes or a structured value. The network twin counts the size, puts the
 * checksum into the trace, and compares it again at delivery: a sender that changes a message after sending it, or a
 * receiver that changes one it shares with others, is found out. Real sockets copy; the twin must not hide aliasing.
 */
import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';

export type Measure = { readonly bytes: number; readonly crc: number };

class Meter {
  bytes = 0;
  crc = 0;

  text(tag: string, value: string, bytes: number): void {
    this.crc = crc32(tag + value, this.crc);
    this.bytes += bytes;
  }

  walk(value: unknown, depth: number): void {
    assert(depth < 32, 'a message nests more than 32 levels or contains itself');
    if (value === null || value === undefined) this.text('z', String(value), 1);
    else if (typeof value === 'string') this.text('s', `${value.length}:${value}`, value.length);
    else if (typeof value === 'number' || typeof value === 'bigint') this.text('n', String(value), 8);
    else if (typeof value === 'boolean') this.text('b', String(value), 1);
    else if (typeof value === 'object') this.structure(value, depth);
    else assert.fail(`a message may not contain a ${typeof value}`);
  }

  private structure(value: object, depth: number): void {
    if (value instanceof Uint8Array) {
      this.text('u', String(value.byteLength), value.byteLength);
      this.crc = crc32(value, this.crc);
    } else if (Array.isArray(value)) {
      this.each('a', value.length, value, depth);
    } else if (value instanceof Map) {
      this.each('m', value.size, [...value].flat(), depth);
    } else if (value instanceof Set) {
      this.each('t', value.size, [...value], depth);
    } else {
      const entries = Object.entries(value);
      this.each('o', entries.length, entries.flat(), depth);
    }
  }

  private each(tag: string, size: number, items: readonly unknown[], depth: number): void {
    this.text(tag, String(size), 2);
    for (const item of items) this.walk(item, depth + 1);
  }
}

/** Size in bytes (an estimate for structured values) and CRC-32 of a message. @throws on functions and cycles. */
export function measure(message: unknown): Measure {
  const meter = new Meter();
  meter.walk(message, 0);
  return { bytes: meter.bytes, crc: meter.crc };
}

/** How a measure is written in the trace. */
export const printMeasure = (measured: Measure): string =>
  `${measured.bytes}B ${measured.crc.toString(16).padStart(8, '0')}`;
