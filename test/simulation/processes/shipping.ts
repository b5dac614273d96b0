/** Drives one production shipper per secondary, each on a NATS connection of its own, as the agent's shell does. */

import {
  type ClockEcho,
  encodeShipped,
  type ShipAck,
  subjectsOf,
} from '../../../regions/bus/core/messages.ts';
import { commitMarksIn } from '../../../regions/replication/core/commit-marks.ts';
import { Shipper, type ShipperEffect } from '../../../regions/replication/core/shipper.ts';
import { StallWatch } from '../../../regions/replication/core/stall-watch.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import { splitFrames } from '../../../storage/redo/frame.ts';
import {
  type Epoch,
  type Lsn,
  mainBranch,
  maxLsn,
  type RegionId,
  regionId,
} from '../../../storage/redo/ids.ts';
import type { BusPayload, SimContext, SimRuntime } from '../deployment/sim-types.ts';
import type { BusClient } from '../twins/bus.ts';
import { LogFetch, type RegionLinks } from './region-links.ts';

const fetchWaitMs = 1_000;
const nothing = new Uint8Array(0);

export type ShippedReign = { readonly head: Epoch; readonly forks: readonly Fork[]; readonly vdl: Lsn };

/** One secondary: its shipper, its connection, its place in the log. */
export class Lane {
  readonly to: RegionId;
  private readonly runtime: SimRuntime;
  private readonly context: SimContext;
  private readonly from: RegionId;
  private readonly reign: ShippedReign;
  private readonly shipper: Shipper;
  private readonly watch = new StallWatch();
  private readonly links: RegionLinks;
  private readonly index: number;
  private connection: BusClient<BusPayload>;
  private log: LogFetch;
  /** Counts the lane's beginnings: what an earlier one left under way comes to nothing. */
  private life = 0;
  private echo: ClockEcho | null = null;
  private closed = false;
  /** Name of its timer, and the read that waits for it. */
  readonly timer: string;
  private due: Extract<ShipperEffect, { kind: 'fetch' }> | null = null;

  constructor(
    runtime: SimRuntime,
    context: SimContext,
    links: RegionLinks,
    reign: ShippedReign,
    lane: { readonly from: string; readonly to: string; readonly index: number },
  ) {
    this.runtime = runtime;
    this.context = context;
    this.from = regionId(lane.from);
    this.to = regionId(lane.to);
    this.timer = `ship ${lane.to}`;
    this.reign = reign;
    this.shipper = new Shipper(reign.head, reign.vdl, null, context.bounds.shipping);
    this.connection = runtime.connectBus(`ship-${lane.to}-${reign.head}`);
    this.links = links;
    this.index = lane.index;
    this.log = new LogFetch(links, lane.index);
  }

  acked(ack: ShipAck): void {
    if (this.closed) return;
    this.echo = { ackSentAtUs: ack.ackSentAtUs, ackReceivedAtUs: this.runtime.wallUs() };
    this.carryOut(this.shipper.step({ kind: 'acked', ack }, this.nowMs));
  }

  tick(): void {
    if (this.closed) return;
    this.carryOut(this.shipper.step({ kind: 'tick' }, this.nowMs));
    const { isBehind, storedTo } = this.shipper;
    for (const news of this.watch.look({ isBehind, progress: storedTo }, this.nowMs)) {
      this.runtime.note(`the lane to ${this.to}: ${news.kind}`);
      if (news.kind === 'stalled') this.context.witness.stalled(this.from, this.to);
      if (news.kind === 'rebuild') this.rebuild(news.attempt);
    }
  }

  /** Another connection, another node to read from, and a word of the secondary from where to go on. */
  private rebuild(attempt: number): void {
    this.life += 1;
    this.due = null;
    this.echo = null;
    this.connection.close();
    this.connection = this.runtime.connectBus(`ship-${this.to}-${this.reign.head}-${this.life}`);
    this.log = new LogFetch(this.links, this.index + attempt);
    this.carryOut(this.shipper.step({ kind: 'restarted' }, this.nowMs));
  }

  close(): void {
    this.closed = true;
    this.connection.close();
  }

  private get nowMs(): number {
    return this.runtime.nowUs() / 1000;
  }

  private carryOut(effects: readonly ShipperEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'fetch') this.fetchLater(effect);
      else if (effect.kind === 'heartbeat')
        this.publish({ start: effect.start, next: effect.start, vdl: effect.vdl }, nothing);
      else {
        const outcome = this.publish(effect, effect.frames);
        this.carryOut(this.shipper.step({ kind: 'shipped', outcome }, this.nowMs));
      }
    }
  }

  private fetchLater(effect: Extract<ShipperEffect, { kind: 'fetch' }>): void {
    this.due = effect;
    if (effect.afterMs === 0) this.timerFired();
    else this.runtime.setTimer(this.timer, Math.ceil(effect.afterMs * 1_000));
  }

  /** The timer of this lane has fired. */
  timerFired(): void {
    const { due } = this;
    this.due = null;
    if (due !== null && !this.closed) this.fetch(due.from, due.known);
  }

  private fetch(from: Lsn, known: Lsn): void {
    const { head } = this.reign;
    const request = {
      kind: 'fetch',
      branch: mainBranch,
      head,
      from,
      bytesMax: this.context.bounds.shipping.messageBytes,
      waitMs: fetchWaitMs,
      durableOnly: !this.context.defects.has('ship-undurable'),
      known: { head, vdl: known },
    } as const;
    const { life } = this;
    this.log.fetch(request, (reply) => {
      if (this.closed || life !== this.life) return;
      const split = reply === null ? null : splitFrames(reply.frames);
      if (reply === null || split === null || split.kind === 'bad') {
        if (split?.kind === 'bad')
          throw new Error(`a storage node sent frames that do not check: ${split.reason}`);
        this.carryOut(this.shipper.step({ kind: 'fetchFailed' }, this.nowMs));
        return;
      }
      const { next, frames } = reply;
      const vdl = this.context.defects.has('ship-undurable') ? maxLsn(reply.vdl, next) : reply.vdl;
      const commits = commitMarksIn(split.frames, from, next);
      this.carryOut(this.shipper.step({ kind: 'fetched', from, next, vdl, frames, commits }, this.nowMs));
    });
  }

  private publish(
    what: { readonly start: Lsn; readonly next: Lsn; readonly vdl: Lsn },
    frames: Uint8Array,
  ): 'sent' | 'refused' {
    const { head, forks } = this.reign;
    const { start, next, vdl } = what;
    // The path says by itself that everything up to its last fork is durable (S7), also before the nodes do.
    this.context.witness.shipped(this.to, head, maxLsn(vdl, forks.at(-1)?.forkLsn ?? vdl));
    const message = {
      from: this.from,
      head,
      forks,
      start,
      next,
      vdl,
      sentAtUs: this.runtime.wallUs(),
      echo: this.echo,
      frames,
    };
    const bytes = encodeShipped(message, { bytes: frames, compressed: false });
    const outcome = this.connection.publish(subjectsOf(this.context.cluster).ship(this.to), bytes);
    return outcome === 'dropped' ? 'refused' : 'sent';
  }
}
