/** Bytes of an OTLP request that grows as spans are copied into it and what differs is put in their places. */

/** Bytes of a number in a place of fixed width: eight times seven bits hold every safe integer. */
export const paddedBytes = 8;
const nanosecondsOfUs = 1_000;
const two28 = 2 ** 28;
const two32 = 2 ** 32;

export class SpanBytes {
  private buffer: Buffer;
  private length = 0;

  /** @param buffer what to begin with; it is used whole, and left when it does not suffice. */
  constructor(buffer: Buffer) {
    this.buffer = buffer;
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

  /** @returns where the copy lies. */
  copy(bytes: Uint8Array): number {
    this.ensure(bytes.length);
    const at = this.length;
    this.buffer.set(bytes, at);
    this.length += bytes.length;
    return at;
  }

  /** Puts an id given as hex digits at a place. */
  hex(at: number, digits: string): void {
    this.buffer.write(digits, at, 'hex');
  }

  /** Copies what lies at `from` to a place. */
  again(at: number, from: number, bytes: number): void {
    this.buffer.copyWithin(at, from, from + bytes);
  }

  /** Makes a byte another one. @param by 1 to 255: a different byte for each, and never the one that was there. */
  change(at: number, by: number): void {
    this.buffer[at] = (this.buffer[at] ?? 0) ^ by;
  }

  /** Puts a time in microseconds at a place, as eight bytes of nanoseconds: more than a double counts exactly. */
  nanoseconds(at: number, us: number): void {
    const high = Math.floor(us / two32);
    const low = (us - high * two32) * nanosecondsOfUs;
    const carry = Math.floor(low / two32);
    this.buffer.writeUInt32LE(low - carry * two32, at);
    this.buffer.writeUInt32LE(high * nanosecondsOfUs + carry, at + 4);
  }

  /** Puts a whole number that is not negative at a place, as a varint of that many bytes, longer than it had to be. */
  padded(at: number, value: number, bytes: number = paddedBytes): void {
    // In halves that are small integers.
    const high = Math.floor(value / two28);
    const low = value - high * two28;
    for (let index = 0; index < bytes; index++) {
      const seven = index < 4 ? low >>> (7 * index) : high >>> (7 * index - 28);
      this.buffer[at + index] = index < bytes - 1 ? 0x80 | (seven & 0x7f) : seven;
    }
  }

  private ensure(more: number): void {
    if (this.length + more <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.buffer.length, this.length + more));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
  }
}
