/** The clients of a drill's load: stock libSQL clients, one for each region and transport, that write numbered rows and tell how each ended. */
import { type Client, createClient, LibsqlError } from '@libsql/client/web';
import { formatTraceparent, newSpanId, newTraceId } from '../../../telemetry/core.ts';
import { checksumOf, type LedgerEntry, outcomeOf, payloadOf } from '../core/ledger.ts';
import type { ClientAddress } from '../core/load-messages.ts';

/** Requests of one client without an answer; beyond that it sends nothing, as a pool would. */
const inFlightMax = 64;
const pageRows = 5_000;

/** Unix milliseconds that never go back. */
export const wallMs = (): number => performance.timeOrigin + performance.now();

/** What a client was told: the gateway's code, or what the network said. */
function codeOf(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (/ECONNREFUSED/.test(cause.message)) return 'ECONNREFUSED';
    if ('code' in cause && typeof cause.code === 'string' && cause.code !== 'HRANA_WEBSOCKET_ERROR')
      return cause.code;
  }
  if (error instanceof LibsqlError) return error.code;
  return error instanceof Error ? error.message.slice(0, 80) : 'UNKNOWN';
}

const urlOf = ({ url, transport }: ClientAddress): string =>
  transport === 'ws' ? url.replace(/^http/, 'ws') : url;

const connected = (address: ClientAddress, url: string): Client =>
  createClient({
    url,
    concurrency: inFlightMax,
    ...(address.token !== null && { authToken: address.token }),
  });

/** Writes of one client that have no answer yet, and what has ended. */
class WritingClient {
  readonly waiting = new Map<number, LedgerEntry>();
  /** Writes that are due, as a fraction. */
  due = 0;
  readonly #client: Client;
  readonly #index: number;

  constructor(address: ClientAddress, index: number) {
    this.#client = connected(address, urlOf(address));
    this.#index = index;
  }

  get client(): Client {
    return this.#client;
  }

  /** Sends one write, unless too many have no answer. @returns whether it was sent. */
  write(id: number, table: string, drill: string, ended: (entry: LedgerEntry) => void): boolean {
    if (this.waiting.size >= inFlightMax) return false;
    const traceId = newTraceId();
    const traceparent = formatTraceparent({ traceId, spanId: newSpanId(), sampled: true });
    const begun: LedgerEntry = {
      id,
      client: this.#index,
      sentAtMs: wallMs(),
      endedAtMs: null,
      outcome: 'unknown',
      code: null,
      traceId,
    };
    this.waiting.set(id, begun);
    const end = (entry: LedgerEntry): void => {
      this.waiting.delete(id);
      ended(entry);
    };
    this.#client
      .execute({
        // The comment is how a client hands its trace over on either transport; the commit record keeps it.
        sql: `INSERT INTO ${table} (id, client, payload) VALUES (?, ?, ?) /*traceparent='${traceparent}'*/`,
        args: [id, this.#index, payloadOf(drill, id)],
      })
      .then(
        () => end({ ...begun, endedAtMs: wallMs(), outcome: 'acknowledged' }),
        (error: unknown) => {
          const code = codeOf(error);
          end({ ...begun, endedAtMs: wallMs(), outcome: outcomeOf(code), code });
        },
      );
    return true;
  }
}

const tickMs = 10;
/** A process that was held up does not make up for more than this: a burst would be another load than was asked for. */
const catchUpMs = 100;

/** The load: every client at its share of the rate, whatever becomes of the others. */
export class LoadClients {
  readonly #addresses: readonly ClientAddress[];
  readonly #clients: readonly WritingClient[];
  readonly #table: string;
  readonly #drill: string;
  readonly #perSecond: number;
  readonly #ended: LedgerEntry[] = [];
  #nextId = 1;
  #ticker: NodeJS.Timeout | undefined;

  constructor(given: {
    readonly drill: string;
    readonly table: string;
    readonly clients: readonly ClientAddress[];
    readonly perSecond: number;
  }) {
    this.#addresses = given.clients;
    this.#drill = given.drill;
    this.#table = given.table;
    this.#perSecond = given.perSecond;
    this.#clients = given.clients.map((address, index) => new WritingClient(address, index));
  }

  /** Makes the table. */
  async open(): Promise<void> {
    await this.#clients[0]?.client.execute(
      `CREATE TABLE ${this.#table} (id INTEGER PRIMARY KEY, client INTEGER NOT NULL, payload TEXT NOT NULL)`,
    );
  }

  run(): void {
    clearInterval(this.#ticker);
    const share = this.#perSecond / Math.max(1, this.#clients.length) / 1_000;
    this.#clients.forEach((client, index) => {
      // Not all at the same moment.
      client.due = index / this.#clients.length;
    });
    let last = performance.now();
    this.#ticker = setInterval(() => {
      const now = performance.now();
      const elapsedMs = Math.min(now - last, catchUpMs);
      last = now;
      for (const client of this.#clients) {
        client.due += elapsedMs * share;
        for (; client.due >= 1; client.due -= 1) this.#write(client);
      }
    }, tickMs);
  }

  #write(client: WritingClient): void {
    const id = this.#nextId;
    if (client.write(id, this.#table, this.#drill, (entry) => this.#ended.push(entry))) this.#nextId += 1;
  }

  pause(): void {
    clearInterval(this.#ticker);
  }

  /** Writes that have no answer yet. */
  get waiting(): readonly LedgerEntry[] {
    return this.#clients.flatMap(({ waiting }) => [...waiting.values()]);
  }

  /** What ended since the last call. */
  takeEnded(): readonly LedgerEntry[] {
    return this.#ended.splice(0);
  }

  /** Every row as each region itself has it, at its own durable point, with its checksum. */
  read(): Promise<
    readonly {
      readonly region: string;
      readonly rows: [number, number][] | null;
      readonly reason: string | null;
    }[]
  > {
    const one = this.#addresses.filter(({ transport }) => transport === 'http');
    return Promise.all(
      one.map(async (address) => {
        try {
          return { region: address.region, rows: await this.#rowsOf(address), reason: null };
        } catch (error) {
          return { region: address.region, rows: null, reason: codeOf(error) };
        }
      }),
    );
  }

  async #rowsOf(address: ClientAddress): Promise<[number, number][]> {
    const client = connected(address, `${urlOf(address)}/read/eventual/`);
    try {
      const found: [number, number][] = [];
      for (let after = -1; ; ) {
        const { rows } = await client.execute({
          sql: `SELECT id, client, payload FROM ${this.#table} WHERE id > ? ORDER BY id LIMIT ${pageRows}`,
          args: [after],
        });
        for (const row of rows) {
          const id = Number(row.id);
          found.push([id, checksumOf(id, Number(row.client), String(row.payload))]);
          after = id;
        }
        if (rows.length < pageRows) return found;
      }
    } finally {
      client.close();
    }
  }

  /** Drops the table, if it is wanted, through the first client that can. */
  async close(dropTable: boolean): Promise<void> {
    this.pause();
    if (dropTable) {
      for (const { client } of this.#clients) {
        const dropped = await client.execute(`DROP TABLE IF EXISTS ${this.#table}`).then(
          () => true,
          () => false,
        );
        if (dropped) break;
      }
    }
    for (const { client } of this.#clients) client.close();
  }
}
