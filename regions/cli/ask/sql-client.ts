/** One SQL session on a region's gateway, by the stock client's own protocol library, and how the commands show its results. */
import { ClientError, type HttpClient, openHttp, ResponseError, type RowsResult } from '@libsql/hrana-client';
import type { Command } from 'commander';
import { isBranchName } from '../../../storage/core.ts';
import { gatewayOf, type TargetOptions, targetOf } from './admin-client.ts';
import { CliError, paint, table } from './output.ts';
import { whySilent } from './why-silent.ts';

/** A statement may wait for a move of the primary to end. */
const statementTimeoutMs = 60_000;

/** A stream on one gateway. Transactions span calls until `close`, or until the gateway forgets an idle stream. */
export class SqlSession {
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

  /** @throws CliError with the gateway's code when the statement failed. */
  async execute(sql: string): Promise<RowsResult> {
    // What went wrong on the way ended the stream, and a transaction with it.
    if (this.#stream.closed) this.#stream = this.#client.openStream();
    try {
      return await this.#stream.query(sql);
    } catch (error) {
      throw this.#told(error);
    }
  }

  close(): void {
    this.#stream.closeGracefully();
  }

  #told(error: unknown): CliError {
    if (error instanceof ResponseError) return new CliError(error.message, error.code);
    if (error instanceof ClientError && error.name === 'HttpServerError') return new CliError(error.message);
    return new CliError(`${this.#gateway} does not answer (${whySilent(error)})`);
  }
}

/** @throws CliError when no branch can have that name. */
export function checkBranchName(text: string): void {
  if (!isBranchName(text))
    throw new CliError(`--branch is the name of a branch, 1 to 63 of a-z, 0-9 and -; not ${text}`);
}

/** Which database the statements are for. */
export interface BranchOptions {
  /** Left out: main. */
  readonly branch?: string;
}

/** The option that says so. */
export const withBranch = (command: Command): Command =>
  command.option('--branch <name>', 'a branch (sextant branch list); main without it');

/** A session on the gateway of `region` in the deployment that the options name. @throws CliError where it is no name of a branch. */
export async function sessionFor(
  region: string,
  options: TargetOptions & BranchOptions,
): Promise<SqlSession> {
  const { branch } = options;
  if (branch !== undefined) checkBranchName(branch);
  const target = targetOf(options);
  const gateway = await gatewayOf(target, region);
  const path = branch === undefined ? '' : `/branch/${branch}/`;
  return new SqlSession(`${gateway.replace(/\/$/, '')}${path}`, target.clientToken);
}

const fetchInTime: typeof fetch = (input, init) =>
  fetch(input, { ...init, signal: AbortSignal.timeout(statementTimeoutMs) });

type SqlValue = RowsResult['rows'][number][number];

function plain(value: SqlValue | undefined): string | number | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  return value instanceof ArrayBuffer ? Buffer.from(value).toString('base64') : value;
}

function shown(value: SqlValue | undefined): string {
  if (value === null || value === undefined) return paint('dim', 'NULL');
  if (value instanceof ArrayBuffer) return `x'${Buffer.from(value).toString('hex')}'`;
  return String(value).replaceAll('\n', '\\n');
}

const namesOf = ({ columnNames }: RowsResult): string[] =>
  columnNames.map((name, index) => name ?? `column${index + 1}`);

const rowsOf = <T>(
  result: RowsResult,
  show: (value: SqlValue | undefined) => T,
): readonly (readonly T[])[] => {
  const names = namesOf(result);
  return result.rows.map((row) => names.map((_, index) => show(row[index])));
};

/** Rows as objects; integers beyond 2^53 as strings, blobs as base64. */
export function resultAsJson(result: RowsResult): object {
  const names = namesOf(result);
  const { lastInsertRowid } = result;
  return {
    columns: names,
    rows: rowsOf(result, plain).map((row) =>
      Object.fromEntries(row.map((value, index) => [names[index] ?? '', value])),
    ),
    affectedRows: result.affectedRowCount,
    lastInsertRowid: lastInsertRowid === undefined ? null : String(lastInsertRowid),
  };
}

/** A table, or how many rows were changed when the statement returns none. */
export function resultAsText(result: RowsResult): string {
  if (result.columnNames.length === 0) {
    const count = result.affectedRowCount;
    return paint('dim', count === 0 ? 'ok' : `ok, ${count} ${count === 1 ? 'row' : 'rows'} changed`);
  }
  const count = paint('dim', `(${result.rows.length} ${result.rows.length === 1 ? 'row' : 'rows'})`);
  return `${table(namesOf(result), rowsOf(result, shown))}\n${count}`;
}
