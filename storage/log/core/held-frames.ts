/** The frames of one epoch that a node has persisted, in the order of their LSNs, and how far they follow one another. */
import { type Epoch, type Lsn, maxLsn, minLsn, type PgId, zeroLsn } from '../../redo/ids.ts';
import { segmentLimits } from '../../redo/limits.ts';
import { PgChain } from './pg-chain.ts';

/** Where a frame's bytes lie; only the shell that wrote them looks inside. */
export type FramePosition = { readonly file: number; readonly offset: number; readonly length: number };

/**
 * A frame this node has persisted, or a stretch of them: frames that follow one another in the volume and on the disk and
 * that nobody tells apart any more. `base` and `prevPg` are then of the first, `end` and `lastCpl` of the last.
 */
export interface HeldFrame {
  readonly epoch: Epoch;
  readonly pg: PgId;
  readonly base: Lsn;
  readonly end: Lsn;
  readonly prevPg: Lsn;
  /** LSN of the last commit in it; null when it holds none. */
  readonly lastCpl: Lsn | null;
  readonly position: FramePosition;
}

/** How much of a stretch of log is held already. */
export type Cover = 'none' | 'part' | 'whole';

/** The persisted frames of one epoch, ordered by LSN. */
export class EpochFrames {
  /** From here on the chains count. */
  private anchor: Lsn;
  frames: HeldFrame[] = [];
  /** End of the gap-free run of the volume chain from the anchor. */
  volumeEnd: Lsn;
  /** Entries before this index have been joined. */
  private joined = 0;
  private readonly chains = new Map<PgId, PgChain>();

  constructor(anchor: Lsn) {
    this.anchor = anchor;
    this.volumeEnd = anchor;
  }

  /** The chains count from `anchor` on: nobody asks what is missing below. */
  raise(anchor: Lsn): void {
    if (anchor <= this.anchor) return;
    this.anchor = anchor;
    for (const chain of this.chains.values()) chain.raise(anchor);
    if (this.volumeEnd >= anchor) return;
    this.volumeEnd = anchor;
    const at = this.indexHolding(anchor);
    if (at >= 0) this.follow(at);
  }

  /** Forgets what lies in files up to `through`. @returns whether anything above the anchor went: the chains have to be made anew. */
  forgetFiles(through: number): boolean {
    const kept = this.frames.filter(({ position }) => position.file > through);
    if (kept.length === this.frames.length) return false;
    const lost = this.frames.some(({ position, end }) => position.file <= through && end > this.anchor);
    this.joined = this.frames.slice(0, this.joined).filter(({ position }) => position.file > through).length;
    this.frames = kept;
    return lost;
  }

  insert(frame: HeldFrame): boolean {
    if (this.holds(frame.base)) return false;
    const at = this.indexAtOrAfter(frame.base);
    if (at === this.frames.length) this.frames.push(frame);
    else this.frames.splice(at, 0, frame);
    if (at < this.joined) this.joined += 1;
    if (frame.base <= this.volumeEnd && frame.end > this.volumeEnd) this.follow(at);
    this.chainOf(frame.pg).link(frame);
    return true;
  }

  /** Moves the end of the volume chain on, beginning with the frame at this index, which reaches across it. */
  private follow(at: number): void {
    for (
      let next = this.frames[at];
      next !== undefined && next.base <= this.volumeEnd;
      next = this.frames[++at]
    )
      this.volumeEnd = maxLsn(this.volumeEnd, next.end);
  }

  /** Whether the frame that starts at `base` is here, by itself or in a stretch: an epoch has one frame at any LSN. */
  holds(base: Lsn): boolean {
    return this.indexHolding(base) >= 0;
  }

  /** Joins neighbours at or below `limit` into stretches. */
  join(limit: Lsn): void {
    const first = Math.max(0, this.joined - 1);
    let end = first;
    while ((this.frames[end]?.end ?? Number.POSITIVE_INFINITY) <= limit) end += 1;
    if (end - first < joinedAtOnce) return;
    const stretches: HeldFrame[] = [];
    for (const frame of this.frames.slice(first, end)) {
      const last = stretches.at(-1);
      const both = last === undefined ? null : joinedFrame(last, frame);
      if (both === null) stretches.push(frame);
      else stretches[stretches.length - 1] = both;
    }
    this.frames.splice(first, end - first, ...stretches);
    this.joined = first + stretches.length;
  }

  /** What of `[base, end)` is here already: an entry may cover many frames. */
  coverOf(base: Lsn, end: Lsn): Cover {
    let at = this.indexHolding(base);
    if (at < 0) {
      const next = this.frames[this.indexAtOrAfter(base)];
      return next === undefined || next.base >= end ? 'none' : 'part';
    }
    let covered = this.frames[at]?.end ?? base;
    for (at += 1; covered < end && this.frames[at]?.base === covered; at++)
      covered = this.frames[at]?.end ?? covered;
    return covered >= end ? 'whole' : 'part';
  }

  /** Takes out the entry at `index`; what is complete ends before it from now on. */
  takeOut(index: number): void {
    const [gone] = this.frames.splice(index, 1);
    if (gone === undefined) return;
    if (index < this.joined) this.joined -= 1;
    // Nobody asks what is missing below the anchor.
    if (gone.end <= this.anchor) return;
    this.volumeEnd = maxLsn(this.anchor, minLsn(this.volumeEnd, gone.base));
    const chain = new PgChain(this.anchor);
    for (const frame of this.frames) if (frame.pg === gone.pg) chain.link(frame);
    this.chains.set(gone.pg, chain);
  }

  private chainOf(pg: PgId): PgChain {
    let chain = this.chains.get(pg);
    if (chain === undefined) {
      chain = new PgChain(this.anchor);
      this.chains.set(pg, chain);
    }
    return chain;
  }

  sclOf(pg: PgId): Lsn {
    return this.chains.get(pg)?.scl ?? this.anchor;
  }

  get pgs(): readonly PgId[] {
    return [...this.chains.keys()];
  }

  /** Index of the first frame with base ≥ `at`. */
  indexAtOrAfter(at: Lsn): number {
    let low = 0;
    let high = this.frames.length;
    // Appends arrive in order nearly always: look at the end before searching.
    const last = this.frames[high - 1];
    if (last === undefined || last.base < at) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.frames[middle]?.base ?? zeroLsn) < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The frame that holds the byte at `position`, if it is here. */
  indexHolding(position: Lsn): number {
    const at = this.indexAtOrAfter(position);
    if (this.frames[at]?.base === position) return at;
    const before = this.frames[at - 1];
    return before !== undefined && before.end > position ? at - 1 : -1;
  }
}

/** Two neighbours as one, when they lie side by side in the volume and on the disk and are not too long; else null. */
function joinedFrame(one: HeldFrame, next: HeldFrame): HeldFrame | null {
  const { file, offset, length } = one.position;
  const isAdjacent =
    one.end === next.base &&
    one.pg === next.pg &&
    next.position.file === file &&
    next.position.offset === offset + length;
  if (!isAdjacent || length + next.position.length > segmentLimits.stretchBytes) return null;
  return {
    ...one,
    end: next.end,
    lastCpl: next.lastCpl ?? one.lastCpl,
    position: { file, offset, length: length + next.position.length },
  };
}

/** Entries that are worth going through once more. */
const joinedAtOnce = 64;
