/**
 * Walks the records of a frame's payload where they lie, without an object for any of them: what a node does with every
 * frame it keeps and every page it folds. `record.ts` has the format.
 */
import { isPageNo, type Lsn, lsn, type PageNo } from './ids.ts';
import { redoLimits } from './limits.ts';

export const recordType = { pageDelta: 1, pageImage: 2, commit: 3, shrink: 4, pageAnew: 5 } as const;

/** A commit's time, which its body begins with. */
export const commitTimeBytes = 8;
/** The trace context that may follow it. */
export const traceBytes = 25;

export class RecordCursor {
  private readonly payload: Uint8Array;
  private position = 0;
  /** The bytes are not a whole number of records; nothing further is read. */
  private bad = false;
  /** Of the record last read: */
  private type = 0;
  private body = 0;
  private changed = 0;

  constructor(payload: Uint8Array, offset = 0) {
    this.payload = payload;
    this.position = offset;
  }

  /** Moves to the next record. @returns false at the end, or where the bytes are malformed. */
  next(): boolean {
    if (this.bad || this.position >= this.payload.length) return false;
    this.type = this.payload[this.position++] ?? 0;
    const length = this.varint();
    const end = this.position + length;
    if (this.bad || end > this.payload.length) return this.fail();
    this.body = this.position;
    this.changed = 0;
    if (this.type === recordType.pageDelta || this.isWhole) {
      this.changed = this.varint();
      if (this.bad || this.position > end || !isPageNo(this.changed)) return this.fail();
      this.body = this.position;
    } else if (this.type === recordType.shrink) {
      this.changed = this.varint();
      if (this.bad || this.position !== end) return this.fail();
    } else if (this.type !== recordType.commit) return this.fail();
    this.position = end;
    return true;
  }

  get isMalformed(): boolean {
    return this.bad;
  }

  /** Offset just past the record: its LSN less the LSN of the payload's first byte. */
  get end(): number {
    return this.position;
  }

  get isCommit(): boolean {
    return this.type === recordType.commit;
  }

  /** Of a commit: the writer's clock, microseconds since the Unix epoch; 0 when the record is too short to say. */
  get commitTimeUs(): number {
    const { payload, body } = this;
    if (this.position - body < commitTimeBytes) return 0;
    let time = 0;
    for (let at = body + commitTimeBytes - 1; at >= body; at--) time = time * 256 + (payload[at] ?? 0);
    return time;
  }

  /** Of a commit: its trace context, a view of the payload; null for any other record and when the write is untraced. */
  get trace(): Uint8Array | null {
    const from = this.body + commitTimeBytes;
    return this.isCommit && this.position - from === traceBytes
      ? this.payload.subarray(from, this.position)
      : null;
  }

  /** Whether it says all of the page: what the page held before does not matter. */
  get isWhole(): boolean {
    return this.type === recordType.pageImage || this.type === recordType.pageAnew;
  }

  /** The page it changes; null for what changes no single page. */
  get page(): PageNo | null {
    return this.isCommit || this.type === recordType.shrink ? null : (this.changed as PageNo);
  }

  /** Of a shrink: how many pages the volume has from here on; null for any other record. */
  get pagesLeft(): number | null {
    return this.type === recordType.shrink ? this.changed : null;
  }

  /**
   * Folds the record into the page it changes, in place.
   * @returns false when its bytes do not fit a page; the image is then of no use.
   */
  applyTo(image: Uint8Array): boolean {
    const { payload, body } = this;
    const end = this.position;
    if (this.type === recordType.pageImage) {
      if (end - body !== redoLimits.pageBytes) return false;
      image.set(payload.subarray(body, end));
      return true;
    }
    if (this.type === recordType.pageAnew) image.fill(0);
    this.position = body;
    while (this.position < end) {
      const offset = this.varint();
      const length = this.varint();
      const from = this.position;
      this.position = from + length;
      if (this.bad || this.position > end || offset + length > redoLimits.pageBytes) {
        this.position = end;
        return false;
      }
      // Runs are a few bytes long, as a rule: shorter than what a view of them costs.
      if (length > 64) image.set(payload.subarray(from, from + length), offset);
      else for (let at = 0; at < length; at++) image[offset + at] = payload[from + at] ?? 0;
    }
    return true;
  }

  private varint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 5; count++, scale *= 128) {
      const byte = this.payload[this.position++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        return value;
      }
    }
    this.bad = true;
    return 0;
  }

  private fail(): false {
    this.bad = true;
    return false;
  }
}

/**
 * LSN of the last commit at or below `limit` in a payload that starts at `base`; null when it holds none.
 * @returns `malformed` when the payload is not a whole number of records.
 */
export function lastCplIn(
  payload: Uint8Array,
  base: Lsn,
  limit = Number.MAX_SAFE_INTEGER,
): Lsn | null | 'malformed' {
  const cursor = new RecordCursor(payload);
  let last: number | null = null;
  while (cursor.next()) if (cursor.isCommit && base + cursor.end <= limit) last = base + cursor.end;
  if (cursor.isMalformed) return 'malformed';
  return last === null ? null : lsn(last);
}
