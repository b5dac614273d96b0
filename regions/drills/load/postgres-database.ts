/** A client of the load where PostgreSQL keeps the databases: the stock driver, with a pool of connections. */
import pg from 'pg';
import { readPostgresUrl } from '../../postgres/core/postgres-url.ts';
import { clientOptions, codeOfDatabaseError } from '../../postgres/postgres-client.ts';
import { outcomeOf } from '../core/ledger.ts';
import type { ClientAddress } from '../core/load-messages.ts';
import { acknowledged, inFlightMax, type LoadDatabase, type LoadRow, type Told } from './load-database.ts';
import { networkCode, wordsOf } from './load-errors.ts';

/** Reads are served by the engine of the region, at what it has. */
const ownReads = { 'sextant.read': 'eventual' } as const;

function poolOf({ url, token }: ClientAddress, settings: Readonly<Record<string, string>>): pg.Pool {
  const place = readPostgresUrl(url);
  if (place === null) throw new Error(`${url} is no address of a PostgreSQL database`);
  const options = clientOptions({ ...place, password: token ?? place.password }, { settings });
  const pool = new pg.Pool({ ...options, max: inFlightMax });
  // Of connections that nobody uses; what happens to a statement its client hears.
  pool.on('error', () => undefined);
  pool.on('connect', (connection) => connection.on('error', () => undefined));
  return pool;
}

export class PostgresDatabase implements LoadDatabase {
  readonly #writing: pg.Pool;
  readonly #address: ClientAddress;
  #reading: pg.Pool | null = null;

  /** @throws Error when the address is none. */
  constructor(address: ClientAddress) {
    this.#address = address;
    this.#writing = poolOf(address, {});
  }

  async reach(): Promise<void> {
    await this.#writing.query('SELECT 1');
  }

  async createTable(table: string): Promise<void> {
    await this.#writing.query(
      `CREATE TABLE ${table} (id bigint PRIMARY KEY, client integer NOT NULL, payload text NOT NULL)`,
    );
  }

  async dropTable(table: string): Promise<void> {
    await this.#writing.query(`DROP TABLE IF EXISTS ${table}`);
  }

  async write(table: string, { id, client, payload }: LoadRow, traceparent: string): Promise<Told> {
    let connection: pg.PoolClient;
    try {
      connection = await this.#writing.connect();
    } catch (error) {
      // Without a connection the statement never left, whatever the reason is.
      return { outcome: 'refused', code: codeOf(error) };
    }
    try {
      await connection.query(
        `INSERT INTO ${table} (id, client, payload) VALUES ($1, $2, $3) /*traceparent='${traceparent}'*/`,
        [id, client, payload],
      );
      connection.release();
      return acknowledged;
    } catch (error) {
      const answered = error instanceof pg.DatabaseError && error.severity === 'ERROR';
      connection.release(!answered);
      const code = codeOf(error);
      return { outcome: outcomeOf(code), code };
    }
  }

  async rowsAfter(table: string, after: number, limit: number): Promise<readonly LoadRow[]> {
    this.#reading ??= poolOf(this.#address, ownReads);
    try {
      const { rows } = await this.#reading.query<[string, number, string]>({
        text: `SELECT id, client, payload FROM ${table} WHERE id > $1 ORDER BY id LIMIT ${limit}`,
        values: [after],
        rowMode: 'array',
      });
      return rows.map(([id, client, payload]) => ({ id: Number(id), client, payload }));
    } catch (error) {
      throw new Error(`${codeOf(error)}: ${wordsOf(error)}`);
    }
  }

  close(): void {
    for (const pool of [this.#writing, this.#reading]) void pool?.end().catch(() => undefined);
  }
}

const codeOf = (error: unknown): string => codeOfDatabaseError(error) ?? networkCode(error) ?? wordsOf(error);
