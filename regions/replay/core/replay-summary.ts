/** What a replay has come to. */
import type { Difference } from '../../compare/core/difference.ts';
import type { Conflict } from './judgement.ts';
import type { LostRow } from './lost-row.ts';
import type { LostSchemaChange } from './schema-left.ts';

export interface ReplayResult {
  readonly applied: readonly LostRow[];
  readonly alreadyThere: readonly LostRow[];
  readonly conflicts: readonly Conflict[];
  readonly schema: readonly LostSchemaChange[];
  /** Tables whose lost rows are not known, and why. Of a virtual table it is not known whether there are any. */
  readonly notCompared: Difference['notCompared'];
  /** Triggers that did not run, by name. */
  readonly suspended: readonly string[];
  readonly transactions: number;
}

export interface TableCounts {
  readonly name: string;
  readonly applied: number;
  readonly alreadyThere: number;
  readonly conflicts: number;
}

/** Tables with lost rows, by name. */
export function tableCounts({ applied, alreadyThere, conflicts }: ReplayResult): readonly TableCounts[] {
  const counts = new Map<
    string,
    { name: string; applied: number; alreadyThere: number; conflicts: number }
  >();
  const count = ({ shape: { name } }: LostRow, what: 'applied' | 'alreadyThere' | 'conflicts'): void => {
    const known = counts.get(name) ?? { name, applied: 0, alreadyThere: 0, conflicts: 0 };
    counts.set(name, known);
    known[what] += 1;
  };
  for (const row of applied) count(row, 'applied');
  for (const row of alreadyThere) count(row, 'alreadyThere');
  for (const { row } of conflicts) count(row, 'conflicts');
  return [...counts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Whether nothing that is known to be lost is left for a person to settle. */
export const isSettled = ({ conflicts, schema, notCompared }: ReplayResult): boolean =>
  conflicts.length === 0 &&
  schema.every(({ isThere }) => isThere) &&
  notCompared.every(({ isVirtual }) => isVirtual);
