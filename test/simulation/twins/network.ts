/**
 * Links between processes, as WebSocket and NATS connections behave, on a shared topology.
 *
 * Fault model:
 * - A stream link delivers in order and at most once while it is open. When it breaks, each direction still delivers a
 *   drawn prefix of what was in flight (nothing when that direction is cut or the receiver died), the rest is lost,
 *   and both ends that live get `closed`, each at its own time. The ends never learn what arrived.
 * - The dialling end redials until `hangUp`; a new connection has a new number and may open at one end before the
 *   other end has seen the old one close.
 * - A cut holds messages like TCP does; if it lasts longer than the heartbeat allows, the links that cross it break.
 *   A one-way cut breaks the whole link too, for pings are answered on the other direction.
 * - A clog holds messages and breaks nothing.
 * - A datagram link loses, doubles and reorders messages, each on its own.
 * - Buffers are bounded: a send beyond `inFlightBytesMax` is refused with `full`. As in production any one message fits an empty
 *   buffer; one that does not would be refused for ever, so it ends the run.
 * - Bytes are never corrupted: TCP checksums, and frames carry a CRC of their own that tests flip elsewhere.
 */
import assert from 'node:assert/strict';
import type { Address, RuleId, Topology } from '../deployment/topology.ts';
import { type Measure, measure, printMeasure } from '../world/payload.ts';
import type { Prng, Range } from '../world/prng.ts';
import type { World } from '../world/world.ts';

/** Numbers a connection; a reconnect has a new number. */
export type ConnectionId = number;

export type LinkEvent =
  | {
      readonly kind: 'open';
      readonly peer: Address;
      readonly connection: ConnectionId;
      readonly dialled: boolean;
    }
  | { readonly kind: 'closed'; readonly peer: Address; readonly connection: ConnectionId };

/** What receives at an address. Replaced by a new object when its process restarts. */
export type Endpoint<M> = {
  /** A frozen process completes no handshake. */
  readonly isFrozen?: () => boolean;
  readonly onLink: (event: LinkEvent) => void;
  readonly onMessage: (from: Address, message: M, connection: ConnectionId) => void;
};

/**
 * `sent`: handed to the socket, which may be broken without this end knowing. `no-link`: this end knows of no
 * connection; the message is lost. `full`: refused, try again after some were delivered.
 */
export type SendResult = 'sent' | 'no-link' | 'full';

export type LinkMode = 'stream' | 'datagram';

export type NetworkOptions = {
  /** Pause before each attempt to reconnect. */
  readonly redialUs: Range;
  /** How long a cut, or a frozen peer, goes unnoticed. */
  readonly heartbeatUs: Range;
  /** How long an end takes to notice a broken connection. */
  readonly closeNoticeUs: Range;
  /** Bytes in flight per direction of a connection. */
  readonly inFlightBytesMax: number;
  /** Bytes a direction carries per millisecond; 0 is unlimited. */
  readonly bytesPerMs: number;
  /** Datagram links: messages in a thousand that are lost, and that arrive twice. */
  readonly lossPerMille: number;
  readonly duplicatePerMille: number;
};

type InFlight<M> = { readonly message: M; readonly measured: Measure; readonly arrivesUs: number };

/** One direction of a connection. */
type Half<M> = {
  /** The chance of this direction, shared by all connections between the two. */
  readonly chance: Prng;
  readonly from: Address;
  readonly to: Address;
  readonly receiver: Endpoint<M>;
  readonly queue: InFlight<M>[];
  bytes: number;
  lineFreeUs: number;
  /** The head of the queue met a cut or clog and waits for the rules to change. */
  stalled: boolean;
  /** The receiver was told that the connection is closed, or died. */
  ended: boolean;
};

type Connection<M> = {
  readonly id: ConnectionId;
  readonly dial: Dial;
  readonly halves: readonly Half<M>[];
  /** False from the break on; kept until both ends have noticed. */
  open: boolean;
};

/** A wish to be connected, held by the dialling end until it hangs up or dies. */
type Dial = { readonly from: Address; readonly to: Address; readonly mode: LinkMode; wanted: boolean };

export type NetworkStats = { sent: number; delivered: number; lost: number; bytes: number; breaks: number };

export class Network<M> {
  readonly stats: NetworkStats = { sent: 0, delivered: 0, lost: 0, bytes: 0, breaks: 0 };
  private readonly world: World;
  private readonly topology: Topology;
  private readonly label: string;
  private readonly options: NetworkOptions;
  private readonly prng: Prng;
  private readonly streams = new Map<string, Prng>();
  private readonly endpoints = new Map<Address, Endpoint<M>>();
  private readonly dials = new Map<string, Dial>();
  private readonly connections = new Map<ConnectionId, Connection<M>>();
  /** The same connections by `dialler>listener`, oldest first. */
  private readonly byDial = new Map<string, Connection<M>[]>();
  private nextConnection: ConnectionId = 1;

  /** `label` tells two networks on one topology apart in the trace and in the streams of chance. */
  constructor(topology: Topology, label: string, options: NetworkOptions) {
    this.world = topology.world;
    this.topology = topology;
    this.label = label;
    this.options = options;
    this.prng = this.world.prng(`network ${label}`);
    topology.onChange((added) => {
      if (added === undefined) this.resume();
      else this.watchCut(added);
    });
  }

  /** Starts listening at `address`. */
  attach(address: Address, endpoint: Endpoint<M>): void {
    assert(!this.endpoints.has(address), `${address} is attached already`);
    this.endpoints.set(address, endpoint);
  }

  /** The process at `address` died: its links break, its wishes are forgotten. */
  detach(address: Address): void {
    this.endpoints.delete(address);
    for (const [key, dial] of [...this.dials]) {
      if (dial.from !== address) continue;
      dial.wanted = false;
      this.dials.delete(key);
    }
    this.breakLinks(address);
  }

  /** Connects `from` to `to` and keeps reconnecting until `hangUp`. Doing so twice is the same as once. */
  dial(from: Address, to: Address, mode: LinkMode = 'stream'): void {
    const key = `${from}>${to}`;
    if (this.dials.has(key)) return;
    const dial: Dial = { from, to, mode, wanted: true };
    this.dials.set(key, dial);
    this.attempt(dial, 0);
  }

  /** Closes the link and stops redialling. */
  hangUp(from: Address, to: Address): void {
    const dial = this.dials.get(`${from}>${to}`);
    if (dial === undefined) return;
    dial.wanted = false;
    this.dials.delete(`${from}>${to}`);
    for (const connection of [...this.connections.values()]) {
      if (connection.dial === dial) this.break(connection.id);
    }
  }

  /**
   * The connection on which `from` would send to `to`: the newest it dialled, else the newest it accepted, among
   * those it believes to be open.
   */
  connectionTo(from: Address, to: Address): ConnectionId | undefined {
    return this.newestAlive(from, from, to) ?? this.newestAlive(from, to, from);
  }

  /** The newest connection from `dialler` to `listener` that `end` believes to be open. */
  private newestAlive(end: Address, dialler: Address, listener: Address): ConnectionId | undefined {
    const connections = this.byDial.get(`${dialler}>${listener}`) ?? [];
    return connections.findLast(({ halves }) => !halves.some((half) => half.to === end && half.ended))?.id;
  }

  /** Sends on an open connection. The message must not be changed afterwards; delivery checks. */
  send(connectionId: ConnectionId, from: Address, message: M): SendResult {
    const connection = this.connections.get(connectionId);
    const half = connection?.halves.find((candidate) => candidate.from === from);
    const back = connection?.halves.find((candidate) => candidate.to === from);
    if (connection === undefined || half === undefined || back?.ended === true) return 'no-link';
    if (!connection.open) {
      this.stats.sent += 1;
      this.stats.lost += 1;
      return 'sent';
    }
    const measured = measure(message);
    const { inFlightBytesMax } = this.options;
    if (measured.bytes > inFlightBytesMax)
      assert.fail(
        `a message of ${measured.bytes} bytes can never be sent: a connection buffers ${inFlightBytesMax}`,
      );
    if (half.bytes + measured.bytes > inFlightBytesMax) return 'full';
    this.stats.sent += 1;
    this.stats.bytes += measured.bytes;
    if (connection.dial.mode === 'datagram') this.sendDatagram(connection, half, message, measured);
    else this.sendInOrder(connection, half, message, measured);
    return 'sent';
  }

  /** Bytes sent on a connection by `from` and not yet delivered, as `bufferedAmount` of a socket. */
  inFlightBytes(connectionId: ConnectionId, from: Address): number {
    const half = this.connections.get(connectionId)?.halves.find((candidate) => candidate.from === from);
    return half?.bytes ?? 0;
  }

  /** Open connections, oldest first. */
  openLinks(): readonly { readonly id: ConnectionId; readonly from: Address; readonly to: Address }[] {
    const open = [...this.connections.values()].filter((connection) => connection.open);
    return open.map(({ id, dial }) => ({ id, from: dial.from, to: dial.to }));
  }

  /** Breaks every connection of `address`; dialling ends will redial. */
  breakLinks(address: Address): void {
    for (const { id, dial } of [...this.connections.values()]) {
      if (dial.from === address || dial.to === address) this.break(id);
    }
  }

  /** Breaks one connection; the dialling end will redial. */
  break(connectionId: ConnectionId): void {
    const connection = this.connections.get(connectionId);
    if (connection === undefined || !connection.open) return;
    connection.open = false;
    this.stats.breaks += 1;
    this.world.note(`${this.label} broken ${connection.dial.from}>${connection.dial.to} #${connectionId}`);
    for (const half of connection.halves) this.drain(connection, half);
    if (connection.dial.wanted) this.attempt(connection.dial, this.prng.within(this.options.redialUs));
  }

  /** How long until a frozen peer is noticed; drawn. */
  heartbeatUs(): number {
    return this.prng.within(this.options.heartbeatUs);
  }

  private attempt(dial: Dial, delayUs: number): void {
    const { from, to } = dial;
    const handshakeUs =
      this.topology.latencyUs(from, to, this.stream(from, to)) +
      this.topology.latencyUs(to, from, this.stream(to, from));
    this.world.schedule(delayUs + handshakeUs, `${this.label} dial ${from}>${to}`, () => {
      if (!dial.wanted) return;
      const dialler = this.endpoints.get(from);
      const listener = this.endpoints.get(to);
      const clear =
        this.topology.blockage(from, to) === 'open' && this.topology.blockage(to, from) === 'open';
      const frozen = dialler?.isFrozen?.() === true || listener?.isFrozen?.() === true;
      if (dialler === undefined || listener === undefined || frozen || !clear) {
        this.attempt(dial, this.prng.within(this.options.redialUs));
        return;
      }
      this.open(dial, dialler, listener);
    });
  }

  private open(dial: Dial, dialler: Endpoint<M>, listener: Endpoint<M>): void {
    const id = this.nextConnection;
    this.nextConnection += 1;
    const { from, to } = dial;
    const half = (sender: Address, receiving: Address, receiver: Endpoint<M>): Half<M> => ({
      chance: this.stream(sender, receiving),
      from: sender,
      to: receiving,
      receiver,
      queue: [],
      bytes: 0,
      lineFreeUs: 0,
      stalled: false,
      ended: false,
    });
    const halves = [half(from, to, listener), half(to, from, dialler)];
    const connection: Connection<M> = { id, dial, halves, open: true };
    this.connections.set(id, connection);
    const key = `${from}>${to}`;
    this.byDial.set(key, [...(this.byDial.get(key) ?? []), connection]);
    this.world.note(`${this.label} open ${from}>${to} #${id}`);
    // The listener first: what the dialler sends on opening must not find a link its peer does not know.
    listener.onLink({ kind: 'open', peer: from, connection: id, dialled: false });
    if (connection.open) dialler.onLink({ kind: 'open', peer: to, connection: id, dialled: true });
  }

  private sendInOrder(connection: Connection<M>, half: Half<M>, message: M, measured: Measure): void {
    const latencyUs = this.topology.latencyUs(half.from, half.to, half.chance);
    const leavesUs = this.topology.leavesAtUs(half.from, half.to, measured.bytes);
    half.lineFreeUs = Math.max(half.lineFreeUs, this.world.nowUs) + this.lineUs(measured.bytes);
    const previousUs = half.queue.at(-1)?.arrivesUs ?? 0;
    const arrivesUs = Math.max(previousUs, Math.max(half.lineFreeUs, leavesUs) + latencyUs);
    half.queue.push({ message, measured, arrivesUs });
    half.bytes += measured.bytes;
    if (half.queue.length === 1) this.pump(connection, half, arrivesUs);
  }

  private lineUs(bytes: number): number {
    return this.options.bytesPerMs === 0 ? 0 : Math.floor((bytes * 1000) / this.options.bytesPerMs);
  }

  /** Delivers the head of the queue at `atUs`, then goes on with the next. */
  private pump(connection: Connection<M>, half: Half<M>, atUs: number): void {
    const head = half.queue[0];
    if (head === undefined) return;
    this.world.at(atUs, this.describe(connection, half, head.measured), () => {
      if (!connection.open) return;
      if (this.topology.blockage(half.from, half.to) !== 'open') {
        half.stalled = true;
        return;
      }
      half.queue.shift();
      half.bytes -= head.measured.bytes;
      const next = half.queue[0];
      if (next !== undefined) this.pump(connection, half, Math.max(this.world.nowUs, next.arrivesUs));
      this.deliver(connection, half, head);
    });
  }

  private sendDatagram(connection: Connection<M>, half: Half<M>, message: M, measured: Measure): void {
    const prng = half.chance;
    const copies = prng.perMille(this.options.duplicatePerMille) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      const arrivesUs = this.world.nowUs + this.topology.latencyUs(half.from, half.to, prng);
      const lost = prng.perMille(this.options.lossPerMille);
      half.bytes += measured.bytes;
      this.world.at(arrivesUs, this.describe(connection, half, measured), () => {
        half.bytes -= measured.bytes;
        const blocked = this.topology.blockage(half.from, half.to) !== 'open';
        if (lost || blocked || !connection.open) {
          this.stats.lost += 1;
          return;
        }
        this.deliver(connection, half, { message, measured, arrivesUs });
      });
    }
  }

  private deliver(connection: Connection<M>, half: Half<M>, item: InFlight<M>): void {
    if (this.endpoints.get(half.to) !== half.receiver) {
      this.stats.lost += 1;
      return;
    }
    const { crc } = measure(item.message);
    assert(crc === item.measured.crc, `a message ${half.from} > ${half.to} was changed after it was sent`);
    this.stats.delivered += 1;
    half.receiver.onMessage(half.from, item.message, connection.id);
  }

  /** What a broken connection still delivers in one direction, and when its receiver learns of the end. */
  private drain(connection: Connection<M>, half: Half<M>): void {
    const cut = this.topology.blockage(half.from, half.to) !== 'open';
    const kept = cut ? 0 : this.prng.below(half.queue.length + 1);
    this.stats.lost += half.queue.length - kept;
    let lastUs = this.world.nowUs;
    for (const item of half.queue.slice(0, kept)) {
      lastUs = Math.max(lastUs, item.arrivesUs);
      this.world.at(lastUs, this.describe(connection, half, item.measured), () => {
        this.deliver(connection, half, item);
      });
    }
    half.queue.length = 0;
    half.bytes = 0;
    const noticedUs = Math.max(lastUs, this.world.nowUs + this.prng.within(this.options.closeNoticeUs));
    this.world.at(noticedUs, `${this.label} closed ${half.from}>${half.to} #${connection.id}`, () => {
      half.ended = true;
      if (connection.halves.every((candidate) => candidate.ended)) this.forget(connection);
      if (this.endpoints.get(half.to) !== half.receiver) return;
      half.receiver.onLink({ kind: 'closed', peer: half.from, connection: connection.id });
    });
  }

  /** Both ends know that it is over. */
  private forget(connection: Connection<M>): void {
    this.connections.delete(connection.id);
    const key = `${connection.dial.from}>${connection.dial.to}`;
    const left = (this.byDial.get(key) ?? []).filter((candidate) => candidate !== connection);
    if (left.length > 0) this.byDial.set(key, left);
    else this.byDial.delete(key);
  }

  /** The rules changed for the better: stalled directions try again. */
  private resume(): void {
    for (const connection of this.connections.values()) {
      for (const half of connection.halves) {
        if (!connection.open || !half.stalled || this.topology.blockage(half.from, half.to) !== 'open')
          continue;
        half.stalled = false;
        const latencyUs = this.topology.latencyUs(half.from, half.to, half.chance);
        this.pump(connection, half, this.world.nowUs + latencyUs);
      }
    }
  }

  /** A cut that outlives the heartbeat breaks the links that cross it. */
  private watchCut(rule: RuleId): void {
    if (!this.topology.isCut(rule)) return;
    this.world.schedule(this.heartbeatUs(), `${this.label} heartbeat missed on rule ${rule}`, () => {
      for (const { id, dial } of [...this.connections.values()]) {
        const { from, to } = dial;
        const crosses =
          this.topology.ruleApplies(rule, from, to) || this.topology.ruleApplies(rule, to, from);
        if (crosses) this.break(id);
      }
    });
  }

  private describe(connection: Connection<M>, half: Half<M>, measured: Measure): string {
    return `${this.label} ${half.from}>${half.to} #${connection.id} ${printMeasure(measured)}`;
  }

  /** One stream of chance per direction between two addresses. */
  private stream(from: Address, to: Address): Prng {
    const key = `${from}>${to}`;
    const known = this.streams.get(key);
    if (known !== undefined) return known;
    const created = this.prng.stream(key);
    this.streams.set(key, created);
    return created;
  }
}
