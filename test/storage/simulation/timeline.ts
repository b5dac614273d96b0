/** Time that passes when a test says so: what is planned runs in order of its time, and then of its planning. */
interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class Timeline {
  nowMs = 1_000;
  private readonly timers: Timer[] = [];
  private order = 0;

  after(delayMs: number, run: () => void): void {
    const timer = { atMs: this.nowMs + delayMs, order: this.order++, run };
    // A binary heap, ordered by time and then by the order of planning.
    const heap = this.timers;
    heap.push(timer);
    for (let at = heap.length - 1; at > 0; ) {
      const up = (at - 1) >> 1;
      const [child, parent] = [heap[at], heap[up]];
      if (child === undefined || parent === undefined || !isBefore(child, parent)) break;
      heap[at] = parent;
      heap[up] = child;
      at = up;
    }
  }

  every(periodMs: number, run: () => void): void {
    this.after(periodMs, () => {
      run();
      this.every(periodMs, run);
    });
  }

  private nextTimer(): Timer | undefined {
    const heap = this.timers;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    heap[0] = last;
    for (let at = 0; ; ) {
      let least = at;
      for (const down of [2 * at + 1, 2 * at + 2]) {
        const [a, b] = [heap[down], heap[least]];
        if (a !== undefined && b !== undefined && isBefore(a, b)) least = down;
      }
      const [parent, child] = [heap[at], heap[least]];
      if (least === at || parent === undefined || child === undefined) return first;
      heap[at] = child;
      heap[least] = parent;
      at = least;
    }
  }

  /** Runs until `done`, or until `limitMs` have passed. @returns whether it was done. */
  runUntil(done: () => boolean, limitMs: number): boolean {
    const endMs = this.nowMs + limitMs;
    while (!done()) {
      const timer = this.nextTimer();
      if (timer === undefined) return false;
      if (timer.atMs > endMs) {
        this.nowMs = endMs;
        this.after(0, timer.run);
        return done();
      }
      this.nowMs = timer.atMs;
      timer.run();
    }
    return true;
  }

  runFor(ms: number): void {
    this.runUntil(() => false, ms);
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
