/**
 * The side of a link that connects: keeps one link to an address up, for as long as it is not closed. A lost link loses
 * whatever was in flight; what rides on links must be able to repeat itself.
 */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type ClientOptions, WebSocket } from 'ws';
import { z } from 'zod';
import { sextantVersion } from '../../telemetry/core.ts';
import type { Expected } from '../identity/core/admission.ts';
import type { Credentials } from '../identity/credentials.ts';
import { describeDialError, dialSecurely } from '../identity/secure-dial.ts';
import { LinkConnection } from './link-connection.ts';
import {
  type LinkBounds,
  type LinkClose,
  type LinkRefusal,
  type LinkRefusalCode,
  linkBoundsDefault,
  linkHeaders,
  linkPath,
  linkVersion,
} from './link-protocol.ts';

export type { LinkClose, LinkRefusal } from './link-protocol.ts';

export interface LinkOptions {
  /** `host:port`. */
  readonly address: string;
  readonly cluster: string;
  readonly secret: string;
  /** What the link is encrypted with, and who has to answer. Left out, it is plain text. */
  readonly secured?: { readonly credentials: Credentials; readonly expected: Expected };
  /** From 0 up to 1; spreads reconnects so that they do not come in waves. */
  readonly random: () => number;
  /** The link is open; every `onOpen` is followed by one `onClose`. */
  readonly onOpen: () => void;
  /** See LinkHandlers in link-connection.ts for how long the bytes live. */
  readonly onMessage: (bytes: Uint8Array) => void;
  /** An open link ended; unless it was closed here, the next attempt is already planned. */
  readonly onClose: (reason: LinkClose) => void;
  /** The other side answered that it will not have this link; attempts go on, since either side may be put right. */
  readonly onRefused: (refusal: LinkRefusal) => void;
  /** An attempt failed without an answer. */
  readonly onUnreachable?: (message: string) => void;
  readonly bounds?: Partial<LinkBounds>;
  /** How long an attempt may take, from the first packet to the answer. */
  readonly connectMs?: number;
  /** Delay before the first repeat of an attempt; doubles up to `retryMaxMs`, each cut by up to half at random. */
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
  readonly version?: number;
  /** The version of Sextant that it says it runs. */
  readonly release?: string;
}

/** A link that reconnects by itself. No handler runs inside a call of `connectLink`, `send` or `close`. */
export interface Link {
  readonly isOpen: boolean;
  /** Bytes sent that the operating system has not taken yet. */
  readonly bufferedBytes: number;
  /** See LinkConnection.send. False while the link is not open. */
  send(bytes: Uint8Array): boolean;
  /** Ends the link and all attempts. */
  close(): void;
}

/** @throws AssertionError when the address is no `host:port`. */
export function connectLink(options: LinkOptions): Link {
  return new ReconnectingLink(options);
}

const refusalBytesMax = 16 * 1024;

class ReconnectingLink implements Link {
  private readonly options: LinkOptions;
  private readonly bounds: LinkBounds;
  private readonly url: URL;
  private connection: LinkConnection | undefined;
  private abandon: (() => void) | undefined;
  private retry: NodeJS.Timeout | undefined;
  private failures = 0;
  private phase: 'running' | 'closed' = 'running';

  constructor(options: LinkOptions) {
    const url = `ws://${options.address}${linkPath}`;
    assert(/^[^/@?#]+:\d+$/.test(options.address) && URL.canParse(url), `${options.address} is no host:port`);
    this.options = options;
    this.url = new URL(url);
    this.bounds = { ...linkBoundsDefault, ...options.bounds };
    this.attempt();
  }

  get isOpen(): boolean {
    return this.connection?.isOpen ?? false;
  }

  get bufferedBytes(): number {
    return this.connection?.bufferedBytes ?? 0;
  }

  send(bytes: Uint8Array): boolean {
    return this.connection?.send(bytes) ?? false;
  }

  close(): void {
    this.phase = 'closed';
    clearTimeout(this.retry);
    this.abandon?.();
    this.connection?.close();
  }

  private attempt(): void {
    const { cluster, secret, version = linkVersion, connectMs = 2_000 } = this.options;
    const { release = sextantVersion } = this.options;
    const socket = new WebSocket(this.url, {
      headers: {
        [linkHeaders.cluster]: cluster,
        [linkHeaders.authorization]: `Bearer ${secret}`,
        [linkHeaders.version]: String(version),
        [linkHeaders.release]: release,
      },
      perMessageDeflate: false,
      maxPayload: this.bounds.messageBytesMax,
      // Masks guard proxies against scripts in browsers. Between two processes they only cost: the zero mask is sent
      // as it is by ws, without a pass over the bytes at either end.
      generateMask: zeroMask,
      ...this.dialling(),
    });
    let stream: Socket | undefined;
    const end = (report: () => void): void => {
      if (this.abandon === undefined) return;
      this.abandon = undefined;
      clearTimeout(deadline);
      socket.terminate();
      if (this.phase === 'closed') return;
      report();
      this.planRetry();
    };
    const unreachable = (message: string): void => end(() => this.options.onUnreachable?.(message));
    const deadline = setTimeout(() => unreachable(`no answer within ${connectMs} ms`), connectMs);
    this.abandon = (): void => unreachable('closed');
    socket.on('error', (error) => {
      const message = describeDialError(error);
      if (message === null) unreachable(error.message);
      else end(() => this.options.onRefused({ status: 0, code: 'IDENTITY_REFUSED', message }));
    });
    socket.on('upgrade', (response) => {
      stream = response.socket;
    });
    socket.on('unexpected-response', (_request, response) =>
      readRefusal(response, (refusal) => end(() => this.options.onRefused(refusal))),
    );
    socket.on('open', () => {
      assert(stream !== undefined, 'a socket opens after its upgrade');
      if (this.abandon === undefined) return;
      this.abandon = undefined;
      clearTimeout(deadline);
      socket.removeAllListeners();
      this.opened(socket, stream);
    });
  }

  /** TLS takes the place of TCP below the WebSocket; all else is the same. */
  private dialling(): Pick<ClientOptions, 'createConnection'> {
    const { secured } = this.options;
    if (secured === undefined) return {};
    const { hostname, port } = this.url;
    const host = hostname.replace(/^\[|\]$/g, '');
    return { createConnection: () => dialSecurely({ host, port: Number(port), ...secured }) };
  }

  private opened(socket: WebSocket, stream: Socket): void {
    const connection = new LinkConnection(socket, stream, 'client', this.bounds, {
      onMessage: this.options.onMessage,
      onClose: (reason) => {
        this.connection = undefined;
        // A server that takes a link and drops it at once is tried ever more slowly.
        if (connection.isSettled) this.failures = 0;
        if (this.phase === 'running') this.planRetry();
        this.options.onClose(reason);
      },
    });
    this.connection = connection;
    this.options.onOpen();
  }

  private planRetry(): void {
    const { retryMinMs = 50, retryMaxMs = 1_000, random } = this.options;
    // Handlers that ran just now may have closed the link.
    if (this.phase === 'closed') return;
    const delayMs = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(this.failures, 20));
    this.failures += 1;
    this.retry = setTimeout(() => this.attempt(), delayMs * (0.5 + random() / 2));
  }
}

function zeroMask(mask: Buffer): void {
  mask.fill(0);
}

const refusalCodes = [
  'LINK_SECRET_WRONG',
  'LINK_CLUSTER_MISMATCH',
  'IDENTITY_REFUSED',
  'TLS_REQUIRED',
  'LINK_VERSION_MISMATCH',
  'LINK_TOO_MANY',
  'LINK_CLOSING',
  'LINK_STARTING',
  'LINK_NOT_SEXTANT',
] as const satisfies readonly LinkRefusalCode[];
const refusalSchema = z.object({ code: z.enum(refusalCodes), message: z.string().max(1_000) });

/** Calls back once, at the end of the body or of its connection; the attempt's deadline bounds the wait. */
function readRefusal(response: IncomingMessage, done: (refusal: LinkRefusal) => void): void {
  const status = response.statusCode ?? 0;
  const chunks: Buffer[] = [];
  let length = 0;
  response.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= refusalBytesMax) chunks.push(chunk);
    else response.destroy();
  });
  response.on('error', () => undefined);
  response.once('close', () => {
    const parsed = refusalSchema.safeParse(parseJson(Buffer.concat(chunks).toString()));
    const message = `the address answered with HTTP ${status} and is no Sextant link`;
    done(parsed.success ? { status, ...parsed.data } : { status, code: 'LINK_NOT_SEXTANT', message });
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
