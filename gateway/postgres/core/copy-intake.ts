/** Data of a COPY … FROM STDIN, collected until the client has sent it all: the engine, which all share, waits for no client. Pure. */
import type { Frame } from '../protocol/core/frame-reader.ts';
import type { Report } from '../protocol/core/server-messages.ts';
import { limitReport } from './reports.ts';

export type CopyTaken =
  | { readonly kind: 'more' }
  /** Everything for the engine: the data and its end. */
  | { readonly kind: 'done'; readonly messages: readonly Uint8Array[] }
  | { readonly kind: 'refused'; readonly report: Report }
  /** The message has no place among data. */
  | { readonly kind: 'unexpected' };

const more: CopyTaken = { kind: 'more' };

export class CopyIntake {
  /** The protocol that the statement came in. */
  readonly of: 'query' | 'extended';
  readonly #maxBytes: number;
  readonly #data: Uint8Array[] = [];
  #bytes = 0;

  constructor(of: 'query' | 'extended', maxBytes: number) {
    this.of = of;
    this.#maxBytes = maxBytes;
  }

  /** Data that has come. */
  get bytes(): number {
    return this.#bytes;
  }

  take({ type, bytes, body }: Frame): CopyTaken {
    switch (type) {
      case 'd':
        this.#bytes += body.length;
        if (this.#bytes > this.#maxBytes)
          return { kind: 'refused', report: limitReport('copyBytes', this.#maxBytes) };
        this.#data.push(bytes);
        return more;
      case 'c':
        return { kind: 'done', messages: [...this.#data, bytes] };
      case 'f':
        return { kind: 'done', messages: [bytes] };
      case 'S':
      case 'H':
        // Drivers send them behind the statement, before they know that it copies.
        return more;
      default:
        return { kind: 'unexpected' };
    }
  }
}
