/** The commit path in the worker: pages to redo, LSN and time assigned, everything handed over for the main thread. */
import type { Lsn, PageNo } from '../../storage/core/ids.ts';
import { redoLimits } from '../../storage/core/limits.ts';
import { diffPage, encodeMtr, type Mtr, type PageChange } from '../../storage/core/record.ts';
import { encodeTraceContext, newSpanId } from '../../telemetry/propagation.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import type { EngineTrace, WorkerCommit } from '../core/engine-protocol.ts';
import { adviseError } from '../core/errors.ts';
import { nextLsn, type PageStore } from '../core/page-store.ts';
import type { SqlError } from '../core/sql.ts';

interface PreparedCommit {
  readonly mtr: Mtr;
  readonly spanId: string | null;
}

const sampledFlag = 1;

/** Redo made and not yet handed to the main thread. */
export class CommitLog {
  private readonly limits: EngineLimits;
  private readonly pgBytes: number;
  private readonly clockUs: () => number;
  private commits: WorkerCommit[] = [];
  private parts: Uint8Array[] = [];
  private bytes = 0;
  private prepared: PreparedCommit | null = null;
  private lastCommitUs = 0;

  /** @param clockUs the wall clock, microseconds since the Unix epoch. */
  constructor(limits: EngineLimits, pgBytes: number, clockUs: () => number) {
    this.limits = limits;
    this.pgBytes = pgBytes;
    this.clockUs = clockUs;
  }

  /** Bytes of redo waiting for `take`. */
  get waitingBytes(): number {
    return this.bytes;
  }

  /** Reduces the pages a transaction wrote to redo. @returns why it may not commit, or null. */
  prepare(
    store: PageStore,
    pages: ReadonlyMap<PageNo, Uint8Array>,
    trace: EngineTrace | null,
  ): SqlError | null {
    const { transactionBytes, transactionPageBytes } = this.limits;
    this.prepared = null;
    if (pages.size * redoLimits.pageBytes > transactionPageBytes) {
      const detail = `The transaction changes ${pages.size} pages, more than transactionPageBytes = ${transactionPageBytes} holds`;
      return adviseError('SEXTANT_TRANSACTION_TOO_LARGE', detail);
    }
    const changes: PageChange[] = [];
    for (const [page, bytes] of pages) {
      const change = diffPage(page, store.newest(page), bytes);
      if (change !== null) changes.push(change);
    }
    if (changes.length === 0) return null;
    const spanId = trace === null ? null : newSpanId();
    const commitTimeUs = this.nextCommitUs();
    const encodedTrace =
      trace === null || spanId === null
        ? null
        : encodeTraceContext({ traceId: trace.traceId, spanId, sampled: (trace.flags & sampledFlag) !== 0 });
    const mtr = encodeMtr(changes, { kind: 'commit', commitTimeUs, trace: encodedTrace }, this.pgBytes);
    if (mtr.byteLength > transactionBytes) {
      const detail = `The transaction makes ${mtr.byteLength} bytes of redo, more than transactionBytes = ${transactionBytes}`;
      return adviseError('SEXTANT_TRANSACTION_TOO_LARGE', detail);
    }
    this.prepared = { mtr, spanId };
    return null;
  }

  /** Makes the prepared transaction visible. @returns its commit, or null when it changed nothing. */
  finish(
    store: PageStore,
    pages: ReadonlyMap<PageNo, Uint8Array>,
    trace: EngineTrace | null,
    session: number,
  ): WorkerCommit | null {
    const { prepared } = this;
    this.prepared = null;
    if (prepared === null) {
      for (const bytes of pages.values()) store.returnBuffer(bytes);
      return null;
    }
    const { mtr, spanId } = prepared;
    const lsn: Lsn = nextLsn(store.head, mtr.byteLength);
    store.publish(pages, lsn);
    const runs = mtr.runs.map(({ pg, bytes }) => ({ pg, length: bytes.length }));
    const commit: WorkerCommit = { session, lsn, commitTimeUs: mtr.commitTimeUs, spanId, trace, runs };
    this.commits.push(commit);
    for (const run of mtr.runs) this.parts.push(run.bytes);
    this.bytes += mtr.byteLength;
    return commit;
  }

  /** Everything since the last call, the redo back to back in a buffer of its own. */
  take(): { readonly commits: readonly WorkerCommit[]; readonly redo: Uint8Array<ArrayBuffer> | null } {
    if (this.commits.length === 0) return { commits: [], redo: null };
    const redo = new Uint8Array(this.bytes);
    let at = 0;
    for (const part of this.parts) {
      redo.set(part, at);
      at += part.length;
    }
    const { commits } = this;
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
