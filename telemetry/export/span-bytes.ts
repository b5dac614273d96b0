/** Bytes of an OTLP request that grows as spans are copied into it and what differs is put in their places. */

/** Bytes of a number in a place of fixed width: eight times seven bits hold every safe integer. */
export const paddedBytes = 8;
const wordBytes = 4;
const nanosecondsOfUs = 1_000;
const two28 = 2 ** 28;
const two32 = 2 ** 32;
/** Tags of an `AnyValue` that is a number: field and wire type. */
const tags = { integer: 0x18, double: 0x21 } as const;

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

export class SpanBytes {
  private buffer: Buffer;
  private view: DataView;
  private length = 0;

  /** @param buffer what to begin with; it is used whole, and left when it does not suffice. */
  constructor(buffer: Buffer) {
    this.buffer = buffer;
    this.view = viewOf(buffer);
  }

  /** The memory written to, to be used again once nobody reads it. */
  get memory(): Buffer {
    return this.buffer;
  }

  get size(): number {
    return this.length;
  }

  /** What was written. */
  get written(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  /** Forgets what was written and keeps the memory. */
  clear(): void {
    this.length = 0;
  }

  /** @returns where the copy lies. */
  copy(bytes: Uint8Array): number {
    this.ensure(bytes.length);
    const at = this.length;
    this.buffer.set(bytes, at);
    this.length += bytes.length;
    return at;
  }

  /** Puts so many bytes of something else, a multiple of four, at a place. For a few bytes it is quicker than a copy. */
  put(at: number, from: DataView, fromAt: number, bytes: number): void {
    const { view } = this;
    for (let index = 0; index < bytes; index += wordBytes)
      view.setUint32(at + index, from.getUint32(fromAt + index));
  }

  /** Makes a byte another one. @param by 1 to 255: a different byte for each, and never the one that was there. */
  change(at: number, by: number): void {
    this.view.setUint8(at, this.view.getUint8(at) ^ by);
  }

  /** Puts a time in microseconds at a place, as eight bytes of nanoseconds: more than a double counts exactly. */
  nanoseconds(at: number, us: number): void {
    const high = Math.floor(us / two32);
    const low = (us - high * two32) * nanosecondsOfUs;
    const carry = Math.floor(low / two32);
    this.view.setUint32(at, low - carry * two32, true);
    this.view.setUint32(at + wordBytes, high * nanosecondsOfUs + carry, true);
  }

  /** Puts a whole number that is not negative at a place, as a varint of that many bytes, longer than it had to be. */
  padded(at: number, value: number, bytes: number = paddedBytes): void {
    // In halves that are small integers.
    const high = Math.floor(value / two28);
    const low = value - high * two28;
    for (let index = 0; index < bytes; index++) {
      const seven = index < 4 ? low >>> (7 * index) : high >>> (7 * index - 28);
      this.view.setUint8(at + index, index < bytes - 1 ? 0x80 | (seven & 0x7f) : seven);
    }
  }

  /** Puts a number at a place as an `AnyValue` of `1 + paddedBytes`; a negative one is a double even when it is whole. */
  anyNumber(at: number, value: number): void {
    if (Number.isSafeInteger(value) && value >= 0) {
      this.view.setUint8(at, tags.integer);
      this.padded(at + 1, value);
    } else {
      this.view.setUint8(at, tags.double);
      this.view.setFloat64(at + 1, value, true);
    }
  }

  private ensure(more: number): void {
    if (this.length + more <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.buffer.length, this.length + more));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
    this.view = viewOf(grown);
  }
}
