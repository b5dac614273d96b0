/**
 * The engines on this region's volume: a pool of threads that read, always, and one that writes, in a reign. The readers
 * follow the log of this region; in a reign they follow its own redo, which is here first. One change is carried out at a
 * time, in the order in which they are asked for.
 *
 * G23. An answer that saw redo of a reign leaves only through that reign's gate, or if it needs no lease, or once that
 * reign is over; and only when what it saw is durable.
 */

import { formatAge } from '../../regions/core.ts';
import {
  type Epoch,
  EpochTree,
  genesisEpoch,
  type Lsn,
  maxLsn,
  monotonicMs,
  type PageNo,
  type RegionClient,
  redoLimits,
  zeroLsn,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { EngineAnswer } from '../engine/core/engine-protocol.ts';
import { Engine, type EngineCommitEvent } from '../engine/engine.ts';
import { Handover } from '../engine/engine-handover.ts';
import { type ReaderCallbacks, ReaderPool, type ReaderPoolLimits } from '../engine/reader-pool.ts';
import { WriterEngine } from '../engine/writer-engine.ts';
import type { Bookmark } from '../sql/bookmark.ts';
import type { ReadPreference } from '../sql/stream-state.ts';
import type { CommitObserver } from './commit-observer.ts';
import { type BookmarkPlace, placeOf } from './core/bookmark-place.ts';
import { Follower, findReadPoint, type ReadPoint, visiblePart } from './follower.ts';
import { Reign, type ReignEngines, type ReignPort, type ReignStart } from './reign.ts';
import type { RegionVdlWatcher, RoleVolume } from './role-volume.ts';

export interface VolumeOptions {
  readonly region: RegionClient;
  readonly log: Logger;
  readonly limits: ReaderPoolLimits;
  /** Durable pages the writing engine keeps, bytes. */
  readonly pageCacheBytes: number;
  /** As `pageCacheBytes`, of each reading thread. */
  readonly readerCacheBytes: number;
  readonly pgBytes?: number;
  readonly recordFacts: boolean;
  readonly onFatal: (error: Error) => void;
  readonly observer: CommitObserver;
}

interface ReadWaiter {
  readonly lsn: Lsn;
  readonly done: (reached: boolean) => void;
}

/** Whether an answer may leave as it is. */
export type Settled =
  | 'released'
  /** As `released`, but this gateway is not, or cannot prove to be, the writer any more: others may have written since. */
  | 'stale'
  /** What it saw is not known to be durable, and never will be; what it committed may or may not exist. */
  | 'lost'
  /** As `lost`, and it has certainly committed nothing. */
  | 'discarded'
  /** What it saw is durable in this region, and no other one has proved in time that it has it. */
  | 'held';

/** A thread that writes and is busy is not waited for: storage has the page, too. */
const peekMs = 5;
/** How long the readers may take to catch up with what a reign begins with, before they begin anew there. */
const handOverMs = 300;

export class GatewayVolume implements RoleVolume {
  readonly readers: ReaderPool;
  readonly writer: WriterEngine;
  private readonly options: VolumeOptions;
  private readonly largeAnswers = new Handover().buffers.all;
  private reignNow: Reign | null = null;
  private reignPort: ReignPort | null = null;
  private regionVdlWatcher: RegionVdlWatcher | null = null;
  private follower: Follower | null = null;
  /** Whether the readers follow the reign's own redo. */
  private tapping = false;
  private headNow: Epoch = genesisEpoch;
  /** The path of that head. */
  private tree = new EpochTree();
  private vdlNow: Lsn = zeroLsn;
  private writerOpen = false;
  private attached = false;
  private changes: Promise<void> = Promise.resolve();
  private readonly stop = new AbortController();
  private readWaiters: ReadWaiter[] = [];
  /** The highest write made through this gateway, and the reign it was made under. */
  private written: { readonly epoch: Epoch; readonly lsn: Lsn } = { epoch: genesisEpoch, lsn: zeroLsn };

  constructor(options: VolumeOptions) {
    this.options = options;
    const { limits, log } = options;
    this.readers = new ReaderPool({
      start: (callbacks) => this.startReader(callbacks),
      limits,
      log,
      onFolded: (folded) => this.follower?.foldedTo(folded),
    });
    this.writer = new WriterEngine({
      start: (onFatal) => this.startWriter(onFatal),
      log,
      engineSilenceMs: limits.engineSilenceMs,
      onLost: (reason) => this.reignPort?.engineLost(reason),
    });
  }

  /** Starts the engines and attaches the readers behind the caller's back. */
  async start(): Promise<void> {
    await this.readers.start();
    await this.writer.start();
    void this.change(() => this.attach());
  }

  /** The writer role is told from now on. */
  watchRegionVdl(watcher: RegionVdlWatcher): void {
    this.regionVdlWatcher = watcher;
  }

  private startReader(callbacks: ReaderCallbacks): Promise<Engine> {
    const { readerCacheBytes, pgBytes } = this.options;
    return Engine.start({
      pageCacheBytes: readerCacheBytes,
      pgBytes: pgBytes ?? redoLimits.pgBytesDefault,
      largeAnswers: this.largeAnswers,
      readPages: (pages, readPoint) => this.readPagesBeside(pages, readPoint),
      onCommit: () => {
        throw new Error('G4: a reader does not write');
      },
      ...callbacks,
    });
  }

  private startWriter(onFatal: (error: Error) => void): Promise<Engine> {
    const { pageCacheBytes, pgBytes } = this.options;
    return Engine.start({
      pageCacheBytes,
      pgBytes: pgBytes ?? redoLimits.pgBytesDefault,
      largeAnswers: this.largeAnswers,
      readPages: (pages, readPoint) => this.readPages(pages, readPoint),
      onCommit: (commit) => this.committed(commit),
      onFatal,
      onIdle: () => this.reignNow?.gathered(),
    });
  }

  /** Every engine there is, for its counts. */
  get engines(): readonly { readonly kind: 'writer' | 'reader'; readonly engine: Engine }[] {
    return [
      { kind: 'writer', engine: this.writer.engine },
      ...this.readers.engines.map((engine) => ({ kind: 'reader' as const, engine })),
    ];
  }

  /** Reads are served: a point to read at was found. */
  get isAttached(): boolean {
    return this.attached;
  }

  /** The reign whose engine takes writes; null while reading. */
  get reign(): Reign | null {
    return this.writerOpen && this.reignNow?.isOver === false ? this.reignNow : null;
  }

  /** Epoch whose path is read or written. */
  get head(): Epoch {
    return this.headNow;
  }

  /** What a bookmark means on the path that is read or written here. */
  placeOf(bookmark: Bookmark): BookmarkPlace {
    return placeOf(bookmark, this.headNow, this.tree);
  }

  /** What is durable in this region, as known here. */
  get vdl(): Lsn {
    return this.reign?.vdl ?? this.vdlNow;
  }

  /** Why answers have waited for other regions for so long, or would, in words for an operator; null while none has. */
  holdReason(fromMs: number): string | null {
    const hold = this.reign?.hold ?? null;
    if (hold === null || hold.forMs < fromMs) return null;
    return (
      `what this region has had for ${formatAge(hold.forMs)} is in no other one, and answers wait for that (policy --rpo-ms ${hold.rpoMs}): ` +
      'bring a secondary back, or let them go with `sextant policy --rpo-ms off`'
    );
  }

  /** Why reads stand still although more is durable in this region; null while they get on. */
  stallReason(): string | null {
    return this.follower?.stallReason ?? null;
  }

  /** How far a `session` read has to wait: everything written through this gateway. */
  get writtenLsn(): Lsn {
    return this.written.lsn;
  }

  /** Notes a write made through this gateway, here or at the writer. */
  noteWritten(epoch: Epoch, lsn: Lsn): void {
    if (epoch > this.written.epoch || (epoch === this.written.epoch && lsn > this.written.lsn)) {
      this.written = { epoch, lsn: epoch > this.written.epoch ? lsn : maxLsn(lsn, this.written.lsn) };
    }
  }

  /**
   * How far a read on the writer has to wait beyond what is acknowledged. A `global` read decides about commits whose answers
   * were given up: it waits for what is durable here and not yet free.
   */
  pointFor(preference: ReadPreference): Lsn {
    return preference === 'global' ? (this.reign?.vdl ?? zeroLsn) : zeroLsn;
  }

  /** Whether a read given to the readers now sees everything up to `lsn`, and on the writer everything acknowledged so far. */
  covers(lsn: Lsn): boolean {
    return this.attached && this.readers.vdl >= maxLsn(lsn, this.reign?.readPoint ?? zeroLsn);
  }

  /** As `covers`, at once or within the time. */
  reached(given: Lsn, waitMs: number): Promise<boolean> | boolean {
    if (this.covers(given)) return true;
    const lsn = maxLsn(given, this.reign?.readPoint ?? zeroLsn);
    return new Promise((resolve) => {
      const waiter: ReadWaiter = {
        lsn,
        done: (reached) => {
          clearTimeout(timer);
          resolve(reached);
        },
      };
      const timer = setTimeout(() => {
        this.readWaiters = this.readWaiters.filter((other) => other !== waiter);
        resolve(false);
      }, waitMs);
      this.readWaiters.push(waiter);
    });
  }

  /**
   * Decides about an engine's answer: calls back at once, or when it is durable or lost.
   * @param asksWriter false for a read that asks for no more than something durable.
   */
  settle(answer: EngineAnswer<unknown>, asksWriter: boolean, done: (settled: Settled) => void): void {
    const reign = this.reignNow;
    const { seenLsn } = answer;
    if (reign === null || seenLsn === 0) done('released');
    // A reader engine that has just replaced the writer shows nothing beyond what was durable.
    else if (reign.isOver) done(afterwards(answer, reign));
    else if (!asksWriter && reign.covers(seenLsn)) done('released');
    else {
      const settle = (): void =>
        reign.settle(seenLsn, (release) => {
          if (release === 'over') done(afterwards(answer, reign));
          else done(release === 'free' ? 'released' : 'held');
        });
      // What commits is proved by its own votes, and what is part of a transaction by its COMMIT.
      if (answer.commits.length === 0 && answer.autocommit) reign.prove(settle);
      else settle();
    }
  }

  /** Makes the engine the writer's. @returns the reign; it may be over already when it was closed meanwhile. */
  openWriter(start: ReignStart): Reign {
    const { region, recordFacts } = this.options;
    const reign = new Reign({ region, start, engines: this.enginesOfReign(), recordFacts });
    void this.change(async () => {
      if (reign.isOver || this.stop.signal.aborted) return;
      this.adoptHead({ head: reign.epoch, forks: reign.forks, vdl: start.vdl });
      this.reignNow = reign;
      this.reignPort = start.port;
      await this.writer.begin(start.vdl);
      this.attached = true;
      this.writerOpen = true;
      this.handOver(reign, start.vdl);
    });
    return reign;
  }

  private enginesOfReign(): ReignEngines {
    const { observer } = this.options;
    return {
      isMoreComing: () => this.writer.engine.isBusy,
      framed: (bytes, end) => this.readers.offer(bytes, end),
      committed: (commit, epoch) => observer.committed(commit, epoch),
      durable: (vdl, facts, free) => {
        this.writer.engine.setDurable(vdl);
        observer.durable(vdl, facts, free);
      },
      freed: (free) => {
        if (this.tapping && this.reignNow !== null) {
          this.readers.advance(this.reignNow.readPoint);
          this.wakeReaders();
        }
        observer.freed(free);
      },
      appended: (node, how, tookMs) => observer.appended(node, how, tookMs),
    };
  }

  /** From the log to the reign's own redo, as soon as the readers have what the reign began with. */
  private handOver(reign: Reign, from: Lsn): void {
    if (this.readers.vdl >= from) {
      this.tap(reign);
      return;
    }
    setTimeout(() => {
      if (this.tapping || reign.isOver || this.reignNow !== reign) return;
      this.readers.begin(reign.readPoint);
      this.tap(reign);
    }, handOverMs);
  }

  private tap(reign: Reign): void {
    this.follower?.close();
    this.follower = null;
    this.tapping = true;
    this.readers.advance(reign.readPoint);
    this.wakeReaders();
  }

  /** Resolves when every change asked for so far has been carried out. */
  settledChanges(): Promise<void> {
    return this.changes;
  }

  /** Ends a reign: nothing is acknowledged from this moment on; reads go on at what was durable. */
  closeWriter(reign: Reign): void {
    reign.close();
    this.options.observer.reignEnded();
    this.writerOpen = false;
    void this.change(async () => {
      if (this.reignNow !== reign || this.stop.signal.aborted) return;
      this.reignPort = null;
      this.tapping = false;
      this.vdlNow = reign.vdl;
      this.readers.withdraw();
      await this.writer.end(reign.vdl);
      // Answers of the writer's engine that came with or before this news are looked at first.
      await new Promise((resolve) => setImmediate(resolve));
      this.reignNow = null;
      this.follow({ head: reign.epoch, forks: reign.forks, vdl: this.readers.vdl });
    });
  }

  async close(): Promise<void> {
    this.stop.abort();
    this.follower?.close();
    this.follower = null;
    this.reignNow?.close();
    for (const waiter of this.readWaiters.splice(0)) waiter.done(false);
    // A change may wait for an engine that gives no sign of life any more: engines are ended first then.
    const engines = Promise.all([this.readers.close(), this.writer.close()]);
    await Promise.all([this.changes, engines]);
  }

  private change(run: () => Promise<void>): Promise<void> {
    const next = this.changes.then(async () => {
      if (this.stop.signal.aborted) return;
      await run();
    });
    this.changes = next.catch((error: unknown) => {
      if (!this.stop.signal.aborted)
        this.options.onFatal(error instanceof Error ? error : new Error(String(error)));
    });
    return this.changes;
  }

  private async attach(): Promise<void> {
    const point = await findReadPoint(this.options.region, this.stop.signal);
    if (point === null) return;
    this.readAt(point);
    this.options.log.info({ epoch: point.head, vdl: point.vdl }, 'reads at a durable point');
  }

  private readAt(point: ReadPoint): void {
    this.adoptHead(point);
    this.vdlNow = point.vdl;
    this.readers.begin(point.vdl);
    this.follow(point);
  }

  private follow(point: ReadPoint): void {
    this.follower?.close();
    this.attached = true;
    this.follower = new Follower(this.options.region, point, {
      apply: (frames, next, seen) => this.followed(frames, next, seen),
      reopen: (at) => {
        this.vdlNow = at.vdl;
        this.readers.withdraw();
        this.readers.begin(at.vdl);
      },
      onHead: (at) => {
        if (this.reignNow !== null) return;
        this.adoptHead(at);
        this.regionVdlWatcher?.(at.head, at.vdl);
      },
      onVdl: (head, vdl) => {
        if (this.reignNow !== null) return;
        this.vdlNow = vdl;
        this.regionVdlWatcher?.(head, vdl);
      },
      onStall: (news, readPoint, vdl) => {
        if (news === 'stalled')
          this.options.log.error({ readPoint, vdl }, 'reads stand still behind this region');
        else this.options.log.info({ readPoint, vdl }, 'reads get on again');
      },
    });
    this.regionVdlWatcher?.(point.head, point.vdl);
    this.wakeReaders();
  }

  /** Writes that are no part of the new path are waited for no more. */
  private adoptHead(point: ReadPoint): void {
    this.headNow = point.head;
    this.tree = new EpochTree(point.forks);
    this.written = { ...this.written, lsn: visiblePart(this.written, point.head, point.forks) };
    this.wakeReaders();
  }

  private followed(frames: Uint8Array, next: Lsn, seen: Lsn): void {
    this.readers.follow(frames, next, seen);
    const reign = this.reignNow;
    if (reign !== null && this.writerOpen && !this.tapping && this.readers.vdl >= reign.forkLsn)
      this.tap(reign);
    else this.wakeReaders();
  }

  private committed(commit: EngineCommitEvent): void {
    this.reignNow?.commit(commit);
  }

  private wakeReaders(): void {
    if (this.readWaiters.length === 0 || !this.attached) return;
    const at = this.readers.vdl;
    const ready = this.readWaiters.filter((waiter) => waiter.lsn <= at);
    if (ready.length === 0) return;
    this.readWaiters = this.readWaiters.filter((waiter) => waiter.lsn > at);
    for (const waiter of ready) waiter.done(true);
  }

  /**
   * For a thread that reads: the engine that writes has most pages as they are now, and storage nodes have to put one together
   * from all that was written to it in the last minute.
   */
  private async readPagesBeside(
    pages: readonly PageNo[],
    readPoint: Lsn,
  ): Promise<readonly (Uint8Array | null)[]> {
    const reign = this.tapping ? this.reign : null;
    if (reign === null || readPoint > reign.vdl) return this.readPages(pages, readPoint);
    const { engine } = this.writer;
    const peeked = await Promise.all(pages.map((page) => engine.peek(page, readPoint, peekMs)));
    // What a reign that is over meanwhile has had may be no part of history.
    const missing = pages.filter((_, at) => peeked[at] === undefined || reign.isOver);
    if (missing.length === 0) return peeked.map((bytes) => bytes ?? null);
    const read = await this.readPages(missing, readPoint);
    return pages.map((page, at) => {
      const place = missing.indexOf(page);
      return (place < 0 ? peeked[at] : read[place]) ?? null;
    });
  }

  /** In one request, however many they are. */
  private async readPages(pages: readonly PageNo[], readPoint: Lsn): Promise<readonly (Uint8Array | null)[]> {
    // The engine may still ask for what it saw before history forked below it.
    if (readPoint > (this.reignNow?.vdl ?? this.vdlNow))
      throw new Error(`history goes on from ${this.vdlNow}, and ${readPoint} is no part of it`);
    const startMs = monotonicMs();
    const read = await this.options.region.readPages(this.headNow, readPoint, pages);
    this.options.observer.pageRead(monotonicMs() - startMs);
    if (read.kind === 'unavailable') throw new Error(read.reason);
    return read.pages;
  }
}

/** What becomes of an answer whose reign is over, or that waited too long for the lease. */
function afterwards(answer: EngineAnswer<unknown>, reign: Reign): Settled {
  const { commits, seenLsn } = answer;
  if (commits.length === 0) return seenLsn <= reign.free ? 'stale' : 'discarded';
  return commits.every((commit) => commit.lsn > reign.takenTo) ? 'discarded' : 'lost';
}
