/**
 * What one storage node knows of its region's membership, and its vote on the next one.
 *
 * S28 A membership is decided by a write quorum of the one before it, once: whoever proposes gets four promises (of both sets
 *     while a node is being replaced), takes up what any of them has voted for already, and gets four votes. It is in force where
 *     it is installed. The next one is decided only by nodes on which this one is installed, so that of three memberships in a
 *     row the first can get no quorum any more.
 * S29 A node refuses whoever believes in an older membership than it has installed, and tells the newer one: `STALE_MEMBERS`. It
 *     acknowledges nothing from there any more, not even frames that it persisted before.
 *
 * A coordinator is a proposer in the manner of Paxos, the nodes are acceptors, and each membership epoch is an instance of its
 * own. That any number of coordinators may run at a time, die anywhere and be frozen for an hour follows from nothing else.
 */
import { z } from 'zod';
import type { NodeId } from '../../redo/ids.ts';
import { type Membership, membershipSchema } from './membership.ts';

/** Orders coordinators that try at the same time; `by` makes those of two coordinators different. */
export interface Ballot {
  readonly round: number;
  readonly by: string;
}

/** What a node has voted for as the membership after its own. */
export interface Vote {
  readonly ballot: Ballot;
  readonly membership: Membership;
}

/** Persisted with the node's other promises. */
export interface MemberState {
  /** Installed here; null while that is what the configuration says, epoch 0. */
  readonly current: Membership | null;
  /** No vote for less than this, about the membership after the current one. */
  readonly promised: Ballot | null;
  readonly accepted: Vote | null;
}

export const noMemberState: MemberState = { current: null, promised: null, accepted: null };

/** What a coordinator asks of a node. */
export type MembersAct =
  /** Only to tell where it stands. */
  | { readonly act: 'tell' }
  /** To promise to vote for nothing below `ballot` as the membership after `epoch`. */
  | { readonly act: 'prepare'; readonly epoch: number; readonly ballot: Ballot }
  /** To vote. */
  | { readonly act: 'accept'; readonly vote: Vote }
  /** To use a membership that was decided. */
  | { readonly act: 'install'; readonly membership: Membership };

/** What came of an act at one node. */
export interface ActOutcome {
  /** Whether it promised, voted or has it installed. */
  readonly granted: boolean;
  /** Whether there is something new to persist, before which the answer must not leave. */
  readonly changed: boolean;
  /** This node begins to join: whatever it held, it is no witness before it has caught up. */
  readonly joins: boolean;
}

/** Orders ballots. @returns below 0 when `a` comes first, 0 when they are the same. */
export function compareBallots(a: Ballot, b: Ballot): number {
  if (a.round !== b.round) return a.round - b.round;
  if (a.by === b.by) return 0;
  return a.by < b.by ? -1 : 1;
}

const refused: ActOutcome = { granted: false, changed: false, joins: false };

/** A node's half of membership change. */
export class MemberKeeper {
  private readonly self: NodeId | null;
  private stateNow: MemberState;

  /** @param self name of the node; null where nobody asks whether it is joining. */
  constructor(self: NodeId | null, state: MemberState = noMemberState) {
    this.self = self;
    this.stateNow = state;
  }

  get state(): MemberState {
    return this.stateNow;
  }

  /** Whether there is anything to remember. */
  get isTouched(): boolean {
    return this.stateNow.current !== null || this.stateNow.promised !== null;
  }

  /** Epoch of the membership that is installed here. */
  get epoch(): number {
    return this.stateNow.current?.epoch ?? 0;
  }

  /** The newer membership that whoever believes in `epoch` has to hear of; null when there is none (S29). */
  newerThan(epoch: number): Membership | null {
    const { current } = this.stateNow;
    return current !== null && epoch < current.epoch ? current : null;
  }

  /** @param mayVote false on a node that came back empty and has not caught up: it may have forgotten what it promised (S6). */
  carryOut(act: MembersAct, mayVote: boolean): ActOutcome {
    switch (act.act) {
      case 'tell':
        return { ...refused, granted: true };
      case 'prepare':
        return act.epoch === this.epoch && mayVote ? this.prepare(act.ballot) : refused;
      case 'accept':
        return act.vote.membership.epoch === this.epoch + 1 && mayVote ? this.accept(act.vote) : refused;
      case 'install':
        return this.install(act.membership);
    }
  }

  private prepare(ballot: Ballot): ActOutcome {
    const { promised } = this.stateNow;
    const order = promised === null ? 1 : compareBallots(ballot, promised);
    if (order < 0) return refused;
    this.stateNow = { ...this.stateNow, promised: ballot };
    return { granted: true, changed: order > 0, joins: false };
  }

  private accept(vote: Vote): ActOutcome {
    const { promised, accepted } = this.stateNow;
    if (promised !== null && compareBallots(vote.ballot, promised) < 0) return refused;
    const isKnown = accepted !== null && compareBallots(accepted.ballot, vote.ballot) === 0;
    this.stateNow = { ...this.stateNow, promised: vote.ballot, accepted: vote };
    return { granted: true, changed: !isKnown, joins: false };
  }

  private install(membership: Membership): ActOutcome {
    if (membership.epoch <= this.epoch) return { granted: true, changed: false, joins: false };
    this.stateNow = { current: membership, promised: null, accepted: null };
    return { granted: true, changed: true, joins: membership.joining?.in.node === this.self };
  }
}

/** The vote with the highest ballot: the membership that may have been decided already. */
export function newestVote(votes: readonly (Vote | null)[]): Vote | null {
  let newest: Vote | null = null;
  for (const vote of votes)
    if (vote !== null && (newest === null || compareBallots(vote.ballot, newest.ballot) > 0)) newest = vote;
  return newest;
}

const ballotSchema: z.ZodType<Ballot> = z.strictObject({
  round: z.int().min(0),
  by: z.string().min(1).max(63),
});
const voteSchema: z.ZodType<Vote> = z.strictObject({ ballot: ballotSchema, membership: membershipSchema });

export const memberStateSchema: z.ZodType<MemberState> = z.strictObject({
  current: membershipSchema.nullable(),
  promised: ballotSchema.nullable(),
  accepted: voteSchema.nullable(),
});

/** An act as it crosses a wire. */
export const membersActSchema: z.ZodType<MembersAct> = z.discriminatedUnion('act', [
  z.strictObject({ act: z.literal('tell') }),
  z.strictObject({ act: z.literal('prepare'), epoch: z.int().min(0), ballot: ballotSchema }),
  z.strictObject({ act: z.literal('accept'), vote: voteSchema }),
  z.strictObject({ act: z.literal('install'), membership: membershipSchema }),
]);
