/**
 * What several spans of lost writes come to together, row by row: one change of each row, so that a second replay finds either
 * what was there before or what the first has brought back.
 */
import type { Difference } from '../../compare/core/difference.ts';
import type { SchemaChange } from '../../compare/core/schema-changes.ts';
import type { Shape } from '../../compare/core/table-shape.ts';
import { identityOf, isAbout, type LostRow, lostRows, sameValues } from './lost-row.ts';

export type Entanglement =
  /** A lost write that was not chosen changed the row between two that were, in columns that those are about. */
  | 'between'
  /** The table had other columns or another key in between. */
  | 'altered';

export interface ComposedLoss {
  readonly rows: readonly LostRow[];
  /** Rows that the chosen writes change in a way that does not come to one change. */
  readonly entangled: readonly { readonly row: LostRow; readonly why: Entanglement }[];
  readonly schema: readonly SchemaChange[];
  readonly notCompared: Difference['notCompared'];
}

/** One change that does what both do, one after the other; null when the second does not follow upon the first. */
export function following(first: LostRow, second: LostRow): LostRow | null {
  const { after: had } = first;
  const { before: has } = second;
  if (had === null || has === null)
    return had === has ? { ...second, before: first.before, after: second.after } : null;
  if (has.some((value, at) => isAbout(first, at) && isAbout(second, at) && value !== had[at])) return null;
  return {
    ...second,
    before: first.before?.map((value, at) => (isAbout(first, at) ? value : (has[at] ?? 'NULL'))) ?? null,
    after:
      second.after?.map((value, at) =>
        isAbout(second, at) || !isAbout(first, at) ? value : (had[at] ?? 'NULL'),
      ) ?? null,
  };
}

const sameShape = (a: Shape, b: Shape): boolean =>
  JSON.stringify([a.columns, a.primaryKey, a.rowid]) === JSON.stringify([b.columns, b.primaryKey, b.rowid]);

interface Folded {
  readonly row: LostRow;
  readonly why: Entanglement | null;
}

/** @param spans differences in the order of history. */
export function compose(spans: readonly Difference[]): ComposedLoss {
  const tables = new Map<string, { readonly shape: Shape; altered: boolean; rows: Map<string, Folded> }>();
  for (const { tables: differing } of spans)
    for (const each of differing) {
      const table = tables.get(each.shape.name) ?? { shape: each.shape, altered: false, rows: new Map() };
      tables.set(each.shape.name, table);
      table.altered ||= !sameShape(table.shape, each.shape);
      for (const row of lostRows(each)) {
        const known = table.rows.get(identityOf(row));
        const both = known === undefined ? row : following(known.row, row);
        table.rows.set(identityOf(row), {
          row: both ?? row,
          why: known?.why ?? (both === null ? 'between' : null),
        });
      }
    }
  const rows: LostRow[] = [];
  const entangled: { readonly row: LostRow; readonly why: Entanglement }[] = [];
  for (const { altered, rows: folded } of tables.values())
    for (const { row, why } of folded.values()) {
      if (altered) entangled.push({ row, why: 'altered' });
      else if (why !== null) entangled.push({ row, why });
      else if (!sameValues(row.before, row.after)) rows.push(row);
    }
  const notCompared = new Map(spans.flatMap((span) => span.notCompared).map((each) => [each.name, each]));
  return { rows, entangled, schema: composedSchema(spans), notCompared: [...notCompared.values()] };
}

/** What came of each object of the schema in the end. */
function composedSchema(spans: readonly Difference[]): readonly SchemaChange[] {
  const changes = new Map<string, SchemaChange>();
  for (const each of spans.flatMap(({ schema }) => schema)) {
    const id = `${each.type} ${each.name}`;
    const known = changes.get(id)?.change;
    changes.delete(id);
    if (known === 'created' && each.change === 'dropped') continue;
    const change = known === 'created' ? 'created' : known === 'dropped' ? 'altered' : each.change;
    changes.set(id, { ...each, change });
  }
  return [...changes.values()];
}
