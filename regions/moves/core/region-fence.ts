/**
 * When a region can begin nothing durable any more under the reign that is to be replaced.
 *
 * R28 A challenger need not wait for the lease of reign `e` once three of its region's six nodes have persisted a seal above
 *     `e`, and the record that it changes still says epoch `e`. A write needs four of six, so no write whose redo leaves its
 *     writer after the third seal ever gets a fourth vote, whatever the writer believes of its lease.
 *
 * A write under way at that moment may still become durable: a node may have voted for it before it was sealed. So may the
 * word of its durability reach the old writer late, and leave while its lease is valid. Four nodes hold such a write, so it
 * is in the list of losses like every other that had not reached the new primary. Without a fence the old writer could go on
 * to acknowledge writes that begin later than the new primary's.
 *
 * The seal is for `e + 1`, the next epoch, which nobody has yet while the record says `e`. So it fences `e` and nothing else:
 * when the move is refused after all, the old region's writer hears that it is fenced, gives the lease back, claims `e + 1`
 * and recovers; its nodes take that authority. When somebody has claimed `e + 1` meanwhile, the seal means nothing to that
 * reign, and the challenger loses the compare-and-set, since the record no longer says `e`.
 *
 * Reads: one that asks for no more than something durable may go on. Whatever else asks the writer and commits nothing is
 * proved by four nodes first, asked after it began (G37), and a fence leaves no four.
 */

import {
  type Epoch,
  epoch,
  isFence,
  type NodeId,
  nodesIn,
  type QuorumSets,
  quorumLimits,
} from '../../../storage/core.ts';
import type { ControlRecord } from '../../control/core/control-record.ts';

/** Seals that leave too few nodes of a set of six for a write quorum. */
export const fencingSeals = quorumLimits.copies - quorumLimits.writeQuorum + 1;

/** The epoch to seal for, to fence `reign` and nothing newer. */
export const sealAgainst = (reign: Epoch): Epoch => epoch(reign + 1);

/** Whether the holder in `record` is one that was fenced: `fenced` is the reign whose region said so, null when none did. */
export const isHolderFenced = (record: ControlRecord, fenced: Epoch | null): boolean =>
  fenced !== null && record.epoch === fenced;

/** `fenced`: enough seals are on disk. `unreachable`: too few nodes are left that could still answer. */
export type FenceVerdict = 'fenced' | 'waiting' | 'unreachable';

/** Counts the seals of one region's nodes, each asked once. While one of them is being replaced, three of both sets are needed. */
export class RegionFence {
  private readonly sets: QuorumSets;
  private readonly waiting: Set<NodeId>;
  private readonly sealed = new Set<NodeId>();

  constructor(sets: QuorumSets) {
    this.sets = sets;
    this.waiting = new Set(nodesIn(sets));
  }

  get verdict(): FenceVerdict {
    const { sealed, waiting, sets } = this;
    if (isFence(sets, (node) => sealed.has(node))) return 'fenced';
    return isFence(sets, (node) => sealed.has(node) || waiting.has(node)) ? 'waiting' : 'unreachable';
  }

  /**
   * A node has answered, or has not in time.
   * @param hasSealed it says that the seal is on its disk. A refusal because of a newer seal does not count: that one may not
   * be on the disk yet.
   */
  answered(node: NodeId, hasSealed: boolean): FenceVerdict {
    this.waiting.delete(node);
    if (hasSealed) this.sealed.add(node);
    return this.verdict;
  }
}
