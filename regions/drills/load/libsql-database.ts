/** A client of the load where SQLite keeps the databases: the stock libSQL client, by HTTP or by WebSocket. */
import { type Client, createClient, LibsqlError } from '@libsql/client/web';
import { outcomeOf } from '../core/ledger.ts';
import type { ClientAddress } from '../core/load-messages.ts';
import { acknowledged, inFlightMax, type LoadDatabase, type LoadRow, type Told } from './load-database.ts';
import { networkCode, wordsOf } from './load-errors.ts';

const urlOf = ({ url, transport }: ClientAddress): string =>
  transport === 'ws' ? url.replace(/^http/, 'ws') : url;

function connected({ token }: ClientAddress, url: string): Client {
  return createClient({ url, concurrency: inFlightMax, ...(token !== null && { authToken: token }) });
}

export class LibsqlDatabase implements LoadDatabase {
  readonly #writing: Client;
  readonly #address: ClientAddress;
  /** Reads what its region has, however far behind that is. */
  #reading: Client | null = null;

  constructor(address: ClientAddress) {
    this.#address = address;
    this.#writing = connected(address, urlOf(address));
  }

  async reach(): Promise<void> {
    await this.#writing.execute('SELECT 1');
  }

  async createTable(table: string): Promise<void> {
    await this.#writing.execute(
      `CREATE TABLE ${table} (id INTEGER PRIMARY KEY, client INTEGER NOT NULL, payload TEXT NOT NULL)`,
    );
  }

  async dropTable(table: string): Promise<void> {
    await this.#writing.execute(`DROP TABLE IF EXISTS ${table}`);
  }

  async write(table: string, { id, client, payload }: LoadRow, traceparent: string): Promise<Told> {
    try {
      await this.#writing.execute({
        // The comment is how a client hands its trace over on either transport.
        sql: `INSERT INTO ${table} (id, client, payload) VALUES (?, ?, ?) /*traceparent='${traceparent}'*/`,
        args: [id, client, payload],
      });
      return acknowledged;
    } catch (error) {
      const code = codeOf(error);
      return { outcome: outcomeOf(code), code };
    }
  }

  async rowsAfter(table: string, after: number, limit: number): Promise<readonly LoadRow[]> {
    this.#reading ??= connected(this.#address, `${urlOf(this.#address)}/read/eventual/`);
    try {
      const { rows } = await this.#reading.execute({
        sql: `SELECT id, client, payload FROM ${table} WHERE id > ? ORDER BY id LIMIT ${limit}`,
        args: [after],
      });
      return rows.map(({ id, client, payload }) => ({
        id: Number(id),
        client: Number(client),
        payload: String(payload),
      }));
    } catch (error) {
      throw new Error(networkCode(error) ?? wordsOf(error));
    }
  }

  close(): void {
    this.#writing.close();
    this.#reading?.close();
  }
}

/** What a client was told: the gateway's code, or what the network said. */
const codeOf = (error: unknown): string =>
  networkCode(error) ?? (error instanceof LibsqlError ? error.code : wordsOf(error));
