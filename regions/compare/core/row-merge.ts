/**
 * What became of the rows of one table between two places: a merge of its rows at either, both in the order of one key. It is
 * handed rows as they come and says which side it needs next, so that no table has to fit in memory.
 */
import type { FileValue } from '../../transfer/core/wire-value.ts';
import { compareKeys, type Literal, readLiteral } from './literal.ts';

export type Side = 'before' | 'after';

/** The values of a row, its key apart from its columns: a rowid need not be one of them. */
export interface KeyedRow {
  readonly key: readonly Literal[];
  readonly values: readonly Literal[];
}

/** `before` is null for a row that was inserted, `after` for one that was deleted. */
export type RowChange =
  | { readonly kind: 'inserted'; readonly before: null; readonly after: KeyedRow }
  | { readonly kind: 'changed'; readonly before: KeyedRow; readonly after: KeyedRow }
  | { readonly kind: 'deleted'; readonly before: KeyedRow; readonly after: null };

interface Stream {
  rows: readonly KeyedRow[];
  at: number;
  ended: boolean;
  lastKey: readonly FileValue[] | null;
}

const keyOf = ({ key }: KeyedRow): readonly FileValue[] => key.map(readLiteral);
const areSame = (a: readonly Literal[], b: readonly Literal[]): boolean =>
  a.every((value, at) => value === b[at]);

export class RowMerge {
  private readonly streams: Readonly<Record<Side, Stream>> = {
    before: { rows: [], at: 0, ended: false, lastKey: null },
    after: { rows: [], at: 0, ended: false, lastKey: null },
  };

  /** The sides whose next rows have to be given; none when the merge is over. */
  get wanted(): readonly Side[] {
    return (['before', 'after'] as const).filter((side) => {
      const { rows, at, ended } = this.streams[side];
      return at >= rows.length && !ended;
    });
  }

  /**
   * Takes the next rows of one side and says what is certain by now. A side that ended gives `isEnd` with its last rows.
   * @throws Error when the rows are not in the order of their key: what follows could not be trusted.
   */
  give(side: Side, rows: readonly KeyedRow[], isEnd: boolean): readonly RowChange[] {
    const stream = this.streams[side];
    for (const row of rows) {
      const key = keyOf(row);
      if (stream.lastKey !== null && compareKeys(stream.lastKey, key) >= 0)
        throw new Error(`rows of one table came out of order at the key ${row.key.join(', ')}`);
      stream.lastKey = key;
    }
    stream.rows = [...stream.rows.slice(stream.at), ...rows];
    stream.at = 0;
    stream.ended = isEnd;
    return this.drain();
  }

  private drain(): readonly RowChange[] {
    const { before, after } = this.streams;
    const changes: RowChange[] = [];
    for (;;) {
      const [old, now] = [before.rows[before.at], after.rows[after.at]];
      if ((old === undefined && !before.ended) || (now === undefined && !after.ended)) return changes;
      if (old === undefined && now === undefined) return changes;
      const order =
        old === undefined
          ? 1
          : now === undefined
            ? -1
            : areSame(old.key, now.key)
              ? 0
              : compareKeys(keyOf(old), keyOf(now));
      if (order <= 0) before.at += 1;
      if (order >= 0) after.at += 1;
      if (old !== undefined && order < 0) changes.push({ kind: 'deleted', before: old, after: null });
      else if (now !== undefined && order > 0) changes.push({ kind: 'inserted', before: null, after: now });
      else if (old !== undefined && now !== undefined && !areSame(old.values, now.values))
        changes.push({ kind: 'changed', before: old, after: now });
    }
  }
}
