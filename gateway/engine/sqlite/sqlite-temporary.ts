/**
 * Where SQLite keeps what a statement sorts or copies. As a rule in its memory; for those that work on a whole table or database in
 * files, as far as it is much. Temporary tables stay in memory, where they are counted (`sqlite-held-memory.ts`).
 */
import type { Connection } from './sqlite-connection.ts';
import type { PreparedStatement } from './sqlite-statement.ts';

/** What a statement on a whole table or database begins with, behind comments. */
const words: ReadonlySet<string> = new Set(['VACUUM', 'CREATE', 'REINDEX']);
const createsIndex = /\bCREATE\s+(?:UNIQUE\s+)?INDEX\b/i;

/** Whether a connection has temporary objects or attached databases. */
export function holdsObjects(connection: Connection): boolean {
  const temporary = "SELECT count(*) FROM sqlite_temp_schema WHERE substr(name, 1, 7) <> 'sqlite_'";
  const attached = "SELECT count(*) FROM pragma_database_list WHERE name NOT IN ('main', 'temp')";
  // Without an answer, where nobody can read the schema of the volume, there may be some.
  return connection.ask(temporary) !== '0' || connection.ask(attached) !== '0';
}

/** Runs a statement, with its files on disk when it may need many of them. */
export function inFiles<T>(connection: Connection, statement: PreparedStatement, run: () => T): T {
  const { word } = statement;
  if (!words.has(word) || (word === 'CREATE' && !createsIndex.test(connection.textOf(statement))))
    return run();
  // SQLite drops temporary tables when it is told to keep such things elsewhere.
  if (holdsObjects(connection)) return run();
  connection.ask('PRAGMA temp_store=file');
  try {
    return run();
  } finally {
    connection.ask('PRAGMA temp_store=memory');
  }
}
