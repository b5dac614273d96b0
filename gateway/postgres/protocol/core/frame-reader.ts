/**
 * Cuts what arrives on a socket into whole messages of the PostgreSQL protocol. Nothing is allocated for a message before its bytes
 * are there, so a length that lies costs nothing. Pure.
 */
import { concatBytes } from '../../../../storage/redo.ts';

/** One message, or a startup packet, which has no type. */
export interface Frame {
  /** The type as a character, `Q` for a Query; empty for a startup packet. */
  readonly type: string;
  /** Type, length and body as they came. */
  readonly bytes: Uint8Array;
  /** What follows the length. A part of `bytes`. */
  readonly body: Uint8Array;
}

export type NextFrame =
  | { readonly kind: 'frame'; readonly frame: Frame }
  /** More has to arrive first. */
  | { readonly kind: 'partial' }
  /** The length is below what a message has. */
  | { readonly kind: 'malformed'; readonly length: number }
  /** The length, in bytes, is above the bound. */
  | { readonly kind: 'tooLarge'; readonly length: number };

/** `startup`: packets without a type, as a connection begins. `messages`: everything later. */
export type Framing = 'startup' | 'messages';

const partial: NextFrame = { kind: 'partial' };
const lengthBytes = 4;

export class FrameReader {
  #chunks: Uint8Array[] = [];
  #buffered = 0;

  /** Bytes that have arrived and belong to no frame that was taken. */
  get bufferedBytes(): number {
    return this.#buffered;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
  }

  /** The type of the message at the front; null before its first byte has arrived. */
  get firstByte(): number | null {
    return this.#chunks[0]?.[0] ?? null;
  }

  /** Takes the next message. @param maxBytes bound on the length that it states, which counts itself and the body. */
  next(framing: Framing, maxBytes: number): NextFrame {
    const typeBytes = framing === 'startup' ? 0 : 1;
    const head = typeBytes + lengthBytes;
    if (this.#buffered < head) return partial;
    const length = lengthIn(this.#peek(head), typeBytes);
    if (length < lengthBytes) return { kind: 'malformed', length };
    if (length > maxBytes) return { kind: 'tooLarge', length };
    if (this.#buffered < typeBytes + length) return partial;
    const bytes = this.#take(typeBytes + length);
    const type = typeBytes === 0 ? '' : String.fromCharCode(bytes[0] ?? 0);
    return { kind: 'frame', frame: { type, bytes, body: bytes.subarray(head) } };
  }

  /** Takes everything that is left. */
  rest(): Uint8Array {
    return this.#take(this.#buffered);
  }

  #peek(length: number): Uint8Array {
    const [first = new Uint8Array(0)] = this.#chunks;
    if (first.length >= length) return first;
    this.#join();
    return this.#chunks[0] ?? first;
  }

  #take(length: number): Uint8Array {
    const [first] = this.#chunks;
    if (first === undefined) return new Uint8Array(0);
    if (first.length < length) this.#join();
    const whole = this.#chunks[0] ?? first;
    if (whole.length === length) this.#chunks.shift();
    else this.#chunks[0] = whole.subarray(length);
    this.#buffered -= length;
    return whole.subarray(0, length);
  }

  #join(): void {
    this.#chunks = [concatBytes(this.#chunks)];
  }
}

function lengthIn(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(at);
}
