/** SQL on a gateway where SQLite keeps the databases, by the stock client's own protocol library. */
import { ClientError, type HttpClient, openHttp, ResponseError, type RowsResult } from '@libsql/hrana-client';
import { CliError } from '../ask/output.ts';
import { whySilent } from '../ask/why-silent.ts';
import { type SqlAnswer, type SqlCell, type SqlSession, statementTimeoutMs } from './sql-answer.ts';

export class LibsqlSession implements SqlSession {
  readonly engine = 'sqlite';
  readonly #gateway: string;
  readonly #client: HttpClient;
  #stream: ReturnType<HttpClient['openStream']>;

  /** @param token of a client; null where none is asked for. */
  constructor(gateway: string, token: string | null) {
    this.#gateway = gateway;
    this.#client = openHttp(gateway, token ?? undefined, fetchInTime);
    this.#client.intMode = 'bigint';
    this.#stream = this.#client.openStream();
  }

  async execute(sql: string): Promise<SqlAnswer> {
    // What went wrong on the way ended the stream, and a transaction with it.
    if (this.#stream.closed) this.#stream = this.#client.openStream();
    try {
      return answerOf(await this.#stream.query(sql));
    } catch (error) {
      throw this.#told(error);
    }
  }

  close(): Promise<void> {
    this.#stream.closeGracefully();
    return Promise.resolve();
  }

  #told(error: unknown): CliError {
    if (error instanceof ResponseError) return new CliError(error.message, error.code);
    if (error instanceof ClientError && error.name === 'HttpServerError') return new CliError(error.message);
    return new CliError(`${this.#gateway} does not answer (${whySilent(error)})`);
  }
}

const fetchInTime: typeof fetch = (input, init) =>
  fetch(input, { ...init, signal: AbortSignal.timeout(statementTimeoutMs) });

type SqlValue = RowsResult['rows'][number][number];

function cellOf(value: SqlValue | undefined): SqlCell {
  if (value === null || value === undefined) return { text: null, json: null };
  if (typeof value === 'bigint') {
    const number = Number(value);
    return { text: String(value), json: Number.isSafeInteger(number) ? number : String(value) };
  }
  if (value instanceof ArrayBuffer) {
    const bytes = Buffer.from(value);
    return { text: `x'${bytes.toString('hex')}'`, json: bytes.toString('base64') };
  }
  return { text: String(value), json: value };
}

function answerOf({ columnNames, rows, affectedRowCount, lastInsertRowid }: RowsResult): SqlAnswer {
  const columns = columnNames.map((name, index) => name ?? `column${index + 1}`);
  return {
    columns,
    rows: rows.map((row) => columns.map((_, index) => cellOf(row[index]))),
    affectedRows: affectedRowCount,
    lastInsertRowid: lastInsertRowid === undefined ? null : String(lastInsertRowid),
  };
}
