/** Rows without a primary key, of which there may be several that are the same: how many there were, and how many are lost. */
import type { Literal } from '../../compare/core/literal.ts';
import type { Copies } from './judgement.ts';
import type { LostRow } from './lost-row.ts';
import { valuesText } from './replay-statement.ts';

export const isKeylessInsert = ({ keyed, before }: LostRow): boolean => !keyed && before === null;

/** The inserted rows without a key, by table: of those with the same values one. */
export function distinctInserts(rows: readonly LostRow[]): readonly (readonly LostRow[])[] {
  const tables = new Map<string, Map<string, LostRow>>();
  for (const row of rows.filter(isKeylessInsert)) {
    const known = tables.get(row.shape.name) ?? new Map<string, LostRow>();
    tables.set(row.shape.name, known);
    known.set(copiesId(row), row);
  }
  return [...tables.values()].map((each) => [...each.values()]);
}

/** Tells values of a row of a table from all others. */
const idOf = ({ shape: { name } }: LostRow, values: readonly Literal[]): string =>
  `${name} ${valuesText(values)}`;

/** The same of an inserted row. */
export const copiesId = (row: LostRow): string => idOf(row, row.after ?? []);

type Known = Omit<Copies, 'now'>;
const none: Known = { fork: 0, inserted: 0, made: 0, gone: 0 };

export class KeylessCopies {
  private readonly known = new Map<string, Known>();

  /** @param rows all that are to be brought back. @param atFork how many there were at the fork with the values of an inserted row. */
  constructor(rows: readonly LostRow[], atFork: (row: LostRow) => number) {
    const add = (row: LostRow, values: readonly Literal[], what: 'inserted' | 'made' | 'gone'): void => {
      const id = idOf(row, values);
      const copies = this.known.get(id) ?? none;
      this.known.set(id, { ...copies, [what]: copies[what] + 1 });
    };
    for (const row of rows) {
      if (row.keyed) continue;
      const { before, after } = row;
      if (before !== null) add(row, before, 'gone');
      if (after !== null) add(row, after, before === null ? 'inserted' : 'made');
    }
    for (const row of distinctInserts(rows).flat())
      this.known.set(copiesId(row), { ...this.of(row), fork: atFork(row) });
  }

  /** Of the values of an inserted row. */
  of(row: LostRow): Known {
    return this.known.get(copiesId(row)) ?? none;
  }
}
