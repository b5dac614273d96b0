/**
 * What one node holds of the volume: an index of its frames by epoch, and how far it is complete.
 *
 * Two chains run through the frames. The volume chain (each frame starts where the one before ended) says up to
 * where a history can be read here without a gap. The protection-group chain (`prevPg`) gives the SCL: up to
 * where this node has every record of that group, which is what a writer counts. Both are anchored where an epoch's own
 * records begin, or at the node's floor when that lies above (S18).
 */
import assert from 'node:assert/strict';
import type { EpochTree } from '../../history/epoch-tree.ts';
import { type Floor, floorOn, noFloor } from '../../history/floor.ts';
import type { FrameHeader } from '../../redo/frame.ts';
import { type Epoch, type Lsn, maxLsn, minLsn, type PgId, zeroLsn } from '../../redo/ids.ts';
import { FileSpans } from './file-spans.ts';
import { type Cover, EpochFrames, type HeldFrame } from './held-frames.ts';

/** All the frames one node has persisted. */
export class Segment {
  private readonly tree: EpochTree;
  private readonly epochs = new Map<Epoch, EpochFrames>();
  private readonly files = new FileSpans();
  private floorNow: Floor;
  /** See `setFuzzy`. */
  private fuzzyTo: Floor | null = null;
  /** By head, as long as the floor stays: a path never changes. */
  private readonly floors = new Map<Epoch, Lsn | null>();

  /** @param floor from where on the log is kept. */
  constructor(tree: EpochTree, floor: Floor = noFloor) {
    this.tree = tree;
    this.floorNow = floor;
  }

  get floor(): Floor {
    return this.floorNow;
  }

  /**
   * S24: the images at the floor hold pages as of places up to this one. On a path that leaves below it they say nothing, and they
   * can be read from here on, with the log from the floor. Null when they are all as of the floor.
   */
  setFuzzy(fuzzyTo: Floor | null): void {
    this.fuzzyTo = fuzzyTo;
    this.floors.clear();
  }

  /** No page can be told below this. */
  get readableFrom(): Lsn {
    return this.fuzzyTo?.lsn ?? zeroLsn;
  }

  /** See `floorOn`. */
  floorOn(head: Epoch): Lsn | null {
    if (this.floorNow.lsn === zeroLsn) return zeroLsn;
    let found = this.floors.get(head);
    if (found === undefined) {
      const { fuzzyTo } = this;
      const isTold = fuzzyTo === null || floorOn(this.tree, fuzzyTo, head) !== null;
      found = isTold ? floorOn(this.tree, this.floorNow, head) : null;
      this.floors.set(head, found);
    }
    return found;
  }

  /** From now on everything counts from `floor`, which its owner holds durable images at; nothing from the last one where that lies beside (S18). */
  raiseFloor(floor: Floor): void {
    const isHigher =
      floorOn(this.tree, this.floorNow, floor.epoch) !== null && floor.lsn >= this.floorNow.lsn;
    this.floorNow = floor;
    this.floors.clear();
    if (!isHigher || this.fuzzyTo !== null) this.countAnew();
    else for (const [of, frames] of this.epochs) frames.raise(this.anchorOf(of));
  }

  /** The images that the floor counted on are gone: from now on everything counts from the beginning, of which the log says nothing. */
  loseFloor(): void {
    this.floorNow = noFloor;
    this.fuzzyTo = null;
    this.floors.clear();
    this.countAnew();
  }

  private countAnew(): void {
    const epochs = [...this.epochs];
    this.epochs.clear();
    for (const [of, { frames }] of epochs) {
      const after = this.framesOf(of);
      for (const frame of frames) after.insert(frame);
    }
  }

  /** Forgets the frames in log files up to number `through`, which are about to be dropped. */
  forgetFiles(through: number): void {
    this.files.forget(through);
    for (const [of, before] of this.epochs) {
      if (!before.forgetFiles(through)) continue;
      const after = new EpochFrames(this.anchorOf(of));
      for (const frame of before.frames) after.insert(frame);
      this.epochs.set(of, after);
    }
  }

  /** Where the newest frame of the path to `head` in this log file ends; zero when it holds none of that path. */
  endInFile(head: Epoch, file: number): Lsn {
    return this.files.endOn(this.tree, head, file);
  }

  /** Whether all of a frame lies at or below the floor on the way to it: images hold what it says. */
  isBelowFloor({ epoch: of, end }: Pick<FrameHeader, 'epoch' | 'end'>): boolean {
    const { epoch: to, lsn: at } = this.floorNow;
    return end <= at && this.tree.visibleUntil(to, of) >= end;
  }

  private anchorOf(of: Epoch): Lsn {
    return maxLsn(this.tree.startOf(of), this.floorOn(of) ?? zeroLsn);
  }

  /** Whether a frame with this header is already here. */
  has(header: Pick<FrameHeader, 'epoch' | 'base'>): boolean {
    return this.epochs.get(header.epoch)?.holds(header.base) ?? false;
  }

  /** Takes a persisted frame in. @returns false when it was here already. */
  insert(frame: HeldFrame): boolean {
    assert(this.tree.has(frame.epoch), `S4: a frame of epoch ${frame.epoch}, which is not in the tree`);
    if (!this.framesOf(frame.epoch).insert(frame)) return false;
    this.files.add(frame);
    return true;
  }

  /** How much of what an entry covers is here, wherever it lies on the disk. */
  coverOf({ epoch, base, end }: Pick<HeldFrame, 'epoch' | 'base' | 'end'>): Cover {
    return this.epochs.get(epoch)?.coverOf(base, end) ?? 'none';
  }

  /** The entries of one log file, in the order of the file. Looks at every entry there is. */
  entriesIn(file: number): readonly HeldFrame[] {
    const entries: HeldFrame[] = [];
    for (const { frames } of this.epochs.values())
      for (const frame of frames) if (frame.position.file === file) entries.push(frame);
    return entries.sort((a, b) => a.position.offset - b.position.offset);
  }

  /**
   * S15: takes out the entry that holds `frame` where it lies, whose bytes are not what was written: the node claims none of
   * its frames any more. @returns the whole entry; null when the frame is not held, or held somewhere else by now.
   */
  takeOut(frame: HeldFrame): HeldFrame | null {
    const epochFrames = this.epochs.get(frame.epoch);
    const index = epochFrames?.indexHolding(frame.base) ?? -1;
    const entry = epochFrames?.frames[index];
    if (epochFrames === undefined || entry === undefined) return null;
    const { file, offset, length } = entry.position;
    const at = frame.position;
    if (at.file !== file || at.offset < offset || at.offset >= offset + length) return null;
    epochFrames.takeOut(index);
    return entry;
  }

  /**
   * S16: takes in what a sealed file holds, all of it or nothing. What is here already stays where it lies.
   * @returns false when another file holds a part of an entry: it would lie across what is there, where frames fit one by one.
   */
  insertSealed(entries: readonly HeldFrame[]): boolean {
    if (entries.some((entry) => this.coverOf(entry) === 'part')) return false;
    for (const entry of entries) this.insert(entry);
    return true;
  }

  /**
   * Joins the frames of the path to `head` at or below `limit` into stretches, so that the index does not grow with every
   * frame ever written. Nobody must want to know single frames there: surveys tell what lies above the durable point.
   */
  join(head: Epoch, limit: Lsn): void {
    for (const step of this.tree.path(head)) this.epochs.get(step.epoch)?.join(minLsn(limit, step.until));
  }

  private framesOf(candidate: Epoch): EpochFrames {
    let epochFrames = this.epochs.get(candidate);
    if (epochFrames === undefined) {
      epochFrames = new EpochFrames(this.anchorOf(candidate));
      this.epochs.set(candidate, epochFrames);
    }
    return epochFrames;
  }

  /**
   * Up to here the history that ends in `head` can be read from this node without a gap: from images at the floor and the log
   * above it. Zero when the path leaves below the floor.
   */
  volumeEnd(head: Epoch): Lsn {
    const floor = this.floorOn(head);
    if (floor === null) return zeroLsn;
    let end = floor;
    for (const step of this.tree.path(head)) {
      if (step.until <= floor) continue;
      if (end < step.from) return end;
      end = maxLsn(end, minLsn(this.epochs.get(step.epoch)?.volumeEnd ?? step.from, step.until));
      if (end < step.until) return end;
    }
    return end;
  }

  /**
   * SCL of a group along the path to `head`. The head's chains are anchored at its fork: they count only once
   * everything below the fork is here, and until then the node is complete to the end of its volume chain.
   */
  scl(head: Epoch, pg: PgId): Lsn {
    const end = this.volumeEnd(head);
    if (this.floorOn(head) === null || end < this.tree.startOf(head)) return end;
    return this.epochs.get(head)?.sclOf(pg) ?? this.anchorOf(head);
  }

  /** SCLs of every group that has records along the path to `head`. */
  scls(head: Epoch): readonly (readonly [PgId, Lsn])[] {
    const pgs = new Set(this.tree.path(head).flatMap((step) => this.epochs.get(step.epoch)?.pgs ?? []));
    return [...pgs].map((pg) => [pg, this.scl(head, pg)] as const);
  }

  /**
   * Consecutive frames along the path to `head`, starting with the one that holds or follows `from`, until
   * a gap, a frame that starts at or above `limit`, or `bytesMax` (at least one frame when there is any).
   */
  run(
    head: Epoch,
    from: Lsn,
    bytesMax: number,
    limit: Lsn,
  ): { readonly frames: readonly HeldFrame[]; readonly end: Lsn } {
    const frames: HeldFrame[] = [];
    let bytes = 0;
    let end = from;
    for (const step of this.tree.path(head)) {
      if (end >= step.until || end < step.from) continue;
      const epochFrames = this.epochs.get(step.epoch);
      let at = epochFrames?.indexHolding(end) ?? -1;
      if (epochFrames === undefined || at < 0) return { frames, end };
      for (; end < step.until; at++) {
        const frame = epochFrames.frames[at];
        if (frame === undefined || frame.base > end || frame.base >= limit) return { frames, end };
        if (bytes > 0 && bytes + frame.position.length > bytesMax) return { frames, end };
        end = minLsn(frame.end, step.until);
        // Of a stretch, what lies beyond the fork is no part of this path.
        frames.push(end === frame.end ? frame : { ...frame, end });
        bytes += frame.position.length;
      }
    }
    return { frames, end };
  }

  /** Every frame of `candidate` that reaches above `from`, gaps or not, in LSN order. */
  framesAbove(candidate: Epoch, from: Lsn): readonly HeldFrame[] {
    const epochFrames = this.epochs.get(candidate);
    if (epochFrames === undefined) return [];
    let at = epochFrames.indexAtOrAfter(from);
    if ((epochFrames.frames[at - 1]?.end ?? zeroLsn) > from) at -= 1;
    return epochFrames.frames.slice(at);
  }

  /** Highest LSN held of any epoch, gaps or not. */
  get lastLsn(): Lsn {
    let last = zeroLsn;
    for (const { frames } of this.epochs.values()) last = maxLsn(last, frames.at(-1)?.end ?? zeroLsn);
    return last;
  }

  get frameCount(): number {
    let count = 0;
    for (const { frames } of this.epochs.values()) count += frames.length;
    return count;
  }
}
