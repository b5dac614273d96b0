/**
 * The listening socket below HTTP: plain or TLS, with seats for its connections. What speaks plain HTTP to a TLS port is told so, and
 * a connection that sends no whole request in time is closed.
 */
import {
  createServer as createHttpServer,
  type RequestListener,
  type Server,
  type ServerOptions,
} from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { monotonicMs } from '../../../storage/index.ts';
import { RateLimit } from '../../../telemetry/core.ts';
import {
  type CertificateFiles,
  type CertificateLog,
  readCertificate,
  tlsVersionMin,
  watchCertificate,
} from '../../access/certificate.ts';
import { type Bound, ConnectionSlots } from '../../access/core/connection-slots.ts';
import { closingAnswer, endWith } from '../../access/last-words.ts';
import type { DirectRules } from '../../direct/direct-connection.ts';
import { DirectConnections } from '../../direct/direct-connections.ts';
import type { GatewayLimits } from '../../hrana/core/protocol-limits.ts';
import { encodeErrorBody } from '../../sql/error-body.ts';
import { adviseError } from '../../sql/errors.ts';

export interface ListenerOptions {
  /** Null for plain text. */
  readonly tls: CertificateFiles | null;
  readonly limits: GatewayLimits;
  readonly logger: CertificateLog;
}

export interface Listener {
  readonly server: Server;
  /** The bound because of which a connection hears about health only; null when it hears everything. */
  boundOf(socket: Duplex): Bound | null;
  /** The peer of a connection has shown that it may use this gateway. */
  prove(socket: Duplex): void;
  /** Cuts connections that wait for a request. */
  closeIdle(): void;
  /** Cuts every connection. */
  closeAll(): void;
  /** Ends what runs beside the server. */
  close(): void;
}

export type ListenerMade =
  | { readonly kind: 'made'; readonly listener: Listener }
  | { readonly kind: 'unusable'; readonly reason: string };

/** How often `node:http` looks for connections that have been silent for too long. */
const checkEveryMs = 1_000;
const logEveryMs = 1_000;
/** First byte of every TLS connection. */
const handshakeByte = 0x16;

const plainRefused = adviseError(
  'SEXTANT_PLAIN_TEXT',
  'This port speaks HTTPS and WSS, and the request came as plain HTTP',
);

/**
 * Makes a server that listens nowhere yet.
 * @param takeDirect answers a request that came whole and alone, or returns false: then `onRequest` hears of it.
 */
export function makeListener(
  options: ListenerOptions,
  onRequest: RequestListener,
  takeDirect: DirectRules['take'],
): ListenerMade {
  const { tls, limits, logger } = options;
  const timing = {
    keepAliveTimeout: limits.keepAliveMs,
    requestTimeout: limits.requestReadMs,
    headersTimeout: Math.min(limits.firstRequestMs, limits.requestReadMs),
    connectionsCheckingInterval: Math.min(checkEveryMs, limits.firstRequestMs),
    noDelay: true,
  } satisfies ServerOptions;
  const slots = new ConnectionSlots<Socket>(limits);
  /** What HTTP calls the socket, to the one that has the seat: they differ under TLS. */
  const seatOf = new WeakMap<Duplex, Socket>();
  const crowded = new RateLimit(logEveryMs, monotonicMs);
  const seat = (socket: Socket): void => {
    const seating = slots.take(socket, socket.remoteAddress ?? '');
    socket.once('close', () => slots.leave(socket));
    if (seating.kind === 'seated') return;
    seating.evicted?.destroy();
    const passed = crowded.pass();
    if (passed !== null)
      logger.warn(
        { limit: seating.bound, value: limits[seating.bound], ...passed },
        'a connection beyond a limit hears about health only',
      );
  };
  const readDirectly = (server: Server, event: 'connection' | 'secureConnection'): DirectConnections =>
    new DirectConnections(server, event, {
      keepAliveMs: limits.keepAliveMs,
      firstRequestMs: timing.headersTimeout,
      checkEveryMs: timing.connectionsCheckingInterval,
      take: takeDirect,
    });
  const listener = (server: Server, direct: DirectConnections, close: () => void): ListenerMade => ({
    kind: 'made',
    listener: {
      server,
      boundOf: (socket) => {
        const seated = seatOf.get(socket);
        return seated === undefined ? null : slots.boundOf(seated);
      },
      prove: (socket) => {
        const seated = seatOf.get(socket);
        if (seated !== undefined) slots.prove(seated);
      },
      closeIdle: () => {
        server.closeIdleConnections();
        direct.closeIdle();
      },
      closeAll: () => {
        server.closeAllConnections();
        direct.closeAll();
      },
      close: () => {
        direct.close();
        close();
      },
    },
  });

  if (tls === null) {
    const server = createHttpServer(timing, onRequest);
    const direct = readDirectly(server, 'connection');
    server.prependListener('connection', (socket) => {
      seat(socket);
      seatOf.set(socket, socket);
    });
    return listener(server, direct, () => undefined);
  }
  const read = readCertificate(tls);
  if (read.kind === 'unusable') return { kind: 'unusable', reason: `tls: ${read.reason}` };
  const server = createHttpsServer(
    {
      ...timing,
      ...read.certificate,
      minVersion: tlsVersionMin,
      handshakeTimeout: limits.firstRequestMs,
      // HTTP/2 is spoken nowhere here; who offers it as well takes this.
      ALPNProtocols: ['http/1.1'],
    },
    onRequest,
  );
  const direct = readDirectly(server, 'secureConnection');
  const byPeer = new Map<string, Socket>();
  beforeTls(server, limits.firstRequestMs, (socket) => {
    seat(socket);
    const peer = peerOf(socket);
    byPeer.set(peer, socket);
    socket.once('close', () => byPeer.delete(peer));
  });
  server.prependListener('secureConnection', (socket) => {
    const seated = byPeer.get(peerOf(socket));
    if (seated !== undefined) seatOf.set(socket, seated);
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return listener(server, direct, watchCertificate(server, tls, logger));
}

/** What tells one open connection from all others of a listening socket. */
const peerOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;

/** Looks at the first byte of each connection before TLS does. `onConnection` hears of every connection first. */
function beforeTls(server: HttpsServer, waitMs: number, onConnection: (socket: Socket) => void): void {
  const handshakes = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    onConnection(socket);
    const silent = (): void => void socket.destroy();
    const failed = (): void => void socket.destroy();
    const timer = setTimeout(silent, waitMs);
    socket.once('error', failed);
    socket.once('close', () => clearTimeout(timer));
    socket.once('data', (first: Buffer) => {
      clearTimeout(timer);
      socket.pause();
      if (first[0] !== handshakeByte) {
        answerPlain(socket);
        return;
      }
      socket.off('error', failed);
      socket.unshift(first);
      for (const handshake of handshakes) handshake.call(server, socket);
    });
  });
}

function answerPlain(socket: Socket): void {
  endWith(socket, closingAnswer('400 Bad Request', encodeErrorBody(plainRefused)));
}
