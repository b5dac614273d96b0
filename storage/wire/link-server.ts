/** The side of a link that listens: checks who asks before a socket becomes a link, and tells a stranger nothing. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { sextantVersion } from '../../telemetry/core.ts';
import { versionRefusal } from '../process/core/version-skew.ts';
import { LinkConnection, type LinkHandlers } from './link-connection.ts';
import {
  type LinkBounds,
  type LinkRefusal,
  linkBoundsDefault,
  linkHeaders,
  linkPath,
  linkVersion,
} from './link-protocol.ts';

export interface LinkServerOptions {
  /** Upgrades at `linkPath` are taken from this server; other upgrades are left to the server's other listeners, if any. */
  readonly server: Server;
  readonly cluster: string;
  readonly secret: string;
  /** Why the process at the other end, by its certificate, may not have a link; null when it may. Asked before all else. */
  readonly identityRefusal?: (stream: Duplex) => string | null;
  /** Runs for each link that was let in, before its first message. */
  readonly onLink: (link: LinkConnection) => LinkHandlers;
  /** Runs for each upgrade that was not; `peer` is the address it came from. */
  readonly onRefused?: (refusal: LinkRefusal, peer: string) => void;
  readonly bounds?: Partial<LinkBounds>;
  readonly linksMax?: number;
  readonly version?: number;
  /** The version of Sextant that this process runs. */
  readonly release?: string;
}

const linksMaxDefault = 1024;

export class LinkServer {
  private readonly options: LinkServerOptions;
  private readonly bounds: LinkBounds;
  private readonly sockets: WebSocketServer;
  private readonly links = new Set<LinkConnection>();
  private readonly secretDigest: Buffer;
  private readonly release: string;
  private phase: 'open' | 'closing' = 'open';
  private onEmpty: (() => void) | undefined;
  private readonly onUpgrade = (request: IncomingMessage, stream: Duplex, head: Buffer): void => {
    if (request.url === linkPath) this.upgrade(request, stream, head);
    else if (this.options.server.listenerCount('upgrade') === 1) {
      // Nobody else will answer.
      this.refuse(request, stream, {
        status: 404,
        code: 'LINK_NOT_SEXTANT',
        message: `links are at ${linkPath}`,
      });
    }
  };

  constructor(options: LinkServerOptions) {
    this.options = options;
    this.bounds = { ...linkBoundsDefault, ...options.bounds };
    this.secretDigest = digest(options.secret);
    this.release = options.release ?? sextantVersion;
    this.sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: this.bounds.messageBytesMax,
    });
    options.server.on('upgrade', this.onUpgrade);
  }

  /** Links that are open. */
  get linkCount(): number {
    return this.links.size;
  }

  /** Refuses new links, closes those that are open and waits for that; the HTTP server is its owner's to close. */
  async close(): Promise<void> {
    this.phase = 'closing';
    for (const link of this.links) link.close();
    if (this.links.size > 0) {
      // Bounded: every link destroys its socket half a second after `close`.
      await new Promise<void>((resolve) => {
        this.onEmpty = resolve;
      });
    }
    this.options.server.off('upgrade', this.onUpgrade);
  }

  private upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    // An upgrade of an http.Server comes with its TCP (or TLS) socket; nothing else could be watched for signs of life.
    if (!(stream instanceof Socket)) {
      this.refuse(request, stream, {
        status: 400,
        code: 'LINK_NOT_SEXTANT',
        message: 'links run over TCP or TLS',
      });
      return;
    }
    const refusal = this.identityRefusal(stream) ?? this.refusal(request);
    if (refusal !== undefined) {
      this.refuse(request, stream, refusal);
      return;
    }
    this.sockets.handleUpgrade(request, stream, head, (socket) => this.welcome(socket, stream));
  }

  private refuse(request: IncomingMessage, stream: Duplex, refusal: LinkRefusal): void {
    this.options.onRefused?.(refusal, request.socket.remoteAddress ?? 'unknown');
    answerRefused(stream, refusal);
  }

  private welcome(socket: WebSocket, stream: Socket): void {
    // The owner is told of the link before it can hear from it: no message is read before this turn ends.
    const handlers: { current?: LinkHandlers } = {};
    const link = new LinkConnection(socket, stream, 'server', this.bounds, {
      onMessage: (bytes) => handlers.current?.onMessage(bytes),
      onClose: (reason) => {
        this.links.delete(link);
        handlers.current?.onClose(reason);
        if (this.links.size === 0) this.onEmpty?.();
      },
    });
    this.links.add(link);
    handlers.current = this.options.onLink(link);
  }

  private identityRefusal(stream: Duplex): LinkRefusal | undefined {
    const message = this.options.identityRefusal?.(stream) ?? null;
    return message === null ? undefined : { status: 403, code: 'IDENTITY_REFUSED', message };
  }

  /** The secret comes first: who does not know it learns neither the cluster nor the version. */
  private refusal(request: IncomingMessage): LinkRefusal | undefined {
    const { cluster, version = linkVersion, linksMax = linksMaxDefault } = this.options;
    const given = /^Bearer (.+)$/i.exec(request.headers[linkHeaders.authorization] ?? '')?.[1] ?? '';
    if (!timingSafeEqual(digest(given), this.secretDigest)) {
      const message = 'the cluster secret is wrong: both processes must be configured with the same one';
      return { status: 401, code: 'LINK_SECRET_WRONG', message };
    }
    const theirCluster = one(request, linkHeaders.cluster);
    if (theirCluster !== cluster) {
      const message =
        `this process belongs to cluster ${cluster}, the caller to cluster ${theirCluster}: ` +
        'one of them runs from the file of another deployment, or the address is wrong';
      return { status: 409, code: 'LINK_CLUSTER_MISMATCH', message };
    }
    const theirVersion = one(request, linkHeaders.version);
    if (theirVersion !== String(version)) {
      const message = `this process speaks link version ${version}, the caller version ${theirVersion}`;
      return { status: 426, code: 'LINK_VERSION_MISMATCH', message };
    }
    const release = request.headers[linkHeaders.release];
    const farApart = versionRefusal(typeof release === 'string' ? release : null, this.release);
    if (farApart !== null) return { status: 426, code: 'LINK_VERSION_MISMATCH', message: farApart };
    if (this.phase === 'closing') {
      return { status: 503, code: 'LINK_CLOSING', message: 'this process is shutting down' };
    }
    if (this.links.size < linksMax) return undefined;
    return {
      status: 503,
      code: 'LINK_TOO_MANY',
      message: `this process holds ${linksMax} links, which is its limit`,
    };
  }
}

const statusTexts: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  426: 'Upgrade Required',
  503: 'Service Unavailable',
};

function answerRefused(stream: Duplex, { status, code, message }: LinkRefusal): void {
  const body = JSON.stringify({ code, message });
  const head = [
    `HTTP/1.1 ${status} ${statusTexts[status] ?? 'Refused'}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    ...(status === 401 ? ['WWW-Authenticate: Bearer'] : []),
    ...(status === 426 ? ['Upgrade: websocket'] : []),
  ];
  stream.on('error', () => stream.destroy());
  stream.once('finish', () => stream.destroy());
  stream.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

/** Equal lengths for the comparison, whatever was sent. */
function digest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

function one(request: IncomingMessage, header: string): string {
  const value = request.headers[header];
  return typeof value === 'string' ? value : 'unknown';
}
