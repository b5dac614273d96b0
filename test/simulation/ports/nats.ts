/**
 * The NATS connections of a simulated process, as `openNatsConnection` gives them, on the simulated bus. Its faults are those of
 * `twins/bus.ts`. What is published while disconnected is refused; what meets a socket that does not drain is `sent`, and may
 * arrive late. Closing takes no time, and what is in flight then may be lost. Headers, requests and flushes are left out.
 */
import type { NatsConnection, NatsMessage, PublishOutcome } from '../../../regions/bus/nats-connection.ts';
import type { BusPayload, SimRuntime } from '../deployment/sim-types.ts';
import type { BusClient, BusMessage } from '../twins/bus.ts';

/** What the simulated shells use of a connection. */
export type NatsPart = Pick<
  NatsConnection,
  'connected' | 'maxPayloadBytes' | 'publish' | 'subscribe' | 'close'
>;

/** As the servers of a deployment are configured. */
const maxPayloadBytes = 1024 * 1024;

/** All of one process. */
export class NatsTwins {
  private readonly runtime: Pick<SimRuntime, 'connectBus'>;
  private readonly connections = new Map<string, NatsTwin>();
  private opened = 0;

  constructor(runtime: Pick<SimRuntime, 'connectBus'>) {
    this.runtime = runtime;
  }

  /** Opens a connection named for its purpose. */
  open(purpose: string): NatsPart {
    this.opened += 1;
    const name = `${purpose}.${this.opened}`;
    const forget = (): void => void this.connections.delete(name);
    const connection = new NatsTwin(this.runtime.connectBus(name), forget);
    this.connections.set(name, connection);
    return connection;
  }

  /** A message has arrived at one of them. */
  arrived(name: string, message: BusMessage<BusPayload>): void {
    this.connections.get(name)?.arrived(message);
  }
}

class NatsTwin implements NatsPart {
  readonly maxPayloadBytes = maxPayloadBytes;
  private readonly client: BusClient<BusPayload>;
  private readonly onClose: () => void;
  private readonly interests = new Map<number, (message: NatsMessage) => void>();

  constructor(client: BusClient<BusPayload>, onClose: () => void) {
    this.client = client;
    this.onClose = onClose;
  }

  get connected(): boolean {
    return this.client.connected;
  }

  publish(subject: string, data: Uint8Array): PublishOutcome {
    if (!this.connected) return 'disconnected';
    if (data.length > maxPayloadBytes) return 'too-large';
    return this.client.publish(subject, data) === 'dropped' ? 'disconnected' : 'sent';
  }

  subscribe(subject: string, onMessage: (message: NatsMessage) => void): () => void {
    const subscription = this.client.subscribe(subject);
    this.interests.set(subscription, onMessage);
    return () => {
      if (this.interests.delete(subscription)) this.client.unsubscribe(subscription);
    };
  }

  async close(): Promise<void> {
    this.client.close();
    this.onClose();
  }

  arrived({ subject, payload, reply, subscription }: BusMessage<BusPayload>): void {
    this.interests.get(subscription)?.({
      subject,
      data: payload,
      wantsAnswer: reply !== undefined,
      header: () => undefined,
      respond: (data) => (reply === undefined ? 'disconnected' : this.publish(reply, data)),
      passOver: () => undefined,
    });
  }
}
