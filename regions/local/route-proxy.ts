/**
 * The cables between the regions of a local deployment. Every NATS route between two regions runs through one of these, so that
 * a region can be cut off while all its processes stay as they are, and be joined again.
 */
import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** One direction of dialling: `from` dials, `to` listens. Bytes flow both ways. */
export type RouteEnds = { readonly from: string; readonly to: string };

const listenHost = '127.0.0.1';

/** A TCP proxy for one route. While it is cut, connections are reset at once and none passes. */
export class RouteProxy {
  readonly ends: RouteEnds;
  readonly #targetPort: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
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

  get isCut(): boolean {
    return this.#cut;
  }

  /** Connections now passing through. */
  get connections(): number {
    return this.#sockets.size / 2;
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
      // An error is always followed by close, which takes the other half down too.
      socket.on('error', () => undefined);
      socket.once('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    inbound.pipe(outbound);
    outbound.pipe(inbound);
  }
}

/** All routes of a deployment, cut and healed by region. A route works while neither of its ends is isolated. */
export class RouteProxies {
  readonly #proxies: readonly RouteProxy[];
  readonly #isolated = new Set<string>();

  constructor(proxies: readonly RouteProxy[]) {
    this.#proxies = proxies;
  }

  get isolated(): readonly string[] {
    return [...this.#isolated];
  }

  isolate(region: string): void {
    this.#isolated.add(region);
    this.#apply();
  }

  heal(region: string): void {
    this.#isolated.delete(region);
    this.#apply();
  }

  async close(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
  }

  #apply(): void {
    for (const proxy of this.#proxies) {
      const cut = this.#isolated.has(proxy.ends.from) || this.#isolated.has(proxy.ends.to);
      if (cut === proxy.isCut) continue;
      if (cut) proxy.cut();
      else proxy.heal();
    }
  }
}
