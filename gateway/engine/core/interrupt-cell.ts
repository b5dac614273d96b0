/**
 * How a statement is stopped from another thread. The engine arms a cell while a statement runs that may be stopped; another thread
 * stops it by raising flags in the engine's memory, which the engine looks at while it computes.
 *
 * G94. Flags are raised for the operation that armed the cell, and never reach another: who raises them says so before and after, and
 * the engine ends an operation only when nobody is about to.
 */

const word = { state: 0, operation: 1, deadline: 2, words: 3 } as const;
const state = { idle: 0, armed: 1, stopping: 2, stopped: 3 } as const;
/** Deadlines are compared as differences of 32-bit numbers: no statement runs for longer. */
const farMs = 0x3fff_ffff;
/** Who waits for another thread to write two bytes looks again after this. */
const lookAgainMs = 5;

/** Where the flags lie. */
export interface InterruptFlags {
  readonly memory: SharedArrayBuffer;
  readonly addresses: readonly number[];
}

/** One side's view of the cell; both sides make theirs of the same buffer. */
export class InterruptCell {
  readonly buffer: SharedArrayBuffer;
  private readonly words: Int32Array;

  constructor(buffer = new SharedArrayBuffer(word.words * Int32Array.BYTES_PER_ELEMENT)) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
  }

  // ---- the engine's side

  /** From here on `operation` may be stopped, and is at the deadline. @param deadlineMs from `nowMs` on; Infinity for none */
  arm(operation: number, nowMs: number, deadlineMs: number): void {
    Atomics.store(this.words, word.operation, operation);
    Atomics.store(this.words, word.deadline, (nowMs + Math.min(Math.max(deadlineMs, 0), farMs)) | 0);
    Atomics.store(this.words, word.state, state.armed);
  }

  /** Whether what runs is to stop. */
  get isStopped(): boolean {
    return Atomics.load(this.words, word.state) >= state.stopping;
  }

  /** Nothing is stopped from here on. @returns whether the flags may have been raised: they are to be lowered. */
  disarm(): boolean {
    for (;;) {
      const was = Atomics.compareExchange(this.words, word.state, state.armed, state.idle);
      if (was === state.armed || was === state.idle) return false;
      if (was === state.stopped) {
        Atomics.store(this.words, word.state, state.idle);
        return true;
      }
      Atomics.wait(this.words, word.state, state.stopping, lookAgainMs);
    }
  }

  // ---- the other side

  /** Whether something runs that has not been stopped and is not late. */
  isInTime(nowMs: number): boolean {
    return Atomics.load(this.words, word.state) === state.armed && !this.isLate(nowMs);
  }

  /** Stops what is late. */
  stopLate(nowMs: number, flags: InterruptFlags): void {
    const operation = Atomics.load(this.words, word.operation);
    if (Atomics.load(this.words, word.state) === state.armed && this.isLate(nowMs))
      this.stop(operation, flags);
  }

  /** Stops an operation, if it is the one that runs. @param operation null for whatever runs */
  stop(operation: number | null, { memory, addresses }: InterruptFlags): void {
    if (Atomics.compareExchange(this.words, word.state, state.armed, state.stopping) !== state.armed) return;
    // From here on the engine does not go on to another operation.
    const isMeant = operation === null || Atomics.load(this.words, word.operation) === operation;
    const bytes = new Uint8Array(memory);
    if (isMeant) for (const address of addresses) Atomics.store(bytes, address, 1);
    Atomics.store(this.words, word.state, isMeant ? state.stopped : state.armed);
    Atomics.notify(this.words, word.state);
  }

  private isLate(nowMs: number): boolean {
    return ((nowMs - Atomics.load(this.words, word.deadline)) | 0) >= 0;
  }
}
