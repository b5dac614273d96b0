/** The tables of a database, as far as their rows can be compared, and the statements that read them in the order of a key. */
import { quotedName } from '../../transfer/core/wire-value.ts';
import { type Literal, literalSql } from './literal.ts';

export interface Column {
  readonly name: string;
  /** The expression after DEFAULT; null without one. */
  readonly defaultSql: string | null;
  /** Its place in the primary key, from 1; 0 outside. */
  readonly pk: number;
}

export interface Table {
  readonly name: string;
  readonly withoutRowid: boolean;
  /** Without those that SQLite makes of others. */
  readonly columns: readonly Column[];
  /** Columns of the primary key whose order is not that of their bytes. */
  readonly collated: readonly string[];
}

/** How the rows of a table are read at either place, so that both give the same columns in the same order. */
export interface Shape {
  readonly name: string;
  /** Names of what is compared. */
  readonly columns: readonly string[];
  /** Of `columns`, the primary key; none where the table declares none. */
  readonly primaryKey: readonly string[];
  /** The name by which SQL reaches the rowid; null where the primary key is the key of the table. */
  readonly rowid: string | null;
  readonly before: Reading;
  readonly after: Reading;
}

/** What is selected at one place. */
export interface Reading {
  /** SQL of each part of the key, as it is ordered. */
  readonly key: readonly { readonly sql: string; readonly ordered: string }[];
  readonly values: readonly string[];
}

export type Shaped =
  | { readonly kind: 'shaped'; readonly shape: Shape }
  | { readonly kind: 'unreadable'; readonly reason: string };

const rowidNames = ['rowid', '_rowid_', 'oid'] as const;

function rowidOf(tables: readonly Table[]): string | null {
  const taken = new Set(tables.flatMap(({ columns }) => columns.map(({ name }) => name.toLowerCase())));
  return rowidNames.find((name) => !taken.has(name)) ?? null;
}

/** Columns of the primary key, in its order; none where a table has none. */
export const primaryKeyOf = ({ columns }: Table): readonly string[] =>
  columns
    .filter(({ pk }) => pk > 0)
    .sort((a, b) => a.pk - b.pk)
    .map(({ name }) => name);

/**
 * Whether the primary key tells a row from all others: a key with a NULL in it does not, and SQLite allows that in most tables.
 * @param values of `columns`.
 */
export const isKeyed = (
  { columns, primaryKey }: Pick<Shape, 'columns' | 'primaryKey'>,
  values: readonly Literal[],
): boolean =>
  primaryKey.length > 0 && primaryKey.every((name) => (values[columns.indexOf(name)] ?? 'NULL') !== 'NULL');

/**
 * How a table is compared that is there at both places, or, with `before` null, only at the later one. A column that came in
 * between counts as its default in the rows before, as ALTER TABLE has it; one that went is not compared.
 */
export function shapeOf(before: Table | null, after: Table): Shaped {
  const both = before === null ? [after] : [before, after];
  const primaryKey = primaryKeyOf(after);
  if (before !== null) {
    const sameKey = primaryKeyOf(before).join('\0') === primaryKey.join('\0');
    if (before.withoutRowid !== after.withoutRowid || (after.withoutRowid && !sameKey))
      return { kind: 'unreadable', reason: 'its key was another one before' };
  }
  const rowid = after.withoutRowid ? null : rowidOf(both);
  if (rowid === null && !after.withoutRowid)
    return {
      kind: 'unreadable',
      reason: 'rowid, _rowid_ and oid are columns of it, so that its rows cannot be told apart',
    };
  const collated = new Set(both.flatMap((table) => table.collated));
  const key =
    rowid !== null
      ? [{ sql: rowid, ordered: rowid }]
      : primaryKey.map((name) => {
          const sql = quotedName(name);
          return { sql, ordered: collated.has(name) ? `${sql} COLLATE BINARY` : sql };
        });
  const had = new Set((before ?? after).columns.map(({ name }) => name));
  return {
    kind: 'shaped',
    shape: {
      name: after.name,
      columns: after.columns.map(({ name }) => name),
      primaryKey,
      rowid,
      before: {
        key,
        values: after.columns.map(({ name, defaultSql }) =>
          had.has(name) ? quotedName(name) : `(${defaultSql ?? 'NULL'})`,
        ),
      },
      after: { key, values: after.columns.map(({ name }) => quotedName(name)) },
    },
  };
}

/**
 * The next rows of a table: the literals of its key, then of its values.
 * @param above the key that the last row read has; null for the first.
 */
export function pageSql(
  name: string,
  { key, values }: Reading,
  above: readonly Literal[] | null,
  rows: number,
): string {
  const ordered = key.map((part) => part.ordered);
  const where = above === null ? '' : ` WHERE (${ordered.join(',')}) > (${above.join(',')})`;
  const wanted = [...key.map(({ sql }) => sql), ...values].map(literalSql);
  return `SELECT ${wanted.join(',')} FROM ${quotedName(name)}${where} ORDER BY ${ordered.join(',')} LIMIT ${rows}`;
}
