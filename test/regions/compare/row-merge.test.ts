/** The merge of the rows of a table at two places. */
import { describe, expect, test } from 'vitest';
import {
  type KeyedRow,
  type RowChange,
  RowMerge,
  type Side,
} from '../../../regions/compare/core/row-merge.ts';

const row = (key: number, value: number): KeyedRow => ({ key: [`${key}`], values: [`${key}`, `${value}`] });

/** A small generator of numbers, so that a failure can be repeated by its seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed + 1;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const inOrder = (rows: ReadonlyMap<number, number>): KeyedRow[] =>
  [...rows].sort(([a], [b]) => a - b).map(([key, value]) => row(key, value));

/** Runs a merge that is given rows in batches of random sizes. */
function merged(
  before: readonly KeyedRow[],
  after: readonly KeyedRow[],
  below: (max: number) => number,
): RowChange[] {
  const merge = new RowMerge();
  const left: Record<Side, KeyedRow[]> = { before: [...before], after: [...after] };
  const changes: RowChange[] = [];
  for (let { wanted } = merge; wanted.length > 0; { wanted } = merge)
    for (const side of wanted) {
      const batch = left[side].splice(0, 1 + below(4));
      changes.push(...merge.give(side, batch, left[side].length === 0 && below(2) === 0));
      if (batch.length === 0) changes.push(...merge.give(side, [], true));
    }
  return changes;
}

describe('a merge of rows', () => {
  test('tells inserted, changed and deleted rows, in the order of their keys, and leaves out the same', () => {
    const changes = merged([row(1, 0), row(2, 0), row(4, 0)], [row(2, 0), row(3, 0), row(4, 9)], () => 0);
    expect(changes).toEqual([
      { kind: 'deleted', before: row(1, 0), after: null },
      { kind: 'inserted', before: null, after: row(3, 0) },
      { kind: 'changed', before: row(4, 0), after: row(4, 9) },
    ]);
  });

  test('applied to what was before gives what was after, however the rows come', () => {
    for (let seed = 0; seed < 300; seed++) {
      const below = numbers(seed);
      const before = new Map(Array.from({ length: below(40) }, () => [below(60) - 30, below(3)]));
      const after = new Map([...before].filter(() => below(5) > 0));
      for (let more = below(20); more > 0; more--) after.set(below(60) - 30, below(3));
      const changes = merged(inOrder(before), inOrder(after), below);
      const applied = new Map(before);
      for (const change of changes) {
        const [key, value] = (change.after ?? change.before).values.map(Number);
        if (change.after === null) applied.delete(key ?? 0);
        else applied.set(key ?? 0, value ?? 0);
      }
      expect([seed, inOrder(applied)]).toEqual([seed, inOrder(after)]);
      const differing = new Set(
        [...before.keys(), ...after.keys()].filter((key) => before.get(key) !== after.get(key)),
      );
      expect([seed, changes.length]).toEqual([seed, differing.size]);
    }
  });

  test('refuses rows that are out of order, also across batches', () => {
    const merge = new RowMerge();
    merge.give('before', [row(5, 0)], false);
    expect(() => merge.give('before', [row(5, 1)], false)).toThrow('out of order at the key 5');
    expect(() => merge.give('after', [row(2, 0), row(1, 0)], true)).toThrow('out of order at the key 1');
  });
});
