/** How a connection begins: encryption, the startup packet, and proof of who it is. Whatever is not understood ends it, with a reason. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Verifier } from '../../regions/core.ts';
import { FrameSource } from './frame-source.ts';
import type { FrameReader } from './protocol/core/frame-reader.ts';
import {
  authenticationSasl,
  authenticationSaslContinue,
  authenticationSaslFinal,
  errorResponse,
  type Report,
} from './protocol/core/server-messages.ts';
import {
  negotiation,
  readStartup,
  type StartupPacket,
  startupSettings,
  unknownOptions,
} from './protocol/core/startup-packet.ts';
import { ScramExchange } from './scram/scram-server.ts';
import { refusals } from './sql/core/refusals.ts';
import type { TlsEndpoint } from './tls-endpoint.ts';

/** Somebody who may log in. */
export interface KnownUser {
  readonly name: string;
  readonly verifier: Verifier;
  /** `read`: its sessions may change nothing. */
  readonly access: 'full' | 'read';
}

export interface LoginOptions {
  /** Null where nothing is encrypted; else nothing else is taken. */
  readonly tls: (() => TlsEndpoint) | null;
  /** By name; null where nobody has to prove anything. */
  readonly users: ReadonlyMap<string, KnownUser> | null;
  /** Bound on one message, bytes. */
  readonly maxBytes: number;
}

export interface LoggedIn {
  readonly kind: 'loggedIn';
  readonly socket: Socket;
  /** What has arrived behind the login. */
  readonly reader: FrameReader;
  readonly user: string;
  readonly access: 'full' | 'read';
  /** As the client named it; its user's name where it named none. */
  readonly database: string;
  /** Settings that the session begins with, by lower-case name. */
  readonly settings: Readonly<Record<string, string>>;
  /** Minor version of the protocol that the client asked for. */
  readonly minor: number;
}

export type Login =
  | LoggedIn
  | Extract<StartupPacket, { kind: 'cancel' }>
  /** It was told why, where it speaks the protocol. `report` is for the log. */
  | { readonly kind: 'refused'; readonly socket: Socket; readonly report: Report }
  /** The peer went, or spoke something else. */
  | { readonly kind: 'gone' };

const gone: Login = { kind: 'gone' };
/** First byte of every TLS connection. */
const handshakeByte = 0x16;
const protocolName = 'postgresql';
/** As PostgreSQL takes names of users and databases, bytes. */
const nameBytesMax = 63;

const plainRefused: Report = {
  code: '28000',
  message: 'this gateway takes encrypted connections only',
  hint: 'Connect with sslmode=require, or sslmode=verify-full and the authority of the deployment.',
};
const malformed = (message: string): Report => ({ code: '08P01', message });

/** Answers until it is known who is there, or that nobody is to be let in. Never rejects for what a peer does. */
export async function login(raw: Socket, options: LoginOptions): Promise<Login> {
  let socket = raw;
  let source = new FrameSource(socket, options.maxBytes);
  let endpoint: TlsEndpoint | null = null;
  const refused = (report: Report): Login => {
    source.detach();
    return { kind: 'refused', socket, report };
  };
  const encrypt = async (isDirect: boolean): Promise<boolean> => {
    if (options.tls === null) return false;
    const begun = source.detach().rest();
    // What came in plain text behind the request would be taken for something that came encrypted.
    if (!isDirect && begun.length > 0) return false;
    if (begun.length > 0) raw.unshift(begun);
    endpoint = options.tls();
    const encrypted = await encryptedSocket(raw, endpoint, isDirect);
    if (encrypted === null) return false;
    socket = encrypted;
    source = new FrameSource(socket, options.maxBytes);
    return true;
  };

  if ((await source.firstByte()) === handshakeByte && !(await encrypt(true))) return gone;
  for (let asked = 0; asked < 3; asked++) {
    const next = await source.next('startup');
    if (next === null) return gone;
    if (next.kind !== 'frame') return refused(malformed(`invalid length of startup packet: ${next.length}`));
    const packet = readStartup(next.frame.body);
    switch (packet.kind) {
      case 'gss':
        socket.write('N');
        break;
      case 'tls':
        if (options.tls === null || endpoint !== null) {
          socket.write('N');
          break;
        }
        socket.write('S');
        if (!(await encrypt(false))) return gone;
        break;
      case 'cancel':
        source.detach();
        return packet;
      case 'malformed':
        return refused(malformed(packet.reason));
      case 'startup':
        if (options.tls !== null && endpoint === null) return refused(plainRefused);
        return await begin(packet, socket, source, options, endpoint);
    }
  }
  return refused(malformed('encryption was asked for again and again'));
}

async function encryptedSocket(
  raw: Socket,
  endpoint: TlsEndpoint,
  isDirect: boolean,
): Promise<Socket | null> {
  const encrypted = new TLSSocket(raw, {
    isServer: true,
    secureContext: endpoint.context,
    ALPNProtocols: [protocolName],
  });
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const failed = (): void => resolve(false);
  encrypted.once('secure', () => resolve(true));
  encrypted.on('error', failed);
  encrypted.once('close', failed);
  const secured = await promise;
  encrypted.off('close', failed);
  // Who begins with TLS has to say which protocol is meant: so nothing of another protocol is sent here by mistake.
  if (secured && (!isDirect || encrypted.alpnProtocol === protocolName)) return encrypted;
  raw.destroy();
  return null;
}

async function begin(
  { minor, parameters }: Extract<StartupPacket, { kind: 'startup' }>,
  socket: Socket,
  source: FrameSource,
  options: LoginOptions,
  endpoint: TlsEndpoint | null,
): Promise<Login> {
  const refused = (report: Report): Login => {
    source.detach();
    return { kind: 'refused', socket, report };
  };
  const user = parameters.get('user') ?? '';
  const database = parameters.get('database') ?? user;
  if (user === '' || Buffer.byteLength(user) > nameBytesMax)
    return refused({
      code: '28000',
      message: 'the startup packet names no user, or one longer than 63 bytes',
    });
  if (!/^(?:false|off|no|0)?$/i.test(parameters.get('replication') ?? ''))
    return refused(refusals.replication);
  const given = startupSettings(parameters);
  if (given.kind === 'malformed') return refused({ code: '22023', message: given.reason });
  const negotiated = negotiation(minor, unknownOptions(parameters));
  if (negotiated !== null) socket.write(negotiated);
  let access: KnownUser['access'] = 'full';
  if (options.users !== null) {
    const known = options.users.get(user) ?? null;
    const exchange = new ScramExchange(user, known?.verifier ?? null, endpoint?.bindingData ?? null);
    const report = await prove(user, exchange, socket, source);
    if (report === 'gone') return gone;
    if (report !== null) return refused(report);
    access = known?.access ?? 'read';
  }
  const reader = source.detach();
  return { kind: 'loggedIn', socket, reader, user, access, database, settings: given.settings, minor };
}

/** Null when the client knows the password of the user. */
async function prove(
  user: string,
  exchange: ScramExchange,
  socket: Socket,
  source: FrameSource,
): Promise<Report | 'gone' | null> {
  socket.write(authenticationSasl(exchange.mechanisms));
  for (const message of ['first', 'final'] as const) {
    const next = await source.next('messages');
    if (next === null) return 'gone';
    if (next.kind !== 'frame') return malformed(`invalid length of message: ${next.length}`);
    if (next.frame.type === 'X') return 'gone';
    if (next.frame.type !== 'p') return malformed('a SASL message was expected');
    const step = exchange[message](next.frame.body);
    switch (step.kind) {
      case 'continue':
        socket.write(authenticationSaslContinue(step.data));
        break;
      case 'final':
        socket.write(authenticationSaslFinal(step.data));
        break;
      case 'malformed':
        return malformed(step.reason);
      case 'wrong':
        return { code: '28P01', message: `password authentication failed for user ${JSON.stringify(user)}` };
    }
  }
  return null;
}

/** Says why, and hangs up. */
export function refuse(socket: Socket, report: Report): void {
  socket.on('error', () => undefined);
  socket.end(errorResponse('FATAL', report));
  setTimeout(() => socket.destroy(), lingerMs).unref();
}

/** Who is told why it is refused has so long to read it. */
const lingerMs = 2_000;
