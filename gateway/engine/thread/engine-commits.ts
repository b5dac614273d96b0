/** The commit path in the worker: pages to redo, LSN and time assigned, everything handed over for the main thread. */
import {
  type Commit,
  concatBytes,
  diffPage,
  encodeMtr,
  type Lsn,
  lsn as lsnAt,
  type Mtr,
  type PageChange,
  type PageNo,
  pageNo,
  recordBytes,
  redoLimits,
  type Shrink,
} from '../../../storage/redo.ts';
import { encodeTraceContext, newSpanId } from '../../../telemetry/core.ts';
import { adviseError } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import type { EngineTrace, SessionCommit, WorkerCommit } from '../core/engine-protocol.ts';
import { databasePages, nextLsn, type PageStore } from '../core/page-store.ts';

/** Whose transaction commits. */
export interface Committer {
  readonly session: number;
  readonly trace: EngineTrace | null;
}

interface PreparedCommit extends Committer {
  readonly spanId: string | null;
  readonly record: Commit;
}

/** Holds the number of pages. */
const firstPage = pageNo(1);
const sampledFlag = 1;

/** Pages between two signs of life. */
const beatPages = 256;

/** Redo made and not yet handed to the main thread. */
export class CommitLog {
  private readonly limits: EngineLimits;
  /** Span of a protection group of the volume; told at the beginning of each reign. */
  private pgBytes: number = redoLimits.pgBytesDefault;
  private readonly clockUs: () => number;
  private readonly beat: () => void;
  private commits: WorkerCommit[] = [];
  private parts: Uint8Array[] = [];
  private readonly whole: 'image' | 'shortest';
  private bytes = 0;
  private prepared: { readonly mtr: Mtr; readonly commits: readonly PreparedCommit[] } | null = null;
  private lastCommitUs = 0;

  /**
   * @param clockUs the wall clock, microseconds since the Unix epoch.
   * @param beat shows that a large commit gets on.
   * @param whole see `diffPage`.
   */
  constructor(limits: EngineLimits, clockUs: () => number, beat: () => void, whole: 'image' | 'shortest') {
    this.limits = limits;
    this.whole = whole;
    this.clockUs = clockUs;
    this.beat = beat;
  }

  /** The volume that is written from now on. */
  useGroups(pgBytes: number): void {
    this.pgBytes = pgBytes;
  }

  /** Bytes of redo waiting for `take`. */
  get waitingBytes(): number {
    return this.bytes;
  }

  /**
   * Reduces the pages a transaction wrote to redo, or those a group of transactions did. @returns why it may not commit, or null.
   * @param committers whose commits end the redo, in this order.
   */
  prepare(
    store: PageStore,
    pages: ReadonlyMap<PageNo, Uint8Array>,
    committers: readonly Committer[],
  ): SqlError | null {
    const { transactionBytes, transactionPageBytes } = this.limits;
    this.prepared = null;
    if (pages.size * redoLimits.pageBytes > transactionPageBytes) {
      const detail = `The transaction changes ${pages.size} pages, more than transactionPageBytes = ${transactionPageBytes} holds`;
      return adviseError('SEXTANT_TRANSACTION_TOO_LARGE', detail);
    }
    const changes: PageChange[] = [];
    const pagesBefore = databasePages(store.newest(firstPage));
    for (const [page, bytes] of pages) {
      if (changes.length % beatPages === 0) this.beat();
      // S23: a page beyond the end may be cached from when the database was longer; storage has forgotten it.
      const before = page > pagesBefore ? null : store.newest(page);
      const change = diffPage(page, before, bytes, this.whole);
      if (change !== null) changes.push(change);
    }
    if (changes.length === 0) return null;
    const commits = committers.map((committer) => this.commitOf(committer));
    const mtr = encodeMtr(
      changes,
      commits.map((commit) => commit.record),
      this.pgBytes,
      shrinkOf(pagesBefore, pages.get(firstPage)),
    );
    if (mtr.byteLength > transactionBytes) {
      const detail = `The transaction makes ${mtr.byteLength} bytes of redo, more than transactionBytes = ${transactionBytes}`;
      return adviseError('SEXTANT_TRANSACTION_TOO_LARGE', detail);
    }
    this.prepared = { mtr, commits };
    return null;
  }

  private commitOf({ session, trace }: Committer): PreparedCommit {
    const spanId = trace === null ? null : newSpanId();
    const encodedTrace =
      trace === null || spanId === null
        ? null
        : encodeTraceContext({ traceId: trace.traceId, spanId, sampled: (trace.flags & sampledFlag) !== 0 });
    const record: Commit = { kind: 'commit', commitTimeUs: this.nextCommitUs(), trace: encodedTrace };
    return { session, trace, spanId, record };
  }

  /** Makes what was prepared visible. @returns its commits, in the order of those who committed; none when it changed nothing. */
  finish(store: PageStore, pages: ReadonlyMap<PageNo, Uint8Array>): readonly SessionCommit[] {
    const { prepared } = this;
    this.prepared = null;
    if (prepared === null) {
      for (const bytes of pages.values()) store.returnBuffer(bytes);
      return [];
    }
    const { mtr } = prepared;
    const lsn: Lsn = nextLsn(store.head, mtr.byteLength);
    store.publish(pages, lsn);
    const runs = mtr.runs.map(({ pg, bytes }) => ({ pg, length: bytes.length }));
    const commits = positioned(prepared.commits, lsn);
    this.commits.push({ lsn, runs, commits });
    for (const run of mtr.runs) this.parts.push(run.bytes);
    this.bytes += mtr.byteLength;
    return commits;
  }

  /** Everything since the last call, the redo back to back in a buffer of its own. */
  take(): { readonly commits: readonly WorkerCommit[]; readonly redo: Uint8Array<ArrayBuffer> | null } {
    if (this.commits.length === 0) return { commits: [], redo: null };
    const { commits } = this;
    const redo = joined(this.parts);
    this.commits = [];
    this.parts = [];
    this.bytes = 0;
    return { commits, redo };
  }

  /** The wall clock in microseconds, moved so that every commit is later than the one before. */
  private nextCommitUs(): number {
    this.lastCommitUs = Math.max(Math.floor(this.clockUs()), this.lastCommitUs + 1);
    return this.lastCommitUs;
  }
}

/** One buffer of its own. A single part is one already: a large transaction's redo is there once. */
function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const [only] = parts;
  if (parts.length === 1 && only?.buffer instanceof ArrayBuffer && only.byteLength === only.buffer.byteLength)
    return new Uint8Array(only.buffer);
  return concatBytes(parts);
}

/** Where the database ends now, when that is earlier than before. */
function shrinkOf(pagesBefore: number, page1: Uint8Array | undefined): Shrink | null {
  if (page1 === undefined) return null;
  const pages = databasePages(page1);
  return pages < pagesBefore ? { kind: 'shrink', pages } : null;
}

/** Commits lie at the end of their redo, one after the other. */
function positioned(commits: readonly PreparedCommit[], end: Lsn): readonly SessionCommit[] {
  let at = commits.reduce((start, { record }) => start - recordBytes(record), Number(end));
  return commits.map(({ session, trace, spanId, record }) => {
    at += recordBytes(record);
    return { session, trace, spanId, lsn: lsnAt(at), commitTimeUs: record.commitTimeUs };
  });
}
