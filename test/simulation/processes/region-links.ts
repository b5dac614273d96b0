/**
 * A process's links to the six storage nodes of a region, as the region client has them: requests by node, each
 * answered once and in time, and news of which nodes are there. Messages cross the network encoded.
 */

import type { NodeAnswer, NodeLinks, NodeWatcher } from '../../../storage/client/node-links.ts';
import type { NodeId } from '../../../storage/redo/ids.ts';
import { decodeReply, type EncodedMessage, encodeRequest } from '../../../storage/wire/core/message-codec.ts';
import type { FetchedReply, FetchRequest, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { type LinkMessage, nodeAddress, nodeIds, type SimRuntime } from '../deployment/sim-types.ts';
import type { Address } from '../deployment/topology.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';

type Done = (answer: NodeAnswer) => void;

type Link = { readonly node: NodeId; connection: ConnectionId | undefined; up: boolean };
type Pending = {
  readonly link: Link;
  readonly connection: ConnectionId;
  readonly deadlineMs: number;
  readonly done: Done;
};

const unanswered: NodeAnswer = { kind: 'unanswered' };

export class RegionLinks implements NodeLinks {
  readonly nodes: readonly NodeId[] = nodeIds;
  private readonly runtime: SimRuntime;
  private readonly links = new Map<Address, Link>();
  private readonly byNode = new Map<NodeId, Link>();
  private readonly pending = new Map<number, Pending>();
  private readonly watchers = new Set<NodeWatcher>();
  private refused: Done[] = [];
  private nextId = 1;
  private encoded: { readonly request: StorageRequest; readonly message: EncodedMessage } | undefined;

  /** Dials every node of `region` but `self`. */
  constructor(runtime: SimRuntime, region: string, self?: NodeId) {
    this.runtime = runtime;
    for (const node of nodeIds) {
      if (node === self) continue;
      const link: Link = { node, connection: undefined, up: false };
      const address = nodeAddress(region, node);
      this.links.set(address, link);
      this.byNode.set(node, link);
      runtime.dial(address);
    }
  }

  get nowMs(): number {
    return this.runtime.nowUs() / 1000;
  }

  azOf(node: NodeId): string {
    return `az${1 + Math.floor(nodeIds.indexOf(node) / 2)}`;
  }

  isUp(node: NodeId): boolean {
    return this.byNode.get(node)?.up ?? false;
  }

  /** Asks one node; `done` runs once, never inside this call. */
  ask(node: NodeId, request: StorageRequest, timeoutMs: number, done: Done): void {
    const link = this.byNode.get(node);
    if (link?.connection === undefined || !link.up) {
      this.refuse(done);
      return;
    }
    const { kind: type, body } = this.encode(request);
    const id = this.nextId;
    this.nextId += 1;
    const sent = this.runtime.send(
      this.addressOf(link),
      { kind: 'request', id, type, body },
      link.connection,
    );
    if (sent !== 'sent') this.refuse(done);
    else
      this.pending.set(id, { link, connection: link.connection, deadlineMs: this.nowMs + timeoutMs, done });
  }

  notify(node: NodeId, request: StorageRequest): void {
    const link = this.byNode.get(node);
    if (link?.connection === undefined || !link.up) return;
    const { kind: type, body } = this.encode(request);
    this.runtime.send(this.addressOf(link), { kind: 'notice', type, body }, link.connection);
  }

  /** Tells `watcher` of nodes that are up, now and later. */
  watch(watcher: NodeWatcher): () => void {
    this.watchers.add(watcher);
    for (const { node, up } of this.byNode.values()) if (up) watcher.onNodeUp(node);
    return () => void this.watchers.delete(watcher);
  }

  /** Takes news of a link this process dialled; false when it is about another. */
  onLink(event: LinkEvent): boolean {
    const link = this.links.get(event.peer);
    if (link === undefined) return false;
    if (event.kind === 'open') {
      if (!event.dialled) return false;
      this.down(link);
      link.connection = event.connection;
    } else {
      if (event.connection !== link.connection) return false;
      this.down(link);
    }
    return true;
  }

  onMessage(from: Address, message: LinkMessage, connection: ConnectionId): void {
    const link = this.links.get(from);
    if (link === undefined || link.connection !== connection) return;
    if (message.kind === 'ready' && !link.up) {
      link.up = true;
      for (const watcher of [...this.watchers]) watcher.onNodeUp(link.node);
    }
    if (message.kind !== 'reply') return;
    const pending = this.pending.get(message.id);
    if (pending === undefined) return;
    this.pending.delete(message.id);
    const decoded = decodeReply(message.type, message.body);
    if (decoded.kind === 'malformed')
      throw new Error(`${from} answered what cannot be read: ${decoded.reason}`);
    pending.done(decoded.message);
  }

  /** Runs what waited for the end of a call, and gives up what took too long. */
  tick(): void {
    this.settle();
    const { nowMs } = this;
    for (const [id, pending] of [...this.pending]) {
      if (nowMs < pending.deadlineMs || !this.pending.delete(id)) continue;
      pending.done(unanswered);
    }
  }

  /** Answers requests that could not be sent. */
  settle(): void {
    for (const done of this.refused.splice(0)) done(unanswered);
  }

  private refuse(done: Done): void {
    this.refused.push(done);
    this.runtime.setTimer('links', 0);
  }

  private down(link: Link): void {
    const { connection, up } = link;
    link.connection = undefined;
    link.up = false;
    for (const [id, pending] of [...this.pending]) {
      if (pending.link !== link || pending.connection !== connection || !this.pending.delete(id)) continue;
      pending.done(unanswered);
    }
    if (up) for (const watcher of [...this.watchers]) watcher.onNodeDown(link.node);
  }

  private addressOf(link: Link): Address {
    for (const [address, candidate] of this.links) if (candidate === link) return address;
    throw new Error(`no link to ${link.node}`);
  }

  private encode(request: StorageRequest): EncodedMessage {
    if (this.encoded?.request === request) return this.encoded.message;
    const message = encodeRequest(request);
    this.encoded = { request, message };
    return message;
  }
}

/** Reads a region's log from one node at a time, and from the next when that one is of no use. */
export class LogFetch {
  private readonly links: RegionLinks;
  private at: number;

  constructor(links: RegionLinks, start: number) {
    this.links = links;
    this.at = start;
  }

  /** `done` gets null when this try brought nothing; the next one asks another node. */
  fetch(request: FetchRequest, done: (reply: FetchedReply | null) => void): void {
    const node = this.links.nodes[this.at % this.links.nodes.length];
    if (node === undefined) throw new Error('a region has nodes');
    this.links.ask(node, request, request.waitMs + 1_500, (reply) => {
      if (reply.kind !== 'fetched') {
        this.at += 1;
        done(null);
        return;
      }
      // Nothing new, or nothing it knows of: a node that the writer cannot reach looks the same from here.
      if (reply.frames.length === 0) this.at += 1;
      done(reply);
    });
  }
}
