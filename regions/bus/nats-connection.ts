/**
 * One connection to NATS, with the client's traps closed. The only file that imports `nats`.
 *
 * - It is there at once and connects behind the caller's back, for ever: a process starts, and serves what it can,
 *   while NATS is away.
 * - Publishing while disconnected is refused here, because the client would discard it silently.
 * - Nothing rejects and nothing throws for what a network does; outcomes are values, changes of state are events.
 * - `sent` means handed to the socket of a connection believed alive, no more. What must arrive is acknowledged by its
 *   receiver.
 */
import {
  type NatsConnection as Client,
  connect,
  createInbox,
  ErrorCode,
  headers,
  type Msg,
  type MsgHdrs,
  NatsError,
  type Subscription,
} from 'nats';
import {
  type Credentials,
  checkIdentity,
  type Expected,
  monotonicMs,
  tlsOptions,
} from '../../storage/index.ts';
import { RateLimit } from '../../telemetry/core.ts';

export interface NatsOptions {
  /** `host:port` or `nats://host:port`, the nearest first: they are tried in this order. */
  readonly servers: readonly string[];
  readonly token?: string;
  /** Speaks TLS with this certificate, and only to the servers that are expected. */
  readonly secured?: NatsSecurity;
  /** Shown in the server's monitoring. */
  readonly name: string;
  readonly onStatus?: (status: NatsStatus) => void;
}

export interface NatsSecurity {
  readonly credentials: Pick<Credentials, 'material'>;
  readonly expected: Expected;
  /** Where answers come in: the only inbox that the servers let this process listen at. */
  readonly inboxPrefix: string;
}

export type NatsStatus =
  | { readonly kind: 'connected'; readonly server: string }
  | { readonly kind: 'disconnected'; readonly server: string }
  /** A dial failed; the next one follows by itself. */
  | { readonly kind: 'connect-failed'; readonly reason: string }
  /** The server said no to something, such as a publish without permission. */
  | { readonly kind: 'error'; readonly code: string }
  /**
   * Messages that asked for an answer and named no subject for it were passed over: this one, and `suppressed` more since
   * the last report. Told at most once every 10 s.
   */
  | { readonly kind: 'unanswerable'; readonly subject: string; readonly suppressed: number }
  | { readonly kind: 'closed' };

export type NatsHeaders = Readonly<Record<string, string>>;
export type PublishOutcome = 'sent' | 'disconnected' | 'too-large';

export interface NatsMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Whether the sender named a subject for the answer. A stray publish does not. */
  readonly wantsAnswer: boolean;
  /** Names are matched as written: send and ask in lower case. Undefined too when the headers cannot be read. */
  header(name: string): string | undefined;
  /** Answers a request. Where the sender named no subject for it, does what `passOver` does; `disconnected` then. */
  respond(data: Uint8Array, headers?: NatsHeaders): PublishOutcome;
  /** For a message that only makes sense with an answer and wants none: leaves it, and reports that (`unanswerable`). */
  passOver(): void;
}

export type RequestOutcome =
  | { readonly kind: 'reply'; readonly data: Uint8Array; header(name: string): string | undefined }
  /** Nobody answered in time, or the connection broke meanwhile: the request may have been acted on. */
  | { readonly kind: 'timeout' }
  /** The server knew of no subscriber: the request was acted on by nobody. */
  | { readonly kind: 'no-responders' }
  /** Not sent. */
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'too-large' }
  /** The client gave it up, for instance for want of permission: the request may have been acted on. */
  | { readonly kind: 'failed'; readonly reason: string };

export type ReplyOfMany =
  | { readonly kind: 'reply'; readonly data: Uint8Array }
  /** The server knew of no subscriber: the request was acted on by nobody. */
  | { readonly kind: 'no-responders' };

export type SentToMany =
  /** See `sent`; `stop` is to be called once nothing more is waited for. */
  { readonly kind: 'sent'; readonly stop: () => void } | { readonly kind: 'disconnected' | 'too-large' };

/** Ends a subscription. @param isGentle what the server has sent by then is still heard: nobody's question is lost. */
export type Unsubscribe = (isGentle?: boolean) => void;

export interface NatsConnection {
  readonly connected: boolean;
  /** Largest message (headers included) the server takes, in bytes; 0 while never connected. */
  readonly maxPayloadBytes: number;
  publish(subject: string, data: Uint8Array, headers?: NatsHeaders): PublishOutcome;
  /**
   * Survives reconnects; messages sent meanwhile are missed. `onMessage` runs inside the read loop: it must not block,
   * and if it throws the process ends. Returns how to unsubscribe.
   */
  subscribe(subject: string, onMessage: (message: NatsMessage) => void): Unsubscribe;
  request(
    subject: string,
    data: Uint8Array,
    timeoutMs: number,
    headers?: NatsHeaders,
  ): Promise<RequestOutcome>;
  /**
   * As `request`, for what is answered in several messages: `onReply` hears each, and that nobody listens, until the caller stops.
   * Whether an answer is still to come, and for how long it is waited for, is the caller's to know.
   */
  requestMany(subject: string, data: Uint8Array, onReply: (reply: ReplyOfMany) => void): SentToMany;
  /** `flushed`: the server has parsed everything published before. Says nothing about subscribers. */
  flush(timeoutMs: number): Promise<'flushed' | 'disconnected' | 'timeout'>;
  /** Whether connected within the time. */
  whenConnected(timeoutMs: number): Promise<boolean>;
  close(): Promise<void>;
}

/** How soon a lost connection is noticed (three pings) and how often a new one is tried, in milliseconds. */
const pingIntervalMs = 1_000;
const maxPingOut = 2;
const redialMs = 250;
const redialJitterMs = 100;
const dialTimeoutMs = 2_000;
const flushOnCloseMs = 250;
const unanswerableReportMs = 10_000;

/** @throws Error when no server is given. Nothing else ever throws; see `onStatus`. */
export function openNatsConnection(options: NatsOptions): NatsConnection {
  if (options.servers.length === 0) throw new Error('a NATS connection needs at least one server');
  return new ReconnectingConnection(options);
}

interface Interest {
  readonly subject: string;
  readonly onMessage: (message: Msg) => void;
  live: Subscription | null;
}

class ReconnectingConnection implements NatsConnection {
  readonly #options: NatsOptions;
  readonly #interests = new Set<Interest>();
  readonly #waiters = new Set<() => void>();
  readonly #closing = Promise.withResolvers<void>();
  readonly #unanswerable = new RateLimit(unanswerableReportMs, monotonicMs);
  readonly #replies = new Map<string, (reply: ReplyOfMany) => void>();
  #inbox: string | null = null;
  #asked = 0;
  #client: Client | null = null;
  #connected: boolean = false;
  #closed: boolean = false;

  constructor(options: NatsOptions) {
    this.#options = options;
    void this.#keepConnected();
  }

  get connected(): boolean {
    return this.#connected;
  }

  get maxPayloadBytes(): number {
    return this.#client?.info?.max_payload ?? 0;
  }

  publish(subject: string, data: Uint8Array, headerMap?: NatsHeaders): PublishOutcome {
    const client = this.#usable();
    if (client === null) return 'disconnected';
    try {
      client.publish(subject, data, withHeaders(headerMap));
      return 'sent';
    } catch (error) {
      return publishFailure(error);
    }
  }

  subscribe(subject: string, onMessage: (message: NatsMessage) => void): Unsubscribe {
    return this.#listen(subject, (message) => onMessage(this.#incoming(message)));
  }

  #listen(subject: string, onMessage: (message: Msg) => void): Unsubscribe {
    const interest: Interest = { subject, onMessage, live: null };
    this.#interests.add(interest);
    if (this.#client !== null && !this.#client.isClosed()) this.#attach(this.#client, interest);
    return (isGentle = false) => {
      if (!this.#interests.delete(interest)) return;
      if (isGentle) void interest.live?.drain().catch(ignoreWhileClosing);
      else interest.live?.unsubscribe();
    };
  }

  async request(
    subject: string,
    data: Uint8Array,
    timeoutMs: number,
    headerMap?: NatsHeaders,
  ): Promise<RequestOutcome> {
    const client = this.#usable();
    if (client === null) return { kind: 'disconnected' };
    try {
      const reply = await client.request(subject, data, { timeout: timeoutMs, ...withHeaders(headerMap) });
      return { kind: 'reply', data: reply.data, header: (name) => headerIn(reply, name) };
    } catch (error) {
      return requestFailure(error);
    }
  }

  requestMany(subject: string, data: Uint8Array, onReply: (reply: ReplyOfMany) => void): SentToMany {
    const client = this.#usable();
    if (client === null) return { kind: 'disconnected' };
    this.#inbox ??= this.#openInbox();
    this.#asked += 1;
    const token = String(this.#asked);
    try {
      client.publish(subject, data, { reply: `${this.#inbox}.${token}` });
    } catch (error) {
      const kind = publishFailure(error);
      return { kind: kind === 'too-large' ? kind : 'disconnected' };
    }
    this.#replies.set(token, onReply);
    return { kind: 'sent', stop: () => void this.#replies.delete(token) };
  }

  /** One subscription for the answers of all; what comes when nobody waits any more is dropped. */
  #openInbox(): string {
    const inbox = createInbox(this.#options.secured?.inboxPrefix);
    this.#listen(`${inbox}.*`, (message) => {
      const onReply = this.#replies.get(message.subject.slice(inbox.length + 1));
      onReply?.(isNoResponders(message) ? { kind: 'no-responders' } : { kind: 'reply', data: message.data });
    });
    return inbox;
  }

  async flush(timeoutMs: number): Promise<'flushed' | 'disconnected' | 'timeout'> {
    const client = this.#usable();
    if (client === null) return 'disconnected';
    const flushed = client.flush().then(
      () => 'flushed' as const,
      () => 'disconnected' as const,
    );
    return withTimeout(flushed, timeoutMs, 'timeout' as const);
  }

  async whenConnected(timeoutMs: number): Promise<boolean> {
    if (this.#connected) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiter = () => resolve(this.#connected);
    this.#waiters.add(waiter);
    const outcome = await withTimeout(promise, timeoutMs, false);
    this.#waiters.delete(waiter);
    return outcome;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#connected) await this.flush(flushOnCloseMs);
    this.#closed = true;
    this.#setConnected(false);
    this.#closing.resolve();
    const client = this.#client;
    this.#client = null;
    if (client !== null) await client.close().catch(ignoreWhileClosing);
    this.#report({ kind: 'closed' });
  }

  #usable(): Client | null {
    return this.#connected && this.#client !== null && !this.#client.isClosed() ? this.#client : null;
  }

  /** The client reconnects by itself; this loop makes the first connection and replaces a client that gave up. */
  async #keepConnected(): Promise<void> {
    while (!this.#closed) {
      try {
        const client = await connect(clientOptions(this.#options));
        if (this.#closed) {
          await client.close().catch(ignoreWhileClosing);
          return;
        }
        this.#adopt(client);
        const end = await client.closed();
        this.#setConnected(false);
        if (end instanceof Error) this.#report({ kind: 'connect-failed', reason: end.message });
      } catch (error) {
        this.#report({ kind: 'connect-failed', reason: reasonOf(error) });
      }
      await withTimeout(this.#closing.promise, redialMs + Math.random() * redialJitterMs, undefined);
    }
  }

  #adopt(client: Client): void {
    this.#client = client;
    for (const interest of this.#interests) this.#attach(client, interest);
    void this.#followStatus(client);
    this.#setConnected(true);
    this.#report({ kind: 'connected', server: client.getServer() });
  }

  async #followStatus(client: Client): Promise<void> {
    for await (const status of client.status()) {
      if (this.#closed || client !== this.#client) return;
      switch (status.type) {
        case 'disconnect':
          this.#setConnected(false);
          this.#report({ kind: 'disconnected', server: client.getServer() });
          break;
        case 'reconnect':
          this.#setConnected(true);
          this.#report({ kind: 'connected', server: client.getServer() });
          break;
        case 'error':
          this.#report({ kind: 'error', code: String(status.data) });
          break;
        default:
      }
    }
  }

  #attach(client: Client, interest: Interest): void {
    interest.live = client.subscribe(interest.subject, {
      callback: (error, message) => {
        if (error !== null) return;
        crashOnThrow(() => interest.onMessage(message));
      },
    });
  }

  #incoming(message: Msg): NatsMessage {
    // The client says '' where its types say undefined, and throws when that is published to.
    const reply = message.reply ?? '';
    const passOver = (): void => this.#passOver(message.subject);
    return {
      subject: message.subject,
      data: message.data,
      wantsAnswer: reply !== '',
      header: (name) => headerIn(message, name),
      respond: (data, headerMap) => {
        if (reply !== '') return this.publish(reply, data, headerMap);
        passOver();
        return 'disconnected';
      },
      passOver,
    };
  }

  #passOver(subject: string): void {
    const passed = this.#unanswerable.pass();
    if (passed !== null) this.#report({ kind: 'unanswerable', subject, ...passed });
  }

  #setConnected(connected: boolean): void {
    this.#connected = connected;
    if (connected || this.#closed) for (const waiter of [...this.#waiters]) waiter();
  }

  #report(status: NatsStatus): void {
    const { onStatus } = this.#options;
    if (onStatus !== undefined) crashOnThrow(() => onStatus(status));
  }
}

function clientOptions(options: NatsOptions) {
  return {
    servers: [...options.servers],
    name: options.name,
    ...(options.token === undefined ? {} : { token: options.token }),
    ...(options.secured === undefined ? {} : secured(options.secured)),
    // The order given is the order of preference, and the servers given are the only ones: otherwise gossip would let a
    // region's processes wander off to another region's server.
    noRandomize: true,
    ignoreClusterUpdates: true,
    // The client's own default is to give up for ever after ten attempts, or after two refused passwords.
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: redialMs,
    reconnectJitter: redialJitterMs,
    pingInterval: pingIntervalMs,
    maxPingOut,
    timeout: dialTimeoutMs,
    noAsyncTraces: true,
  };
}

/** The client reads its TLS options anew for each connection, and so takes up a new certificate. */
function secured({ credentials, expected, inboxPrefix }: NatsSecurity) {
  const tls = {
    ...tlsOptions,
    get ca(): string {
      return credentials.material.ca;
    },
    get cert(): string {
      return credentials.material.cert;
    },
    get key(): string {
      return credentials.material.key;
    },
    checkServerIdentity: checkIdentity(expected),
  };
  return { tls, inboxPrefix };
}

/** The client ends its read loop, with a line on stdout, when a callback throws. A broken invariant ends the process. */
function crashOnThrow(act: () => void): void {
  try {
    act();
  } catch (error) {
    setImmediate(() => {
      throw error;
    });
  }
}

function withHeaders(map: NatsHeaders | undefined): { headers?: MsgHdrs } {
  if (map === undefined) return {};
  const built = headers();
  for (const [name, value] of Object.entries(map)) built.set(name, value);
  return { headers: built };
}

/** The client parses headers at the first look, and throws on a name that no header may have. */
function headerIn(message: Msg, name: string): string | undefined {
  try {
    return message.headers?.has(name) === true ? message.headers.get(name) : undefined;
  } catch (error) {
    if (error instanceof NatsError) return undefined;
    throw error;
  }
}

/** The server answers in place of a subscriber that is not there. */
const isNoResponders = ({ data, headers: found }: Msg): boolean => data.length === 0 && found?.code === 503;

function publishFailure(error: unknown): PublishOutcome {
  if (!(error instanceof NatsError)) throw error;
  if (error.code === ErrorCode.MaxPayloadExceeded) return 'too-large';
  if (error.code === ErrorCode.ConnectionClosed || error.code === ErrorCode.ConnectionDraining)
    return 'disconnected';
  throw error;
}

function requestFailure(error: unknown): RequestOutcome {
  if (!(error instanceof NatsError)) throw error;
  switch (error.code) {
    case ErrorCode.Timeout:
      return { kind: 'timeout' };
    case ErrorCode.NoResponders:
      return { kind: 'no-responders' };
    case ErrorCode.MaxPayloadExceeded:
      return { kind: 'too-large' };
    default:
      return { kind: 'failed', reason: error.message };
  }
}

async function withTimeout<T, U>(outcome: Promise<T>, timeoutMs: number, otherwise: U): Promise<T | U> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<U>((resolve) => {
    timer = setTimeout(() => resolve(otherwise), timeoutMs);
  });
  try {
    return await Promise.race([outcome, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Closing twice, or closing what the server closed first, is not news. */
function ignoreWhileClosing(): void {}
