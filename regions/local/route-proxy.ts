/**
 * The cables between the regions of a local deployment. Every NATS route between two regions runs through one of these, so that
 * a region can be cut off while all its processes stay as they are, and be joined again.
 */
import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Transform } from 'node:stream';

/** One direction of dialling: `from` dials, `to` listens. Bytes flow both ways. */
export type RouteEnds = { readonly from: string; readonly to: string };

const listenHost = '127.0.0.1';
/** Bytes on their way through a slow cable; beyond that it takes no more before some have arrived. */
const underwayMax = 8 * 1024 * 1024;

/** A direction of a cable in which every byte takes `delayMs()` longer, asked for each piece. The order stays. */
function slowly(delayMs: () => number): Transform {
  let underway = 0;
  let freeAtMs = 0;
  let resume: (() => void) | null = null;
  let done: (() => void) | null = null;
  return new Transform({
    transform(chunk: Buffer, _encoding, taken) {
      const ms = delayMs();
      if (ms === 0 && underway === 0) return taken(null, chunk);
      const now = performance.now();
      // What comes after a slower piece waits for it, also once the cable is as fast as before.
      freeAtMs = Math.max(freeAtMs, now + ms);
      underway += chunk.length;
      setTimeout(() => {
        underway -= chunk.length;
        this.push(chunk);
        if (underway === 0) done?.();
        resume?.();
        resume = null;
      }, freeAtMs - now);
      if (underway < underwayMax) taken();
      else resume = taken;
    },
    flush(ended) {
      if (underway === 0) ended();
      else done = ended;
    },
  });
}

/** A TCP proxy for one route. While it is cut, connections are reset at once and none passes. */
export class RouteProxy {
  readonly ends: RouteEnds;
  readonly #targetPort: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut: boolean = false;
  #delayMs = 0;

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

  /** From now on every byte takes so much longer, each way. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs;
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
    const delayMs = (): number => this.#delayMs;
    inbound.pipe(slowly(delayMs)).pipe(outbound);
    outbound.pipe(slowly(delayMs)).pipe(inbound);
  }
}

/** All routes of a deployment, cut and healed by region. A route works while neither of its ends is isolated. */
export class RouteProxies {
  readonly proxies: readonly RouteProxy[];
  readonly #isolated = new Set<string>();
  readonly #delays = new Map<string, number>();

  constructor(proxies: readonly RouteProxy[]) {
    this.proxies = proxies;
  }

  get isolated(): readonly string[] {
    return [...this.#isolated];
  }

  /** Regions with slow routes. */
  get slowed(): readonly string[] {
    return [...this.#delays.keys()];
  }

  /** Every byte from and to the region takes so much longer; 0 ends it. Between two slow regions the delays add up. */
  slow(region: string, delayMs: number): void {
    if (delayMs === 0) this.#delays.delete(region);
    else this.#delays.set(region, delayMs);
    for (const proxy of this.proxies) {
      const { from, to } = proxy.ends;
      proxy.slow((this.#delays.get(from) ?? 0) + (this.#delays.get(to) ?? 0));
    }
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
    await Promise.all(this.proxies.map((proxy) => proxy.close()));
  }

  #apply(): void {
    for (const proxy of this.proxies) {
      const cut = this.#isolated.has(proxy.ends.from) || this.#isolated.has(proxy.ends.to);
      if (cut === proxy.isCut) continue;
      if (cut) proxy.cut();
      else proxy.heal();
    }
  }
}
