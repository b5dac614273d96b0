/**
 * Redo records: what one transaction changed, page by page, and the commit that makes it a unit.
 *
 * Layout, version 1 (the version is the frame's): `type u8 | bodyLength varint | body`.
 *
 * | type | body |
 * |---|---|
 * | 1 page delta | pageNo varint, then runs to the end: offset varint, length varint, bytes |
 * | 2 page image | pageNo varint, the whole page |
 * | 3 commit | commitTimeUs u64, then nothing, or traceId 16 B, spanId 8 B, traceFlags u8 |
 * | 4 shrink | pages varint: the pages beyond so many are gone |
 * | 5 page anew | as 1: the page is zero but for the runs |
 *
 * A record of n encoded bytes advances the LSN by n; the LSN of a record is the position just past it.
 */
import assert from 'node:assert/strict';
import { ByteReader, putU64, readU64, varintBytes, viewOf, writeVarint } from './bytes.ts';
import { isPageNo, type Lsn, lsn, type PageNo, type PgId, pageNo, pgId, unreachable } from './ids.ts';
import { redoLimits } from './limits.ts';
import { commitTimeBytes, RecordCursor, recordType, traceBytes } from './record-cursor.ts';

/** A commit record with a trace context: type, length, time, trace. */
export const commitBytesMax = 2 + commitTimeBytes + traceBytes;

/** Bytes of a page after the change, from `offset`. */
export interface PageRun {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface PageDelta {
  readonly kind: 'pageDelta';
  readonly page: PageNo;
  readonly runs: readonly PageRun[];
}

export interface PageImage {
  readonly kind: 'pageImage';
  readonly page: PageNo;
  readonly bytes: Uint8Array;
}

/** A page that begins, or begins again, with little in it: zero but for its runs, whatever it held before. */
export interface PageAnew {
  readonly kind: 'pageAnew';
  readonly page: PageNo;
  readonly runs: readonly PageRun[];
}

/**
 * Ends a mini-transaction; its LSN is a consistency point (CPL). Transactions that committed as a group share their page
 * changes and end in one commit each, one after the other.
 */
export interface Commit {
  readonly kind: 'commit';
  /** The writer's wall clock at commit, microseconds since the Unix epoch. */
  readonly commitTimeUs: number;
  /** 25 bytes: W3C trace id (16), span id of the commit span (8), flags (1); null when the write is untraced. */
  readonly trace: Uint8Array | null;
}

/**
 * The database ends after so many pages from here on. What lay beyond is gone: a page that comes into being there again
 * begins with all of it, as an image or anew (S23). It belongs to the group of the first page that is gone, and comes before that group's changes.
 */
export interface Shrink {
  readonly kind: 'shrink';
  readonly pages: number;
}

export type PageChange = PageDelta | PageImage | PageAnew;
export type RedoRecord = PageChange | Shrink | Commit;
/** A record with the LSN just past it. */
export type PositionedRecord = RedoRecord & { readonly lsn: Lsn };

/** Runs nearer to each other than the cost of a run header are joined. */
const joinGap = 4;
/** A difference longer than this may be longer than all that is on the page. */
const anewFromBytes = 256;
const zeroPage = new Uint8Array(redoLimits.pageBytes);

/**
 * What changed between two versions of a page: what differs, or all that is not zero, or the whole page, whichever is shortest.
 * @param previous null when the page did not exist: then what is recorded says all of the page.
 * @param whole how all of a page may be said: `image` for nodes that may be of before there was `pageAnew`.
 * @returns null when nothing changed.
 */
export function diffPage(
  page: PageNo,
  previous: Uint8Array | null,
  next: Uint8Array,
  whole: 'image' | 'shortest' = 'shortest',
): PageChange | null {
  const delta = previous === null || previous.length !== next.length ? null : runsBetween(previous, next);
  if (delta?.runs.length === 0) return null;
  if (delta !== null && delta.bytes <= anewFromBytes) return { kind: 'pageDelta', page, runs: delta.runs };
  const mayBeAnew = whole === 'shortest' && next.length === zeroPage.length;
  const anew = mayBeAnew ? runsBetween(zeroPage, next) : null;
  const shortest = Math.min(delta?.bytes ?? next.length, anew?.bytes ?? next.length);
  if (shortest >= next.length) return { kind: 'pageImage', page, bytes: next };
  if (delta?.bytes === shortest) return { kind: 'pageDelta', page, runs: delta.runs };
  return { kind: 'pageAnew', page, runs: anew?.runs ?? [] };
}

/** @returns the bytes of `next` that differ, and about how many bytes their record has. */
function runsBetween(
  previous: Uint8Array,
  next: Uint8Array,
): { readonly runs: readonly PageRun[]; readonly bytes: number } {
  const runs: PageRun[] = [];
  const old = compared(previous);
  const fresh = compared(next);
  let start = -1;
  let lastDifferent = -1;
  let bytes = 0;
  const end = (): void => {
    runs.push({ offset: start, bytes: next.subarray(start, lastDifferent + 1) });
    bytes += lastDifferent + 1 - start + joinGap;
  };
  for (let at = firstDifference(old, fresh, 0); at < next.length; at = firstDifference(old, fresh, at + 1)) {
    if (start >= 0 && at - lastDifferent > joinGap) {
      end();
      start = at;
    } else if (start < 0) {
      start = at;
    }
    lastDifferent = at;
  }
  if (start >= 0) end();
  return { runs, bytes };
}

/** First index at or after `from` where the pages differ; their length when none. Equal stretches are passed over by words. */
function firstDifference(previous: ComparedPage, next: ComparedPage, from: number): number {
  const { length } = next.bytes;
  let at = from;
  for (; at < length && at % wordBytes !== 0; at++) if (previous.bytes[at] !== next.bytes[at]) return at;
  if (previous.words !== null && next.words !== null) {
    let word = at / wordBytes;
    const { words } = next;
    while (word < words.length && previous.words[word] === words[word]) word++;
    at = word * wordBytes;
  }
  for (; at < length; at++) if (previous.bytes[at] !== next.bytes[at]) return at;
  return length;
}

const wordBytes = 8;

/** A page and, where its memory is aligned, the same page as 64-bit words. V8 compares those without making a bigint. */
interface ComparedPage {
  readonly bytes: Uint8Array;
  readonly words: BigInt64Array | null;
}

function compared(bytes: Uint8Array): ComparedPage {
  const { buffer, byteOffset, length } = bytes;
  const aligned = byteOffset % wordBytes === 0;
  return {
    bytes,
    words: aligned ? new BigInt64Array(buffer, byteOffset, Math.floor(length / wordBytes)) : null,
  };
}

/** Encoded size of a record, which is by how much it advances the LSN. */
export function recordBytes(record: RedoRecord): number {
  const body = bodyBytes(record);
  return 1 + varintBytes(body) + body;
}

function bodyBytes(record: RedoRecord): number {
  switch (record.kind) {
    case 'pageDelta':
    case 'pageAnew': {
      let bytes = varintBytes(record.page);
      for (const run of record.runs) {
        bytes += varintBytes(run.offset) + varintBytes(run.bytes.length) + run.bytes.length;
      }
      return bytes;
    }
    case 'pageImage':
      return varintBytes(record.page) + record.bytes.length;
    case 'shrink':
      return varintBytes(record.pages);
    case 'commit':
      return commitTimeBytes + (record.trace === null ? 0 : traceBytes);
    default:
      return unreachable(record);
  }
}

/** Appends a record to `target`. @returns the offset just past it. */
export function encodeRecord(record: RedoRecord, target: Uint8Array, offset: number): number {
  switch (record.kind) {
    case 'pageDelta':
    case 'pageAnew': {
      target[offset] = recordType[record.kind];
      let at = writeVarint(target, offset + 1, bodyBytes(record));
      at = writeVarint(target, at, record.page);
      for (const run of record.runs) {
        at = writeVarint(target, at, run.offset);
        at = writeVarint(target, at, run.bytes.length);
        target.set(run.bytes, at);
        at += run.bytes.length;
      }
      return at;
    }
    case 'pageImage': {
      target[offset] = recordType.pageImage;
      let at = writeVarint(target, offset + 1, bodyBytes(record));
      at = writeVarint(target, at, record.page);
      target.set(record.bytes, at);
      return at + record.bytes.length;
    }
    case 'shrink':
      target[offset] = recordType.shrink;
      return writeVarint(target, writeVarint(target, offset + 1, bodyBytes(record)), record.pages);
    case 'commit': {
      target[offset] = recordType.commit;
      const at = writeVarint(target, offset + 1, bodyBytes(record));
      putU64(target, at, record.commitTimeUs);
      if (record.trace === null) return at + commitTimeBytes;
      assert.equal(record.trace.length, traceBytes, 'a trace context in a commit record is 25 bytes');
      target.set(record.trace, at + commitTimeBytes);
      return at + commitTimeBytes + traceBytes;
    }
    default:
      return unreachable(record);
  }
}

export type DecodedRecords =
  | { readonly kind: 'records'; readonly records: readonly PositionedRecord[] }
  | { readonly kind: 'malformed'; readonly reason: string };

/**
 * Decodes a whole frame payload. Page bytes are views into `payload`.
 * @param base LSN at the first byte of `payload`.
 */
export function decodeRecords(payload: Uint8Array, base: Lsn): DecodedRecords {
  const reader = new ByteReader(payload);
  const records: PositionedRecord[] = [];
  while (reader.remaining > 0) {
    const type = reader.u8();
    const length = reader.varint();
    const body = reader.take(length);
    if (reader.failed) return { kind: 'malformed', reason: 'a record runs past the end of its frame' };
    const record = decodeBody(type, body);
    if (typeof record === 'string') return { kind: 'malformed', reason: record };
    records.push({ ...record, lsn: lsn(base + reader.offset) });
  }
  return { kind: 'records', records };
}

function decodeBody(type: number, body: Uint8Array): RedoRecord | string {
  switch (type) {
    case recordType.pageDelta:
      return decodeRuns('pageDelta', body);
    case recordType.pageAnew:
      return decodeRuns('pageAnew', body);
    case recordType.pageImage: {
      const reader = new ByteReader(body);
      const page = reader.varint();
      if (reader.failed || !isPageNo(page)) return 'a page image has no page number';
      if (reader.remaining !== redoLimits.pageBytes) return `a page image holds ${reader.remaining} bytes`;
      return { kind: 'pageImage', page: pageNo(page), bytes: reader.take(reader.remaining) };
    }
    case recordType.commit: {
      if (body.length !== commitTimeBytes && body.length !== commitTimeBytes + traceBytes) {
        return `a commit record of ${body.length} bytes`;
      }
      const commitTimeUs = readU64(viewOf(body), 0);
      if (Number.isNaN(commitTimeUs)) return 'a commit time beyond 2^53 microseconds';
      const trace = body.length === commitTimeBytes ? null : body.subarray(commitTimeBytes);
      return { kind: 'commit', commitTimeUs, trace };
    }
    case recordType.shrink: {
      const reader = new ByteReader(body);
      const pages = reader.varint();
      if (reader.failed || reader.remaining > 0) return 'a shrink record does not hold one number';
      return { kind: 'shrink', pages };
    }
    default:
      return `unknown record type ${type}`;
  }
}

function decodeRuns(kind: 'pageDelta' | 'pageAnew', body: Uint8Array): PageDelta | PageAnew | string {
  const reader = new ByteReader(body);
  const page = reader.varint();
  if (reader.failed || !isPageNo(page)) return 'a page change has no page number';
  const runs: PageRun[] = [];
  while (reader.remaining > 0) {
    const offset = reader.varint();
    const bytes = reader.take(reader.varint());
    if (reader.failed) return 'a page run runs past the end of its record';
    if (offset + bytes.length > redoLimits.pageBytes) return 'a page run runs past the end of its page';
    runs.push({ offset, bytes });
  }
  return { kind, page: pageNo(page), runs };
}

/**
 * Folds one change into a page image.
 * @param image the page before; zeros where the page did not exist. Written in place by runs.
 * @returns the page after: a copy of the record's bytes for an image, else `image` itself.
 */
export function applyChange(image: Uint8Array, change: PageChange): Uint8Array {
  // Not slice(): of a Buffer, which is what a log or a socket hands out, that is a view of the same memory.
  if (change.kind === 'pageImage') return new Uint8Array(change.bytes);
  if (change.kind === 'pageAnew') image.fill(0);
  for (const run of change.runs) image.set(run.bytes, run.offset);
  return image;
}

/** The part of a mini-transaction that belongs to one protection group: records back to back, ready for a frame. */
export interface MtrRun {
  readonly pg: PgId;
  readonly bytes: Uint8Array;
}

/** A mini-transaction, encoded once by the writer. Its runs follow one another in LSN order; the last ends in its commits. */
export interface Mtr {
  readonly runs: readonly MtrRun[];
  readonly byteLength: number;
  /** How many transactions committed with it. */
  readonly commits: number;
}

/** The protection group a page lies in. */
export function pgOfPage(page: PageNo, pgBytes: number): PgId {
  return pgId(Math.floor(((page - 1) * redoLimits.pageBytes) / pgBytes));
}

/**
 * Encodes the page changes of a transaction, or of a group of them, by protection group in ascending order, with the commits last.
 * @param commits at least one.
 * @param pgBytes span of one protection group, see `redoLimits.pgBytesDefault`.
 * @param shrink when the database ends earlier than before.
 */
export function encodeMtr(
  changes: readonly PageChange[],
  commits: readonly Commit[],
  pgBytes: number,
  shrink: Shrink | null = null,
): Mtr {
  assert(commits.length > 0, 'a mini-transaction holds at least its commit');
  const [first] = changes;
  const firstPg = first === undefined ? pgId(0) : pgOfPage(first.page, pgBytes);
  if (shrink === null && changes.every((change) => pgOfPage(change.page, pgBytes) === firstPg)) {
    const bytes = encodeRun([...changes, ...commits]);
    return { runs: [{ pg: firstPg, bytes }], byteLength: bytes.length, commits: commits.length };
  }
  const groups = new Map<PgId, RedoRecord[]>();
  if (shrink !== null) groups.set(pgOfPage(pageNo(shrink.pages + 1), pgBytes), [shrink]);
  for (const change of changes) {
    const pg = pgOfPage(change.page, pgBytes);
    const group = groups.get(pg);
    if (group === undefined) groups.set(pg, [change]);
    else group.push(change);
  }
  const order = [...groups.keys()].sort((a, b) => a - b);
  groups.get(order.at(-1) ?? firstPg)?.push(...commits);
  const runs = order.map((pg) => ({ pg, bytes: encodeRun(groups.get(pg) ?? []) }));
  const byteLength = runs.reduce((sum, run) => sum + run.bytes.length, 0);
  return { runs, byteLength, commits: commits.length };
}

function encodeRun(records: readonly RedoRecord[]): Uint8Array {
  let length = 0;
  for (const record of records) length += recordBytes(record);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const record of records) at = encodeRecord(record, bytes, at);
  assert.equal(at, length, 'a record encodes to the size it announced');
  return bytes;
}

/**
 * Splits encoded records into stretches of at most `bytesMax`, never inside a record, nor between two commits that follow
 * one another (S11): what may not be split and is longer than that stays whole.
 */
export function splitRun(bytes: Uint8Array, bytesMax: number): readonly Uint8Array[] {
  if (bytes.length <= bytesMax) return [bytes];
  const parts: Uint8Array[] = [];
  const cursor = new RecordCursor(bytes);
  let start = 0;
  /** Where the last record began, or the commits that it is one of. */
  let unit = 0;
  let wasCommit = false;
  for (let offset = 0; cursor.next(); offset = cursor.end) {
    if (!wasCommit || !cursor.isCommit) unit = offset;
    wasCommit = cursor.isCommit;
    if (cursor.end - start <= bytesMax || unit === start) continue;
    parts.push(bytes.subarray(start, unit));
    start = unit;
  }
  parts.push(bytes.subarray(start));
  return parts;
}
