/** The clients of a drill's load: stock clients, one for each region and transport, that write numbered rows and tell how each ended. */
import { formatTraceparent, newSpanId, newTraceId } from '../../../telemetry/core.ts';
import { checksumOf, type LedgerEntry, payloadOf } from '../core/ledger.ts';
import { type ClientAddress, reachMs } from '../core/load-messages.ts';
import { LibsqlDatabase } from './libsql-database.ts';
import { inFlightMax, type LoadDatabase } from './load-database.ts';
import { drillClock } from './machine-clock.ts';
import { PostgresDatabase } from './postgres-database.ts';

const pageRows = 5_000;

const opened = (address: ClientAddress): LoadDatabase =>
  address.transport === 'postgres' ? new PostgresDatabase(address) : new LibsqlDatabase(address);

/** Writes of one client that have no answer yet, and what has ended. */
class WritingClient {
  readonly waiting = new Map<number, LedgerEntry>();
  /** Writes that are due, as a fraction. */
  due = 0;
  readonly region: string;
  readonly database: LoadDatabase;
  readonly #index: number;

  constructor(address: ClientAddress, index: number) {
    this.region = address.region;
    this.database = opened(address);
    this.#index = index;
  }

  /** Sends one write, unless too many have no answer. @returns whether it was sent. */
  write(id: number, table: string, drill: string, ended: (entry: LedgerEntry) => void): boolean {
    if (this.waiting.size >= inFlightMax) return false;
    const traceId = newTraceId();
    const traceparent = formatTraceparent({ traceId, spanId: newSpanId(), sampled: true });
    const begun: LedgerEntry = {
      id,
      client: this.#index,
      sentAtMs: drillClock.now(),
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
    const row = { id, client: this.#index, payload: payloadOf(drill, id) };
    void this.database
      .write(table, row, traceparent)
      .then((told) => end({ ...begun, endedAtMs: drillClock.now(), ...told }));
    return true;
  }
}

const againMs = 200;

/** @throws Error in the client's words when it was never answered within `reachMs` */
async function reached(database: LoadDatabase): Promise<void> {
  const deadline = performance.now() + reachMs;
  for (;;) {
    try {
      await database.reach();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, againMs));
  }
}

const tickMs = 10;
/** A process that was held up does not make up for more than this: a burst would be another load than was asked for. */
const catchUpMs = 100;

/** The load: every client at its share of the rate, whatever becomes of the others. */
export class LoadClients {
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
    this.#drill = given.drill;
    this.#table = given.table;
    this.#perSecond = given.perSecond;
    this.#clients = given.clients.map((address, index) => new WritingClient(address, index));
  }

  /** Makes the table, once every client was answered: an engine that has not run yet takes a while, which is no part of any drill. */
  async open(): Promise<void> {
    await Promise.all(this.#clients.map(({ database }) => reached(database)));
    await this.#clients[0]?.database.createTable(this.#table);
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
    const firsts = this.#clients.filter(
      ({ region }, at) => this.#clients.findIndex((other) => other.region === region) === at,
    );
    return Promise.all(
      firsts.map(async ({ region, database }) => {
        try {
          return { region, rows: await this.#rowsOf(database), reason: null };
        } catch (error) {
          return { region, rows: null, reason: error instanceof Error ? error.message : 'UNKNOWN' };
        }
      }),
    );
  }

  async #rowsOf(database: LoadDatabase): Promise<[number, number][]> {
    const found: [number, number][] = [];
    for (let after = -1; ; ) {
      const rows = await database.rowsAfter(this.#table, after, pageRows);
      for (const { id, client, payload } of rows) {
        found.push([id, checksumOf(id, client, payload)]);
        after = id;
      }
      if (rows.length < pageRows) return found;
    }
  }

  /** Drops the table, if it is wanted, through the first client that can. */
  async close(dropTable: boolean): Promise<void> {
    this.pause();
    if (dropTable) {
      for (const { database } of this.#clients) {
        const dropped = await database.dropTable(this.#table).then(
          () => true,
          () => false,
        );
        if (dropped) break;
      }
    }
    for (const { database } of this.#clients) database.close();
  }
}
