/**
 * The engine on this region's volume, as a reader or as the writer, and the changes between the two. One change is
 * carried out at a time, in the order in which they are asked for.
 *
 * G23. An answer that saw redo of a reign leaves only through that reign's gate, or once its reader engine has replaced it.
 */
import type { Fork } from '../../storage/core/epoch-tree.ts';
import { type Epoch, genesisEpoch, type Lsn, maxLsn, type PageNo, zeroLsn } from '../../storage/core/ids.ts';
import { redoLimits } from '../../storage/core/limits.ts';
import type { AppendFacts, RegionClient } from '../../storage/shell/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { EngineAnswer } from '../core/engine-protocol.ts';
import { Engine, type EngineCommitEvent } from './engine.ts';
import { Follower, findReadPoint, type ReadPoint, visiblePart } from './reader.ts';
import { Reign } from './writer.ts';

export interface VolumeOptions {
  readonly region: RegionClient;
  readonly log: Logger;
  readonly pageCacheBytes: number;
  readonly pgBytes?: number;
  readonly recordFacts: boolean;
  readonly onFatal: (error: Error) => void;
  readonly onCommit: (commit: EngineCommitEvent, reign: Reign) => void;
  readonly onDurable: (vdl: Lsn, facts: readonly AppendFacts[]) => void;
  /** What is durable in this region along the newest path has moved. */
  readonly onRegionVdl: (head: Epoch, vdl: Lsn) => void;
}

export interface WriterStart {
  readonly epoch: Epoch;
  readonly forks: readonly Fork[];
  readonly vdl: Lsn;
  readonly mayAcknowledge: () => boolean;
  readonly onLapsed: () => void;
  readonly onFenced: (by: Epoch) => void;
  readonly onQuorumLost: (reason: string) => void;
}

interface ReadWaiter {
  readonly lsn: Lsn;
  readonly done: (reached: boolean) => void;
}

/** Whether an answer may leave as it is. */
export type Settled =
  | 'released'
  /** What it saw is not known to be durable, and never will be; what it committed may or may not exist. */
  | 'lost'
  /** As `lost`, and it has certainly committed nothing. */
  | 'discarded';

export class GatewayVolume {
  private readonly options: VolumeOptions;
  private engineNow: Engine | null = null;
  private reignNow: Reign | null = null;
  private follower: Follower | null = null;
  private headNow: Epoch = genesisEpoch;
  private vdlNow: Lsn = zeroLsn;
  private writerOpen = false;
  private attached = false;
  private generationNow = 0;
  private changes: Promise<void> = Promise.resolve();
  private readonly stop = new AbortController();
  private readWaiters: ReadWaiter[] = [];
  /** The highest write made through this gateway, and the reign it was made under. */
  private written: { readonly epoch: Epoch; readonly lsn: Lsn } = { epoch: genesisEpoch, lsn: zeroLsn };

  constructor(options: VolumeOptions) {
    this.options = options;
  }

  /** Starts the engine and attaches it as a reader behind the caller's back. */
  async start(): Promise<void> {
    const { pageCacheBytes, pgBytes, onFatal } = this.options;
    this.engineNow = await Engine.start({
      pageCacheBytes,
      pgBytes: pgBytes ?? redoLimits.pgBytesDefault,
      readPage: (page, readPoint) => this.readPage(page, readPoint),
      onCommit: (commit) => this.committed(commit),
      onFatal,
      onReadPoint: (readPoint) => this.readPointMoved(readPoint),
      onDiverged: (reason) => this.diverged(reason),
      onIdle: () => this.reignNow?.gathered(),
    });
    void this.change(() => this.attach());
  }

  get engine(): Engine {
    if (this.engineNow === null) throw new Error('the engine has not been started');
    return this.engineNow;
  }

  /** Counts the engine's changes: a session set up under another number has lost its settings. */
  get generation(): number {
    return this.generationNow;
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

  /** What is durable in this region, as known here. */
  get vdl(): Lsn {
    return this.reign?.vdl ?? this.vdlNow;
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

  /** @returns whether the reader has reached `lsn` within the time; at once true on the writer. */
  reached(lsn: Lsn, waitMs: number): Promise<boolean> | boolean {
    if (this.reign !== null || (this.attached && this.engine.readPoint() >= lsn)) return true;
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

  /** Decides about an engine's answer: calls back at once, or when it is durable or lost. */
  settle(answer: EngineAnswer<unknown>, done: (settled: Settled) => void): void {
    const reign = this.reignNow;
    const { seenLsn } = answer;
    if (reign === null || seenLsn === 0) done('released');
    // A reader engine that has just replaced the writer shows nothing beyond what was durable.
    else if (reign.isOver) done(afterwards(answer, reign));
    else reign.settle(seenLsn, (released) => done(released ? 'released' : afterwards(answer, reign)));
  }

  /** Makes the engine the writer's. @returns the reign; it may be over already when it was closed meanwhile. */
  openWriter(start: WriterStart): Reign {
    const { region, recordFacts } = this.options;
    const reign: Reign = new Reign({
      region,
      epoch: start.epoch,
      forks: start.forks,
      forkLsn: start.vdl,
      recordFacts,
      mayAcknowledge: start.mayAcknowledge,
      onLapsed: start.onLapsed,
      onFenced: start.onFenced,
      onQuorumLost: start.onQuorumLost,
      isMoreComing: () => this.engine.isBusy,
      onCommit: (commit) => this.options.onCommit(commit, reign),
      onDurable: (vdl, facts) => {
        this.engine.setDurable(vdl);
        this.options.onDurable(vdl, facts);
      },
    });
    void this.change(async () => {
      if (reign.isOver || this.stop.signal.aborted) return;
      this.follower?.close();
      this.follower = null;
      this.adoptHead({ head: reign.epoch, forks: reign.forks, vdl: start.vdl });
      this.reignNow = reign;
      this.generationNow += 1;
      await this.engine.open({ kind: 'writer', lsn: start.vdl });
      this.attached = true;
      this.writerOpen = true;
      this.wakeReaders();
    });
    return reign;
  }

  /** Resolves when every change asked for so far has been carried out. */
  settledChanges(): Promise<void> {
    return this.changes;
  }

  /** Ends a reign: nothing is acknowledged from this moment on; the engine goes on as a reader at what was durable. */
  closeWriter(reign: Reign): void {
    reign.close();
    this.writerOpen = false;
    void this.change(async () => {
      if (this.reignNow !== reign || this.stop.signal.aborted) return;
      const point = { head: reign.epoch, forks: reign.forks, vdl: reign.vdl };
      this.vdlNow = reign.vdl;
      this.generationNow += 1;
      await this.engine.open({ kind: 'reader', readPoint: reign.vdl });
      // Answers of the writer's engine that came with or before this news are looked at first.
      await new Promise((resolve) => setImmediate(resolve));
      this.reignNow = null;
      this.follow(point);
    });
  }

  async close(): Promise<void> {
    this.stop.abort();
    this.follower?.close();
    this.follower = null;
    this.reignNow?.close();
    for (const waiter of this.readWaiters.splice(0)) waiter.done(false);
    await this.changes;
    await this.engineNow?.close();
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
    await this.readAt(point);
    this.options.log.info({ epoch: point.head, vdl: point.vdl }, 'reads at a durable point');
  }

  private async readAt(point: ReadPoint): Promise<void> {
    this.adoptHead(point);
    this.vdlNow = point.vdl;
    this.generationNow += 1;
    await this.engine.open({ kind: 'reader', readPoint: point.vdl });
    this.follow(point);
  }

  private follow(point: ReadPoint): void {
    this.follower?.close();
    this.attached = true;
    this.follower = new Follower(this.options.region, point, {
      apply: (frames, vdl) => this.engine.apply(frames, vdl),
      reopen: (at) => {
        this.generationNow += 1;
        this.vdlNow = at.vdl;
        void this.engine.open({ kind: 'reader', readPoint: at.vdl }).catch(() => undefined);
      },
      onHead: (at) => {
        this.adoptHead(at);
        this.options.onRegionVdl(at.head, at.vdl);
      },
      onVdl: (head, vdl) => {
        this.vdlNow = vdl;
        this.options.onRegionVdl(head, vdl);
      },
      onStall: (news, readPoint, vdl) => {
        if (news === 'stalled')
          this.options.log.error({ readPoint, vdl }, 'reads stand still behind this region');
        else this.options.log.info({ readPoint, vdl }, 'reads get on again');
      },
    });
    this.options.onRegionVdl(point.head, point.vdl);
    this.wakeReaders();
  }

  /** Writes that are no part of the new path are waited for no more. */
  private adoptHead(point: ReadPoint): void {
    this.headNow = point.head;
    this.written = { ...this.written, lsn: visiblePart(this.written, point.head, point.forks) };
    this.wakeReaders();
  }

  private diverged(reason: string): void {
    if (this.reignNow !== null) return;
    this.options.log.warn({ reason }, 'the reader begins anew');
    void this.change(async () => {
      if (this.reignNow !== null) return;
      this.follower?.close();
      await this.attach();
    });
  }

  private committed(commit: EngineCommitEvent): void {
    this.reignNow?.commit(commit);
  }

  private readPointMoved(readPoint: Lsn): void {
    this.follower?.foldedTo(readPoint);
    this.wakeReaders();
  }

  private wakeReaders(): void {
    if (this.readWaiters.length === 0 || !this.attached) return;
    const at = this.reign !== null ? Number.POSITIVE_INFINITY : this.engine.readPoint();
    const ready = this.readWaiters.filter((waiter) => waiter.lsn <= at);
    if (ready.length === 0) return;
    this.readWaiters = this.readWaiters.filter((waiter) => waiter.lsn > at);
    for (const waiter of ready) waiter.done(true);
  }

  private async readPage(page: PageNo, readPoint: Lsn): Promise<Uint8Array | null> {
    // The engine may still ask for what it saw before history forked below it.
    if (readPoint > (this.reignNow?.vdl ?? this.vdlNow))
      throw new Error(`history goes on from ${this.vdlNow}, and ${readPoint} is no part of it`);
    const read = await this.options.region.readPages(this.headNow, readPoint, [page]);
    if (read.kind === 'unavailable') throw new Error(read.reason);
    return read.pages[0] ?? null;
  }
}

/** What becomes of an answer whose reign is over. */
function afterwards(answer: EngineAnswer<unknown>, reign: Reign): Settled {
  const { commits, seenLsn } = answer;
  if (commits.length === 0) return seenLsn <= reign.vdl ? 'released' : 'discarded';
  return commits.every((commit) => commit.lsn > reign.takenTo) ? 'discarded' : 'lost';
}
