/** Reading and writing the fields of PostgreSQL's messages: big-endian integers, and texts that end with a zero byte. Pure. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The message ends before a field does, or goes on behind the last one. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
}

/** Reads one body from front to back. Every read throws MalformedMessage where the body is too short. */
export class BodyReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  int16(): number {
    return this.#view.getInt16(this.#skip(2));
  }

  int32(): number {
    return this.#view.getInt32(this.#skip(4));
  }

  bytes(length: number): Uint8Array {
    const from = this.#skip(length);
    return this.#bytes.subarray(from, from + length);
  }

  /** A text in UTF-8 up to its zero byte. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw new MalformedMessage('a text has no end');
    const text = decoder.decode(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return text;
  }

  /** Everything that is left. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  #skip(length: number): number {
    const from = this.#at;
    if (length < 0 || length > this.remaining) throw new MalformedMessage('the message is too short');
    this.#at = from + length;
    return from;
  }
}

export type Field =
  | { readonly int16: number }
  | { readonly int32: number }
  | { readonly byte: number }
  /** Gets a zero byte behind it. */
  | { readonly text: string }
  | { readonly bytes: Uint8Array };

/** A whole message: type, length, and the fields in their order. */
export function message(type: string, ...fields: readonly Field[]): Uint8Array {
  const parts = fields.map(bytesOf);
  const length = parts.reduce((sum, part) => sum + part.length, 4);
  const whole = new Uint8Array(1 + length);
  whole[0] = type.charCodeAt(0);
  new DataView(whole.buffer).setInt32(1, length);
  let at = 5;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function bytesOf(field: Field): Uint8Array {
  if ('bytes' in field) return field.bytes;
  // A zero byte inside would end the text early, and what follows would be read as something else.
  if ('text' in field) return encoder.encode(`${field.text.replaceAll('\0', '')}\0`);
  if ('byte' in field) return Uint8Array.of(field.byte);
  const bytes = new Uint8Array('int16' in field ? 2 : 4);
  const view = new DataView(bytes.buffer);
  if ('int16' in field) view.setInt16(0, field.int16);
  else view.setInt32(0, field.int32);
  return bytes;
}
