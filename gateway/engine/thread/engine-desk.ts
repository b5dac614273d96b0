/**
 * What every engine's worker has in common, whatever speaks SQL in it: it takes the main thread's messages in batches, keeps the
 * pages, follows redo as a reader, and hands on redo, answers and news in few messages. See `engine-protocol.ts`.
 */
import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type Lsn, type PageNo, wallClock, zeroLsn } from '../../../storage/redo.ts';
import { sqlError } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import type {
  EngineMode,
  EngineNews,
  EngineWorkerData,
  FromWorker,
  Interruptible,
  Peeked,
  ToWorker,
  WorkerAnswer,
} from '../core/engine-protocol.ts';
import { followRedo, RedoQueue } from '../core/engine-redo.ts';
import { EngineShared } from '../core/engine-shared.ts';
import { ownedMemory, packFromWorker, unpackToWorker } from '../core/engine-wire.ts';
import { PageStore } from '../core/page-store.ts';
import { Handover } from '../engine-handover.ts';
import type { HeapTurns } from '../engine-heap-turns.ts';
import { ScratchSpace } from '../scratch/scratch-space.ts';
import { sharedClockMs } from '../shared-clock.ts';
import { CommitLog } from './engine-commits.ts';
import { PageReader } from './page-misses.ts';

/** Redo and answers leave at the end of a batch of messages, or sooner when this much redo or time has gathered. */
const flushBytes = 128 * 1024;
const flushAfterMs = 2;
/** An engine that was never opened has nothing to keep. */
const emptyCacheBytes = 64 * 1024;

export type OperationMessage = Extract<ToWorker, { readonly kind: 'operation' }>;

/** What runs statements. */
export interface DeskWork {
  /** @param isMoreComing another operation follows before `gathered` is called. */
  post(message: OperationMessage, isMoreComing: boolean): void;
  closeSession(session: number): void;
  /** Everything that came together has been posted. */
  gathered(): void;
  /** The engine is opened anew: what is open is gone with its pages, and everything that waits is answered. */
  reset(): void;
  /** The engine was opened: the desk's mode and store are the new ones. */
  opened(): void;
  /** It will be opened before long: what takes a while and needs no page can be done meanwhile. */
  warm?(): void;
  /** Too much redo is not durable: writes wait. */
  setBlocked(blocked: boolean): void;
  /** Gives up what has waited too long. @returns milliseconds until this should be called again, or null. */
  tick(): number | null;
  /** A batch is dealt with, and its answers are on their way. @returns what the next batch has to wait for, or null. */
  rest?(): Promise<void> | null;
}

export interface DeskOptions {
  readonly data: EngineWorkerData;
  /** Where it asks for pages. */
  readonly pages: MessagePort;
  readonly post: (message: FromWorker) => void;
  /** What a statement is told that was stopped for its client has gone, or for others. */
  readonly cancelled: SqlError;
}

const abandoned = sqlError('SEXTANT_TRANSACTION_ABORTED', 'The engine was replaced while the statement ran.');

export class EngineDesk {
  readonly limits: EngineLimits;
  readonly shared: EngineShared;
  readonly commits: CommitLog;
  /** Room on disk for what does not fit memory. */
  readonly scratch: ScratchSpace;
  private readonly options: DeskOptions;
  private readonly reader: PageReader;
  private work: DeskWork | null = null;
  private modeNow: EngineMode = { kind: 'reader', readPoint: zeroLsn };
  private generation = 0;
  private pageCacheBytes = emptyCacheBytes;
  private scratchFolder = tmpdir();
  /** The operation that runs; 0 when none does. */
  private running = 0;
  private storeNow: PageStore;
  private redo: RedoQueue;
  /** The newest commit that was made or folded here; null for none since it was opened. */
  private newest: { readonly lsn: Lsn; readonly commitTimeUs: number } | null = null;
  private diverged: string | null = null;
  private answers: WorkerAnswer[] = [];
  private peeked: Peeked[] = [];
  private news: EngineNews[] = [];
  private lastFlush = 0;
  private reported: Lsn = zeroLsn;
  private reportedGeneration = -1;
  private timer: NodeJS.Timeout | null = null;
  /** How long the operations that are taken now have waited for this thread. */
  waitedMs = 0;

  constructor(options: DeskOptions) {
    const { limits, shared } = options.data;
    this.options = options;
    this.limits = limits;
    this.shared = new EngineShared(shared);
    this.shared.setThread(thisThread());
    this.storeNow = this.newStore();
    this.redo = new RedoQueue(zeroLsn, limits.earlyRedoBytes);
    this.scratch = new ScratchSpace(
      () => this.scratchFolder,
      limits.scratchBytes,
      (used) => this.shared.setScratch(used),
    );
    this.commits = new CommitLog({
      limits,
      space: this.scratch,
      clockUs: wallClock({
        monotonicMs: () => performance.now(),
        wallMs: () => Date.now(),
        offsetMs: performance.timeOrigin,
      }),
      stopReason: this.stopReason,
      // Nodes of a version that knows no PostgreSQL databases may be asked to keep those of SQLite.
      whole: options.data.sqlite === null ? 'shortest' : 'image',
    });
    this.reader = new PageReader(options.pages, this.shared, limits, this.stopReason);
  }

  /** Who does the work, before the first batch. */
  attend(work: DeskWork): void {
    this.work = work;
  }

  /** The pages as of now. */
  get store(): PageStore {
    return this.storeNow;
  }

  get mode(): EngineMode {
    return this.modeNow;
  }

  get isAbandoned(): boolean {
    return this.shared.generation !== this.generation;
  }

  /** Why what runs is not worth going on with, or null. Shows that the thread lives. */
  readonly stopReason = (): SqlError | null => {
    this.shared.beat();
    if (this.isAbandoned) return abandoned;
    return this.shared.isCancelled(this.running) ? this.options.cancelled : null;
  };

  /** Reads a page that the store lacks, see `PageReader`. @returns it, null when the volume has none, or what went wrong. */
  fetch(
    store: PageStore,
    page: PageNo,
    readPoint: Lsn,
    together = 1,
    onOutdated?: (page: PageNo) => void,
  ): Uint8Array | null | SqlError {
    this.shared.missed();
    return this.reader.fetch(store, page, readPoint, together, onOutdated);
  }

  /** Brings pages that the store lacks, as many at once as go into a message. @returns false when some could not be read. */
  fetchAll(store: PageStore, pages: readonly PageNo[], readPoint: Lsn): boolean {
    return this.reader.fetchAll(store, pages, readPoint);
  }

  /** Asks for pages that are going to be needed, the first ones first, see `PageReader`. */
  askAll(
    store: PageStore,
    pages: readonly PageNo[],
    readPoint: Lsn,
    onOutdated: (page: PageNo) => void,
  ): void {
    this.reader.askAll(store, pages, readPoint, onOutdated);
  }

  /** Asks for pages that may be needed, see `PageReader`. */
  askAhead(
    store: PageStore,
    pages: readonly PageNo[],
    readPoint: Lsn,
    onOutdated: (page: PageNo) => void,
  ): void {
    this.reader.askAhead(store, pages, readPoint, onOutdated);
  }

  /** Puts what has come of that into the store. @returns pages that have not come yet */
  takeAhead(): number {
    this.reader.takeAhead();
    return this.reader.pagesAhead;
  }

  /** Which operation runs from here on; 0 for none. */
  setRunning(id: number): void {
    this.running = id;
    this.shared.setRunning(id);
    this.shared.beat();
  }

  get runningOperation(): number {
    return this.running;
  }

  /** What runs can be stopped from other threads from now on. */
  tellInterruptible(how: Omit<Interruptible, 'kind'>): void {
    this.reader.tell({ kind: 'interruptible', ...how });
  }

  answer(answer: WorkerAnswer): void {
    this.answers.push(answer);
  }

  /** Something worth counting; told with what leaves next. */
  tell(news: EngineNews): void {
    this.news.push(news);
  }

  /** Commits were made here, in LSN order. */
  noteCommits(commits: readonly { readonly lsn: Lsn; readonly commitTimeUs: number }[]): void {
    this.newest = commits.at(-1) ?? this.newest;
  }

  /** When the commit at an LSN was made, if it is the newest one here. Microseconds since the Unix epoch. */
  commitTimeUs(at: Lsn): number | null {
    return this.newest?.lsn === at ? this.newest.commitTimeUs : null;
  }

  receive(batch: readonly ToWorker[]): void {
    const work = this.worker();
    this.waitedMs = 0;
    this.lastFlush = performance.now();
    const lastOperation = batch.findLastIndex((message) => message.kind === 'operation');
    for (const [index, message] of batch.entries()) this.take(work, message, index < lastOperation);
    work.gathered();
    this.updateBlocked();
    this.tick();
    this.flush();
  }

  private worker(): DeskWork {
    assert(this.work !== null, 'somebody attends the desk');
    return this.work;
  }

  private take(work: DeskWork, message: ToWorker, isMoreComing: boolean): void {
    switch (message.kind) {
      case 'operation':
        work.post(message, isMoreComing);
        this.updateBlocked();
        return;
      case 'sent':
        this.waitedMs = Math.max(0, sharedClockMs() - message.atMs);
        return;
      case 'closeSession':
        work.closeSession(message.session);
        return;
      case 'warm':
        work.warm?.();
        return;
      case 'durable':
        this.storeNow.setDurable(message.lsn);
        this.commits.settle(message.lsn);
        this.updateBlocked();
        return;
      case 'redo':
        this.follow(message.frames, message.vdl);
        return;
      case 'peek': {
        const { id, page, readPoint } = message;
        const bytes = this.modeNow.kind === 'writer' ? this.storeNow.peek(page, readPoint) : undefined;
        this.peeked.push({ id, bytes: bytes instanceof Uint8Array ? bytes.slice() : bytes });
        return;
      }
      case 'open':
        this.open(work, message);
        return;
    }
  }

  private open(work: DeskWork, { mode, generation, bounds }: Extract<ToWorker, { kind: 'open' }>): void {
    // Redo of the old engine must not be taken for the new one's: it is handed over under the old generation.
    this.flush();
    work.reset();
    this.flush();
    this.modeNow = mode;
    if (mode.kind === 'writer') this.commits.useGroups(mode.pgBytes);
    this.generation = generation;
    this.pageCacheBytes = bounds.pageCacheBytes;
    this.scratchFolder = bounds.scratchFolder;
    this.commits.forget();
    this.storeNow.close();
    this.reader.pageReadMs = bounds.pageReadMs;
    this.reader.forget();
    this.storeNow = this.newStore();
    this.newest = null;
    this.redo = new RedoQueue(this.storeNow.head, this.limits.earlyRedoBytes);
    this.diverged = null;
    work.opened();
    work.setBlocked(false);
  }

  private newStore(): PageStore {
    const { modeNow: mode } = this;
    const head = mode.kind === 'writer' ? mode.lsn : mode.readPoint;
    return new PageStore({ kind: mode.kind, head, cacheBytesMax: this.pageCacheBytes });
  }

  private follow(frames: Uint8Array, vdl: Lsn): void {
    if (this.modeNow.kind !== 'reader' || this.diverged !== null) return;
    this.diverged = followRedo(
      this.redo,
      frames,
      vdl,
      (mtr) => {
        this.storeNow.fold(mtr.changes, mtr.lsn);
        this.newest = mtr;
      },
      () => this.shared.beat(),
    );
  }

  /** Back-pressure: too much redo that is not durable holds writes up. */
  updateBlocked(): void {
    if (this.modeNow.kind === 'writer') this.worker().setBlocked(this.isBlocked);
  }

  /** Whether so much redo is not durable that writes wait. */
  get isBlocked(): boolean {
    return (
      this.modeNow.kind === 'writer' &&
      this.storeNow.head - this.storeNow.durable >= this.limits.outstandingBytes
    );
  }

  private tick(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    const wait = this.worker().tick();
    this.timer =
      wait === null
        ? null
        : setTimeout(() => {
            this.timer = null;
            this.receive([]);
          }, wait);
  }

  /** In the middle of a statement: hands on what was done before, so that nobody waits for it to end. */
  flushMeanwhile(): void {
    if (this.answers.length > 0 || this.commits.waitingBytes > 0) this.flushIfDue();
  }

  /** A good moment to hand on what has gathered. */
  flushIfDue(): void {
    if (this.commits.waitingBytes >= flushBytes || performance.now() - this.lastFlush >= flushAfterMs)
      this.flush();
  }

  private flush(): void {
    this.lastFlush = performance.now();
    const readPoint = this.storeNow.head;
    const { commits, redo } = this.commits.take();
    const { answers, peeked, news, generation, diverged } = this;
    const moved = readPoint !== this.reported || generation !== this.reportedGeneration || diverged !== null;
    const told = [commits, answers, peeked, news].some(({ length }) => length > 0);
    if (!told && !moved) return;
    this.answers = [];
    this.peeked = [];
    this.news = [];
    this.reported = readPoint;
    this.reportedGeneration = generation;
    this.options.post({ commits, redo, answers, peeked, news, readPoint, generation, diverged });
  }
}

/** What the operating system calls this thread: the last part of `PID/task/THREAD`; 0 where it does not say. */
function thisThread(): number {
  try {
    return Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  } catch {
    return 0;
  }
}

/** Makes the desk of this worker thread, with who works there, and tells the main thread that it is ready. */
export async function serveDesk(
  cancelled: SqlError,
  hire: (desk: EngineDesk, data: EngineWorkerData, turns: HeapTurns) => DeskWork | Promise<DeskWork>,
): Promise<void> {
  const port = parentPort;
  assert(port !== null, 'this module runs in a worker thread');
  const { engine, pages }: { engine: EngineWorkerData; pages: unknown } = workerData;
  assert(pages instanceof MessagePort, 'the engine has a port to ask for pages');
  const handover = new Handover(workerData.handover);
  const desk = new EngineDesk({
    data: engine,
    pages,
    cancelled,
    post: (message) => port.postMessage(handover.admit(packFromWorker(message)), ownedMemory(message)),
  });
  const work = await hire(desk, engine, handover.turns);
  desk.attend(work);
  // What comes while the work rests waits here, in its order.
  let waiting: (readonly unknown[])[] | null = null;
  const deal = (packed: readonly unknown[]): void => {
    desk.receive(unpackToWorker(packed));
    const rest = work.rest?.() ?? null;
    if (rest === null) return;
    waiting = [];
    void rest.then(() => {
      const all = waiting ?? [];
      waiting = null;
      for (const one of all) take(one);
    });
  };
  const take = (packed: readonly unknown[]): void => {
    if (waiting === null) deal(packed);
    else waiting.push(packed);
  };
  port.on('message', take);
  port.postMessage('ready');
  if (engine.warm) work.warm?.();
}
