/** What the writer and the receiver share: carries the effects of a pure quorum machine to the nodes and its events back. */

import type { NodeAnswer, NodeLinks } from '../client/node-links.ts';
import { setsOf } from '../members/core/quorum-sets.ts';
import { PacedTimer } from '../process/paced-timer.ts';
import { type Runtime, machine as thisMachine } from '../process/runtime.ts';
import { type Epoch, type Lsn, type NodeId, unreachable } from '../redo/ids.ts';
import type { QuorumBounds } from '../redo/limits.ts';
import type { AppendRequest } from '../wire/core/messages.ts';
import { LowWater, type LowWaterBounds } from './core/low-water.ts';
import type { QuorumEffect, QuorumEvent } from './core/quorum-writer.ts';

/** Volume or QuorumWriter. */
export interface QuorumMachine {
  readonly vdl: Lsn;
  /** Ticks bring nothing for a while. */
  readonly isQuiet: boolean;
  setLowWater(lowWater: Lsn): void;
  step(event: QuorumEvent, nowMs: number): readonly QuorumEffect[];
}

export interface QuorumHandlers {
  onDurable(vdl: Lsn, vcl: Lsn, by: NodeId): void;
  /** VCL has moved within a transaction. */
  onComplete?(vcl: Lsn): void;
  onFenced(by: Epoch): void;
  onQuorumLost(reason: string): void;
  /** An append leaves for a node; for telemetry. */
  onSent?(node: NodeId, request: AppendRequest): void;
  /** A node has persisted an append; for telemetry. Runs before the `onDurable` it may lead to. */
  onAcked?(node: NodeId, request: AppendRequest): void;
  /** What became of frames that were sent to a node, and after how long; for metrics. */
  onAppended?(node: NodeId, how: AppendEnd, tookMs: number): void;
}

/** How an append ended. */
export type AppendEnd = 'acked' | 'refused' | 'unanswered';

/** What a driver runs on; what is left out is this machine's, and the usual bounds. */
export interface DriverPlace {
  readonly runtime?: Runtime;
  readonly lowWater?: LowWaterBounds;
  /** Bounds between a transaction and its quorum. */
  readonly bounds?: QuorumBounds;
}

const tickMs = 10;
/** While nothing is written: an idle region should wake nobody without need. */
const quietTickMs = 100;
/** A node that is dead or frozen loses its link before; this is for one that is neither and does not answer. */
const appendMs = 5_000;

export class QuorumDriver {
  private readonly runtime: Runtime;
  private readonly region: NodeLinks;
  private readonly authority: Epoch;
  private readonly machine: QuorumMachine;
  private readonly handlers: QuorumHandlers;
  private readonly ticks: PacedTimer;
  private readonly unwatch: () => void;
  private readonly lowWater: LowWater;
  private over = false;

  constructor(
    region: NodeLinks,
    authority: Epoch,
    machine: QuorumMachine,
    handlers: QuorumHandlers,
    { runtime = thisMachine, lowWater }: DriverPlace = {},
  ) {
    this.runtime = runtime;
    this.lowWater = new LowWater(lowWater);
    this.region = region;
    this.authority = authority;
    this.machine = machine;
    this.handlers = handlers;
    this.ticks = new PacedTimer(runtime, tickMs, () => this.tick());
    this.unwatch = region.watch({
      onNodeUp: (node) => this.step({ kind: 'nodeUp', node }),
      onNodeDown: (node) => this.step({ kind: 'nodeDown', node }),
      onMembers: (membership) => this.step({ kind: 'members', sets: setsOf(membership) }),
    });
  }

  get isOver(): boolean {
    return this.over;
  }

  step(event: QuorumEvent): void {
    if (!this.over) this.carryOut(this.machine.step(event, this.runtime.nowMs()));
  }

  carryOut(effects: readonly QuorumEffect[]): void {
    for (const effect of effects) {
      if (this.over) return;
      this.carryOutOne(effect);
    }
    this.ticks.pace(this.machine.isQuiet ? quietTickMs : tickMs);
  }

  private tick(): void {
    this.machine.setLowWater(this.lowWater.at(this.machine.vdl, this.runtime.nowMs()));
    this.step({ kind: 'tick' });
  }

  /** Nothing is heard of the volume from here on. */
  close(): void {
    if (this.over) return;
    this.step({ kind: 'farewell' });
    this.over = true;
    this.ticks.stop();
    this.unwatch();
  }

  private carryOutOne(effect: QuorumEffect): void {
    switch (effect.kind) {
      case 'append': {
        const { node, request } = effect;
        if (request.frames.length > 0) this.handlers.onSent?.(node, request);
        const sentAtMs = this.runtime.nowMs();
        this.region.ask(node, request, appendMs, (answer) => {
          if (request.frames.length > 0) this.timed(node, answer, sentAtMs);
          this.answered(node, answer, request);
        });
        return;
      }
      case 'notice':
        this.region.notify(effect.node, effect.request);
        return;
      case 'fork': {
        const { node, forks } = effect;
        const request = { kind: 'fork', authority: this.authority, forks } as const;
        this.region.ask(node, request, appendMs, (answer) => this.answered(node, answer, null));
        return;
      }
      case 'durable':
        this.handlers.onDurable(effect.vdl, effect.vcl, effect.by);
        return;
      case 'complete':
        this.handlers.onComplete?.(effect.vcl);
        return;
      case 'fenced':
        this.close();
        this.handlers.onFenced(effect.by);
        return;
      case 'quorumLost':
        this.close();
        this.handlers.onQuorumLost(effect.reason);
        return;
      default:
        unreachable(effect);
    }
  }

  private timed(node: NodeId, { kind }: NodeAnswer, sentAtMs: number): void {
    if (this.over) return;
    const how = kind === 'acked' || kind === 'refused' ? kind : 'unanswered';
    this.handlers.onAppended?.(node, how, this.runtime.nowMs() - sentAtMs);
  }

  private answered(node: NodeId, answer: NodeAnswer, request: AppendRequest | null): void {
    if (this.over) return;
    switch (answer.kind) {
      case 'acked':
        if (request !== null && request.frames.length > 0) this.handlers.onAcked?.(node, request);
        this.step({ kind: 'acked', node, head: answer.head, scls: answer.scls });
        return;
      case 'refused':
        this.step({ kind: 'refused', node, code: answer.code, sealed: answer.sealed });
        return;
      case 'forked':
        this.step({ kind: 'forked', node });
        return;
      default:
        this.step({ kind: 'unanswered', node });
    }
  }
}
