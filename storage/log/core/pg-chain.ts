/** The chain of a protection group's frames in one epoch: each names the end of the one before it (`prevPg`). */
import type { Lsn } from '../../redo/ids.ts';
import type { HeldFrame } from './held-frames.ts';

/** Up to where a node has every record of the group: the SCL. */
export class PgChain {
  scl: Lsn;
  private anchor: Lsn;
  /** End of each frame that could not be linked yet, by its back-link. */
  private readonly waiting = new Map<Lsn, Lsn>();

  constructor(anchor: Lsn) {
    this.scl = anchor;
    this.anchor = anchor;
  }

  link(frame: Pick<HeldFrame, 'prevPg' | 'end'>): void {
    if (frame.end <= this.scl) return;
    if (!this.follows(frame.prevPg)) {
      this.waiting.set(frame.prevPg, frame.end);
      return;
    }
    this.scl = frame.end;
    for (let end = this.waiting.get(this.scl); end !== undefined; end = this.waiting.get(this.scl)) {
      this.waiting.delete(this.scl);
      this.scl = end;
    }
  }

  raise(anchor: Lsn): void {
    this.anchor = anchor;
    if (this.scl >= anchor) return;
    this.scl = anchor;
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const [prevPg, end] of waiting) this.link({ prevPg, end });
  }

  /** The first frame of a group that reaches above the anchor links back to the anchor or to anywhere below it. */
  private follows(prevPg: Lsn): boolean {
    return prevPg === this.scl || (this.scl === this.anchor && prevPg < this.anchor);
  }
}
