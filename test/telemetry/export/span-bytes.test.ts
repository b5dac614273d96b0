import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SpanBytes } from '../../../telemetry/export/span-bytes.ts';

/** Bytes in which `size` zeros were put first. */
function zeros(size: number): SpanBytes {
  const out = new SpanBytes(Buffer.alloc(1));
  out.copy(new Uint8Array(size));
  return out;
}

describe('a place in the bytes of a request', () => {
  it('takes microseconds as exact nanoseconds', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (us) => {
        const out = zeros(8);
        out.nanoseconds(0, us);
        expect(Buffer.from(out.written).readBigUInt64LE()).toBe(BigInt(us) * 1_000n);
      }),
    );
  });

  it('takes a number as a varint of the width it has', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const out = zeros(8);
        out.padded(0, value);
        const bytes = [...out.written];
        expect(bytes.map((byte) => byte >= 0x80)).toEqual([...Array.from({ length: 7 }, () => true), false]);
        expect(bytes.reduceRight((sum, byte) => sum * 128n + BigInt(byte & 0x7f), 0n)).toBe(BigInt(value));
      }),
    );
  });

  it('takes an id, and is made another one each time', () => {
    const out = zeros(8 * 256);
    const id = new DataView(new ArrayBuffer(12));
    for (const [at, byte] of Buffer.from('00f067aa0ba902b7', 'hex').entries()) id.setUint8(4 + at, byte);
    const seen = new Set<string>();
    for (let by = 0; by < 256; by++) {
      out.put(8 * by, id, 4, 8);
      if (by > 0) out.change(8 * by, by);
      seen.add(Buffer.from(out.written.subarray(8 * by, 8 * by + 8)).toString('hex'));
    }
    expect([seen.size, seen.has('00f067aa0ba902b7')]).toEqual([256, true]);
  });

  it('takes any number as what it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.maxSafeNat(), fc.double({ noNaN: true })), (value) => {
        const out = zeros(9);
        out.anyNumber(0, value);
        const bytes = Buffer.from(out.written);
        const whole = bytes.subarray(1).reduceRight((sum, byte) => sum * 128n + BigInt(byte & 0x7f), 0n);
        // Field 3 of `AnyValue` is a varint, field 4 eight bytes.
        expect(bytes[0] === 0x18 ? Number(whole) : bytes.readDoubleLE(1)).toBe(value === 0 ? 0 : value);
        expect(bytes[0] === 0x18).toBe(Number.isSafeInteger(value) && value >= 0);
      }),
    );
  });

  it('stays where it is when the memory grows', () => {
    const out = new SpanBytes(Buffer.alloc(4));
    const places = Array.from({ length: 100 }, (_, index) => out.copy(Buffer.from(`text ${index} `)));
    const text = Buffer.from(out.written).toString();
    for (const [index, at] of places.entries()) expect(text.slice(at)).toMatch(new RegExp(`^text ${index} `));
    expect(out.size).toBe(text.length);
  });
});
