/**
 * The memory an engine's two threads share: what must be seen at once, without waiting for a message. The main thread asks
 * for things (`generation`, `cancel`, `takeBack`), the worker says what it does (`life`, `running`).
 *
 * G32. An operation is begun by the worker or taken back by the main thread, never both.
 */

const word = {
  /** Counts page replies; the worker sleeps on it. */
  reply: 0,
  /** Newest generation asked for by `open`: work of an older one is given up. */
  generation: 1,
  /** Moves whenever the worker gets anywhere: a thread that is stuck in one call of SQLite leaves it as it is. */
  life: 2,
  /** The operation that runs; 0 when none does. */
  running: 3,
  /** Operations sent and not answered. */
  pending: 4,
  /** Pages found in the cache, and pages asked for, modulo 2^32. */
  hits: 5,
  misses: 6,
  /** Memory of SQLite, in pages of WebAssembly. */
  heap: 7,
  /** Files of transactions, in units of `scratchUnitBytes`. */
  scratch: 8,
  /** The number that the operating system gives the worker's thread; 0 where that is not known. */
  thread: 9,
  claims: 10,
} as const;

/** What has become of an operation, by its number modulo `claimsMax`. */
const claim = { waiting: 0, begun: 1, takenBack: 2, cancelled: 3 } as const;

/** More operations than this are never under way in one engine. A power of two. */
export const claimsMax = 131_072;
const wasmPageBytes = 65_536;
/** What is counted goes beyond what a word holds. */
const scratchUnitBytes = 4_096;
/** Numbers of operations begin again at 1 after this. */
const operationMax = 0x7fff_ffff;

/** One side's view of the shared memory; both sides make theirs of the same buffer. */
export class EngineShared {
  readonly buffer: SharedArrayBuffer;
  private readonly words: Int32Array;

  constructor(
    buffer: SharedArrayBuffer = new SharedArrayBuffer(
      (word.claims + claimsMax) * Int32Array.BYTES_PER_ELEMENT,
    ),
  ) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
  }

  // ---- what the main thread asks for

  /** The number after `id`. */
  static next(id: number): number {
    return id >= operationMax ? 1 : id + 1;
  }

  /** Whether an operation is `last` or was sent before it; neither is older than half of all numbers. */
  static isThrough(id: number, last: number): boolean {
    return (last - id + operationMax) % operationMax < operationMax / 2;
  }

  setGeneration(generation: number): void {
    Atomics.store(this.words, word.generation, generation);
    this.wake();
  }

  /** A page has come, or something else to look at: the worker wakes if it waits for one. */
  wake(): void {
    Atomics.add(this.words, word.reply, 1);
    Atomics.notify(this.words, word.reply);
  }

  /** Notes an operation that is about to be sent. */
  offer(id: number, pending: number): void {
    Atomics.store(this.words, slotOf(id), claim.waiting);
    Atomics.store(this.words, word.pending, pending);
  }

  setPending(pending: number): void {
    Atomics.store(this.words, word.pending, pending);
  }

  /** Takes an operation back that has not begun. @returns false when it has: its answer will come. */
  takeBack(id: number): boolean {
    return Atomics.compareExchange(this.words, slotOf(id), claim.waiting, claim.takenBack) === claim.waiting;
  }

  /** Asks the worker to stop an operation that runs. */
  cancel(id: number): void {
    if (Atomics.compareExchange(this.words, slotOf(id), claim.begun, claim.cancelled) === claim.begun)
      this.wake();
  }

  get life(): number {
    return Atomics.load(this.words, word.life);
  }

  get running(): number {
    return Atomics.load(this.words, word.running);
  }

  /** Pages found in the cache so far, and pages asked for; both begin again at 0 after 2^32. */
  get pageCounts(): { readonly hits: number; readonly misses: number } {
    return {
      hits: Atomics.load(this.words, word.hits) >>> 0,
      misses: Atomics.load(this.words, word.misses) >>> 0,
    };
  }

  /** The worker's thread, as the operating system numbers it; 0 where that is not known. */
  get thread(): number {
    return Atomics.load(this.words, word.thread);
  }

  /** Memory that the engine's SQLite has taken, bytes. */
  get heapBytes(): number {
    return Atomics.load(this.words, word.heap) * wasmPageBytes;
  }

  /** What its files of transactions take on disk, bytes; rounded up to pages. */
  get scratchBytes(): number {
    return Atomics.load(this.words, word.scratch) * scratchUnitBytes;
  }

  // ---- what the worker does

  get generation(): number {
    return Atomics.load(this.words, word.generation);
  }

  /** Begins an operation. @returns false when it was taken back: it is nobody's any more. */
  begin(id: number): boolean {
    return Atomics.compareExchange(this.words, slotOf(id), claim.waiting, claim.begun) === claim.waiting;
  }

  setThread(thread: number): void {
    Atomics.store(this.words, word.thread, thread);
  }

  setHeap(bytes: number): void {
    Atomics.store(this.words, word.heap, Math.ceil(bytes / wasmPageBytes));
  }

  setScratch(bytes: number): void {
    Atomics.store(this.words, word.scratch, Math.ceil(bytes / scratchUnitBytes));
  }

  isCancelled(id: number): boolean {
    return Atomics.load(this.words, slotOf(id)) === claim.cancelled;
  }

  setRunning(id: number): void {
    Atomics.store(this.words, word.running, id);
  }

  /** Shows that the worker gets on. */
  beat(): void {
    Atomics.add(this.words, word.life, 1);
  }

  /** The worker alone counts, so that a plain addition does. */
  hit(): void {
    this.words[word.hits] = ((this.words[word.hits] ?? 0) + 1) | 0;
  }

  missed(): void {
    this.words[word.misses] = ((this.words[word.misses] ?? 0) + 1) | 0;
  }

  /** Whether other operations wait behind the one that runs. */
  get hasWaiting(): boolean {
    return Atomics.load(this.words, word.pending) > 1;
  }

  get reply(): number {
    return Atomics.load(this.words, word.reply);
  }

  /** Sleeps until `wake` is called after `reply` was read as `seen`, or for `waitMs`. */
  sleep(seen: number, waitMs: number): void {
    Atomics.wait(this.words, word.reply, seen, waitMs);
  }
}

function slotOf(id: number): number {
  return word.claims + (id & (claimsMax - 1));
}
