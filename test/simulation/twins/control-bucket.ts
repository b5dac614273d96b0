/**
 * The JetStream bucket with the control record: values changed by compare-and-set on the last sequence, replicated to
 * a server per replica region, one of which leads.
 *
 * Fault model:
 * - Linearizable writes: there is one committed state, and only a leader that reaches a majority at the moment of
 *   the commit changes it. Sequences start at 1 and grow by 1.
 * - Writing the same value again at the same expected sequence is answered as the first time, so a caller can settle a doubt.
 * - A request or its answer may be lost; the caller cannot tell whether the write happened. A write that was under way when
 *   the leader died or was cut off happens or not, by chance, up to 40 s later, and is never answered.
 * - `get` is answered by the region's own replica, which may be behind; so may a watch. Nothing may be decided from either.
 * - Without a leader that reaches a majority nothing is written; an election takes `electionUs` from the moment the loss is found.
 */
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { type Address, regionOf, type Topology } from '../deployment/topology.ts';
import type { Prng, Range } from '../world/prng.ts';
import type { World } from '../world/world.ts';
import { type ConnectionId, type LinkEvent, Network, type NetworkOptions } from './network.ts';

export type ControlEntry<V> = { readonly key: string; readonly value: V; readonly sequence: number };

export type ControlEvent<V> =
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected' }
  /** The write took place with this sequence. */
  | { readonly kind: 'updated'; readonly token: string; readonly sequence: number }
  /** Refused: the key's last sequence is another one. */
  | { readonly kind: 'wrong-sequence'; readonly token: string; readonly sequence: number }
  /** Refused before anything was written: there is no leader that can write. */
  | { readonly kind: 'unavailable'; readonly token: string }
  /** Answer to `get`, possibly stale; undefined when this replica knows no such key. */
  | { readonly kind: 'entry'; readonly token: string; readonly entry: ControlEntry<V> | undefined }
  /** A watched bucket changed; may skip values, never goes back on one connection. */
  | { readonly kind: 'changed'; readonly entry: ControlEntry<V> };

type Update<V> = { readonly key: string; readonly value: V; readonly expected: number };

/** Names a request on its way through servers: the client's connection at its own server, and its token. */
type Origin = { readonly region: string; readonly connection: ConnectionId; readonly token: string };

type Frame<V> =
  | { readonly kind: 'update'; readonly token: string; readonly update: Update<V> }
  | { readonly kind: 'get'; readonly token: string; readonly key: string }
  | { readonly kind: 'event'; readonly event: ControlEvent<V> }
  | { readonly kind: 'forwarded'; readonly origin: Origin; readonly update: Update<V> }
  | { readonly kind: 'answered'; readonly origin: Origin; readonly event: ControlEvent<V> }
  | { readonly kind: 'replicated'; readonly entry: ControlEntry<V> };

export type ControlOptions = {
  readonly network: NetworkOptions;
  readonly electionUs: Range;
  /** How often the loss of a leader is looked for. */
  readonly reviewUs: number;
};

export type ControlHandler<V> = {
  readonly isFrozen: () => boolean;
  /** Runs something in the process now, or when it thaws. */
  readonly inProcess: (what: string, run: () => void) => void;
  readonly onEvent: (event: ControlEvent<V>) => void;
};

/** How much later a write that nobody answered may still be stored. */
const lateUs: Range = { min: 1_000_000, max: 40_000_000 };

const replicaAddress = (region: string): Address => `${region}/nats#control`;

/** A process's connection to the bucket. Requests made while disconnected are lost; the caller has its own time limit. */
export class ControlClient<V> {
  private readonly network: Network<Frame<V>>;
  private readonly address: Address;
  private readonly handler: ControlHandler<V>;
  private connection: ConnectionId | undefined;
  private life: 'open' | 'closed' = 'open';

  constructor(network: Network<Frame<V>>, address: Address, handler: ControlHandler<V>) {
    this.network = network;
    this.address = address;
    this.handler = handler;
    network.attach(address, {
      isFrozen: handler.isFrozen,
      onLink: (event) => handler.inProcess(`control ${event.kind}`, () => this.onLink(event)),
      onMessage: (_from, frame, connection) => {
        handler.inProcess('control message', () => {
          if (this.life === 'closed' || connection !== this.connection || frame.kind !== 'event') return;
          handler.onEvent(frame.event);
        });
      },
    });
    network.dial(address, replicaAddress(regionOf(address)));
  }

  get connected(): boolean {
    return this.connection !== undefined;
  }

  /** Writes `value` if the key's last sequence is `expected` (0: the key must not exist). Answered by `token`, or never. */
  update(key: string, value: V, expected: number, token: string): void {
    this.send({ kind: 'update', token, update: { key, value, expected } });
  }

  /** Reads a possibly stale entry. Answered by `token`, or never. */
  get(key: string, token: string): void {
    this.send({ kind: 'get', token, key });
  }

  /** The process died or is done with the connection. */
  close(): void {
    if (this.life === 'closed') return;
    this.life = 'closed';
    this.connection = undefined;
    this.network.detach(this.address);
  }

  private send(frame: Frame<V>): void {
    if (this.connection !== undefined) this.network.send(this.connection, this.address, frame);
  }

  private onLink(event: LinkEvent): void {
    if (this.life === 'closed') return;
    if (event.kind === 'open') {
      this.connection = event.connection;
      this.handler.onEvent({ kind: 'connected' });
    } else if (event.connection === this.connection) {
      this.connection = undefined;
      this.handler.onEvent({ kind: 'disconnected' });
    }
  }
}

/** One region's server: what its clients can read, and their way to the leader. */
type Replica<V> = {
  readonly region: string;
  readonly entries: Map<string, ControlEntry<V>>;
  readonly clients: Set<ConnectionId>;
};

export class ControlBucket<V> {
  readonly network: Network<Frame<V>>;
  private readonly world: World;
  private readonly topology: Topology;
  private readonly options: ControlOptions;
  private readonly prng: Prng;
  private readonly regions: readonly string[];
  private readonly replicas = new Map<string, Replica<V>>();
  private readonly committed = new Map<string, ControlEntry<V>>();
  /** Per key and expected sequence: the entry that was written there. */
  private readonly successors = new Map<string, ControlEntry<V>>();
  private readonly observers: ((entry: ControlEntry<V>) => void)[] = [];
  private sequence = 0;
  private leader: string | undefined;
  private term = 0;
  private election: 'none' | 'running' = 'none';

  /** Every region has a server; `regions` all take part in the majority. */
  constructor(topology: Topology, regions: readonly string[], options: ControlOptions) {
    this.world = topology.world;
    this.topology = topology;
    this.options = options;
    this.regions = regions;
    this.prng = this.world.prng('control bucket');
    this.network = new Network(topology, 'control', options.network);
    for (const region of regions) this.startServer(region);
    this.leader = regions[0];
    this.review();
  }

  connect(address: Address, name: string, handler: ControlHandler<V>): ControlClient<V> {
    return new ControlClient(this.network, `${address}#${name}`, handler);
  }

  /** Writes a first value without any of the rest, as bootstrapping a cluster does. Only for a key that does not exist. */
  bootstrap(key: string, value: V): void {
    assert(!this.committed.has(key), `${key} exists`);
    const entry = this.commit({ key, value, expected: 0 });
    for (const replica of this.replicas.values()) this.learn(replica, entry);
  }

  /** The truth, for judges: the committed entry of `key`. */
  read(key: string): ControlEntry<V> | undefined {
    return this.committed.get(key);
  }

  /** Calls `observer` with every entry in the order of commits. */
  onCommit(observer: (entry: ControlEntry<V>) => void): void {
    this.observers.push(observer);
  }

  /** The region that leads, if one does. */
  get leaderRegion(): string | undefined {
    return this.leader;
  }

  crashServer(region: string): void {
    if (!this.replicas.delete(region)) return;
    this.network.detach(replicaAddress(region));
  }

  startServer(region: string): void {
    if (this.replicas.has(region)) return;
    const replica: Replica<V> = { region, entries: new Map(), clients: new Set() };
    this.replicas.set(region, replica);
    const address = replicaAddress(region);
    this.network.attach(address, {
      onLink: (event) => this.onLink(replica, event),
      onMessage: (_from, frame, connection) => this.onFrame(replica, frame, connection),
    });
    for (const other of this.regions) if (other > region) this.network.dial(address, replicaAddress(other));
  }

  breakLinks(address: Address): void {
    for (const link of this.network.openLinks()) {
      if (link.from === address || link.to === address || link.from.startsWith(`${address}#`)) {
        this.network.break(link.id);
      }
    }
  }

  private onLink(replica: Replica<V>, event: LinkEvent): void {
    if (event.kind === 'closed') {
      replica.clients.delete(event.connection);
      return;
    }
    const fromServer = event.peer.endsWith('/nats#control');
    if (!fromServer) replica.clients.add(event.connection);
    // A new client learns the present value, as a watcher does; a returning server catches up from its peers.
    for (const entry of replica.entries.values()) {
      this.send(
        replica,
        event.connection,
        fromServer ? { kind: 'replicated', entry } : { kind: 'event', event: { kind: 'changed', entry } },
      );
    }
  }

  private onFrame(replica: Replica<V>, frame: Frame<V>, connection: ConnectionId): void {
    switch (frame.kind) {
      case 'get': {
        const entry = replica.entries.get(frame.key);
        this.send(replica, connection, {
          kind: 'event',
          event: { kind: 'entry', token: frame.token, entry },
        });
        return;
      }
      case 'update':
        this.route(replica, { region: replica.region, connection, token: frame.token }, frame.update);
        return;
      case 'forwarded':
        this.propose(replica, frame.origin, frame.update);
        return;
      case 'answered':
        this.send(replica, frame.origin.connection, { kind: 'event', event: frame.event });
        return;
      case 'replicated':
        this.learn(replica, frame.entry);
        return;
      case 'event':
        throw new Error('a server received what only servers send to clients');
    }
  }

  /** Takes a write to the leader, which may be here. */
  private route(replica: Replica<V>, origin: Origin, update: Update<V>): void {
    if (this.leader === replica.region) {
      this.propose(replica, origin, update);
      return;
    }
    const sent =
      this.leader !== undefined && this.toServer(replica, this.leader, { kind: 'forwarded', origin, update });
    if (!sent) this.answer(replica, origin, { kind: 'unavailable', token: origin.token });
  }

  private propose(replica: Replica<V>, origin: Origin, update: Update<V>): void {
    const { token } = origin;
    if (this.leader !== replica.region || !this.reachesMajority(replica.region)) {
      this.answer(replica, origin, { kind: 'unavailable', token });
      return;
    }
    const { term } = this;
    this.world.schedule(this.roundTripUs(replica.region), `control commit ${update.key} ${token}`, () => {
      if (this.term !== term) return;
      const alone = this.replicas.get(replica.region) !== replica || !this.reachesMajority(replica.region);
      // The followers may have had it before the leader was lost; nobody is left who could say so.
      if (alone && this.prng.perMille(500)) return;
      if (alone && this.prng.perMille(500)) {
        this.world.schedule(this.prng.within(lateUs), 'control late', () => this.store(update));
        return;
      }
      const last = this.committed.get(update.key)?.sequence ?? 0;
      if (last !== update.expected) {
        const successor = this.successors.get(`${update.expected} ${update.key}`);
        const done = successor !== undefined && isDeepStrictEqual(successor.value, update.value);
        if (done && !alone)
          this.answer(replica, origin, { kind: 'updated', token, sequence: successor.sequence });
        else if (!alone) this.answer(replica, origin, { kind: 'wrong-sequence', token, sequence: last });
        return;
      }
      const { sequence } = this.commit(update);
      if (!alone) this.answer(replica, origin, { kind: 'updated', token, sequence });
    });
  }

  /** A write that a leader kept and nobody heard of is stored once a majority is there again, unless another came first. */
  private store(update: Update<V>): void {
    if (this.leader === undefined || !this.reachesMajority(this.leader)) return;
    if ((this.committed.get(update.key)?.sequence ?? 0) === update.expected) this.commit(update);
  }

  private commit(update: Update<V>): ControlEntry<V> {
    this.sequence += 1;
    const entry = { key: update.key, value: update.value, sequence: this.sequence };
    this.committed.set(update.key, entry);
    this.successors.set(`${update.expected} ${update.key}`, entry);
    this.world.note(`control committed ${entry.key} #${entry.sequence}`);
    for (const observer of this.observers) observer(entry);
    const leader = this.leader === undefined ? undefined : this.replicas.get(this.leader);
    if (leader !== undefined) {
      this.learn(leader, entry);
      for (const region of this.regions) this.toServer(leader, region, { kind: 'replicated', entry });
    }
    return entry;
  }

  /** A replica applies an entry, never an older one over a newer, and tells its watchers. */
  private learn(replica: Replica<V>, entry: ControlEntry<V>): void {
    if ((replica.entries.get(entry.key)?.sequence ?? 0) >= entry.sequence) return;
    replica.entries.set(entry.key, entry);
    for (const client of [...replica.clients]) {
      this.send(replica, client, { kind: 'event', event: { kind: 'changed', entry } });
    }
  }

  private answer(replica: Replica<V>, origin: Origin, event: ControlEvent<V>): void {
    if (origin.region === replica.region) this.send(replica, origin.connection, { kind: 'event', event });
    else this.toServer(replica, origin.region, { kind: 'answered', origin, event });
  }

  private toServer(replica: Replica<V>, region: string, frame: Frame<V>): boolean {
    if (region === replica.region) return false;
    const connection = this.network.connectionTo(replicaAddress(replica.region), replicaAddress(region));
    if (connection === undefined) return false;
    return this.network.send(connection, replicaAddress(replica.region), frame) === 'sent';
  }

  private send(replica: Replica<V>, connection: ConnectionId, frame: Frame<V>): void {
    this.network.send(connection, replicaAddress(replica.region), frame);
  }

  private reachable(from: string, to: string): boolean {
    if (!this.replicas.has(from) || !this.replicas.has(to)) return false;
    if (from === to) return true;
    const there = this.topology.blockage(replicaAddress(from), replicaAddress(to));
    const back = this.topology.blockage(replicaAddress(to), replicaAddress(from));
    return there === 'open' && back === 'open';
  }

  private reachesMajority(region: string): boolean {
    const reached = this.regions.filter((other) => this.reachable(region, other));
    return 2 * reached.length > this.regions.length;
  }

  /** Time to the nearest follower and back; a lone server only writes to its disk. */
  private roundTripUs(region: string): number {
    let nearestUs: number | undefined;
    for (const other of this.regions) {
      if (other === region || !this.reachable(region, other)) continue;
      const trip =
        this.topology.latencyUs(replicaAddress(region), replicaAddress(other), this.prng) +
        this.topology.latencyUs(replicaAddress(other), replicaAddress(region), this.prng);
      nearestUs = Math.min(nearestUs ?? trip, trip);
    }
    return nearestUs ?? this.prng.between(200, 2000);
  }

  /** Looks for a lost leader, for ever, and elects another after a while. */
  private review(): void {
    this.world.schedule(this.options.reviewUs, 'control review', () => {
      this.review();
      if (this.election === 'running' || (this.leader !== undefined && this.reachesMajority(this.leader)))
        return;
      this.election = 'running';
      this.leader = undefined;
      this.term += 1;
      this.world.schedule(this.prng.within(this.options.electionUs), 'control election', () => this.elect());
    });
  }

  private elect(): void {
    this.election = 'none';
    const able = this.regions.filter((region) => this.reachesMajority(region));
    if (able.length === 0) return;
    const leader = this.prng.pick(able);
    this.leader = leader;
    this.world.note(`control leader ${leader} term ${this.term}`);
    const replica = this.replicas.get(leader);
    if (replica === undefined) return;
    // A leader knows all that was committed, and brings the others up to date.
    for (const entry of this.committed.values()) {
      this.learn(replica, entry);
      for (const region of this.regions) this.toServer(replica, region, { kind: 'replicated', entry });
    }
  }
}
