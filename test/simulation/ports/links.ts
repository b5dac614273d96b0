/**
 * Links of a simulated process to storage nodes, as the production client dials them, on the network twin. The network keeps the
 * connection up by itself; the link is open once the node at the other end has said that it serves.
 */
import type { Link, LinkClose, LinkOptions } from '../../../storage/wire/link.ts';
import type { LinkMessage, SimRuntime } from '../deployment/sim-types.ts';
import type { Address } from '../deployment/topology.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';

/** What links need of the process that has them. */
export type LinkHost = Pick<SimRuntime, 'dial' | 'hangUp' | 'send' | 'bufferedBytes'>;

/** What a transport of links is told by who dials; secrets and retries are the network's. */
export type LinkWish = Pick<LinkOptions, 'address' | 'onOpen' | 'onMessage' | 'onClose'>;

export class LinksTwin {
  private readonly runtime: LinkHost;
  private readonly links = new Map<Address, LinkTwin>();
  private readonly byConnection = new Map<ConnectionId, LinkTwin>();

  constructor(runtime: LinkHost) {
    this.runtime = runtime;
  }

  readonly dial = (wish: LinkWish): Link => {
    const link = new LinkTwin(this.runtime, wish);
    this.links.set(wish.address as Address, link);
    this.runtime.dial(wish.address as Address);
    return link;
  };

  /** Takes news of a connection this process dialled; false when it is about another. */
  onLink(event: LinkEvent): boolean {
    if (event.kind === 'closed') {
      const link = this.byConnection.get(event.connection);
      this.byConnection.delete(event.connection);
      link?.disconnected(event.connection);
      return link !== undefined;
    }
    const link = this.links.get(event.peer);
    if (link === undefined || !event.dialled) return false;
    this.byConnection.set(event.connection, link);
    link.connected(event.connection);
    return true;
  }

  /** Takes a message of a node that was dialled. */
  onMessage(_from: Address, message: LinkMessage, connection: ConnectionId): void {
    this.byConnection.get(connection)?.received(message, connection);
  }
}

class LinkTwin implements Link {
  private readonly runtime: LinkHost;
  private readonly wish: LinkWish;
  private connection: ConnectionId | undefined;
  private ready = false;
  /** `onOpen` has run, and no `onClose` for it. */
  private isToldOpen = false;
  private isClosed = false;
  /** Why this end has ended the connection. */
  private ending: LinkClose | null = null;

  constructor(runtime: LinkHost, wish: LinkWish) {
    this.runtime = runtime;
    this.wish = wish;
  }

  get isOpen(): boolean {
    return this.ready;
  }

  get bufferedBytes(): number {
    return this.runtime.bufferedBytes(this.address);
  }

  private get address(): Address {
    return this.wish.address as Address;
  }

  send(bytes: Uint8Array): boolean {
    if (!this.ready || this.connection === undefined) return false;
    const outcome = this.runtime.send(this.address, { kind: 'bytes', bytes }, this.connection);
    if (outcome === 'full') {
      this.end({ kind: 'back-pressure', message: 'too much waits for a peer that does not read' });
      this.runtime.dial(this.address);
    }
    return outcome === 'sent';
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.end({ kind: 'closed-here', message: 'the link was closed here' });
  }

  private end(why: LinkClose): void {
    this.ready = false;
    this.ending = why;
    this.runtime.hangUp(this.address);
  }

  connected(connection: ConnectionId): void {
    if (this.connection !== undefined) this.disconnected(this.connection);
    this.connection = connection;
  }

  disconnected(connection: ConnectionId): void {
    if (connection !== this.connection) return;
    this.connection = undefined;
    this.ready = false;
    const why = this.ending ?? { kind: 'closed-by-peer', message: 'the connection ended' };
    this.ending = null;
    if (!this.isToldOpen) return;
    this.isToldOpen = false;
    this.wish.onClose(why);
  }

  received(message: LinkMessage, connection: ConnectionId): void {
    if (connection !== this.connection || this.ending !== null) return;
    if (message.kind === 'ready' && !this.ready) {
      this.ready = true;
      this.isToldOpen = true;
      this.wish.onOpen();
    } else if (message.kind === 'bytes' && this.ready) this.wish.onMessage(message.bytes);
  }
}
