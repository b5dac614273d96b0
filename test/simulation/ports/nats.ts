/**
 * The NATS connections of a simulated process, as `openNatsConnection` gives them, on the simulated bus. Its faults are those of
 * `twins/bus.ts`. What is published while disconnected is refused; what meets a socket that does not drain is `sent`, and may
 * arrive late. Closing takes no time, and what is in flight then may be lost. Headers are left out. A flush is a message to itself,
 * which comes back by way of the server.
 */

import type {
  NatsConnection,
  NatsMessage,
  PublishOutcome,
  ReplyOfMany,
  RequestOutcome,
  SentToMany,
} from '../../../regions/bus/nats-connection.ts';
import type { Runtime } from '../../../storage/process/runtime.ts';
import type { BusPayload, SimRuntime } from '../deployment/sim-types.ts';
import type { BusClient, BusMessage } from '../twins/bus.ts';

/** What the simulated shells use of a connection. */
export type NatsPart = Pick<
  NatsConnection,
  'connected' | 'maxPayloadBytes' | 'publish' | 'request' | 'requestMany' | 'flush' | 'subscribe' | 'close'
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
  /** Who hears that nobody listens to a request that is under way, by the subject for its answer. */
  private readonly asked = new Map<string, () => void>();
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
    return new Promise((resolve) => {
      const end = (outcome: RequestOutcome): void => {
        timer.stop();
        if (sent.kind === 'sent') sent.stop();
        resolve(outcome);
      };
      const timer = this.time.after(timeoutMs, () => end({ kind: 'timeout' }));
      const sent = this.requestMany(subject, data, (reply) =>
        end(reply.kind === 'reply' ? { ...reply, header: () => undefined } : reply),
      );
      if (sent.kind !== 'sent') end({ kind: sent.kind });
    });
  }

  requestMany(subject: string, data: Uint8Array, onReply: (reply: ReplyOfMany) => void): SentToMany {
    if (!this.connected) return { kind: 'disconnected' };
    if (data.length > maxPayloadBytes) return { kind: 'too-large' };
    const reply = this.ownSubject();
    const unsubscribe = this.subscribe(reply, (message) => onReply({ kind: 'reply', data: message.data }));
    this.asked.set(reply, () => onReply({ kind: 'no-responders' }));
    this.client.publish(subject, data, reply);
    return {
      kind: 'sent',
      stop: () => {
        this.asked.delete(reply);
        unsubscribe();
      },
    };
  }

  flush(timeoutMs: number): Promise<'flushed' | 'disconnected' | 'timeout'> {
    if (!this.connected) return Promise.resolve('disconnected');
    const subject = this.ownSubject();
    return new Promise((resolve) => {
      const end = (outcome: 'flushed' | 'timeout'): void => {
        timer.stop();
        unsubscribe();
        resolve(outcome);
      };
      const timer = this.time.after(timeoutMs, () => end('timeout'));
      const unsubscribe = this.subscribe(subject, () => end('flushed'));
      this.client.publish(subject, new Uint8Array(0));
    });
  }

  nobody(reply: string): void {
    this.asked.get(reply)?.();
  }

  private ownSubject(): string {
    this.requests += 1;
    return `${this.inbox}.${this.requests}`;
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
