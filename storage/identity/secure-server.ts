/**
 * A port that takes TLS 1.3 with a certificate of the cluster, and nothing else (S60). Who may not enter is told why in one
 * sentence, written before a byte of what they sent has reached a parser.
 *
 * Certificates are judged here and not in the handshake: Node.js would end the connection of a stranger without a word. Between
 * the handshake and the verdict nothing is read (S62).
 */
import { constants } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { RateLimit } from '../../telemetry/index.ts';
import { monotonicMs } from '../process/clock.ts';
import { type Door, refusalAt } from './core/admission.ts';
import { type Identity, identityIn } from './core/identity.ts';
import { type Credentials, tlsOptions } from './credentials.ts';

export interface SecureServerOptions {
  readonly credentials: Credentials;
  /** What a request asks for. Upgrades are judged by who takes them; see `refusalOf`. */
  readonly doorOf: (request: IncomingMessage) => Door;
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void;
  /** Told of who was turned away, at most once a second. */
  readonly onRefused: (refused: RefusedCaller) => void;
}

export interface RefusedCaller {
  readonly reason: string;
  /** The address. */
  readonly peer: string;
  /** Others turned away since the last one that was told. */
  readonly suppressed: number;
}

const tellEveryMs = 1_000;
/** How long a caller may take to say that it speaks TLS, and to say who it is. */
const introductionMs = 5_000;
const connectionsMax = 4_096;
/** How long a refusal may take to be read. */
const farewellMs = 500;
/** First byte of a TLS record that begins a handshake. */
const handshakeByte = 0x16;

const needsTls =
  'this port takes TLS with a certificate of its cluster: set `identity` in the configuration of the caller';

const peers = new WeakMap<Duplex, Identity>();

/** Who is at the other end; null on a port that is not secured. */
export const peerOf = (socket: Duplex): Identity | null => peers.get(socket) ?? null;

/** A server as `node:http` makes one, secured. New connections use the newest certificate. */
export function createSecureServer(options: SecureServerOptions): Server {
  const { credentials } = options;
  const limit = new RateLimit(tellEveryMs, monotonicMs);
  const onRefused = (reason: string, peer: string): void => {
    const passed = limit.pass();
    if (passed !== null) options.onRefused({ reason, peer, ...passed });
  };
  const server = createServer(
    { ...serverOptions(credentials), handshakeTimeout: introductionMs },
    (request, response) => {
      const refusal = refusalOf(credentials, options.doorOf(request), request.socket);
      if (refusal === null) return options.onRequest(request, response);
      onRefused(refusal, addressOf(request.socket));
      response.writeHead(403, { 'content-type': 'application/json', connection: 'close' });
      response.end(bodyOf('IDENTITY_REFUSED', refusal));
    },
  );
  server.maxConnections = connectionsMax;
  const stopWatching = credentials.onChange(() => server.setSecureContext(serverOptions(credentials)));
  server.once('close', stopWatching);
  standBefore(server, 'connection', (socket, goOn) => {
    whenItSpeaks(socket, (speaksTls) => {
      if (speaksTls) return goOn();
      onRefused('a caller spoke without TLS', addressOf(socket));
      turnAway(socket, '400 Bad Request', bodyOf('TLS_REQUIRED', needsTls));
    });
  });
  standBefore(server, 'secureConnection', (socket, goOn) => {
    const entry = judgePeer(socket);
    if (entry.kind === 'known') {
      peers.set(socket, entry.identity);
      return goOn();
    }
    onRefused(entry.reason, addressOf(socket));
    turnAway(socket, '403 Forbidden', bodyOf('IDENTITY_REFUSED', entry.reason));
  });
  server.on('tlsClientError', (error, socket) =>
    onRefused(`the handshake failed: ${reasonOf(error)}`, addressOf(socket)),
  );
  return server;
}

/** Null when whoever is at the other end may pass this door; else why not. */
export function refusalOf(credentials: Credentials, door: Door, socket: Duplex): string | null {
  const peer = peerOf(socket);
  return peer === null ? 'the caller has shown no certificate' : refusalAt(door, credentials.identity, peer);
}

function serverOptions({ material }: Credentials) {
  const { ca, cert, key } = material;
  return {
    ...tlsOptions,
    ca,
    cert,
    key,
    requestCert: true,
    rejectUnauthorized: false,
    // A session that is taken up again shows no certificate, which may have expired since.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** Puts a guard before what the server itself does with such an event. */
function standBefore<Event extends 'connection' | 'secureConnection'>(
  server: Server,
  event: Event,
  guard: (socket: Event extends 'connection' ? Socket : TLSSocket, goOn: () => void) => void,
): void {
  const own = server.listeners(event);
  server.removeAllListeners(event);
  server.on(event, (socket: Event extends 'connection' ? Socket : TLSSocket) =>
    guard(socket, () => {
      for (const listener of own) Reflect.apply(listener, server, [socket]);
    }),
  );
}

/** Looks at the first byte and puts it back. */
function whenItSpeaks(socket: Socket, then: (speaksTls: boolean) => void): void {
  const abandon = (): void => void socket.destroy();
  const deadline = setTimeout(abandon, introductionMs);
  socket.on('error', abandon);
  socket.once('close', () => clearTimeout(deadline));
  socket.once('readable', () => {
    const first: Buffer | null = socket.read(1);
    if (first === null) return abandon();
    clearTimeout(deadline);
    socket.unshift(first);
    socket.off('error', abandon);
    then(first[0] === handshakeByte);
  });
}

type Judged =
  | { readonly kind: 'known'; readonly identity: Identity }
  | { readonly kind: 'stranger'; readonly reason: string };

function judgePeer(socket: TLSSocket): Judged {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { kind: 'stranger', reason: 'the caller has shown no certificate' };
  if (!socket.authorized)
    return {
      kind: 'stranger',
      reason: `the caller's certificate is refused: ${verdictOf(socket.authorizationError)}`,
    };
  const found = identityIn(certificate.subjectAltName);
  return found.kind === 'none'
    ? { kind: 'stranger', reason: found.reason }
    : { kind: 'known', identity: found.identity };
}

/** OpenSSL's verdicts that an operator meets, in words. */
const verdicts: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet; compare the clocks',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'another authority has issued it',
  UNABLE_TO_GET_ISSUER_CERT: 'another authority has issued it',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'another authority has issued it',
  SELF_SIGNED_CERT_IN_CHAIN: 'another authority has issued it',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it has issued itself',
  CERT_SIGNATURE_FAILURE: 'another authority of the same name has issued it',
};

/** What OpenSSL thinks of a certificate, in words. */
export function verdictOf(problem: unknown): string {
  const code = problem instanceof Error && 'code' in problem ? String(problem.code) : String(problem);
  return verdicts[code] ?? code;
}

function turnAway(socket: Duplex, status: string, body: string): void {
  socket.on('error', () => socket.destroy());
  // What the caller has sent is read away: closing over it would reset the connection, and the answer with it.
  socket.resume();
  const deadline = setTimeout(() => socket.destroy(), farewellMs);
  socket.once('close', () => clearTimeout(deadline));
  const head = `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\nconnection: close\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

const bodyOf = (code: string, message: string): string => JSON.stringify({ code, message });
const reasonOf = (error: Error): string => ('code' in error ? String(error.code) : error.message);

function addressOf(socket: Duplex): string {
  return socket instanceof Socket ? (socket.remoteAddress ?? 'unknown') : 'unknown';
}
