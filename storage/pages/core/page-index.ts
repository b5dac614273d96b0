/**
 * Where the records of each page lie, above a floor: page images hold everything at or below it. A record is a row of a
 * table, linked to the page's record before it: 22 bytes the garbage collector never looks at, since a busy minute has a
 * million of them. The table is made of blocks, so that neither growing nor forgetting moves a row: moving the rows of a
 * minute kept a node from its work for 20 to 115 ms, and all six at the same moment.
 */
import type { EpochTree } from '../../history/epoch-tree.ts';
import type { HeldFrame } from '../../log/core/held-frames.ts';
import { framePayload } from '../../redo/frame.ts';
import { type Epoch, type Lsn, type PageNo, zeroLsn } from '../../redo/ids.ts';
import { RecordCursor } from '../../redo/record-cursor.ts';

/** A record of a page, to be folded into it. */
export interface PlannedRecord {
  readonly frame: HeldFrame;
  /** Offset of the record in the frame's payload. */
  readonly offset: number;
}

/** What a page is made of above the floor, oldest record first. */
export interface PagePlan {
  /** False when the first record is the whole page, or the page was gone before it: what lies below does not matter. */
  readonly needsImage: boolean;
  /** None when the page is gone: the database ended before it, and has not grown to it again. */
  readonly records: readonly PlannedRecord[];
}

/** The database ended after `pages` from `lsn` on. */
interface Ending {
  readonly epoch: Epoch;
  readonly lsn: number;
  readonly pages: number;
}

/** Rows of a block: a quarter of a second of a busy writer. */
const blockRows = 4_096;
/** Of a link that leads nowhere. */
const none = -1;

/** Rows by the order in which they came. */
class Block {
  readonly pages = new Uint32Array(blockRows);
  readonly lsns = new Float64Array(blockRows);
  /** Place in `frames`. */
  readonly frameOf = new Uint16Array(blockRows);
  /** Twice the offset in the frame's payload, plus one for a whole page. */
  readonly places = new Uint32Array(blockRows);
  /** How many rows back the page's next older record lies, ahead when negative; 0 when nowhere. */
  readonly back = new Int32Array(blockRows);
  readonly frames: HeldFrame[] = [];
}

export class PageIndex {
  private readonly tree: EpochTree;
  /** Row of each page's newest record. */
  private readonly newest = new Map<PageNo, number>();
  /** By page, the row below which the last late record came to lie: a hole is filled from below, record after record. */
  private readonly aboveHole = new Map<PageNo, number>();
  /** Hold the rows in [firstRow, nextRow). A page's records are linked from the highest LSN to the lowest. */
  private readonly blocks: Block[] = [];
  private firstRow = 0;
  private nextRow = 0;
  private floorLsn: Lsn = zeroLsn;
  /** Above the floor; there are few. */
  private endings: readonly Ending[] = [];

  constructor(tree: EpochTree) {
    this.tree = tree;
  }

  /** Records at or below are not kept. */
  get floor(): Lsn {
    return this.floorLsn;
  }

  get recordCount(): number {
    return this.nextRow - this.firstRow;
  }

  /** Takes in the records of a persisted frame; a frame may come twice. */
  add(frame: HeldFrame, bytes: Uint8Array): void {
    if (frame.end <= this.floorLsn) return;
    const cursor = new RecordCursor(framePayload(bytes));
    for (let offset = 0; cursor.next(); offset = cursor.end) {
      const { page, pagesLeft } = cursor;
      const lsn = frame.base + cursor.end;
      if (lsn <= this.floorLsn) continue;
      if (pagesLeft !== null) this.end({ epoch: frame.epoch, lsn, pages: pagesLeft });
      if (page === null) continue;
      this.insert(page, lsn, 2 * offset + (cursor.isWhole ? 1 : 0), frame);
    }
  }

  private end(ending: Ending): void {
    const isKnown = this.endings.some((other) => other.lsn === ending.lsn && other.epoch === ending.epoch);
    if (!isKnown) this.endings = [...this.endings, ending];
  }

  /** LSN at which the page was gone for the last time before the read point; zero when it never was. */
  private goneAt(page: PageNo, head: Epoch, readPoint: Lsn): number {
    let gone = 0;
    for (const { epoch, lsn, pages } of this.endings)
      if (pages < page && lsn > gone && lsn <= readPoint && lsn <= this.tree.visibleUntil(head, epoch))
        gone = lsn;
    return gone;
  }

  /** Takes a record unless it is here already; the same LSN of another epoch is another history's. */
  private insert(page: PageNo, lsn: number, place: number, frame: HeldFrame): void {
    let later = none;
    let at = this.newest.get(page) ?? none;
    if (at !== none && this.lsnAt(at) > lsn) {
      const hint = this.aboveHole.get(page) ?? none;
      if (hint !== none && this.lsnAt(hint) > lsn) at = hint;
      for (; at !== none && this.lsnAt(at) > lsn; at = this.olderThan(at)) later = at;
      this.aboveHole.set(page, later);
    }
    for (let same = at; same !== none && this.lsnAt(same) === lsn; same = this.olderThan(same))
      if (this.frameAt(same)?.epoch === frame.epoch) return;
    const row = this.nextRow++;
    const block = this.blockOf(row) ?? this.addBlock();
    if (block.frames.at(-1) !== frame) block.frames.push(frame);
    const slot = row % blockRows;
    block.pages[slot] = page;
    block.lsns[slot] = lsn;
    block.frameOf[slot] = block.frames.length - 1;
    block.places[slot] = place;
    block.back[slot] = at === none ? 0 : row - at;
    if (later === none) this.newest.set(page, row);
    else this.linkBack(later, row);
  }

  /**
   * What to fold into the image of a page, which holds everything at or below the floor along the path to `head`.
   * @returns null when nothing above the floor changes the page at this read point.
   */
  plan(page: PageNo, head: Epoch, readPoint: Lsn): PagePlan | null {
    const records: PlannedRecord[] = [];
    const goneAt = this.endings.length === 0 ? 0 : this.goneAt(page, head, readPoint);
    let needsImage = true;
    for (let at = this.newest.get(page) ?? none; at !== none && needsImage; at = this.olderThan(at)) {
      const lsn = this.lsnAt(at);
      if (lsn <= this.floorLsn || lsn <= goneAt) break;
      const frame = this.frameAt(at);
      if (lsn > readPoint || frame === undefined || lsn > this.tree.visibleUntil(head, frame.epoch)) continue;
      const place = this.blockOf(at)?.places[at % blockRows] ?? 0;
      records.push({ frame, offset: place >>> 1 });
      needsImage = place % 2 === 0;
    }
    if (records.length === 0 && goneAt === 0) return null;
    return { needsImage: needsImage && goneAt === 0, records: records.reverse() };
  }

  /** Hides records at or below `floor`: images hold them by now. `forget` gives their room back. */
  raise(floor: Lsn): void {
    this.floorLsn = floor;
    this.aboveHole.clear();
    this.endings = this.endings.filter((ending) => ending.lsn > floor);
  }

  /**
   * Forgets records at or below the floor, at most a block of them, which takes some 0.2 ms. One that came late stays until those
   * that came before it go.
   * @returns whether there may be more.
   */
  forget(): boolean {
    const until = Math.min(this.nextRow, this.firstRow + blockRows);
    while (this.firstRow < until && this.lsnAt(this.firstRow) <= this.floorLsn) this.forgetFirst();
    return this.firstRow === until && until < this.nextRow;
  }

  /** Forgets everything, to be filled again from above `floor`. */
  clear(floor: Lsn): void {
    this.newest.clear();
    this.aboveHole.clear();
    this.blocks.length = 0;
    this.firstRow = 0;
    this.nextRow = 0;
    this.endings = [];
    this.floorLsn = floor;
  }

  private forgetFirst(): void {
    const row = this.firstRow++;
    const page = this.blocks[0]?.pages[row % blockRows] as PageNo;
    if (this.newest.get(page) === row) this.newest.delete(page);
    if (this.firstRow % blockRows === 0) this.blocks.shift();
  }

  private addBlock(): Block {
    const block = new Block();
    this.blocks.push(block);
    return block;
  }

  private blockOf(row: number): Block | undefined {
    return this.blocks[Math.floor(row / blockRows) - Math.floor(this.firstRow / blockRows)];
  }

  private lsnAt(row: number): number {
    return this.blockOf(row)?.lsns[row % blockRows] ?? 0;
  }

  private frameAt(row: number): HeldFrame | undefined {
    const block = this.blockOf(row);
    return block?.frames[block.frameOf[row % blockRows] ?? none];
  }

  /** A link to what is forgotten leads nowhere. */
  private olderThan(row: number): number {
    const back = this.blockOf(row)?.back[row % blockRows] ?? 0;
    return back === 0 || row - back < this.firstRow ? none : row - back;
  }

  private linkBack(row: number, older: number): void {
    const block = this.blockOf(row);
    if (block !== undefined) block.back[row % blockRows] = row - older;
  }
}
