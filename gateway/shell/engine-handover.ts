/**
 * Large answers on their way from an engine's thread to the main thread. A thread makes them faster than they can be written
 * out, and the main thread takes all messages that wait before it looks at its sockets again: without a bound, gigabytes
 * gather between the two, and for seconds no client and no lease is served. So a thread goes on only when the main thread has
 * been at its sockets since the large answers before.
 */
import type { PackedFromWorker } from '../core/engine-wire.ts';

/** Messages below this are let through. */
const largeBytes = 1024 * 1024;
/** Large messages that may be under way. */
const underWayMax = 2;
/** A main thread that takes nothing for so long is not waited for: it cannot be helped from here. */
const waitMs = 30_000;

/** A message that may be followed by few like it. */
export type HandedOver = PackedFromWorker & { readonly isLarge?: true };

/** One side's view; both sides make theirs of the same buffer. */
export class Handover {
  readonly buffer: SharedArrayBuffer;
  private readonly taken: Int32Array;
  private posted = 0;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.buffer = buffer;
    this.taken = new Int32Array(buffer);
  }

  /** The engine's side: waits, when the message is large, until it may be posted, and marks it. */
  admit(packed: PackedFromWorker): HandedOver {
    if (!isLarge(packed.values)) return packed;
    const until = performance.now() + waitMs;
    for (;;) {
      const taken = Atomics.load(this.taken, 0);
      const left = until - performance.now();
      // Both counts go round at 32 bits.
      if (((this.posted - taken) | 0) < underWayMax || left <= 0) break;
      Atomics.wait(this.taken, 0, taken, left);
    }
    this.posted = (this.posted + 1) | 0;
    return { ...packed, isLarge: true };
  }

  /** The main thread's side, when it has dealt with a message: what is on its sockets comes before the next large one. */
  dealtWith(packed: HandedOver): void {
    if (packed.isLarge !== true) return;
    setImmediate(() => {
      Atomics.add(this.taken, 0, 1);
      Atomics.notify(this.taken, 0);
    });
  }
}

function isLarge(values: readonly unknown[]): boolean {
  let bytes = 0;
  for (const value of values) {
    if (typeof value === 'string') bytes += value.length;
    else if (value instanceof Uint8Array) bytes += value.byteLength;
    if (bytes >= largeBytes) return true;
  }
  // Many small values are much, too: each takes some bytes of its own.
  return values.length * 8 >= largeBytes;
}
