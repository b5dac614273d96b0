/** The live feed: the status of the deployment over WebSocket, pushed when it changes, to a bounded number of peers. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { ServiceLimits } from '../session/core/service-limits.ts';
import { encodeErrorBody } from '../sql/error-body.ts';
import { adviseError } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';
import { statusOf } from './admin.ts';

export interface LiveFeedOptions {
  readonly limits: ServiceLimits;
  /** The status as JSON text. */
  readonly status: () => string;
  /** Why a request may not watch; null when it may. */
  readonly problem: (request: IncomingMessage) => Promise<SqlError | null>;
}

/** A peer that has taken nothing for this many pushes is cut. */
const skipsMax = 40;
const pingEveryMs = 30_000;

interface Watcher {
  skips: number;
  alive: boolean;
}

export class LiveFeed {
  private readonly options: LiveFeedOptions;
  private readonly server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: 1_024,
    perMessageDeflate: false,
  });
  private readonly watchers = new Map<WebSocket, Watcher>();
  private readonly pinger: NodeJS.Timeout;
  private timer: NodeJS.Timeout | null = null;
  private dirty = false;
  private closed = false;
  private last = '';

  constructor(options: LiveFeedOptions) {
    this.options = options;
    this.pinger = setInterval(() => this.ping(), pingEveryMs);
    this.pinger.unref();
  }

  get size(): number {
    return this.watchers.size;
  }

  /** Something may have changed. */
  changed(): void {
    if (this.watchers.size === 0) return;
    this.dirty = true;
    this.timer ??= setTimeout(() => this.push(), this.options.limits.watchEveryMs);
  }

  /** Takes over an upgrade. @returns whether it was for this feed. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const path = (request.url ?? '').split('?')[0];
    if (path !== '/v1/watch') return false;
    // Nobody else listens to the socket while the token is checked, and an error that nobody hears ends the process.
    socket.on('error', () => undefined);
    void this.admit(request, socket, head);
    return true;
  }

  close(): void {
    this.closed = true;
    clearInterval(this.pinger);
    if (this.timer !== null) clearTimeout(this.timer);
    for (const ws of this.watchers.keys()) ws.close(1001, 'The gateway is stopping');
    for (const ws of this.watchers.keys()) ws.terminate();
    this.watchers.clear();
  }

  private async admit(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const problem = (await this.options.problem(request)) ?? this.full();
    if (socket.destroyed) return;
    if (problem === null) this.server.handleUpgrade(request, socket, head, (ws) => this.add(ws));
    else refuse(socket, problem);
  }

  private full(): SqlError | null {
    if (this.closed) return adviseError('SEXTANT_SHUTTING_DOWN', 'This gateway is stopping');
    const { watchers } = this.options.limits;
    return this.watchers.size < watchers
      ? null
      : adviseError('SEXTANT_LIMIT', `The limit watchers = ${watchers} is reached`);
  }

  private add(ws: WebSocket): void {
    const watcher: Watcher = { skips: 0, alive: true };
    this.watchers.set(ws, watcher);
    ws.on('error', () => undefined);
    ws.on('close', () => void this.watchers.delete(ws));
    ws.on('pong', () => {
      watcher.alive = true;
    });
    this.last = this.options.status();
    ws.send(this.last);
  }

  private push(): void {
    this.timer = null;
    if (!this.dirty || this.watchers.size === 0) return;
    this.dirty = false;
    const status = this.options.status();
    if (status === this.last) return;
    this.last = status;
    for (const [ws, watcher] of this.watchers) {
      if (ws.bufferedAmount > this.options.limits.watchBufferedBytes) {
        watcher.skips += 1;
        if (watcher.skips > skipsMax) ws.terminate();
        continue;
      }
      watcher.skips = 0;
      ws.send(status);
    }
  }

  private ping(): void {
    for (const [ws, watcher] of this.watchers) {
      if (!watcher.alive) ws.terminate();
      watcher.alive = false;
      ws.ping();
    }
  }
}

function refuse(socket: Duplex, error: SqlError): void {
  const body = encodeErrorBody(error);
  socket.end(
    `HTTP/1.1 ${statusOf(error)} Refused\r\nconnection: close\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
