/**
 * Clients in every region that write and read without a pause and keep account of every request. They go to the gateways of their
 * region as behind a load balancer: one that is about to stop gets no more requests, and is left when its last is answered.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient } from '@libsql/client';
import { gatewayNames, type Shop } from './shop.ts';

const pauseMs = 80;
const readEvery = 4;
const levelMs = 30_000;

export interface LoadAccount {
  readonly writes: number;
  readonly reads: number;
  /** Longest time between two acknowledgements, milliseconds. */
  readonly longestPauseMs: number;
}

interface Worker {
  readonly region: string;
  readonly transport: 'https' | 'wss';
  at: string | null;
}

let loads = 0;

export class Load {
  readonly table: string;
  readonly #shop: Shop;
  readonly #token: () => string;
  readonly #clients = new Map<string, Client>();
  readonly #retired: Client[] = [];
  readonly #avoided = new Set<string>();
  readonly #workers: readonly Worker[];
  readonly #failures: string[] = [];
  readonly #acknowledged: number[] = [];
  #running: readonly Promise<void>[] = [];
  #going = false;
  #next = 1;
  #reads = 0;
  #lastMs = 0;
  #longestPauseMs = 0;

  /** @param token what each new connection shows. */
  constructor(shop: Shop, token: () => string = () => shop.token) {
    this.#shop = shop;
    this.#token = token;
    this.table = `load_${++loads}`;
    this.#workers = shop.regions.flatMap((region) =>
      (['https', 'wss'] as const).map((transport) => ({ region, transport, at: null })),
    );
  }

  async start(): Promise<void> {
    const [first] = this.#workers;
    assert(first !== undefined, 'there is a worker');
    await this.#clientAt(first, `${first.region}/g1`).execute(
      `CREATE TABLE ${this.table} (id INTEGER PRIMARY KEY, text TEXT)`,
    );
    this.#going = true;
    this.#shop.leavings.push(() => {
      this.#going = false;
    });
    this.#lastMs = performance.now();
    this.#running = this.#workers.map((worker) => this.#work(worker));
  }

  /** So many writes have been acknowledged. */
  get writes(): number {
    return this.#acknowledged.length;
  }

  /** No request goes to a gateway any more; resolves when the last one there is answered. */
  async avoid(gateway: string): Promise<void> {
    this.#avoided.add(gateway);
    while (this.#workers.some(({ at }) => at === gateway)) await sleep(5);
    this.#forget(gateway);
  }

  use(gateway: string): void {
    this.#avoided.delete(gateway);
  }

  /** Every connection is made anew, with the token and the trust of now. */
  reconnect(): void {
    // Requests may be under way on those that were: they are closed at the end.
    this.#retired.push(...this.#clients.values());
    this.#clients.clear();
  }

  /** Waits until so many more writes are acknowledged. */
  async more(count: number, withinMs = 60_000): Promise<void> {
    const wanted = this.writes + count;
    const deadline = performance.now() + withinMs;
    while (this.writes < wanted) {
      assert.deepEqual(this.#failures, []);
      assert(performance.now() < deadline, `${this.writes} of ${wanted} writes within ${withinMs} ms`);
      await sleep(20);
    }
  }

  /** Ends it. @throws AssertionError when a request failed, or a region does not show exactly what was acknowledged. */
  async stop(): Promise<LoadAccount> {
    this.#going = false;
    await Promise.all(this.#running);
    assert.deepEqual(this.#failures, [], 'no request fails');
    const wanted = this.#acknowledged.toSorted((a, b) => a - b);
    for (const region of this.#shop.regions) {
      const client = this.#clientAt({ region, transport: 'https', at: null }, this.#gatewayOf(region, 0));
      const deadline = performance.now() + levelMs;
      for (;;) {
        const { rows } = await client.execute(`SELECT id, text FROM ${this.table} ORDER BY id`);
        const shown = rows.filter(({ id, text }) => text === `row ${id}`).map(({ id }) => Number(id));
        if (shown.length === wanted.length || performance.now() > deadline) {
          assert.deepEqual(shown, wanted, `${region} shows what was acknowledged`);
          break;
        }
        await sleep(100);
      }
    }
    for (const client of [...this.#clients.values(), ...this.#retired]) client.close();
    const account = { writes: this.writes, reads: this.#reads, longestPauseMs: this.#longestPauseMs };
    this.#shop.say(
      `  ${account.writes} writes and ${account.reads} reads, none failed, every region shows them; longest pause ${Math.round(account.longestPauseMs)} ms`,
    );
    return account;
  }

  async #work(worker: Worker): Promise<void> {
    for (let turn = 0; this.#going; turn++) {
      const gateway = this.#gatewayOf(worker.region, turn);
      worker.at = gateway;
      const id = this.#next++;
      try {
        const client = this.#clientAt(worker, gateway);
        await client.execute({ sql: `INSERT INTO ${this.table} VALUES (?, ?)`, args: [id, `row ${id}`] });
        this.#acknowledged.push(id);
        const nowMs = performance.now();
        this.#longestPauseMs = Math.max(this.#longestPauseMs, nowMs - this.#lastMs);
        this.#lastMs = nowMs;
        if (turn % readEvery === 0) {
          await client.execute(`SELECT count(*) FROM ${this.table}`);
          this.#reads += 1;
        }
      } catch (error) {
        const cause =
          error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : '';
        this.#failures.push(`${new Date().toISOString()} ${worker.transport} ${gateway}: ${error}${cause}`);
        await sleep(1_000);
      }
      worker.at = null;
      await sleep(pauseMs);
    }
  }

  #gatewayOf(region: string, turn: number): string {
    const open = gatewayNames.map((name) => `${region}/${name}`).filter((id) => !this.#avoided.has(id));
    const chosen = open[turn % open.length];
    assert(chosen !== undefined, `${region} has a gateway that is not avoided`);
    return chosen;
  }

  #clientAt({ transport }: Worker, gateway: string): Client {
    const key = `${transport} ${gateway}`;
    let client = this.#clients.get(key);
    if (client === undefined) {
      const url = `${transport}://${this.#shop.addressOf(gateway)}`;
      client = createClient({ url, authToken: this.#token(), intMode: 'number' });
      this.#clients.set(key, client);
    }
    return client;
  }

  #forget(gateway: string): void {
    for (const transport of ['https', 'wss']) {
      this.#clients.get(`${transport} ${gateway}`)?.close();
      this.#clients.delete(`${transport} ${gateway}`);
    }
  }
}
