/**
 * Who gets a connection (G44). Connections that have shown nothing yet are bounded for each address, so that one stranger cannot take
 * them all. Beyond the bounds a few more are seated that are answered about the health of the process and about nothing else; of those
 * the oldest gives way to the newest, since who asks after health asks at once. Pure.
 */

export interface SlotLimits {
  /** Connections of anybody. */
  readonly connections: number;
  /** Connections beyond the bounds, which get answers about health only. */
  readonly healthConnections: number;
  /** Connections of one address that have shown neither a token nor, where none is asked for, a request. */
  readonly unprovenConnectionsPerAddress: number;
}

export const defaultSlotLimits: SlotLimits = {
  connections: 10_000,
  healthConnections: 32,
  unprovenConnectionsPerAddress: 1_024,
};

/** The bound that a connection came to. */
export type Bound = 'connections' | 'unprovenConnectionsPerAddress';

export type Seating<Connection> =
  | { readonly kind: 'seated' }
  /** `evicted` has to be cut. */
  | { readonly kind: 'health'; readonly bound: Bound; readonly evicted: Connection | null };

interface Seat {
  readonly address: string;
  /** Null for one like any other, else why it is there for health only. */
  readonly bound: Bound | null;
  proven: boolean;
}

/** The seats of one listening socket. A connection is known by any value that is its own. */
export class ConnectionSlots<Connection> {
  readonly #limits: SlotLimits;
  readonly #seats = new Map<Connection, Seat>();
  /** Oldest first. */
  readonly #health = new Set<Connection>();
  readonly #unproven = new Map<string, number>();

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  /** Connections that have a seat. */
  get size(): number {
    return this.#seats.size;
  }

  take(connection: Connection, address: string): Seating<Connection> {
    const bound = this.#boundOf(address);
    if (bound === null) {
      this.#seats.set(connection, { address, bound, proven: false });
      this.#unproven.set(address, (this.#unproven.get(address) ?? 0) + 1);
      return { kind: 'seated' };
    }
    const [oldest] = this.#health;
    const evicted =
      oldest !== undefined && this.#health.size >= this.#limits.healthConnections ? oldest : null;
    if (evicted !== null) this.leave(evicted);
    this.#seats.set(connection, { address, bound, proven: false });
    this.#health.add(connection);
    return { kind: 'health', bound, evicted };
  }

  /** The bound because of which a connection hears about health only; null when it hears everything. */
  boundOf(connection: Connection): Bound | null {
    return this.#seats.get(connection)?.bound ?? null;
  }

  /** It has shown that it may use the gateway. */
  prove(connection: Connection): void {
    const seat = this.#seats.get(connection);
    if (seat === undefined || seat.proven || seat.bound !== null) return;
    seat.proven = true;
    this.#forgetUnproven(seat.address);
  }

  leave(connection: Connection): void {
    const seat = this.#seats.get(connection);
    if (seat === undefined) return;
    this.#seats.delete(connection);
    this.#health.delete(connection);
    if (!seat.proven && seat.bound === null) this.#forgetUnproven(seat.address);
  }

  #boundOf(address: string): Bound | null {
    const { connections, unprovenConnectionsPerAddress } = this.#limits;
    if (this.#seats.size - this.#health.size >= connections) return 'connections';
    return (this.#unproven.get(address) ?? 0) >= unprovenConnectionsPerAddress
      ? 'unprovenConnectionsPerAddress'
      : null;
  }

  #forgetUnproven(address: string): void {
    const left = (this.#unproven.get(address) ?? 0) - 1;
    if (left > 0) this.#unproven.set(address, left);
    else this.#unproven.delete(address);
  }
}
