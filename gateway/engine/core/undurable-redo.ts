/**
 * Redo that is on its way to being durable, kept for reading threads that begin anew meanwhile. Pure. A transaction may be larger
 * than what is worth keeping: then its beginning goes first, and a thread that begins before it has ended begins without it.
 */
import { type Lsn, maxLsn, zeroLsn } from '../../../storage/redo.ts';

interface Stretch {
  readonly frames: Uint8Array;
  readonly end: Lsn;
}

export class UndurableRedo {
  private readonly bytesMax: number;
  private stretches: Stretch[] = [];
  private bytes = 0;
  /** Redo up to here has been dropped although it was not durable. */
  private droppedTo: Lsn = zeroLsn;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Takes redo in LSN order. @param end where it ends. */
  add(frames: Uint8Array, end: Lsn): void {
    this.stretches.push({ frames, end });
    this.bytes += frames.length;
    let excess = 0;
    while (this.bytes > this.bytesMax && excess < this.stretches.length) {
      this.bytes -= this.stretches[excess]?.frames.length ?? 0;
      this.droppedTo = maxLsn(this.droppedTo, this.stretches[excess]?.end ?? zeroLsn);
      excess += 1;
    }
    if (excess > 0) this.stretches.splice(0, excess);
  }

  /** Everything up to `vdl` is durable: it comes from elsewhere. */
  settle(vdl: Lsn): void {
    let durable = 0;
    while ((this.stretches[durable]?.end ?? Number.POSITIVE_INFINITY) <= vdl) {
      this.bytes -= this.stretches[durable]?.frames.length ?? 0;
      durable += 1;
    }
    if (durable > 0) this.stretches.splice(0, durable);
  }

  /** What was on its way never arrives. */
  clear(): void {
    this.stretches = [];
    this.bytes = 0;
    this.droppedTo = zeroLsn;
  }

  /** All redo beyond `vdl`, which was settled; null when some of it is not here any more. */
  beyond(vdl: Lsn): readonly Uint8Array[] | null {
    return this.droppedTo > vdl ? null : this.stretches.map(({ frames }) => frames);
  }
}
