/** SQL on a gateway where PostgreSQL keeps the databases, by the driver that most applications have. */
import pg from 'pg';
import { jsonValueOf } from '../../postgres/core/json-value.ts';
import { type PostgresPlace, postgresUrl } from '../../postgres/core/postgres-url.ts';
import { clientOptions, codeOfDatabaseError } from '../../postgres/postgres-client.ts';
import { CliError, note } from '../ask/output.ts';
import { type SqlAnswer, type SqlSession, statementTimeoutMs } from './sql-answer.ts';

/** Values stay as the server writes them. */
const asText = { getTypeParser: () => (text: string | Buffer) => String(text) };
const withClient = /^\s*copy\b[\s\S]*\b(?:stdin|stdout)\b/i;

export class PostgresSession implements SqlSession {
  readonly engine = 'postgres';
  readonly #place: PostgresPlace;
  #client: pg.Client | null = null;

  constructor(place: PostgresPlace) {
    this.#place = place;
  }

  async execute(sql: string): Promise<SqlAnswer> {
    if (withClient.test(sql))
      throw new CliError(`COPY with the client needs psql: psql '${postgresUrl(this.#place)}'`);
    try {
      const client = await this.#connected();
      return answerOf(await client.query<(string | null)[]>({ text: sql, rowMode: 'array', types: asText }));
    } catch (error) {
      // After an error of its own a session goes on; anything else ended it, and a transaction with it.
      if (!(error instanceof pg.DatabaseError) || error.severity !== 'ERROR') await this.close();
      throw this.#told(error);
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => undefined);
  }

  async #connected(): Promise<pg.Client> {
    if (this.#client !== null) return this.#client;
    const client = new pg.Client(clientOptions(this.#place, { queryMs: statementTimeoutMs }));
    client.on('error', () => {
      if (this.#client === client) this.#client = null;
    });
    client.on('notice', ({ severity, message }) => note(`${severity ?? 'NOTICE'}: ${message}`));
    await client.connect();
    this.#client = client;
    return client;
  }

  #told(error: unknown): CliError {
    if (error instanceof pg.DatabaseError) {
      const { message, detail, hint } = error;
      const code = codeOfDatabaseError(error) ?? undefined;
      const more = [
        code === error.code ? detail : undefined,
        hint,
        error.code === '28P01' ? login : undefined,
      ];
      return new CliError(sentences([message, ...more]), code);
    }
    const reason = error instanceof Error ? error.message : String(error);
    if (reason.startsWith('SASL') && reason.includes('password')) return new CliError(`${asked}. ${login}`);
    const { host, port } = this.#place;
    return new CliError(`${host}:${port} does not answer (${reason})`);
  }
}

/** Parts that are there, one after the other; some of them end with a full stop. */
const sentences = (parts: readonly (string | undefined)[]): string =>
  parts.flatMap((part) => (part === undefined ? [] : [part.replace(/\.+$/, '')])).join('. ');

const asked = 'The gateway asks for a password';
const login = 'PGUSER and PGPASSWORD say who you are, or a line of ~/.pgpass';

function answerOf({ fields, rows, rowCount }: pg.QueryResult<(string | null)[]>): SqlAnswer {
  return {
    columns: fields.map(({ name }) => name),
    rows: rows.map((row) =>
      row.map((text, index) => ({ text, json: jsonValueOf(text, fields[index]?.dataTypeID ?? 0) })),
    ),
    affectedRows: fields.length === 0 ? (rowCount ?? 0) : 0,
    lastInsertRowid: null,
  };
}
