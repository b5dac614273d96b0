/**
 * The SQL engine as the gateway sees it: sessions, redo in and out, pages on demand. SQLite runs in a worker thread; what
 * is sent in one turn of the event loop, by whatever socket it came, travels in one message, and a crowd in several: the
 * engine works on the first while the rest is being read.
 *
 * The engine never waits for durability. Each answer says what its response must wait for (`seenLsn`).
 */
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import type { MessagePort, Worker } from 'node:worker_threads';
import { InFlight, type Lsn, lsn, type PageNo, redoLimits, zeroLsn } from '../../storage/redo.ts';
import { adviseError, sqlError } from '../sql/errors.ts';
import type { AnyOperationValue, SqlOperation } from '../sql/operation.ts';
import type { SqlError } from '../sql/sql.ts';
import { countedState, type StreamState } from '../sql/stream-state.ts';
import { commitEventsOf, type EngineCommitEvent } from './commit-events.ts';
import type { EngineLife } from './core/engine-life.ts';
import { type EngineLimits, handOverAt } from './core/engine-limits.ts';
import type {
  EngineAnswer,
  EngineMode,
  EngineNews,
  EngineTrace,
  FromWorker,
  Interruptible,
  PageReply,
  PageRequest,
  Peeked,
  ToWorker,
} from './core/engine-protocol.ts';
import { EngineShared } from './core/engine-shared.ts';
import { packToWorker, unpackFromWorker } from './core/engine-wire.ts';
import type { HandedOver, Handover } from './engine-handover.ts';
import { EngineInterrupt } from './engine-interrupt.ts';
import { EngineSession } from './engine-stream.ts';
import {
  type EngineThread,
  type EngineThreadOptions,
  startEngineThread,
  timeOfThread,
} from './engine-thread.ts';
import { sharedClockMs } from './shared-clock.ts';

/** A page that no storage node gives within this time is not waited for. */
const pageReadMs = 10_000;

export interface EngineOptions extends EngineThreadOptions {
  /** Bound on cached pages that are durable, bytes. */
  readonly pageCacheBytes: number;
  /** How long it waits for a page from storage; 10 s where nothing is said. */
  readonly pageReadMs?: number;
  /** Where it keeps what does not fit memory; the system's folder for temporary files where nothing is said. */
  readonly scratchFolder?: string;
  /**
   * Reads pages at a read point, never above the durable LSN: the one that was missed, and those after it that are read ahead.
   * In their order; null where the volume has no such page there. Rejects when it cannot.
   */
  readPages(pages: readonly PageNo[], readPoint: Lsn): Promise<readonly (Uint8Array | null)[]>;
  /** Called for all redo, in LSN order, before the answers of the operations that made it. */
  onCommit(commit: EngineCommitEvent): void;
  /** The worker died; every operation has been answered. The engine is of no further use. */
  onFatal(error: Error): void;
  /** A reader's read point moved. */
  onReadPoint?(readPoint: Lsn): void;
  /** Every operation has been answered. */
  onIdle?(): void;
  /** What it did besides operations. */
  onNews?(news: EngineNews): void;
  /** Redo given to `apply` does not continue what the reader has: open it again. */
  onDiverged?(reason: string): void;
}

type Answer = EngineAnswer<AnyOperationValue>;

/** Takes the answer of an operation: once, and never inside the call that sent it. */
export type TakeAnswer = (answer: EngineAnswer<AnyOperationValue>) => void;

/** An operation without an answer. */
interface Pending {
  readonly session: EngineSession;
  /** What the stream's state was. */
  readonly state: StreamState;
  readonly take: TakeAnswer;
}

const workerGone = sqlError(
  'SEXTANT_TRANSACTION_ABORTED',
  'The SQL engine of this gateway stopped. Whether a statement that was running took effect is unknown; an open transaction was rolled back.',
);

export class Engine {
  private readonly options: EngineOptions;
  private readonly limits: EngineLimits;
  private readonly worker: Worker;
  private readonly pages: MessagePort;
  private readonly shared: EngineShared;
  private readonly handover: Handover;
  private outbox: ToWorker[] = [];
  private scheduled: boolean = false;
  private readonly pending = new InFlight<Pending>();
  private readonly opens: {
    readonly generation: number;
    readonly mode: EngineMode;
    readonly resolve: () => void;
    readonly reject: (error: Error) => void;
  }[] = [];
  private operations = 0;
  private readonly peeks = new Map<number, (bytes: Peeked['bytes']) => void>();
  private peeksAsked = 0;
  private sessions = 0;
  private generation = 0;
  /** How long the worker had asked for pages before the requests that are under way. */
  private fetched = 0;
  private fetches = 0;
  private fetchingSinceMs = 0;
  private currentReadPoint: Lsn = zeroLsn;
  /** Where the last redo given to `onCommit` ended. */
  private delivered: Lsn = zeroLsn;
  /** What `setDurable` last said; everything a reader sees is durable. */
  private durable: number = Number.POSITIVE_INFINITY;
  /** What the worker has heard of it. */
  private durableTold: number = Number.POSITIVE_INFINITY;
  /** Null where what runs stops only by itself. */
  private interrupt: EngineInterrupt | null = null;
  private state: 'running' | 'closed' | 'dead' = 'running';

  private constructor(options: EngineOptions, thread: EngineThread) {
    const { limits, worker, pages, shared, handover } = thread;
    this.options = options;
    this.limits = limits;
    this.worker = worker;
    this.pages = pages;
    this.shared = shared;
    this.handover = handover;
    worker.on('message', (packed: HandedOver) => {
      this.receive(unpackFromWorker(packed));
      handover.dealtWith(packed);
    });
    worker.on('error', (error) => this.die(error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', (code) => this.die(new Error(`the engine's worker exited with code ${code}`)));
    pages.on('message', (message: PageRequest | Interruptible) => {
      if (message.kind === 'read') void this.readPages(message);
      else this.interrupt = new EngineInterrupt(message, () => this.shared.beat());
    });
  }

  /**
   * Starts the worker. The engine is an empty reader until `open`. @throws Error when a limit is unsound or the worker cannot start.
   * @param thread one that was started before, by the same bounds.
   */
  static async start(options: EngineOptions, thread?: EngineThread): Promise<Engine> {
    return new Engine(options, thread ?? (await startEngineThread(options)));
  }

  /**
   * Discards every page, connection and transaction and begins anew. Sessions stay: those that had a transaction open are
   * told SEXTANT_TRANSACTION_ABORTED; operations that had done nothing are answered with `aborted: true`.
   * A statement that is running is interrupted. Resolves when the engine has changed over.
   */
  open(mode: EngineMode): Promise<void> {
    if (this.state !== 'running') return Promise.reject(new Error('the engine is closed'));
    const generation = ++this.generation;
    this.shared.setGeneration(generation);
    this.interrupt?.stop(null);
    const { pageCacheBytes } = this.options;
    const { scratchFolder = tmpdir() } = this.options;
    const bounds = { pageCacheBytes, pageReadMs: this.options.pageReadMs ?? pageReadMs, scratchFolder };
    this.send({ kind: 'open', mode, generation, bounds });
    return new Promise((resolve, reject) => this.opens.push({ generation, mode, resolve, reject }));
  }

  /** `open` follows before long: the worker prepares itself. */
  warm(): void {
    this.send({ kind: 'warm' });
  }

  /**
   * Gives a reader redo and the durable LSN: whole mini-transactions at or below `vdl` become visible, the rest is kept.
   * @param frames frames back to back, as received; duplicates and disorder are tolerated. Frames of a new epoch must come
   * before, or with, the first `vdl` beyond the fork.
   */
  apply(frames: Uint8Array, vdl: Lsn): void {
    this.send({ kind: 'redo', frames, vdl });
  }

  /**
   * Asks a writer's cache for a page at a durable read point of its reign. @returns the page, null when the volume has none there;
   * undefined when the cache does not say, or not within `waitMs`.
   */
  peek(page: PageNo, readPoint: Lsn, waitMs: number): Promise<Peeked['bytes']> {
    const id = ++this.peeksAsked;
    return new Promise((resolve) => {
      const done = (bytes: Peeked['bytes']): void => {
        clearTimeout(timer);
        this.peeks.delete(id);
        resolve(bytes);
      };
      const timer = setTimeout(() => done(undefined), waitMs);
      this.peeks.set(id, done);
      this.send({ kind: 'peek', id, page, readPoint });
    });
  }

  /** The newest commit statements can see, as last reported by the worker. */
  readPoint(): Lsn {
    return this.currentReadPoint;
  }

  /**
   * Tells a writer up to where its redo is durable: pages may then be evicted, and writes held back by `outstandingBytes` go
   * on. It travels with the next operation, since waking a thread for each commit costs more than what it hears is worth;
   * by itself only when it is a good part of what may be outstanding.
   */
  setDurable(durable: Lsn): void {
    if (durable <= this.durable) return;
    this.durable = durable;
    if (durable - this.durableTold >= this.limits.outstandingBytes / 8) this.schedule();
  }

  /** Whether an operation waits for its answer. */
  get isBusy(): boolean {
    return this.pending.size > 0;
  }

  openSession(): EngineSession {
    return new EngineSession(this, ++this.sessions);
  }

  /** Stops the worker. @param error what operations that have begun are told. */
  async close(error: SqlError = workerGone): Promise<void> {
    if (this.state === 'running') this.state = 'closed';
    this.interrupt?.end();
    this.failPending(error);
    await this.worker.terminate();
    this.handover.end();
    this.pages.close();
  }

  /** Sends an operation; used by `EngineSession`. @returns its number, 0 when it was refused at once. */
  operate(
    session: EngineSession,
    trace: EngineTrace | null,
    state: StreamState,
    operation: SqlOperation,
    take: TakeAnswer,
  ): number {
    if (this.state !== 'running') {
      queueMicrotask(() => take(refusal(workerGone.code, workerGone.message)));
      return 0;
    }
    if (this.pending.size >= this.limits.pendingOperations) {
      const text = `The limit pendingOperations = ${this.limits.pendingOperations} is reached. Try again after a pause.`;
      queueMicrotask(() => take(refusal('SEXTANT_LIMIT', text)));
      return 0;
    }
    const id = EngineShared.next(this.operations);
    this.operations = id;
    this.pending.set(id, { session, state, take });
    this.shared.offer(id, this.pending.size);
    this.send({ kind: 'operation', id, session: session.id, trace, state: session.leave(state), operation });
    return id;
  }

  /** Takes an operation back that has not begun; its answer never comes. @returns false when it has begun, or is answered. */
  takeBack(id: number): boolean {
    const operation = this.pending.get(id);
    if (operation === undefined || !this.shared.takeBack(id)) return false;
    this.pending.take(id);
    operation.session.arrive(null);
    this.shared.setPending(this.pending.size);
    return true;
  }

  /** The number of the operation sent last; 0 before the first. */
  get lastOperation(): number {
    return this.operations;
  }

  /** Withdraws what was sent up to an operation, has not begun, and is of a stream that has nothing open here. */
  withdrawThrough(last: number, error: SqlError): void {
    for (const [id, { session }] of [...this.pending.entries()])
      if (!session.hasOpen && EngineShared.isThrough(id, last)) this.withdraw(id, error);
  }

  /** As `takeBack`, and answers it with an error. */
  withdraw(id: number, { code, message }: SqlError): boolean {
    const operation = this.pending.get(id);
    if (operation === undefined || !this.takeBack(id)) return false;
    queueMicrotask(() => operation.take(refusal(code, message)));
    return true;
  }

  /** How long an operation that writes waits before it is told; null where the worker itself says so in time. */
  get queueMs(): number | null {
    return this.options.kind === 'postgres' ? null : this.limits.writeQueueMs;
  }

  /** Stops an operation that runs, as soon as SQLite can be interrupted; it is answered with SQLITE_INTERRUPT. */
  cancel(id: number): void {
    if (this.pending.get(id) === undefined) return;
    this.shared.cancel(id);
    this.interrupt?.stop(id);
  }

  /** The operation the worker is carrying out now; 0 when none is. */
  get running(): number {
    return this.shared.running;
  }

  /** Looks whether the worker has got anywhere since `life` looked last, and what it did with the time if not. */
  lookAt(life: EngineLife, nowMs: number): void {
    life.look(this.shared.life, this.isBusy, nowMs);
    if (life.isDue) life.weigh(timeOfThread(this.shared));
  }

  /** For how long pages were on their way to the worker, since it was started. */
  get fetchedMs(): number {
    return this.fetched + (this.fetches === 0 ? 0 : performance.now() - this.fetchingSinceMs);
  }

  /** Pages found in the cache since the start, and pages asked for, each modulo 2^32. */
  get pageCounts(): { readonly hits: number; readonly misses: number } {
    return this.shared.pageCounts;
  }

  /** Memory that its SQLite has taken, bytes. */
  get heapBytes(): number {
    return this.shared.heapBytes;
  }

  /** What its files of transactions take on disk, bytes. */
  get scratchBytes(): number {
    return this.shared.scratchBytes;
  }

  /** Operations without an answer. */
  get pendingOperations(): number {
    return this.pending.size;
  }

  /** Ends a session; used by `EngineSession`. */
  endSession(session: number): void {
    this.send({ kind: 'closeSession', session });
  }

  private send(message: ToWorker): void {
    if (this.state !== 'running') return;
    this.outbox.push(message);
    if (this.outbox.length >= handOverAt) this.handOver();
    else this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (this.state === 'running') this.handOver();
    });
  }

  private handOver(): void {
    const batch = this.outbox;
    this.outbox = [];
    if (this.durable > this.durableTold) {
      this.durableTold = this.durable;
      batch.unshift({ kind: 'durable', lsn: lsn(this.durable) });
    }
    // A worker that does nothing takes it at once.
    if (batch.length > 0 && this.shared.running !== 0) batch.unshift({ kind: 'sent', atMs: sharedClockMs() });
    if (batch.length > 0) this.worker.postMessage(packToWorker(batch));
  }

  private receive(message: FromWorker): void {
    if (this.state !== 'running') return;
    // Redo of an engine that `open` has discarded belongs to a history that has ended: it goes nowhere.
    const obsolete = message.generation < this.generation;
    for (const commit of obsolete ? [] : commitEventsOf(message)) {
      this.delivered = commit.lsn;
      this.options.onCommit(commit);
    }
    const moved = message.readPoint !== this.currentReadPoint;
    this.currentReadPoint = message.readPoint;
    for (const { id, answer: given, counted, rerunnable } of message.answers) {
      const operation = this.pending.take(id);
      if (operation === undefined) assert.fail(`the worker answered operation ${id}, which is not pending`);
      const answer = counted ? { ...given, state: stateBehind(operation.state, given) } : given;
      operation.session.arrive(answer.state ?? operation.state);
      operation.session.hasOpen = !answer.autocommit || answer.holds;
      operation.take(obsolete ? this.afterReplacement(answer, rerunnable) : answer);
    }
    for (const { id, bytes } of message.peeked) this.peeks.get(id)?.(bytes);
    for (const news of message.news) this.options.onNews?.(news);
    this.shared.setPending(this.pending.size);
    if (!this.isBusy) this.options.onIdle?.();
    this.noteOpened(message.generation);
    if (moved) this.options.onReadPoint?.(message.readPoint);
    if (message.diverged !== null && message.generation === this.generation)
      this.options.onDiverged?.(message.diverged);
  }

  private noteOpened(generation: number): void {
    for (
      let open = this.opens[0];
      open !== undefined && open.generation <= generation;
      open = this.opens[0]
    ) {
      this.opens.shift();
      this.durable = open.mode.kind === 'writer' ? open.mode.lsn : Number.POSITIVE_INFINITY;
      this.durableTold = this.durable;
      this.delivered = open.mode.kind === 'writer' ? open.mode.lsn : open.mode.readPoint;
      open.resolve();
    }
  }

  /**
   * An answer that was under way when `open` was called. What it saw beyond the durable LSN is gone with the engine; what it
   * wrote is gone too, unless redo of it had left already.
   */
  private afterReplacement(answer: Answer, rerunnable: boolean): Answer {
    if (answer.aborted || (!answer.wrote && answer.seenLsn <= this.durable)) return answer;
    const left = answer.commits.some((commit) => commit.lsn <= this.delivered);
    const error = left
      ? adviseError(
          'SEXTANT_COMMIT_UNKNOWN',
          'The engine was replaced before the commit was known to be durable',
        )
      : adviseError(
          'SEXTANT_TRANSACTION_ABORTED',
          'The engine was replaced before the statement could be made durable, and it was rolled back',
        );
    return { ...answer, outcome: { ok: false, error }, aborted: !left && rerunnable };
  }

  private async readPages(request: PageRequest): Promise<void> {
    const { id } = request;
    // G112. A statement hears nothing while it runs: by the time that it asks, its read point may be one that nodes fold away.
    const readPoint = lsn(Math.max(request.readPoint, Math.min(request.through, this.durable)));
    if (this.fetches === 0) this.fetchingSinceMs = performance.now();
    this.fetches += 1;
    let reply: PageReply;
    try {
      const pages = await this.options.readPages(request.pages, readPoint);
      const wrong = pages.find((bytes) => bytes !== null && bytes.length !== redoLimits.pageBytes);
      reply =
        wrong === undefined
          ? { kind: 'pages', id, pages }
          : { kind: 'failed', id, reason: `storage gave a page of ${wrong?.length} bytes` };
    } catch (error) {
      reply = { kind: 'failed', id, reason: error instanceof Error ? error.message : String(error) };
    }
    const { fetchedMs } = this;
    this.fetches -= 1;
    if (this.fetches === 0) this.fetched = fetchedMs;
    this.pages.postMessage(reply);
    this.shared.wake();
  }

  private die(error: Error): void {
    if (this.state !== 'running') return;
    this.state = 'dead';
    this.interrupt?.end();
    this.handover.end();
    this.failPending(workerGone);
    this.pages.close();
    this.options.onFatal(error);
  }

  private failPending(error: SqlError): void {
    for (const [id, { take }] of this.pending.drain()) {
      const answer = refusal(error.code, error.message);
      // What the worker had not begun may simply be run again, elsewhere.
      take(this.shared.takeBack(id) ? { ...answer, aborted: true } : answer);
    }
    for (const { reject } of this.opens.splice(0)) reject(new Error(error.message));
  }
}

/** The state that the result speaks of. */
function stateBehind(before: StreamState, { outcome }: Answer): StreamState {
  assert(outcome.ok && outcome.value !== null && 'affectedRowCount' in outcome.value, 'a result counts');
  return countedState(before, outcome.value);
}

/** The answer to an operation that was never begun. */
export function refusal(code: string, message: string): Answer {
  return {
    outcome: { ok: false, error: { code, message } },
    seenLsn: lsn(0),
    commits: [],
    autocommit: true,
    wrote: false,
    state: null,
    holds: false,
    aborted: false,
    engineUs: 0,
  };
}
