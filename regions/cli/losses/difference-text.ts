/** The rows between two places of history, for people and as JSON. Pure. */
import { type Difference, rowsIn, type TableDifference } from '../../compare/core/difference.ts';
import { type Literal, plainOf, readLiteral } from '../../compare/core/literal.ts';
import type { KeyedRow, RowChange } from '../../compare/core/row-merge.ts';
import type { Shape } from '../../compare/core/table-shape.ts';
import { dumpValue } from '../../transfer/core/dump-value.ts';

/** A longer value is cut for people; JSON and SQL have it whole. */
const shownCharsMax = 120;

function shown(literal: Literal | undefined): string {
  const text = dumpValue(readLiteral(literal ?? 'NULL'))
    .replaceAll('\r', '\\r')
    .replaceAll('\n', '\\n');
  if (text.length <= shownCharsMax) return text;
  return `${text.slice(0, shownCharsMax)}… (${text.length} characters)`;
}

export const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`;

/** The name of each part of a key beside its literal. */
export function keyPairs(
  { primaryKey, columns, rowid }: Shape,
  { key, values }: KeyedRow,
): readonly [string, Literal][] {
  if (primaryKey.length === 0) return [[rowid ?? 'rowid', key[0] ?? 'NULL']];
  return primaryKey.map((name) => [name, values[columns.indexOf(name)] ?? 'NULL']);
}

export const pairsText = (pairs: readonly (readonly [string, Literal])[]): string =>
  pairs.map(([name, literal]) => `${name}=${shown(literal)}`).join(', ');

export function wholeRow(shape: Shape, row: KeyedRow): string {
  const key = keyPairs(shape, row);
  const rest = shape.columns
    .map((name, at): [string, Literal] => [name, row.values[at] ?? 'NULL'])
    .filter(([name]) => !shape.primaryKey.includes(name));
  return pairsText([...key, ...rest]);
}

export function changeText(shape: Shape, change: RowChange): string {
  switch (change.kind) {
    case 'inserted':
      return `  + ${wholeRow(shape, change.after)}`;
    case 'deleted':
      return `  - ${wholeRow(shape, change.before)}`;
    case 'changed': {
      const { before, after } = change;
      const columns = shape.columns.flatMap((name, at) =>
        before.values[at] === after.values[at]
          ? []
          : [`${name} ${shown(before.values[at])} → ${shown(after.values[at])}`],
      );
      return `  ~ ${pairsText(keyPairs(shape, before))}: ${columns.join(', ')}`;
    }
  }
}

function tableLines(table: TableDifference): readonly string[] {
  const { shape, inserted, changed, deleted, rows } = table;
  const total = inserted + changed + deleted;
  const head = `table ${shape.name}: ${inserted} inserted, ${changed} changed, ${deleted} deleted`;
  const more = total > rows.length ? [`  … and ${plural(total - rows.length, 'more row')}`] : [];
  return [head, ...rows.map((row) => changeText(shape, row)), ...more];
}

/** Lines for people: schema, then each table with its rows. */
export function differenceLines(difference: Difference): readonly string[] {
  const { schema, tables, notCompared } = difference;
  const lines = [
    ...schema.map(({ change, type, name }) => `${type} ${name}: ${change}`),
    ...tables.flatMap(tableLines),
    ...notCompared.map(({ name, reason }) => `table ${name}: not compared, ${reason}`),
  ];
  return rowsIn(difference) === 0 ? ['no row differs', ...lines] : lines;
}

export function rowJson({ columns }: Shape, row: KeyedRow | null): object | null {
  return row === null
    ? null
    : Object.fromEntries(columns.map((name, at) => [name, plainOf(row.values[at] ?? 'NULL')]));
}

/** Values as `sextant sql --json` has them: integers beyond 2^53 as strings, blobs as base64. */
export function differenceJson(difference: Difference): object {
  const { schema, tables, notCompared } = difference;
  const rows = rowsIn(difference);
  return {
    rows,
    truncated: rows > tables.reduce((sum, table) => sum + table.rows.length, 0),
    schema,
    tables: tables.map((table) => ({
      name: table.shape.name,
      inserted: table.inserted,
      changed: table.changed,
      deleted: table.deleted,
      rows: table.rows.map((change) => ({
        change: change.kind,
        key: Object.fromEntries(
          keyPairs(table.shape, change.after ?? change.before).map(([name, literal]) => [
            name,
            plainOf(literal),
          ]),
        ),
        before: rowJson(table.shape, change.before),
        after: rowJson(table.shape, change.after),
      })),
    })),
    notCompared: notCompared.map(({ name, reason }) => ({ name, reason })),
  };
}
