/**
 * What was written last, kept in memory so that readers near the end of the log (shipping, replicas, page folding)
 * need no disk. A bounded queue of byte runs in the order of the log.
 */
import type { LogPosition } from './hot-log-scan.ts';

interface Run {
  readonly file: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export class LogTail {
  private runs: Run[] = [];
  /** Runs before this index were dropped; the array is compacted now and then, not at every drop. */
  private first = 0;
  private heldBytes = 0;
  private readonly bytesMax: number;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Adds a run that lies after every run added before. The bytes must never change again. */
  add(file: number, offset: number, bytes: Uint8Array): void {
    this.runs.push({ file, offset, bytes });
    this.heldBytes += bytes.length;
    while (this.heldBytes > this.bytesMax) {
      const oldest = this.runs[this.first];
      if (oldest === undefined) break;
      this.heldBytes -= oldest.bytes.length;
      this.first += 1;
    }
    if (this.first > 64 && this.first * 2 > this.runs.length) {
      this.runs = this.runs.slice(this.first);
      this.first = 0;
    }
  }

  /** Files up to this number are gone. */
  drop(through: number): void {
    for (; (this.runs[this.first]?.file ?? Number.POSITIVE_INFINITY) <= through; this.first += 1)
      this.heldBytes -= this.runs[this.first]?.bytes.length ?? 0;
    this.runs = this.runs.slice(this.first);
    this.first = 0;
  }

  /** The frame at `position`, as a view of memory that never changes; undefined when it is not, or no longer, here. */
  get(position: LogPosition): Uint8Array | undefined {
    let low = this.first;
    let high = this.runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const run = this.runs[middle];
      if (run === undefined) return undefined;
      if (run.file < position.file || (run.file === position.file && run.offset <= position.offset))
        low = middle + 1;
      else high = middle;
    }
    const run = low > this.first ? this.runs[low - 1] : undefined;
    if (run === undefined || run.file !== position.file) return undefined;
    const from = position.offset - run.offset;
    const to = from + position.length;
    return to <= run.bytes.length ? run.bytes.subarray(from, to) : undefined;
  }
}
