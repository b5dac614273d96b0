/** The engine's worker thread: SQLite on the volume's pages. Messages come and go in batches; see `engine-protocol.ts`. */
import assert from 'node:assert/strict';
import { MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type Lsn, splitFrames, zeroLsn } from '../../../storage/redo.ts';
import { sqlError } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';
import type {
  EngineMode,
  EngineWorkerData,
  FromWorker,
  Peeked,
  ToWorker,
  WorkerAnswer,
} from '../core/engine-protocol.ts';
import { RedoQueue } from '../core/engine-redo.ts';
import { EngineShared } from '../core/engine-shared.ts';
import { packFromWorker, unpackToWorker } from '../core/engine-wire.ts';
import { PageStore } from '../core/page-store.ts';
import { Handover } from '../engine-handover.ts';
import { SqliteRuntime } from '../sqlite/sqlite-runtime.ts';
import { type PragmaAnswer, type VolumeFile, VolumeVfs } from '../sqlite/sqlite-vfs.ts';
import { SqliteWasm } from '../sqlite/sqlite-wasm.ts';
import { CommitLog } from './engine-commits.ts';
import { Sessions } from './engine-sessions.ts';
import { PageReader } from './page-misses.ts';

/** Redo and answers leave at the end of a batch of messages, or sooner when this much redo or time has gathered. */
const flushBytes = 128 * 1024;
const flushAfterMs = 2;
/** An engine that was never opened has nothing to keep. */
const emptyCacheBytes = 64 * 1024;

class EngineWorker {
  private readonly data: EngineWorkerData;
  private readonly post: (message: FromWorker, transfer: readonly ArrayBuffer[]) => void;
  private readonly shared: EngineShared;
  private readonly commits: CommitLog;
  private readonly sessions: Sessions;
  private mode: EngineMode = { kind: 'reader', readPoint: zeroLsn };
  private generation = 0;
  /** The operation that runs; 0 when none does. */
  private running = 0;
  private readonly reader: PageReader;
  private pageCacheBytes = emptyCacheBytes;
  private store: PageStore;
  private redo: RedoQueue;
  /** The newest commit that was made or folded here; null for none since it was opened. */
  private newest: { readonly lsn: Lsn; readonly commitTimeUs: number } | null = null;
  private diverged: string | null = null;
  private answers: WorkerAnswer[] = [];
  private peeked: Peeked[] = [];
  private lastFlush = 0;
  private reported: Lsn = zeroLsn;
  private reportedGeneration = -1;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    data: EngineWorkerData,
    wasm: SqliteWasm,
    pages: MessagePort,
    post: (message: FromWorker, transfer: readonly ArrayBuffer[]) => void,
  ) {
    this.data = data;
    this.post = post;
    this.shared = new EngineShared(data.shared);
    this.store = this.newStore();
    this.redo = new RedoQueue(zeroLsn, data.limits.earlyRedoBytes);
    this.commits = new CommitLog(
      data.limits,
      () => (performance.timeOrigin + performance.now()) * 1000,
      () => this.shared.beat(),
    );
    const isAbandoned = (): boolean => this.shared.generation !== this.generation;
    const abandoned = sqlError(
      'SEXTANT_TRANSACTION_ABORTED',
      'The engine was replaced while the statement ran.',
    );
    const cancelled = sqlError(
      'SQLITE_INTERRUPT',
      'The statement was stopped: its client has gone, or others waited for the thread it ran on.',
    );
    const stopReason = (): SqlError | null => {
      this.shared.beat();
      if (isAbandoned()) return abandoned;
      return this.shared.isCancelled(this.running) ? cancelled : null;
    };
    this.reader = new PageReader(pages, this.shared, data.limits, stopReason);
    const vfs = new VolumeVfs(wasm, {
      store: () => this.store,
      fetch: (store, page, readPoint) => {
        this.shared.missed();
        return this.reader.fetch(store, page, readPoint);
      },
      hit: () => this.shared.hit(),
      reserve: () => this.sessions.mayWrite(),
      prepareCommit: (file) => this.commits.prepare(file.store, file.pending, this.sessions.committers()),
      finishCommit: (file) => {
        const commits = this.commits.finish(file.store, file.pending);
        this.newest = commits.at(-1) ?? this.newest;
        this.sessions.noteCommits(commits);
        return file.store.head;
      },
      pragma: (file, name, value) => this.pragma(file, name, value),
    });
    const runtime = new SqliteRuntime(wasm, vfs, data.limits, {
      deadline: Number.POSITIVE_INFINITY,
      stopReason,
      hasWaiting: () => this.shared.hasWaiting,
    });
    this.sessions = new Sessions(
      {
        limits: data.limits,
        store: () => this.store,
        isWriter: () => this.mode.kind === 'writer',
        isAbandoned,
        answer: (answer) => this.answers.push(answer),
        answered: () => this.flushIfDue(),
        begin: (id) => this.shared.begin(id),
        running: (id) => {
          this.running = id;
          this.shared.setRunning(id);
          this.shared.beat();
        },
      },
      runtime,
    );
  }

  private newStore(): PageStore {
    const head = this.mode.kind === 'writer' ? this.mode.lsn : this.mode.readPoint;
    return new PageStore({ kind: this.mode.kind, head, cacheBytesMax: this.pageCacheBytes });
  }

  receive(batch: readonly ToWorker[]): void {
    this.lastFlush = performance.now();
    const lastOperation = batch.findLastIndex((message) => message.kind === 'operation');
    for (const [index, message] of batch.entries()) this.take(message, index < lastOperation);
    this.sessions.gathered();
    this.updateBlocked();
    this.tick();
    this.flush();
  }

  /** @param isMoreComing an operation is among the messages after this one. */
  private take(message: ToWorker, isMoreComing: boolean): void {
    switch (message.kind) {
      case 'operation':
        this.sessions.post(
          message.id,
          message.session,
          message.trace,
          message.state,
          message.operation,
          isMoreComing,
        );
        this.updateBlocked();
        return;
      case 'closeSession':
        this.sessions.closeSession(message.session);
        return;
      case 'durable':
        this.store.setDurable(message.lsn);
        this.updateBlocked();
        return;
      case 'redo':
        this.follow(message.frames, message.vdl);
        return;
      case 'peek': {
        const { id, page, readPoint } = message;
        const bytes = this.mode.kind === 'writer' ? this.store.peek(page, readPoint) : undefined;
        this.peeked.push({ id, bytes: bytes instanceof Uint8Array ? bytes.slice() : bytes });
        return;
      }
      case 'open':
        this.open(message);
        return;
    }
  }

  private open({ mode, generation, bounds }: Extract<ToWorker, { kind: 'open' }>): void {
    // Redo of the old engine must not be taken for the new one's: it is handed over under the old generation.
    this.flush();
    this.sessions.reset();
    this.flush();
    this.mode = mode;
    if (mode.kind === 'writer') this.commits.useGroups(mode.pgBytes);
    this.generation = generation;
    this.pageCacheBytes = bounds.pageCacheBytes;
    this.reader.pageReadMs = bounds.pageReadMs;
    this.store = this.newStore();
    this.newest = null;
    this.redo = new RedoQueue(this.store.head, this.data.limits.earlyRedoBytes);
    this.diverged = null;
    this.sessions.setBlocked(false);
  }

  private follow(frames: Uint8Array, vdl: Lsn): void {
    if (this.mode.kind !== 'reader' || this.diverged !== null) return;
    const split = splitFrames(frames);
    if (split.kind === 'bad') {
      this.diverged = split.reason;
      return;
    }
    for (const frame of split.frames) {
      this.shared.beat();
      const added = this.redo.add(frame);
      if (added.kind === 'added') continue;
      this.diverged = added.reason;
      return;
    }
    for (const mtr of this.redo.take(vdl)) {
      this.shared.beat();
      this.store.fold(mtr.changes, mtr.lsn);
      this.newest = mtr;
    }
  }

  /** Back-pressure: too much redo that is not durable holds writes up. */
  private updateBlocked(): void {
    if (this.mode.kind !== 'writer') return;
    const outstanding = this.store.head - this.store.durable;
    this.sessions.setBlocked(outstanding >= this.data.limits.outstandingBytes);
  }

  private tick(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    const wait = this.sessions.tick();
    this.timer =
      wait === null
        ? null
        : setTimeout(() => {
            this.timer = null;
            this.receive([]);
          }, wait);
  }

  private pragma(file: VolumeFile, name: string, value: string | null): PragmaAnswer | null {
    switch (name) {
      case 'journal_mode':
        return { ok: true, text: 'memory' }; // The volume's redo is the journal; WAL cannot be had.
      case 'locking_mode':
        return { ok: true, text: 'normal' };
      case 'cache_spill':
        return { ok: true, text: value === null ? '0' : null }; // Spilling would write pages of a transaction before it commits.
      case 'encoding':
        return { ok: true, text: value === null ? 'UTF-8' : null };
      case 'sextant_read':
        return this.sessions.readPreference(value);
      case 'sextant_position':
        return { ok: true, text: this.position(file) };
      default:
        return null;
    }
  }

  /** The LSN up to which a connection sees everything, and when its newest commit was made, where that was seen. */
  private position(file: VolumeFile): string {
    const at = file.snapshot ?? file.store.head;
    const { newest } = this;
    if (newest?.lsn !== at) return `${at}`;
    return `${at} ${new Date(Math.floor(newest.commitTimeUs / 1_000)).toISOString()}`;
  }

  private flushIfDue(): void {
    if (this.commits.waitingBytes >= flushBytes || performance.now() - this.lastFlush >= flushAfterMs)
      this.flush();
  }

  private flush(): void {
    this.lastFlush = performance.now();
    const readPoint = this.store.head;
    const { commits, redo } = this.commits.take();
    const { answers, peeked, generation, diverged } = this;
    const news = readPoint !== this.reported || generation !== this.reportedGeneration || diverged !== null;
    if (commits.length === 0 && answers.length === 0 && peeked.length === 0 && !news) return;
    this.answers = [];
    this.peeked = [];
    this.reported = readPoint;
    this.reportedGeneration = generation;
    this.post(
      { commits, redo, answers, peeked, readPoint, generation, diverged },
      redo === null ? [] : [redo.buffer],
    );
  }
}

const port = parentPort;
assert(port !== null, 'this module runs in a worker thread');
const { engine, pages }: { engine: EngineWorkerData; pages: unknown } = workerData;
assert(pages instanceof MessagePort, 'the engine has a port to ask for pages');
const handover = new Handover(workerData.handover);
assert(engine.sqlite !== null, 'the engine of this thread is SQLite');
const worker = new EngineWorker(engine, await SqliteWasm.load(engine.sqlite), pages, (message, transfer) =>
  port.postMessage(handover.admit(packFromWorker(message)), transfer),
);
port.on('message', (packed: readonly unknown[]) => worker.receive(unpackToWorker(packed)));
port.postMessage('ready');
