/**
 * Where the records of each page lie, above a floor: page images hold everything at or below it. A record takes three
 * numbers here (24 bytes), since a busy minute has a million of them.
 */
import type { EpochTree } from './epoch-tree.ts';
import { framePayload } from './frame.ts';
import { type Epoch, type Lsn, type PageNo, zeroLsn } from './ids.ts';
import { RecordCursor } from './record-cursor.ts';
import type { HeldFrame } from './segment.ts';

/** A record of a page, to be folded into it. */
export interface PlannedRecord {
  readonly frame: HeldFrame;
  /** Offset of the record in the frame's payload. */
  readonly offset: number;
}

/** What a page is made of above the floor, oldest record first. */
export interface PagePlan {
  /** False when the first record is the whole page: what lies below does not matter. */
  readonly needsImage: boolean;
  readonly records: readonly PlannedRecord[];
}

/** Of each record: its LSN, the number of its frame, and twice its offset, plus one for a whole page. */
const fields = 3;

export class PageIndex {
  private readonly tree: EpochTree;
  /** By page, ascending by LSN. */
  private readonly chains = new Map<PageNo, number[]>();
  private readonly frames = new Map<number, HeldFrame>();
  private frameNumber = 0;
  private records = 0;
  private floorLsn: Lsn = zeroLsn;

  constructor(tree: EpochTree) {
    this.tree = tree;
  }

  /** Records at or below are not kept. */
  get floor(): Lsn {
    return this.floorLsn;
  }

  get recordCount(): number {
    return this.records;
  }

  /** Takes in the records of a persisted frame; a frame may come twice. */
  add(frame: HeldFrame, bytes: Uint8Array): void {
    if (frame.end <= this.floorLsn) return;
    const number = ++this.frameNumber;
    const cursor = new RecordCursor(framePayload(bytes));
    let took = false;
    for (let offset = 0; cursor.next(); offset = cursor.end) {
      const { page } = cursor;
      const lsn = frame.base + cursor.end;
      if (page === null || lsn <= this.floorLsn) continue;
      took = this.insert(page, lsn, number, 2 * offset + (cursor.isImage ? 1 : 0), frame.epoch) || took;
    }
    if (took) this.frames.set(number, frame);
  }

  /** @returns false when the record is here already; the same LSN of another epoch is another history's. */
  private insert(page: PageNo, lsn: number, frame: number, place: number, epoch: Epoch): boolean {
    const chain = this.chains.get(page);
    if (chain === undefined) {
      this.chains.set(page, [lsn, frame, place]);
      this.records += 1;
      return true;
    }
    let at = chain.length;
    while (at > 0 && (chain[at - fields] ?? 0) > lsn) at -= fields;
    for (let same = at - fields; same >= 0 && chain[same] === lsn; same -= fields)
      if (this.frames.get(chain[same + 1] ?? 0)?.epoch === epoch) return false;
    if (at === chain.length) chain.push(lsn, frame, place);
    else chain.splice(at, 0, lsn, frame, place);
    this.records += 1;
    return true;
  }

  /**
   * What to fold into the image of a page, which holds everything at or below the floor along the path to `head`.
   * @returns null when nothing above the floor changes the page at this read point.
   */
  plan(page: PageNo, head: Epoch, readPoint: Lsn): PagePlan | null {
    const chain = this.chains.get(page);
    if (chain === undefined) return null;
    const records: PlannedRecord[] = [];
    let needsImage = true;
    for (let at = chain.length - fields; at >= 0 && needsImage; at -= fields) {
      const lsn = chain[at] ?? 0;
      const frame = this.frames.get(chain[at + 1] ?? 0);
      if (lsn > readPoint || frame === undefined || lsn > this.tree.visibleUntil(head, frame.epoch)) continue;
      const place = chain[at + 2] ?? 0;
      records.push({ frame, offset: Math.floor(place / 2) });
      needsImage = place % 2 === 0;
    }
    return records.length === 0 ? null : { needsImage, records: records.reverse() };
  }

  /** Forgets every record at or below `floor`: images hold them by now. */
  raise(floor: Lsn): void {
    this.floorLsn = floor;
    for (const [page, chain] of this.chains) {
      let gone = 0;
      while (gone < chain.length && (chain[gone] ?? 0) <= floor) gone += fields;
      if (gone === 0) continue;
      this.records -= gone / fields;
      if (gone === chain.length) this.chains.delete(page);
      else chain.splice(0, gone);
    }
    for (const [number, frame] of this.frames) if (frame.end <= floor) this.frames.delete(number);
  }

  /** Forgets everything, to be filled again from above `floor`. */
  clear(floor: Lsn): void {
    this.chains.clear();
    this.frames.clear();
    this.records = 0;
    this.floorLsn = floor;
  }
}
