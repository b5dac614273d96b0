/** WebSocket upgrades of the libSQL protocol: which subprotocol is spoken, and the set of open sockets. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { adviseFailure } from '../sql/errors.ts';
import type { SqlOutcome } from '../sql/sql.ts';
import { createDecoder, type HranaDecoder } from './core/hrana-messages.ts';
import type { HranaTarget } from './core/hrana-target.ts';
import { HranaSocket, type HranaWsOptions, type SocketCaller } from './hrana-socket.ts';

export type { HranaWsOptions } from './hrana-socket.ts';

export interface Subprotocol {
  readonly version: 1 | 2 | 3;
  readonly encoding: 'json' | 'protobuf';
}

/** By preference: JSON costs this gateway less than protobuf. */
const subprotocols: ReadonlyMap<string, Subprotocol> = new Map<string, Subprotocol>([
  ['hrana3', { version: 3, encoding: 'json' }],
  ['hrana3-protobuf', { version: 3, encoding: 'protobuf' }],
  ['hrana2', { version: 2, encoding: 'json' }],
  ['hrana1', { version: 1, encoding: 'json' }],
]);

/** The name of the subprotocol to speak, or the reason why none is possible. A client that offers none speaks Hrana 1, as ever. */
export function chooseSubprotocol(offered: string | undefined): SqlOutcome<string | null> {
  if (offered === undefined) return { ok: true, value: null };
  const names = offered.split(',').map((name) => name.trim().toLowerCase());
  for (const name of subprotocols.keys()) if (names.includes(name)) return { ok: true, value: name };
  return adviseFailure(
    'SEXTANT_PROTOCOL_ERROR',
    `This gateway speaks the WebSocket subprotocols ${[...subprotocols.keys()].join(', ')}; the client offers none of them`,
  );
}

/** Accepts upgrades and keeps the sockets. */
export class HranaWs {
  readonly #options: HranaWsOptions;
  readonly #decoder: HranaDecoder;
  readonly #server: WebSocketServer;
  readonly #sockets = new Set<HranaSocket>();
  #emptied: (() => void) | null = null;

  constructor(options: HranaWsOptions) {
    this.#options = options;
    this.#decoder = createDecoder(options.limits);
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: options.limits.websocketMessageBytes,
      handleProtocols: (offered) => {
        const chosen = chooseSubprotocol([...offered].join(','));
        return chosen.ok && chosen.value !== null ? chosen.value : false;
      },
    });
  }

  /** Sockets open now. */
  get openSockets(): number {
    return this.#sockets.size;
  }

  /** Requests received on all sockets and not yet answered. */
  get requestsInFlight(): number {
    let sum = 0;
    for (const socket of this.#sockets) sum += socket.requestsInFlight;
    return sum;
  }

  /** Takes over an upgrade request. Its subprotocols must have passed `chooseSubprotocol`. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, target: HranaTarget): void {
    const { readPreference, bookmark } = target;
    this.#server.handleUpgrade(request, socket, head, (ws) => {
      const caller: SocketCaller = {
        ...(subprotocols.get(ws.protocol) ?? { version: 1, encoding: 'json' }),
        context: { traceparent: this.#options.traceFromHeaders(request.headers) },
        readPreference,
        bookmark,
        client: request.socket.remoteAddress ?? '',
      };
      const hrana: HranaSocket = new HranaSocket(ws, socket, this.#options, this.#decoder, caller, () => {
        this.#sockets.delete(hrana);
        if (this.#sockets.size === 0) this.#emptied?.();
      });
      this.#sockets.add(hrana);
    });
  }

  /** Drains every socket, cuts after `shutdownMs` those that are left; all sessions are closed afterwards. */
  async close(): Promise<void> {
    if (this.#sockets.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#emptied = resolve;
    for (const socket of this.#sockets) socket.drain();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.cut();
    }, this.#options.limits.shutdownMs);
    await promise;
    clearTimeout(timer);
  }
}
