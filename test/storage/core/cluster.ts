/**
 * Six storage nodes, writers and recoveries of one region in one process, driven from one seed: messages are delayed,
 * dropped and repeated, disks take their time, and nodes die and lose what was not persisted. The cluster itself checks
 * what must hold at every moment: nothing is called durable that four nodes do not have, and no history that was begun
 * from a finished recovery lacks what a writer ever called durable.
 */
import { EpochTree, type Fork } from '../../../storage/core/epoch-tree.ts';
import { parseFrame, type ReceivedFrame, splitFrames } from '../../../storage/core/frame.ts';
import { type Epoch, type Lsn, lsn, mainBranch, type NodeId, pageNo } from '../../../storage/core/ids.ts';
import { redoLimits } from '../../../storage/core/limits.ts';
import {
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
} from '../../../storage/core/message-codec.ts';
import type { StorageReply, StorageRequest } from '../../../storage/core/messages.ts';
import { StorageNode } from '../../../storage/core/node.ts';
import {
  type Caller,
  emptyNodeState,
  type NodeEffect,
  type NodeEvent,
  type NodeState,
} from '../../../storage/core/node-events.ts';
import type { QuorumEffect, QuorumEvent } from '../../../storage/core/quorum-writer.ts';
import { encodeMtr, type PageChange } from '../../../storage/core/record.ts';
import {
  type Recovered,
  Recovery,
  type RecoveryEffect,
  type RecoveryEvent,
  type RecoveryGoal,
} from '../../../storage/core/recovery.ts';
import type { FramePosition } from '../../../storage/core/segment.ts';
import { Volume } from '../../../storage/core/volume.ts';
import { commitAt, Dice, type FrameSample, frameBytes, heldOf, sixNodes } from './samples.ts';

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
}

export const calm: Faults = { drop: 0, repeat: 0, delayMsMax: 1, slow: 0, cut: 0, diskMsMax: 1 };
export const rough: Faults = { drop: 0.03, repeat: 0.03, delayMsMax: 12, slow: 0.04, cut: 0.3, diskMsMax: 8 };

const rpcTimeoutMs = 60;
const tickMs = 50;

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

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
  forksUnsaved: number;
  heldBack: Extract<NodeEffect, { kind: 'persistFrames' }>[];
  answers: Map<Caller, (reply: StorageReply) => void>;
  nextCaller: number;
}

/** Something that has links to nodes and wants to hear of them. */
interface Watcher {
  readonly nodeUp: (node: NodeId) => void;
  readonly nodeDown: (node: NodeId) => void;
}

export class Cluster {
  readonly dice: Dice;
  readonly seed: number;
  nowMs = 1_000;
  faults: Faults;
  /** Every frame any writer made, by `epoch/base`: the truth to compare with. */
  readonly frames = new Map<string, Uint8Array>();
  /** Every announcement of durability. */
  readonly announced: { readonly epoch: Epoch; readonly vdl: Lsn }[] = [];
  readonly recovered: Recovered[] = [];
  /** Ends of transactions, of whatever epoch. */
  readonly cpls = new Set<Lsn>();
  readonly watchers = new Set<Watcher>();
  private readonly machines: ReadonlyMap<NodeId, Machine>;
  private readonly timers: Timer[] = [];
  private order = 0;

  constructor(seed: number, faults: Faults = calm) {
    this.seed = seed;
    this.dice = new Dice(seed);
    this.faults = faults;
    this.machines = new Map(sixNodes.map((id) => [id, newMachine(id)]));
    for (const id of sixNodes) this.start(id);
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

  after(delayMs: number, run: () => void): void {
    const timer = { atMs: this.nowMs + delayMs, order: this.order++, run };
    // A binary heap, ordered by time and then by the order of planning.
    const heap = this.timers;
    heap.push(timer);
    for (let at = heap.length - 1; at > 0; ) {
      const up = (at - 1) >> 1;
      const [child, parent] = [heap[at], heap[up]];
      if (child === undefined || parent === undefined || !isBefore(child, parent)) break;
      heap[at] = parent;
      heap[up] = child;
      at = up;
    }
  }

  every(periodMs: number, run: () => void): void {
    this.after(periodMs, () => {
      run();
      this.every(periodMs, run);
    });
  }

  private nextTimer(): Timer | undefined {
    const heap = this.timers;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    heap[0] = last;
    for (let at = 0; ; ) {
      let least = at;
      for (const down of [2 * at + 1, 2 * at + 2]) {
        const [a, b] = [heap[down], heap[least]];
        if (a !== undefined && b !== undefined && isBefore(a, b)) least = down;
      }
      const [parent, child] = [heap[at], heap[least]];
      if (least === at || parent === undefined || child === undefined) return first;
      heap[at] = child;
      heap[least] = parent;
      at = least;
    }
  }

  /** Runs until `done`, or until `limitMs` have passed. @returns whether it was done. */
  runUntil(done: () => boolean, limitMs: number): boolean {
    const endMs = this.nowMs + limitMs;
    while (!done()) {
      const timer = this.nextTimer();
      if (timer === undefined) return false;
      if (timer.atMs > endMs) {
        this.nowMs = endMs;
        this.after(0, timer.run);
        return done();
      }
      this.nowMs = timer.atMs;
      timer.run();
    }
    return true;
  }

  runFor(ms: number): void {
    this.runUntil(() => false, ms);
  }

  machine(id: NodeId): Machine {
    return this.machines.get(id) ?? this.fail(`no node ${id}`);
  }

  core(id: NodeId): StorageNode {
    return this.machine(id).core ?? this.fail(`${id} is down`);
  }

  get up(): readonly NodeId[] {
    return sixNodes.filter((id) => this.machine(id).core !== null);
  }

  start(id: NodeId): void {
    const machine = this.machine(id);
    if (machine.core !== null) return;
    machine.life += 1;
    machine.core = new StorageNode(
      mainBranch,
      machine.state,
      machine.log.map((bytes, at) => heldOf(bytes, at)),
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
    machine.forksUnsaved = 0;
    machine.heldBack = [];
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
  ): void {
    let open = true;
    const finish = (reply: StorageReply | null) => {
      if (!open) return;
      open = false;
      done(reply);
    };
    this.after(rpcTimeoutMs, () => finish(null));
    if (cut?.has(id) === true) return;
    this.deliver(id, request, (reply) => {
      if (this.dice.chance(this.faults.drop)) return;
      this.after(this.delay(), () => finish(reply));
    });
  }

  /** Sends without wanting an answer. */
  notice(id: NodeId, request: StorageRequest): void {
    this.deliver(id, request, null);
  }

  private deliver(id: NodeId, request: StorageRequest, answer: ((reply: StorageReply) => void) | null): void {
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
      this.step(machine, { kind: 'request', caller, request: decoded.message });
    };
    const copies =
      (this.dice.chance(this.faults.drop) ? 0 : 1) + (this.dice.chance(this.faults.repeat) ? 1 : 0);
    for (let copy = 0; copy < copies; copy++) this.after(this.delay(), arrive);
  }

  private step(machine: Machine, event: NodeEvent): void {
    if (machine.core === null) return;
    const effects = machine.core.step(event, this.nowMs);
    const forked = effects.some((effect) => effect.kind === 'forked');
    for (const effect of effects) this.carryOut(machine, effect, forked);
  }

  private carryOut(machine: Machine, effect: NodeEffect, forked: boolean): void {
    switch (effect.kind) {
      case 'persistFrames':
        // S4, as the shell keeps it: no frame before the forks it may depend on.
        if (machine.forksUnsaved > 0) machine.heldBack.push(effect);
        else this.persist(machine, effect);
        return;
      case 'persistState': {
        if (forked) machine.forksUnsaved += 1;
        this.onDisk(machine, 'state', () => {
          machine.state = effect.state;
          if (forked) machine.forksUnsaved -= 1;
          if (machine.forksUnsaved === 0)
            for (const held of machine.heldBack.splice(0)) this.persist(machine, held);
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
    const peer = this.dice.pick(sixNodes.filter((id) => id !== machine.id));
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
    this.rpc(peer, request, (reply) => {
      if (machine.life !== life) return;
      if (reply?.kind !== 'fetched' || reply.frames.length === 0)
        this.step(machine, { kind: 'repairFailed' });
      else this.step(machine, { kind: 'repaired', frames: reply.frames, forks: reply.forks });
    });
  }

  /** Makes a frame without a writer; it is part of the truth from then on. */
  plant(sample: FrameSample): { readonly bytes: Uint8Array; readonly end: Lsn } {
    const bytes = frameBytes(sample);
    const { epoch, base, end } = heldOf(bytes);
    this.frames.set(`${epoch}/${base}`, bytes);
    this.cpls.add(end);
    return { bytes, end };
  }

  /** A writer called `vdl` durable: four nodes must have every frame below it, and every later history must show it. */
  announce(epoch: Epoch, from: Lsn, vdl: Lsn): void {
    for (let at: number = from; at < vdl; ) {
      const key = `${epoch}/${at}`;
      const bytes =
        this.frames.get(key) ?? this.fail(`durable ${vdl}, and no frame of epoch ${epoch} at ${at}`);
      const copies = [...this.machines.values()].filter((machine) => machine.onDisk.has(key)).length;
      this.check(
        copies >= 4,
        `epoch ${epoch} called ${vdl} durable with ${copies} copies of the frame at ${at}`,
      );
      const parsed = parseFrame(bytes);
      at = parsed.kind === 'frame' ? parsed.header.end : this.fail('a bad frame');
    }
    this.announced.push({ epoch, vdl });
    for (const outcome of this.recovered) this.checkShows(outcome, epoch, vdl);
  }

  /** A recovery is finished: its fork and everything below it are on four disks, and it is at a consistency point. */
  recoveredTo(outcome: Recovered): void {
    this.recovered.push(outcome);
    const { head, forks, vdl } = outcome;
    const atFork = forks.some((fork) => fork.epoch !== head && fork.forkLsn === vdl);
    this.check(
      vdl === 0 || atFork || this.cpls.has(vdl),
      `epoch ${head} forks at ${vdl}, inside a transaction`,
    );
    const promised = [...this.machines.values()].filter((machine) =>
      machine.state.forks.some((fork) => fork.epoch === head),
    );
    this.check(promised.length >= 4, `epoch ${head} is forked on ${promised.length} disks`);
    for (const step of new EpochTree(forks).path(head)) {
      for (let at: number = step.from; at < Math.min(step.until, vdl); ) {
        const key = `${step.epoch}/${at}`;
        const frame =
          this.frames.get(key) ?? this.fail(`no frame of epoch ${step.epoch} at ${at}, below ${vdl}`);
        const copies = [...this.machines.values()].filter((machine) => machine.onDisk.has(key)).length;
        this.check(copies >= 4, `recovered to ${vdl} with ${copies} copies of the frame at ${at}`);
        at += frame.length - 36;
      }
    }
    for (const { epoch, vdl } of this.announced) this.checkShows(outcome, epoch, vdl);
  }

  private checkShows(outcome: Recovered, epoch: Epoch, vdl: Lsn): void {
    if (outcome.head <= epoch) return;
    const tree = new EpochTree(outcome.forks);
    // What lies at the very start of a reign belongs to its parents.
    if (tree.has(epoch) && vdl === tree.startOf(epoch)) return;
    const shown = tree.visibleUntil(outcome.head, epoch);
    this.check(
      shown >= vdl,
      `epoch ${epoch} called ${vdl} durable, epoch ${outcome.head} shows it up to ${shown}`,
    );
  }

  /** The bytes of the history that ends in `head`, from the writers' own frames. */
  truth(forks: readonly Fork[], head: Epoch, vdl: Lsn): Uint8Array {
    return this.collect(forks, head, vdl, (epoch, base) => this.frames.get(`${epoch}/${base}`));
  }

  private collect(
    forks: readonly Fork[],
    head: Epoch,
    vdl: Lsn,
    frameAt: (epoch: Epoch, base: number) => Uint8Array | undefined,
  ): Uint8Array {
    const bytes = new Uint8Array(vdl);
    for (const step of new EpochTree(forks).path(head)) {
      const until = Math.min(step.until, vdl);
      for (let at: number = step.from; at < until; ) {
        const frame =
          frameAt(step.epoch, at) ?? this.fail(`no frame of epoch ${step.epoch} at ${at}, below ${vdl}`);
        bytes.set(frame.subarray(36, 36 + Math.min(frame.length - 36, until - at)), at);
        at += frame.length - 36;
      }
    }
    return bytes;
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
    return this.collect(forks, head, vdl, (epoch, base) => frames.get(`${epoch}/${base}`));
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
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
    forksUnsaved: 0,
    heldBack: [],
    answers: new Map(),
    nextCaller: 1,
  };
}

/** Takes the six over; stops at the outcome or when it is killed. */
export class Takeover {
  outcome: RecoveryEffect | null = null;
  killed = false;
  readonly recovery: Recovery;
  /** Calls to nodes so far: where a recovery may be made to die. */
  sent = 0;
  private readonly cluster: Cluster;
  private readonly dieAfter: number;
  private readonly cut: ReadonlySet<NodeId>;

  constructor(cluster: Cluster, goal: RecoveryGoal, dieAfter = Number.POSITIVE_INFINITY) {
    this.cluster = cluster;
    this.dieAfter = dieAfter;
    this.cut = cluster.reach(() => this.done);
    this.recovery = new Recovery(sixNodes, goal);
    this.step({ kind: 'start' });
    this.tick();
  }

  get done(): boolean {
    return this.outcome !== null || this.killed;
  }

  private tick(): void {
    this.cluster.after(tickMs, () => {
      if (this.done) return;
      this.step({ kind: 'tick' });
      this.tick();
    });
  }

  private step(event: RecoveryEvent): void {
    if (this.done) return;
    for (const effect of this.recovery.step(event, this.cluster.nowMs)) {
      if (effect.kind !== 'send') {
        this.outcome = effect;
        if (effect.kind === 'recovered') this.cluster.recoveredTo(effect.outcome);
        return;
      }
      if (this.sent >= this.dieAfter) {
        this.killed = true;
        return;
      }
      this.sent += 1;
      const { node, request } = effect;
      this.cluster.rpc(
        node,
        request,
        (reply) =>
          this.step(reply === null ? { kind: 'unanswered', node } : { kind: 'answered', node, reply }),
        this.cut,
      );
    }
  }
}

/** A writer on the cluster: the volume, its links, and a stream of random transactions. */
export class Writer {
  readonly volume: Volume;
  readonly epoch: Epoch;
  readonly forks: readonly Fork[];
  readonly forkLsn: Lsn;
  fencedBy: Epoch | null = null;
  private stopped: boolean;
  quorumLost = false;
  private readonly cluster: Cluster;
  private announcedTo: Lsn;
  private checkedTo: Lsn;
  private readonly watcher: Watcher;
  private readonly cut: ReadonlySet<NodeId>;

  constructor(cluster: Cluster, { head, forks, vdl }: Recovered) {
    this.cluster = cluster;
    this.stopped = false;
    this.epoch = head;
    this.forks = forks;
    this.forkLsn = vdl;
    this.announcedTo = vdl;
    this.checkedTo = vdl;
    this.cut = cluster.reach(() => this.over);
    this.volume = new Volume({ nodes: sixNodes, epoch: head, forks, forkLsn: vdl, nowMs: cluster.nowMs });
    const link = (kind: 'nodeUp' | 'nodeDown', node: NodeId) =>
      cluster.after(2, () => this.step({ kind, node }));
    this.watcher = { nodeUp: (node) => link('nodeUp', node), nodeDown: (node) => link('nodeDown', node) };
    cluster.watchers.add(this.watcher);
    for (const node of cluster.up) link('nodeUp', node);
    this.tick();
  }

  get over(): boolean {
    return this.stopped || this.fencedBy !== null;
  }

  /** The process dies. */
  stop(): void {
    this.stopped = true;
    this.cluster.watchers.delete(this.watcher);
  }

  commit(changes: readonly PageChange[]): Lsn {
    const end = this.volume.commit(encodeMtr(changes, commitAt(this.cluster.nowMs), redoLimits.pgBytesMin));
    this.cluster.cpls.add(end);
    this.run(this.volume.flush(this.cluster.nowMs));
    return end;
  }

  /** Commits a small transaction on one to three pages of three protection groups. */
  commitRandom(): Lsn {
    const { dice } = this.cluster;
    const changes = Array.from({ length: 1 + dice.below(3) }, (): PageChange => {
      const bytes = Buffer.alloc(1 + dice.below(40), dice.below(256));
      return {
        kind: 'pageDelta',
        page: pageNo(1 + dice.below(768)),
        runs: [{ offset: dice.below(4000), bytes }],
      };
    });
    return this.commit(changes);
  }

  private tick(): void {
    this.cluster.after(tickMs, () => {
      if (this.over) return;
      this.step({ kind: 'tick' });
      this.tick();
    });
  }

  private step(event: QuorumEvent): void {
    if (this.over) return;
    this.run(this.volume.step(event, this.cluster.nowMs));
    this.run(this.volume.flush(this.cluster.nowMs));
  }

  private run(effects: readonly QuorumEffect[]): void {
    for (const effect of effects) this.carryOut(effect);
  }

  private carryOut(effect: QuorumEffect): void {
    const { cluster } = this;
    switch (effect.kind) {
      case 'append': {
        this.remember(effect.request.frames);
        const { node } = effect;
        cluster.rpc(
          node,
          effect.request,
          (reply) => {
            if (reply?.kind === 'acked')
              this.step({ kind: 'acked', node, head: reply.head, scls: reply.scls });
            else this.failed(node, reply);
          },
          this.cut,
        );
        return;
      }
      case 'notice':
        cluster.notice(effect.node, effect.request);
        return;
      case 'fork': {
        const { node, forks } = effect;
        cluster.rpc(
          node,
          { kind: 'fork', authority: this.epoch, forks },
          (reply) => {
            if (reply?.kind === 'forked') this.step({ kind: 'forked', node });
            else this.failed(node, reply);
          },
          this.cut,
        );
        return;
      }
      case 'durable':
        this.durable(effect.vdl);
        return;
      case 'fenced':
        this.fencedBy = effect.by;
        return;
      case 'quorumLost':
        this.quorumLost = true;
        return;
    }
  }

  private failed(node: NodeId, reply: StorageReply | null): void {
    if (reply?.kind === 'refused')
      this.step({ kind: 'refused', node, code: reply.code, sealed: reply.sealed });
    else this.step({ kind: 'unanswered', node });
  }

  private remember(bytes: Uint8Array): void {
    const split = splitFrames(bytes);
    if (split.kind === 'bad') this.cluster.fail(split.reason);
    for (const { header, bytes: frame } of split.frames)
      this.cluster.frames.set(`${header.epoch}/${header.base}`, frame);
  }

  private durable(vdl: Lsn): void {
    const { cluster } = this;
    cluster.check(vdl > this.announcedTo, `VDL went from ${this.announcedTo} to ${vdl}`);
    cluster.check(cluster.cpls.has(vdl), `VDL ${vdl} is not the end of a transaction`);
    this.announcedTo = vdl;
    cluster.announce(this.epoch, this.checkedTo, vdl);
    // Frames are checked whole: the next check starts at the frame that holds the VDL.
    for (;;) {
      const frame = cluster.frames.get(`${this.epoch}/${this.checkedTo}`);
      if (frame === undefined || this.checkedTo + frame.length - 36 > vdl) return;
      this.checkedTo = lsn(this.checkedTo + frame.length - 36);
    }
  }
}
