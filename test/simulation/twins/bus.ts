/**
 * Core NATS in the simulation: one server per region, a route between every two servers, clients that reconnect.
 * Servers and clients are endpoints of a network twin on the shared topology, so every fault of links is a fault here.
 *
 * Fault model:
 * - At most once. What was in flight on a broken client connection or route is lost, without a word to the publisher;
 *   what is published to a region while its route is down is lost; a subscriber misses what passes while it is away.
 * - A disconnected client keeps its publications, up to `reconnectBufferBytes`, and sends them late on reconnecting.
 * - Messages of one publisher reach one subscriber in order, with gaps. NATS never doubles a message by itself.
 * - A subscription takes effect when its server learns of it, in other regions when the interest arrives there.
 * - Who asks where nobody listens, as far as its server knows, is told so; that message may be lost as any other.
 * - A client that cannot take what its server wants to send is disconnected (slow consumer).
 * - Killing a server disconnects its clients and routes and forgets all interest until they come back.
 */
import assert from 'node:assert/strict';
import { isPattern, isSubject, matchesSubject } from '../deployment/subjects.ts';
import { type Address, regionOf, type Topology } from '../deployment/topology.ts';
import { measure } from '../world/payload.ts';
import type { World } from '../world/world.ts';
import { type ConnectionId, type LinkEvent, Network, type NetworkOptions } from './network.ts';

export type BusMessage<P> = {
  readonly subject: string;
  readonly payload: P;
  readonly reply: string | undefined;
  /** The subscription it matched; a client with two that match gets it twice. */
  readonly subscription: number;
};

/** What travels between client and server, and between servers. */
type BusFrame<P> =
  | { readonly kind: 'subscribe'; readonly subscription: number; readonly pattern: string }
  | { readonly kind: 'unsubscribe'; readonly subscription: number }
  | {
      readonly kind: 'publish';
      readonly subject: string;
      readonly payload: P;
      readonly reply: string | undefined;
    }
  | { readonly kind: 'message'; readonly message: BusMessage<P> }
  /** Nobody wants what was published with this subject for the answer. */
  | { readonly kind: 'nobody'; readonly reply: string }
  | { readonly kind: 'interest'; readonly pattern: string; readonly wanted: boolean }
  | {
      readonly kind: 'routed';
      readonly subject: string;
      readonly payload: P;
      readonly reply: string | undefined;
    };

export type BusOptions = {
  readonly network: NetworkOptions;
  /** Bytes of publications a disconnected client keeps; beyond, `publish` answers `dropped`. */
  readonly reconnectBufferBytes: number;
};

/** `sent`: on its way, may be lost. `buffered`: kept for the reconnect. `dropped`: no room left in the buffer. */
export type PublishResult = 'sent' | 'buffered' | 'dropped';

export type BusHandler<P> = {
  /** Runs something in the process now, or when it thaws. */
  readonly inProcess: (what: string, run: () => void) => void;
  readonly isFrozen: () => boolean;
  readonly onMessage: (message: BusMessage<P>) => void;
  /** Nobody listens to what was asked with this subject for the answer. */
  readonly onNobody?: (reply: string) => void;
  readonly onStatus: (status: 'connected' | 'disconnected') => void;
};

/** The address of a region's NATS server. */
export const serverAddress = (region: string): Address => `${region}/nats`;

/** One NATS connection of a process. */
export class BusClient<P> {
  private readonly network: Network<BusFrame<P>>;
  private readonly address: Address;
  private readonly server: Address;
  private readonly handler: BusHandler<P>;
  private readonly reconnectBufferBytes: number;
  private readonly subscriptions = new Map<number, string>();
  private buffer: BusFrame<P>[] = [];
  private bufferBytes = 0;
  private connection: ConnectionId | undefined;
  private nextSubscription = 1;
  private life: 'open' | 'closed' = 'open';

  constructor(network: Network<BusFrame<P>>, address: Address, handler: BusHandler<P>, bufferBytes: number) {
    this.network = network;
    this.address = address;
    this.server = serverAddress(regionOf(address));
    this.handler = handler;
    this.reconnectBufferBytes = bufferBytes;
    network.attach(address, {
      isFrozen: handler.isFrozen,
      onLink: (event) => handler.inProcess(`bus ${event.kind}`, () => this.onLink(event)),
      onMessage: (_from, frame, connection) => {
        handler.inProcess('bus message', () => this.onFrame(frame, connection));
      },
    });
    network.dial(address, this.server);
  }

  get connected(): boolean {
    return this.connection !== undefined;
  }

  publish(subject: string, payload: P, reply?: string): PublishResult {
    assert(isSubject(subject), `not a subject: ${subject}`);
    const frame: BusFrame<P> = { kind: 'publish', subject, payload, reply };
    if (this.connection !== undefined && this.send(frame) === 'sent') return 'sent';
    const { bytes } = measure(frame);
    if (this.bufferBytes + bytes > this.reconnectBufferBytes) return 'dropped';
    this.buffer.push(frame);
    this.bufferBytes += bytes;
    return 'buffered';
  }

  /** Asks for messages whose subject matches `pattern` (`*` one token, `>` the rest); survives reconnects. */
  subscribe(pattern: string): number {
    assert(isPattern(pattern), `not a subject pattern: ${pattern}`);
    const subscription = this.nextSubscription;
    this.nextSubscription += 1;
    this.subscriptions.set(subscription, pattern);
    if (this.connection !== undefined) this.send({ kind: 'subscribe', subscription, pattern });
    return subscription;
  }

  unsubscribe(subscription: number): void {
    if (!this.subscriptions.delete(subscription)) return;
    if (this.connection !== undefined) this.send({ kind: 'unsubscribe', subscription });
  }

  /** The process died or is done with the connection. */
  close(): void {
    if (this.life === 'closed') return;
    this.life = 'closed';
    this.connection = undefined;
    this.network.detach(this.address);
  }

  private send(frame: BusFrame<P>): 'sent' | 'lost' {
    if (this.connection === undefined) return 'lost';
    const result = this.network.send(this.connection, this.address, frame);
    if (result === 'sent') return 'sent';
    // The socket does not drain; the client library gives the connection up and reconnects.
    this.network.break(this.connection);
    return 'lost';
  }

  private onFrame(frame: BusFrame<P>, connection: ConnectionId): void {
    if (this.life === 'closed' || connection !== this.connection) return;
    if (frame.kind === 'nobody') this.handler.onNobody?.(frame.reply);
    if (frame.kind !== 'message') return;
    // A message may still be under way for a subscription that was given up.
    if (this.subscriptions.has(frame.message.subscription)) this.handler.onMessage(frame.message);
  }

  private onLink(event: LinkEvent): void {
    if (this.life === 'closed') return;
    if (event.kind === 'closed') {
      if (event.connection !== this.connection) return;
      this.connection = undefined;
      this.handler.onStatus('disconnected');
      return;
    }
    this.connection = event.connection;
    for (const [subscription, pattern] of this.subscriptions) {
      this.send({ kind: 'subscribe', subscription, pattern });
    }
    const waiting = this.buffer;
    this.buffer = [];
    this.bufferBytes = 0;
    for (const frame of waiting) this.send(frame);
    this.handler.onStatus('connected');
  }
}

/** One region's server. */
class BusServer<P> {
  readonly address: Address;
  private readonly network: Network<BusFrame<P>>;
  private readonly clients = new Map<ConnectionId, Map<number, string>>();
  /** Per route: the patterns wanted over there. */
  private readonly routes = new Map<ConnectionId, Set<string>>();

  constructor(network: Network<BusFrame<P>>, region: string, regions: readonly string[]) {
    this.network = network;
    this.address = serverAddress(region);
    network.attach(this.address, {
      onLink: (event) => this.onLink(event),
      onMessage: (_from, frame, connection) => this.onFrame(frame, connection),
    });
    // One route per pair: the server whose region sorts first dials.
    for (const other of regions) if (other > region) network.dial(this.address, serverAddress(other));
  }

  private onLink(event: LinkEvent): void {
    if (event.kind === 'closed') {
      this.routes.delete(event.connection);
      const gone = this.clients.get(event.connection);
      this.clients.delete(event.connection);
      for (const pattern of new Set(gone?.values() ?? [])) this.announce(pattern, false);
    } else if (event.peer.endsWith('/nats')) {
      this.routes.set(event.connection, new Set());
      for (const pattern of this.localPatterns()) {
        this.send(event.connection, { kind: 'interest', pattern, wanted: true });
      }
    } else {
      this.clients.set(event.connection, new Map());
    }
  }

  private onFrame(frame: BusFrame<P>, connection: ConnectionId): void {
    switch (frame.kind) {
      case 'subscribe': {
        const known = this.localPatterns().has(frame.pattern);
        this.clients.get(connection)?.set(frame.subscription, frame.pattern);
        if (!known) this.announce(frame.pattern, true);
        return;
      }
      case 'unsubscribe': {
        const pattern = this.clients.get(connection)?.get(frame.subscription);
        this.clients.get(connection)?.delete(frame.subscription);
        if (pattern !== undefined) this.announce(pattern, false);
        return;
      }
      case 'interest': {
        const wanted = this.routes.get(connection);
        if (frame.wanted) wanted?.add(frame.pattern);
        else wanted?.delete(frame.pattern);
        return;
      }
      case 'publish': {
        const { subject, payload, reply } = frame;
        const wanted = this.deliver(subject, payload, reply) + this.forward(subject, payload, reply);
        if (wanted === 0 && reply !== undefined) this.send(connection, { kind: 'nobody', reply });
        return;
      }
      case 'routed':
        this.deliver(frame.subject, frame.payload, frame.reply);
        return;
      case 'message':
      case 'nobody':
        throw new Error('a server received what only servers send to clients');
    }
  }

  /** @returns how many subscriptions want it. */
  private deliver(subject: string, payload: P, reply: string | undefined): number {
    let wanted = 0;
    for (const [connection, subscriptions] of [...this.clients]) {
      for (const [subscription, pattern] of subscriptions) {
        if (!matchesSubject(pattern, subject)) continue;
        wanted += 1;
        this.send(connection, { kind: 'message', message: { subject, payload, reply, subscription } });
      }
    }
    return wanted;
  }

  /** One hop only: a server never forwards what another server forwarded to it. @returns how many servers want it. */
  private forward(subject: string, payload: P, reply: string | undefined): number {
    let servers = 0;
    for (const [connection, wanted] of [...this.routes]) {
      let matched = false;
      for (const pattern of wanted) matched ||= matchesSubject(pattern, subject);
      if (!matched) continue;
      servers += 1;
      this.send(connection, { kind: 'routed', subject, payload, reply });
    }
    return servers;
  }

  private localPatterns(): Set<string> {
    const patterns = new Set<string>();
    for (const subscriptions of this.clients.values()) {
      for (const pattern of subscriptions.values()) patterns.add(pattern);
    }
    return patterns;
  }

  /** Tells the other servers that a pattern is wanted here, or no longer wanted by anyone. */
  private announce(pattern: string, wanted: boolean): void {
    if (!wanted && this.localPatterns().has(pattern)) return;
    for (const connection of [...this.routes.keys()])
      this.send(connection, { kind: 'interest', pattern, wanted });
  }

  private send(connection: ConnectionId, frame: BusFrame<P>): void {
    // Slow consumer: the server drops the connection rather than hold more for it.
    if (this.network.send(connection, this.address, frame) === 'full') this.network.break(connection);
  }
}

/** All servers and the clients' way to them. */
export class Bus<P> {
  readonly network: Network<BusFrame<P>>;
  private readonly world: World;
  private readonly options: BusOptions;
  private readonly regions: readonly string[];
  private readonly servers = new Map<string, BusServer<P>>();

  constructor(topology: Topology, regions: readonly string[], options: BusOptions) {
    this.world = topology.world;
    this.options = options;
    this.regions = regions;
    this.network = new Network(topology, 'bus', options.network);
    for (const region of regions) this.startServer(region);
  }

  /** Opens the connection `name` of the process at `address` to the server of its region. */
  connect(address: Address, name: string, handler: BusHandler<P>): BusClient<P> {
    return new BusClient(this.network, `${address}#${name}`, handler, this.options.reconnectBufferBytes);
  }

  serverIsUp(region: string): boolean {
    return this.servers.has(region);
  }

  /** Kills a region's server; does nothing when it is down already. */
  crashServer(region: string): void {
    const server = this.servers.get(region);
    if (server === undefined) return;
    this.world.note(`bus server ${region} killed`);
    this.servers.delete(region);
    this.network.detach(server.address);
  }

  startServer(region: string): void {
    if (this.servers.has(region)) return;
    this.world.note(`bus server ${region} starts`);
    this.servers.set(region, new BusServer(this.network, region, this.regions));
  }

  /** Disconnects the NATS connections of one process, or all of a server; they reconnect by themselves. */
  breakLinks(address: Address): void {
    for (const link of this.network.openLinks()) {
      if (link.from === address || link.to === address || link.from.startsWith(`${address}#`)) {
        this.network.break(link.id);
      }
    }
  }
}
