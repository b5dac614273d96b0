/**
 * Gives the memory of large answers, and of engines that rest, back to the machine. V8 collects garbage when something is allocated: a process that has
 * served a few hundred megabytes and then has little to do would keep them for hours.
 */
import { collector } from '../engine/garbage.ts';

/** Less than this is not worth a collection, which stops the thread for some tens of milliseconds. */
const worthBytes = 64 * 1024 * 1024;
/** After the last of it has left: more of the kind may follow. */
const quietMs = 2_000;
/** Between two collections. */
const everyMs = 30_000;

export class MemoryReturn {
  private readonly collect: () => void;
  private released = 0;
  private collectedAtMs = Number.NEGATIVE_INFINITY;
  private timer: NodeJS.Timeout | null = null;

  /** @param collect instead of V8's collector. */
  constructor(collect: () => void = collector()) {
    this.collect = collect;
  }

  /** So many bytes have become garbage. */
  note(bytes: number): void {
    this.released += bytes;
    if (this.released < worthBytes) return;
    const earliestMs = this.collectedAtMs + everyMs - performance.now();
    clearTimeout(this.timer ?? undefined);
    this.timer = setTimeout(() => this.run(), Math.max(quietMs, earliestMs)).unref();
  }

  close(): void {
    clearTimeout(this.timer ?? undefined);
  }

  private run(): void {
    this.released = 0;
    this.collectedAtMs = performance.now();
    this.collect();
  }
}
