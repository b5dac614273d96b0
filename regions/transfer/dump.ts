/** Writes a SQLite file as SQL text, as `sqlite3 .dump` does, so that any SQLite reads it. */
import type { DatabaseSync } from 'node:sqlite';
import { dumpValue } from './core/dump-value.ts';
import { insertSql, type SourceSchema, type SourceTable } from './core/import-plan.ts';
import { quotedText } from './core/wire-value.ts';
import { fileRows } from './file-rows.ts';

/** Yields pieces of the text, each of whole lines. @param onRow after each row. */
export function* dumpLines(db: DatabaseSync, source: SourceSchema, onRow: () => void): Generator<string> {
  const { tables, objects, sequences, statistics, userVersion, applicationId } = source;
  const of = (kind: (typeof objects)[number]['kind']) => objects.filter((each) => each.kind === kind);
  yield 'PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n';
  if (userVersion !== 0) yield `PRAGMA user_version=${userVersion};\n`;
  if (applicationId !== 0) yield `PRAGMA application_id=${applicationId};\n`;
  for (const table of tables) {
    yield `${table.sql};\n`;
    yield* rowLines(db, table, onRow);
  }
  // Only made with the first table that counts its rows.
  if (sequences.length > 0) yield 'DELETE FROM sqlite_sequence;\n';
  for (const { name, seq } of sequences)
    yield `INSERT INTO sqlite_sequence(name,seq) VALUES(${quotedText(name)},${dumpValue(seq)});\n`;
  for (const { sql } of of('index')) yield `${sql};\n`;
  const virtuals = of('virtual');
  if (virtuals.length > 0) yield 'PRAGMA writable_schema=ON;\n';
  for (const { name, sql } of virtuals) {
    const [shown, text] = [quotedText(name), quotedText(sql)];
    yield `INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql) VALUES('table',${shown},${shown},0,${text});\n`;
  }
  if (virtuals.length > 0) yield 'PRAGMA writable_schema=RESET;\n';
  for (const { sql } of [...of('view'), ...of('trigger')]) yield `${sql};\n`;
  if (statistics.length > 0) yield 'ANALYZE sqlite_schema;\n';
  for (const row of statistics)
    yield `INSERT INTO sqlite_stat1(tbl,idx,stat) VALUES(${row.map(dumpValue).join(',')});\n`;
  yield 'COMMIT;\n';
}

function* rowLines(db: DatabaseSync, table: SourceTable, onRow: () => void): Generator<string> {
  const opening = insertSql(table, 0, null);
  for (const row of fileRows(db, table, 0)) {
    yield `${opening}(${row.map(dumpValue).join(',')});\n`;
    onRow();
  }
}
