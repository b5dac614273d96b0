/**
 * The engines on one line of history of this region's volume: a pool of threads that read and one that writes, in a reign.
 * The readers follow the log of this region; in a reign they follow its own redo, which is here first. One change is carried
 * out at a time, in the order in which they are asked for. A volume at rest has no threads, and that of a branch follows nothing;
 * a reign outlives the rest, since it costs nothing while nobody writes.
 *
 * G23. An answer that saw redo of a reign leaves only through that reign's gate, or if it needs no lease, or once that
 * reign is over; and only when what it saw is durable.
 */

import {
  type Epoch,
  EpochTree,
  genesisEpoch,
  geometryOf,
  type Lsn,
  maxLsn,
  monotonicMs,
  type PageNo,
  zeroLsn,
} from '../../storage/index.ts';
import type { EngineAnswer } from '../engine/core/engine-protocol.ts';
import type { Engine } from '../engine/engine.ts';
import { type ReaderCallbacks, ReaderPool } from '../engine/reader-pool.ts';
import { WriterEngine } from '../engine/writer-engine.ts';
import type { Bookmark } from '../sql/bookmark.ts';
import type { ReadPreference } from '../sql/stream-state.ts';
import { type BookmarkPlace, placeOf } from './core/bookmark-place.ts';
import { holdText } from './core/hold-text.ts';
import { Follower, findReadPoint, type ReadPoint, visiblePart } from './follower.ts';
import { readBeside } from './pages-beside.ts';
import { ReadWaiters } from './read-waiters.ts';
import { Reign, type ReignEngines, type ReignPort, type ReignStart } from './reign.ts';
import type { RegionVdlWatcher, RoleVolume } from './role-volume.ts';
import { type AskedHow, proveReign, settleUnder } from './settling.ts';
import type { Settled, VolumeOptions } from './volume-options.ts';

/** How long the readers may take to catch up with what a reign begins with, before they begin anew there. */
const handOverMs = 300;

export class GatewayVolume implements RoleVolume {
  readonly readers: ReaderPool;
  readonly writer: WriterEngine;
  private readonly options: VolumeOptions;
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
  /** The reign that is there has given its engine back. */
  private writerRests = false;
  private attached = false;
  private awake = false;
  private changes: Promise<void> = Promise.resolve();
  private readonly stop = new AbortController();
  /** Of the search for a point to read at. */
  private attaching = new AbortController();
  private readonly waiters = new ReadWaiters();
  /** What was shown before a rest: reads do not go back behind it. */
  private shown: { readonly epoch: Epoch; readonly lsn: Lsn } = { epoch: genesisEpoch, lsn: zeroLsn };
  /** The highest write made through this gateway, and the reign it was made under. */
  private written: { readonly epoch: Epoch; readonly lsn: Lsn } = { epoch: genesisEpoch, lsn: zeroLsn };

  constructor(options: VolumeOptions) {
    this.options = options;
    const { limits, log } = options;
    this.readers = new ReaderPool({
      start: (callbacks) => this.startReader(callbacks),
      ...{ limits, log, quick: options.quick },
      onFolded: (folded) => this.follower?.foldedTo(folded),
      readPages: (pages, readPoint) => this.readPagesBeside(pages, readPoint),
    });
    this.writer = new WriterEngine({
      start: (onFatal) => this.startWriter(onFatal),
      log,
      engineSilenceMs: limits.engineSilenceMs,
      onLost: (reason) => this.reignPort?.engineLost(reason),
    });
  }

  /** Starts the engines, unless they start on demand, and attaches the readers behind the caller's back. */
  async start(): Promise<void> {
    this.awake = true;
    if (!this.options.startsOnDemand) await Promise.all([this.readers.start(), this.writer.start()]);
    void this.change(() => this.attach());
  }

  /** False while it is at rest. */
  get isAwake(): boolean {
    return this.awake;
  }

  /** Ends a rest: reads are served as soon as there is a thread and a point to read at. Nothing happens to one that is awake. */
  wake(): void {
    if (this.awake || this.stop.signal.aborted) return;
    this.awake = true;
    // While it is asked where to read. Else the first statement starts what it needs, which may be the thread that writes.
    if (!this.followsAtRest) this.readers.startAnother();
    void this.change(async () => {
      if (this.awake && this.reignNow === null && this.follower === null) await this.attach();
    });
  }

  /** A reign is about to begin, which ends a rest: its engine is started meanwhile. */
  warmWriter(): void {
    if (this.stop.signal.aborted) return;
    this.awake = true;
    this.writer.warm();
  }

  /** As `wake`, for writes: opens the writing engine of a reign that has outlived a rest. @param opened called then, and only then. */
  wakeWriter(opened: () => void): void {
    const reign = this.reignNow;
    if (reign === null || this.writerOpen) return;
    void this.change(async () => {
      if (!this.awake || this.writerOpen || this.reignNow !== reign || reign.isOver) return;
      await this.writer.begin(reign.lastLsn, geometryOf(reign.forks).pgBytes);
      this.writerOpen = true;
      this.writerRests = false;
      opened();
    });
  }

  /** Whether nothing would be lost by a rest: no redo is under way. */
  get mayRest(): boolean {
    const reign = this.reignNow;
    if (reign === null || reign.isOver) return this.attached || !this.followsAtRest;
    return this.tapping && reign.isSettled && reign.hold === null;
  }

  /** What this region has of main is news that moves and readiness go by. What it has of a branch is of interest to who asks for it. */
  private get followsAtRest(): boolean {
    return this.options.main === undefined;
  }

  /** Gives the engines back. No operation may be under way and no transaction open. */
  rest(): void {
    if (!this.awake) return;
    this.awake = false;
    if (!this.followsAtRest) this.attaching.abort();
    void this.change(async () => {
      if (this.awake) return;
      if (this.writerOpen) this.writerRests = true;
      this.writerOpen = false;
      if (!this.followsAtRest) this.stopReading();
      await Promise.all([this.readers.rest(), this.writer.rest()]);
    });
  }

  /** Without a reign the region's log has to be asked where to go on. */
  private stopReading(): void {
    this.stopFollowing();
    this.shown = { epoch: this.headNow, lsn: this.readers.vdl };
    if (this.reignNow === null) this.attached = false;
  }

  private stopFollowing(): void {
    this.follower?.close();
    this.follower = null;
  }

  /** The writer role is told from now on. */
  watchRegionVdl(watcher: RegionVdlWatcher): void {
    this.regionVdlWatcher = watcher;
  }

  private startReader(callbacks: ReaderCallbacks): Promise<Engine> {
    return this.options.reserve.start({
      pageCacheBytes: this.options.readerCacheBytes,
      readPages: (pages, readPoint) => this.readPagesBeside(pages, readPoint),
      onCommit: () => {
        throw new Error('G4: a reader does not write');
      },
      onNews: (news) => this.options.observer.engineDid('reader', news),
      ...callbacks,
    });
  }

  private startWriter(onFatal: (error: Error) => void): Promise<Engine> {
    return this.options.reserve.start({
      pageCacheBytes: this.options.pageCacheBytes,
      readPages: (pages, readPoint) => this.readPages(pages, readPoint),
      onCommit: (commit) => this.reignNow?.commit(commit),
      onFatal,
      onIdle: () => this.reignNow?.gathered(),
      onNews: (news) => this.options.observer.engineDid('writer', news),
    });
  }

  /** Every engine there is, for its counts. */
  get engines(): readonly { readonly kind: 'writer' | 'reader'; readonly engine: Engine }[] {
    const writer = this.writer.running;
    return [
      ...(writer === null ? [] : [{ kind: 'writer' as const, engine: writer }]),
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

  /** The reign, though its engine may rest: its lease, its place in the log and its gate are there; null while reading. */
  get standing(): Reign | null {
    return (this.writerOpen || this.writerRests) && this.reignNow?.isOver === false ? this.reignNow : null;
  }

  /** Epoch whose path is read or written. */
  get head(): Epoch {
    return this.headNow;
  }

  /** What a bookmark means on the path that is read or written here. */
  readonly placeOf = (bookmark: Bookmark): BookmarkPlace => placeOf(bookmark, this.headNow, this.tree);

  /** What is durable in this region, as known here. */
  get vdl(): Lsn {
    return this.standing?.vdl ?? this.vdlNow;
  }

  /** Why answers have waited for other regions for so long, or would, in words for an operator; null while none has. */
  holdReason(fromMs: number): string | null {
    const hold = this.standing?.hold ?? null;
    return hold === null || hold.forMs < fromMs ? null : holdText(hold);
  }

  /** Why reads stand still although more is durable in this region; null while they get on. */
  stallReason(): string | null {
    return this.follower?.stallReason ?? null;
  }

  /** How far a `session` read has to wait: everything written through this gateway. */
  get writtenLsn(): Lsn {
    return this.written.lsn;
  }

  /** Where history goes on for who has seen something that is no part of it any more, as `EPOCH.LSN`; null while it is. */
  forkedFrom(seen: { readonly epoch: Epoch; readonly lsn: Lsn }): string | null {
    if (visiblePart(seen, this.headNow, this.tree.forksOf(this.headNow)) >= seen.lsn) return null;
    return `${this.headNow}.${this.readers.vdl}`;
  }

  /** Notes a write made through this gateway, here or at the writer. */
  noteWritten(epoch: Epoch, lsn: Lsn): void {
    const { written } = this;
    if (epoch > written.epoch || (epoch === written.epoch && lsn > written.lsn))
      this.written = { epoch, lsn };
  }

  /** How far a read on the writer has to wait beyond what is acknowledged: a `global` one for what is durable and not yet free. */
  pointFor(preference: ReadPreference): Lsn {
    return preference === 'global' ? (this.standing?.vdl ?? zeroLsn) : zeroLsn;
  }

  /** Whether a read given to the readers now sees everything up to `lsn`, and on the writer everything acknowledged so far. */
  covers(lsn: Lsn): boolean {
    return this.attached && this.readers.vdl >= maxLsn(lsn, this.leastPoint);
  }

  /** No read sees less. */
  private get leastPoint(): Lsn {
    return maxLsn(this.shown.lsn, this.standing?.readPoint ?? zeroLsn);
  }

  /** As `covers`, at once or within the time. */
  reached(given: Lsn, waitMs: number): Promise<boolean> | boolean {
    return this.covers(given) || this.waiters.wait(maxLsn(given, this.leastPoint), waitMs);
  }

  /**
   * Decides about an engine's answer: calls back at once, or when it is durable or lost.
   */
  settle(answer: EngineAnswer<unknown>, how: AskedHow, done: (settled: Settled) => void): void {
    const { main } = this.options;
    if (this.reignNow === null || answer.seenLsn === 0) done('released');
    else settleUnder({ reign: this.reignNow, main }, answer, how, done);
  }

  /** See `proveReign`; at once when there is no reign. */
  prove(done: () => void): void {
    const { main } = this.options;
    if (this.reignNow === null) done();
    else proveReign({ reign: this.reignNow, main }, done);
  }

  /** Makes the engine the writer's. @returns the reign; it may be over already when it was closed meanwhile. */
  openWriter(start: ReignStart): Reign {
    const { region, recordFacts } = this.options;
    const reign = new Reign({ region, start, engines: this.enginesOfReign(), recordFacts });
    this.awake = true;
    void this.change(async () => {
      if (reign.isOver || this.stop.signal.aborted) return;
      this.adoptHead({ head: reign.epoch, forks: reign.forks, vdl: start.vdl });
      this.reignNow = reign;
      this.reignPort = start.port;
      this.leaveWhatWasRead(start.vdl);
      await this.writer.begin(start.vdl, geometryOf(start.forks).pgBytes);
      this.attached = true;
      this.writerOpen = true;
      this.writerRests = false;
      this.handOver(reign, start.vdl);
    });
    return reign;
  }

  /** S41: a reign that begins below what was read here goes on from another place: no page of what it left may be shown. */
  private leaveWhatWasRead(from: Lsn): void {
    if (this.readers.vdl <= from) return;
    this.stopFollowing();
    this.readers.withdraw();
    this.readers.begin(from);
  }

  private enginesOfReign(): ReignEngines {
    const { observer } = this.options;
    return {
      isMoreComing: () => this.writer.running?.isBusy === true,
      framed: (bytes, end) => this.readers.offer(bytes, end),
      committed: (commit, epoch) => observer.committed(commit, epoch),
      durable: (vdl, facts, free) => {
        this.writer.running?.setDurable(vdl);
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
    this.stopFollowing();
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
    this.writerRests = false;
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
      if (!this.awake && !this.followsAtRest) this.stopReading();
      else this.follow({ head: reign.epoch, forks: reign.forks, vdl: this.readers.vdl });
    });
  }

  async close(): Promise<void> {
    this.stop.abort();
    this.attaching.abort();
    this.stopFollowing();
    this.reignNow?.close();
    this.waiters.close();
    // A change may wait for an engine that gives no sign of life any more: engines are ended first then.
    const engines = Promise.all([this.readers.close(), this.writer.close()]);
    await Promise.all([this.changes, engines]);
  }

  private change(run: () => Promise<void>): Promise<void> {
    const next = this.changes.then(() => (this.stop.signal.aborted ? undefined : run()));
    this.changes = next.catch((error: unknown) => {
      if (!this.stop.signal.aborted)
        this.options.onFatal(error instanceof Error ? error : new Error(String(error)));
    });
    return this.changes;
  }

  private async attach(): Promise<void> {
    const { region, line, log } = this.options;
    this.attaching = new AbortController();
    const point = await findReadPoint(region, line, this.attaching.signal);
    if (point === null || this.stop.signal.aborted) return;
    this.readAt(point);
    log.info({ branch: line.branch, epoch: point.head, vdl: point.vdl }, 'reads at a durable point');
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
    this.follower = new Follower(this.options.region, this.options.line, point, {
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
        const { log } = this.options;
        if (news === 'stalled') log.error({ readPoint, vdl }, 'reads stand still behind this region');
        else log.info({ readPoint, vdl }, 'reads get on again');
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
    this.shown = { ...this.shown, lsn: visiblePart(this.shown, point.head, point.forks) };
    this.wakeReaders();
  }

  private followed(frames: Uint8Array, next: Lsn, seen: Lsn): void {
    this.readers.follow(frames, next, seen);
    const reign = this.reignNow;
    if (reign !== null && this.writerOpen && !this.tapping && this.readers.vdl >= reign.forkLsn)
      this.tap(reign);
    else this.wakeReaders();
  }

  private wakeReaders(): void {
    if (this.waiters.size > 0 && this.attached) this.waiters.reached(this.readers.vdl, this.shown.lsn);
  }

  private readPagesBeside(pages: readonly PageNo[], readPoint: Lsn): Promise<readonly (Uint8Array | null)[]> {
    const reign = this.tapping ? this.reign : null;
    const read = (some: readonly PageNo[]) => this.readPages(some, readPoint);
    if (reign === null || readPoint > reign.vdl) return read(pages);
    return readBeside(pages, readPoint, { engine: this.writer.engine, reign }, read);
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
