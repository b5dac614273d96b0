/**
 * One storage node: the production core on the simulated disk. Frames are appended to one log and acknowledged after the
 * sync that covers them; promises lie in a state file that is replaced whole. A restart reads both back.
 *
 * As in the shell, S4: while a fork is on its way to the state file, frames are held back.
 */
import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { forkSchema } from '../../../storage/history/epoch-tree.ts';
import type { FramePosition, HeldFrame } from '../../../storage/log/core/segment.ts';
import { StorageNode } from '../../../storage/node/core/node.ts';
import {
  type Caller,
  emptyNodeState,
  type NodeEffect,
  type NodeEvent,
  type NodeState,
} from '../../../storage/node/core/node-events.ts';
import { PageIndex } from '../../../storage/pages/core/page-index.ts';
import { concatBytes } from '../../../storage/redo/bytes.ts';
import { framePayload, parseFrame, type ReceivedFrame } from '../../../storage/redo/frame.ts';
import {
  epoch,
  lsn,
  mainBranch,
  type NodeId,
  type PageNo,
  unreachable,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';
import { RecordCursor } from '../../../storage/redo/record-cursor.ts';
import { decodeRequest, encodeReply } from '../../../storage/wire/core/message-codec.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import {
  type LinkMessage,
  nodeIds,
  type SimContext,
  type SimProcess,
  type SimRuntime,
} from '../deployment/sim-types.ts';
import { type Address, regionOf } from '../deployment/topology.ts';
import type { DiskCompletion } from '../twins/disk.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';
import { scanLog } from './node-log.ts';
import { RegionLinks } from './region-links.ts';

const logFile = 'log';
const stateFile = 'state';
const tickUs = 100_000;
const stateRetryUs = 500_000;
const repairMs = 5_000;

type Asker = { readonly from: Address; readonly connection: ConnectionId; readonly id: number };
type Written = {
  readonly ticket: number;
  readonly positions: readonly FramePosition[];
  readonly end: number;
};
type Save = { readonly ticket: number; readonly forked: boolean };

export class SimStorageNode implements SimProcess {
  private readonly runtime: SimRuntime;
  private readonly context: SimContext;
  private readonly id: NodeId;
  private readonly region: string;
  private node: StorageNode | undefined;
  private index: PageIndex | undefined;
  private readonly connections = new Map<ConnectionId, Address>();
  private readonly askers = new Map<Caller, Asker>();
  private nextCaller: Caller = 1;
  private written: Written[] = [];
  private syncing = false;
  private forksUnsaved = 0;
  private heldBack: Extract<NodeEffect, { kind: 'persistFrames' }>[] = [];
  private saves: Save[] = [];
  private saving: readonly Save[] | undefined;
  private peers: RegionLinks | undefined;
  private peerAt: number;

  constructor(runtime: SimRuntime, context: SimContext, id: NodeId) {
    this.runtime = runtime;
    this.context = context;
    this.id = id;
    this.region = regionOf(runtime.address);
    this.peerAt = nodeIds.indexOf(id);
  }

  onStart(): void {
    // What a predecessor left unsynced could still be taken by a loss of power: it is made safe before it is believed.
    if (this.runtime.disk.files().includes(logFile)) this.runtime.disk.sync(logFile, 'boot');
    else this.load();
  }

  onLink(event: LinkEvent): void {
    if (this.peers?.onLink(event) === true) return;
    if (event.kind === 'open') {
      if (event.dialled) return;
      this.connections.set(event.connection, event.peer);
      if (this.node !== undefined) this.runtime.send(event.peer, { kind: 'ready' }, event.connection);
      return;
    }
    this.connections.delete(event.connection);
    for (const [caller, asker] of [...this.askers]) {
      if (asker.connection !== event.connection) continue;
      this.askers.delete(caller);
      this.step({ kind: 'callerGone', caller });
    }
  }

  onMessage(from: Address, message: LinkMessage, connection: ConnectionId): void {
    switch (message.kind) {
      case 'request':
      case 'notice': {
        if (this.node === undefined) return;
        const decoded = decodeRequest(message.type, message.body);
        if (decoded.kind === 'malformed')
          throw new Error(`${from} asks what cannot be read: ${decoded.reason}`);
        const request = this.meddled(decoded.message);
        if (message.kind === 'notice') {
          this.step({ kind: 'request', caller: null, request });
          return;
        }
        const caller = this.nextCaller;
        this.nextCaller += 1;
        this.askers.set(caller, { from, connection, id: message.id });
        this.step({ kind: 'request', caller, request });
        return;
      }
      case 'reply':
      case 'ready':
        this.peers?.onMessage(from, message, connection);
        return;
      case 'write':
      case 'outcome':
        throw new Error('a storage node takes no statements');
    }
  }

  onTimer(name: string): void {
    if (name === 'tick') this.tick();
    else if (name === 'state') this.save();
    else if (name === 'create') this.create();
    else if (name === 'links') this.peers?.settle();
  }

  onDisk(completion: DiskCompletion): void {
    if (completion.token === 'boot') this.load();
    else if (completion.token === 'create') this.serve(emptyNodeState);
    else if (completion.kind === 'replaced') this.saved();
    else this.synced(completion.throughBytes);
  }

  /** Reads the disk. A state that cannot be believed means that the node has to be wiped. */
  private load(): void {
    const { disk } = this.runtime;
    const bytes = disk.read(stateFile);
    const state = bytes.length === 0 ? 'absent' : decodeState(bytes);
    if (state === 'damaged' || (state === 'absent' && disk.read(logFile).length > 0)) {
      this.runtime.note('wiped by its operator: the state file cannot be believed');
      this.context.witness.nodeWiped(this.runtime.address);
      disk.remove(logFile);
      disk.remove(stateFile);
    }
    if (typeof state === 'string') this.create();
    else this.serve(state);
  }

  private create(): void {
    const accepted = this.runtime.disk.replace(stateFile, encodeState(emptyNodeState), 'create');
    if (accepted.kind === 'disk-full') this.runtime.setTimer('create', stateRetryUs);
  }

  private serve(state: NodeState): void {
    const { disk } = this.runtime;
    const log = scanLog(disk.read(logFile));
    if (log.validBytes < disk.read(logFile).length) disk.truncate(logFile, log.validBytes);
    const node = new StorageNode(mainBranch, state);
    const index = new PageIndex(node.tree);
    for (const { frame, held } of log.frames) {
      assert(
        node.tree.has(held.epoch),
        `S4: the log of ${this.runtime.address} holds epoch ${held.epoch}, its state does not`,
      );
      if (node.segment.insert(held)) index.add(held, frame.bytes);
    }
    this.node = node;
    this.index = index;
    for (const [connection, peer] of this.connections) this.runtime.send(peer, { kind: 'ready' }, connection);
    this.runtime.setTimer('tick', tickUs);
  }

  private tick(): void {
    this.runtime.setTimer('tick', tickUs);
    this.peers?.tick();
    this.step({ kind: 'tick' });
    const { node } = this;
    if (node === undefined) return;
    const { head } = node.durable;
    this.context.witness.nodeLevel(
      this.runtime.address,
      head,
      node.segment.volumeEnd(head),
      node.state.hydrated,
    );
  }

  private step(event: NodeEvent): void {
    if (this.node === undefined) return;
    const effects = this.node.step(event, this.runtime.nowUs() / 1000);
    const forked = effects.some((effect) => effect.kind === 'forked');
    for (const effect of effects) this.carryOut(effect, forked);
  }

  private carryOut(effect: NodeEffect, forked: boolean): void {
    switch (effect.kind) {
      case 'persistFrames':
        if (this.forksUnsaved > 0) this.heldBack.push(effect);
        else this.append(effect.ticket, effect.frames);
        return;
      case 'persistState':
        if (forked) this.forksUnsaved += 1;
        this.saves.push({ ticket: effect.ticket, forked });
        if (this.saving === undefined) this.save();
        return;
      case 'reply':
        this.answer(effect.caller, effect.reply);
        return;
      case 'replyFrames': {
        const { head, vdl, next, forks, frames } = effect.answer;
        const bytes = concatBytes(frames.map((frame) => this.frameBytes(frame).bytes));
        this.answer(effect.caller, { kind: 'fetched', head, vdl, next, forks, frames: bytes });
        return;
      }
      case 'replyPages': {
        const pages = effect.pages.map((page) => this.buildPage(effect, page));
        this.answer(effect.caller, { kind: 'pages', pages });
        return;
      }
      case 'held':
        for (const [at, frame] of effect.frames.entries()) {
          const bytes = effect.bytes[at];
          if (bytes !== undefined) this.index?.add(frame, bytes);
        }
        return;
      case 'forked':
        return;
      case 'repair':
        this.repair(effect);
        return;
      default:
        unreachable(effect);
    }
  }

  private answer(caller: Caller, reply: StorageReply): void {
    const asker = this.askers.get(caller);
    if (asker === undefined) return;
    this.askers.delete(caller);
    const { kind: type, body } = encodeReply(reply);
    this.runtime.send(asker.from, { kind: 'reply', id: asker.id, type, body }, asker.connection);
  }

  private append(ticket: number, frames: readonly ReceivedFrame[]): void {
    const positions: FramePosition[] = [];
    let end = 0;
    for (const { bytes } of frames) {
      const appended = this.runtime.disk.append(logFile, bytes);
      if (appended.kind === 'disk-full') {
        this.step({ kind: 'persistFailed', ticket, code: 'DISK_FULL', reason: 'the disk is full' });
        return;
      }
      positions.push({ file: 1, offset: appended.offset, length: bytes.length });
      end = appended.offset + bytes.length;
    }
    this.written.push({ ticket, positions, end });
    this.sync();
    if (this.context.defects.has('ack-before-sync')) this.synced(end);
  }

  /** One sync at a time; what is appended meanwhile shares the next. */
  private sync(): void {
    if (this.syncing || this.written.length === 0) return;
    this.syncing = true;
    this.runtime.disk.sync(logFile, 'log');
  }

  private synced(throughBytes: number): void {
    if (!this.context.defects.has('ack-before-sync') || this.written.length === 0) this.syncing = false;
    const done = this.written.filter((written) => written.end <= throughBytes);
    this.written = this.written.filter((written) => written.end > throughBytes);
    for (const { ticket, positions } of done) this.step({ kind: 'persisted', ticket, positions });
    this.sync();
  }

  /** Saves that came while one was under way are answered together by the next, which holds the newest state. */
  private save(): void {
    const { node } = this;
    if (node === undefined || this.saves.length === 0) return;
    const accepted = this.runtime.disk.replace(stateFile, encodeState(node.state), 'state');
    if (accepted.kind === 'disk-full') {
      this.runtime.setTimer('state', stateRetryUs);
      return;
    }
    this.saving = this.saves;
    this.saves = [];
  }

  private saved(): void {
    const done = this.saving ?? [];
    this.saving = undefined;
    this.save();
    for (const { ticket, forked } of done) {
      if (forked) this.forkSaved();
      this.step({ kind: 'statePersisted', ticket });
    }
  }

  private forkSaved(): void {
    this.forksUnsaved -= 1;
    assert(this.forksUnsaved >= 0, 'S4: every fork is saved once');
    if (this.forksUnsaved > 0) return;
    for (const { ticket, frames } of this.heldBack.splice(0)) this.append(ticket, frames);
  }

  private frameBytes(frame: HeldFrame): ReceivedFrame {
    const { offset, length } = frame.position;
    const bytes = this.runtime.disk.readAt(logFile, offset, length);
    const parsed = parseFrame(bytes);
    assert(parsed.kind === 'frame', `${this.runtime.address} holds a frame at ${offset} that does not check`);
    return { header: parsed.header, bytes };
  }

  private buildPage(at: Extract<NodeEffect, { kind: 'replyPages' }>, page: PageNo): Uint8Array | null {
    const plan = this.index?.plan(page, at.head, at.readPoint) ?? null;
    if (plan === null) return null;
    const image = new Uint8Array(redoLimits.pageBytes);
    for (const { frame, offset } of plan.records) {
      const cursor = new RecordCursor(framePayload(this.frameBytes(frame).bytes), offset);
      assert(cursor.next() && cursor.page === page, 'the index leads to a change of the page');
      assert(cursor.applyTo(image), 'a change fits its page');
    }
    return image;
  }

  /** One fetch from one peer, those of the same zone first by their number; durable frames only. */
  private repair({ head, from }: Extract<NodeEffect, { kind: 'repair' }>): void {
    this.peers ??= new RegionLinks(this.runtime, this.region, this.id);
    const { peers } = this;
    for (let tried = 0; tried < nodeIds.length; tried += 1) {
      const peer = nodeIds[(this.peerAt ^ 1) % nodeIds.length];
      if (peer !== undefined && peer !== this.id && peers.isUp(peer)) {
        const request = {
          kind: 'fetch',
          branch: mainBranch,
          head,
          from,
          bytesMax: this.context.bounds.fetchBytesMax,
          waitMs: 0,
          durableOnly: true,
          known: { head, vdl: zeroLsn },
        } as const;
        peers.ask(peer, request, repairMs, (reply) => {
          if (reply.kind === 'fetched' && reply.frames.length > 0) {
            this.step({ kind: 'repaired', frames: reply.frames, forks: reply.forks });
            return;
          }
          this.peerAt += 1;
          this.step({ kind: 'repairFailed' });
        });
        return;
      }
      this.peerAt += 1;
    }
    this.step({ kind: 'repairFailed' });
  }

  /** The defect lets an older writer pass for the newest. */
  private meddled(request: StorageRequest): StorageRequest {
    if (!this.context.defects.has('ignore-seal') || request.kind !== 'append' || this.node === undefined)
      return request;
    return request.authority < this.node.sealed ? { ...request, authority: this.node.sealed } : request;
  }
}

const stateSchema = z.object({
  sealed: z.int().transform(epoch),
  forks: z.array(forkSchema),
  hydrated: z.boolean(),
  durable: z.object({ head: z.int().transform(epoch), vdl: z.int().transform(lsn) }),
});

function encodeState(state: NodeState): Uint8Array {
  const body = JSON.stringify(state);
  return Buffer.from(`${crc32(body)} ${body}`);
}

/** What a node remembers beside its frames, or `damaged`. */
export function decodeState(bytes: Uint8Array): NodeState | 'damaged' {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  const gap = text.indexOf(' ');
  const body = text.slice(gap + 1);
  if (text.slice(0, gap) !== String(crc32(body))) return 'damaged';
  return stateSchema.parse(JSON.parse(body));
}
