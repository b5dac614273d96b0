/** A cursor on a WebSocket: the result of a batch, given in pieces as they are asked for. */

import type { BatchResult, SqlOutcome } from '../sql/sql.ts';
import { resultBytes } from './core/answer-budget.ts';
import { encodeCursorEntries } from './core/hrana-encode.ts';

export class SocketCursor {
  readonly #onBytes: (change: number) => void;
  #entries: Iterator<string, void, undefined> | null = null;
  #bytes = 0;
  #closed = false;
  /** Set by the fetch that found the end. */
  #done = false;

  /** @param onBytes told by how much more, or less, about it holds for its client now. */
  constructor(onBytes: (change: number) => void) {
    this.#onBytes = onBytes;
  }

  /** Its batch has run. */
  fill(outcome: SqlOutcome<BatchResult>): void {
    if (this.#closed) return;
    this.#entries = encodeCursorEntries(outcome);
    this.#hold(resultBytes(outcome));
  }

  /** Up to `maxCount` entries as a response; fewer when they would make a large message. */
  fetch(maxCount: number, chunkBytes: number): string {
    let entries = '';
    for (let count = 0; count < maxCount && !this.#done && entries.length < chunkBytes; count += 1) {
      const next = this.#entries?.next();
      if (next === undefined || next.done === true) this.#end();
      else entries += count === 0 ? next.value : `,${next.value}`;
    }
    return `{"type":"fetch_cursor","entries":[${entries}],"done":${this.#done}}`;
  }

  close(): void {
    this.#closed = true;
    this.#end();
  }

  #end(): void {
    this.#done = true;
    this.#entries = null;
    this.#hold(0);
  }

  #hold(bytes: number): void {
    const change = bytes - this.#bytes;
    this.#bytes = bytes;
    if (change !== 0) this.#onBytes(change);
  }
}
