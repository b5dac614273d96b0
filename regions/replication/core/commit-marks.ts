/**
 * Commit times still of interest, in LSN order: from them the age of the oldest commit a secondary lacks is read.
 * When there are too many, neighbours become one that ends where the later ends and is as old as the earlier, so lag is
 * never understated by thinning.
 */
import assert from 'node:assert/strict';
import { framePayload, type Lsn, lsn, type ReceivedFrame, RecordCursor } from '../../../storage/core.ts';

/** When a commit happened, by the primary's clock. */
export interface CommitMark {
  readonly lsn: Lsn;
  readonly commitTimeUs: number;
  /** How many commits it stands for: more than one when neighbours were joined. */
  readonly commits: number;
}

export class CommitMarks {
  private marks: CommitMark[] = [];
  private start = 0;
  private readonly limit: number;

  constructor(limit: number) {
    assert(limit >= 2, 'at least the oldest and the newest mark are kept');
    this.limit = limit;
  }

  /** Adds marks above all that are here already. */
  add(marks: readonly CommitMark[]): void {
    for (const mark of marks) {
      const last = this.marks.at(-1);
      if (last === undefined || mark.lsn > last.lsn) this.marks.push(mark);
    }
    while (this.marks.length - this.start > this.limit) {
      this.marks = thinned(this.marks.slice(this.start));
      this.start = 0;
    }
  }

  /** Drops what is durable by now. @returns what was dropped, the oldest first. */
  settle(vdl: Lsn): readonly CommitMark[] {
    const from = this.start;
    while ((this.marks[this.start]?.lsn ?? Number.POSITIVE_INFINITY) <= vdl) this.start += 1;
    const dropped = this.marks.slice(from, this.start);
    if (this.start < 1_024 && this.start < this.marks.length) return dropped;
    this.marks = this.marks.slice(this.start);
    this.start = 0;
    return dropped;
  }

  /** The oldest commit above the last settled VDL. */
  get oldest(): CommitMark | null {
    return this.marks[this.start] ?? null;
  }

  /** Commits above the last settled VDL: so many, or at least so many when the oldest mark has swallowed some below it. */
  get count(): { readonly commits: number; readonly isExact: boolean } {
    let commits = 0;
    for (let at = this.start + 1; at < this.marks.length; at += 1) commits += this.marks[at]?.commits ?? 0;
    const { oldest } = this;
    if (oldest === null) return { commits: 0, isExact: true };
    return { commits: commits + 1, isExact: oldest.commits === 1 };
  }

  clear(): void {
    this.marks = [];
    this.start = 0;
  }
}

/** The oldest mark as it is, and the rest two by two. */
function thinned(marks: readonly CommitMark[]): CommitMark[] {
  return marks.flatMap((mark, index) => {
    if (index === 0) return [mark];
    if (index % 2 === 0) return [];
    const later = marks[index + 1] ?? mark;
    const commitTimeUs = Math.min(mark.commitTimeUs, later.commitTimeUs);
    return [{ lsn: later.lsn, commitTimeUs, commits: mark.commits + (later === mark ? 0 : later.commits) }];
  });
}

/** The commits of frames in (from, next]; of a frame that does not decode, those before the fault. */
export function commitMarksIn(frames: readonly ReceivedFrame[], from: Lsn, next: Lsn): CommitMark[] {
  const marks: CommitMark[] = [];
  for (const { header, bytes } of frames) {
    const cursor = new RecordCursor(framePayload(bytes));
    while (cursor.next()) {
      const at = header.base + cursor.end;
      if (cursor.isCommit && at > from && at <= next)
        marks.push({ lsn: lsn(at), commitTimeUs: cursor.commitTimeUs, commits: 1 });
    }
  }
  return marks;
}
