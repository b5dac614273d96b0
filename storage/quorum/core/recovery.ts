/**
 * Takes over a volume: fences whoever wrote before, finds what is durable, makes it four copies again, and then
 * either forks a new epoch there (a writer starts) or joins the path of a newer primary (a region follows).
 * The same steps serve a crashed writer, a switchover, a failover and the return of an old primary.
 */
import assert from 'node:assert/strict';
import { EpochTree, type Fork } from '../../history/epoch-tree.ts';
import { floorOn } from '../../history/floor.ts';
import { defaultGeometry, saidGeometry } from '../../history/geometry.ts';
import {
  areWitnesses,
  isWriteQuorum,
  missingForWrite,
  nodesIn,
  type QuorumSets,
} from '../../members/core/quorum-sets.ts';
import { type Epoch, genesisEpoch, type Lsn, type NodeId, unreachable, zeroLsn } from '../../redo/ids.ts';
import { nodeLimits, quorumLimits, recoveryLimits } from '../../redo/limits.ts';
import type { RefusedReply, StorageReply, StorageRequest, SurveyedReply } from '../../wire/core/messages.ts';
import { durableEnd } from './durable-end.ts';
import { RecoveryCopies } from './recovery-copies.ts';
import { headFor } from './recovery-head.ts';
import { describeNeed, floorOf, forgetSurvey, mayHold, newPeer, type Peer, words } from './recovery-peer.ts';
import type {
  RecoveryEffect,
  RecoveryEvent,
  RecoveryGoal,
  RecoveryPhase,
  RewindOutcome,
} from './recovery-types.ts';
import { Rewinding } from './rewinding.ts';

export type {
  Recovered,
  RecoveryEffect,
  RecoveryEvent,
  RecoveryGoal,
  RecoveryPhase,
} from './recovery-types.ts';

const surveysOf = (peers: readonly Peer[]): readonly SurveyedReply[] =>
  peers.flatMap(({ survey }) => survey ?? []);

export class Recovery {
  private readonly goal: RecoveryGoal;
  private readonly sets: QuorumSets;
  private readonly peers: ReadonlyMap<NodeId, Peer>;
  private tree = new EpochTree();
  private phaseNow: RecoveryPhase = 'sealing';
  private startedAtMs = 0;
  /** All six hold nothing at all: this volume begins. */
  private isNew = false;
  /** The path being surveyed. */
  private head: Epoch = genesisEpoch;
  private vdl: Lsn = zeroLsn;
  private rewinding: Rewinding | null = null;
  /** What became of a rewind that was given up with its path. */
  private abandoned: RewindOutcome | null = null;
  private readonly copies: RecoveryCopies;
  private effects: RecoveryEffect[] = [];
  private steps = 0;
  private waitsFor: string | null = null;

  /** @param fetchBytesMax one stretch of a copy; simulations scale it. */
  constructor(sets: QuorumSets, goal: RecoveryGoal, fetchBytesMax: number = nodeLimits.fetchBytesMax) {
    for (const set of sets) assert.equal(set.length, quorumLimits.copies, 'a region has six storage nodes');
    this.sets = sets;
    this.goal = goal;
    this.peers = new Map(nodesIn(sets).map((node) => [node, newPeer(node)]));
    const { branch, epoch: authority } = goal;
    this.copies = new RecoveryCopies({
      branch,
      authority,
      fetchBytesMax,
      send: (peer, request) => this.send(peer, request),
    });
  }

  get phase(): RecoveryPhase {
    return this.phaseNow;
  }

  /** Changes whenever the recovery gets on: a node more that answers, a phase, a stretch copied. Repetitions are none. */
  get progress(): number {
    return this.steps;
  }

  /** What it waits for that may take long, in words; null while nothing does. */
  get waiting(): string | null {
    return this.phaseNow === 'replicating' ? this.waitsFor : null;
  }

  step(event: RecoveryEvent, nowMs: number): readonly RecoveryEffect[] {
    this.effects = [];
    if (this.phaseNow === 'done') return this.effects;
    switch (event.kind) {
      case 'start':
        this.startedAtMs = nowMs;
        break;
      case 'answered':
        this.answered(this.peer(event.node), event.reply, nowMs);
        break;
      case 'unanswered':
        this.postpone(this.peer(event.node), nowMs);
        break;
      case 'tick':
        break;
      default:
        unreachable(event);
    }
    this.proceed(nowMs);
    return this.effects;
  }

  private peer(node: NodeId): Peer {
    const peer = this.peers.get(node);
    assert(peer !== undefined, `${node} is not one of the six`);
    return peer;
  }

  /** Four of six, of both sets while a node is being replaced (S27). */
  private isQuorum(holds: (peer: Peer) => boolean): boolean {
    return isWriteQuorum(this.sets, (node) => holds(this.peer(node)));
  }

  /** Three that kept their data, of the set that has everything durable (S6, S27). */
  private hasWitnesses(holds: (peer: Peer) => boolean): boolean {
    return areWitnesses(this.sets, (node) => holds(this.peer(node)) && !this.peer(node).fresh);
  }

  private postpone(peer: Peer, nowMs: number): void {
    peer.busy = false;
    peer.isOutdated = false;
    peer.retryAtMs = nowMs + recoveryLimits.retryAfterMs;
    this.copies.silent(peer);
    if (this.phaseNow === 'replicating') peer.survey = null;
  }

  private answered(peer: Peer, reply: StorageReply, nowMs: number): void {
    peer.busy = false;
    if (peer.isOutdated) {
      peer.isOutdated = false;
      return;
    }
    switch (reply.kind) {
      case 'refused':
        this.refused(peer, reply, nowMs);
        return;
      case 'sealed':
        if (!peer.sealed) this.steps += 1;
        peer.sealed = true;
        peer.fresh = reply.fresh;
        peer.empty = reply.empty;
        // One that speaks later is a copy more, but no history: the first four know every fork a quorum recorded.
        if (this.phaseNow !== 'sealing') return;
        for (const fork of reply.forks) {
          assert(this.tree.add(fork) !== 'conflict', `S3: two nodes disagree about epoch ${fork.epoch}`);
        }
        return;
      case 'surveyed':
        peer.survey = reply;
        if ((reply.refilledBytes ?? 0) > peer.refilledBytes) this.steps += 1;
        peer.refilledBytes = reply.refilledBytes ?? 0;
        if (peer.isNeedy) peer.retryAtMs = nowMs + recoveryLimits.retryAfterMs;
        return;
      case 'fetched':
        this.copies.fetched(peer, reply.frames, reply.next);
        return;
      case 'acked':
        if (peer.refilling) peer.survey = null;
        peer.refilling = false;
        this.copied(peer, nowMs);
        return;
      case 'forked':
        if (!peer.forked) this.steps += 1;
        peer.forked = true;
        return;
      default:
        this.postpone(peer, nowMs);
    }
  }

  private refused(peer: Peer, reply: RefusedReply, nowMs: number): void {
    if (reply.code === 'SEALED' && reply.sealed > this.goal.epoch) {
      this.finish({ kind: 'fenced', by: reply.sealed });
    } else if (reply.code === 'EPOCH_CONFLICT') {
      this.finish({ kind: 'failed', reason: `${peer.node}: ${reply.reason}` });
    } else {
      this.postpone(peer, nowMs);
    }
  }

  private finish(effect: RecoveryEffect): void {
    this.phaseNow = 'done';
    this.effects.push(effect);
  }

  private idle(nowMs: number): readonly Peer[] {
    return [...this.peers.values()].filter((peer) => !peer.busy && nowMs >= peer.retryAtMs);
  }

  private send(peer: Peer, request: StorageRequest): void {
    peer.busy = true;
    this.effects.push({ kind: 'send', node: peer.node, request });
  }

  private proceed(nowMs: number): void {
    for (let before: RecoveryPhase | null = null; before !== this.phaseNow; ) {
      if (before !== null) this.steps += 1;
      before = this.phaseNow;
      switch (this.phaseNow) {
        case 'sealing':
          this.seal(nowMs);
          break;
        case 'surveying':
          this.survey(nowMs);
          break;
        case 'replicating':
          this.replicate(nowMs);
          break;
        case 'forking':
          this.fork(nowMs);
          break;
        case 'done':
          return;
        default:
          unreachable(this.phaseNow);
      }
    }
  }

  private askSeals(nowMs: number): void {
    for (const peer of this.idle(nowMs)) {
      if (!peer.sealed) this.send(peer, { kind: 'seal', branch: this.goal.branch, epoch: this.goal.epoch });
    }
  }

  private askSurveys(nowMs: number): void {
    const forks = this.tree.forksOf(this.head);
    for (const peer of this.idle(nowMs)) {
      if (!peer.sealed || peer.survey !== null) continue;
      const isNew = this.isNew && { isNew: true as const };
      this.send(peer, { kind: 'survey', authority: this.goal.epoch, head: this.head, forks, ...isNew });
    }
  }

  /** Fence: with four promises no older writer finds a quorum among the rest (S2). */
  private seal(nowMs: number): void {
    this.askSeals(nowMs);
    const sealed = [...this.peers.values()].filter((peer) => peer.sealed);
    const allHere = sealed.length === this.peers.size;
    // The two slowest get a moment: the more answers, the less there is to copy afterwards.
    if (
      !allHere &&
      (!this.isQuorum((peer) => peer.sealed) || nowMs - this.startedAtMs < recoveryLimits.graceMs)
    )
      return;
    // S6: nodes that came back empty know nothing; three that did not must speak, unless the whole region is new.
    this.isNew = allHere && sealed.every((peer) => peer.empty);
    if (!this.hasWitnesses((peer) => peer.sealed) && !this.isNew) {
      const witnesses = sealed.filter((peer) => !peer.fresh).length;
      if (allHere)
        this.finish({
          kind: 'failed',
          reason: `only ${witnesses} of ${words(this.peers.size)} storage nodes hold their data; three are needed`,
        });
      return;
    }
    const found = headFor(this.goal, this.tree);
    if (found.kind !== 'head') {
      this.finish(found);
      return;
    }
    this.head = found.head;
    if (this.goal.kind === 'fork' && this.goal.rewind !== undefined) {
      this.rewinding = new Rewinding(this.goal.rewind, this.tree, this.head);
      this.head = this.rewinding.head;
    }
    this.phaseNow = 'surveying';
  }

  private survey(nowMs: number): void {
    this.askSurveys(nowMs);
    // One that sealed may be gone by now, and another here instead.
    this.askSeals(nowMs);
    const surveyed = [...this.peers.values()].filter((peer) => peer.survey !== null);
    const awaited = [...this.peers.values()].filter((peer) => peer.sealed && peer.busy).length;
    const isSurveyed = (peer: Peer): boolean => peer.survey !== null;
    if (!this.isQuorum(isSurveyed) || !(this.isNew || this.hasWitnesses(isSurveyed))) return;
    if (awaited > 0 && nowMs - this.startedAtMs < recoveryLimits.graceMs) return;
    if (this.goal.kind === 'inspect') {
      // Whatever was acknowledged is on four of the old set, during a replacement too.
      const old = surveyed.filter(({ node }) => this.sets[0]?.includes(node) === true);
      this.vdl = durableEnd(surveysOf(old), 'acknowledgeable');
      this.recovered();
      return;
    }
    this.vdl = durableEnd(surveysOf(surveyed), 'any');
    if (this.rewinding !== null && !this.settleRewind(this.rewinding, surveyed)) this.askSurveys(nowMs);
    else this.phaseNow = 'replicating';
  }

  /** S41. @returns false when the branch has to be surveyed along its own path, since the rewind's has been given up. */
  private settleRewind(rewinding: Rewinding, surveyed: readonly Peer[]): boolean {
    const { tree, vdl } = this;
    const at = rewinding.settle({ tree, vdl, surveyed, isQuorum: (holds) => this.isQuorum(holds) });
    this.vdl = at ?? zeroLsn;
    if (at !== null) return true;
    this.rewinding = null;
    this.abandoned = rewinding.outcome;
    this.head = this.tree.headOf(this.goal.branch);
    for (const peer of this.peers.values()) forgetSurvey(peer);
    return false;
  }

  /** S7: what is at or below VDL goes to four nodes before anything is built on it. */
  private replicate(nowMs: number): void {
    const { tree, head } = this;
    const surveyed = [...this.peers.values()].filter((peer) => peer.survey !== null);
    const isComplete = ({ survey }: Peer): boolean => survey !== null && survey.volumeEnd >= this.vdl;
    // S24: what another region began to fill these nodes with is no version of the database that anybody could write on.
    const isReadable = (peer: Peer): boolean =>
      isComplete(peer) && (peer.survey?.readableFrom ?? zeroLsn) <= this.vdl;
    if (this.goal.kind === 'fork' && this.isQuorum(isComplete) && !this.isQuorum(isReadable)) {
      if (surveyed.length === this.peers.size) {
        this.finish({
          kind: 'failed',
          reason: `only ${surveyed.filter(isReadable).length} of ${words(this.peers.size)} storage nodes can tell pages at ${this.vdl}: this region is being filled from images`,
        });
        return;
      }
      this.askSurveys(nowMs);
      this.askSeals(nowMs);
      return;
    }
    if (this.isQuorum(isComplete)) {
      this.copies.clear();
      this.replicated();
      return;
    }
    // A node that returned, or one whose copy was interrupted, is asked where it stands.
    this.askSurveys(nowMs);
    this.askSeals(nowMs);
    const behind = surveyed.filter((peer) => !isComplete(peer));
    const fillable = behind.filter((peer) => this.isFillable(peer));
    const canBe = (peer: Peer): boolean => isComplete(peer) || fillable.includes(peer);
    if (this.isQuorum(canBe)) this.waitsFor = null;
    else if (this.goal.kind === 'follow' && surveyed.length > 0 && !surveyed.some(canBe)) {
      // S18: the path leaves below what all of them count from. It is followed from its beginning, which brings images of its primary.
      const isAll = surveyed.length === this.peers.size;
      if (!isAll && nowMs - this.startedAtMs < recoveryLimits.nothingHereMs) return;
      this.vdl = zeroLsn;
      this.recovered();
      return;
    } else {
      const needy = behind.filter((peer) => !fillable.includes(peer));
      const complete = surveyed.length - behind.length;
      if (needy.length > 0) this.waitsFor = describeNeed(needy, complete, this.peers.size, this.vdl);
      for (const peer of needy) this.askToRefill(peer, nowMs);
    }
    const holds = (node: NodeId): boolean => isComplete(this.peer(node));
    const targets = fillable
      .filter(({ node }) => this.sets.some((set) => set.includes(node) && !isWriteQuorum([set], holds)))
      .sort((a, b) => (b.survey?.volumeEnd ?? 0) - (a.survey?.volumeEnd ?? 0))
      .slice(0, missingForWrite(this.sets, holds));
    for (const target of targets) this.copies.goOn(target, { tree, head }, this.idle(nowMs));
  }

  /** Whether the log of anybody else reaches down to where this node stands. Below a floor there are images only (S21). */
  private isFillable(target: Peer): boolean {
    const at = target.survey?.volumeEnd ?? zeroLsn;
    if (floorOn(this.tree, floorOf(target), this.head) === null) return false;
    return [...this.peers.values()].some(
      (peer) => peer !== target && peer.survey !== null && mayHold(peer, at, this.tree, this.head),
    );
  }

  /**
   * S22: no frames bring this node up. It is told what is durable, which lets it see that it lacks that, and refills itself from the
   * images of the others. Its surveys say how far it is.
   */
  private askToRefill(peer: Peer, nowMs: number): void {
    if (peer.busy || nowMs < peer.retryAtMs) return;
    peer.refilling = true;
    peer.isNeedy = true;
    this.send(peer, {
      kind: 'append',
      authority: this.goal.epoch,
      durable: { head: this.head, vdl: this.vdl },
      lowWater: zeroLsn,
      frames: new Uint8Array(0),
    });
  }

  /** The target has persisted a stretch; the next survey of it says how far that brought it. */
  private copied(target: Peer, nowMs: number): void {
    const at = this.copies.persisted(target);
    if (at === null || target.survey === null) return;
    this.steps += 1;
    if (at < this.vdl) return;
    this.copies.end(target);
    target.survey = null;
    target.retryAtMs = nowMs;
  }

  private replicated(): void {
    if (this.goal.kind === 'fork') {
      const isFirst = this.head === genesisEpoch;
      const geometry = isFirst ? saidGeometry(this.goal.geometry ?? defaultGeometry) : undefined;
      const left = this.rewinding?.left ?? null;
      const fork: Fork = {
        epoch: this.goal.epoch,
        branch: this.goal.branch,
        parent: this.head,
        forkLsn: this.vdl,
        ...(geometry !== undefined && { geometry }),
        ...(left !== null && { left }),
      };
      const outcome = this.tree.add(fork);
      assert(outcome === 'added', `S3: epoch ${fork.epoch} was allotted before (${outcome})`);
      this.head = this.goal.epoch;
      this.phaseNow = 'forking';
      return;
    }
    this.recovered();
  }

  private recovered(): void {
    const { head, vdl, tree } = this;
    const rewind = this.rewinding?.outcome ?? this.abandoned;
    this.finish({
      kind: 'recovered',
      outcome: { head, forks: tree.forksOf(head), vdl, tree: tree.all(), ...(rewind !== null && { rewind }) },
    });
  }

  private fork(nowMs: number): void {
    const forks = this.tree.forksOf(this.head);
    for (const peer of this.idle(nowMs)) {
      if (!peer.forked) this.send(peer, { kind: 'fork', authority: this.goal.epoch, forks });
    }
    if (this.isQuorum((peer) => peer.forked)) this.recovered();
  }
}
