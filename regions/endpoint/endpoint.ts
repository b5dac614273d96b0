/**
 * The endpoints of a region: ports that take connections of clients and hand each, as it is, to a gateway that lives; two for the
 * libSQL protocol, and two for PostgreSQL's where there are such databases. What passes is not looked at, so TLS, HTTP, WebSockets
 * and PostgreSQL's protocol end at the gateway.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { monotonicMs, parseAddress } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { EndpointConfig } from '../deploy/endpoint-config.ts';
import {
  EndpointChoice,
  endpointLimits,
  type GatewaySight,
  type KnownGateway,
} from './core/endpoint-choice.ts';
import type { EndpointObserver, EndpointPort, EndpointProtocol } from './endpoint-metrics.ts';
import { askForOthers, type Place, placeOf, plainPlaceOf, probe } from './gateway-look.ts';

/** An expected reason why an endpoint cannot start, in words for the operator. */
export class EndpointStartError extends Error {}

const connectionsMax = 10_000;
/** From a dial that came to nothing to the next, when every gateway was tried. */
const againMs = 50;
const dialMs = 2_000;

/** When one side has ended, what was sent to the other may take so long to leave. */
const lingerMs = 2_000;

/** Where a gateway is found. */
interface Places {
  /** Questions go there, too. */
  readonly http: Place;
  /** Null where it takes no such clients. */
  readonly postgres: Place | null;
}

interface Pair {
  readonly port: EndpointPort;
  /** When it was handed over. */
  readonly sinceMs: number;
  readonly client: Socket;
  readonly gateway: Socket;
}

export class Endpoint {
  private readonly config: EndpointConfig;
  private readonly log: Logger;
  private readonly observer: EndpointObserver;
  private readonly waitMs: number;
  private readonly choice: EndpointChoice;
  private readonly servers: Server[] = [];
  private readonly places = new Map<string, Places>();
  private readonly pairs = new Map<string, Set<Pair>>();
  private readonly asking = new Set<string>();
  private looks: NodeJS.Timeout | null = null;
  private turn = 0;
  private told = '';
  private closed = false;

  private constructor(config: EndpointConfig, log: Logger, observer: EndpointObserver, waitMs: number) {
    this.config = config;
    this.log = log;
    this.observer = observer;
    this.waitMs = waitMs;
    this.choice = new EndpointChoice(config.region);
    this.know(this.own);
  }

  /** @param waitMs a connection that finds no gateway waits for one so long. @throws EndpointStartError when an address cannot be listened on. */
  static async start(
    config: EndpointConfig,
    log: Logger,
    observer: EndpointObserver,
    waitMs: number = endpointLimits.waitMs,
  ): Promise<Endpoint> {
    const endpoint = new Endpoint(config, log, observer, waitMs);
    try {
      for (const [protocol, part] of [['http', config] as const, ['postgres', config.postgres] as const])
        for (const kind of part === undefined ? [] : (['writer', 'reader'] as const))
          await endpoint.listen({ protocol, kind }, part?.[kind] ?? '');
    } catch (error) {
      await endpoint.close();
      throw error;
    }
    endpoint.look();
    endpoint.looks = setInterval(() => endpoint.look(), endpointLimits.lookMs);
    return endpoint;
  }

  /** Ports that it listens on, in the order writer, reader, then those for PostgreSQL clients. */
  get ports(): readonly number[] {
    return this.servers.map((server) => {
      const bound = server.address();
      return typeof bound === 'object' && bound !== null ? bound.port : 0;
    });
  }

  /** The gateways that it knows, as it sees them. */
  get gateways(): readonly GatewaySight[] {
    return this.choice.gateways;
  }

  /** Connections that a port has taken and that lead to a gateway now. */
  openAt({ kind, protocol }: EndpointPort): number {
    let count = 0;
    for (const pairs of this.pairs.values())
      for (const { port } of pairs) if (port.kind === kind && port.protocol === protocol) count += 1;
    return count;
  }

  async close(): Promise<void> {
    this.closed = true;
    if (this.looks !== null) clearInterval(this.looks);
    for (const pairs of this.pairs.values()) cut([...pairs]);
    await Promise.all(this.servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  private async listen(port: EndpointPort, text: string): Promise<void> {
    const { protocol, kind } = port;
    const key = protocol === 'http' ? kind : `postgres.${kind}`;
    const address = parseAddress(text);
    if (address === undefined) throw new EndpointStartError(`${key}: ${text} is not host:port`);
    const server = createServer({ noDelay: true, keepAlive: true }, (client) => void this.take(port, client));
    server.maxConnections = connectionsMax;
    server.on('drop', () => this.observer.refused(port, 'limit'));
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) =>
        reject(
          new EndpointStartError(
            error.code === 'EADDRINUSE'
              ? `${text} is in use by another process: stop it, or change endpoint.${key}`
              : `cannot listen on ${text} (endpoint.${key}): ${error.message}`,
          ),
        ),
      );
      server.listen(address.port, address.host, resolve);
    });
    server.on('error', (error) => this.log.warn({ err: error, key }, 'a connection could not be taken'));
    this.servers.push(server);
  }

  /** Hands a connection to a gateway; one after another is tried until one takes it, or time is up. */
  private async take(port: EndpointPort, client: Socket): Promise<void> {
    client.on('error', () => client.destroy());
    const { kind, protocol } = port;
    const sinceMs = monotonicMs();
    const deadline = sinceMs + this.waitMs;
    let tried = this.without(protocol);
    while (!this.closed && !client.destroyed && monotonicMs() < deadline) {
      const id = this.choice.pick(kind, tried);
      const place = id === null ? undefined : this.places.get(id)?.[protocol];
      if (id === null || place === undefined || place === null) {
        tried = this.without(protocol);
        await new Promise((resolve) => setTimeout(resolve, againMs));
        continue;
      }
      const gateway = await dial(place);
      if (gateway !== null) return this.join(id, { port, sinceMs: monotonicMs(), client, gateway }, sinceMs);
      this.observer.dialFailed(id);
      this.choice.refused(id, monotonicMs());
      tried.add(id);
    }
    if (!this.closed && !client.destroyed) this.observer.refused(port, 'no_gateway');
    client.destroy();
  }

  /** Gateways that take no clients of a protocol. */
  private without(protocol: EndpointProtocol): Set<string> {
    return new Set([...this.places].flatMap(([id, places]) => (places[protocol] === null ? [id] : [])));
  }

  private join(id: string, pair: Pair, cameMs: number): void {
    const { client, gateway, port, sinceMs } = pair;
    if (client.destroyed || this.closed) {
      gateway.destroy();
      client.destroy();
      return;
    }
    const pairs = this.pairs.get(id) ?? new Set<Pair>();
    this.pairs.set(id, pairs);
    pairs.add(pair);
    this.choice.connected(id);
    this.observer.handedOver(port, sinceMs - cameMs);
    let ended = false;
    // What one said last, such as why it ends, reaches the other.
    const end = (other: Socket, failed: boolean): void => {
      if (failed) other.destroy();
      else {
        other.end();
        setTimeout(() => other.destroy(), lingerMs).unref();
      }
      if (ended) return;
      ended = true;
      pairs.delete(pair);
      this.choice.disconnected(id);
    };
    for (const [socket, other] of [[client, gateway] as const, [gateway, client] as const]) {
      socket.on('error', () => end(other, true));
      socket.on('close', (failed) => end(other, failed));
    }
    client.pipe(gateway);
    gateway.pipe(client);
  }

  private know(gateways: readonly KnownGateway[]): void {
    const found = gateways.flatMap((known) => {
      const http = placeOf(known.address, this.config.tls);
      return http === null ? [] : [{ known, places: { http, postgres: plainPlaceOf(known.postgres) } }];
    });
    this.choice.know(found.map(({ known }) => known));
    for (const { known, places } of found)
      if (!this.isOwn(known.id) || !this.places.has(known.id)) this.places.set(known.id, places);
  }

  private get own(): readonly KnownGateway[] {
    const { region, gateways } = this.config;
    return gateways.map(({ gateway, address, postgres }) => ({
      id: `${region}/${gateway}`,
      region,
      address,
      postgres,
    }));
  }

  /** A gateway of this region is dialled where the file says that it listens, whatever others are told. */
  private isOwn(id: string): boolean {
    return this.config.gateways.some(({ gateway }) => `${this.config.region}/${gateway}` === id);
  }

  private look(): void {
    for (const [id, { http }] of this.places) {
      // One question to each at a time.
      if (this.asking.has(id)) continue;
      this.asking.add(id);
      void probe(http).then((answer) => {
        this.asking.delete(id);
        this.choice.probed(id, answer, monotonicMs());
      });
    }
    void this.askOne();
    const nowMs = monotonicMs();
    for (const [id, pairs] of this.pairs) {
      const lost = [...pairs].filter(({ sinceMs }) => this.choice.isLost(id, sinceMs, nowMs));
      if (lost.length === 0) continue;
      const connections = lost.length;
      this.log.warn({ gateway: id, connections }, 'a gateway does not answer: its connections are cut');
      for (const { port } of lost) this.observer.cut(port);
      cut(lost);
    }
    this.tell();
  }

  /** Each gateway in turn is asked for the others. */
  private async askOne(): Promise<void> {
    const all = [...this.places];
    this.turn += 1;
    const [, places] = all[this.turn % all.length] ?? [];
    if (places === undefined) return;
    const heard = await askForOthers(places.http, this.config.secret);
    if (heard === null) return;
    const others = heard.gateways.map(({ region, gateway, address, postgres }) => ({
      id: `${region}/${gateway}`,
      region,
      address,
      postgres,
    }));
    const { own } = this;
    const ownIds = new Set(own.map(({ id }) => id));
    const wanted = [...own, ...others.filter(({ id }) => !ownIds.has(id))];
    this.know(wanted);
    const ids = new Set(wanted.map(({ id }) => id));
    for (const id of this.places.keys())
      if (!ids.has(id) && this.choice.connectionsOf(id) === 0) this.places.delete(id);
  }

  /** Where new connections lead, when that has changed. */
  private tell(): void {
    const writer = this.choice.pick('writer', new Set());
    if (writer === this.told || writer === null) return;
    this.told = writer;
    this.log.info({ writer }, 'connections for the writer lead there from now on');
  }
}

function dial({ host, port }: Place): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, noDelay: true, keepAlive: true });
    const timer = setTimeout(() => socket.destroy(), dialMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('close');
      resolve(socket);
    });
    socket.on('error', () => undefined);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(null);
    });
  });
}

function cut(pairs: readonly Pair[]): void {
  for (const { client, gateway } of pairs) {
    gateway.destroy();
    client.destroy();
  }
}
