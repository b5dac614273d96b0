/** The database that lost rows are brought back to, as far as it decides whether and how. */
import type { SchemaObject } from '../../compare/core/schema-changes.ts';

export interface ForeignKey {
  readonly child: string;
  readonly from: readonly string[];
  readonly parent: string;
  /** As many as `from`. */
  readonly to: readonly string[];
}

export interface Target {
  /** Of the schema: another one says that all of this is to be read again. */
  readonly version: string;
  /** Columns of each table that can be written, by the table's name. */
  readonly tables: ReadonlyMap<string, readonly string[]>;
  readonly objects: readonly SchemaObject[];
  readonly virtual: readonly string[];
  readonly foreignKeys: readonly ForeignKey[];
}

/** Names of SQL are the same in either case. */
export const sameName = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/** The place of a column among others; -1 when it is not there. */
export const indexOfName = (names: readonly string[], name: string): number =>
  names.findIndex((each) => sameName(each, name));

export function columnsOf({ tables }: Target, name: string): readonly string[] | null {
  for (const [table, columns] of tables) if (sameName(table, name)) return columns;
  return null;
}

/** Whether a text of SQL has the name as a word. */
function mentions(sql: string, name: string): boolean {
  const word = name.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return new RegExp(`(?<![\\w$])${word}(?![\\w$])`, 'iu').test(sql);
}

/**
 * The triggers on these tables that must not run when lost rows come back. What a trigger wrote is among the rows, and would be
 * written twice. Those that can refuse a row run, as constraints do, and those that feed a virtual table, whose rows are not compared.
 */
export const suspendedTriggers = (
  { objects, virtual }: Pick<Target, 'objects' | 'virtual'>,
  tables: readonly string[],
): readonly SchemaObject[] =>
  objects.filter(
    ({ type, table, sql }) =>
      type === 'trigger' &&
      tables.some((name) => sameName(name, table)) &&
      !/\braise\s*\(/i.test(sql) &&
      !virtual.some((name) => mentions(sql, name)),
  );
