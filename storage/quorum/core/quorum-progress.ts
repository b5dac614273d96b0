/**
 * Tells a quorum that is lost from one that is slow, by progress and never by age: it is lost when what is to become
 * durable has stood still for the limit, and fewer than four nodes hold it or have persisted more within that time.
 */
import { isWriteQuorum, nodesIn, type QuorumSets } from '../../members/core/quorum-sets.ts';
import type { Lsn, NodeId, PgId } from '../../redo/ids.ts';
import { volumeLimits } from '../../redo/limits.ts';

/** What waits for the quorum at one look. */
export interface Waiting {
  /** Redo that has left and lacks its quorum; 0 when nothing waits. */
  readonly bytes: number;
  /** Nodes that hold the oldest frame without quorum. */
  readonly holders: ReadonlySet<NodeId>;
  /** Nodes whose links are up. */
  readonly up: ReadonlySet<NodeId>;
  /** Who they are a quorum of. */
  readonly sets: QuorumSets;
}

export class QuorumProgress {
  private readonly limitMs: number;
  /** SCLs as last heard; a node that says the same again, after its link broke say, has not moved. */
  private readonly scls = new Map<NodeId, Map<PgId, Lsn>>();
  private readonly movedAtMs = new Map<NodeId, number>();
  private advancedAtMs: number;
  private reachableAtMs: number;
  private lookedAtMs: number;
  /** Time in which this process did not run; all times here leave it out. */
  private absentMs = 0;

  constructor(nowMs: number, limitMs: number = volumeLimits.quorumLostAfterMs) {
    this.limitMs = limitMs;
    this.lookedAtMs = nowMs;
    this.advancedAtMs = nowMs;
    this.reachableAtMs = nowMs;
  }

  /** A node says how far it is in a group. */
  reported(node: NodeId, pg: PgId, scl: Lsn, nowMs: number): void {
    const known = this.scls.get(node) ?? new Map<PgId, Lsn>();
    this.scls.set(node, known);
    const before = known.get(pg);
    known.set(pg, scl);
    if (before !== undefined && scl > before) this.movedAtMs.set(node, this.ranFor(nowMs));
  }

  /** Another frame is the oldest without quorum: one got it, or one was offered while none waited. */
  advanced(nowMs: number): void {
    this.advancedAtMs = this.ranFor(nowMs);
  }

  /** Looks, many times a second. @returns why the quorum is lost, or null. */
  look(waiting: Waiting, nowMs: number): string | null {
    const gapMs = nowMs - this.lookedAtMs;
    if (gapMs > volumeLimits.tickGapMsMax) this.absentMs += Math.min(gapMs, volumeLimits.absenceMsMax);
    this.lookedAtMs = nowMs;
    const ranMs = this.ranFor(nowMs);
    const { up, sets } = waiting;
    if (isWriteQuorum(sets, (node) => up.has(node))) this.reachableAtMs = ranMs;
    if (ranMs - this.reachableAtMs > this.limitMs)
      return `${up.size} of ${howMany(sets)} storage nodes are reachable, ${needed(sets)}`;
    const stoodMs = ranMs - this.advancedAtMs;
    if (waiting.bytes === 0 || stoodMs <= this.limitMs) return null;
    const counted = new Set(waiting.holders);
    for (const [node, atMs] of this.movedAtMs) if (ranMs - atMs <= this.limitMs) counted.add(node);
    if (isWriteQuorum(sets, (node) => counted.has(node))) return null;
    return `${waiting.bytes} bytes of redo have made no progress for ${Math.round(stoodMs)} ms: ${counted.size} of ${howMany(sets)} nodes have them or get on, ${needed(sets)}`;
  }

  private ranFor(nowMs: number): number {
    return nowMs - this.absentMs;
  }
}

const howMany = (sets: QuorumSets): string => (sets.length === 1 ? 'six' : `${nodesIn(sets).length}`);
const needed = (sets: QuorumSets): string =>
  sets.length === 1
    ? 'four are needed'
    : 'four of the six with the old node and of the six with the new one are needed';
