/** Checks every frame of the log against its checksum and the node's index. */
import type { HeldFrame } from '../log/core/held-frames.ts';
import type { Segment } from '../log/core/segment.ts';
import { FrameReader, type OnRotten } from '../log/frame-reader.ts';
import type { HotLog } from '../log/hot-log.ts';
import type { ScrubBounds, ScrubPass } from './scrubber.ts';

export interface LogPassOptions {
  readonly log: Pick<HotLog, 'files' | 'readFromDisk'>;
  readonly segment: Segment;
  readonly onRotten: OnRotten;
  readonly bounds: Pick<ScrubBounds, 'pieceBytes' | 'tailBytes'>;
}

export class LogPass implements ScrubPass {
  private readonly options: LogPassOptions;
  private readonly frames: FrameReader;
  /** What is left of the file under way. */
  private rest: readonly HeldFrame[] = [];
  private at = 0;

  constructor(options: LogPassOptions) {
    this.options = options;
    const { log, onRotten } = options;
    this.frames = new FrameReader({ read: (position) => log.readFromDisk(position) }, (rotten, reason) => {
      // A want of file handles is others' to report.
      if (rotten.length > 0) onRotten(rotten, reason);
    });
  }

  async next(): Promise<number | null> {
    const piece = this.nextPiece();
    if (piece.length === 0) return null;
    await this.check(piece);
    return piece.reduce((sum, { position }) => sum + position.length, 0);
  }

  /** Every entry is looked at, also behind a bad one. */
  private async check(piece: readonly HeldFrame[]): Promise<void> {
    for (let from = 0; from < piece.length; ) {
      const read = await this.frames.read(piece.slice(from));
      if (read.kind === 'ok') return;
      from += read.good.length + 1;
    }
  }

  /** The next entries of the file under way or of the next one; none at the end of a pass. */
  private nextPiece(): readonly HeldFrame[] {
    const { log, segment, bounds } = this.options;
    while (this.rest.length === 0) {
      const { files } = log;
      const next = files.find(({ number }) => number > this.at);
      this.at = next?.number ?? 0;
      if (next === undefined) return [];
      const isLast = next === files.at(-1);
      const until = isLast ? next.bytes - bounds.tailBytes : Number.POSITIVE_INFINITY;
      this.rest = segment
        .entriesIn(next.number)
        .filter(({ position }) => position.offset + position.length <= until);
    }
    let count = 0;
    for (let bytes = 0; count < this.rest.length; count++) {
      bytes += this.rest[count]?.position.length ?? 0;
      if (count > 0 && bytes > bounds.pieceBytes) break;
    }
    const piece = this.rest.slice(0, count);
    this.rest = this.rest.slice(count);
    return piece;
  }
}
