/** The live feed: the status of the deployment over WebSocket, pushed when it changes, to a bounded number of peers. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { everyBeside } from '../../storage/index.ts';
import type { Grant } from '../access/auth.ts';
import { closingAnswer, endWith } from '../access/last-words.ts';
import type { ServiceLimits } from '../session/core/service-limits.ts';
import { encodeErrorBody } from '../sql/error-body.ts';
import { adviseError, describeError } from '../sql/errors.ts';
import type { SqlError, SqlOutcome } from '../sql/sql.ts';

export interface LiveFeedOptions {
  readonly limits: ServiceLimits;
  /** The status as JSON text. */
  readonly status: () => string;
  /** What allows a request to watch, or why it may not. */
  readonly grant: (request: IncomingMessage) => Promise<SqlOutcome<Grant>>;
  /** Why a grant given earlier holds no more; null while it does. */
  readonly lapsed: (grant: Grant) => SqlError | null;
}

/** A peer that has taken nothing for this many pushes is cut. */
const skipsMax = 40;
const pingEveryMs = 30_000;
const lookEveryMs = 1_000;
/** WebSocket close code for a peer that may not go on. */
const violation = 1008;

interface Watcher {
  readonly grant: Grant;
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
  private readonly stops: readonly (() => void)[];
  private timer: NodeJS.Timeout | null = null;
  private dirty = false;
  private closed = false;
  private last = '';

  constructor(options: LiveFeedOptions) {
    this.options = options;
    this.stops = [
      everyBeside(pingEveryMs, () => this.ping()),
      everyBeside(lookEveryMs, () => this.endLapsed()),
    ];
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
    for (const stop of this.stops) stop();
    if (this.timer !== null) clearTimeout(this.timer);
    for (const ws of this.watchers.keys()) ws.close(1001, 'The gateway is stopping');
    for (const ws of this.watchers.keys()) ws.terminate();
    this.watchers.clear();
  }

  private async admit(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const grant = await this.options.grant(request);
    if (socket.destroyed) return;
    const problem = grant.ok ? this.full() : grant.error;
    if (problem === null && grant.ok)
      this.server.handleUpgrade(request, socket, head, (ws) => this.add(ws, grant.value));
    else if (problem !== null) refuse(socket, problem);
  }

  private full(): SqlError | null {
    if (this.closed) return adviseError('SEXTANT_SHUTTING_DOWN', 'This gateway is stopping');
    const { watchers } = this.options.limits;
    return this.watchers.size < watchers
      ? null
      : adviseError('SEXTANT_LIMIT', `The limit watchers = ${watchers} is reached`);
  }

  private add(ws: WebSocket, grant: Grant): void {
    const watcher: Watcher = { grant, skips: 0, alive: true };
    this.watchers.set(ws, watcher);
    ws.on('error', () => undefined);
    ws.on('close', () => void this.watchers.delete(ws));
    ws.on('pong', () => {
      watcher.alive = true;
    });
    this.last = this.options.status();
    ws.send(this.last);
  }

  /** A feed ends with the token it was opened with. */
  private endLapsed(): void {
    for (const [ws, { grant }] of this.watchers) {
      const lapsed = this.options.lapsed(grant);
      if (lapsed !== null) ws.close(violation, lapsed.code);
    }
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
  endWith(socket, closingAnswer(`${describeError(error.code).httpStatus} Refused`, encodeErrorBody(error)));
}
