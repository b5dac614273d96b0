/**
 * The NATS connections of a simulated process, as `openNatsConnection` gives them, on the simulated bus. Its faults are those of
 * `twins/bus.ts`. What is published while disconnected is refused; what meets a socket that does not drain is `sent`, and may
 * arrive late. Closing takes no time, and what is in flight then may be lost. Headers and flushes are left out.
 */

import type {
  NatsConnection,
  NatsMessage,
  PublishOutcome,
  RequestOutcome,
} from '../../../regions/bus/nats-connection.ts';
import type { Runtime } from '../../../storage/process/runtime.ts';
import type { BusPayload, SimRuntime } from '../deployment/sim-types.ts';
import type { BusClient, BusMessage } from '../twins/bus.ts';

/** What the simulated shells use of a connection. */
export type NatsPart = Pick<
  NatsConnection,
  'connected' | 'maxPayloadBytes' | 'publish' | 'request' | 'subscribe' | 'close'
>;

/** As the servers of a deployment are configured. */
const maxPayloadBytes = 1024 * 1024;

type Host = Pick<SimRuntime, 'connectBus' | 'address' | 'incarnation'>;

/** All of one process. */
export class NatsTwins {
  private readonly runtime: Host;
  private readonly time: Pick<Runtime, 'after'>;
  private readonly connections = new Map<string, NatsTwin>();
  private opened = 0;

  constructor(runtime: Host, time: Pick<Runtime, 'after'>) {
    this.runtime = runtime;
    this.time = time;
  }

  /** Opens a connection named for its purpose. */
  open(purpose: string): NatsPart {
    this.opened += 1;
    const name = `${purpose}.${this.opened}`;
    const forget = (): void => void this.connections.delete(name);
    const { address, incarnation } = this.runtime;
    const inbox = `_INBOX.${address.replace('/', '.')}.${incarnation}.${name}`;
    const connection = new NatsTwin(this.runtime.connectBus(name), inbox, this.time, forget);
    this.connections.set(name, connection);
    return connection;
  }

  /** What one of them asked with this subject for the answer has reached nobody. */
  nobody(name: string, reply: string): void {
    this.connections.get(name)?.nobody(reply);
  }

  /** A message has arrived at one of them. */
  arrived(name: string, message: BusMessage<BusPayload>): void {
    this.connections.get(name)?.arrived(message);
  }
}

class NatsTwin implements NatsPart {
  private readonly client: BusClient<BusPayload>;
  private readonly inbox: string;
  private readonly time: Pick<Runtime, 'after'>;
  private readonly onClose: () => void;
  private readonly interests = new Map<number, (message: NatsMessage) => void>();
  /** What ends a request that is under way, by the subject for its answer. */
  private readonly asked = new Map<string, (outcome: RequestOutcome) => void>();
  private requests = 0;
  private wasConnected = false;

  constructor(
    client: BusClient<BusPayload>,
    inbox: string,
    time: Pick<Runtime, 'after'>,
    onClose: () => void,
  ) {
    this.client = client;
    this.inbox = inbox;
    this.time = time;
    this.onClose = onClose;
  }

  get connected(): boolean {
    this.wasConnected ||= this.client.connected;
    return this.client.connected;
  }

  get maxPayloadBytes(): number {
    return this.connected || this.wasConnected ? maxPayloadBytes : 0;
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

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<RequestOutcome> {
    if (!this.connected) return Promise.resolve({ kind: 'disconnected' });
    if (data.length > maxPayloadBytes) return Promise.resolve({ kind: 'too-large' });
    this.requests += 1;
    const reply = `${this.inbox}.${this.requests}`;
    return new Promise((resolve) => {
      const end = (outcome: RequestOutcome): void => {
        unsubscribe();
        timer.stop();
        this.asked.delete(reply);
        resolve(outcome);
      };
      this.asked.set(reply, end);
      const unsubscribe = this.subscribe(reply, (message) =>
        end({ kind: 'reply', data: message.data, header: () => undefined }),
      );
      const timer = this.time.after(timeoutMs, () => end({ kind: 'timeout' }));
      this.client.publish(subject, data, reply);
    });
  }

  nobody(reply: string): void {
    this.asked.get(reply)?.({ kind: 'no-responders' });
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
