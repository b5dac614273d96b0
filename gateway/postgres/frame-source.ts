/** Messages of one socket for who waits for them one by one, as long as a connection begins. Later they are taken as they come. */
import type { Socket } from 'node:net';
import { FrameReader, type Framing, type NextFrame } from './protocol/core/frame-reader.ts';

export class FrameSource {
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  readonly #maxBytes: number;
  #closed = false;
  #wake: (() => void) | null = null;

  /** @param maxBytes bound on one message */
  constructor(socket: Socket, maxBytes: number) {
    this.#socket = socket;
    this.#maxBytes = maxBytes;
    socket.on('data', this.#onData);
    socket.on('close', this.#onClose);
    socket.on('end', this.#onClose);
  }

  /** The next message; null when there will be none. */
  async next(framing: Framing): Promise<Exclude<NextFrame, { kind: 'partial' }> | null> {
    for (;;) {
      const next = this.#reader.next(framing, this.#maxBytes);
      if (next.kind !== 'partial') return next;
      if (!(await this.#more())) return null;
    }
  }

  /** The first byte of the next message, which is not taken; null when there will be none. */
  async firstByte(): Promise<number | null> {
    for (;;) {
      const first = this.#reader.firstByte;
      if (first !== null) return first;
      if (!(await this.#more())) return null;
    }
  }

  /** Lets go of the socket. @returns what has arrived and was not taken */
  detach(): FrameReader {
    this.#socket.pause();
    this.#socket.off('data', this.#onData);
    this.#socket.off('close', this.#onClose);
    this.#socket.off('end', this.#onClose);
    return this.#reader;
  }

  async #more(): Promise<boolean> {
    if (this.#closed) return false;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
    return !this.#closed;
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#reader.push(chunk);
    // Nobody has shown anything yet: more than one message is not kept for them.
    if (this.#reader.bufferedBytes > 2 * this.#maxBytes) this.#socket.destroy();
    this.#wake?.();
  };

  readonly #onClose = (): void => {
    this.#closed = true;
    this.#wake?.();
  };
}
