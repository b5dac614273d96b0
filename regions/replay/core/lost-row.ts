/** A lost row, told by what tells rows apart in the database as it is now: its primary key, or its rowid where it has none. */
import type { TableDifference } from '../../compare/core/difference.ts';
import type { Literal } from '../../compare/core/literal.ts';
import type { KeyedRow } from '../../compare/core/row-merge.ts';
import { isKeyed, type Shape } from '../../compare/core/table-shape.ts';

export interface LostRow {
  readonly shape: Shape;
  /** Of the primary key, in its order; the rowid alone for a row without one. */
  readonly key: readonly Literal[];
  /** Whether `key` is a primary key. A rowid tells rows apart in one line of history only. */
  readonly keyed: boolean;
  /** Values of `shape.columns` before the lost writes; null when there was no such row. */
  readonly before: readonly Literal[] | null;
  /** The same after them. */
  readonly after: readonly Literal[] | null;
}

export type LostKind = 'inserted' | 'changed' | 'deleted';

export const kindOf = ({ before, after }: LostRow): LostKind =>
  before === null ? 'inserted' : after === null ? 'deleted' : 'changed';

export const sameValues = (a: readonly Literal[] | null, b: readonly Literal[] | null): boolean =>
  a === null || b === null ? a === b : a.every((value, at) => value === b[at]);

/** Whether what a row is about includes its column: those that differ of a changed row, all of another. */
export const isAbout = ({ before, after }: LostRow, at: number): boolean =>
  before === null || after === null || before[at] !== after[at];

/** The primary key among the values of a row. */
export const primaryKeyIn = (
  { columns, primaryKey }: Shape,
  values: readonly Literal[],
): readonly Literal[] => primaryKey.map((name) => values[columns.indexOf(name)] ?? 'NULL');

/** What tells the row from all others of its table. */
export const identityOf = ({ keyed, key }: LostRow): string => JSON.stringify([keyed, ...key]);

/**
 * The rows of a difference. A difference tells rows of most tables apart by their rowids, which a replacement changes: what was
 * deleted and inserted under one primary key is one changed row.
 */
export function lostRows({ shape, rows }: Pick<TableDifference, 'shape' | 'rows'>): readonly LostRow[] {
  const byIdentity = new Map<string, LostRow>();
  const add = (row: LostRow): void => {
    const known = byIdentity.get(identityOf(row));
    byIdentity.set(
      identityOf(row),
      known === undefined
        ? row
        : { ...known, before: row.before ?? known.before, after: row.after ?? known.after },
    );
  };
  const part = (row: KeyedRow, side: 'before' | 'after'): void => {
    const { values } = row;
    const none = { before: null, after: null };
    add({ shape, keyed: true, key: primaryKeyIn(shape, values), ...none, [side]: values });
  };
  for (const { before, after } of rows) {
    if ([before, after].every((row) => row === null || isKeyed(shape, row.values))) {
      if (before !== null) part(before, 'before');
      if (after !== null) part(after, 'after');
      continue;
    }
    const key = (before ?? after)?.key ?? [];
    add({ shape, keyed: false, key, before: before?.values ?? null, after: after?.values ?? null });
  }
  return [...byIdentity.values()].filter(({ before, after }) => !sameValues(before, after));
}
