/**
 * Six storage nodes of one region in one process, driven from one seed: messages are delayed, dropped and repeated, disks
 * take their time, and nodes die and lose what was not persisted. Writers and recoveries call them; `truth.ts` judges.
 */
import { EpochTree, type Fork } from '../../../storage/history/epoch-tree.ts';
import { type Floor, floorOn, noFloor } from '../../../storage/history/floor.ts';
import type { FramePosition, HeldFrame } from '../../../storage/log/core/held-frames.ts';
import { nodesOf } from '../../../storage/members/core/membership.ts';
import { StorageNode } from '../../../storage/node/core/node.ts';
import {
  type Caller,
  emptyNodeState,
  type NodeEffect,
  type NodeEvent,
} from '../../../storage/node/core/node-events.ts';
import type { ReceivedFrame } from '../../../storage/redo/frame.ts';
import {
  type Epoch,
  genesisEpoch,
  type Lsn,
  lsn,
  mainBranch,
  type NodeId,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import {
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
} from '../../../storage/wire/core/message-codec.ts';
import type { RetainRequest, StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { holdingsOf, type Machine, newMachine } from './machine.ts';
import { Dice, heldOf, sixNodes } from './samples.ts';
import { Timeline } from './timeline.ts';
import { Truth } from './truth.ts';

export interface Faults {
  /** Chance that a message, request or reply, is lost. */
  readonly drop: number;
  /** Chance that a request arrives twice. */
  readonly repeat: number;
  readonly delayMsMax: number;
  /** Chance that a message takes ten times as long, so that it overtakes nothing and arrives when all has changed. */
  readonly slow: number;
  /** Chance, every hundred milliseconds, that one who calls cannot reach one or two of the nodes for a while. */
  readonly cut: number;
  readonly diskMsMax: number;
  /** Chance that a writer expects more commits when it has made one, as long as it takes to gather them. */
  readonly gather: number;
}

export const calm: Faults = { drop: 0, repeat: 0, delayMsMax: 1, slow: 0, cut: 0, diskMsMax: 1, gather: 0 };
export const rough: Faults = {
  drop: 0.03,
  repeat: 0.03,
  delayMsMax: 12,
  slow: 0.04,
  cut: 0.3,
  diskMsMax: 8,
  gather: 0.3,
};

const noFrame = { epoch: genesisEpoch, base: zeroLsn, end: zeroLsn };
const rpcTimeoutMs = 60;
export const tickMs = 50;

/** What a collector hears. */
export interface Collecting {
  /** A node is about to drop files, in which the durable path ends at `end`. */
  drops(node: NodeId, end: Lsn): void;
  /** A node answers a page read. */
  reads(node: NodeId, head: Epoch, readPoint: Lsn): void;
}

/** Something that has links to nodes and wants to hear of them. */
export interface Watcher {
  readonly nodeUp: (node: NodeId) => void;
  readonly nodeDown: (node: NodeId) => void;
}

export class Cluster extends Timeline {
  readonly dice: Dice;
  /** Chance of its own, so that runs without branches are as they were before nodes asked one another. */
  private readonly gossip: Dice;
  readonly seed: number;
  faults: Faults;
  readonly truth = new Truth({
    holds: (node, frame) => {
      const machine = this.machine(node);
      return machine.onDisk.has(frame) || this.isInImages(machine, frame);
    },
    replaced: () => this.replaced,
    hasForked: (node, epoch) => this.machine(node).state.forks.some((fork) => fork.epoch === epoch),
    fail: (what) => this.fail(what),
  });
  readonly watchers = new Set<Watcher>();
  /** Hears what nodes do with their logs, in runs that collect them. */
  collecting: Collecting | null = null;
  /** A defect: floors are not saved. */
  forgetsFloors = false;
  /** A defect: who seals a branch seals `main` as well. */
  leaksSeals = false;
  /** When disks were replaced by empty ones. */
  readonly wipedAtMs: number[] = [];
  /** The branches that there are besides `main`, as an agent lists them. */
  listed: RetainRequest['branches'] | undefined = undefined;
  /** A defect: a node that starts again takes no notice of its floor. */
  countsFromZero = false;
  private readonly machines = new Map<NodeId, Machine>();

  constructor(seed: number, faults: Faults = calm) {
    super();
    this.seed = seed;
    this.dice = new Dice(seed);
    this.gossip = new Dice(seed + 1_000_000);
    this.faults = faults;
    for (const id of sixNodes) this.add(id);
    this.every(tickMs, () => {
      for (const machine of this.machines.values()) this.step(machine, { kind: 'tick' });
    });
  }

  /** Disks that were replaced by empty ones in the last second. */
  get replaced(): number {
    return this.wipedAtMs.filter((atMs) => this.nowMs - atMs < 1_000).length;
  }

  fail(what: string): never {
    throw new Error(`seed ${this.seed}, ${this.nowMs} ms: ${what}`);
  }

  check(holds: boolean, what: string): void {
    if (!holds) this.fail(what);
  }

  /** Frames of one file of a log. */
  get fileFrames(): number {
    return 8;
  }

  private heldAt(bytes: Uint8Array, at: number): HeldFrame {
    const held = heldOf(bytes, at);
    return { ...held, position: { ...held.position, file: 1 + Math.floor(at / this.fileFrames) } };
  }

  /** Whether images of this machine hold what a frame says. */
  private isInImages({ images, state }: Machine, frame: string): boolean {
    const bytes = this.truth.frames.get(frame);
    if (bytes === undefined || images.length === 0) return false;
    const { epoch, end } = heldOf(bytes);
    const tree = new EpochTree(state.forks);
    return images.some(
      (place) => end <= place.lsn && tree.has(place.epoch) && tree.visibleUntil(place.epoch, epoch) >= end,
    );
  }

  machine(id: NodeId): Machine {
    return this.machines.get(id) ?? this.fail(`no node ${id}`);
  }

  core(id: NodeId): StorageNode {
    return this.machine(id).core ?? this.fail(`${id} is down`);
  }

  get up(): readonly NodeId[] {
    return [...this.machines.keys()].filter((id) => this.machine(id).core !== null);
  }

  /** A machine more, with an empty disk. */
  add(id: NodeId): void {
    this.machines.set(id, newMachine(id));
    this.start(id);
  }

  start(id: NodeId): void {
    const machine = this.machine(id);
    if (machine.core !== null) return;
    machine.life += 1;
    machine.core = new StorageNode(
      mainBranch,
      this.countsFromZero ? { ...machine.state, floor: noFloor } : machine.state,
      machine.log.flatMap((bytes, at) => (bytes === null ? [] : [this.heldAt(bytes, at)])),
      id,
    );
    for (const watcher of this.watchers) watcher.nodeUp(id);
  }

  /** The process dies: what is not on disk is gone. */
  kill(id: NodeId): void {
    const machine = this.machine(id);
    if (machine.core === null) return;
    machine.core = null;
    machine.life += 1;
    machine.freeAtMs = { log: 0, state: 0 };
    // The oldest write may have got part of the way.
    const torn = machine.writing[0]?.slice(0, this.dice.below(4)) ?? [];
    for (const frame of torn) this.toLog(machine, frame);
    machine.writing = [];
    machine.answers = new Map();
    for (const watcher of this.watchers) watcher.nodeDown(id);
  }

  /** The disk is replaced by an empty one. The node stays down. */
  wipe(id: NodeId): void {
    this.kill(id);
    this.wipedAtMs.push(this.nowMs);
    const machine = this.machine(id);
    machine.log = [];
    machine.images = [];
    machine.onDisk = new Map();
    machine.state = emptyNodeState;
  }

  private delay(dice = this.dice): number {
    return dice.below(this.faults.delayMsMax + 1) * (dice.chance(this.faults.slow) ? 10 : 1);
  }

  /** Nodes that the one who calls with this cannot reach now; it changes as time goes by. */
  reach(over: () => boolean): ReadonlySet<NodeId> {
    const cut = new Set<NodeId>();
    const change = () => {
      cut.clear();
      if (over()) return;
      if (this.dice.chance(this.faults.cut)) {
        cut.add(this.dice.pick(sixNodes));
        cut.add(this.dice.pick(sixNodes));
      }
      this.after(100, change);
    };
    change();
    return cut;
  }

  /** Sends a request through the codec; `done` gets the reply, or null after a loss, once. */
  rpc(
    id: NodeId,
    request: StorageRequest,
    done: (reply: StorageReply | null) => void,
    cut?: ReadonlySet<NodeId>,
    members = 0,
  ): void {
    let open = true;
    const finish = (reply: StorageReply | null) => {
      if (!open) return;
      open = false;
      done(reply);
    };
    this.after(rpcTimeoutMs, () => finish(null));
    if (cut?.has(id) === true) return;
    const answered = (reply: StorageReply): void => {
      if (this.dice.chance(this.faults.drop)) return;
      this.after(this.delay(), () => finish(reply));
    };
    this.deliver(id, request, answered, members);
  }

  /** A node's images are those of a peer now, as of one place. */
  adopt(id: NodeId, at: Floor): void {
    const machine = this.machine(id);
    machine.images = [at];
    const { head } = this.core(id).durable;
    this.step(machine, { kind: 'adopted', caller: null, head, base: { at, fuzzyTo: at.lsn } });
  }

  /** Sends without wanting an answer. */
  notice(id: NodeId, request: StorageRequest, members = 0): void {
    this.deliver(id, request, null, members);
  }

  private deliver(
    id: NodeId,
    request: StorageRequest,
    answer: ((reply: StorageReply) => void) | null,
    members: number,
  ): void {
    const { kind, body } = encodeRequest(request);
    const { life } = this.machine(id);
    const arrive = () => {
      const machine = this.machine(id);
      if (machine.core === null || machine.life !== life) return;
      const decoded = decodeRequest(kind, body);
      if (decoded.kind === 'malformed') this.fail(`${request.kind}: ${decoded.reason}`);
      let caller: Caller | null = null;
      if (answer !== null) {
        caller = machine.nextCaller++;
        machine.answers.set(caller, answer);
      }
      const { message } = decoded;
      if (message.kind === 'seal' && this.leaksSeals)
        this.step(machine, { kind: 'request', caller: null, request: { ...message, branch: mainBranch } });
      if (message.kind !== 'retain') {
        this.step(machine, { kind: 'request', caller, request: message, members });
        return;
      }
      const holdings = holdingsOf(machine, this.fileFrames);
      this.step(machine, { kind: 'retain', caller, request: message, holdings, members });
    };
    const copies =
      (this.dice.chance(this.faults.drop) ? 0 : 1) + (this.dice.chance(this.faults.repeat) ? 1 : 0);
    for (let copy = 0; copy < copies; copy++) this.after(this.delay(), arrive);
  }

  private step(machine: Machine, event: NodeEvent): void {
    if (machine.core === null) return;
    const effects = machine.core.step(event, this.nowMs);
    for (const effect of effects) this.carryOut(machine, effect);
  }

  private carryOut(machine: Machine, effect: NodeEffect): void {
    switch (effect.kind) {
      case 'persistFrames':
        this.persist(machine, effect);
        return;
      case 'persistState': {
        this.onDisk(machine, 'state', () => {
          const { floor } = machine.state;
          machine.state = this.forgetsFloors ? { ...effect.state, floor } : effect.state;
          this.step(machine, { kind: 'statePersisted', ticket: effect.ticket });
        });
        return;
      }
      case 'reply':
        this.answer(machine, effect.caller, effect.reply);
        return;
      case 'replyFrames': {
        const { frames, ...rest } = effect.answer;
        const bytes = frames.map(
          (frame) => machine.log[frame.position.offset] ?? this.fail('a frame that is not on disk'),
        );
        this.answer(machine, effect.caller, { kind: 'fetched', ...rest, frames: Buffer.concat(bytes) });
        return;
      }
      case 'repair':
        this.repair(machine, effect);
        return;
      case 'askPeers':
        this.askPeers(machine);
        return;
      case 'replyPages':
        this.collecting?.reads(machine.id, effect.head, effect.readPoint);
        this.answer(machine, effect.caller, { kind: 'pages', pages: effect.pages.map(() => null) });
        return;
      case 'dropLog':
        this.dropLog(machine, effect.through);
        return;
      case 'held':
      case 'forked':
      case 'members':
      case 'unclaimed':
      case 'healed':
        return;
    }
  }

  private answer(machine: Machine, caller: Caller, reply: StorageReply): void {
    const answer = machine.answers.get(caller) ?? this.fail(`${machine.id} answered caller ${caller} twice`);
    machine.answers.delete(caller);
    const { kind, body } = encodeReply(reply);
    const decoded = decodeReply(kind, body);
    if (decoded.kind === 'malformed') this.fail(`${reply.kind}: ${decoded.reason}`);
    answer(decoded.message);
  }

  private persist(machine: Machine, effect: Extract<NodeEffect, { kind: 'persistFrames' }>): void {
    machine.writing.push(effect.frames);
    this.onDisk(machine, 'log', () => {
      machine.writing.shift();
      const positions = effect.frames.map((frame) => this.toLog(machine, frame));
      this.step(machine, { kind: 'persisted', ticket: effect.ticket, positions });
    });
  }

  private toLog(machine: Machine, { header, bytes }: ReceivedFrame): FramePosition {
    machine.onDisk.set(`${header.epoch}/${header.base}`, bytes);
    return this.heldAt(bytes, machine.log.push(bytes) - 1).position;
  }

  /** Writes to one file end in the order they were begun. */
  private onDisk(machine: Machine, file: 'log' | 'state', written: () => void): void {
    const { life, freeAtMs } = machine;
    freeAtMs[file] = Math.max(freeAtMs[file], this.nowMs) + this.dice.below(this.faults.diskMsMax + 1);
    this.after(freeAtMs[file] - this.nowMs, () => {
      if (machine.life === life) written();
    });
  }

  private dropLog(machine: Machine, through: number): void {
    const upTo = Math.min(machine.log.length, through * this.fileFrames);
    const { tree, durable } = this.core(machine.id);
    const ends = machine.log.slice(0, upTo).map((bytes) => {
      const { epoch, base, end } = bytes === null ? noFrame : heldOf(bytes);
      const until = tree.visibleUntil(durable.head, epoch);
      return base < until ? Math.min(end, until) : 0;
    });
    this.collecting?.drops(machine.id, lsn(Math.max(0, ...ends)));
    for (let at = 0; at < upTo; at++) {
      const bytes = machine.log[at];
      if (bytes === null || bytes === undefined) continue;
      const { epoch, base } = heldOf(bytes);
      machine.onDisk.delete(`${epoch}/${base}`);
      machine.log[at] = null;
    }
  }

  private peersOf(machine: Machine): readonly NodeId[] {
    const known = machine.core?.state.members?.current ?? null;
    const region = known === null ? sixNodes : nodesOf(known).map(({ node }) => node);
    return region.filter((id) => id !== machine.id);
  }

  /** Each peer tells what it knows of branches, unless the question or the answer is lost. */
  private askPeers(machine: Machine): void {
    const { life } = machine;
    const peers = this.peersOf(machine);
    for (const node of peers) {
      if (this.gossip.chance(2 * this.faults.drop)) continue;
      this.after(this.delay(this.gossip), () => {
        const { core } = this.machine(node);
        if (core === null) return;
        const { known, status: branches } = core.care;
        const told = { ...known, branches, members: core.state.members?.current?.epoch ?? 0 };
        this.after(this.delay(this.gossip), () => {
          if (machine.life === life)
            this.step(machine, { kind: 'peerTold', node, told, peers: peers.length });
        });
      });
    }
  }

  private repair(machine: Machine, { head, from, durable }: Extract<NodeEffect, { kind: 'repair' }>): void {
    const { life } = machine;
    const known = machine.core?.state.members?.current ?? null;
    const peer = this.dice.pick(this.peersOf(machine));
    const request: StorageRequest = {
      kind: 'fetch',
      branch: mainBranch,
      head,
      from,
      bytesMax: 4_000,
      waitMs: 0,
      durableOnly: false,
      known: durable,
    };
    const answered = (reply: StorageReply | null): void => {
      if (machine.life !== life) return;
      if (reply?.kind === 'refused' && reply.membership !== undefined)
        this.step(machine, { kind: 'membersHeard', membership: reply.membership });
      if (reply?.kind !== 'fetched' || reply.frames.length === 0)
        this.step(machine, {
          kind: 'repairFailed',
          ...(reply?.kind === 'refused' && reply.floor !== undefined && { floor: reply.floor }),
        });
      else this.step(machine, { kind: 'repaired', frames: reply.frames, forks: reply.forks });
    };
    this.rpc(peer, request, answered, undefined, known?.epoch ?? 0);
  }

  /** The bytes of the same history as one node holds them in its log, from its floor on. */
  readFrom(id: NodeId, forks: readonly Fork[], head: Epoch, vdl: Lsn): Uint8Array {
    const frames = new Map<string, Uint8Array>();
    const machine = this.machine(id);
    const { segment, tree } = this.core(id);
    const floor = floorOn(tree, segment.floor, head) ?? this.fail(`${id} has a floor beside epoch ${head}`);
    for (let from = floor; from < vdl; ) {
      const { frames: run, end } = segment.run(head, from, 3_000, vdl);
      if (run.length === 0) this.fail(`${id} has no frame at ${from}, below ${vdl}`);
      for (const { epoch, base, position } of run)
        frames.set(`${epoch}/${base}`, machine.log[position.offset] ?? this.fail(`${id} dropped ${base}`));
      from = end;
    }
    // What lies below the floor its images say, made of the truth when they were checked.
    const below = (epoch: Epoch, base: number) =>
      tree.visibleUntil(head, epoch) > base && base < floor
        ? this.truth.frames.get(`${epoch}/${base}`)
        : undefined;
    return this.truth.collect(
      forks,
      head,
      vdl,
      (epoch, base) => frames.get(`${epoch}/${base}`) ?? below(epoch, base),
    );
  }
}
