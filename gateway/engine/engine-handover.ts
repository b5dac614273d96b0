/**
 * Large answers on their way from the engines' threads to the main thread. Threads make them faster than they can be written
 * out, and the main thread takes all messages that wait before it looks at its sockets again: without a bound, gigabytes
 * gather between the two, and for seconds no client and no lease is served. So a thread goes on only when the main thread has
 * been at its sockets since the large answers before, whichever thread made them.
 */
import type { PackedFromWorker } from './core/engine-wire.ts';
import { HeapTurns, type SharedCounts, sharedCounts } from './engine-heap-turns.ts';

/** Messages below this are let through. */
const largeBytes = 1024 * 1024;
/** Large messages that may be under way. */
const underWayMax = 2;
/** A main thread that takes nothing for so long is not waited for: it cannot be helped from here. */
const waitMs = 30_000;

/** A message that may be followed by few like it. */
export type HandedOver = PackedFromWorker & { readonly isLarge?: true };

/** One side's view of one engine's messages; both sides make theirs of the same buffers. */
export class Handover {
  readonly buffers: SharedCounts;
  /** Turns at memory, counted beside the messages. */
  readonly turns: HeapTurns;
  /** Large messages under way, of all engines. */
  private readonly underWay: Int32Array;
  /** Large messages this engine has posted, ever. */
  private readonly posted: Int32Array;
  private taken = 0;
  private isOver = false;

  constructor({ all = sharedCounts(), own = sharedCounts() }: Partial<SharedCounts> = {}) {
    this.buffers = { all, own };
    this.turns = new HeapTurns(this.buffers);
    this.underWay = new Int32Array(all);
    this.posted = new Int32Array(own);
  }

  /** An engine's side: waits, when the message is large, until it may be posted, and marks it. */
  admit(packed: PackedFromWorker): HandedOver {
    if (!isLarge(packed.values)) return packed;
    const until = performance.now() + waitMs;
    for (;;) {
      const underWay = Atomics.load(this.underWay, 0);
      const left = until - performance.now();
      if (underWay >= underWayMax && left > 0) {
        Atomics.wait(this.underWay, 0, underWay, left);
        continue;
      }
      if (Atomics.compareExchange(this.underWay, 0, underWay, underWay + 1) === underWay) break;
    }
    Atomics.add(this.posted, 0, 1);
    return { ...packed, isLarge: true };
  }

  /** The main thread's side, when it has dealt with a message: what is on its sockets comes before the next large one. */
  dealtWith(packed: HandedOver): void {
    if (packed.isLarge !== true || this.isOver) return;
    this.taken = (this.taken + 1) | 0;
    setImmediate(() => this.leave(1));
  }

  /** The main thread's side, when the engine's thread has ended: what it had under way comes no more. */
  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.turns.giveBack();
    this.leave((Atomics.load(this.posted, 0) - this.taken) | 0);
  }

  private leave(messages: number): void {
    Atomics.sub(this.underWay, 0, messages);
    Atomics.notify(this.underWay, 0);
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
