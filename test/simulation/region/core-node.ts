/**
 * A storage node core on a disk and a network, with the least that carries out its effects: log files of a few frames, a state file
 * that is replaced as a whole, and places at which it has durable images, of which nothing but the place is kept.
 */
import { type Floor, noFloor } from '../../../storage/history/floor.ts';
import type { FramePosition, HeldFrame } from '../../../storage/log/core/held-frames.ts';
import { StorageNode } from '../../../storage/node/core/node.ts';
import {
  type Caller,
  emptyNodeState,
  type NodeEffect,
  type NodeEvent,
  type NodeState,
} from '../../../storage/node/core/node-events.ts';
import { concatBytes } from '../../../storage/redo/bytes.ts';
import { lsn, mainBranch, type NodeId } from '../../../storage/redo/ids.ts';
import { decodeRecords } from '../../../storage/redo/record.ts';
import type { Holdings } from '../../../storage/retention/core/retention.ts';
import { decodeRequest, encodeReply } from '../../../storage/wire/core/message-codec.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { heldOf } from '../../storage/samples.ts';
import { scanLog } from '../deployment/log-scan.ts';
import type { Address } from '../deployment/topology.ts';
import { type CrashKind, Disk } from '../twins/disk.ts';
import type { ConnectionId } from '../twins/network.ts';
import type { Cluster } from './cluster.ts';
import { addressOf, type Envelope, Rpc } from './rpc.ts';

/** Frames after which a log file is followed by the next. */
const fileFrames = 8;
const stateName = 'state';
const frameHeaderBytes = 36;

type StoredFrame = { readonly held: HeldFrame; readonly bytes: Uint8Array };

export class CoreNode {
  readonly id: NodeId;
  core: StorageNode | null = null;
  /** Places at which it holds durable images, oldest first: they outlive its process. */
  images: readonly Floor[] = [];
  /** Frames that are synced, by `epoch/base`. */
  readonly onDisk = new Map<string, Uint8Array>();
  /** What the state file says. */
  state: NodeState = emptyNodeState;
  private readonly cluster: Cluster;
  private readonly address: Address;
  private readonly disk: Disk;
  /** Synced frames by file and offset. */
  private files = new Map<number, Map<number, StoredFrame>>();
  private lastFile = 1;
  private framesInLast = 0;
  /** Frames that are written and not synced, by file. */
  private readonly unsynced = new Map<number, number>();
  private isStarting = false;
  private rpc: Rpc;
  private readonly completing = new Map<string, () => void>();
  private tokens = 0;
  private answers = new Map<Caller, (reply: StorageReply) => void>();
  private nextCaller = 1;

  constructor(cluster: Cluster, id: NodeId) {
    this.cluster = cluster;
    this.id = id;
    this.address = addressOf(id);
    this.rpc = new Rpc(cluster, this.address);
    this.disk = new Disk(cluster.world, id, cluster.disk, ({ token }) => {
      const completed = this.completing.get(token);
      this.completing.delete(token);
      completed?.();
    });
  }

  /** Reads the disk, syncs what a process before it may have left unsynced, and serves then. Does nothing when it is up. */
  start(): void {
    if (this.core !== null || this.isStarting) return;
    this.isStarting = true;
    this.readState();
    const { disk } = this;
    let syncing = 0;
    const synced = (): void => {
      syncing -= 1;
      if (syncing === 0) this.serve();
    };
    const names = disk.files().filter((name) => name !== stateName);
    for (const name of names) {
      const { validBytes } = scanLog(disk.read(name), fileNumberOf(name));
      disk.truncate(name, validBytes);
      if (disk.durableBytes(name) === validBytes) continue;
      syncing += 1;
      disk.sync(name, this.token(synced));
    }
    if (syncing === 0) this.serve();
  }

  kill(kind: CrashKind): void {
    if (this.core === null && !this.isStarting) return;
    this.core = null;
    this.isStarting = false;
    this.completing.clear();
    this.unsynced.clear();
    this.answers = new Map();
    this.cluster.network.detach(this.address);
    this.rpc = new Rpc(this.cluster, this.address);
    this.disk.crash(kind);
    this.readState();
  }

  /** The machine is replaced by an empty one. */
  wipe(): void {
    this.kill('power');
    this.disk.wipe();
    this.images = [];
    this.state = emptyNodeState;
    this.files = new Map();
    this.onDisk.clear();
  }

  /** A synced frame of the log; null when it was dropped. */
  bytesAt({ file, offset }: FramePosition): Uint8Array | null {
    return this.files.get(file)?.get(offset)?.bytes ?? null;
  }

  /** Its images are those of a peer now, as of one place. */
  adopt(at: Floor): void {
    this.images = [at];
    const { head } = this.core?.durable ?? this.cluster.fail(`${this.id} is down`);
    this.step({ kind: 'adopted', caller: null, head, base: { at, fuzzyTo: at.lsn } });
  }

  step(event: NodeEvent): void {
    if (this.core === null) return;
    for (const effect of this.core.step(event, this.cluster.nowMs)) this.carryOut(effect);
  }

  private readState(): void {
    const bytes = this.disk.read(stateName);
    this.state = bytes.length === 0 ? emptyNodeState : JSON.parse(Buffer.from(bytes).toString());
  }

  private serve(): void {
    const { cluster, disk } = this;
    this.isStarting = false;
    this.files = new Map();
    this.onDisk.clear();
    const numbers = disk.files().flatMap((name) => (name === stateName ? [] : [fileNumberOf(name)]));
    for (const number of numbers)
      for (const { frame, held } of scanLog(disk.read(fileName(number)), number).frames)
        this.keep({ held, bytes: frame.bytes });
    this.lastFile = Math.max(1, ...numbers);
    this.framesInLast = this.files.get(this.lastFile)?.size ?? 0;
    const state = cluster.countsFromZero ? { ...this.state, floor: noFloor } : this.state;
    const inOrder = [...numbers].sort((a, b) => a - b);
    const frames = inOrder.flatMap((number) => [...(this.files.get(number)?.values() ?? [])]);
    this.core = new StorageNode(
      mainBranch,
      state,
      frames.map(({ held }) => held),
      this.id,
    );
    cluster.network.attach(this.address, {
      onLink: (event) => {
        if (event.kind === 'open' && event.dialled) this.rpc.onLink(event);
      },
      onMessage: (from, message, connection) => this.receive(from, message, connection),
    });
  }

  private keep(frame: StoredFrame): void {
    const { epoch, base, position } = frame.held;
    const file = this.files.get(position.file) ?? new Map<number, StoredFrame>();
    this.files.set(position.file, file.set(position.offset, frame));
    this.onDisk.set(`${epoch}/${base}`, frame.bytes);
  }

  private token(completed: () => void): string {
    this.tokens += 1;
    const token = String(this.tokens);
    this.completing.set(token, completed);
    return token;
  }

  private receive(from: Address, message: Envelope, connection: ConnectionId): void {
    const { core, cluster } = this;
    if (core === null) return;
    switch (message.kind) {
      case 'reply':
        this.rpc.received(message);
        return;
      case 'peek': {
        const { known, status: branches } = core.care;
        const told = { ...known, branches, members: core.state.members?.current?.epoch ?? 0 };
        cluster.network.send(connection, this.address, { kind: 'told', told: structuredClone(told) });
        return;
      }
      case 'told': {
        const node = from.slice(2) as NodeId;
        this.step({ kind: 'peerTold', node, told: message.told, peers: cluster.peersOf(this).length });
        return;
      }
      case 'request':
        this.take(message, (reply, id) => {
          const { kind, body } = encodeReply(reply);
          cluster.network.send(connection, this.address, { kind: 'reply', id, code: kind, body });
        });
    }
  }

  private take(
    { id, code, body, members }: Extract<Envelope, { kind: 'request' }>,
    answer: (reply: StorageReply, id: number) => void,
  ): void {
    const decoded = decodeRequest(code, body);
    if (decoded.kind === 'malformed') this.cluster.fail(`a request of kind ${code}: ${decoded.reason}`);
    let caller: Caller | null = null;
    if (id !== null) {
      caller = this.nextCaller++;
      this.answers.set(caller, (reply) => answer(reply, id));
    }
    const { message } = decoded;
    if (message.kind === 'seal' && this.cluster.leaksSeals)
      this.step({ kind: 'request', caller: null, request: { ...message, branch: mainBranch } });
    if (message.kind === 'retain')
      this.step({ kind: 'retain', caller, request: message, holdings: this.holdings(), members });
    else this.step({ kind: 'request', caller, request: message, members });
  }

  private carryOut(effect: NodeEffect): void {
    const { cluster } = this;
    switch (effect.kind) {
      case 'persistFrames':
        this.persist(effect);
        return;
      case 'persistState': {
        // The defect: the floor is the one that the file says already.
        const { state } = effect;
        const kept = cluster.forgetsFloors ? { ...state, floor: this.state.floor } : state;
        const token = this.token(() => {
          this.readState();
          this.step({ kind: 'statePersisted', ticket: effect.ticket });
        });
        this.disk.replace(stateName, Buffer.from(JSON.stringify(kept)), token);
        return;
      }
      case 'reply':
        this.answer(effect.caller, effect.reply);
        return;
      case 'replyFrames': {
        const { frames, ...rest } = effect.answer;
        const bytes = frames.map(
          ({ position }) => this.bytesAt(position) ?? cluster.fail('a frame that is not on disk'),
        );
        this.answer(effect.caller, { kind: 'fetched', ...rest, frames: concatBytes(bytes) });
        return;
      }
      case 'repair':
        this.repair(effect);
        return;
      case 'askPeers':
        for (const peer of cluster.peersOf(this)) this.rpc.peek(peer);
        return;
      case 'replyPages':
        cluster.collecting?.reads(this.id, effect.head, effect.readPoint);
        this.answer(effect.caller, { kind: 'pages', pages: effect.pages.map(() => null) });
        return;
      case 'dropLog':
        this.dropLog(effect.through);
        return;
      case 'held':
      case 'forked':
      case 'members':
      case 'unclaimed':
      case 'healed':
        return;
    }
  }

  private answer(caller: Caller, reply: StorageReply): void {
    const answer =
      this.answers.get(caller) ?? this.cluster.fail(`${this.id} answered caller ${caller} twice`);
    this.answers.delete(caller);
    answer(reply);
  }

  private persist({ frames, ticket }: Extract<NodeEffect, { kind: 'persistFrames' }>): void {
    if (this.framesInLast >= fileFrames) {
      this.lastFile += 1;
      this.framesInLast = 0;
    }
    this.framesInLast += frames.length;
    const file = this.lastFile;
    this.unsynced.set(file, (this.unsynced.get(file) ?? 0) + frames.length);
    const name = fileName(file);
    const appended = this.disk.append(name, concatBytes(frames.map(({ bytes }) => bytes)));
    if (appended.kind === 'disk-full') this.cluster.fail(`the disk of ${this.id} is full`);
    let at = appended.offset;
    const stored = frames.map(({ bytes }): StoredFrame => {
      const held = heldOf(bytes, at);
      at += bytes.length;
      return { held: { ...held, position: { ...held.position, file } }, bytes };
    });
    const token = this.token(() => {
      for (const frame of stored) this.keep(frame);
      this.unsynced.set(file, (this.unsynced.get(file) ?? 0) - stored.length);
      this.step({ kind: 'persisted', ticket, positions: stored.map(({ held }) => held.position) });
    });
    this.disk.sync(name, token);
  }

  private dropLog(through: number): void {
    const { tree, durable } = this.core ?? this.cluster.fail(`${this.id} is down`);
    const dropped = [...this.files].filter(([number]) => number <= through);
    const ends = dropped.flatMap(([, frames]) =>
      [...frames.values()].map(({ held: { epoch, base, end } }) => {
        const until = tree.visibleUntil(durable.head, epoch);
        return base < until ? Math.min(end, until) : 0;
      }),
    );
    this.cluster.collecting?.drops(this.id, lsn(Math.max(0, ...ends)));
    for (const [number, frames] of dropped) {
      for (const { held } of frames.values()) this.onDisk.delete(`${held.epoch}/${held.base}`);
      this.files.delete(number);
      this.disk.remove(fileName(number));
    }
  }

  private repair({ head, from, durable }: Extract<NodeEffect, { kind: 'repair' }>): void {
    const { cluster, rpc } = this;
    const members = this.core?.state.members?.current?.epoch ?? 0;
    const peer = cluster.dice.pick(cluster.peersOf(this));
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
      // Another life has another one.
      if (rpc !== this.rpc) return;
      if (reply?.kind === 'refused' && reply.membership !== undefined)
        this.step({ kind: 'membersHeard', membership: reply.membership });
      if (reply?.kind !== 'fetched' || reply.frames.length === 0)
        this.step({
          kind: 'repairFailed',
          ...(reply?.kind === 'refused' && reply.floor !== undefined && { floor: reply.floor }),
        });
      else this.step({ kind: 'repaired', frames: reply.frames, forks: reply.forks });
    };
    rpc.call(peer, request, answered, members);
  }

  /** What its disk holds besides frames, as its shell would say. */
  private holdings(): Holdings {
    const files = [...this.files].map(([number, frames]) => ({
      number,
      bytes: [...frames.values()].reduce((sum, { bytes }) => sum + bytes.length, 0),
      isRolled:
        (number < this.lastFile || this.framesInLast >= fileFrames) && (this.unsynced.get(number) ?? 0) === 0,
      lastCommitUs: [...frames.values()].reduce<number | null>(
        (last, { bytes }) => lastCommitIn(bytes) ?? last,
        null,
      ),
    }));
    const { images } = this;
    return {
      files: files.sort((a, b) => a.number - b.number),
      boundaries: images,
      imageBytes: images.length,
    };
  }
}

const fileName = (number: number): string => `log-${number}`;
const fileNumberOf = (name: string): number => Number(name.slice(4));

function lastCommitIn(frame: Uint8Array): number | null {
  const decoded = decodeRecords(frame.subarray(frameHeaderBytes), lsn(0));
  const commit =
    decoded.kind === 'records' ? decoded.records.findLast(({ kind }) => kind === 'commit') : null;
  return commit?.kind === 'commit' ? commit.commitTimeUs : null;
}
