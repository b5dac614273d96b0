/**
 * Reads what a node has on its disk again in the background and checks it, so that bytes that rot are found while other nodes
 * still have them. Slow on purpose, and slower while frames are written.
 *
 * It reads as every reader does, so what the operating system has in its cache is not fetched from the disk again: rot under a
 * page that is cached is found when the page has left the cache.
 */
import type { Runtime, Timer } from '../process/runtime.ts';

const MiB = 1024 * 1024;

export const scrubBounds = {
  /** Read a second while nothing is written. */
  bytesPerSecond: 8 * MiB,
  /** The same while frames arrive. */
  busyBytesPerSecond: MiB,
  /** Read and checked in one go: about a millisecond. */
  pieceBytes: 256 * 1024,
  /**
   * Left out at the end of the log: its last block is written again with every batch. Readers of such frames have them from
   * memory.
   */
  tailBytes: 64 * 1024,
  /** From a start to the first pass over the files. */
  firstMs: 60_000,
  /** From the end of a pass to the next one. */
  restMs: 6 * 60 * 60_000,
};

export type ScrubBounds = typeof scrubBounds;

/** One kind of file, read piece by piece. */
export interface ScrubPass {
  /** Reads and checks the next piece. @returns its bytes; null when the pass has ended, after which the next call begins a new one. */
  next(): Promise<number | null>;
}

export interface ScrubberOptions {
  /** Taken one after another. */
  readonly passes: readonly ScrubPass[];
  readonly runtime: Runtime;
  /** A number that rises while frames are written. */
  readonly appends: () => number;
  readonly bounds: ScrubBounds;
}

export class Scrubber {
  /** Bytes checked, and times that all files were read to their end. */
  readonly counters = { bytes: 0, passes: 0 };
  private readonly options: ScrubberOptions;
  private timer: Timer;
  /** Which pass is under way. */
  private at = 0;
  private appends: number;
  private closed = false;

  constructor(options: ScrubberOptions) {
    this.options = options;
    this.appends = options.appends();
    this.timer = options.runtime.after(options.bounds.firstMs, () => void this.step());
  }

  close(): void {
    this.closed = true;
    this.timer.stop();
  }

  private async step(): Promise<void> {
    const { bounds, runtime } = this.options;
    const bytes = await this.next();
    if (this.closed) return;
    this.counters.bytes += bytes ?? 0;
    if (bytes === null) this.counters.passes += 1;
    const appends = this.options.appends();
    const rate = appends === this.appends ? bounds.bytesPerSecond : bounds.busyBytesPerSecond;
    this.appends = appends;
    const waitMs = bytes === null ? bounds.restMs : (bytes / rate) * 1_000;
    this.timer = runtime.after(waitMs, () => void this.step());
  }

  /** @returns null when the last of the passes has ended. */
  private async next(): Promise<number | null> {
    const { passes } = this.options;
    for (; this.at < passes.length; this.at++) {
      const bytes = (await passes[this.at]?.next()) ?? null;
      if (bytes !== null) return bytes;
    }
    this.at = 0;
    return null;
  }
}
