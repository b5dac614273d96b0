/**
 * Size and checksum of a message, whether bytes or a structured value. The network twin counts the size, puts the
 * checksum into the trace, and compares it again at delivery: a sender that changes a message after sending it, or a
 * receiver that changes one it shares with others, is found out. Real sockets copy; the twin must not hide aliasing.
 */
import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';

export type Measure = { readonly bytes: number; readonly crc: number };

/** Mixes a word into a running checksum: one multiplication, for values far too short for a CRC call to pay. */
const mix = (sum: number, word: number): number => {
  const mixed = Math.imul(sum ^ word, 0x9e37_79b1);
  return mixed ^ (mixed >>> 15);
};

const twoTo32 = 0x1_0000_0000;

class Meter {
  bytes = 0;
  sum = 0x811c_9dc5;

  walk(value: unknown, depth: number): void {
    assert(depth < 32, 'a message nests more than 32 levels or contains itself');
    if (typeof value === 'string') this.text(value);
    else if (typeof value === 'number') this.number(value);
    else if (value === null || value === undefined) this.tag(value === null ? 1 : 2, 1);
    else if (typeof value === 'boolean') this.tag(value ? 3 : 4, 1);
    else if (typeof value === 'object') this.structure(value, depth);
    else if (typeof value === 'bigint') this.text(`${value}n`);
    else assert.fail(`a message may not contain a ${typeof value}`);
  }

  private tag(word: number, bytes: number): void {
    this.sum = mix(this.sum, word);
    this.bytes += bytes;
  }

  private text(value: string): void {
    this.tag(0x5000_0000 + value.length, value.length);
    let { sum } = this;
    for (let at = 0; at < value.length; at += 1) sum = mix(sum, value.charCodeAt(at));
    this.sum = sum;
  }

  private number(value: number): void {
    if (Number.isSafeInteger(value)) {
      this.tag(value < 0 ? 6 : 5, 8);
      this.sum = mix(mix(this.sum, value | 0), Math.trunc(value / twoTo32) | 0);
    } else {
      this.text(String(value));
    }
  }

  private structure(value: object, depth: number): void {
    if (value instanceof Uint8Array) {
      this.tag(7, 0);
      this.tag(value.byteLength, value.byteLength);
      this.sum = mix(this.sum, crc32(value));
    } else if (Array.isArray(value)) {
      this.tag(8, 2);
      this.tag(value.length, 0);
      for (const item of value) this.walk(item, depth + 1);
    } else if (value instanceof Map) {
      this.tag(9, 2);
      for (const [key, item] of value) {
        this.walk(key, depth + 1);
        this.walk(item, depth + 1);
      }
    } else if (value instanceof Set) {
      this.tag(10, 2);
      for (const item of value) this.walk(item, depth + 1);
    } else {
      this.tag(11, 2);
      for (const [key, item] of Object.entries(value)) {
        this.text(key);
        this.walk(item, depth + 1);
      }
    }
  }
}

/** Size in bytes (an estimate for structured values) and a 32-bit checksum of a message. @throws on functions and cycles. */
export function measure(message: unknown): Measure {
  const meter = new Meter();
  meter.walk(message, 0);
  return { bytes: meter.bytes, crc: meter.sum >>> 0 };
}

/** How a measure is written in the trace. */
export const printMeasure = (measured: Measure): string =>
  `${measured.bytes}B ${measured.crc.toString(16).padStart(8, '0')}`;
