/** Bytes of a JSON document that grows as it is written. Numbers and ids are put in as digits, without a string for each. */

const hexDigits = Buffer.from('0123456789abcdef');
const digitZero = 0x30;
/** The longest number that is written: 2^53. */
const numberDigitsMax = 16;
/** Numbers are cut here, so that both halves are small integers. */
const halfDigits = 8;
const half = 10 ** halfDigits;

export class JsonBytes {
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

  add(text: string): void {
    this.ensure(text.length * 3);
    this.length += this.buffer.write(text, this.length);
  }

  /** Adds text of ASCII characters alone. */
  ascii(text: string): void {
    this.ensure(text.length);
    this.length += this.buffer.write(text, this.length, 'latin1');
  }

  /** @returns where the copy lies. */
  copy(bytes: Uint8Array): number {
    this.ensure(bytes.length);
    const at = this.length;
    this.buffer.set(bytes, at);
    this.length += bytes.length;
    return at;
  }

  /** Adds a whole number that is not negative and below 10^16. */
  digits(value: number): void {
    this.ensure(numberDigitsMax);
    const high = Math.floor(value / half);
    if (high > 0) {
      this.length = this.put(high, digitsOf(high), this.length);
      this.length = this.put(value - high * half, halfDigits, this.length);
    } else this.length = this.put(value, digitsOf(value), this.length);
  }

  /** Writes the same ASCII text at several places. */
  repeat(ascii: string, start: number, places: readonly number[]): void {
    const [first] = places;
    if (first === undefined) return;
    this.buffer.write(ascii, start + first, 'latin1');
    for (let index = 1; index < places.length; index++)
      this.buffer.copyWithin(start + (places[index] ?? 0), start + first, start + first + ascii.length);
  }

  /** Changes one hex digit. @param by 1 to 15: different for each, and never the digit that was there. */
  changeDigit(at: number, by: number): void {
    const digit = hexDigits.indexOf(this.buffer[at] ?? 0);
    this.buffer[at] = hexDigits[digit ^ by] ?? 0;
  }

  /** Takes the comma behind the last span away. @returns everything written. */
  finish(after: string): Uint8Array {
    this.length -= 1;
    this.add(after);
    return this.buffer.subarray(0, this.length);
  }

  /** @returns the position behind `count` digits at `at`. */
  private put(value: number, count: number, at: number): number {
    let left = value;
    for (let index = at + count - 1; index >= at; index--) {
      const next = (left / 10) | 0;
      this.buffer[index] = digitZero + left - 10 * next;
      left = next;
    }
    return at + count;
  }

  private ensure(more: number): void {
    if (this.length + more <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.buffer.length, this.length + more));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
  }
}

function digitsOf(value: number): number {
  let count = 1;
  for (let limit = 10; value >= limit; limit *= 10) count += 1;
  return count;
}
