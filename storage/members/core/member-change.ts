/**
 * Replaces a storage node of a region, or gives a replacement up: the coordinator, as a pure state machine. Its steps:
 *
 * 1. `installing` the membership that it knows on a write quorum, so that the one before it is over (S28);
 * 2. `preparing` and `voting`: the next one is decided, whoever else tries;
 * 3. `installing` that one, and with it writes count on both sets of six;
 * 4. `filling`: the new node is refilled by its peers, while the machine looks on (S30);
 * 5. `preparing`, `voting` and `installing` once more: the six with the new node. Or, given up, the six that were there.
 *
 * Everything that counts is on the nodes' disks. A coordinator that dies leaves a region that writes as before, and whatever a
 * quorum has decided; the next one begins at step 1 and goes on from there.
 *
 * S30 A new node takes the old one's place only when it holds everything that was ever durable. The proof is taken after the
 *     proposal is installed on a write quorum, when nothing can become durable without the new set any more: a write quorum of
 *     nodes with that membership say which reign they are sealed for; the new node must have caught up with what a writer of that
 *     reign, or a newer one, has told it is durable. A writer tells that to the new node only once it counts both sets itself.
 */
import assert from 'node:assert/strict';
import { type Epoch, epoch, type Lsn, maxLsn, type NodeId, unreachable, zeroLsn } from '../../redo/ids.ts';
import type { MembersReply, MembersRequest } from './member-messages.ts';
import { type Ballot, compareBallots, newestVote, type Vote } from './member-state.ts';
import {
  committed,
  type Joining,
  type Membership,
  nodesOf,
  proposed,
  reverted,
  whyNot,
} from './membership.ts';
import { isWriteQuorum, setsOf } from './quorum-sets.ts';

export type ChangeGoal =
  /** Put a new node in the place of an old one. Given again, it goes on with what was begun. */
  | { readonly kind: 'replace'; readonly joining: Joining }
  /** Bring to its end whatever replacement is under way. */
  | { readonly kind: 'resume' }
  /** Give up whatever replacement is under way. */
  | { readonly kind: 'cancel' };

/** `id` is that of the `send` which was answered, or was not in time. */
export type ChangeEvent =
  | { readonly kind: 'answered'; readonly node: NodeId; readonly id: number; readonly reply: MembersReply }
  | { readonly kind: 'unanswered'; readonly node: NodeId; readonly id: number }
  | { readonly kind: 'tick' };

export type ChangeEffect =
  | { readonly kind: 'send'; readonly node: NodeId; readonly id: number; readonly request: MembersRequest }
  /** This membership was decided: its nodes are to be talked to from now on. */
  | { readonly kind: 'adopt'; readonly membership: Membership }
  | { readonly kind: 'ended'; readonly outcome: ChangeOutcome };

export type ChangeOutcome =
  /** The new node counts and the old one does not. */
  | { readonly kind: 'replaced'; readonly membership: Membership }
  /** Given up: the region has the nodes that it had. */
  | { readonly kind: 'reverted'; readonly membership: Membership }
  /** No replacement was under way. */
  | { readonly kind: 'nothing'; readonly membership: Membership }
  | { readonly kind: 'refused'; readonly reason: string };

export type ChangePhase = 'installing' | 'preparing' | 'voting' | 'filling' | 'ended';

/** How a change gets on, for people and for metrics. */
export interface ChangeProgress {
  readonly phase: ChangePhase;
  readonly membership: Membership;
  /** How far the new node is, and how far it has to come; null while nobody joins or it has not answered. */
  readonly filled: { readonly end: Lsn; readonly of: Lsn; readonly fresh: boolean } | null;
  /** What it waits for, in words; empty when only for answers under way. */
  readonly waitsFor: string;
}

export const changeLimits = {
  /** Between two looks at how far the new node is. */
  lookMs: 200,
  /** Wait before a node that was silent, or refused, is asked again. */
  retryMs: 200,
  /** Wait before another try when somebody else coordinates too. */
  backOffMs: 100,
} as const;

interface Peer {
  /** What it said last, in this phase. */
  reply: MembersReply | null;
  /** The request that is out; an answer to any other is late. */
  asked: { readonly id: number; readonly act: MembersRequest['act']['act'] } | null;
  /** It has done what this phase asks. */
  granted: boolean;
  /** It has let a question of this phase pass. */
  silent: boolean;
  nextAtMs: number;
}

const unasked: Readonly<Peer> = { reply: null, asked: null, granted: false, silent: false, nextAtMs: 0 };

/** What each phase asks of the nodes. */
const actOf = { installing: 'install', preparing: 'prepare', voting: 'accept', filling: 'tell' } as const;

export interface ChangeOptions {
  /** What this process believes at first: its configuration, or something newer. */
  readonly membership: Membership;
  readonly goal: ChangeGoal;
  /** Different in every coordinator that ever runs. */
  readonly by: string;
  /** In [0, 1): how much longer than others this coordinator waits when they collide. */
  readonly jitter: number;
}

export class MembershipChange {
  private readonly goal: ChangeGoal;
  private readonly by: string;
  private readonly jitter: number;
  private known: Membership;
  private phaseNow: ChangePhase = 'installing';
  private readonly peers = new Map<NodeId, Peer>();
  private ballot: Ballot;
  private vote: Vote | null = null;
  private wanted: Membership | null = null;
  private highestRound = 0;
  private nextId = 1;
  private notBeforeMs = 0;
  /** A replacement was seen under way: it has ended when none is any more. */
  private joined: Joining | null = null;
  private effects: ChangeEffect[] = [];

  constructor({ membership, goal, by, jitter }: ChangeOptions) {
    this.known = membership;
    this.joined = membership.joining;
    this.goal = goal;
    this.by = by;
    this.jitter = jitter;
    this.ballot = { round: 0, by };
    this.enter('installing');
  }

  get progress(): ChangeProgress {
    const { joining } = this.known;
    const reply = joining === null ? null : (this.peers.get(joining.in.node)?.reply ?? null);
    return {
      phase: this.phaseNow,
      membership: this.known,
      filled: reply === null ? null : { end: reply.end, of: this.durableSeen(), fresh: reply.fresh },
      waitsFor: this.waitsFor(),
    };
  }

  step(event: ChangeEvent, nowMs: number): readonly ChangeEffect[] {
    this.effects = [];
    if (this.phaseNow === 'ended') return this.effects;
    switch (event.kind) {
      case 'answered':
        this.answered(event.node, event.id, event.reply, nowMs);
        break;
      case 'unanswered':
        this.silent(event.node, event.id, nowMs);
        break;
      case 'tick':
        break;
      default:
        unreachable(event);
    }
    this.proceed(nowMs);
    return this.effects;
  }

  private answered(node: NodeId, id: number, reply: MembersReply, nowMs: number): void {
    const { current, promised } = reply.state;
    if (current !== null && current.epoch > this.known.epoch) {
      this.adopt(current);
      return;
    }
    const peer = this.peers.get(node);
    if (peer?.asked?.id !== id || this.phaseNow === 'ended') return;
    const { act } = peer.asked;
    peer.asked = null;
    peer.silent = false;
    peer.reply = reply;
    const isCurrent = this.isCurrent(reply);
    const isAnswer = act === actOf[this.phaseNow];
    peer.granted = isAnswer && reply.granted && isCurrent;
    // One that was behind has just been told, or is told next.
    if (!isAnswer || !isCurrent) peer.nextAtMs = nowMs;
    else peer.nextAtMs = nowMs + (peer.granted ? changeLimits.lookMs : changeLimits.retryMs);
    const isVote = act === 'prepare' || act === 'accept';
    if (isVote && isCurrent && promised !== null && compareBallots(promised, this.ballot) > 0)
      this.collided(promised.round, nowMs);
  }

  /** Somebody else coordinates, or did: with a higher ballot, after a while. */
  private collided(round: number, nowMs: number): void {
    this.highestRound = Math.max(this.highestRound, round);
    this.notBeforeMs = nowMs + changeLimits.backOffMs * (1 + 4 * this.jitter);
    this.prepareFor(this.wanted);
  }

  private silent(node: NodeId, id: number, nowMs: number): void {
    const peer = this.peers.get(node);
    if (peer?.asked?.id !== id) return;
    this.peers.set(node, { ...unasked, silent: true, nextAtMs: nowMs + changeLimits.retryMs });
  }

  private isCurrent(reply: MembersReply): boolean {
    return (reply.state.current?.epoch ?? 0) === this.known.epoch;
  }

  /** A phase begins: what was answered before is no answer to what it asks. */
  private enter(phase: ChangePhase): void {
    this.phaseNow = phase;
    const nodes = nodesOf(this.known).map(({ node }) => node);
    for (const node of [...this.peers.keys()]) if (!nodes.includes(node)) this.peers.delete(node);
    for (const node of nodes) this.peers.set(node, { ...unasked });
  }

  private adopt(membership: Membership): void {
    this.known = membership;
    this.joined = membership.joining ?? this.joined;
    this.effects.push({ kind: 'adopt', membership });
    this.highestRound = 0;
    this.enter('installing');
  }

  private end(outcome: ChangeOutcome): void {
    this.phaseNow = 'ended';
    this.effects.push({ kind: 'ended', outcome });
  }

  private isGranted(): boolean {
    return isWriteQuorum(setsOf(this.known), (node) => this.peers.get(node)?.granted === true);
  }

  private proceed(nowMs: number): void {
    for (let before: string | null = null; before !== this.mark && this.phaseNow !== 'ended'; ) {
      before = this.mark;
      this.proceedOnce(nowMs);
    }
  }

  /** Changes with every phase. */
  private get mark(): string {
    return `${this.phaseNow} ${this.known.epoch} ${this.ballot.round}`;
  }

  private proceedOnce(nowMs: number): void {
    switch (this.phaseNow) {
      case 'installing':
        this.ask(nowMs, { act: 'install', membership: this.known });
        if (this.isGranted()) this.choose();
        return;
      case 'preparing':
        if (nowMs < this.notBeforeMs) return;
        this.ask(nowMs, { act: 'prepare', epoch: this.known.epoch, ballot: this.ballot });
        if (this.isGranted()) this.propose();
        return;
      case 'voting':
        assert(this.vote !== null, 'a vote is asked for something');
        this.ask(nowMs, { act: 'accept', vote: this.vote });
        if (this.isGranted()) this.adopt(this.vote.membership);
        return;
      case 'filling':
        this.ask(nowMs, { act: 'tell' });
        if (this.isFilled()) this.prepareFor(committed(this.known));
        return;
      case 'ended':
        return;
      default:
        unreachable(this.phaseNow);
    }
  }

  /** Asks every node that is due. One that does not know this membership is told it first. */
  private ask(nowMs: number, act: MembersRequest['act']): void {
    for (const [node, peer] of this.peers) {
      const isDone = peer.granted && this.phaseNow !== 'filling';
      if (peer.asked !== null || isDone || nowMs < peer.nextAtMs) continue;
      const isBehind = peer.reply !== null && !this.isCurrent(peer.reply);
      const told: MembersRequest['act'] = isBehind ? { act: 'install', membership: this.known } : act;
      const id = this.nextId++;
      peer.asked = { id, act: told.act };
      this.effects.push({ kind: 'send', node, id, request: { kind: 'members', act: told } });
    }
  }

  /** The known membership is installed: what next, to reach the goal? */
  private choose(): void {
    const outcome =
      this.known.joining === null ? this.outcomeOf(this.known) : this.refusal(this.known.joining);
    // One who died may have had a replacement decided and told nobody: the nodes' votes say so.
    if (outcome?.kind === 'nothing') this.prepareFor(null);
    else if (outcome !== null) this.end(outcome);
    else if (this.known.joining === null) {
      assert(this.goal.kind === 'replace', 'only a replacement goes on from here');
      this.prepareFor(proposed(this.known, this.goal.joining));
    } else if (this.goal.kind === 'cancel') this.prepareFor(reverted(this.known));
    else this.enter('filling');
  }

  /** A replacement is under way: the one that is wanted, unless this says otherwise. */
  private refusal(joining: Joining): ChangeOutcome | null {
    const { goal } = this;
    if (goal.kind !== 'replace' || isSameJoining(goal.joining, joining)) return null;
    return { kind: 'refused', reason: whyNot(this.known, goal.joining) ?? 'another node is replaced' };
  }

  /** No replacement is under way: what came of the one that was, or null when one is to begin. */
  private outcomeOf(membership: Membership): ChangeOutcome | null {
    const { goal, joined } = this;
    const has = (node: NodeId): boolean => membership.members.some((member) => member.node === node);
    const ended = joined ?? (goal.kind === 'replace' ? goal.joining : null);
    if (ended !== null && has(ended.in.node) && !has(ended.out)) return { kind: 'replaced', membership };
    if (joined !== null) return { kind: 'reverted', membership };
    if (goal.kind !== 'replace') return { kind: 'nothing', membership };
    const reason = whyNot(membership, goal.joining);
    return reason === null ? null : { kind: 'refused', reason };
  }

  /** @param wanted null to look only whether anything was voted for. */
  private prepareFor(wanted: Membership | null): void {
    this.wanted = wanted;
    this.vote = null;
    this.highestRound += 1;
    this.ballot = { round: this.highestRound, by: this.by };
    this.enter('preparing');
  }

  /** A quorum has promised: what one of them has voted for may be decided already, and is taken up in place of what is wanted. */
  private propose(): void {
    const votes = [...this.peers.values()].map(({ reply, granted }) =>
      granted ? (reply?.state.accepted ?? null) : null,
    );
    const membership = newestVote(votes)?.membership ?? this.wanted;
    if (membership === null) {
      this.end({ kind: 'nothing', membership: this.known });
      return;
    }
    this.vote = { ballot: this.ballot, membership };
    this.enter('voting');
  }

  /** S30. Answers are those of this phase: they were given after the proposal was installed on a write quorum. */
  private isFilled(): boolean {
    const { joining } = this.known;
    assert(joining !== null, 'somebody joins');
    if (!this.isGranted()) return false;
    const filled = this.peers.get(joining.in.node);
    if (filled?.granted !== true || filled.reply === null || filled.reply.fresh) return false;
    const { head, vdl, end } = filled.reply;
    if (end < vdl || head < this.sealedSeen()) return false;
    // Nothing is taken away before four of the six that stay hold it all.
    const holds = (node: NodeId): boolean => {
      const peer = this.peers.get(node);
      return peer?.granted === true && peer.reply?.head === head && peer.reply.end >= vdl;
    };
    return isWriteQuorum(setsOf(committed(this.known)), holds);
  }

  private sealedSeen(): Epoch {
    return epoch(Math.max(0, ...this.told().map(({ sealed }) => sealed)));
  }

  private durableSeen(): Lsn {
    return this.told().reduce((highest, { vdl }) => maxLsn(highest, vdl), zeroLsn);
  }

  private told(): readonly MembersReply[] {
    return [...this.peers.values()].flatMap(({ reply, granted }) =>
      reply === null || !granted ? [] : [reply],
    );
  }

  private waitsFor(): string {
    const silent = [...this.peers].filter((entry) => entry[1].silent).map(([node]) => node);
    const { joining } = this.known;
    if (this.phaseNow === 'filling' && joining !== null) {
      if (silent.includes(joining.in.node))
        return `${joining.in.node} at ${joining.in.address} does not answer`;
      if (this.isGranted()) return `${joining.in.node} is being filled`;
    }
    return silent.length === 0 || this.isGranted() ? '' : `${silent.join(', ')} have not answered`;
  }
}

const isSameJoining = (a: Joining, b: Joining): boolean => a.out === b.out && a.in.node === b.in.node;
