/**
 * Which nodes make a quorum. A region without a replacement under way has one set of six. While a node is being replaced there
 * are two: the six with the old node and the six with the new one.
 *
 * S27 Quorums meet across every two memberships that may be in use at a time. Those are neighbours (S28), and each pair of
 *     neighbours shares a whole set of six, within which S1 holds:
 *     - a write, a seal, a fork or a vote during a replacement is on four of both sets. So is every one before it, on the old
 *       set, and every one after it, on the set that stays. Two fours of one set of six share two nodes.
 *     - a fence (three of every set) leaves at most three of a set that a write of any neighbour needs four of.
 *     - witnesses of a recovery are three of the OLD set as long as the replacement lasts: what was durable before it began is
 *       on four of those, and on no node of the new set but the five that are in both. Three of six meet four of six.
 *     - a read that wants to see no more than somebody was told is durable takes three of either set.
 */
import assert from 'node:assert/strict';
import { ascending, type Lsn, lsn, type NodeId, zeroLsn } from '../../redo/ids.ts';
import { quorumLimits } from '../../redo/limits.ts';
import { type Membership, membersAfter } from './membership.ts';

/** One set of six, or two while a node is being replaced; the first is the set with the old node. */
export type QuorumSets = readonly (readonly NodeId[])[];

/** The sets of a membership. */
export function setsOf(membership: Membership): QuorumSets {
  const before = membership.members.map(({ node }) => node);
  if (membership.joining === null) return [before];
  return [before, membersAfter(membership).map(({ node }) => node)];
}

/** Every node of the sets, each once, in their order. */
export const nodesIn = (sets: QuorumSets): readonly NodeId[] => [...new Set(sets.flat())];

type Holds = (node: NodeId) => boolean;

const count = (set: readonly NodeId[], holds: Holds): number =>
  set.reduce((sum, node) => (holds(node) ? sum + 1 : sum), 0);

/** Of how many nodes a write may be sure: those of the set that has the fewest for which `holds`. Four are a write quorum. */
export const fewestIn = (sets: QuorumSets, holds: Holds): number =>
  Math.min(...sets.map((set) => count(set, holds)));

/** Whether the nodes for which `holds` make something durable, sealed, forked or decided: four of every set. */
export const isWriteQuorum = (sets: QuorumSets, holds: Holds): boolean =>
  fewestIn(sets, holds) >= quorumLimits.writeQuorum;

/** Whether the nodes for which `holds` leave no write quorum among the others: three of every set. */
export const isFence = (sets: QuorumSets, holds: Holds): boolean =>
  fewestIn(sets, holds) > quorumLimits.copies - quorumLimits.writeQuorum;

/** Whether the nodes for which `holds` know of everything that was ever durable: three of the set with the old node. */
export const areWitnesses = (sets: QuorumSets, holds: Holds): boolean =>
  count(sets[0] ?? [], holds) >= quorumLimits.readQuorum;

/** Whether the nodes for which `holds` may be asked what is known to be durable: three of either set. */
export const isReadQuorum = (sets: QuorumSets, holds: Holds): boolean =>
  sets.some((set) => count(set, holds) >= quorumLimits.readQuorum);

/** How many nodes more than those for which `holds` a write quorum needs at least; 0 when they are one. */
export const missingForWrite = (sets: QuorumSets, holds: Holds): number =>
  Math.max(0, quorumLimits.writeQuorum - fewestIn(sets, holds));

/**
 * PGCL: up to here a group is durable, because a write quorum of its copies is complete to here. The fourth-highest SCL of
 * each set, and of two sets the lower one. Images are counted in the same way (S19).
 * @param sclOf SCL of a copy; one that has not answered counts as zero.
 */
export function pgclOf(sets: QuorumSets, sclOf: (node: NodeId) => Lsn): Lsn {
  assert(sets.length > 0, 'a region has a set of storage nodes');
  let lowest: number = Number.MAX_SAFE_INTEGER;
  for (const set of sets) {
    const scls = set.map(sclOf).sort(ascending);
    lowest = Math.min(lowest, scls[scls.length - quorumLimits.writeQuorum] ?? zeroLsn);
  }
  return lsn(lowest);
}
