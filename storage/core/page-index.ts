/**
 * Where the records of each page lie, above a floor: page images hold everything at or below it. A record is a row of a
 * table, linked to the page's record before it: 20 bytes the garbage collector never looks at, since a busy minute has a
 * million of them.
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

/** Rows the table has room for at first; it doubles, and shrinks again when three quarters are free. */
const rowsMin = 1_024;
/** Of a link that leads nowhere. */
const none = -1;

export class PageIndex {
  private readonly tree: EpochTree;
  /** Row of each page's newest record. */
  private readonly newest = new Map<PageNo, number>();
  /** By page, the row below which the last late record came to lie: a hole is filled from below, record after record. */
  private readonly aboveHole = new Map<PageNo, number>();
  /** Rows, in the order in which they came. A page's records are linked from the highest LSN to the lowest. */
  private lsns = new Float64Array(rowsMin);
  /** Position in `frames`. */
  private frameOf = new Int32Array(rowsMin);
  /** Twice the offset in the frame's payload, plus one for a whole page. */
  private places = new Int32Array(rowsMin);
  private older = new Int32Array(rowsMin);
  private rows = 0;
  private frames: HeldFrame[] = [];
  private floorLsn: Lsn = zeroLsn;

  constructor(tree: EpochTree) {
    this.tree = tree;
  }

  /** Records at or below are not kept. */
  get floor(): Lsn {
    return this.floorLsn;
  }

  get recordCount(): number {
    return this.rows;
  }

  /** Takes in the records of a persisted frame; a frame may come twice. */
  add(frame: HeldFrame, bytes: Uint8Array): void {
    if (frame.end <= this.floorLsn) return;
    const before = this.rows;
    this.frames.push(frame);
    const cursor = new RecordCursor(framePayload(bytes));
    for (let offset = 0; cursor.next(); offset = cursor.end) {
      const { page } = cursor;
      const lsn = frame.base + cursor.end;
      if (page === null || lsn <= this.floorLsn) continue;
      this.insert(page, lsn, 2 * offset + (cursor.isImage ? 1 : 0), frame.epoch);
    }
    if (this.rows === before) this.frames.pop();
  }

  /** Takes a record of the newest frame, unless it is here already; the same LSN of another epoch is another history's. */
  private insert(page: PageNo, lsn: number, place: number, epoch: Epoch): void {
    let later = none;
    let at = this.newest.get(page) ?? none;
    if (at !== none && this.lsnAt(at) > lsn) {
      const hint = this.aboveHole.get(page) ?? none;
      if (hint !== none && this.lsnAt(hint) > lsn) at = hint;
      for (; at !== none && this.lsnAt(at) > lsn; at = this.olderThan(at)) later = at;
      this.aboveHole.set(page, later);
    }
    for (let same = at; same !== none && this.lsnAt(same) === lsn; same = this.olderThan(same))
      if (this.frameAt(same)?.epoch === epoch) return;
    const row = this.rows++;
    if (row === this.lsns.length) this.resize(2 * row);
    this.lsns[row] = lsn;
    this.frameOf[row] = this.frames.length - 1;
    this.places[row] = place;
    this.older[row] = at;
    if (later === none) this.newest.set(page, row);
    else this.older[later] = row;
  }

  /**
   * What to fold into the image of a page, which holds everything at or below the floor along the path to `head`.
   * @returns null when nothing above the floor changes the page at this read point.
   */
  plan(page: PageNo, head: Epoch, readPoint: Lsn): PagePlan | null {
    const records: PlannedRecord[] = [];
    let needsImage = true;
    for (let at = this.newest.get(page) ?? none; at !== none && needsImage; at = this.olderThan(at)) {
      const lsn = this.lsnAt(at);
      if (lsn <= this.floorLsn) break;
      const frame = this.frameAt(at);
      if (lsn > readPoint || frame === undefined || lsn > this.tree.visibleUntil(head, frame.epoch)) continue;
      const place = this.places[at] ?? 0;
      records.push({ frame, offset: place >>> 1 });
      needsImage = place % 2 === 0;
    }
    return records.length === 0 ? null : { needsImage, records: records.reverse() };
  }

  /**
   * Forgets records at or below `floor`: images hold them by now. One that came late stays in the table, unseen, until those
   * that came before it go.
   */
  raise(floor: Lsn): void {
    this.floorLsn = floor;
    let gone = 0;
    while (gone < this.rows && this.lsnAt(gone) <= floor) gone += 1;
    if (gone === 0) return;
    const goneFrames = gone === this.rows ? this.frames.length : (this.frameOf[gone] ?? 0);
    this.frames = this.frames.slice(goneFrames);
    this.lsns.copyWithin(0, gone, this.rows);
    this.places.copyWithin(0, gone, this.rows);
    for (let from = gone; from < this.rows; from++) {
      this.frameOf[from - gone] = (this.frameOf[from] ?? 0) - goneFrames;
      // A link into what goes leads nowhere.
      this.older[from - gone] = Math.max(none, this.olderThan(from) - gone);
    }
    this.rows -= gone;
    this.aboveHole.clear();
    for (const [page, row] of this.newest) {
      if (row < gone) this.newest.delete(page);
      else this.newest.set(page, row - gone);
    }
    if (this.rows < this.lsns.length / 4) this.resize(Math.max(rowsMin, 2 * this.rows));
  }

  /** Forgets everything, to be filled again from above `floor`. */
  clear(floor: Lsn): void {
    this.newest.clear();
    this.aboveHole.clear();
    this.frames = [];
    this.rows = 0;
    this.resize(rowsMin);
    this.floorLsn = floor;
  }

  private lsnAt(row: number): number {
    return this.lsns[row] ?? 0;
  }

  private frameAt(row: number): HeldFrame | undefined {
    return this.frames[this.frameOf[row] ?? none];
  }

  private olderThan(row: number): number {
    return this.older[row] ?? none;
  }

  private resize(rows: number): void {
    const kept = Math.min(this.rows, rows);
    const moved = <T extends Float64Array | Int32Array>(from: T, to: T): T => {
      to.set(from.subarray(0, kept));
      return to;
    };
    this.lsns = moved(this.lsns, new Float64Array(rows));
    this.frameOf = moved(this.frameOf, new Int32Array(rows));
    this.places = moved(this.places, new Int32Array(rows));
    this.older = moved(this.older, new Int32Array(rows));
  }
}
