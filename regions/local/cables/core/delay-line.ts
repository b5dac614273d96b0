/** One direction of a cable that takes time: what goes in comes out later, in order, and nothing is lost or joined. */

interface Waiting {
  readonly bytes: Uint8Array;
  readonly dueMs: number;
}

/** Times are monotonic milliseconds. */
export class DelayLine {
  private waiting: Waiting[] = [];
  private start = 0;
  private held = 0;
  private delay: number;

  constructor(delayMs: number) {
    this.delay = delayMs;
  }

  /** For what goes in from now on. What is under way keeps its time, and nothing overtakes it: one leaves after the other. */
  set delayMs(ms: number) {
    this.delay = ms;
  }

  /** Bytes under way. */
  get heldBytes(): number {
    return this.held;
  }

  push(bytes: Uint8Array, nowMs: number): void {
    this.waiting.push({ bytes, dueMs: this.dueAt(nowMs) });
    this.held += bytes.length;
  }

  /** When something that goes in now would come out, unless it has to wait behind what is under way. */
  dueAt(nowMs: number): number {
    return nowMs + this.delay;
  }

  /** The next that has arrived; null when none has. */
  take(nowMs: number): Uint8Array | null {
    const next = this.waiting[this.start];
    if (next === undefined || next.dueMs > nowMs) return null;
    this.start += 1;
    this.held -= next.bytes.length;
    if (this.start >= 256 || this.start === this.waiting.length) {
      this.waiting = this.waiting.slice(this.start);
      this.start = 0;
    }
    return next.bytes;
  }

  /** When the next arrives; null when nothing is under way. */
  get nextMs(): number | null {
    return this.waiting[this.start]?.dueMs ?? null;
  }
}
