/** Reads the rows of a table out of a SQLite file, every value as it is stored. */
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { rowColumns, type SourceTable } from './core/import-plan.ts';
import { type FileValue, quotedName, TextBytes } from './core/wire-value.ts';

/** Stands in a text where its bytes are no valid UTF-8, or is in it as it is. */
const replacement = '\uFFFD';

/**
 * The rows from number `fromRow` on, in the order of the table's own tree, which is the same at every call: an index that holds all
 * columns would give another. A text that is no valid UTF-8 comes as its bytes.
 */
export function* fileRows(
  db: DatabaseSync,
  table: SourceTable,
  fromRow: number,
): Generator<readonly FileValue[]> {
  const isUtf8 = Object.values(db.prepare('PRAGMA encoding').get() ?? {})[0] === 'UTF-8';
  const columns = rowColumns(table).map(quotedName);
  const from = `${quotedName(table.name)} NOT INDEXED`;
  const rows = db.prepare(`SELECT ${columns.join(', ')} FROM ${from} LIMIT -1 OFFSET ${fromRow}`);
  rows.setReadBigInts(true);
  rows.setReturnArrays(true);
  const bytes = columns.map(
    (column) => `CASE typeof(${column}) WHEN 'text' THEN CAST(${column} AS BLOB) END`,
  );
  const again = db.prepare(`SELECT ${bytes.join(', ')} FROM ${from} LIMIT 1 OFFSET ?`);
  again.setReturnArrays(true);
  let at = fromRow;
  // The declarations of node:sqlite know rows as records only.
  for (const row of rows.iterate() as Iterable<unknown> as Iterable<readonly SQLOutputValue[]>) {
    const isDoubtful =
      isUtf8 && row.some((value) => typeof value === 'string' && value.includes(replacement));
    yield isDoubtful ? withBytes(row, Object.values(again.get(at) ?? {})) : row;
    at += 1;
  }
}

function withBytes(row: readonly FileValue[], bytes: readonly SQLOutputValue[]): readonly FileValue[] {
  return row.map((value, at) => {
    const raw = bytes[at];
    return typeof value === 'string' && raw instanceof Uint8Array && value.includes(replacement)
      ? new TextBytes(raw)
      : value;
  });
}
