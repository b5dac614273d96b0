/**
 * Requests to storage node cores as datagrams: each, and each reply, may be lost, late or doubled. What is asked before there is a
 * link waits for one; who hears nothing in time is told so.
 */
import type { PeerTold } from '../../../storage/branches/core/branch-peers.ts';
import { concatBytes } from '../../../storage/redo/bytes.ts';
import type { NodeId } from '../../../storage/redo/ids.ts';
import { decodeReply, encodeRequest } from '../../../storage/wire/core/message-codec.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import type { Address } from '../deployment/topology.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';
import type { Cluster } from './cluster.ts';

/** What travels between cores: the bytes of requests and replies, and what stands around them on links. */
export type Envelope =
  | {
      readonly kind: 'request';
      /** Null when no answer is wanted. */
      readonly id: number | null;
      readonly code: number;
      readonly body: Uint8Array;
      /** Membership epoch in which the caller believes. */
      readonly members: number;
    }
  | { readonly kind: 'reply'; readonly id: number; readonly code: number; readonly body: Uint8Array }
  /** One node asks another what it knows of branches. */
  | { readonly kind: 'peek' }
  | { readonly kind: 'told'; readonly told: PeerTold };

export const addressOf = (node: NodeId): Address => `r/${node}`;
const rpcTimeoutMs = 60;

export class Rpc {
  private readonly cluster: Cluster;
  private readonly from: Address;
  private readonly asked = new Map<number, (reply: StorageReply | null) => void>();
  private readonly waiting = new Map<Address, { readonly sinceMs: number; readonly message: Envelope }[]>();
  private readonly dialled = new Set<Address>();
  private ids = 0;

  constructor(cluster: Cluster, from: Address) {
    this.cluster = cluster;
    this.from = from;
  }

  dial(node: NodeId): void {
    const to = addressOf(node);
    if (this.dialled.has(to)) return;
    this.dialled.add(to);
    this.cluster.network.dial(this.from, to, 'datagram');
  }

  /** @param done gets the reply, or null after a loss, once. */
  call(node: NodeId, request: StorageRequest, done: (reply: StorageReply | null) => void, members = 0): void {
    this.ids += 1;
    const id = this.ids;
    this.asked.set(id, done);
    this.cluster.after(rpcTimeoutMs, () => this.finish(id, null));
    this.send(node, { kind: 'request', id, ...this.encoded(request), members });
  }

  /** Sends without wanting an answer. */
  notice(node: NodeId, request: StorageRequest, members = 0): void {
    this.send(node, { kind: 'request', id: null, ...this.encoded(request), members });
  }

  peek(node: NodeId): void {
    this.send(node, { kind: 'peek' });
  }

  /** News of a connection that was dialled from here. */
  onLink({ kind, peer, connection }: LinkEvent): void {
    if (kind === 'closed') return;
    // Whoever waits for longer than an answer may take has been told that there is none.
    for (const { sinceMs, message } of this.waiting.get(peer) ?? [])
      if (this.cluster.nowMs - sinceMs < rpcTimeoutMs)
        this.cluster.network.send(connection, this.from, message);
    this.waiting.delete(peer);
  }

  /** Takes a reply. */
  received({ id, code, body }: Extract<Envelope, { kind: 'reply' }>): void {
    const decoded = decodeReply(code, body);
    if (decoded.kind === 'malformed') this.cluster.fail(`a reply of kind ${code}: ${decoded.reason}`);
    this.finish(id, decoded.message);
  }

  private encoded(request: StorageRequest): { readonly code: number; readonly body: Uint8Array } {
    const { kind, body } = encodeRequest(request);
    return { code: kind, body: body instanceof Uint8Array ? body : concatBytes(body) };
  }

  private finish(id: number, reply: StorageReply | null): void {
    const done = this.asked.get(id);
    this.asked.delete(id);
    done?.(reply);
  }

  private send(node: NodeId, message: Envelope): void {
    this.dial(node);
    const to = addressOf(node);
    const { network } = this.cluster;
    const connection: ConnectionId | undefined = network.connectionTo(this.from, to);
    if (connection !== undefined && network.send(connection, this.from, message) !== 'no-link') return;
    const sinceMs = this.cluster.nowMs;
    const before = this.waiting.get(to)?.filter((one) => sinceMs - one.sinceMs < rpcTimeoutMs) ?? [];
    this.waiting.set(to, [...before, { sinceMs, message }]);
  }
}
