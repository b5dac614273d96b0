/** Reads what a SQLite file holds: its schema, and how many rows and bytes each table has. One pass over the file. */
import { createHash } from 'node:crypto';
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import {
  lateIndexBytes,
  progressTable,
  type SourceObject,
  type SourceSchema,
  type SourceTable,
} from './core/import-plan.ts';
import { moduleOf } from './core/schema-words.ts';
import { type FileValue, quotedName, quotedText } from './core/wire-value.ts';
import { TransferError } from './transfer-error.ts';

type Row = Record<string, SQLOutputValue>;

const textOf = (value: SQLOutputValue | undefined): string => (typeof value === 'string' ? value : '');
const numberOf = (value: SQLOutputValue | undefined): number => Number(value ?? 0);

/** SQLite's own tables that are taken over, each in its own way. */
const ownTables = { sequence: 'sqlite_sequence', statistics: 'sqlite_stat1' } as const;

function all(db: DatabaseSync, sql: string): readonly Row[] {
  const statement = db.prepare(sql);
  statement.setReadBigInts(true);
  return statement.all();
}

const rowidNames = ['rowid', '_rowid_', 'oid'] as const;

/** A column declared `INTEGER PRIMARY KEY` is the rowid, unless an index had to be made for it. */
function rowidOf(db: DatabaseSync, name: string, columns: readonly Row[]): string | null {
  const keys = columns.filter(({ pk }) => numberOf(pk) > 0);
  const isInteger = keys.length === 1 && textOf(keys[0]?.type).toUpperCase() === 'INTEGER';
  const hasIndex =
    all(db, `SELECT 1 AS x FROM pragma_index_list(${quotedText(name)}) WHERE origin = 'pk'`).length > 0;
  if (isInteger && !hasIndex) return null;
  const taken = new Set(columns.map((column) => textOf(column.name).toLowerCase()));
  return rowidNames.find((each) => !taken.has(each)) ?? null;
}

function tableOf(db: DatabaseSync, name: string, sql: string): SourceTable {
  const [listed] = all(
    db,
    `SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ${quotedText(name)}`,
  );
  const columns = all(db, `SELECT name, type, pk, hidden FROM pragma_table_xinfo(${quotedText(name)})`);
  const stored = columns.filter(({ hidden }) => numberOf(hidden) === 0).map((column) => textOf(column.name));
  const bytes = stored.map((column) => `coalesce(octet_length(${quotedName(column)}), 0)`).join(' + ');
  const [size] = all(
    db,
    `SELECT count(*) AS n, coalesce(sum(b), 0) AS total, coalesce(max(b), 0) AS largest FROM (SELECT ${bytes} AS b FROM ${quotedName(name)})`,
  );
  return {
    name,
    sql,
    isShadow: listed?.type === 'shadow',
    columns: stored,
    rowid: numberOf(listed?.wr) === 1 ? null : rowidOf(db, name, columns),
    rows: numberOf(size?.n),
    bytes: numberOf(size?.total),
    largestRowBytes: numberOf(size?.largest),
  };
}

/** What indexes take in the file; only a file that is large enough to hold a large one is looked at. */
function indexBytes(db: DatabaseSync, fileBytes: number): ReadonlyMap<string, number> {
  if (fileBytes <= lateIndexBytes) return new Map();
  const rows = all(db, 'SELECT name, pgsize FROM dbstat WHERE aggregate = 1');
  return new Map(rows.map(({ name, pgsize }) => [textOf(name), numberOf(pgsize)]));
}

function notesOn(db: DatabaseSync, names: ReadonlySet<string>): readonly string[] {
  const pragma = (name: string): string => String(Object.values(all(db, `PRAGMA ${name}`)[0] ?? {})[0] ?? '');
  const encoding = pragma('encoding');
  return [
    ...(encoding === 'UTF-8' ? [] : [`texts are ${encoding} in the file, and UTF-8 in Sextant`]),
    ...(names.has('sqlite_stat4') ? ['sqlite_stat4 is left out: ANALYZE makes what the engine uses'] : []),
    ...(names.has(progressTable)
      ? [`the table ${progressTable} is left out: it is the note of an import that did not end`]
      : []),
  ];
}

/** @throws TransferError when SQLite cannot read the file. */
export function survey(db: DatabaseSync, onTable: (name: string) => void): SourceSchema {
  try {
    return surveyed(db, onTable);
  } catch (error) {
    if (error instanceof TransferError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new TransferError(
      `SQLite cannot read the file: ${reason}. \`PRAGMA integrity_check\` in the sqlite3 shell says more`,
    );
  }
}

function surveyed(db: DatabaseSync, onTable: (name: string) => void): SourceSchema {
  const entries = all(db, 'SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid');
  const names = new Set(entries.map(({ name }) => textOf(name)));
  const [file] = all(db, 'SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size');
  const sizes = indexBytes(db, numberOf(file?.bytes));
  const tables: SourceTable[] = [];
  const objects: SourceObject[] = [];
  for (const entry of entries) {
    const [type, name, table, sql] = [entry.type, entry.name, entry.tbl_name, entry.sql].map(textOf) as [
      string,
      string,
      string,
      string,
    ];
    // An index without a text belongs to a constraint and comes with its table.
    if (sql === '' || name.startsWith('sqlite_') || name === progressTable) continue;
    if (type === 'table' && moduleOf(sql) === null) {
      onTable(name);
      tables.push(tableOf(db, name, sql));
      continue;
    }
    const kind = type === 'table' ? 'virtual' : type;
    if (kind === 'index' || kind === 'virtual' || kind === 'trigger' || kind === 'view')
      objects.push({ kind, name, table, sql, bytes: sizes.get(name) ?? 0 });
  }
  return {
    tables,
    objects,
    sequences: names.has(ownTables.sequence)
      ? all(db, 'SELECT name, seq FROM sqlite_sequence').map(({ name, seq }) => ({
          name: textOf(name),
          seq: seq ?? null,
        }))
      : [],
    statistics: names.has(ownTables.statistics)
      ? all(db, 'SELECT tbl, idx, stat FROM sqlite_stat1').map((row): readonly FileValue[] => [
          row.tbl ?? null,
          row.idx ?? null,
          row.stat ?? null,
        ])
      : [],
    userVersion: numberOf(all(db, 'PRAGMA user_version')[0]?.user_version),
    applicationId: numberOf(all(db, 'PRAGMA application_id')[0]?.application_id),
    notes: notesOn(db, names),
  };
}

/** Tells one file, as it is now, from another: by its schema, rows and bytes. */
export function fingerprintOf(source: SourceSchema, keepsNumbers: boolean): string {
  const facts = JSON.stringify([source, keepsNumbers], (_key, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
  return createHash('sha256').update(facts).digest('hex');
}
