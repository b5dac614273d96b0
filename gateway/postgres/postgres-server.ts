/** The listening socket for PostgreSQL's clients: seats, logins, cancel requests, and the end of it all. */
import { createHash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { readVerifier } from '../../regions/core.ts';
import type { CertificateFiles, CertificateLog } from '../access/certificate.ts';
import { ConnectionSlots } from '../access/core/connection-slots.ts';
import { Connection } from './connection.ts';
import type { CancelKey } from './core/cancel-message.ts';
import { Conversation } from './core/conversation.ts';
import { InputBudget } from './core/input-budget.ts';
import { defaultPostgresLimits, type PostgresLimits } from './core/postgres-limits.ts';
import { type KnownUser, type LoggedIn, login, refuse } from './login.ts';
import {
  authenticationOk,
  backendKeyData,
  parameterStatus,
  type Report,
  readyForQuery,
} from './protocol/core/server-messages.ts';
import { longSecretMinor } from './protocol/core/startup-packet.ts';
import { beginSession } from './session-begin.ts';
import { makeEndpoint } from './tls-endpoint.ts';
import type { WireService, WireSession } from './wire-service.ts';

/** Somebody who may log in. */
export interface PostgresUser {
  readonly name: string;
  /** `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`, as `makeVerifier` makes it. */
  readonly verifier: string;
  /** `read`: nothing that it asks for may change anything. */
  readonly access: 'full' | 'read';
}

export interface PostgresServerOptions {
  readonly service: WireService;
  /** Port 0 takes any that is free. */
  readonly listen: { readonly host: string; readonly port: number };
  /** With a certificate, connections that are not encrypted are refused. Null: nothing is encrypted. */
  readonly tls: CertificateFiles | null;
  /** Null only where the gateway is open to everybody: then any name is let in without a password. Nobody: an empty list. */
  readonly users: readonly PostgresUser[] | null;
  readonly limits?: Partial<PostgresLimits>;
  readonly log: CertificateLog;
  /** A request to cancel that no client here was given the key of: another gateway may know it. */
  readonly passOn?: (key: CancelKey) => void;
  /** What drivers are told as `server_version`; it has to begin with PostgreSQL's own version, as in `18.7 (Sextant 0.1.0)`. */
  readonly version: string;
}

export interface PostgresCounts {
  readonly connections: number;
  /** Of these, logged in. */
  readonly clients: number;
  /** Of these, with an operation under way. */
  readonly running: number;
  /** Of these, in a transaction with no operation under way. */
  readonly inTransaction: number;
  /** Since the start. */
  readonly logins: { readonly ok: number; readonly refused: number };
  /** Requests to cancel since the start: that met a statement that ran, and that met nothing. */
  readonly cancels: { readonly met: number; readonly missed: number };
  /** What was read of all clients and is not answered. */
  readonly inputBytes: number;
}

export interface PostgresServer {
  readonly address: AddressInfo;
  counts(): PostgresCounts;
  /** Cancels what a client here runs, for another gateway that was asked to. */
  cancel(key: CancelKey): void;
  /**
   * Takes nobody any more, lets go who is idle or has not logged in, and waits `shutdownMs` for the work of the others before it cuts
   * them: statements that run, and transactions that are open.
   */
  close(): Promise<void>;
}

/** @throws Error naming what is wrong with the users, the certificate or the address */
export async function startPostgresServer(options: PostgresServerOptions): Promise<PostgresServer> {
  const users = options.users === null ? null : knownUsers(options.users);
  const endpoint = options.tls === null ? null : makeEndpoint(options.tls, options.log);
  if (endpoint?.kind === 'unusable') throw new Error(endpoint.reason);
  const front = new FrontEnd(options, users, endpoint?.now ?? null);
  const server = createServer({ noDelay: true, keepAlive: true, pauseOnConnect: false }, (socket) =>
    front.accept(socket),
  );
  try {
    const address = await listening(server, options.listen);
    return {
      address,
      counts: () => front.counts(),
      cancel: (key) => front.cancel(key),
      close: async () => {
        endpoint?.close();
        server.close();
        await front.close();
      },
    };
  } catch (error) {
    endpoint?.close();
    throw error;
  }
}

function knownUsers(users: readonly PostgresUser[]): ReadonlyMap<string, KnownUser> {
  const known = new Map<string, KnownUser>();
  for (const { name, verifier: text, access } of users) {
    const verifier = readVerifier(text);
    if (verifier === null)
      throw new Error(
        `the verifier of user ${JSON.stringify(name)} is not of the form SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`,
      );
    if (known.has(name)) throw new Error(`there are two users of the name ${JSON.stringify(name)}`);
    known.set(name, { name, verifier, access });
  }
  return known;
}

async function listening(
  server: Server,
  { host, port }: PostgresServerOptions['listen'],
): Promise<AddressInfo> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  await promise;
  server.off('error', reject);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server listens at no address');
  return address;
}

/** A client that is logged in, and what another connection has to show to cancel its work. */
interface Client {
  readonly connection: Connection;
  readonly secret: Uint8Array;
}

const shuttingDown: Report = {
  code: '57P03',
  message: 'the gateway is shutting down',
  hint: 'Connect to another gateway, or again in a moment.',
};

/** At the end, who has not logged in may take so long for it, to be told why it is let go. */
const arrivalMs = 500;

class FrontEnd {
  readonly #options: PostgresServerOptions;
  readonly #limits: PostgresLimits;
  readonly #users: ReadonlyMap<string, KnownUser> | null;
  readonly #tls: Parameters<typeof login>[1]['tls'];
  readonly #slots: ConnectionSlots<Socket>;
  readonly #budget: InputBudget<WireSession>;
  readonly #sockets = new Set<Socket>();
  /** Of these, not logged in. */
  readonly #arriving = new Set<Socket>();
  /** By the process id that they were told. */
  readonly #clients = new Map<number, Client>();
  #closing: (() => void) | null = null;
  readonly #logins = { ok: 0, refused: 0 };
  readonly #cancels = { met: 0, missed: 0 };

  constructor(
    options: PostgresServerOptions,
    users: ReadonlyMap<string, KnownUser> | null,
    tls: Parameters<typeof login>[1]['tls'],
  ) {
    this.#options = options;
    this.#limits = { ...defaultPostgresLimits, ...options.limits };
    this.#users = users;
    this.#tls = tls;
    this.#slots = new ConnectionSlots({ ...this.#limits, healthConnections: 0 });
    this.#budget = new InputBudget(this.#limits.inputBytes);
  }

  counts(): PostgresCounts {
    let running = 0;
    let inTransaction = 0;
    for (const { connection } of this.#clients.values())
      if (connection.isRunning) running += 1;
      else if (connection.inTransaction) inTransaction += 1;
    return {
      connections: this.#sockets.size,
      clients: this.#clients.size,
      running,
      inTransaction,
      logins: { ...this.#logins },
      cancels: { ...this.#cancels },
      inputBytes: this.#budget.totalBytes,
    };
  }

  accept(socket: Socket): void {
    const seating = this.#slots.take(socket, socket.remoteAddress ?? '');
    if (seating.kind !== 'seated') {
      this.#slots.leave(socket);
      const value = this.#limits[seating.bound];
      refuse(socket, {
        code: '53300',
        message: `the limit ${seating.bound} = ${value} of the gateway is reached`,
        hint: 'Close connections that are not used, put a pool in front, or have the operator raise the limit.',
      });
      return;
    }
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.#slots.leave(socket);
      this.#sockets.delete(socket);
      this.#closedOne();
    });
    this.#welcome(socket).catch((error: unknown) => {
      this.#options.log.warn({ error: String(error) }, 'a PostgreSQL connection failed');
      socket.destroy();
    });
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closing = resolve;
    const known = new Set([...this.#clients.values()].map(({ connection }) => connection));
    for (const connection of known) connection.drain();
    const timer = setTimeout(() => {
      for (const { connection } of this.#clients.values()) connection.cut();
      for (const socket of this.#sockets) socket.destroy();
    }, this.#limits.shutdownMs);
    // They have no work here: an open port that says nothing would hold up the end as long as a transaction.
    const arrivals = setTimeout(() => {
      for (const socket of this.#arriving) socket.destroy();
    }, arrivalMs);
    this.#closedOne();
    await promise;
    clearTimeout(timer);
    clearTimeout(arrivals);
  }

  #closedOne(): void {
    if (this.#sockets.size === 0 && this.#clients.size === 0) this.#closing?.();
  }

  async #welcome(socket: Socket): Promise<void> {
    const timer = setTimeout(() => socket.destroy(), this.#limits.loginMs);
    this.#arriving.add(socket);
    const options = { tls: this.#tls, users: this.#users, maxBytes: this.#limits.loginMessageBytes };
    const result = await login(socket, options).finally(() => this.#arriving.delete(socket));
    switch (result.kind) {
      case 'gone':
        socket.destroy();
        break;
      case 'cancel':
        if (this.cancel(result) === 'unknown') {
          this.#cancels.missed += 1;
          this.#options.passOn?.(result);
        }
        socket.destroy();
        break;
      case 'refused':
        this.#options.log.info(
          { code: result.report.code, reason: result.report.message },
          'a PostgreSQL client was refused',
        );
        this.#logins.refused += 1;
        refuse(result.socket, result.report);
        break;
      case 'loggedIn':
        this.#slots.prove(socket);
        await this.#begin(result);
        break;
    }
    clearTimeout(timer);
  }

  async #begin(loggedIn: LoggedIn): Promise<void> {
    const { socket, reader, minor } = loggedIn;
    const { service, version } = this.#options;
    if (this.#closing !== null) {
      refuse(socket, shuttingDown);
      return;
    }
    const begun = await beginSession(loggedIn, service, version);
    if (begun.kind === 'refused') {
      this.#logins.refused += 1;
      refuse(socket, begun.report);
      return;
    }
    const { session, settings, reported } = begun;
    this.#logins.ok += 1;
    const processId = this.#freeProcessId();
    const secret = randomBytes(minor >= longSecretMinor ? 32 : 4);
    const conversation = new Conversation(this.#limits, settings, contentName, loggedIn.access);
    const connection = new Connection({
      socket,
      reader,
      session,
      conversation,
      limits: this.#limits,
      hold: (bytes) => this.#budget.hold(session, bytes),
      onFault: (error) => this.#options.log.warn({ error: String(error) }, 'a PostgreSQL connection failed'),
      onClosed: () => {
        this.#clients.delete(processId);
        this.#closedOne();
      },
    });
    this.#clients.set(processId, { connection, secret });
    const told = Object.entries(reported).map(([name, value]) => parameterStatus(name, value));
    connection.start([authenticationOk, ...told, backendKeyData(processId, secret), readyForQuery('I')]);
    if (this.#closing !== null) connection.drain();
  }

  #freeProcessId(): number {
    for (;;) {
      const id = randomInt(1, 2 ** 31 - 1);
      if (!this.#clients.has(id)) return id;
    }
  }

  /** G103: ends what the client runs that was given this secret; who guesses learns nothing. */
  cancel({ processId, secret }: CancelKey): 'unknown' | 'known' {
    const client = this.#clients.get(processId);
    const isKnown = client?.secret.length === secret.length && timingSafeEqual(client.secret, secret);
    if (!isKnown) return 'unknown';
    const { isRunning } = client.connection;
    this.#cancels[isRunning ? 'met' : 'missed'] += 1;
    if (isRunning) client.connection.cancel();
    return 'known';
  }
}

/** Long enough that no two contents have one name. */
const contentHex = 48;

function contentName(content: Uint8Array, settings: string): string {
  const hash = createHash('sha256').update(settings).update('\0').update(content).digest('hex');
  return `sextant_${hash.slice(0, contentHex)}`;
}
