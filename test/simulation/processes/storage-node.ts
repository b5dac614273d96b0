/**
 * One storage node: the production shells (state file, hot log, pages, the machine that drives the core) on the disk twin and on
 * simulated time. Here are only its links, its repair over them, and what its operator does with a node that cannot start.
 */

import type { Caller } from '../../../storage/node/core/node-events.ts';
import { StartError } from '../../../storage/node/node-data.ts';
import { type NodeParts, openParts } from '../../../storage/node/node-parts.ts';
import type { Repair, Repaired } from '../../../storage/node/repair.ts';
import {
  type Epoch,
  type Lsn,
  mainBranch,
  type NodeId,
  regionId,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import { decodeRequest, encodeReply } from '../../../storage/wire/core/message-codec.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { createLogger } from '../../../telemetry/index.ts';
import {
  type LinkMessage,
  nodeIds,
  pgBytes,
  type SimContext,
  type SimProcess,
  type SimRuntime,
} from '../deployment/sim-types.ts';
import { type Address, regionOf } from '../deployment/topology.ts';
import type { DiskCompletion } from '../twins/disk.ts';
import { ImagesTwin } from '../twins/images.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';
import { NodeDisk } from '../twins/node-disk.ts';
import { RuntimeTwin } from '../twins/runtime.ts';
import { RegionLinks } from './region-links.ts';

const reportMs = 100;
const startRetryMs = 500;
const linksMs = 100;

const logger = createLogger({ service: 'simulation', region: 'sim', component: 'node', level: 'silent' });

/** Directory of a simulated node's files. */
export const dataDir = 'data';

export class SimStorageNode implements SimProcess {
  private readonly runtime: SimRuntime;
  private readonly context: SimContext;
  private readonly id: NodeId;
  private readonly time: RuntimeTwin;
  private readonly disk: NodeDisk;
  private readonly repair: LinkRepair;
  private parts: NodeParts | undefined;
  private readonly connections = new Map<ConnectionId, Address>();
  private readonly callers = new Map<ConnectionId, Set<Caller>>();

  constructor(runtime: SimRuntime, context: SimContext, id: NodeId) {
    this.runtime = runtime;
    this.context = context;
    this.id = id;
    this.time = new RuntimeTwin(runtime);
    this.disk = new NodeDisk(runtime.disk, {
      acksBeforeSync: context.defects.has('ack-before-sync'),
      forgetsRenames: context.defects.has('state-forgotten'),
    });
    this.repair = new LinkRepair(runtime, id, context.bounds.fetchBytesMax);
  }

  onStart(): void {
    void this.open();
  }

  onLink(event: LinkEvent): void {
    if (this.repair.links?.onLink(event) === true) return;
    if (event.kind === 'open') {
      if (event.dialled) return;
      this.connections.set(event.connection, event.peer);
      if (this.parts !== undefined) this.runtime.send(event.peer, { kind: 'ready' }, event.connection);
      return;
    }
    this.connections.delete(event.connection);
    for (const caller of this.callers.get(event.connection) ?? []) this.parts?.runtime.callerGone(caller);
    this.callers.delete(event.connection);
  }

  onMessage(from: Address, message: LinkMessage, connection: ConnectionId): void {
    switch (message.kind) {
      case 'request':
      case 'notice': {
        if (this.parts === undefined) return;
        const decoded = decodeRequest(message.type, message.body);
        if (decoded.kind === 'malformed')
          throw new Error(`${from} asks what cannot be read: ${decoded.reason}`);
        const request = this.meddled(decoded.message);
        if (message.kind === 'notice') this.parts.runtime.request(request, null);
        else this.request(this.parts, request, { from, connection, id: message.id });
        return;
      }
      case 'reply':
      case 'ready':
        this.repair.links?.onMessage(from, message, connection);
        return;
      case 'write':
      case 'outcome':
        throw new Error('a storage node takes no statements');
    }
  }

  onTimer(name: string): void {
    if (this.time.rang(name)) return;
    if (name === 'links') this.repair.links?.settle();
  }

  onDisk(completion: DiskCompletion): void {
    this.disk.completed(completion);
  }

  private async open(): Promise<void> {
    for (;;) {
      try {
        this.serve(await this.openParts());
        return;
      } catch (error) {
        if (!(error instanceof StartError)) throw error;
        if (error.wantsWipe) this.wipe(error.message);
        else await new Promise<void>((resolve) => this.time.after(startRetryMs, resolve));
      }
    }
  }

  private openParts(): Promise<NodeParts> {
    const { context, id, runtime, time } = this;
    const { bounds } = context;
    return openParts({
      config: {
        cluster: context.cluster,
        secret: '',
        region: regionId(regionOf(runtime.address)),
        node: id,
        az: '',
        listen: '',
        dataDir,
        peers: [],
        pgBytes,
      },
      disk: this.disk,
      runtime: time,
      images: () => new ImagesTwin(context.defects.has('images-forgotten')),
      repair: this.repair,
      logger,
      pid: runtime.incarnation,
      onFatal: (message) => runtime.exit(message),
      onFlushed: () => undefined,
      bounds: { log: bounds.log, pages: bounds.pages },
    });
  }

  /** What the message of such a failed start tells the operator to do. */
  private wipe(why: string): void {
    this.runtime.note(`wiped by its operator: ${why}`);
    this.context.witness.nodeWiped(this.runtime.address);
    for (const file of this.runtime.disk.files()) this.runtime.disk.remove(file);
  }

  private serve(parts: NodeParts): void {
    this.parts = parts;
    for (const [connection, peer] of this.connections) this.runtime.send(peer, { kind: 'ready' }, connection);
    this.time.every(linksMs, () => this.repair.links?.tick());
    this.time.every(reportMs, () => {
      const { node } = parts;
      const { head } = node.durable;
      const end = node.segment.volumeEnd(head);
      this.context.witness.nodeLevel(this.runtime.address, head, end, node.state.hydrated);
    });
  }

  private request(
    parts: NodeParts,
    request: StorageRequest,
    asker: { readonly from: Address; readonly connection: ConnectionId; readonly id: number },
  ): void {
    const { from, connection, id } = asker;
    const mine: { caller: Caller | null } = { caller: null };
    mine.caller = parts.runtime.request(request, (reply: StorageReply) => {
      if (mine.caller !== null) this.callers.get(connection)?.delete(mine.caller);
      const { kind: type, body } = encodeReply(reply);
      this.runtime.send(from, { kind: 'reply', id, type, body }, connection);
    });
    if (mine.caller === null) return;
    const callers = this.callers.get(connection);
    if (callers === undefined) this.callers.set(connection, new Set([mine.caller]));
    else callers.add(mine.caller);
  }

  /** The defect lets an older writer pass for the newest. */
  private meddled(request: StorageRequest): StorageRequest {
    if (!this.context.defects.has('ignore-seal') || request.kind !== 'append' || this.parts === undefined)
      return request;
    const { sealed } = this.parts.node;
    return request.authority < sealed ? { ...request, authority: sealed } : request;
  }
}

/** One fetch from one peer, those of the same zone first by their number; durable frames only. */
class LinkRepair implements Repair {
  links: RegionLinks | undefined;
  private readonly runtime: SimRuntime;
  private readonly id: NodeId;
  private readonly bytesMax: number;
  private peerAt: number;

  constructor(runtime: SimRuntime, id: NodeId, bytesMax: number) {
    this.runtime = runtime;
    this.id = id;
    this.bytesMax = bytesMax;
    this.peerAt = nodeIds.indexOf(id);
  }

  fetch(head: Epoch, from: Lsn): Promise<Repaired | null> {
    this.links ??= new RegionLinks(this.runtime, regionOf(this.runtime.address), this.id);
    const { links } = this;
    for (let tried = 0; tried < nodeIds.length; tried += 1) {
      const peer = nodeIds[(this.peerAt ^ 1) % nodeIds.length];
      if (peer === undefined || peer === this.id || !links.isUp(peer)) {
        this.peerAt += 1;
        continue;
      }
      const request = {
        kind: 'fetch',
        branch: mainBranch,
        head,
        from,
        bytesMax: this.bytesMax,
        waitMs: 0,
        durableOnly: true,
        known: { head, vdl: zeroLsn },
      } as const;
      return new Promise((resolve) =>
        links.ask(peer, request, 5_000, (reply) => {
          if (reply.kind === 'fetched' && reply.frames.length > 0) {
            resolve(reply);
            return;
          }
          this.peerAt += 1;
          resolve(null);
        }),
      );
    }
    return Promise.resolve(null);
  }

  close(): void {}
}
