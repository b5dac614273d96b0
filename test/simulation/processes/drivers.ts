/** Carries the effects of the pure quorum and recovery machines to the nodes and their answers back. */

import type { Fork } from '../../../storage/history/epoch-tree.ts';
import type { QuorumEffect, QuorumEvent } from '../../../storage/quorum/core/quorum-writer.ts';
import {
  type Recovered,
  Recovery,
  type RecoveryEffect,
  type RecoveryEvent,
  type RecoveryGoal,
} from '../../../storage/quorum/core/recovery.ts';
import { type Epoch, type Lsn, lsn, type NodeId, type PgId, unreachable } from '../../../storage/redo/ids.ts';
import type { StorageReply } from '../../../storage/wire/core/messages.ts';
import type { Answer, RegionLinks } from './region-links.ts';

export type QuorumMachine = { step(event: QuorumEvent, nowMs: number): readonly QuorumEffect[] };

export type QuorumHandlers = {
  readonly onDurable: (vdl: Lsn, vcl: Lsn) => void;
  readonly onFenced: (by: Epoch) => void;
  readonly onQuorumLost: (reason: string) => void;
  /** VCL has moved within a transaction. */
  readonly onComplete?: (vcl: Lsn) => void;
  /** A node has answered for an append. */
  readonly onAcked?: (node: NodeId, scls: readonly (readonly [PgId, Lsn])[]) => void;
  readonly onNodeDown?: (node: NodeId) => void;
};

const appendMs = 5_000;

export class QuorumDriver {
  private readonly links: RegionLinks;
  private readonly authority: Epoch;
  private readonly machine: QuorumMachine;
  private readonly handlers: QuorumHandlers;
  private unwatch: () => void = () => {};
  private over = false;

  constructor(links: RegionLinks, authority: Epoch, machine: QuorumMachine, handlers: QuorumHandlers) {
    this.links = links;
    this.authority = authority;
    this.machine = machine;
    this.handlers = handlers;
  }

  /** Begins to talk to the nodes. */
  open(): void {
    this.unwatch = this.links.watch({
      onNodeUp: (node) => this.step({ kind: 'nodeUp', node }),
      onNodeDown: (node) => {
        this.handlers.onNodeDown?.(node);
        this.step({ kind: 'nodeDown', node });
      },
    });
  }

  tick(): void {
    this.step({ kind: 'tick' });
  }

  step(event: QuorumEvent): void {
    if (!this.over) this.carryOut(this.machine.step(event, this.links.nowMs));
  }

  carryOut(effects: readonly QuorumEffect[]): void {
    for (const effect of effects) {
      if (this.over) return;
      this.carryOutOne(effect);
    }
  }

  close(): void {
    if (this.over) return;
    this.step({ kind: 'farewell' });
    this.over = true;
    this.unwatch();
  }

  private carryOutOne(effect: QuorumEffect): void {
    switch (effect.kind) {
      case 'append':
        this.links.ask(effect.node, effect.request, appendMs, (answer) => this.answered(effect.node, answer));
        return;
      case 'notice':
        this.links.notify(effect.node, effect.request);
        return;
      case 'fork': {
        const request = { kind: 'fork', authority: this.authority, forks: effect.forks } as const;
        this.links.ask(effect.node, request, appendMs, (answer) => this.answered(effect.node, answer));
        return;
      }
      case 'durable':
        this.handlers.onDurable(effect.vdl, effect.vcl);
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

  private answered(node: NodeId, answer: Answer): void {
    switch (answer.kind) {
      case 'acked':
        if (!this.over) this.handlers.onAcked?.(node, answer.scls);
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

export type RecoveryResult =
  | { readonly kind: 'recovered'; readonly outcome: Recovered }
  | { readonly kind: 'fenced'; readonly by: Epoch }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'timeout' };

export type RecoveryRunOptions = {
  /** The defect makes every node look complete, so that nothing is copied; the chain still says what there is. */
  readonly skipsReplication: boolean;
  readonly fetchBytesMax: number;
  /** The first fork request is about to leave: everything the new reign builds on lies on four nodes (S7). */
  readonly onForking?: (forks: readonly Fork[]) => void;
};

const requestMs = 2_000;
const timeoutMs = 15_000;

/** One recovery, until it has answered once. */
export class RecoveryRun {
  private readonly links: RegionLinks;
  private readonly recovery: Recovery;
  private deadlineMs: number;
  private readonly options: RecoveryRunOptions;
  private forking = false;
  private done: ((result: RecoveryResult) => void) | undefined;

  constructor(
    links: RegionLinks,
    goal: RecoveryGoal,
    options: RecoveryRunOptions,
    done: (result: RecoveryResult) => void,
  ) {
    this.links = links;
    this.recovery = new Recovery(links.nodes, goal, options.fetchBytesMax);
    this.deadlineMs = links.nowMs + timeoutMs;
    this.options = options;
    this.done = done;
  }

  /** Begins; not in the constructor, because the answer may come at once. */
  start(): void {
    this.step({ kind: 'start' });
  }

  get isOver(): boolean {
    return this.done === undefined;
  }

  tick(): void {
    if (this.done !== undefined && this.links.nowMs >= this.deadlineMs) this.finish({ kind: 'timeout' });
    else this.step({ kind: 'tick' });
  }

  close(): void {
    this.done = undefined;
  }

  private step(event: RecoveryEvent): void {
    if (this.done === undefined) return;
    const { progress } = this.recovery;
    for (const effect of this.recovery.step(event, this.links.nowMs)) this.carryOut(effect);
    if (this.recovery.progress !== progress) this.deadlineMs = this.links.nowMs + timeoutMs;
  }

  private carryOut(effect: RecoveryEffect): void {
    switch (effect.kind) {
      case 'send': {
        const { node, request } = effect;
        if (request.kind === 'fork' && !this.forking) {
          this.forking = true;
          this.options.onForking?.(request.forks);
        }
        this.links.ask(node, request, requestMs, (answer) =>
          this.step(
            answer.kind === 'unanswered'
              ? { kind: 'unanswered', node }
              : { kind: 'answered', node, reply: this.believed(answer) },
          ),
        );
        return;
      }
      case 'recovered':
      case 'fenced':
      case 'failed':
        this.finish(effect);
        return;
      default:
        unreachable(effect);
    }
  }

  private believed(reply: StorageReply): StorageReply {
    if (!this.options.skipsReplication || reply.kind !== 'surveyed') return reply;
    return { ...reply, volumeEnd: lsn(Number.MAX_SAFE_INTEGER) };
  }

  private finish(result: RecoveryResult): void {
    const { done } = this;
    this.done = undefined;
    done?.(result);
  }
}
