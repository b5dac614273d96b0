/** Runs a SQL text, such as `sqlite3 .dump` writes, into a new database file. Memory holds one statement and one piece of text. */
import { constants, type DatabaseSync } from 'node:sqlite';
import { splitStatements } from './core/split-statements.ts';
import { TransferError } from './transfer-error.ts';

const shownLength = 120;

const shown = (statement: string): string => {
  const line = statement.replace(/\s+/g, ' ').trim();
  return line.length > shownLength ? `${line.slice(0, shownLength)}…` : line;
};

/** A text names no other file of this machine. */
function confine(db: DatabaseSync): void {
  db.setAuthorizer((action) =>
    action === constants.SQLITE_ATTACH || action === constants.SQLITE_DETACH
      ? constants.SQLITE_DENY
      : constants.SQLITE_OK,
  );
}

/**
 * @param pieces of the text, UTF-8.
 * @throws TransferError naming the statement that failed.
 */
export async function runSqlText(db: DatabaseSync, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  db.exec(
    'PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -65536',
  );
  // A dump enters virtual tables into the schema.
  db.enableDefensive(false);
  confine(db);
  let [count, bytes, rest] = [0, 0, ''];
  const run = (statement: string): void => {
    count += 1;
    try {
      db.exec(statement);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const hint = statement.startsWith('.')
        ? '; lines that begin with a dot are commands of the sqlite3 shell: write the text with `.dump`'
        : '';
      throw new TransferError(`statement ${count} fails (${reason})${hint}: ${shown(statement)}`);
    }
  };
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const take = (piece: Uint8Array | null): string => {
    try {
      return piece === null ? decoder.decode() : decoder.decode(piece, { stream: true });
    } catch {
      throw new TransferError(`the text is not UTF-8 (somewhere in the ${bytes} bytes read so far)`);
    }
  };
  for await (const piece of pieces) {
    bytes += piece.length;
    const cut = splitStatements(rest + take(piece));
    for (const statement of cut.statements) run(statement);
    rest = cut.rest;
  }
  rest += take(null);
  if (rest.trim() !== '') run(rest);
  if (db.isTransaction)
    throw new TransferError(
      'the text ends within a transaction: it is cut off, since a dump ends with COMMIT',
    );
}
