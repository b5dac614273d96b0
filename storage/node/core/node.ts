/**
 * One storage node as a pure state machine: it takes frames, acknowledges them once they are persisted, keeps its
 * promises about older writers, and answers what it holds. Nodes have no vote: every operation is idempotent, and
 * any message may be lost, repeated or late.
 */
import type { Branch } from '../../branches/core/branch.ts';
import { BranchCare } from '../../branches/core/branch-care.ts';
import type { Branches } from '../../branches/core/branches.ts';
import { EpochTree, type Fork } from '../../history/epoch-tree.ts';
import type { Floor } from '../../history/floor.ts';
import type { FramePosition, HeldFrame } from '../../log/core/held-frames.ts';
import { Segment } from '../../log/core/segment.ts';
import type { MembersAct } from '../../members/core/member-state.ts';
import type { ReceivedFrame } from '../../redo/frame.ts';
import {
  type BranchName,
  type Epoch,
  genesisEpoch,
  type Lsn,
  type NodeId,
  unreachable,
} from '../../redo/ids.ts';
import { LogKeeping } from '../../retention/core/log-keeping.ts';
import { heldFrames, PendingAppends, type WaitingAck } from '../../waiting/core/pending-appends.ts';
import { type LateReply, StateReplies } from '../../waiting/core/state-replies.ts';
import type {
  AppendRequest,
  DurablePoint,
  PutImagesRequest,
  RefillProgress,
  StorageReply,
  StorageRequest,
  SurveyRequest,
} from '../../wire/core/messages.ts';
import {
  alone,
  contradicts,
  doesNotFit,
  fenced,
  type Refusal,
  refusesBranch,
  sclsToTell,
  sealedAnswer,
  unknown,
} from './answers.ts';
import { DurableHint } from './durable-hint.ts';
import { ForkGate, type PersistFrames } from './fork-gate.ts';
import { readFrames } from './inspect-frames.ts';
import { LostFrames } from './lost-frames.ts';
import type { Caller, ImagesFacts, NodeEffect, NodeEvent, NodeState } from './node-events.ts';
import { NodeImages } from './node-images.ts';
import { NodeMembers } from './node-members.ts';
import { Readers, type Reading, readingOf } from './readers.ts';
import { surveyOf } from './survey.ts';

export class StorageNode {
  readonly tree: EpochTree;
  readonly segment: Segment;
  /** What it has promised and was told, by branch. */
  readonly branches: Branches;
  readonly care: BranchCare;
  private readonly wasSetAside: boolean;
  private nextTicket = 1;
  private readonly pending = new PendingAppends();
  private readonly stateReplies = new StateReplies();
  private readonly forkGate = new ForkGate();
  private readonly readers = new Readers();
  private readonly reading: Reading;
  readonly keeping: LogKeeping;
  private readonly lost: LostFrames;
  private readonly members: NodeMembers;
  private readonly hint: DurableHint;
  private effects: NodeEffect[] = [];
  private readonly images: NodeImages;
  /** Something was appended since the last tick. */
  private isBusy = false;

  /** @param self its name: what it does when a membership names it. */
  constructor(
    branch: BranchName,
    state: NodeState,
    held: readonly HeldFrame[] = [],
    self: NodeId | null = null,
  ) {
    this.members = new NodeMembers(self, state.members);
    this.tree = new EpochTree(state.forks);
    this.segment = new Segment(this.tree, state.floor);
    this.keeping = new LogKeeping(this.tree, this.segment);
    this.lost = new LostFrames(this.segment);
    this.images = new NodeImages(this.tree, this.segment);
    this.care = new BranchCare(branch, this.tree, this.segment, state);
    this.branches = this.care.branches;
    this.reading = readingOf(this.tree, this.segment, this.branches);
    this.hint = new DurableHint(this.care.points);
    this.wasSetAside = state.setAside ?? false;
    for (const frame of held) this.segment.insert(frame);
  }

  /** Says first what images it has on the disk. @returns whether its floor is gone with them: the state has to be saved at once. */
  opened(facts: ImagesFacts): boolean {
    const isLost = this.images.opened(facts);
    if (isLost) this.care.doubt(false);
    return isLost;
  }

  /** The newest epoch of `main`. */
  get head(): Epoch {
    return this.tree.headOf(this.main.name);
  }

  get main(): Branch {
    return this.branches.main;
  }

  /** Of `main`, as the next two. */
  get sealed(): Epoch {
    return this.main.sealed;
  }

  get durable(): DurablePoint {
    return this.main.durable;
  }

  get lowWater(): Lsn {
    return this.main.lowWater;
  }

  get state(): NodeState {
    return {
      ...this.care.state,
      forks: this.tree.all(),
      floor: this.segment.floor,
      ...(this.members.isTouched && { members: this.members.state }),
      ...(this.wasSetAside && !this.main.hydrated && { setAside: true as const }),
    };
  }

  /** The lowest floor of its peers, while this node lacks log below it, which nobody gives it; else null. */
  get needsImages(): Floor | null {
    return this.main.repairs.needsImages;
  }

  /** How far it is refilled with images; null while it is not. */
  get refilling(): RefillProgress | null {
    return this.images.refill.progress;
  }

  /** Takes one event at a time. The effects are to be carried out in order. */
  step(event: NodeEvent, nowMs: number): readonly NodeEffect[] {
    this.effects = [];
    switch (event.kind) {
      case 'request':
        this.request(event.caller, event.request, event.members ?? 0, nowMs);
        break;
      case 'persisted':
        this.persisted(event.ticket, event.positions, nowMs);
        break;
      case 'persistFailed':
        for (const { caller } of this.pending.take(event.ticket).acks) this.refuse(caller, event);
        break;
      case 'statePersisted':
        this.effects.push(...this.forkGate.saved(event.ticket));
        for (const { caller, reply } of this.stateReplies.saved(event.ticket)) this.reply(caller, reply());
        this.effects.push(...this.keeping.saved(event.ticket));
        break;
      case 'repaired':
        this.repaired(event.frames, event.forks, nowMs);
        break;
      case 'repairFailed':
        this.care.ended(event.floor ?? null, nowMs);
        break;
      case 'retain':
        this.retain(event);
        break;
      case 'filled':
        this.effects.push(...this.images.filled(event, nowMs));
        break;
      case 'fillFailed':
        this.images.refill.failed(nowMs);
        this.refuse(event.caller, event);
        break;
      case 'adopted':
        this.adopted(event, nowMs);
        break;
      case 'imagesChanged':
        if (!this.images.changed(event)) break;
        this.care.doubt(false);
        this.keeping.saving(this.persistState([]));
        break;
      case 'rotten':
        this.effects.push({ kind: 'unclaimed', entries: this.lost.takeOut(event.frames) });
        break;
      case 'membersHeard':
        this.actOnMembers(null, { act: 'install', membership: event.membership });
        break;
      case 'peerTold':
        this.peerTold(event);
        break;
      case 'callerGone':
        this.readers.forget(event.caller);
        break;
      case 'tick':
        this.tick(nowMs);
        break;
      default:
        unreachable(event);
    }
    return this.effects;
  }

  private request(caller: Caller | null, request: StorageRequest, members: number, nowMs: number): void {
    if (request.kind !== 'members' && this.refusesMembers(caller, members)) return;
    switch (request.kind) {
      case 'append':
        this.append(caller, request, members, nowMs);
        return;
      case 'seal':
        this.seal(caller, this.care.sealing(request.branch), request.epoch);
        return;
      case 'survey':
        this.survey(caller, request);
        return;
      case 'fork':
        this.fork(caller, request.authority, request.forks);
        return;
      case 'fetch':
        this.effects.push(...this.readers.fetch(caller, request, this.reading, nowMs));
        return;
      case 'readPages':
        this.effects.push(...this.readers.readPages(caller, request, this.reading));
        return;
      case 'putImages':
        this.put(caller, request, nowMs);
        return;
      case 'members':
        this.actOnMembers(caller, request.act);
        return;
      case 'status':
      case 'retain':
      case 'fetchImages':
      case 'locate':
        this.refuse(caller, alone(request.kind));
        return;
      default:
        unreachable(request);
    }
  }

  private reply(caller: Caller | null, reply: StorageReply): void {
    if (caller !== null) this.effects.push({ kind: 'reply', caller, reply });
  }

  private refuse(caller: Caller | null, { code, reason, floor }: Refusal): void {
    const sealed = this.sealed;
    this.reply(caller, { kind: 'refused', code, reason, sealed, ...(floor !== undefined && { floor }) });
  }

  /** S2, S32: an authority older than the seal of the branch that it is for is refused, whatever it asks. */
  private refusesAuthority(caller: Caller | null, authority: Epoch, branch?: Branch | null): boolean {
    if (branch === undefined || branch === null || authority >= branch.sealed) return false;
    this.reply(caller, fenced(authority, branch.sealed));
    return true;
  }

  /** S32: of what branch a head is that is not in the tree cannot be told, so no seal has a say in it. */
  private refusesHead(caller: Caller | null, head: Epoch, authority: Epoch | undefined): boolean {
    if (!this.tree.has(head)) this.refuse(caller, unknown(head));
    else return authority !== undefined && this.refusesAuthority(caller, authority, this.branches.of(head));
    return true;
  }

  /** S29: who believes in an older membership than is installed here hears of the newer one, and nothing else. */
  private refusesMembers(caller: Caller | null, members: number): boolean {
    const stale = this.members.stale(members, this.sealed);
    if (stale !== null) this.reply(caller, stale);
    return stale !== null;
  }

  private actOnMembers(caller: Caller | null, act: MembersAct): void {
    const { granted, changed, joins } = this.members.carryOut(act, this.main.hydrated);
    // S30: what it may have held in an earlier life here proves nothing; the first word of a writer that counts it does.
    if (joins) this.care.doubt(true);
    const { current } = this.members.state;
    if (changed && act.act === 'install' && current !== null)
      this.effects.push({ kind: 'members', membership: current });
    if (changed) this.persistState([]);
    const { durable, sealed } = this;
    const standing = {
      hydrated: this.care.isWhole,
      sealed,
      durable,
      end: this.segment.volumeEnd(durable.head),
    };
    this.replyAfterState(caller, () => this.members.reply(granted, standing));
  }

  private append(caller: Caller | null, request: AppendRequest, members: number, nowMs: number): void {
    if (this.refusesHead(caller, request.durable.head, undefined)) return;
    const branch = this.branches.ofAppend(request);
    if (this.refusesAuthority(caller, request.authority, branch)) return;
    const read = readFrames(this.tree, request.frames, this.pending.bytes);
    if (read.kind === 'bad') this.refuse(caller, read);
    else {
      if (branch !== null) this.learn(branch, request, nowMs);
      const waiting = caller === null ? null : { caller, request, members, branch: branch?.name ?? null };
      this.keep(waiting, read.frames, read.lastCpls);
    }
  }

  private learn(branch: Branch, request: AppendRequest, nowMs: number): void {
    // S2: who appends was let in by four seals for its authority; a node wiped since then seals for it once more. Who names no head
    // has sealed what it is for.
    if (request.durable.head !== genesisEpoch && branch.seal(request.authority)) this.persistState([]);
    const isNews = this.branches.learn(branch, request);
    this.hydrate(branch);
    if (isNews) this.effects.push(...this.readers.serve(this.reading, nowMs));
  }

  private keep(
    waiting: Omit<WaitingAck, 'pgs'> | null,
    frames: readonly ReceivedFrame[],
    lastCpls: readonly (Lsn | null)[],
  ): void {
    const { segment, pending } = this;
    const fresh = pending.fresh(
      frames,
      lastCpls,
      (header) => segment.has(header) || segment.isBelowFloor(header),
    );
    const ack =
      waiting === null ? [] : [{ ...waiting, pgs: [...new Set(frames.map((frame) => frame.header.pg))] }];
    if (fresh.frames.length === 0) {
      // Everything is here or on its way to the disk: answer when the newest write under way has finished.
      if (pending.addToNewest(ack)) return;
      // A writer asks without frames before it sends any: by then this node's own state is safe too (S6).
      if (frames.length === 0)
        for (const entry of ack) this.replyAfterState(entry.caller, () => this.ackOf(entry));
      else for (const entry of ack) this.reply(entry.caller, this.ackOf(entry));
      return;
    }
    const ticket = this.nextTicket++;
    this.isBusy ||= waiting !== null;
    pending.add(ticket, { ...fresh, acks: ack });
    const write: PersistFrames = { kind: 'persistFrames', ticket, frames: fresh.frames };
    if (this.forkGate.admits(write)) this.effects.push(write);
  }

  private ackOf({ request, pgs, members, branch: name }: WaitingAck): StorageReply {
    const sealed = (name === null ? undefined : this.branches.find(name))?.sealed ?? genesisEpoch;
    // S2: persisted before the seal or after, an older writer gets no acknowledgement once the node is sealed.
    if (request.authority < sealed) return fenced(request.authority, sealed);
    // S29: in the same way for a membership that is over.
    const stale = this.members.stale(members, this.sealed);
    if (stale !== null) return stale;
    const head = request.durable.head;
    return { kind: 'acked', head, scls: sclsToTell(this.segment, head, pgs) };
  }

  private persisted(ticket: number, positions: readonly FramePosition[], nowMs: number): void {
    const pending = this.pending.take(ticket);
    const held = heldFrames(pending, positions);
    for (const frame of held) this.segment.insert(frame);
    const healed = this.lost.healed();
    if (healed.length > 0) this.effects.push({ kind: 'healed', entries: healed });
    for (const entry of pending.acks) this.reply(entry.caller, this.ackOf(entry));
    this.effects.push({ kind: 'held', frames: held, bytes: pending.frames.map((frame) => frame.bytes) });
    this.effects.push(...this.readers.serve(this.reading, nowMs));
  }

  /** Answers now, or, while a change of state is on its way to the disk, once that is there: it may hold the promise. */
  private replyAfterState(caller: Caller | null, reply: () => StorageReply): void {
    if (caller !== null && !this.stateReplies.add({ caller, reply })) this.reply(caller, reply());
  }

  private persistState(replies: readonly LateReply[]): number {
    const ticket = this.nextTicket++;
    this.stateReplies.saving(ticket, replies);
    this.effects.push({ kind: 'persistState', ticket, state: this.state });
    return ticket;
  }

  private seal(caller: Caller | null, branch: Branch, candidate: Epoch): void {
    if (this.refusesAuthority(caller, candidate, branch)) return;
    // In force from here on, before it is persisted: a crash only forgets a promise that was never given.
    const changed = branch.seal(candidate);
    if (caller === null) return;
    const reply = () => sealedAnswer(this, branch, this.wasSetAside);
    if (changed) this.persistState([{ caller, reply }]);
    else this.replyAfterState(caller, reply);
  }

  /** Takes forks in up to the first that contradicts the tree, which it returns, and saves them: frames of theirs may arrive (S4). */
  private addForks(forks: readonly Fork[]): Fork | null {
    const { added, conflict } = this.tree.addAll(forks);
    this.care.learned(added);
    for (const fork of added) this.effects.push({ kind: 'forked', fork });
    if (added.length > 0) this.forkGate.learned(this.persistState([]));
    return conflict;
  }

  private fork(caller: Caller | null, authority: Epoch, forks: readonly Fork[]): void {
    if (this.refusesAuthority(caller, authority, this.branches.find(this.branches.ofForks(forks)))) return;
    const refusal = refusesBranch(this, forks);
    const conflict = refusal === null ? this.addForks(forks) : null;
    if (refusal !== null) this.refuse(caller, refusal);
    else if (conflict !== null) this.refuse(caller, contradicts(conflict));
    else this.replyAfterState(caller, () => ({ kind: 'forked' }));
  }

  private survey(caller: Caller | null, request: SurveyRequest): void {
    const { authority, forks, head } = request;
    const branch = this.branches.find(this.branches.ofForks(forks, head));
    if (this.refusesAuthority(caller, authority, branch)) return;
    const conflict = this.addForks(forks);
    if (conflict !== null || !this.tree.has(head)) {
      this.refuse(caller, doesNotFit(head));
      return;
    }
    if (request.isNew === true && this.care.beginsAnew()) this.persistState([]);
    // Frames still on their way to the disk may stay out: since the seal they can no longer be acknowledged (S2).
    this.replyAfterState(caller, () => ({
      ...surveyOf(this.tree, this.segment, this.branches.durableOn(head), head),
      ...(this.refilling !== null && { refilledBytes: this.refilling.bytes }),
    }));
  }

  /** S20: the floor is in the saved state before the log below it is dropped. */
  private retain({ caller, request, holdings, members = 0 }: Extract<NodeEvent, { kind: 'retain' }>): void {
    if (this.refusesMembers(caller, members)) return;
    const { head } = request;
    if (this.refusesHead(caller, head, request.authority)) return;
    const { plan, isHigher } = this.keeping.plan(this.branches, request, holdings, this.needsImages !== null);
    if (isHigher) this.keeping.saving(this.persistState([]), plan.through);
    else this.effects.push(...this.keeping.dropNow(plan.through));
    const reply = this.keeping.reply(plan, head, holdings, this.lowWater);
    this.replyAfterState(caller, () => reply);
  }

  private repaired(frames: Uint8Array, forks: readonly Fork[], nowMs: number): void {
    this.care.ended(null, nowMs);
    if (this.addForks(forks) !== null) return;
    const read = readFrames(this.tree, frames);
    if (read.kind === 'good') this.keep(null, read.frames, read.lastCpls);
  }

  private tick(nowMs: number): void {
    this.effects.push(...this.readers.serve(this.reading, nowMs));
    if (this.hint.due(() => this.care.points, nowMs)) this.persistState([]);
    if (this.care.asksPeers(nowMs)) this.effects.push({ kind: 'askPeers' });
    if (this.images.settle(this.branches, this.needsImages !== null))
      this.keeping.saving(this.persistState([]));
    for (const branch of this.branches.turn()) this.look(branch, nowMs);
    this.effects.push(...this.images.tick(this.branches, this.needsImages, this.isBusy, nowMs));
    this.isBusy = false;
  }

  /** What a branch lacks is fetched from a peer, one fetch at a time. */
  private look(branch: Branch, nowMs: number): void {
    const logFrom = (head: Epoch, end: Lsn): Lsn =>
      branch === this.main ? this.images.refill.logFrom(head, end) : end;
    const lacking = this.care.look(branch, logFrom, nowMs);
    if (lacking !== null) this.effects.push({ kind: 'repair', ...lacking });
    this.hydrate(branch);
  }

  /** S34. */
  private peerTold({ node, told, peers }: Extract<NodeEvent, { kind: 'peerTold' }>): void {
    if (this.addForks(told.forks) !== null) return;
    if (this.care.heard(node, told, peers, this.members.epoch)) this.persistState([]);
  }

  private put(caller: Caller | null, request: PutImagesRequest, nowMs: number): void {
    if (this.refusesHead(caller, request.head, request.authority)) return;
    const put = this.images.put(caller, request, nowMs);
    if (put.kind === 'effect') this.effects.push(put.effect);
    else if (put.kind === 'reply') this.replyAfterState(caller, () => put.reply);
    else this.refuse(caller, put.refusal);
  }

  /** The images that the node was filled with are its own now, and the log counts from where they begin. */
  private adopted({ caller, head, base }: Extract<NodeEvent, { kind: 'adopted' }>, nowMs: number): void {
    // What is durable elsewhere at the place where the images begin is durable here with them.
    const { main, branches } = this;
    if (main.durable.head <= head && base.at.lsn > branches.durableOn(head))
      branches.know(main, { head, vdl: base.at.lsn });
    const { reply, isHigher } = this.images.adopted(base, head, nowMs);
    if (this.images.countOn(branches) || isHigher) this.keeping.saving(this.persistState([]));
    this.hydrate(main);
    this.replyAfterState(caller, reply);
  }

  private hydrate(branch: Branch): void {
    if (this.care.hydrate(branch, this.members.epoch)) this.persistState([]);
  }
}
