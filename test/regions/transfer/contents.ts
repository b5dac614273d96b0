/** All that a SQLite file holds, in a form that two of them can be compared in: types, bytes and rowids included. */
import { DatabaseSync } from 'node:sqlite';

const name = (text: string): string => `"${text.replaceAll('"', '""')}"`;

export interface Contents {
  readonly integrity: unknown;
  readonly numbers: unknown;
  /** `type name table sql` of every entry. */
  readonly schema: readonly string[];
  /** Rows by table; a value is what SQLite gives, its type, and its bytes. */
  readonly tables: Readonly<Record<string, readonly unknown[]>>;
}

/** @param leave names of tables that are not looked at. */
export function contentsOf(path: string, leave: readonly string[] = []): Contents {
  const db = new DatabaseSync(path, { readOnly: true });
  const all = (sql: string): unknown[] => {
    const statement = db.prepare(sql);
    statement.setReadBigInts(true);
    statement.setReturnArrays(true);
    return statement.all() as unknown[];
  };
  const entries = all('SELECT type, name, tbl_name, sql, rootpage FROM sqlite_schema') as [
    string,
    string,
    string,
    string | null,
    bigint,
  ][];
  const tables: Record<string, unknown[]> = {};
  for (const [type, table, , , root] of entries) {
    if (type !== 'table' || root === 0n || leave.includes(table)) continue;
    const columns = (
      all(`SELECT name, hidden FROM pragma_table_xinfo('${table.replaceAll("'", "''")}')`) as [string][]
    )
      .map(([column]) => name(column))
      .flatMap((column) => [column, `typeof(${column})`, `hex(${column})`]);
    const [[isKeyed]] = all(
      `SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = '${table.replaceAll("'", "''")}'`,
    ) as [[bigint]];
    const rowid = isKeyed === 1n ? [] : ['_rowid_'];
    tables[table] = all(`SELECT ${[...rowid, ...columns].join(', ')} FROM ${name(table)} NOT INDEXED`);
  }
  const contents = {
    integrity: all('PRAGMA integrity_check'),
    numbers: [all('PRAGMA user_version'), all('PRAGMA application_id')],
    schema: entries
      .filter(([, entry]) => !leave.includes(entry))
      .map(([type, entry, table, sql]) => JSON.stringify([type, entry, table, sql]))
      .sort((a, b) => (a < b ? -1 : 1)),
    tables,
  };
  db.close();
  return contents;
}
