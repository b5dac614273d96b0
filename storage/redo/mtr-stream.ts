/**
 * Encodes a mini-transaction that is too large to be in memory: the records of one page after the other, laid into stretches that
 * each fit a frame. What it makes is what `encodeMtr` and `splitRun` would. Pure: whoever drives it keeps the stretches.
 */
import assert from 'node:assert/strict';
import { type PgId, pageNo } from './ids.ts';
import {
  type Commit,
  encodeRecord,
  type PageChange,
  pgOfPage,
  type RedoRecord,
  recordBytes,
  type Shrink,
} from './record.ts';

/** Whole records of one protection group, back to back: the payload of one frame. */
export interface MtrStretch {
  readonly pg: PgId;
  readonly length: number;
}

/** Redo of a mini-transaction that is not in memory. Its stretches follow one another in LSN order; the last ends in its commits. */
export interface StoredMtr {
  readonly stretches: readonly MtrStretch[];
  readonly byteLength: number;
  /** How many transactions committed with it. */
  readonly commits: number;
  /** @returns the bytes of the stretches from `from` to before `to`. Rejects when they cannot be had. */
  read(from: number, to: number): Promise<readonly Uint8Array[]>;
}

export interface MtrStreamOptions {
  /** Span of one protection group, see `redoLimits.pgBytesDefault`. */
  readonly pgBytes: number;
  /** What one stretch may hold, in bytes: no more than a frame. */
  readonly stretchBytesMax: number;
  /** When the database ends earlier than before. */
  readonly shrink: Shrink | null;
  /** Takes a stretch that is complete. Its bytes are good until it returns. */
  readonly onStretch: (pg: PgId, bytes: Uint8Array) => void;
}

export class MtrStream {
  private readonly options: MtrStreamOptions;
  private readonly shrinkPg: PgId;
  private shrink: Shrink | null;
  private readonly stretch: Uint8Array;
  private used = 0;
  private pg: PgId | null = null;
  private bytes = 0;

  constructor(options: MtrStreamOptions) {
    this.options = options;
    this.shrink = options.shrink;
    this.shrinkPg = pgOfPage(pageNo((options.shrink?.pages ?? 0) + 1), options.pgBytes);
    this.stretch = new Uint8Array(options.stretchBytesMax);
  }

  /** Bytes of redo so far. */
  get byteLength(): number {
    return this.bytes;
  }

  /** Takes a change of a page. Pages come in ascending order. */
  add(change: PageChange): void {
    const pg = pgOfPage(change.page, this.options.pgBytes);
    this.shrinkBefore(pg);
    this.put(pg, [change]);
  }

  /** Ends it. @param commits at least one. */
  finish(commits: readonly Commit[]): void {
    assert(commits.length > 0, 'a mini-transaction holds at least its commit');
    if (this.shrink !== null) this.shrinkBefore(this.shrinkPg);
    assert(this.pg !== null, 'a mini-transaction without a change is none');
    // S11: in one stretch, whatever else is in it.
    this.put(this.pg, commits);
    this.emit();
  }

  /** S23: it comes before the changes of its group. */
  private shrinkBefore(pg: PgId): void {
    const { shrink } = this;
    if (shrink === null || pg < this.shrinkPg) return;
    this.shrink = null;
    this.put(this.shrinkPg, [shrink]);
  }

  private put(pg: PgId, records: readonly RedoRecord[]): void {
    if (this.pg !== null && pg < this.pg) assert.fail('pages come in ascending order');
    const bytes = records.reduce((sum, record) => sum + recordBytes(record), 0);
    if (pg !== this.pg || this.used + bytes > this.stretch.length) this.emit();
    assert(this.used + bytes <= this.stretch.length, 'records that belong together fit a stretch');
    this.pg = pg;
    for (const record of records) this.used = encodeRecord(record, this.stretch, this.used);
    this.bytes += bytes;
  }

  private emit(): void {
    if (this.pg === null || this.used === 0) return;
    this.options.onStretch(this.pg, this.stretch.subarray(0, this.used));
    this.used = 0;
  }
}
