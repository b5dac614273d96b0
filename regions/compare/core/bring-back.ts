/**
 * A difference as SQL that brings its later side back, in one transaction. A row that is not any more as it was before is left
 * alone: whoever wrote it since keeps it (R88).
 */
import { dumpValue } from '../../transfer/core/dump-value.ts';
import { quotedName } from '../../transfer/core/wire-value.ts';
import type { Difference, TableDifference } from './difference.ts';
import { type Literal, readLiteral } from './literal.ts';
import type { KeyedRow, RowChange } from './row-merge.ts';
import type { SchemaChange } from './schema-changes.ts';
import { isKeyed, type Shape } from './table-shape.ts';

const written = (literal: Literal | undefined): string => dumpValue(readLiteral(literal ?? 'NULL'));
const comment = (text: string): readonly string[] => text.split(/\r?\n/).map((line) => `-- ${line}`);

/** Lines of SQL; comments are lines of their own. The first is no comment: a text that begins with `--` looks like an option to a command. */
export function bringBack(difference: Difference): readonly string[] {
  const { schema, tables, notCompared } = difference;
  const rows = (kind: RowChange['kind']): readonly string[] =>
    tables.flatMap((table) =>
      table.rows.filter((row) => row.kind === kind).map((row) => rowSql(table.shape, row)),
    );
  const created = (types: readonly SchemaChange['type'][]): readonly string[] =>
    schema
      .filter((each) => each.change === 'created' && types.includes(each.type))
      .map(({ sql }) => `${sql};`);
  const dropped = (types: readonly SchemaChange['type'][]): readonly string[] =>
    schema
      .filter((each) => each.change === 'dropped' && types.includes(each.type))
      .map(({ type, name }) => `DROP ${type.toUpperCase()} IF EXISTS ${quotedName(name)};`);
  return [
    'BEGIN IMMEDIATE;',
    ...tables.flatMap(triggerComment),
    ...notCompared.flatMap(({ name, reason }) => comment(`table ${name} was not compared: ${reason}`)),
    ...schema.flatMap(alteredComment),
    'PRAGMA defer_foreign_keys=ON;',
    ...dropped(['trigger', 'view', 'index']),
    ...created(['table']),
    ...rows('deleted'),
    ...rows('changed'),
    ...rows('inserted'),
    ...created(['index', 'view', 'trigger']),
    ...dropped(['table']),
    'COMMIT;',
  ];
}

const triggerComment = ({ shape, triggers }: TableDifference): readonly string[] =>
  triggers.length === 0
    ? []
    : comment(
        `table ${shape.name} has triggers (${triggers.join(', ')}): what they did is among these rows, and they run again`,
      );

function alteredComment({ change, type, name, sql }: SchemaChange): readonly string[] {
  if (change !== 'altered') return [];
  return comment(
    `${type} ${name} was altered, which is not brought back by itself. It was afterwards:\n  ${sql}`,
  );
}

function rowSql(shape: Shape, change: RowChange): string {
  const table = quotedName(shape.name);
  switch (change.kind) {
    case 'inserted': {
      const values = change.after.values.map(written).join(',');
      return `INSERT INTO ${table}(${shape.columns.map(quotedName).join(',')}) VALUES(${values}) ON CONFLICT DO NOTHING;`;
    }
    case 'deleted':
      return `DELETE FROM ${table} WHERE ${asItWas(shape, change.before, () => true)};`;
    case 'changed': {
      const { before, after } = change;
      const isNew = (at: number): boolean => before.values[at] !== after.values[at];
      const set = shape.columns.flatMap((name, at) =>
        isNew(at) ? [`${quotedName(name)}=${written(after.values[at])}`] : [],
      );
      // Whatever the table says of conflicts: REPLACE would take away rows that others wrote.
      return `UPDATE OR ABORT ${table} SET ${set.join(',')} WHERE ${asItWas(shape, before, isNew)};`;
    }
  }
}

/** The row by its key, as long as it is what it was: in the columns that the statement is about, or in all where only a rowid tells rows apart. */
function asItWas(shape: Shape, { key, values }: KeyedRow, isAbout: (at: number) => boolean): string {
  const { columns, primaryKey, rowid } = shape;
  const byRowid = !isKeyed(shape, values);
  const parts = columns.flatMap((name, at) =>
    byRowid || primaryKey.includes(name) || isAbout(at)
      ? [`${quotedName(name)} IS ${written(values[at])}`]
      : [],
  );
  return [...(byRowid && rowid !== null ? [`${rowid}=${key[0]}`] : []), ...parts].join(' AND ');
}
