/**
 * Which six storage nodes a region has, and how one of them is replaced by another: first a proposal, in which seven nodes
 * count (the six with the old node, and the six with the new one), then either the six with the new node or, given up, the six
 * that were there. Each step is one membership epoch; nothing else changes a membership.
 */
import { z } from 'zod';
import { type NodeId, nodeId } from '../../redo/ids.ts';

/** One storage node as others reach it. `address` is `host:port`. */
export interface Member {
  readonly node: NodeId;
  readonly az: string;
  readonly address: string;
}

/** A replacement under way: `in` takes the place of `out` once it holds everything. */
export interface Joining {
  readonly out: NodeId;
  readonly in: Member;
}

/** The nodes of a region. Epoch 0 is what the region's file says; each step of a replacement takes the next epoch. */
export interface Membership {
  readonly epoch: number;
  readonly members: readonly Member[];
  readonly joining: Joining | null;
}

/** What a region's file says, before any node was replaced. */
export const configured = (members: readonly Member[]): Membership => ({ epoch: 0, members, joining: null });

/** Every node that is to be talked to: the six, and the one that is about to join. */
export function nodesOf({ members, joining }: Membership): readonly Member[] {
  return joining === null ? members : [...members, joining.in];
}

/** The six as they are after a replacement has ended well. The new node stands where the old one stood. */
export function membersAfter({ members, joining }: Membership): readonly Member[] {
  if (joining === null) return members;
  return members.map((member) => (member.node === joining.out ? joining.in : member));
}

/** The first step of a replacement. See `whyNot` for what it must not be. */
export function proposed({ epoch, members }: Membership, joining: Joining): Membership {
  return { epoch: epoch + 1, members, joining };
}

/** The last step of a replacement: the six with the new node. */
export function committed(membership: Membership): Membership {
  return { epoch: membership.epoch + 1, members: membersAfter(membership), joining: null };
}

/** The other last step: the six that were there before. */
export function reverted({ epoch, members }: Membership): Membership {
  return { epoch: epoch + 1, members, joining: null };
}

/** Why `joining` cannot be proposed, in words for an operator; null when it can. */
export function whyNot({ members, joining: current }: Membership, joining: Joining): string | null {
  const names = members.map(({ node }) => node).join(', ');
  if (current !== null)
    return `${current.out} is being replaced by ${current.in.node} already: wait until that has ended, or cancel it`;
  const old = members.find(({ node }) => node === joining.out);
  if (old === undefined) return `${joining.out} is not a storage node of this region, which has ${names}`;
  if (members.some(({ node }) => node === joining.in.node))
    return `${joining.in.node} is a storage node of this region already; the new one needs another name than ${names}`;
  const taken = members.find(({ node, address }) => node !== joining.out && address === joining.in.address);
  if (taken !== undefined) return `${joining.in.address} is the address of ${taken.node}`;
  if (old.az !== joining.in.az)
    return `${joining.out} is in zone ${old.az}, and ${joining.in.node} would be in ${joining.in.az}: two nodes belong in each zone`;
  return null;
}

const memberSchema = z.strictObject({
  node: z.string().transform(nodeId),
  az: z.string().min(1),
  address: z.string().min(1),
});

/** A membership as it crosses a wire or a disk, checked and branded. */
export const membershipSchema: z.ZodType<Membership> = z.strictObject({
  epoch: z.int().min(0).max(0xffff_ffff),
  members: z.array(memberSchema).min(1),
  joining: z.strictObject({ out: z.string().transform(nodeId), in: memberSchema }).nullable(),
});

/** Whether two memberships name the same nodes in the same step; addresses count, the order does not. */
export function isSame(a: Membership, b: Membership): boolean {
  const text = ({ epoch, members, joining }: Membership): string => {
    const written = ({ node, az, address }: Member): string => `${node} ${az} ${address}`;
    const step = joining === null ? '' : `${joining.out} ${written(joining.in)}`;
    return JSON.stringify([epoch, members.map(written).sort(), step]);
  };
  return text(a) === text(b);
}
