/** Drives the production receiver of a secondary: joins, hands frames to the region's six nodes, acknowledges. */

import { decodeShipped, encodeAck, subjectsOf } from '../../../regions/bus/core/messages.ts';
import {
  Receiver,
  type ReceiverEffect,
  type ReceiverEvent,
  type ReceiverPosition,
} from '../../../regions/replication/core/receiver.ts';
import { StallWatch } from '../../../regions/replication/core/stall-watch.ts';
import { EpochTree, type Fork } from '../../../storage/history/epoch-tree.ts';
import type { Recovered } from '../../../storage/quorum/core/recovery.ts';
import { ReceiverDriver } from '../../../storage/quorum/receiver-driver.ts';
import { type Epoch, type Lsn, mainBranch, type RegionId, regionId } from '../../../storage/redo/ids.ts';
import type { BusPayload, SimContext, SimRuntime } from '../deployment/sim-types.ts';
import type { RuntimeTwin } from '../ports/runtime.ts';
import type { BusClient } from '../twins/bus.ts';
import { placeOf, RecoveryRun } from './drivers.ts';
import type { RegionLinks } from './region-links.ts';

/** Writes another region's frames to this region's nodes. */
type Store = {
  readonly driver: ReceiverDriver;
  readonly tree: EpochTree;
};

export class Receiving {
  private readonly runtime: SimRuntime;
  private readonly context: SimContext;
  private readonly region: RegionId;
  private readonly time: RuntimeTwin;
  private readonly links: RegionLinks;
  private readonly bus: BusClient<BusPayload>;
  private readonly onJoined: (outcome: Recovered) => void;
  private readonly receiver = new Receiver();
  private readonly watch = new StallWatch();
  private store: Store | undefined;
  private joining: RecoveryRun | undefined;
  private closed = false;

  constructor(
    runtime: SimRuntime,
    context: SimContext,
    time: RuntimeTwin,
    links: RegionLinks,
    options: {
      readonly region: string;
      readonly bus: BusClient<BusPayload>;
      readonly onJoined: (outcome: Recovered) => void;
    },
  ) {
    this.runtime = runtime;
    this.context = context;
    this.region = regionId(options.region);
    this.time = time;
    this.links = links;
    this.bus = options.bus;
    this.onJoined = options.onJoined;
  }

  get position(): ReceiverPosition {
    return this.receiver.position;
  }

  get primaryVdl(): Lsn {
    return this.receiver.primaryVdl;
  }

  /** Following a primary that was heard lately. */
  get following(): boolean {
    return this.receiver.state.kind === 'following' && this.receiver.hears(this.nowMs);
  }

  arrived(bytes: Uint8Array): void {
    const shipped = decodeShipped(bytes);
    if (shipped.kind === 'malformed') throw new Error(`a shipped message cannot be read: ${shipped.reason}`);
    const { compressed: _, ...message } = shipped.value;
    this.step({ kind: 'shipped', message });
  }

  tick(): void {
    this.step({ kind: 'tick' });
    const { vcl, vdl } = this.receiver.position;
    const isBehind = this.following && vdl < this.receiver.primaryVdl;
    for (const news of this.watch.look({ isBehind, progress: vcl }, this.nowMs)) {
      this.runtime.note(`this region: ${news.kind}`);
      if (news.kind === 'rebuild' && news.attempt > 1) this.lost();
    }
  }

  close(): void {
    this.closed = true;
    this.joining?.close();
    this.store?.driver.close();
  }

  private get nowMs(): number {
    return this.runtime.nowUs() / 1000;
  }

  private step(event: ReceiverEvent): void {
    if (this.closed) return;
    for (const effect of this.receiver.step(event, this.nowMs)) this.carryOut(effect);
  }

  private carryOut(effect: ReceiverEffect): void {
    switch (effect.kind) {
      case 'join':
        this.join(effect.head, effect.forks);
        return;
      case 'store':
        this.keep(effect.frames);
        return;
      case 'ack': {
        const ack = encodeAck({
          region: this.region,
          ...this.receiver.position,
          gap: effect.gap,
          ackSentAtUs: this.runtime.wallUs(),
        });
        this.bus.publish(subjectsOf(this.context.cluster).ack(effect.to), ack);
        return;
      }
    }
  }

  private join(head: Epoch, forks: readonly Fork[]): void {
    this.store?.driver.close();
    this.store = undefined;
    this.joining?.close();
    const goal = { kind: 'follow', branch: mainBranch, epoch: head, head, forks } as const;
    this.joining = new RecoveryRun(
      this.links,
      this.time,
      goal,
      {
        skipsReplication: this.context.defects.has('skip-replication'),
        fetchBytesMax: this.context.bounds.fetchBytesMax,
      },
      (result) => {
        this.runtime.note(
          `joins epoch ${head}: ${result.kind} ${result.kind === 'failed' ? result.reason : ''}`,
        );
        const { state } = this.receiver;
        // The primary may have changed meanwhile, and a join of its path be under way.
        if (this.closed || state.kind !== 'joining' || state.head !== head) return;
        if (result.kind !== 'recovered' || result.outcome.head !== head) {
          this.step({ kind: 'joinFailed', head });
          return;
        }
        this.joined(result.outcome);
      },
    );
  }

  private joined(outcome: Recovered): void {
    const { head, forks, vdl } = outcome;
    this.onJoined(outcome);
    let committed = vdl;
    const driver = new ReceiverDriver({
      region: this.links,
      authority: head,
      head,
      forks,
      start: vdl,
      onDurable: (durable, vcl) => {
        // The defect holds credit back until the commit, as was once done.
        const isCommit = durable > committed;
        committed = durable;
        if (isCommit || !this.context.defects.has('credit-by-vdl')) this.durable(head, durable, vcl);
      },
      onFenced: () => this.lost(),
      onQuorumLost: () => this.lost(),
      place: placeOf(this.time, this.context),
    });
    this.store = { driver, tree: new EpochTree(forks) };
    this.context.witness.secondaryDurable(this.region, head, vdl);
    this.step({ kind: 'joined', outcome });
  }

  private durable(head: Epoch, vdl: Lsn, vcl: Lsn): void {
    this.context.witness.secondaryDurable(this.region, head, vdl);
    this.step({ kind: 'durable', vdl, vcl });
  }

  private lost(): void {
    this.store?.driver.close();
    this.store = undefined;
    this.step({ kind: 'lost' });
  }

  private keep(frames: Uint8Array): void {
    const { store } = this;
    if (store === undefined) {
      this.step({ kind: 'lost' });
      return;
    }
    const offered = store.driver.offer(frames, store.tree);
    if (offered.kind === 'bad') throw new Error(`frames from the primary do not check: ${offered.reason}`);
    if (offered.kind !== 'taken') this.lost();
  }
}
