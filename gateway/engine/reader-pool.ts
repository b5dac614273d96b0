/**
 * The threads that read: each has an engine of its own on this region's volume, so that a statement that takes long holds
 * up nobody but itself. Statements outside transactions run on any thread, one after another on different ones; a read
 * transaction stays on the thread where it began.
 *
 * G33. A statement given to a thread sees everything the pool's VDL covered when it was given.
 * G34. Nothing waits behind a statement that has run for `slowMs`, except on the thread its own transaction lives on.
 */
import { availableParallelism } from 'node:os';
import { InFlight, type Lsn, maxLsn, minLsn, monotonicMs, zeroLsn } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { adviseError, sqlError } from '../sql/errors.ts';
import type { AnyOperationValue, SqlOperation } from '../sql/operation.ts';
import type { SqlError } from '../sql/sql.ts';
import { freshStream, type StreamState } from '../sql/stream-state.ts';
import type { EngineAnswer } from './core/engine-protocol.ts';
import { chooseToEnd, PoolLoad } from './core/pool-growth.ts';
import {
  chooseForStatement,
  chooseForTransaction,
  chooseToStop,
  type ReaderLimits,
} from './core/reader-choice.ts';
import { UndurableRedo } from './core/undurable-redo.ts';
import { type Engine, refusal } from './engine.ts';
import type { MakeQuickReads, QuickParts, QuickReads } from './quick-reads.ts';
import { ReaderSession, type ReadTask } from './reader-session.ts';
import { type ReaderFeed, ReaderThread } from './reader-thread.ts';

export interface ReaderPoolLimits extends ReaderLimits {
  /** A statement waits this long for a thread. */
  readonly readerQueueMs: number;
  /** Statements that may wait for a thread. */
  readonly readerQueue: number;
  /** A thread beyond the first that nobody has needed for this long ends. */
  readonly readerIdleMs: number;
  /** A thread that gives no sign of life for this long, CPU time or sleep, is replaced; its statement cannot be interrupted. */
  readonly engineSilenceMs: number;
}

export interface ReaderCounts {
  readonly threads: number;
  readonly busy: number;
  readonly most: number;
}

/** What a thread tells the pool. */
export interface ReaderCallbacks {
  readonly onReadPoint: (readPoint: Lsn) => void;
  readonly onDiverged: (reason: string) => void;
  readonly onFatal: (error: Error) => void;
}

export interface ReaderPoolOptions {
  readonly start: (callbacks: ReaderCallbacks) => Promise<Engine>;
  readonly limits: ReaderPoolLimits;
  readonly log: Logger;
  /** Every thread that matters has folded redo up to here. */
  readonly onFolded: (folded: Lsn) => void;
  /** Redo that is kept, for all threads and by each, while it is not durable. */
  readonly aheadBytesMax?: number;
  /** What statements that are proven quick are answered with where they arrive; left out: all of them go to threads. */
  readonly quick?: MakeQuickReads | null;
  /** Pages for those. */
  readonly readPages?: QuickParts['readPages'];
}

/** A statement outside a transaction on its way. */
interface Task extends ReadTask {
  readonly number: number;
  readonly sinceMs: number;
  /** Where it is; null while it waits for a thread. */
  at: { readonly thread: ReaderThread; readonly id: number } | null;
  stopped: boolean;
}

const lookEveryMs = 5;
const cores = availableParallelism();
/** A thread whose statement was asked to stop, and which gives no sign of life, is replaced after this long, CPU time or sleep. */
const stopSilenceMs = 1_000;

/** A larger transaction is not kept for readers: they begin anew behind it. */
const aheadBytesDefault = 32 * 1024 * 1024;

export class ReaderPool {
  private readonly options: ReaderPoolOptions;
  private threads: ReaderThread[] = [];
  private starting = 0;
  private ids = 0;
  private readonly tasks = new InFlight<Task>();
  private taskNumbers = 0;
  private readonly queue: Task[] = [];
  private timer: NodeJS.Timeout | null = null;
  private vdlNow: Lsn = zeroLsn;
  private begun = false;
  private readonly ahead: UndurableRedo;
  private readonly aheadBytesMax: number;
  private foldedTold: Lsn = zeroLsn;
  private readonly load = new PoolLoad();
  private idler: NodeJS.Timeout | null = null;
  private closed = false;
  /** Its threads were given back, and nobody has asked for one since. */
  private resting = false;
  private readonly quick: QuickReads | null;

  constructor(options: ReaderPoolOptions) {
    this.options = options;
    this.quick = this.quickReads(options);
    this.aheadBytesMax = options.aheadBytesMax ?? aheadBytesDefault;
    this.ahead = new UndurableRedo(this.aheadBytesMax);
  }

  private quickReads({ quick, readPages, log }: ReaderPoolOptions): QuickReads | null {
    if (quick === undefined || quick === null || readPages === undefined) return null;
    return quick({
      feed: this.feed,
      readPages,
      ask: (statement, take) => {
        const operation = { kind: 'execute', statement } as const;
        this.run({ operation, trace: null, state: freshStream, transaction: false, take });
      },
      onBroken: (error) => log.error({ err: error }, 'reads are answered by threads only'),
    });
  }

  /** Starts the first thread; others follow as load or slow statements ask for them. @throws Error when it cannot start. */
  async start(): Promise<void> {
    await this.startThread();
  }

  /** Up to where statements given from now on see the volume. */
  get vdl(): Lsn {
    return this.vdlNow;
  }

  /** Threads there are. */
  get size(): number {
    return this.threads.length;
  }

  /** Threads that there are or that are being started, those that run a statement now, and how many there may be. */
  get counts(): ReaderCounts {
    const busy = this.threads.filter(({ engine }) => engine.running !== 0).length;
    return { threads: this.threads.length + this.starting, busy, most: this.options.limits.readerThreads };
  }

  /** More threads than cores serve nobody's load. */
  private get mayGrow(): boolean {
    return this.starting === 0 && this.threads.length < Math.min(this.options.limits.readerThreads, cores);
  }

  get engines(): readonly Engine[] {
    return this.threads.map(({ engine }) => engine);
  }

  /** Statements answered where they arrived since the start. */
  get answeredAtOnce(): number {
    return this.quick?.answered ?? 0;
  }

  /** Statements that wait for a thread. */
  get waiting(): number {
    return this.queue.length;
  }

  /** How long the first in the queue has waited for a thread. */
  waitedMs(): number {
    const first = this.queue[0];
    return first === undefined ? 0 : monotonicMs() - first.sinceMs;
  }

  /** Begins anew at a durable point: what was read before may be no part of history. Open read transactions are rolled back. */
  begin(at: Lsn): void {
    this.begun = true;
    this.vdlNow = at;
    this.ahead.settle(at);
    this.foldedTold = at;
    this.quick?.forget();
    for (const thread of this.threads) {
      thread.forget();
      thread.bring(this.feed);
    }
    this.noteFolded();
    this.serveQueue();
  }

  /**
   * Redo from the log of this region, without a gap behind what came before. @param next where it ends. @param seen the newest
   * commit in it, or before it, that is durable.
   */
  follow(frames: Uint8Array, next: Lsn, seen: Lsn): void {
    // The rest of a transaction is to come: a thread that begins anew meanwhile needs what is here of it.
    if (frames.length > 0 && next > seen) this.ahead.add(frames, next);
    this.advance(seen);
    const nowMs = monotonicMs();
    for (const thread of this.threads) thread.offer(frames, this.feed, nowMs);
    if (frames.length > 0) this.quick?.offer(frames, nowMs);
    this.noteFolded();
  }

  /** Redo this gateway has committed as the writer, in LSN order; visible once `advance` has covered it. */
  offer(frames: Uint8Array, end: Lsn): void {
    this.ahead.add(frames, end);
    const nowMs = monotonicMs();
    for (const thread of this.threads) thread.offer(frames, this.feed, nowMs);
    this.quick?.offer(frames, nowMs);
  }

  /** Everything offered up to `vdl` is durable. */
  advance(vdl: Lsn): void {
    this.vdlNow = maxLsn(this.vdlNow, vdl);
    this.ahead.settle(vdl);
  }

  /** What was offered and did not become durable is not ours any more: the log says what became of it. */
  withdraw(): void {
    this.ahead.clear();
  }

  openSession(): ReaderSession {
    return new ReaderSession<Task>(this);
  }

  /** Ends every thread; nothing may be under way. The next statement has a new one. */
  async rest(): Promise<void> {
    this.resting = true;
    this.quick?.rest();
    this.stopTimers();
    await Promise.all(this.threads.splice(0).map(({ engine }) => engine.close()));
  }

  async close(): Promise<void> {
    this.closed = true;
    this.quick?.rest();
    this.stopTimers();
    for (const task of this.queue.splice(0)) this.refuse(task, stopping);
    await Promise.all(this.threads.map((thread) => thread.engine.close()));
  }

  private stopTimers(): void {
    if (this.timer !== null) clearInterval(this.timer);
    if (this.idler !== null) clearInterval(this.idler);
    this.timer = null;
    this.idler = null;
  }

  // ---- used by ReaderSession

  /** Answers a statement here and now, where that is proven to be quick; null: it is to be run. */
  answerAtOnce(operation: SqlOperation, state: StreamState): EngineAnswer<AnyOperationValue> | null {
    if (this.quick === null || this.closed || !this.begun) return null;
    let beside = this.queue.length;
    for (const { engine } of this.threads) beside += engine.pendingOperations;
    return this.quick.answer(operation, state, beside);
  }

  /** Runs a statement on some thread; `take` gets a pin when it has begun a transaction, which lives there from now on. */
  run(given: ReadTask): Task {
    const number = ++this.taskNumbers;
    const task: Task = { ...given, number, sinceMs: monotonicMs(), at: null, stopped: false };
    this.tasks.set(number, task);
    if (this.closed) {
      queueMicrotask(() => this.refuse(task, stopping));
      return task;
    }
    this.resting = false;
    this.keepLooking();
    if (this.queue.length > 0 || !this.place(task)) this.enqueue(task);
    return task;
  }

  /** The client of a statement is gone, or does not want it any more. */
  stop(task: Task): void {
    if (this.tasks.get(task.number) === undefined || task.stopped) return;
    task.stopped = true;
    const { at } = task;
    if (at === null) {
      const index = this.queue.indexOf(task);
      if (index >= 0) this.queue.splice(index, 1);
      this.refuse(task, stoppedByClient);
    } else if (at.thread.engine.takeBack(at.id)) this.refuse(task, stoppedByClient);
    else at.thread.engine.cancel(at.id);
  }

  /** Brings a thread up to date for a statement of a transaction that lives there. */
  bring(thread: ReaderThread): void {
    this.keepLooking();
    thread.bring(this.feed);
  }

  // ---- threads

  private readonly feed: ReaderFeed = {
    vdl: () => this.vdlNow,
    undurable: () => this.ahead.beyond(this.vdlNow),
  };

  private async startThread(): Promise<void> {
    this.resting = false;
    this.starting += 1;
    const id = ++this.ids;
    let thread: ReaderThread | null = null;
    try {
      const engine = await this.options.start({
        onReadPoint: (readPoint) => {
          thread?.noteFolded(readPoint);
          this.noteFolded();
        },
        onDiverged: (reason) => {
          this.options.log.warn({ reason, thread: id }, 'a reading thread begins anew');
          thread?.forget();
        },
        onFatal: (error) => {
          if (thread !== null) this.replace(thread, error.message);
        },
      });
      if (this.closed || this.resting) {
        await engine.close();
        return;
      }
      thread = new ReaderThread(id, engine, monotonicMs(), this.aheadBytesMax);
      this.threads.push(thread);
      this.watchIdle();
      if (this.begun) thread.bring(this.feed);
    } finally {
      this.starting -= 1;
    }
    this.serveQueue();
  }

  /** Starts a thread behind the caller's back. */
  startAnother(): void {
    if (this.closed) return;
    this.startThread().catch((error: unknown) =>
      this.options.log.error({ err: error }, 'a reading thread could not be started'),
    );
  }

  /** Ends a thread; what had not begun on it runs elsewhere. */
  private replace(thread: ReaderThread, reason: string): void {
    if (!this.threads.includes(thread)) return;
    this.options.log.warn({ thread: thread.id, reason }, 'a reading thread is replaced');
    this.threads = this.threads.filter((other) => other !== thread);
    this.takeBack(thread);
    void thread.engine.close(threadReplaced);
    this.startAnother();
  }

  /** While there is more than one thread, those that nobody needs are looked for four times in `readerIdleMs`. */
  private watchIdle(): void {
    const isNeeded = this.threads.length > 1 && !this.closed;
    if (isNeeded)
      this.idler ??= setInterval(() => this.endIdle(), this.options.limits.readerIdleMs / 4).unref();
    else if (this.idler !== null) {
      clearInterval(this.idler);
      this.idler = null;
    }
  }

  private endIdle(): void {
    const nowMs = monotonicMs();
    const views = this.threads.map((thread) => ({ id: thread.id, idleMs: thread.idleMs(nowMs) }));
    const ends = chooseToEnd(views, this.options.limits.readerIdleMs);
    const thread = this.threads.find(({ id }) => id === ends);
    if (thread === undefined) return;
    this.threads = this.threads.filter((other) => other !== thread);
    void thread.engine.close();
    this.watchIdle();
  }

  private takeBack(thread: ReaderThread): void {
    const back: Task[] = [];
    for (const task of this.tasks) {
      if (task.at?.thread !== thread || !thread.engine.takeBack(task.at.id)) continue;
      task.at = null;
      back.push(task);
    }
    this.queue.unshift(...back);
  }

  // ---- statements

  /** Gives a statement to a thread. @returns false when none is free. */
  private place(task: Task): boolean {
    const { limits } = this.options;
    const nowMs = monotonicMs();
    const choose = task.transaction ? chooseForTransaction : chooseForStatement;
    const choice = choose(this.threads, this.starting, limits);
    if (choice.start) this.startAnother();
    const thread = this.threads.find(({ id }) => id === choice.thread);
    if (thread === undefined) return false;
    thread.bring(this.feed);
    const session = thread.session(nowMs);
    const id = session.run(task.operation, task.trace, task.state, (answer) => {
      this.tasks.take(task.number);
      thread.took(answer.engineUs, monotonicMs());
      if (answer.autocommit) thread.giveBack(session);
      task.take(answer, answer.autocommit ? null : { thread, session });
      if (this.queue.length > 0) this.serveQueue();
    });
    task.at = { thread, id };
    return true;
  }

  private enqueue(task: Task): void {
    const { readerQueue } = this.options.limits;
    if (this.queue.length < readerQueue) {
      this.queue.push(task);
      return;
    }
    const text = `readerQueue = ${readerQueue} statements wait for a reading thread`;
    queueMicrotask(() => this.refuse(task, adviseError('SEXTANT_LIMIT', text)));
  }

  private serveQueue(): void {
    for (let next = this.queue[0]; next !== undefined; next = this.queue[0]) {
      if (!this.place(next)) return;
      this.queue.shift();
    }
  }

  private refuse(task: Task, error: SqlError): void {
    this.tasks.take(task.number);
    task.take(refusal(error.code, error.message), null);
  }

  /** While anything is under way the threads are looked at every few milliseconds. */
  private keepLooking(): void {
    if (this.timer !== null || this.closed) return;
    this.timer = setInterval(() => this.look(), lookEveryMs);
  }

  private look(): void {
    const nowMs = monotonicMs();
    const { limits } = this.options;
    const stopped = new Set<ReaderThread>();
    for (const task of this.tasks) if (task.stopped && task.at !== null) stopped.add(task.at.thread);
    let busy = this.queue.length > 0 || this.starting > 0;
    for (const thread of this.threads) {
      thread.look(nowMs);
      if (thread.engine.pendingOperations > 0) busy = true;
      if (thread.runningMs >= limits.slowMs) this.takeBack(thread);
      const silenceMs = stopped.has(thread)
        ? Math.min(stopSilenceMs, limits.engineSilenceMs)
        : limits.engineSilenceMs;
      if (thread.stuckMs > silenceMs)
        this.replace(thread, `no sign of life for ${Math.round(thread.stuckMs)} ms of its own time`);
    }
    if (this.load.look(this.threads, limits.slowMs, nowMs) && this.mayGrow) this.startAnother();
    this.serveQueue();
    this.relieveQueue(nowMs);
    this.noteFolded();
    if (busy || this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
  }

  /** Somebody has waited for a thread too long: a slow statement is stopped, or the wait is. */
  private relieveQueue(nowMs: number): void {
    const first = this.queue[0];
    if (first === undefined) return;
    const { limits } = this.options;
    const waitedMs = nowMs - first.sinceMs;
    if (waitedMs > limits.readerQueueMs) {
      this.queue.shift();
      const text = `The statement waited readerQueueMs = ${limits.readerQueueMs} for one of readerThreads = ${limits.readerThreads}, all of which are busy with statements that take long`;
      this.refuse(first, adviseError('SEXTANT_LIMIT', text));
      return;
    }
    const stop = chooseToStop(this.threads, this.starting, waitedMs, limits);
    const thread = this.threads.find(({ id }) => id === stop);
    if (thread !== undefined) thread.engine.cancel(thread.engine.running);
  }

  /** The slowest thread whose folding matters: one that carries a long statement out does not hold the others up. */
  private noteFolded(): void {
    let folded = this.vdlNow;
    for (const thread of this.threads) {
      const at = thread.folded;
      if (at !== null && thread.runningMs < this.options.limits.slowMs) folded = minLsn(folded, at);
    }
    if (folded <= this.foldedTold) return;
    this.foldedTold = folded;
    this.options.onFolded(folded);
  }
}

const threadReplaced = sqlError(
  'SEXTANT_TRANSACTION_ABORTED',
  'The reading thread of this statement was replaced: a single function call kept it for longer than engineSilenceMs and could not be interrupted. Nothing was changed. Give one function call less to do; a read transaction has to begin again.',
);
const stopping = sqlError('SEXTANT_SHUTTING_DOWN', 'This gateway is stopping.');
const stoppedByClient = sqlError('SQLITE_INTERRUPT', 'The statement was stopped: its client has gone.');
