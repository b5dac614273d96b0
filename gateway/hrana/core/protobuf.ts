/**
 * Protocol Buffers on the wire: tags, varints, fixed and length-delimited fields. What a message means is for its reader
 * and writer to know (`hrana-protobuf-read.ts`, `hrana-protobuf-write.ts`). Pure.
 */

/** Why bytes are no message. Thrown by `ProtobufReader` only, and caught where a whole message is read. */
export class ProtobufError extends Error {}

const wireTypes = { varint: 0, fixed64: 1, delimited: 2, fixed32: 5 } as const;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What is left of the bounds of one message with all that is inside it. */
interface Allowance {
  fields: number;
  readonly fieldsMax: number;
  readonly depthMax: number;
}

/** Reads the fields of one message, in their order. */
export class ProtobufReader {
  private readonly bytes: Uint8Array;
  private readonly end: number;
  private readonly depth: number;
  private readonly allowance: Allowance;
  private at: number;
  private wireType = 0;

  private constructor(bytes: Uint8Array, at: number, end: number, depth: number, allowance: Allowance) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
    this.depth = depth;
    this.allowance = allowance;
  }

  /** @param fieldsMax fields of the message and of all messages inside it: an empty one takes two bytes here and many in memory. */
  static of(bytes: Uint8Array, fieldsMax: number, depthMax: number): ProtobufReader {
    return new ProtobufReader(bytes, 0, bytes.length, 0, { fields: 0, fieldsMax, depthMax });
  }

  /** Calls `read` for each field; a field it does not take, because it does not know it, is left out. */
  fields(read: (field: number) => unknown): void {
    const { allowance } = this;
    while (this.at < this.end) {
      const tag = Number(this.varint());
      const field = Math.floor(tag / 8);
      this.wireType = tag % 8;
      if (field === 0) throw new ProtobufError('a field has the number 0');
      allowance.fields += 1;
      if (allowance.fields > allowance.fieldsMax)
        throw new ProtobufError(`there are more than ${allowance.fieldsMax} fields`);
      const from = this.at;
      read(field);
      if (this.at === from) this.skip();
    }
  }

  string(): string {
    try {
      return utf8.decode(this.delimited());
    } catch (error) {
      throw error instanceof ProtobufError ? error : new ProtobufError('a text is not valid UTF-8');
    }
  }

  blob(): Uint8Array {
    return this.delimited();
  }

  bool(): boolean {
    return this.scalar() !== 0n;
  }

  int32(): number {
    return Number(BigInt.asIntN(32, this.scalar()));
  }

  uint32(): number {
    return Number(BigInt.asUintN(32, this.scalar()));
  }

  sint64(): bigint {
    const value = this.scalar();
    return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
  }

  double(): number {
    this.expect(wireTypes.fixed64);
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + this.take(8), 8);
    return view.getFloat64(0, true);
  }

  /** The message in this field. */
  message<T>(read: (reader: ProtobufReader) => T): T {
    this.expect(wireTypes.delimited);
    const length = this.length();
    const from = this.take(length);
    if (this.depth + 1 > this.allowance.depthMax)
      throw new ProtobufError(`messages nest deeper than ${this.allowance.depthMax}`);
    return read(new ProtobufReader(this.bytes, from, from + length, this.depth + 1, this.allowance));
  }

  private skip(): void {
    switch (this.wireType) {
      case wireTypes.varint:
        this.varint();
        return;
      case wireTypes.fixed64:
        this.take(8);
        return;
      case wireTypes.delimited:
        this.take(this.length());
        return;
      case wireTypes.fixed32:
        this.take(4);
        return;
      default:
        throw new ProtobufError(`a field has the unknown wire type ${this.wireType}`);
    }
  }

  private scalar(): bigint {
    this.expect(wireTypes.varint);
    return this.varint();
  }

  private delimited(): Uint8Array {
    this.expect(wireTypes.delimited);
    const length = this.length();
    const from = this.take(length);
    return this.bytes.subarray(from, from + length);
  }

  private length(): number {
    return Number(this.varint());
  }

  private expect(wireType: number): void {
    if (this.wireType !== wireType)
      throw new ProtobufError(`a field has the wire type ${this.wireType} and not ${wireType}`);
  }

  private take(count: number): number {
    const from = this.at;
    if (count > this.end - from) throw new ProtobufError('a field is cut off');
    this.at = from + count;
    return from;
  }

  private varint(): bigint {
    // Nearly all are short; a bigint is made of pieces only where it has to be.
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.bytes[this.take(1)] ?? 0;
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt(low);
    }
    let value = BigInt(low);
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const byte = this.bytes[this.take(1)] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ProtobufError('a number is longer than ten bytes');
  }
}

/** Writes the fields of messages, one after another, into one buffer that grows. */
export class ProtobufWriter {
  private buffer = Buffer.allocUnsafe(1_024);
  private length = 0;

  string(field: number, value: string): void {
    const bytes = Buffer.byteLength(value);
    this.head(field, bytes);
    const at = this.reserve(bytes);
    this.buffer.write(value, at, 'utf8');
  }

  /** Bytes given in base64, padded or not. */
  base64(field: number, value: string): void {
    const bytes = Buffer.from(value, 'base64');
    this.head(field, bytes.length);
    const at = this.reserve(bytes.length);
    this.buffer.set(bytes, at);
  }

  bool(field: number, value: boolean): void {
    this.varint(BigInt(field * 8));
    this.varint(value ? 1n : 0n);
  }

  /** int32, uint32, uint64: they differ in what they may hold, not in how it is written. */
  integer(field: number, value: number): void {
    this.varint(BigInt(field * 8));
    this.varint(BigInt.asUintN(64, BigInt(value)));
  }

  sint64(field: number, value: bigint): void {
    this.varint(BigInt(field * 8));
    this.varint(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));
  }

  double(field: number, value: number): void {
    this.varint(BigInt(field * 8 + wireTypes.fixed64));
    const at = this.reserve(8);
    this.buffer.writeDoubleLE(value, at);
  }

  /** A message in a field. */
  message(field: number, write: () => void): void {
    this.varint(BigInt(field * 8 + wireTypes.delimited));
    this.delimited(write);
  }

  /** A message with its length before it, as in a stream of messages. */
  delimited(write: () => void): void {
    const from = this.length;
    write();
    // The length is known now, and what was written makes room for it.
    const length = this.length - from;
    let head = 1;
    for (let rest = length; rest >= 128; rest = Math.floor(rest / 128)) head += 1;
    this.reserve(head);
    this.buffer.copyWithin(from + head, from, from + length);
    this.length = from;
    this.varint(BigInt(length));
    this.length = from + head + length;
  }

  /** What was written. */
  finish(): Buffer {
    return this.buffer.subarray(0, this.length);
  }

  private head(field: number, length: number): void {
    this.varint(BigInt(field * 8 + wireTypes.delimited));
    this.varint(BigInt(length));
  }

  private varint(value: bigint): void {
    let rest = value;
    while (rest > 0x7fn) {
      this.byte(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.byte(Number(rest));
  }

  private byte(value: number): void {
    const at = this.reserve(1);
    this.buffer[at] = value;
  }

  /** Makes room, in a new buffer where the old one is full: a place in it is only good afterwards. */
  private reserve(bytes: number): number {
    const from = this.length;
    this.length += bytes;
    if (this.length > this.buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.length, 2 * this.buffer.length));
      this.buffer.copy(larger, 0, 0, from);
      this.buffer = larger;
    }
    return from;
  }
}
