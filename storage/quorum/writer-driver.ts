/**
 * The writer's volume over a region's nodes. Commits of one turn of the event loop share frames, and what a turn heard
 * from the nodes is looked at when all of it was heard; the driver says when
 * they are durable, and when its reign is over. After `onFenced` or `onQuorumLost` nothing becomes durable any more:
 * whoever had commits out has to treat them as unknown and recover.
 */

import type { NodeLinks } from '../client/node-links.ts';
import type { Fork } from '../history/epoch-tree.ts';
import { setsOf } from '../members/core/quorum-sets.ts';
import { machine, type Runtime } from '../process/runtime.ts';
import { type Epoch, type Lsn, type NodeId, zeroLsn } from '../redo/ids.ts';
import type { StoredMtr } from '../redo/mtr-stream.ts';
import type { Mtr } from '../redo/record.ts';
import { type AppendFacts, AppendRecorder } from './append-facts.ts';
import type { QuorumEffect } from './core/quorum-writer.ts';
import { Volume, type WantedRedo } from './core/writer-volume.ts';
import { type AppendEnd, type DriverPlace, QuorumDriver, type QuorumMachine } from './quorum-driver.ts';

export interface WriterDriverOptions {
  readonly region: NodeLinks;
  /** The epoch that recovery has just forked. */
  readonly epoch: Epoch;
  readonly forks: readonly Fork[];
  readonly forkLsn: Lsn;
  /** Everything at or below `vdl` is durable. `facts` is empty unless `recordFacts` is set. */
  readonly onDurable: (vdl: Lsn, facts: readonly AppendFacts[]) => void;
  /** A newer reign has sealed the nodes. Runs at most once, and never together with `onQuorumLost`. */
  readonly onFenced: (by: Epoch) => void;
  readonly onQuorumLost: (reason: string) => void;
  /** A frame has been made, in LSN order; what is in it is not durable before `onDurable` says so. */
  readonly onFramed?: (bytes: Uint8Array, end: Lsn) => void;
  /** What became of frames that were sent to a node, and after how long. */
  readonly onAppended?: (node: NodeId, how: AppendEnd, tookMs: number) => void;
  /** Whether more commits are about to come, so that a crowd's batch should wait for them. Say `gathered` when they have come. */
  readonly isMoreComing?: () => boolean;
  /** Keep what `append` spans are made of. */
  readonly recordFacts?: boolean;
  readonly place?: DriverPlace;
}

export class WriterDriver {
  private readonly volume: Volume;
  private readonly driver: QuorumDriver;
  private readonly facts: AppendRecorder | null;
  private readonly isMoreComing: () => boolean;
  private readonly onFramed: (bytes: Uint8Array, end: Lsn) => void;
  private readonly runtime: Runtime;
  private flushPlanned = false;
  private flushedTo: Lsn;
  private readonly onQuorumLost: (reason: string) => void;
  /** Redo of a stored mini-transaction is on its way here. */
  private bringing = false;

  constructor(options: WriterDriverOptions) {
    const { region, epoch, forks, forkLsn, place = {} } = options;
    const { runtime = machine, bounds } = place;
    this.runtime = runtime;
    this.flushedTo = forkLsn;
    this.onQuorumLost = options.onQuorumLost;
    this.volume = new Volume({
      sets: setsOf(region.membership),
      epoch,
      forks,
      forkLsn,
      nowMs: runtime.nowMs(),
      ...(bounds !== undefined && { bounds }),
    });
    this.facts =
      options.recordFacts === true
        ? new AppendRecorder(
            epoch,
            (node) => region.azOf(node),
            () => runtime.wallUs(),
          )
        : null;
    const { facts } = this;
    this.isMoreComing = options.isMoreComing ?? (() => false);
    this.onFramed = options.onFramed ?? (() => undefined);
    this.driver = new QuorumDriver(
      region,
      epoch,
      this.quorumMachine(),
      {
        onDurable: (vdl, vcl, by) => options.onDurable(vdl, facts?.durable(vcl, by) ?? none),
        onFenced: options.onFenced,
        onQuorumLost: options.onQuorumLost,
        ...(options.onAppended !== undefined && { onAppended: options.onAppended }),
        ...(facts !== null && {
          onSent: (node, request) => facts.sent(node, request),
          onAcked: (node, request) => facts.acked(node, request),
        }),
      },
      place,
    );
  }

  get vdl(): Lsn {
    return this.volume.vdl;
  }

  get vcl(): Lsn {
    return this.volume.vcl;
  }

  /** End of everything committed, durable or not. */
  get lastLsn(): Lsn {
    return this.volume.lastLsn;
  }

  get epoch(): Epoch {
    return this.volume.epoch;
  }

  /** Redo committed and not yet durable. */
  get outstandingBytes(): number {
    return this.volume.outstandingBytes;
  }

  /** False at the back-pressure bound: let new transactions wait until the next `onDurable` (S8). */
  get hasRoom(): boolean {
    return this.volume.hasRoom;
  }

  get upNodes(): number {
    return this.volume.upNodes;
  }

  /** Fenced, without quorum, or closed. */
  get isOver(): boolean {
    return this.driver.isOver;
  }

  sclOf(node: NodeId): Lsn {
    return this.volume.sclOf(node);
  }

  /** Redo committed and not acknowledged by a node, in bytes; null while it has not said where it is. */
  backlogOf(node: NodeId): number | null {
    const scl = this.volume.sclOf(node);
    if (scl === zeroLsn && this.lastLsn > zeroLsn) return null;
    return Math.max(0, this.lastLsn - scl);
  }

  /**
   * Takes a committed mini-transaction. Redo that is not in memory is read as the nodes take it, two batches at a time; when it cannot be
   * read, the reign is over and `onQuorumLost` says why. @returns its commit's LSN: durable once `onDurable` has reached it.
   */
  commit(mtr: Mtr | StoredMtr): Lsn {
    const lsn = this.volume.commit(mtr);
    this.planFlush();
    return lsn;
  }

  /** No more commits are about to come. */
  gathered(): void {
    this.planFlush();
  }

  close(): void {
    this.driver.close();
  }

  private planFlush(): void {
    if (this.flushPlanned || this.volume.unflushedBytes === 0) return;
    this.flushPlanned = true;
    this.runtime.turn(() => {
      this.flushPlanned = false;
      if (this.driver.isOver) return;
      const framed = this.volume.framedLsn;
      this.driver.carryOut(this.flush());
      // The rest of a large transaction: in another turn, so that leases and links get theirs between.
      if (this.volume.framedLsn > framed) this.planFlush();
      this.bring();
    });
  }

  /** Reads ahead of what leaves. */
  private bring(): void {
    const wanted = this.bringing ? null : this.volume.wanted();
    if (wanted === null) return;
    this.bringing = true;
    wanted.mtr.read(wanted.from, wanted.to).then(
      (stretches) => this.brought(wanted, stretches),
      (error: unknown) => {
        if (this.driver.isOver) return;
        this.driver.close();
        this.onQuorumLost(`redo of a large transaction cannot be read: ${String(error)}`);
      },
    );
  }

  private brought(wanted: WantedRedo, stretches: readonly Uint8Array[]): void {
    this.bringing = false;
    if (this.driver.isOver) return;
    this.volume.supply(wanted, stretches);
    this.planFlush();
  }

  private flush(): readonly QuorumEffect[] {
    const effects = this.volume.flush(this.runtime.nowMs(), this.isMoreComing());
    for (const { bytes, end } of this.volume.takeFramed()) this.onFramed(bytes, end);
    if (effects.length > 0) {
      this.facts?.flushed(this.flushedTo, this.volume.framedLsn);
      this.flushedTo = this.volume.framedLsn;
    }
    return effects;
  }

  private quorumMachine(): QuorumMachine {
    const { volume } = this;
    return {
      step: (event, nowMs) => {
        const effects = volume.step(event, nowMs);
        // What has not left when the writer ends was promised to nobody.
        if (event.kind !== 'farewell') this.planFlush();
        return effects;
      },
      setLowWater: (lowWater) => volume.setLowWater(lowWater),
      get vdl() {
        return volume.vdl;
      },
      get isQuiet() {
        return volume.isQuiet;
      },
    };
  }
}

const none: readonly AppendFacts[] = [];
