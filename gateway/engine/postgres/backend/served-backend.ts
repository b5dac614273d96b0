/**
 * The backend over the pages of a volume: loaded when it is first needed, started on the pages that are to be shown, thrown away
 * with its changes when anything goes wrong, and kept fit.
 */
import { Worker } from 'node:worker_threads';
import { type Lsn, zeroLsn } from '../../../../storage/redo.ts';
import { errorResponse } from '../../../postgres/protocol/core/server-messages.ts';
import { sqlError } from '../../../sql/errors.ts';
import type { SqlError } from '../../../sql/sql.ts';
import { timeoutMs, type WireOperation } from '../../../sql/wire-operation.ts';
import type { EngineStartReason, SessionCommit } from '../../core/engine-protocol.ts';
import { InterruptCell } from '../../core/interrupt-cell.ts';
import { sharedClockMs } from '../../shared-clock.ts';
import type { Committer } from '../../thread/engine-commits.ts';
import type { EngineDesk } from '../../thread/engine-desk.ts';
import { baseImage, writeBaseImage } from '../base-image.ts';
import type { BaseImage } from '../core/base-archive.ts';
import { VolumeFault } from '../core/file-error.ts';
import { Backend, BackendBroken } from './backend.ts';
import { BackendRunner, type RunnerSession, type RunResult } from './backend-runner.ts';
import { Upkeep, type UpkeepStep } from './core/upkeep.ts';
import { withError } from './core/wire-messages.ts';
import { nobody, ServedPages } from './served-pages.ts';

/** So often the thread shows that it lives while PGlite is loaded or a base image is made. */
const beatMs = 200;
/** SQLSTATE of a statement that was stopped: query_canceled. */
const cancelled = '57014';
/** File operations between two looks at the clock. */
const workPerLook = 16;

/**
 * Of a reader, which begins anew all the time: all buffers that were used are put back then, and its pages are in the store beside
 * them. A writer has more, since it would write what it changes whenever it lacks one.
 */
const readerSettings = { default_transaction_read_only: 'on', shared_buffers: '16MB' } as const;

/** Of a writer: room for what changes between two checkpoints several times over. All of it is zeroed at each start. */
const writerSettings = { shared_buffers: '64MB' } as const;

const readOnly = sqlError('SEXTANT_READ_ONLY', 'This gateway reads; the statement must run at the writer.');

export class ServedBackend {
  private readonly desk: EngineDesk;
  private readonly pages: ServedPages;
  private readonly upkeep: Upkeep;
  private loaded: { readonly backend: Backend; readonly runner: BackendRunner } | null = null;
  private loading = false;
  private readonly cell = new InterruptCell();
  private image: BaseImage | null = null;
  /** Why the next start is one. */
  private startsFor: EngineStartReason = 'opened';
  /** Why what runs was asked to stop; null while it was not. */
  private stopped: 'asked' | 'timeout' | null = null;
  /** When the pages that are shown were the newest. */
  private shownSinceMs = 0;
  /** Of a reader: the number that the first transaction that writes would have. */
  private firstWrite = 0n;
  /** When what runs is stopped; null while nothing can be: a start that is stopped is a start that failed. */
  private deadlineMs: number | null = null;
  private work = 0;

  constructor(desk: EngineDesk) {
    this.desk = desk;
    this.pages = new ServedPages(desk);
    this.upkeep = new Upkeep(desk.limits);
  }

  /** What answers show. */
  get readPoint(): Lsn {
    return this.pages.readPoint;
  }

  private get isWriter(): boolean {
    return this.desk.mode.kind === 'writer';
  }

  /** Whether operations can be run, or refused. When not, `prepare` is to be awaited first. */
  get isReady(): boolean {
    if (this.loaded === null) return false;
    return this.loaded.backend.isRunning || this.image !== null || !this.isWriter || !this.isEmptyVolume();
  }

  /** An empty volume, as far as can be told now; what cannot be read is told by the start. */
  private isEmptyVolume(): boolean {
    this.pages.renew();
    try {
      return this.pages.isEmpty;
    } catch (error) {
      if (error instanceof VolumeFault) return false;
      throw error;
    }
  }

  /** Loads what is missing for `isReady`, beside the thread's messages; once however often it is asked. */
  prepare(done: () => void): void {
    if (this.loading) return;
    this.loading = true;
    const beat = setInterval(() => this.desk.shared.beat(), beatMs);
    const load = async (): Promise<void> => {
      if (this.loaded === null) {
        const { limits } = this.desk;
        const backend = await Backend.load({
          working: () => this.look(),
          stopped: () => this.cell.isStopped,
          answering: (bytes) => bytes <= limits.resultBytes,
        });
        this.desk.tellInterruptible({ flags: backend.interruptFlags, cell: this.cell.buffer });
        this.loaded = { backend, runner: new BackendRunner(backend, limits.preparedStatements) };
      }
      if (!this.isReady) this.image = await baseImage({ make: makeBesides });
    };
    // What goes wrong here goes wrong always: it ends the thread, and with the error everybody is told.
    void load().then(() => {
      clearInterval(beat);
      this.loading = false;
      done();
    });
  }

  /** Nothing that was shown or changed counts any more. @param why the engine was opened anew, or something went wrong */
  reset(why: EngineStartReason): void {
    this.startsFor = why;
    this.loaded?.backend.stop();
  }

  /** Starts the backend before anybody asks, unless the volume is empty: a database is made for who wants one. @throws what `fail` takes */
  startAhead(): void {
    if (!this.use().backend.isRunning && !this.isEmptyVolume()) this.start();
  }

  /**
   * Sees to it that the backend runs and shows what an operation needs. @param isFree no session has anything open.
   * @returns why the operation must run elsewhere, or null. @throws what `fail` takes
   */
  ensure({ atLeast = zeroLsn, mayMove = false }: WireOperation, isFree: boolean): SqlError | null {
    const { backend } = this.use();
    if (backend.isRunning && isFree) {
      if (this.isDue) this.reset('refresh');
      else if (this.pages.isBehind && atLeast > this.readPoint) {
        // Clients that write and read in turn would have it begin anew with every read.
        if (mayMove) return readOnly;
        this.reset('refresh');
      }
    }
    if (backend.isRunning) return null;
    return this.start();
  }

  /** Whether a reader begins anew whatever is asked of it. */
  private get isDue(): boolean {
    if (this.isWriter) return false;
    const { readerChangesBytes, refreshMs } = this.desk.limits;
    if (this.pages.changedBytes >= readerChangesBytes) return true;
    return this.pages.isBehind && performance.now() - this.shownSinceMs >= refreshMs;
  }

  /** Starts the backend on the pages that are to be shown, and tells of it. @returns why the operation must run elsewhere, or null */
  private start(): SqlError | null {
    const sinceMs = performance.now();
    try {
      const elsewhere = this.startBackend();
      const tookMs = performance.now() - sinceMs;
      if (elsewhere === null) this.desk.tell({ kind: 'started', why: this.startsFor, tookMs });
      return elsewhere;
    } catch (error) {
      const reason = error instanceof VolumeFault ? error.error.message : String(error);
      this.desk.tell({ kind: 'notStarted', reason });
      throw error;
    }
  }

  private startBackend(): SqlError | null {
    const { backend, runner } = this.use();
    this.shownSinceMs = performance.now();
    this.pages.renew();
    if (this.pages.isEmpty) {
      if (!this.isWriter) return readOnly;
      writeBaseImage(this.pages.formatFiles(), this.image ?? []);
      this.image = null;
      this.mustPublish();
    }
    this.pages.readAhead();
    backend.start(this.pages.openFiles(), this.isWriter ? writerSettings : readerSettings);
    runner.restarted();
    this.upkeep.started();
    if (this.isWriter) this.mustPublish();
    this.firstWrite = backend.nextTransaction;
    return null;
  }

  private mustPublish(): void {
    const made = this.publish([nobody]);
    if ('code' in made) throw new VolumeFault(made);
  }

  /** @throws what `fail` takes: nothing of the operation counts */
  run(session: RunnerSession, operation: WireOperation): RunResult {
    this.pages.lookAhead();
    this.begin(session, operation);
    try {
      const result = this.use().runner.run(session, operation);
      const why = result.error?.code === cancelled ? this.whyStopped : null;
      if (why === null) return result;
      this.desk.tell({ kind: 'stopped', why });
      return why === 'timeout' ? this.toldOfTimeout(result) : result;
    } finally {
      this.end();
    }
  }

  /** A statement that only computes is stopped by another thread, which says no more than that it was. */
  private get whyStopped(): 'asked' | 'timeout' | null {
    if (this.stopped !== null || !this.cell.isStopped) return this.stopped;
    return this.deadlineMs !== null && performance.now() >= this.deadlineMs ? 'timeout' : 'asked';
  }

  /** PostgreSQL knows of the request only, not why it was made. */
  private toldOfTimeout(result: RunResult): RunResult {
    const { statementMs } = this.desk.limits;
    const message = 'canceling statement due to statement timeout';
    const hint = `A statement may run for statement_timeout, and for the gateway's limit statementMs = ${statementMs} at most.`;
    const told = errorResponse('ERROR', { code: cancelled, message, hint });
    return { ...result, messages: withError(result.messages, told), error: { code: cancelled, message } };
  }

  /** G92: whether a reader has written, however it was brought to. */
  get hasStrayed(): boolean {
    const { backend } = this.use();
    return !this.isWriter && backend.isRunning && backend.nextTransaction !== this.firstWrite;
  }

  /** Ends what a session has open. @throws what `fail` takes */
  rollBack(session: RunnerSession): void {
    this.use().runner.rollBack(session);
  }

  /** Makes redo of what was written; see `ServedPages.publish`. A reader has none. */
  publish(committers: readonly Committer[]): readonly SessionCommit[] | SqlError {
    if (!this.isWriter) return [];
    const before = this.pages.readPoint;
    const made = this.pages.publish(committers);
    if ('code' in made) this.reset('fault');
    else if (made.length > 0) this.upkeep.committed(this.pages.readPoint - before);
    return made;
  }

  /** Gives the backend up after an error. @returns what whoever ran on it is told. @throws what is a mistake of our own */
  fail(error: unknown): SqlError {
    this.reset('fault');
    if (error instanceof VolumeFault) return error.error;
    if (!(error instanceof BackendBroken)) throw error;
    return sqlError(
      'SEXTANT_TRANSACTION_ABORTED',
      `PostgreSQL could not go on, and was started again from what was committed before: ${error.message}`,
    );
  }

  /**
   * Does one thing that is due. To be called when no session has anything open.
   * @returns whether something was done: there may be more. @throws what `fail` takes
   */
  keepFit(isIdle: boolean): boolean {
    if (!this.isWriter || this.loaded?.backend.isRunning !== true) return false;
    const { runner } = this.loaded;
    const step = this.upkeep.next(performance.now(), isIdle);
    if (step === null) return false;
    this.desk.shared.beat();
    this.allow(Number.POSITIVE_INFINITY);
    try {
      this.carryOut(runner, step);
    } finally {
      this.end();
    }
    return true;
  }

  private carryOut(runner: BackendRunner, step: UpkeepStep): void {
    switch (step.kind) {
      case 'checkpoint': {
        const before = { ms: performance.now(), lsn: this.pages.readPoint };
        runner.own('CHECKPOINT');
        this.mustPublish();
        this.upkeep.checkpointed();
        const bytes = this.pages.readPoint - before.lsn;
        this.desk.tell({ kind: 'checkpoint', tookMs: performance.now() - before.ms, bytes });
        return;
      }
      case 'look': {
        runner.own('SELECT pg_stat_force_next_flush()'); // What the last second has changed counts, too.
        const rows = runner.own(this.upkeep.lookSql) ?? [];
        this.upkeep.looked(
          rows.map(([sql]) => sql ?? ''),
          performance.now(),
        );
        this.mustPublish();
        return;
      }
      case 'task': {
        // It counts as failed until it has worked: what breaks the backend is not tried again at once.
        this.upkeep.ran(step.sql, false, performance.now());
        const worked = runner.own(step.sql) !== null;
        this.mustPublish();
        if (worked) this.upkeep.ran(step.sql, true, performance.now());
      }
    }
  }

  /** Whether an idle moment would be of use. */
  get wantsIdle(): boolean {
    return this.isWriter && this.upkeep.wantsIdle;
  }

  private use(): { readonly backend: Backend; readonly runner: BackendRunner } {
    if (this.loaded === null) throw new Error('the backend is used before it is loaded');
    return this.loaded;
  }

  private begin({ timeout }: RunnerSession, { settings }: WireOperation): void {
    const own = timeoutMs(timeout ?? settings.statement_timeout);
    const { statementMs } = this.desk.limits;
    this.stopped = null;
    this.allow(own > 0 ? Math.min(own, statementMs) : statementMs);
  }

  /** From here on what runs is stopped when nobody wants it any more, or when its time is up. */
  private allow(ms: number): void {
    this.work = 0;
    this.deadlineMs = performance.now() + ms;
    this.cell.arm(this.desk.runningOperation, sharedClockMs(), ms);
    // Who asked before this could not stop it.
    if (this.desk.stopReason() !== null) this.cell.stop(null, this.use().backend.interruptFlags);
  }

  private end(): void {
    this.deadlineMs = null;
    if (this.cell.disarm()) this.loaded?.backend.calm();
  }

  /** A file is read or written, or an answer grows. The main thread may be busy: this one looks at the time, too. */
  private look(): void {
    this.desk.shared.beat();
    if (this.deadlineMs === null) return;
    const late = this.work++ % workPerLook === 0 && performance.now() >= this.deadlineMs;
    if (!late && this.desk.stopReason() === null) return;
    this.stopped ??= late ? 'timeout' : 'asked';
    this.loaded?.backend.interrupt();
  }
}

/** `initdb` keeps a thread busy for seconds. @throws Error when it fails */
function makeBesides(): Promise<BaseImage> {
  const worker = new Worker(new URL('./base-image-thread.ts', import.meta.url), { name: 'sextant-initdb' });
  return new Promise<BaseImage>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`initdb ended with code ${code} and made nothing`)));
  }).finally(() => worker.terminate());
}
