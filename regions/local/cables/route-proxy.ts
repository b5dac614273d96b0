/**
 * The cables between the regions of a local deployment. Every NATS route between two regions runs through one of these, so that
 * a region can be cut off while all its processes stay as they are, and be joined again, and so that a message may take as long
 * as between the cities that the regions are named after. Nothing else goes from one region to another.
 */
import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type PairRoundTrip, roundTripOf } from './core/wide-area.ts';
import { DelayedDirection } from './delayed-socket.ts';

/** One direction of dialling: `from` dials, `to` listens. Bytes flow both ways. */
export type RouteEnds = { readonly from: string; readonly to: string };

const listenHost = '127.0.0.1';

/** A TCP proxy for one route, each way with its delay. While it is cut, connections are reset at once and none passes. */
export class RouteProxy {
  readonly ends: RouteEnds;
  readonly #targetPort: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #directions = new Set<DelayedDirection>();
  #delayMs = 0;
  #cut: boolean = false;

  private constructor(ends: RouteEnds, targetPort: number) {
    this.ends = ends;
    this.#targetPort = targetPort;
    this.#server = createServer({ noDelay: true }, (inbound) => this.#accept(inbound));
  }

  /** A proxy to `targetPort` that listens on any free loopback port. */
  static async open(ends: RouteEnds, targetPort: number): Promise<RouteProxy> {
    const proxy = new RouteProxy(ends, targetPort);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen(0, listenHost, resolve);
    });
    return proxy;
  }

  /** Where to dial. */
  get port(): number {
    const address = this.#server.address();
    assert(address !== null && typeof address === 'object', 'an open TCP proxy has a port');
    return address.port;
  }

  /** How long a byte takes from one end to the other, from now on. */
  set delayMs(ms: number) {
    this.#delayMs = ms;
    for (const direction of this.#directions) direction.delayMs = ms;
  }

  get isCut(): boolean {
    return this.#cut;
  }

  /** Connections now passing through. */
  get connections(): number {
    return Math.ceil(this.#sockets.size / 2);
  }

  cut(): void {
    this.#cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  heal(): void {
    this.#cut = false;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(inbound: Socket): void {
    if (this.#cut) {
      inbound.resetAndDestroy();
      return;
    }
    const outbound = connect({ host: listenHost, port: this.#targetPort, noDelay: true });
    for (const [socket, other] of [
      [inbound, outbound],
      [outbound, inbound],
    ] as const) {
      this.#sockets.add(socket);
      // An error is always followed by close, which takes the other half down too once that has arrived there.
      socket.on('error', () => undefined);
      const direction = new DelayedDirection(socket, other, this.#delayMs);
      this.#directions.add(direction);
      socket.once('close', () => {
        this.#sockets.delete(socket);
        this.#directions.delete(direction);
      });
    }
  }
}

/** All routes of a deployment, cut, slowed and healed by region. A route works while neither of its ends is isolated. */
export class RouteProxies {
  #proxies: readonly RouteProxy[];
  #pairs: readonly PairRoundTrip[];
  readonly #isolated = new Set<string>();
  /** What is added to each way of a region's links. */
  readonly #slowed = new Map<string, number>();

  /** @param pairs how far apart the regions are; empty when no distance is imitated. */
  constructor(proxies: readonly RouteProxy[], pairs: readonly PairRoundTrip[] = []) {
    this.#proxies = proxies;
    this.#pairs = pairs;
    this.#apply();
  }

  /** Where every route is dialled now. */
  get dialled(): readonly { readonly ends: RouteEnds; readonly port: number }[] {
    return this.#proxies.map(({ ends, port }) => ({ ends, port }));
  }

  /** More routes, with all distances as they are from now on. */
  add(proxies: readonly RouteProxy[], pairs: readonly PairRoundTrip[]): void {
    this.#proxies = [...this.#proxies, ...proxies];
    this.#pairs = pairs;
    this.#apply();
  }

  /** Takes away every route of a server that has gone, and what was done to its links. */
  async remove(server: string, pairs: readonly PairRoundTrip[]): Promise<void> {
    const leads = ({ ends }: RouteProxy): boolean => ends.from === server || ends.to === server;
    const gone = this.#proxies.filter(leads);
    this.#proxies = this.#proxies.filter((proxy) => !leads(proxy));
    this.#pairs = pairs;
    this.heal(server);
    await Promise.all(gone.map((proxy) => proxy.close()));
  }

  /** The distances that are imitated. */
  get pairs(): readonly PairRoundTrip[] {
    return this.#pairs;
  }

  /** Regions whose links are slower than they were made at the start. */
  get slowed(): readonly string[] {
    return [...this.#slowed.keys()];
  }

  get isolated(): readonly string[] {
    return [...this.#isolated];
  }

  isolate(region: string): void {
    this.#isolated.add(region);
    this.#apply();
  }

  /** Every byte from and to the region takes so much longer; 0 ends it. Between two slow regions it adds up. */
  slow(region: string, delayMs: number): void {
    if (delayMs === 0) this.#slowed.delete(region);
    else this.#slowed.set(region, delayMs);
    this.#apply();
  }

  /** Joins the region again, and takes away what was added to its links. */
  heal(region: string): void {
    this.#isolated.delete(region);
    this.#slowed.delete(region);
    this.#apply();
  }

  async close(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
  }

  #apply(): void {
    for (const proxy of this.#proxies) {
      const { from, to } = proxy.ends;
      const added = (this.#slowed.get(from) ?? 0) + (this.#slowed.get(to) ?? 0);
      proxy.delayMs = roundTripOf(this.#pairs, from, to) / 2 + added;
      const cut = this.#isolated.has(from) || this.#isolated.has(to);
      if (cut === proxy.isCut) continue;
      if (cut) proxy.cut();
      else proxy.heal();
    }
  }
}
