/** The commit path in the worker: pages to redo, LSN and time assigned, everything handed over for the main thread. */
import {
  type Commit,
  concatBytes,
  diffPage,
  encodeMtr,
  type Lsn,
  lsn as lsnAt,
  type Mtr,
  MtrStream,
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
import { RedoFile } from '../scratch/redo-file.ts';
import { ScratchError, type ScratchSpace } from '../scratch/scratch-space.ts';
import { type ChangedPages, tooManyPages } from '../scratch/transaction-pages.ts';

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

/** Pages between two looks whether to go on, which are signs of life. */
const lookPages = 256;

/** Redo that is ready to be committed: in memory, or in a file. */
type Prepared = {
  readonly redo: Mtr | RedoFile;
  readonly commits: readonly PreparedCommit[];
};

export interface CommitLogOptions {
  readonly limits: EngineLimits;
  /** Where redo goes that is too much for memory. */
  readonly space: ScratchSpace;
  /** The wall clock, microseconds since the Unix epoch. */
  readonly clockUs: () => number;
  /** Why a large commit is not worth going on with, or null; asked often, which shows that it gets on. */
  readonly stopReason: () => SqlError | null;
  /** See `diffPage`. */
  readonly whole: 'image' | 'shortest';
}

/** Redo made and not yet handed to the main thread. */
export class CommitLog {
  private readonly options: CommitLogOptions;
  /** Span of a protection group of the volume; told at the beginning of each reign. */
  private pgBytes: number = redoLimits.pgBytesDefault;
  private commits: WorkerCommit[] = [];
  private parts: Uint8Array[] = [];
  private bytes = 0;
  private prepared: Prepared | null = null;
  /** Redo that the main thread reads until it is durable, in LSN order. */
  private files: { readonly at: Lsn; readonly redo: RedoFile }[] = [];
  private lastCommitUs = 0;

  constructor(options: CommitLogOptions) {
    this.options = options;
  }

  /** The volume that is written from now on. */
  useGroups(pgBytes: number): void {
    this.pgBytes = pgBytes;
  }

  /** Bytes of redo waiting for `take`. */
  get waitingBytes(): number {
    return this.bytes;
  }

  /** Everything up to `durable` is durable: nobody reads the files below any more. */
  settle(durable: Lsn): void {
    while (this.files[0] !== undefined && this.files[0].at <= durable) this.files.shift()?.redo.close();
  }

  /** What was handed over and is not durable comes to nothing. */
  forget(): void {
    this.discard();
    for (const { redo } of this.files.splice(0)) redo.close();
  }

  /** What was prepared is not committed. */
  private discard(): void {
    if (this.prepared?.redo instanceof RedoFile) this.prepared.redo.close();
    this.prepared = null;
  }

  /**
   * Reduces the pages a transaction wrote to redo, or those a group of transactions did. @returns why it may not commit, or null.
   * @param committers whose commits end the redo, in this order.
   */
  prepare(store: PageStore, pages: ChangedPages, committers: readonly Committer[]): SqlError | null {
    const { limits } = this.options;
    this.discard();
    const bytes = pages.size * redoLimits.pageBytes;
    if (bytes > limits.transactionPageBytes) return tooManyPages(pages.size, limits, 'transactionPageBytes');
    const { inMemory } = pages;
    if (inMemory === null || bytes > limits.residentPageBytes)
      return this.prepareFile(store, pages, committers);
    const changes: PageChange[] = [];
    const pagesBefore = databasePages(store.newest(firstPage));
    for (const [page, bytes] of inMemory) {
      // It is over before it could be stopped: only the sign of life counts.
      if (changes.length % lookPages === 0) this.options.stopReason();
      const change = this.changeOf(store, page, bytes, pagesBefore);
      if (change !== null) changes.push(change);
    }
    if (changes.length === 0) return null;
    const commits = committers.map((committer) => this.commitOf(committer));
    const redo = encodeMtr(
      changes,
      commits.map((commit) => commit.record),
      this.pgBytes,
      shrinkOf(pagesBefore, inMemory.get(firstPage) ?? null),
    );
    const refused = this.tooLarge(redo.byteLength);
    if (refused === null) this.prepared = { redo, commits };
    return refused;
  }

  /** The same page by page: neither the redo nor, as a rule, the pages are in memory. */
  private prepareFile(
    store: PageStore,
    pages: ChangedPages,
    committers: readonly Committer[],
  ): SqlError | null {
    let redo: RedoFile | null = null;
    try {
      redo = new RedoFile(this.options.space);
      const commits = this.encodeTo(redo, store, pages, committers);
      if (Array.isArray(commits)) {
        this.prepared = { redo, commits };
        return null;
      }
      redo.close();
      return commits === 'nothing' ? null : commits;
    } catch (error) {
      redo?.close();
      if (error instanceof ScratchError) return error.error;
      throw error;
    }
  }

  /** @returns the commits that end the redo; `nothing` when no page has changed; or why it may not commit. */
  private encodeTo(
    redo: RedoFile,
    store: PageStore,
    pages: ChangedPages,
    committers: readonly Committer[],
  ): PreparedCommit[] | 'nothing' | SqlError {
    const pagesBefore = databasePages(store.newest(firstPage));
    const stream = new MtrStream({
      pgBytes: this.pgBytes,
      stretchBytesMax: redoLimits.framePayloadBytesMax,
      shrink: shrinkOf(pagesBefore, pages.read(firstPage)),
      onStretch: (pg, bytes) => redo.add(pg, bytes),
    });
    for (const [index, number] of pages.sorted().entries()) {
      const stopped =
        index % lookPages === 0 ? (this.options.stopReason() ?? this.tooLarge(stream.byteLength)) : null;
      if (stopped !== null) return stopped;
      const page = pageNo(number);
      const bytes = pages.read(page);
      if (bytes === null) continue;
      const change = this.changeOf(store, page, bytes, pagesBefore);
      if (change !== null) stream.add(change);
    }
    if (stream.byteLength === 0) return 'nothing';
    const commits = committers.map((committer) => this.commitOf(committer));
    stream.finish(commits.map(({ record }) => record));
    return this.tooLarge(stream.byteLength) ?? commits;
  }

  private changeOf(
    store: PageStore,
    page: PageNo,
    bytes: Uint8Array,
    pagesBefore: number,
  ): PageChange | null {
    // S23: a page beyond the end may be cached from when the database was longer; storage has forgotten it.
    return diffPage(page, page > pagesBefore ? null : store.newest(page), bytes, this.options.whole);
  }

  private tooLarge(bytes: number): SqlError | null {
    const { transactionBytes } = this.options.limits;
    if (bytes <= transactionBytes) return null;
    const detail = `The transaction makes ${bytes} bytes of redo, more than transactionBytes = ${transactionBytes}`;
    return adviseError('SEXTANT_TRANSACTION_TOO_LARGE', detail);
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

  /**
   * Makes what was prepared visible; the pages are the store's from here on. @returns its commits, in the order of those who
   * committed; none when it changed nothing.
   */
  finish(store: PageStore, pages: ChangedPages): readonly SessionCommit[] {
    const { prepared } = this;
    this.prepared = null;
    if (prepared === null) {
      pages.clear();
      return [];
    }
    const { redo } = prepared;
    const at = nextLsn(store.head, redo.byteLength);
    const { inMemory } = pages;
    if (inMemory !== null) store.publish(inMemory, at);
    const file = pages.handOver();
    if (file !== null) store.publishLayer(file, at);
    const commits = positioned(prepared.commits, at);
    this.bytes += redo.byteLength;
    if (redo instanceof RedoFile) {
      this.files.push({ at, redo });
      this.commits.push({ lsn: at, runs: [], stored: redo.place, commits });
      return commits;
    }
    const runs = redo.runs.map(({ pg, bytes }) => ({ pg, length: bytes.length }));
    this.commits.push({ lsn: at, runs, stored: null, commits });
    for (const run of redo.runs) this.parts.push(run.bytes);
    return commits;
  }

  /** Everything since the last call, the redo back to back in a buffer of its own. */
  take(): { readonly commits: readonly WorkerCommit[]; readonly redo: Uint8Array<ArrayBuffer> | null } {
    if (this.commits.length === 0) return { commits: [], redo: null };
    const { commits } = this;
    const redo = this.parts.length === 0 ? null : joined(this.parts);
    this.commits = [];
    this.parts = [];
    this.bytes = 0;
    return { commits, redo };
  }

  /** The wall clock in microseconds, moved so that every commit is later than the one before. */
  private nextCommitUs(): number {
    this.lastCommitUs = Math.max(Math.floor(this.options.clockUs()), this.lastCommitUs + 1);
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
function shrinkOf(pagesBefore: number, page1: Uint8Array | null): Shrink | null {
  if (page1 === null) return null;
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
