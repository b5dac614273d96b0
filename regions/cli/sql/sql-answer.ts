/** The answer to a statement as the commands show it, whichever engine gave it. */
import { paint, table } from '../ask/output.ts';

/** A statement may wait for a move of the primary to end. */
export const statementTimeoutMs = 60_000;

/** One value, for people and as JSON has it. `text` is null for NULL. */
export interface SqlCell {
  readonly text: string | null;
  readonly json: unknown;
}

export interface SqlAnswer {
  /** Empty for a statement that returns no rows. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly SqlCell[])[];
  readonly affectedRows: number;
  /** Null where the engine has no such thing, or nothing was inserted. */
  readonly lastInsertRowid: string | null;
}

/** Statements on one gateway, one after another. Transactions span calls until `close`, or until the gateway ends an idle one. */
export interface SqlSession {
  readonly engine: 'sqlite' | 'postgres';
  /** @throws CliError with the gateway's code when the statement failed. */
  execute(sql: string): Promise<SqlAnswer>;
  close(): Promise<void>;
}

/** Rows as objects; integers beyond 2^53 as strings, bytes as base64. */
export function answerAsJson({ columns, rows, affectedRows, lastInsertRowid }: SqlAnswer): object {
  return {
    columns,
    rows: rows.map((row) =>
      Object.fromEntries(columns.map((name, index) => [name, row[index]?.json ?? null])),
    ),
    affectedRows,
    lastInsertRowid,
  };
}

const shown = (cell: SqlCell | undefined): string =>
  cell === undefined || cell.text === null ? paint('dim', 'NULL') : cell.text.replaceAll('\n', '\\n');

/** A table, or how many rows were changed when the statement returns none. */
export function answerAsText({ columns, rows, affectedRows: count }: SqlAnswer): string {
  if (columns.length === 0)
    return paint('dim', count === 0 ? 'ok' : `ok, ${count} ${count === 1 ? 'row' : 'rows'} changed`);
  const counted = paint('dim', `(${rows.length} ${rows.length === 1 ? 'row' : 'rows'})`);
  return `${table(
    columns,
    rows.map((row) => columns.map((_, index) => shown(row[index]))),
  )}\n${counted}`;
}
