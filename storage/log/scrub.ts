/**
 * Reads sealed log files again in the background and checks every frame against its checksum and the node's index, so that bytes
 * that rot are found while other nodes still have them. Slow on purpose, and slower while frames are written.
 *
 * It reads as every reader does, so what the operating system has in its cache is not fetched from the disk again: rot under a
 * page that is cached is found when the page has left the cache.
 */
import type { Runtime, Timer } from '../process/runtime.ts';
import type { HeldFrame, Segment } from './core/segment.ts';
import { FrameReader, type OnRotten } from './frame-reader.ts';
import type { HotLog } from './hot-log.ts';

const MiB = 1024 * 1024;

export const scrubBounds = {
  /** Read a second while nothing is written. */
  bytesPerSecond: 8 * MiB,
  /** The same while frames arrive. */
  busyBytesPerSecond: MiB,
  /** Read and checked in one go: about a millisecond. */
  pieceBytes: 256 * 1024,
  /** From a start to the first pass over the files. */
  firstMs: 60_000,
  /** From the end of a pass to the next one. */
  restMs: 6 * 60 * 60_000,
};

export interface ScrubberOptions {
  readonly log: Pick<HotLog, 'files' | 'readFromDisk' | 'counters'>;
  readonly segment: Segment;
  readonly runtime: Runtime;
  readonly onRotten: OnRotten;
  readonly bounds?: Partial<typeof scrubBounds>;
}

export class LogScrubber {
  /** Bytes checked, and passes over all files that have ended. */
  readonly counters = { bytes: 0, passes: 0 };
  private readonly options: ScrubberOptions;
  private readonly bounds: typeof scrubBounds;
  private readonly frames: FrameReader;
  private timer: Timer;
  /** What is left of the file under way. */
  private rest: readonly HeldFrame[] = [];
  private at = 0;
  private appends: number;
  private closed = false;

  constructor(options: ScrubberOptions) {
    this.options = options;
    this.bounds = { ...scrubBounds, ...options.bounds };
    const { log, runtime, onRotten } = options;
    this.appends = log.counters.appends;
    this.frames = new FrameReader({ read: (position) => log.readFromDisk(position) }, (rotten, reason) => {
      // A want of file handles is others' to report.
      if (rotten.length > 0) onRotten(rotten, reason);
    });
    this.timer = runtime.after(this.bounds.firstMs, () => void this.step());
  }

  close(): void {
    this.closed = true;
    this.timer.stop();
  }

  private async step(): Promise<void> {
    const { bounds, options } = this;
    const piece = this.nextPiece();
    const bytes = piece.reduce((sum, { position }) => sum + position.length, 0);
    if (piece.length > 0) await this.check(piece);
    this.counters.bytes += bytes;
    if (this.closed) return;
    const { appends } = options.log.counters;
    const rate = appends === this.appends ? bounds.bytesPerSecond : bounds.busyBytesPerSecond;
    this.appends = appends;
    if (piece.length === 0) this.counters.passes += 1;
    const waitMs = piece.length === 0 ? bounds.restMs : (bytes / rate) * 1_000;
    this.timer = options.runtime.after(waitMs, () => void this.step());
  }

  /** Every entry is looked at, also behind a bad one. */
  private async check(piece: readonly HeldFrame[]): Promise<void> {
    for (let from = 0; from < piece.length && !this.closed; ) {
      const read = await this.frames.read(piece.slice(from));
      if (read.kind === 'ok') return;
      from += read.good.length + 1;
    }
  }

  /** The next entries of the file under way or of the next sealed one; none at the end of a pass. */
  private nextPiece(): readonly HeldFrame[] {
    const { log, segment } = this.options;
    while (this.rest.length === 0) {
      const next = log.files.find(({ number, sealed }) => sealed && number > this.at);
      this.at = next?.number ?? 0;
      if (next === undefined) return [];
      this.rest = segment.entriesIn(next.number);
    }
    let count = 0;
    for (let bytes = 0; count < this.rest.length; count++) {
      bytes += this.rest[count]?.position.length ?? 0;
      if (count > 0 && bytes > this.bounds.pieceBytes) break;
    }
    const piece = this.rest.slice(0, count);
    this.rest = this.rest.slice(count);
    return piece;
  }
}
