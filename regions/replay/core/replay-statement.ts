/** The statements that look at a row as it is now and bring a lost one back, only where it is still what it was (R88). */
import { type Literal, literalSql, readLiteral } from '../../compare/core/literal.ts';
import { encodeWireValue, quotedName } from '../../transfer/core/wire-value.ts';
import { isAbout, type LostRow } from './lost-row.ts';
import { columnsOf, type ForeignKey, indexOfName, sameName, type Target } from './target.ts';

/** SQL with its arguments in JSON. */
export interface Statement {
  readonly sql: string;
  readonly args: readonly string[];
}

/** A condition that a foreign key puts on a row: without it a cascade would reach rows that others wrote. */
export interface Guard extends Statement {
  /** For people: what stands in the way where it does not hold. */
  readonly missing: string;
}

interface Part {
  readonly sql: string;
  readonly args: readonly string[];
}

function argument(literal: Literal | undefined): Part {
  const { json, asText } = encodeWireValue(readLiteral(literal ?? 'NULL'));
  return { sql: asText ? 'CAST(? AS TEXT)' : '?', args: [json] };
}

function joined(parts: readonly Part[], separator: string): Part {
  return {
    sql: parts.map(({ sql }) => sql).join(separator),
    args: parts.flatMap(({ args }) => args),
  };
}

function compared(left: string, operator: string, literal: Literal | undefined): Part {
  const { sql, args } = argument(literal);
  return { sql: `${left} ${operator} ${sql}`, args };
}

/** Columns that the statement names: they have to be there. */
export const namedColumns = (row: LostRow): readonly string[] =>
  row.shape.columns.filter(
    (name, at) => isAbout(row, at) || !row.keyed || row.shape.primaryKey.includes(name),
  );

/** Of those that the statement names, the ones that the table has not got; null when there is no such table. */
export function missingColumns(row: LostRow, target: Target): readonly string[] | null {
  const columns = columnsOf(target, row.shape.name);
  return columns === null ? null : namedColumns(row).filter((name) => indexOfName(columns, name) < 0);
}

/** What says which row is meant. @param of the table's name in the statement, with a point; empty where it is the only one. */
function identified({ shape, key, keyed }: LostRow, of = ''): Part {
  const names = keyed ? shape.primaryKey.map(quotedName) : [shape.rowid ?? 'rowid'];
  return joined(
    names.map((name, at) => compared(`${of}${name}`, 'IS', key[at])),
    ' AND ',
  );
}

/** Reads the columns of the row that has its key now, as literals: NULL for a column that is not there. */
export function lookStatement(row: LostRow, target: Target): Statement {
  const columns = columnsOf(target, row.shape.name) ?? [];
  const wanted = row.shape.columns.map((name) =>
    indexOfName(columns, name) < 0 ? 'NULL' : literalSql(quotedName(name)),
  );
  const { sql, args } = identified(row);
  return { sql: `SELECT ${wanted.join(',')} FROM ${quotedName(row.shape.name)} WHERE ${sql} LIMIT 1`, args };
}

/** One text for all values of a row: two rows have the same exactly when these are the same. */
export const valuesText = (values: readonly Literal[]): string => values.join('\u0001');

/** Columns by which a row that may be one of those is found first: comparing all values as text takes long. */
const foundByMax = 3;

/**
 * How many rows of their table there are with exactly the values of each of these.
 * @param rows of one table, no two with the same values; the answer has a row for each that is there: its index, and how many.
 */
export function countStatement(rows: readonly LostRow[]): Statement {
  const { columns, name: table } = rows[0]?.shape ?? { columns: [], name: '' };
  const text = columns.map((name) => literalSql(`t.${quotedName(name)}`)).join('||char(1)||');
  const foundBy = columns.slice(0, foundByMax);
  const lost = joined(
    rows.map(({ after }, index): Part => {
      const values = after ?? [];
      const parts = joined(
        foundBy.map((_, at) => argument(values[at])),
        ',',
      );
      return {
        sql: `(${index},${parts.sql},?)`,
        args: [...parts.args, encodeWireValue(valuesText(values)).json],
      };
    }),
    ',',
  );
  const found = foundBy.map((name, at) => `lost.c${at} IS t.${quotedName(name)}`).join(' AND ');
  return {
    sql:
      `WITH lost(i,${foundBy.map((_, at) => `c${at}`).join(',')},lit) AS MATERIALIZED (VALUES ${lost.sql}) SELECT lost.i, count(*) ` +
      // The plus keeps the text out of the index: it would be made of every row.
      `FROM main.${quotedName(table)} t CROSS JOIN lost ON ${found} AND +lost.lit=(${text}) GROUP BY lost.i`,
    args: lost.args,
  };
}

/** Values of columns by their names; null where the row has not got one of them. */
function valuesAt(
  row: LostRow,
  values: readonly Literal[],
  names: readonly string[],
): readonly Literal[] | null {
  const found = names.map((name) => values[indexOfName(row.shape.columns, name)]);
  return found.every((value) => value !== undefined) ? found : null;
}

/** The row that is referred to by columns of this one; null when nothing is. */
export function referredTo(row: LostRow, { from }: ForeignKey): readonly Literal[] | null {
  const values = row.after === null ? null : valuesAt(row, row.after, from);
  return values === null || values.includes('NULL') ? null : values;
}

const aboutAny = (row: LostRow, names: readonly string[]): boolean =>
  names.some((name) => {
    const at = indexOfName(row.shape.columns, name);
    return at >= 0 && isAbout(row, at);
  });

function parentGuard(row: LostRow, key: ForeignKey, target: Target): readonly Guard[] {
  const { parent, to, from } = key;
  const values = referredTo(row, key);
  if (values === null || !aboutAny(row, from) || columnsOf(target, parent) === null) return [];
  const isItself =
    sameName(parent, row.shape.name) &&
    row.after !== null &&
    valuesAt(row, row.after, to)?.every((value, at) => value === values[at]) === true;
  if (isItself) return [];
  const match = joined(
    to.map((name, at) => compared(`p.${quotedName(name)}`, '=', values[at])),
    ' AND ',
  );
  return [
    {
      sql: `EXISTS(SELECT 1 FROM ${quotedName(parent)} p WHERE ${match.sql})`,
      args: match.args,
      missing: `${parent} has no row with ${to.map((name, at) => `${name}=${values[at]}`).join(', ')}, which it refers to`,
    },
  ];
}

function childGuard(row: LostRow, { child, from, to }: ForeignKey): readonly Guard[] {
  if (row.before === null || !aboutAny(row, to)) return [];
  const own = quotedName(row.shape.name);
  const match = to
    .map((name, at) => `${own}.${quotedName(name)}=c.${quotedName(from[at] ?? '')}`)
    .join(' AND ');
  const itself = identified(row, 'c.');
  const others = sameName(child, row.shape.name)
    ? { sql: ` AND NOT (${itself.sql})`, args: itself.args }
    : { sql: '', args: [] };
  return [
    {
      sql: `NOT EXISTS(SELECT 1 FROM ${quotedName(child)} c WHERE ${match}${others.sql})`,
      args: others.args,
      missing: `rows of ${child} refer to it`,
    },
  ];
}

/** What foreign keys ask for. */
export const guardsOf = (row: LostRow, target: Target): readonly Guard[] =>
  target.foreignKeys.flatMap((key) => [
    ...(sameName(key.child, row.shape.name) ? parentGuard(row, key, target) : []),
    ...(sameName(key.parent, row.shape.name) ? childGuard(row, key) : []),
  ]);

/** One row that says of each guard whether it holds, 1 or 0; none when the row itself is not there. */
export function guardStatement(row: LostRow, guards: readonly Guard[]): Statement {
  const { sql, args } = joined(guards, ',');
  if (row.before === null) return { sql: `SELECT ${sql}`, args };
  const own = identified(row);
  return {
    sql: `SELECT ${sql} FROM ${quotedName(row.shape.name)} WHERE ${own.sql}`,
    args: [...args, ...own.args],
  };
}

/**
 * Changes one row, or none. `OR ABORT` whatever the table says of conflicts: its REPLACE would take away rows that others wrote.
 * @param guards of `guardsOf`.
 */
export function bringBackStatement(row: LostRow, guards: readonly Guard[]): Statement {
  const table = quotedName(row.shape.name);
  const { columns } = row.shape;
  const { before, after } = row;
  if (before === null) {
    const values = joined((after ?? []).map(argument), ',');
    const names = columns.map(quotedName).join(',');
    const insert = `INSERT OR ABORT INTO ${table}(${names})`;
    if (guards.length === 0) return { sql: `${insert} VALUES(${values.sql})`, args: values.args };
    const where = joined(guards, ' AND ');
    return {
      sql: `${insert} SELECT ${values.sql} WHERE ${where.sql}`,
      args: [...values.args, ...where.args],
    };
  }
  const asItWas = columns.flatMap((name, at) =>
    isAbout(row, at) || !row.keyed ? [compared(quotedName(name), 'IS', before[at])] : [],
  );
  const where = joined([identified(row), ...asItWas, ...guards], ' AND ');
  if (after === null) return { sql: `DELETE FROM ${table} WHERE ${where.sql}`, args: where.args };
  const set = joined(
    columns.flatMap((name, at) => (isAbout(row, at) ? [compared(quotedName(name), '=', after[at])] : [])),
    ',',
  );
  return {
    sql: `UPDATE OR ABORT ${table} SET ${set.sql} WHERE ${where.sql}`,
    args: [...set.args, ...where.args],
  };
}
