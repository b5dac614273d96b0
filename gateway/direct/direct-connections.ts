/**
 * Stands between a listening socket and Node's HTTP parser: reads whole small requests itself, which costs a fraction of what Node's
 * parser and its streams cost, and gives every connection with anything else to Node. Its bounds in time are those Node is given.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { everyBeside, monotonicMs } from '../../storage/index.ts';
import { DirectConnection, type DirectRules } from './direct-connection.ts';

export interface DirectOptions {
  /** How long a connection is kept for a further request. */
  readonly keepAliveMs: number;
  /** A connection that has sent nothing by then is told so, and closed. */
  readonly firstRequestMs: number;
  /** How often connections are looked at. */
  readonly checkEveryMs: number;
  readonly take: DirectRules['take'];
}

/** A request that takes longer to come is Node's, which has a bound for that. */
const readingMs = 1_000;
/** A connection is kept a little longer than its client was told, as by Node: a request may be on its way. */
const keptBeyondMs = 1_000;

/** As Node's parser says it. */
const silence = (): Error =>
  Object.assign(new Error('Request timeout'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });

export class DirectConnections {
  private readonly server: Server;
  private readonly options: DirectOptions;
  private readonly open = new Set<DirectConnection>();
  private readonly stopLooking: () => void;

  /** @param event with which the server tells of connections, which Node's parser has taken itself until now. */
  constructor(server: Server, event: 'connection' | 'secureConnection', options: DirectOptions) {
    this.server = server;
    this.options = options;
    const parsers = server.listeners(event);
    server.removeAllListeners(event);
    const rules: DirectRules = {
      keepAliveMs: options.keepAliveMs,
      take: options.take,
      leave: (socket) => {
        for (const parser of parsers) parser.call(server, socket);
      },
      gone: (connection) => void this.open.delete(connection),
    };
    server.on(
      event,
      (socket: Socket) => void this.open.add(new DirectConnection(socket, rules, monotonicMs)),
    );
    this.stopLooking = everyBeside(options.checkEveryMs, () => this.look());
  }

  /** Cuts connections that wait for a request. */
  closeIdle(): void {
    for (const connection of this.open) if (connection.isIdle) connection.cut();
  }

  closeAll(): void {
    for (const connection of this.open) connection.cut();
  }

  /** Ends what runs beside the connections. */
  close(): void {
    this.stopLooking();
  }

  private look(): void {
    const { keepAliveMs, firstRequestMs } = this.options;
    const nowMs = monotonicMs();
    for (const connection of this.open) {
      const quietMs = nowMs - connection.quietSinceMs;
      if (connection.isReading && quietMs > readingMs) connection.leave();
      else if (!connection.isIdle) continue;
      else if (connection.isProven && quietMs > keepAliveMs + keptBeyondMs) connection.cut();
      else if (!connection.isProven && quietMs > firstRequestMs)
        connection.give((socket) => void this.server.emit('clientError', silence(), socket));
    }
  }
}
