/**
 * Six storage nodes of one region in one process, driven from one seed: messages are delayed, dropped and repeated, disks
 * take their time, and nodes die and lose what was not persisted. Writers and recoveries call them; `truth.ts` judges.
 */
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import type { FramePosition } from '../../../storage/log/core/segment.ts';
import { nodesOf } from '../../../storage/members/core/membership.ts';
import { StorageNode } from '../../../storage/node/core/node.ts';
import {
  type Caller,
  emptyNodeState,
  type NodeEffect,
  type NodeEvent,
  type NodeState,
} from '../../../storage/node/core/node-events.ts';
import type { ReceivedFrame } from '../../../storage/redo/frame.ts';
import { type Epoch, type Lsn, lsn, mainBranch, type NodeId } from '../../../storage/redo/ids.ts';
import {
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
} from '../../../storage/wire/core/message-codec.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
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

const rpcTimeoutMs = 60;
export const tickMs = 50;

interface Machine {
  readonly id: NodeId;
  core: StorageNode | null;
  /** Counts lives; what was under way in an earlier one is lost. */
  life: number;
  log: Uint8Array[];
  /** Frames on disk, by `epoch/base`. */
  onDisk: Map<string, Uint8Array>;
  state: NodeState;
  /** When the log and the state file have written all they were given: two files, two queues. */
  freeAtMs: { log: number; state: number };
  /** Frames on their way to the log, oldest write first. */
  writing: (readonly ReceivedFrame[])[];
  answers: Map<Caller, (reply: StorageReply) => void>;
  nextCaller: number;
}

/** Something that has links to nodes and wants to hear of them. */
export interface Watcher {
  readonly nodeUp: (node: NodeId) => void;
  readonly nodeDown: (node: NodeId) => void;
}

export class Cluster extends Timeline {
  readonly dice: Dice;
  readonly seed: number;
  faults: Faults;
  readonly truth = new Truth({
    holds: (node, frame) => this.machine(node).onDisk.has(frame),
    hasForked: (node, epoch) => this.machine(node).state.forks.some((fork) => fork.epoch === epoch),
    fail: (what) => this.fail(what),
  });
  readonly watchers = new Set<Watcher>();
  private readonly machines = new Map<NodeId, Machine>();

  constructor(seed: number, faults: Faults = calm) {
    super();
    this.seed = seed;
    this.dice = new Dice(seed);
    this.faults = faults;
    for (const id of sixNodes) this.add(id);
    this.every(tickMs, () => {
      for (const machine of this.machines.values()) this.step(machine, { kind: 'tick' });
    });
  }

  fail(what: string): never {
    throw new Error(`seed ${this.seed}, ${this.nowMs} ms: ${what}`);
  }

  check(holds: boolean, what: string): void {
    if (!holds) this.fail(what);
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
      machine.state,
      machine.log.map((bytes, at) => heldOf(bytes, at)),
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
    const machine = this.machine(id);
    machine.log = [];
    machine.onDisk = new Map();
    machine.state = emptyNodeState;
  }

  private delay(): number {
    return this.dice.below(this.faults.delayMsMax + 1) * (this.dice.chance(this.faults.slow) ? 10 : 1);
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
      this.step(machine, { kind: 'request', caller, request: decoded.message, members });
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
          machine.state = effect.state;
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
      case 'held':
      case 'forked':
      case 'members':
      case 'replyPages':
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
    return { file: 1, offset: machine.log.push(bytes) - 1, length: bytes.length };
  }

  /** Writes to one file end in the order they were begun. */
  private onDisk(machine: Machine, file: 'log' | 'state', written: () => void): void {
    const { life, freeAtMs } = machine;
    freeAtMs[file] = Math.max(freeAtMs[file], this.nowMs) + this.dice.below(this.faults.diskMsMax + 1);
    this.after(freeAtMs[file] - this.nowMs, () => {
      if (machine.life === life) written();
    });
  }

  private repair(machine: Machine, { head, from, durable }: Extract<NodeEffect, { kind: 'repair' }>): void {
    const { life } = machine;
    const known = machine.core?.state.members?.current ?? null;
    const region = known === null ? sixNodes : nodesOf(known).map(({ node }) => node);
    const peer = this.dice.pick(region.filter((id) => id !== machine.id));
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
        this.step(machine, { kind: 'repairFailed' });
      else this.step(machine, { kind: 'repaired', frames: reply.frames, forks: reply.forks });
    };
    this.rpc(peer, request, answered, undefined, known?.epoch ?? 0);
  }

  /** The bytes of the same history as one node answers a fetch for them. */
  readFrom(id: NodeId, forks: readonly Fork[], head: Epoch, vdl: Lsn): Uint8Array {
    const frames = new Map<string, Uint8Array>();
    const machine = this.machine(id);
    for (let from = lsn(0); from < vdl; ) {
      const { frames: run, end } = this.core(id).segment.run(head, from, 3_000, vdl);
      if (run.length === 0) this.fail(`${id} has no frame at ${from}, below ${vdl}`);
      for (const { epoch, base, position } of run)
        frames.set(`${epoch}/${base}`, machine.log[position.offset] ?? new Uint8Array(0));
      from = end;
    }
    return this.truth.collect(forks, head, vdl, (epoch, base) => frames.get(`${epoch}/${base}`));
  }
}

function newMachine(id: NodeId): Machine {
  return {
    id,
    core: null,
    life: 0,
    log: [],
    onDisk: new Map(),
    state: emptyNodeState,
    freeAtMs: { log: 0, state: 0 },
    writing: [],
    answers: new Map(),
    nextCaller: 1,
  };
}
