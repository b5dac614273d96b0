/**
 * The order in which lost rows come back: what was deleted, what was changed, what was inserted, so that values of unique indexes
 * are free; a row after the one that it refers to, and deleted before it.
 */
import type { Literal } from '../../compare/core/literal.ts';
import { kindOf, type LostRow } from './lost-row.ts';
import { referredTo } from './replay-statement.ts';
import { type ForeignKey, indexOfName, sameName } from './target.ts';

const nameOf = (table: string, columns: readonly string[], values: readonly Literal[]): string =>
  JSON.stringify([table.toLowerCase(), ...columns.map((column) => column.toLowerCase()), ...values]);

/** Rows so that each comes after those that it refers to, as far as there is no circle; else as they came. */
function parentsFirst(rows: readonly LostRow[], foreignKeys: readonly ForeignKey[]): readonly LostRow[] {
  const byValues = new Map<string, LostRow>();
  for (const row of rows)
    for (const { parent, to } of foreignKeys) {
      if (!sameName(parent, row.shape.name) || row.after === null) continue;
      const values = to.map((name) => row.after?.[indexOfName(row.shape.columns, name)] ?? 'NULL');
      byValues.set(nameOf(parent, to, values), row);
    }
  const parentsOf = (row: LostRow): readonly LostRow[] =>
    foreignKeys.flatMap((key) => {
      const values = sameName(key.child, row.shape.name) ? referredTo(row, key) : null;
      const parent = values === null ? undefined : byValues.get(nameOf(key.parent, key.to, values));
      return parent === undefined ? [] : [parent];
    });
  const sorted: LostRow[] = [];
  const seen = new Set<LostRow>();
  for (const first of rows) {
    // By hand: a chain of rows may be longer than the stack is deep.
    const stack = [{ row: first, isOpen: false }];
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const { row, isOpen } = top;
      if (isOpen) sorted.push(row);
      else if (!seen.has(row)) {
        seen.add(row);
        stack.push({ row, isOpen: true });
        for (const parent of parentsOf(row))
          if (!seen.has(parent)) stack.push({ row: parent, isOpen: false });
      }
    }
  }
  return sorted;
}

/** All rows, each once. */
export function replayOrder(
  rows: readonly LostRow[],
  foreignKeys: readonly ForeignKey[],
): readonly LostRow[] {
  const of = (kind: ReturnType<typeof kindOf>): readonly LostRow[] =>
    rows.filter((row) => kindOf(row) === kind);
  const deleted = new Map<LostRow, LostRow>(
    of('deleted').map((row) => [{ ...row, before: null, after: row.before }, row]),
  );
  const deletedInOrder = parentsFirst([...deleted.keys()], foreignKeys).toReversed();
  return [
    ...deletedInOrder.flatMap((row) => deleted.get(row) ?? []),
    ...of('changed'),
    ...parentsFirst(of('inserted'), foreignKeys),
  ];
}

export interface BatchBounds {
  readonly rows: number;
  /** Characters of values. */
  readonly chars: number;
}

/** Rows of one transaction each, in order: at least one. */
export function batchesOf(rows: readonly LostRow[], bounds: BatchBounds): readonly (readonly LostRow[])[] {
  const batches: LostRow[][] = [];
  let chars = 0;
  for (const row of rows) {
    const own = [...(row.before ?? []), ...(row.after ?? [])].reduce((sum, value) => sum + value.length, 0);
    const last = batches.at(-1);
    if (last === undefined || last.length >= bounds.rows || chars + own > bounds.chars) {
      batches.push([row]);
      chars = own;
    } else {
      last.push(row);
      chars += own;
    }
  }
  return batches;
}
