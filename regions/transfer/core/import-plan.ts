/**
 * What an import does, in which order: a list of parts that follows from the file alone, so that an import that was cut off
 * goes on at a part and a row of it.
 *
 * Tables come first, then their rows, then what would only be in the way of rows: indexes, virtual tables, triggers, views. A
 * large index is an exception. It is made with its table, because one statement may neither take longer nor make more redo than
 * the gateway allows (30 s, 1 GiB).
 */
import { type FileValue, quotedName } from './wire-value.ts';

/** A table of the file, shadow tables of virtual ones included: they are copied as what they are. */
export interface SourceTable {
  readonly name: string;
  readonly sql: string;
  /** It belongs to a virtual table, which makes it. */
  readonly isShadow: boolean;
  /** Columns that are stored, in the order of the table; generated ones are not among them. */
  readonly columns: readonly string[];
  /** By which name its rowid is kept; null where it has none of its own, or where a column stands for it. */
  readonly rowid: string | null;
  readonly rows: number;
  /** Of all values, as text. */
  readonly bytes: number;
  readonly largestRowBytes: number;
}

/** `bytes` of an index is what it takes in the file. */
export interface SourceObject {
  readonly kind: 'index' | 'virtual' | 'trigger' | 'view';
  readonly name: string;
  readonly table: string;
  readonly sql: string;
  readonly bytes: number;
}

/** What a file holds. */
export interface SourceSchema {
  readonly tables: readonly SourceTable[];
  readonly objects: readonly SourceObject[];
  /** Rows of `sqlite_sequence`. */
  readonly sequences: readonly { readonly name: string; readonly seq: FileValue }[];
  /** Rows of `sqlite_stat1`. */
  readonly statistics: readonly (readonly FileValue[])[];
  readonly userVersion: number;
  readonly applicationId: number;
  /** What is left out, each in a sentence. */
  readonly notes: readonly string[];
}

export type ImportPart =
  | {
      readonly kind: 'statement';
      readonly sql: string;
      readonly args: readonly FileValue[];
      readonly what: string;
      /** It is nothing without the one before it: both go into one transaction. */
      readonly joins: boolean;
    }
  | { readonly kind: 'rows'; readonly table: SourceTable; readonly indexes: number };

/** How far an import is: the part, and how many of its rows are there. */
export interface ImportPosition {
  readonly part: number;
  readonly row: number;
}

export const importStart: ImportPosition = { part: 0, row: 0 };

/** An index that takes more in the file is made with its table. */
export const lateIndexBytes = 32 * 1024 * 1024;

/** The table that says how far an import is; it is there while one is under way. */
export const progressTable = 'sextant_import';
/** Made and dropped, so that every connection reads the schema again. */
const cookieTable = 'sextant_import_schema';

const statement = (
  what: string,
  sql: string,
  args: readonly FileValue[] = [],
  joins = false,
): ImportPart => ({ kind: 'statement', sql, args, what, joins });
const made = ({ kind, name, sql }: Pick<SourceObject, 'kind' | 'name' | 'sql'>): ImportPart =>
  statement(`${kind} ${name}`, sql);

/**
 * Virtual tables are entered into the schema as they stand, as `sqlite3 .dump` does: their shadow tables are there by then, with
 * all that was indexed. `CREATE VIRTUAL TABLE` would make empty ones.
 */
function virtualParts(virtuals: readonly SourceObject[]): readonly ImportPart[] {
  if (virtuals.length === 0) return [];
  const enter =
    "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', ?, ?, 0, ?)";
  return [
    statement('the schema', 'PRAGMA writable_schema = ON'),
    ...virtuals.map(({ name, sql }) => statement(`virtual table ${name}`, enter, [name, name, sql], true)),
    statement('the schema', `CREATE TABLE ${cookieTable} (x)`, [], true),
    statement('the schema', `DROP TABLE ${cookieTable}`, [], true),
    statement('the schema', 'PRAGMA writable_schema = RESET', [], true),
  ];
}

/** @param keepsNumbers whether `user_version` and `application_id` are taken over: not into a database that has its own. */
export function importPlan(source: SourceSchema, keepsNumbers: boolean): readonly ImportPart[] {
  const { tables, objects, sequences, statistics, userVersion, applicationId } = source;
  const of = (kind: SourceObject['kind']): readonly SourceObject[] =>
    objects.filter((each) => each.kind === kind);
  const early = of('index').filter(({ bytes }) => bytes > lateIndexBytes);
  const late = of('index').filter(({ bytes }) => bytes <= lateIndexBytes);
  const filled = tables.filter(({ rows }) => rows > 0);
  const number = (name: string, value: number): readonly ImportPart[] =>
    keepsNumbers && value !== 0 ? [statement(name, `PRAGMA ${name} = ${value}`)] : [];
  return [
    ...tables.map(({ name, sql }) => statement(`table ${name}`, sql)),
    ...early.map(made),
    ...filled.map(
      (table): ImportPart => ({
        kind: 'rows',
        table,
        indexes: early.filter((index) => index.table === table.name).length,
      }),
    ),
    ...sequences.flatMap(({ name, seq }) => [
      statement('sqlite_sequence', 'DELETE FROM sqlite_sequence WHERE name = ?', [name]),
      statement('sqlite_sequence', 'INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)', [name, seq]),
    ]),
    ...late.map(made),
    ...virtualParts(of('virtual')),
    ...of('view').map(made),
    ...of('trigger').map(made),
    ...(statistics.length === 0 ? [] : [statement('sqlite_stat1', 'ANALYZE sqlite_schema')]),
    ...statistics.map((row) =>
      statement('sqlite_stat1', 'INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)', row),
    ),
    ...number('user_version', userVersion),
    ...number('application_id', applicationId),
  ];
}

/** Statements that make everything empty: run and rolled back, they show what the target cannot take. */
export function rehearsal(source: SourceSchema): readonly { readonly what: string; readonly sql: string }[] {
  const virtuals = source.objects.filter(({ kind }) => kind === 'virtual');
  const rest = (['index', 'view', 'trigger'] as const).flatMap((kind) =>
    source.objects.filter((each) => each.kind === kind),
  );
  return [
    ...source.tables
      .filter(({ isShadow }) => !isShadow)
      .map(({ name, sql }) => ({ what: `table ${name}`, sql })),
    ...[...virtuals, ...rest].map(({ kind, name, sql }) => ({
      what: `${kind === 'virtual' ? 'virtual table' : kind} ${name}`,
      sql,
    })),
  ];
}

/** The columns of a row as they are read and written: the rowid first, where it is kept. */
export function rowColumns({ rowid, columns }: SourceTable): readonly string[] {
  return rowid === null ? columns : [rowid, ...columns];
}

/** Text of an insert of several rows. `asText` marks arguments that are bytes of a text; null for none. */
export function insertSql(table: SourceTable, rows: number, asText: readonly boolean[] | null): string {
  const columns = rowColumns(table);
  const row = `(${columns.map((_, at) => (asText?.[at] === true ? 'CAST(? AS TEXT)' : '?')).join(',')})`;
  const names = columns.map(quotedName).join(',');
  return `INSERT INTO ${quotedName(table.name)} (${names}) VALUES ${Array.from({ length: rows }, () => row).join(',')}`;
}
