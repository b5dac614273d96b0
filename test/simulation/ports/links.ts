/**
 * Links of a simulated process to storage nodes, as the production client dials them, on the network twin. The network keeps the
 * connection up by itself; the link is open once the node at the other end has said that it serves.
 */
import type { Link, LinkOptions } from '../../../storage/wire/link.ts';
import type { LinkMessage, SimRuntime } from '../deployment/sim-types.ts';
import type { Address } from '../deployment/topology.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';

export class LinksTwin {
  private readonly runtime: SimRuntime;
  private readonly links = new Map<Address, LinkTwin>();

  constructor(runtime: SimRuntime) {
    this.runtime = runtime;
  }

  readonly dial = (options: LinkOptions): Link => {
    const link = new LinkTwin(this.runtime, options);
    this.links.set(options.address as Address, link);
    this.runtime.dial(options.address as Address);
    return link;
  };

  /** Takes news of a connection this process dialled; false when it is about another. */
  onLink(event: LinkEvent): boolean {
    const link = this.links.get(event.peer);
    if (link === undefined) return false;
    if (event.kind === 'open') {
      if (!event.dialled) return false;
      link.connected(event.connection);
      return true;
    }
    return link.disconnected(event.connection);
  }

  /** Takes a message of a node that was dialled. */
  onMessage(from: Address, message: LinkMessage, connection: ConnectionId): void {
    this.links.get(from)?.received(message, connection);
  }
}

class LinkTwin implements Link {
  private readonly runtime: SimRuntime;
  private readonly options: LinkOptions;
  private connection: ConnectionId | undefined;
  private ready = false;

  constructor(runtime: SimRuntime, options: LinkOptions) {
    this.runtime = runtime;
    this.options = options;
  }

  get isOpen(): boolean {
    return this.ready;
  }

  get bufferedBytes(): number {
    return this.runtime.bufferedBytes(this.options.address as Address);
  }

  send(bytes: Uint8Array): boolean {
    if (!this.ready || this.connection === undefined) return false;
    const to = this.options.address as Address;
    return this.runtime.send(to, { kind: 'bytes', bytes }, this.connection) === 'sent';
  }

  close(): void {
    this.ready = false;
    this.runtime.hangUp(this.options.address as Address);
  }

  connected(connection: ConnectionId): void {
    if (this.connection !== undefined) this.disconnected(this.connection);
    this.connection = connection;
  }

  /** @returns whether it was this link's connection. */
  disconnected(connection: ConnectionId): boolean {
    if (connection !== this.connection) return false;
    const wasOpen = this.ready;
    this.connection = undefined;
    this.ready = false;
    if (wasOpen) this.options.onClose({ kind: 'closed-by-peer', message: 'the connection ended' });
    return true;
  }

  received(message: LinkMessage, connection: ConnectionId): void {
    if (connection !== this.connection) return;
    if (message.kind === 'ready' && !this.ready) {
      this.ready = true;
      this.options.onOpen();
    } else if (message.kind === 'bytes' && this.ready) this.options.onMessage(message.bytes);
  }
}
