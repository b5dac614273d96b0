/**
 * One page read over the nodes of a region, as a pure state machine. It goes in rounds: the best node is asked; a second
 * one is asked as well when the first is slower than nearly all reads are; the next one is asked at once when a node
 * fails. When all have failed, a new round begins a moment later. The first answer ends the read, and so does its deadline.
 */
import { type NodeId, unreachable } from '../../redo/ids.ts';

export type HedgeEvent =
  /** Time has passed. `order` is whom a round that begins now would ask, best first; `hedgeMs` when its second node is asked. */
  | { readonly kind: 'tick'; readonly order: readonly NodeId[]; readonly hedgeMs: number }
  /** A node has sent the pages. */
  | { readonly kind: 'served'; readonly node: NodeId }
  /** A node has refused, or its request stayed unanswered; `reason` names the node. */
  | { readonly kind: 'failed'; readonly node: NodeId; readonly reason: string };

export type HedgeEffect =
  | { readonly kind: 'ask'; readonly node: NodeId }
  /** The pages of this node are the answer. */
  | { readonly kind: 'take'; readonly node: NodeId }
  /** No node served the read in time. `reason` is the last one heard, or says who has not answered. */
  | { readonly kind: 'giveUp'; readonly reason: string };

export const hedgeLimits = {
  /** Wait before a new round when every node has failed. */
  roundMs: 20,
} as const;

export class HedgedRead {
  private readonly timeoutMs: number;
  private readonly deadlineMs: number;
  /** Nodes of this round that were not asked yet, best first. */
  private left: NodeId[] = [];
  private readonly asked = new Set<NodeId>();
  private roundAtMs: number;
  private hedgeAtMs = Number.POSITIVE_INFINITY;
  private lastReason: string | null = null;
  private over = false;

  constructor(timeoutMs: number, nowMs: number) {
    this.timeoutMs = timeoutMs;
    this.deadlineMs = nowMs + timeoutMs;
    this.roundAtMs = nowMs;
  }

  /** Answered or given up: nothing that comes later changes anything. */
  get isOver(): boolean {
    return this.over;
  }

  /** Nodes whose answer is awaited. */
  get waitingFor(): readonly NodeId[] {
    return [...this.asked];
  }

  /** When the next tick is due; infinity after the end. */
  get wakeAtMs(): number {
    return this.over ? Number.POSITIVE_INFINITY : Math.min(this.deadlineMs, this.roundAtMs, this.hedgeAtMs);
  }

  /** How long a request sent now may take. It outlives the read, so that the error names nodes that refused and not this limit. */
  requestMs(nowMs: number): number {
    return Math.max(0, this.deadlineMs - nowMs) + hedgeLimits.roundMs;
  }

  step(event: HedgeEvent, nowMs: number): readonly HedgeEffect[] {
    if (this.over) return [];
    switch (event.kind) {
      case 'tick':
        if (nowMs >= this.deadlineMs) return this.giveUp();
        if (nowMs >= this.roundAtMs) return this.startRound(event.order, event.hedgeMs, nowMs);
        return nowMs >= this.hedgeAtMs ? this.hedge() : [];
      case 'served':
        if (!this.asked.delete(event.node)) return [];
        this.over = true;
        return [{ kind: 'take', node: event.node }];
      case 'failed':
        return this.failed(event.node, event.reason, nowMs);
      default:
        return unreachable(event);
    }
  }

  private startRound(order: readonly NodeId[], hedgeMs: number, nowMs: number): readonly HedgeEffect[] {
    this.left = [...order];
    const effects = this.askNext();
    this.roundAtMs = effects.length > 0 ? Number.POSITIVE_INFINITY : nowMs + hedgeLimits.roundMs;
    this.hedgeAtMs = effects.length > 0 ? nowMs + hedgeMs : Number.POSITIVE_INFINITY;
    return effects;
  }

  /** Once in a round: who is silent beside the first must not have all nodes asked. */
  private hedge(): readonly HedgeEffect[] {
    this.hedgeAtMs = Number.POSITIVE_INFINITY;
    return this.askNext();
  }

  private failed(node: NodeId, reason: string, nowMs: number): readonly HedgeEffect[] {
    if (!this.asked.has(node)) return [];
    if (nowMs >= this.deadlineMs) return this.giveUp();
    this.asked.delete(node);
    this.lastReason = reason;
    const effects = this.askNext();
    if (effects.length === 0 && this.asked.size === 0) this.roundAtMs = nowMs + hedgeLimits.roundMs;
    return effects;
  }

  private askNext(): readonly HedgeEffect[] {
    const node = this.left.shift();
    if (node === undefined) return [];
    this.asked.add(node);
    return [{ kind: 'ask', node }];
  }

  private giveUp(): readonly HedgeEffect[] {
    this.over = true;
    const last = this.lastReason ?? silence(this.waitingFor);
    const reason = `no storage node served the read within ${this.timeoutMs} ms; last: ${last}`;
    return [{ kind: 'giveUp', reason }];
  }
}

function silence(waitingFor: readonly NodeId[]): string {
  return waitingFor.length === 0 ? 'no storage node is reachable' : `no answer from ${waitingFor.join(', ')}`;
}
