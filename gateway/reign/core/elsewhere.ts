/**
 * How far a reign's redo is durable in another region, as the acknowledgements of secondaries prove it, and how far answers may
 * leave for it. Pure.
 *
 * The best secondary decides: `rpoMs` 0 lets out what it has; `rpoMs` N lets out everything while the oldest commit that it
 * lacks is not older than N, and else what it has. What nobody has acknowledged is held: silence proves nothing.
 *
 * A reign begins with what was durable elsewhere before it. Redo that this region received from another is durable there, too
 * (R2). The rest, and its age, is unknown until a secondary of this reign acknowledges it.
 */
import { CommitMarks } from '../../../regions/core.ts';
import { type Epoch, type Lsn, lsn, maxLsn, type RegionId } from '../../../storage/core.ts';

/** What an acknowledgement of shipped redo says. */
export interface Proof {
  readonly region: RegionId;
  /** The reign whose path the region follows. */
  readonly head: Epoch;
  /** Durable in it, along that path. */
  readonly vdl: Lsn;
}

/** Commit times that are kept; beyond, neighbours are joined, and count as the older. */
const marksMax = 4_096;
const everything = lsn(Number.MAX_SAFE_INTEGER);

export class Elsewhere {
  private readonly epoch: Epoch;
  private readonly marks = new CommitMarks(marksMax);
  private readonly regions = new Map<RegionId, Lsn>();
  private rpo: number | null = null;
  private best: Lsn;

  /** @param proven what is durable in another region when the reign begins. */
  constructor(epoch: Epoch, proven: Lsn) {
    this.epoch = epoch;
    this.best = proven;
  }

  /** The policy that is in force, in milliseconds; null when answers wait for no other region. */
  get rpoMs(): number | null {
    return this.rpo;
  }

  /** Durable in another region for certain. */
  get proven(): Lsn {
    return this.best;
  }

  /** What each secondary of this reign has acknowledged. */
  get heard(): ReadonlyMap<RegionId, Lsn> {
    return this.regions;
  }

  /** Puts a policy in force. @param end of everything committed so far: how old that is was not noted. */
  demand(rpoMs: number | null, end: Lsn): void {
    if (this.rpo === null && rpoMs !== null && end > this.best)
      this.marks.add([{ lsn: end, commitTimeUs: Number.NEGATIVE_INFINITY, commits: 1 }]);
    if (rpoMs === null) this.marks.clear();
    this.rpo = rpoMs;
  }

  /** A commit that ends at `end` was made. */
  committed(end: Lsn, nowMs: number): void {
    if (this.rpo !== null) this.marks.add([{ lsn: end, commitTimeUs: nowMs * 1_000, commits: 1 }]);
  }

  /** Another reign's acknowledgement says nothing about this one's path. */
  acknowledged({ region, head, vdl }: Proof): void {
    if (head !== this.epoch) return;
    this.regions.set(region, vdl);
    this.best = maxLsn(this.best, vdl);
    this.marks.settle(this.best);
  }

  /** How far answers may leave, as far as other regions are concerned. */
  limit(nowMs: number): Lsn {
    const { rpo } = this;
    const { oldest } = this.marks;
    if (rpo === null || oldest === null) return everything;
    return rpo > 0 && nowMs * 1_000 - oldest.commitTimeUs <= rpo * 1_000 ? everything : this.best;
  }
}
