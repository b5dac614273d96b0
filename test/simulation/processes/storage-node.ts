/**
 * One storage node: the production shells (state file, hot log, pages, the machine that drives the core) on the disk twin and on
 * simulated time. Here are only its links, its repair over them, and what its operator does with a node that cannot start.
 */

import { ImageStore, type ImagesOpened } from '../../../storage/images/image-store.ts';
import type { ImageStoreOptions } from '../../../storage/images/image-store-types.ts';
import type { HeldFrame } from '../../../storage/log/core/held-frames.ts';
import { StartError } from '../../../storage/node/node-data.ts';
import { type NodeParts, openParts } from '../../../storage/node/node-parts.ts';
import { PeerRepair } from '../../../storage/node/repair.ts';
import { serveLink } from '../../../storage/node/serve-link.ts';
import { concatBytes } from '../../../storage/redo/bytes.ts';
import { mainBranch, type NodeId, type PageNo, regionId, zeroLsn } from '../../../storage/redo/ids.ts';
import { decodeRequest, encodeRequest } from '../../../storage/wire/core/message-codec.ts';
import type { StorageRequest } from '../../../storage/wire/core/messages.ts';
import type { LinkHandlers } from '../../../storage/wire/link-connection.ts';
import { type RpcBody, rpcHeaderBytes } from '../../../storage/wire/link-rpc.ts';
import { createLogger } from '../../../telemetry/index.ts';
import {
  azOf,
  type LinkMessage,
  nodeAddress,
  nodeIds,
  type SimContext,
  type SimProcess,
  type SimRuntime,
} from '../deployment/sim-types.ts';
import { type Address, regionOf } from '../deployment/topology.ts';
import { LinksTwin } from '../ports/links.ts';
import { NodeDisk } from '../ports/node-disk.ts';
import { RuntimeTwin } from '../ports/runtime.ts';
import type { DiskCompletion } from '../twins/disk.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';

const reportMs = 100;
const startRetryMs = 500;

const logger = createLogger({ service: 'simulation', region: 'sim', component: 'node', level: 'silent' });

/** Directory of a simulated node's files. */
export const dataDir = 'data';

export class SimStorageNode implements SimProcess {
  private readonly runtime: SimRuntime;
  private readonly context: SimContext;
  private readonly id: NodeId;
  private readonly time: RuntimeTwin;
  private readonly disk: NodeDisk;
  private readonly peers: LinksTwin;
  private parts: NodeParts | undefined;
  private readonly connections = new Map<ConnectionId, Address>();
  private readonly served = new Map<ConnectionId, LinkHandlers>();

  constructor(runtime: SimRuntime, context: SimContext, id: NodeId) {
    this.runtime = runtime;
    this.context = context;
    this.id = id;
    this.time = new RuntimeTwin(runtime);
    this.disk = new NodeDisk(runtime.disk, {
      acksBeforeSync: context.defects.has('ack-before-sync'),
      forgetsRenames: context.defects.has('state-forgotten'),
    });
    this.disk.onRemove = (path) => {
      if (path.endsWith('.log')) context.witness.logDrops(runtime.address, path);
    };
    this.peers = new LinksTwin(runtime);
  }

  onStart(): void {
    void this.open();
  }

  onLink(event: LinkEvent): void {
    if (this.peers.onLink(event)) return;
    if (event.kind === 'open') {
      if (event.dialled) return;
      this.connections.set(event.connection, event.peer);
      if (this.parts !== undefined) this.serveLink(this.parts, event.peer, event.connection);
      return;
    }
    this.connections.delete(event.connection);
    this.served.get(event.connection)?.onClose({ kind: 'closed-by-peer', message: 'the connection ended' });
    this.served.delete(event.connection);
  }

  onMessage(from: Address, message: LinkMessage, connection: ConnectionId): void {
    switch (message.kind) {
      case 'bytes': {
        const served = this.served.get(connection);
        if (served === undefined) this.peers.onMessage(from, message, connection);
        else served.onMessage(this.meddled(message.bytes));
        return;
      }
      case 'ready':
        this.peers.onMessage(from, message, connection);
        return;
      case 'write':
      case 'outcome':
        throw new Error('a storage node takes no statements');
    }
  }

  onTimer(name: string): void {
    this.time.rang(name);
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
    const scrub = context.defects.has('never-scrubs') ? { firstMs: 3_600_000 } : bounds.scrub;
    const region = regionOf(runtime.address);
    const config = {
      cluster: context.cluster,
      secret: '',
      region: regionId(region),
      node: id,
      az: azOf(id),
      listen: '',
      dataDir,
      peers: nodeIds.map((node) => ({ node, az: azOf(node), address: nodeAddress(region, node) })),
    };
    return openParts({
      config,
      disk: this.disk,
      runtime: time,
      ...(context.defects.has('images-forgotten') && { openImages: openForgetfulImages }),
      repair: new PeerRepair(config, { dial: this.peers.dial, runtime: time }, bounds.fetchBytesMax),
      logger,
      pid: runtime.incarnation,
      onFatal: (message) => runtime.exit(message),
      onFlushed: () => undefined,
      bounds: { log: bounds.log, pages: bounds.pages, images: bounds.images, sealer: bounds.sealer, scrub },
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
    if (this.context.defects.has('counts-without-floor')) countFromPeersFloor(parts.node);
    if (this.context.defects.has('joins-over-gaps')) joinOverGaps(parts.node);
    for (const [connection, peer] of this.connections) this.serveLink(parts, peer, connection);
    let kept = { sealed: 0, dropped: 0, found: 0, healed: 0, refilled: 0 };
    this.time.every(reportMs, () => {
      const { node, rot, sealer } = parts;
      const { droppedFiles, refills } = parts.runtime.counters;
      const now = {
        sealed: sealer.counters.sealed,
        dropped: droppedFiles,
        refilled: refills,
        ...rot.counters,
      };
      this.context.witness.logKept({
        sealed: now.sealed - kept.sealed,
        dropped: now.dropped - kept.dropped,
        found: now.found - kept.found,
        healed: now.healed - kept.healed,
        refilled: now.refilled - kept.refilled,
      });
      kept = now;
      const { head } = node.durable;
      const end = node.segment.volumeEnd(head);
      this.context.witness.nodeLevel(this.runtime.address, head, end, node.state.hydrated);
    });
  }

  private serveLink(parts: NodeParts, peer: Address, connection: ConnectionId): void {
    const { runtime } = this;
    const link = {
      send: (bytes: Uint8Array) => runtime.send(peer, { kind: 'bytes', bytes }, connection) === 'sent',
      close: () => runtime.exit('a link was closed for what it sent'),
    };
    this.served.set(connection, serveLink(parts.runtime, link, logger));
    runtime.send(peer, { kind: 'ready' }, connection);
  }

  /** The defects: an older writer passes for the newest; a seal is one of `main`, whatever branch it names. */
  private meddled(message: Uint8Array): Uint8Array {
    const { defects } = this.context;
    const meddles = defects.has('ignore-seal') || defects.has('seals-main');
    if (!meddles || this.parts === undefined) return message;
    const head = message.subarray(0, rpcHeaderBytes);
    const decoded = decodeRequest(head[0] ?? 0, message.subarray(rpcHeaderBytes));
    if (decoded.kind !== 'message') return message;
    const { message: asked } = decoded;
    const { sealed } = this.parts.node;
    const instead = (request: StorageRequest): Uint8Array =>
      concatBytes([head, ...bodyOf(encodeRequest(request).body)]);
    if (defects.has('ignore-seal') && asked.kind === 'append' && asked.authority < sealed)
      return instead({ ...asked, authority: sealed });
    if (defects.has('seals-main') && asked.kind === 'seal') return instead({ ...asked, branch: mainBranch });
    return message;
  }
}

/** The defect: what its peers hold as images only passes for what this node has. */
function countFromPeersFloor(node: NodeParts['node']): void {
  const step = node.step.bind(node);
  node.step = (event, nowMs) => {
    if (event.kind !== 'repairFailed' || event.floor === undefined) return step(event, nowMs);
    node.segment.raiseFloor(event.floor);
    return step({ kind: 'repairFailed' }, nowMs);
  };
}

/** The defect: frames of a log file become one stretch although one between them is missing, which passes for held from then on. */
function joinOverGaps({ segment, tree }: NodeParts['node']): void {
  const join = segment.join.bind(segment);
  segment.join = (head, limit) => {
    join(head, limit);
    for (const { epoch } of tree.path(head)) {
      const frames = segment.framesAbove(epoch, zeroLsn);
      const at = frames.findIndex((next, index) => isBehindGap(frames[index - 1], next));
      const [one, next] = [frames[at - 1], frames[at]];
      if (one === undefined || next === undefined) continue;
      segment.takeOut(one);
      segment.takeOut(next);
      const { file, offset } = one.position;
      const length = next.position.offset + next.position.length - offset;
      segment.insert({
        ...one,
        end: next.end,
        lastCpl: next.lastCpl ?? one.lastCpl,
        position: { file, offset, length },
      });
    }
  };
}

const isBehindGap = (one: HeldFrame | undefined, next: HeldFrame): boolean =>
  one !== undefined &&
  one.end < next.base &&
  one.pg === next.pg &&
  one.position.file === next.position.file &&
  one.position.offset < next.position.offset;

/** The defect keeps the first image of each page for ever, as a store that loses writes would. */
async function openForgetfulImages(options: ImageStoreOptions): Promise<ImagesOpened> {
  const opened = await ImageStore.open(options);
  if (opened.kind === 'failed') return opened;
  const { store } = opened;
  const append = store.append.bind(store);
  store.append = async (images) => {
    const known = await store.read([...images.pages.keys()]);
    const pages = [...images.pages].map(([page, bytes], at): readonly [PageNo, Uint8Array] => {
      const first = known[at];
      return [page, first?.kind === 'ok' ? first.bytes : bytes];
    });
    return append({ ...images, pages: new Map(pages) });
  };
  return opened;
}

const bodyOf = (body: RpcBody): readonly Uint8Array[] => (body instanceof Uint8Array ? [body] : body);
