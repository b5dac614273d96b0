/** Rows without a primary key, of which there may be several that are the same: how many there were, and how many are lost. */
import type { Copies } from './judgement.ts';
import type { LostRow } from './lost-row.ts';
import { valuesText } from './replay-statement.ts';

export const isKeylessInsert = ({ keyed, before }: LostRow): boolean => !keyed && before === null;

/** What is counted in one table: the inserted rows of it without a key, each text of values once. */
export interface Counted {
  /** One of them, for the table and its columns. */
  readonly sample: LostRow;
  readonly texts: readonly string[];
}

export function copiesOf(rows: readonly LostRow[]): readonly Counted[] {
  const tables = new Map<string, { readonly sample: LostRow; readonly texts: Set<string> }>();
  for (const row of rows.filter(isKeylessInsert)) {
    const known = tables.get(row.shape.name) ?? { sample: row, texts: new Set() };
    tables.set(row.shape.name, known);
    known.texts.add(valuesText(row.after ?? []));
  }
  return [...tables.values()].map(({ sample, texts }) => ({ sample, texts: [...texts] }));
}

type Known = Omit<Copies, 'now'>;

export class KeylessCopies {
  private readonly known = new Map<string, Known>();

  /** @param rows all that are to be brought back. @param atFork how many there were at the fork, by table and text of values. */
  constructor(rows: readonly LostRow[], atFork: (table: string, text: string) => number) {
    const add = ({ shape: { name } }: LostRow, text: string, what: 'inserted' | 'made' | 'gone'): void => {
      const copies = this.of(name, text);
      this.known.set(`${name} ${text}`, { ...copies, [what]: copies[what] + 1 });
    };
    for (const row of rows) {
      if (row.keyed) continue;
      const { before, after } = row;
      if (before !== null) add(row, valuesText(before), 'gone');
      if (after !== null) add(row, valuesText(after), before === null ? 'inserted' : 'made');
    }
    for (const { sample, texts } of copiesOf(rows))
      for (const text of texts) {
        const { name } = sample.shape;
        this.known.set(`${name} ${text}`, { ...this.of(name, text), fork: atFork(name, text) });
      }
  }

  of(table: string, text: string): Known {
    return this.known.get(`${table} ${text}`) ?? { fork: 0, inserted: 0, made: 0, gone: 0 };
  }
}
