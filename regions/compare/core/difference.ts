/** What lies between two places of history, as a person asks for it. */
import type { RowChange } from './row-merge.ts';
import type { SchemaChange } from './schema-changes.ts';
import type { Shape } from './table-shape.ts';

export interface TableDifference {
  readonly shape: Shape;
  readonly inserted: number;
  readonly changed: number;
  readonly deleted: number;
  /** The first of them: the counts cover all. */
  readonly rows: readonly RowChange[];
  /** Triggers on the table at the later place. */
  readonly triggers: readonly string[];
}

export interface Difference {
  readonly schema: readonly SchemaChange[];
  /** Tables with rows that differ, by name. */
  readonly tables: readonly TableDifference[];
  /** Tables whose rows were not looked at, and why. */
  readonly notCompared: readonly {
    readonly name: string;
    readonly reason: string;
    /** A virtual table keeps its rows as it likes: nobody knows whether any differ. */
    readonly isVirtual: boolean;
  }[];
}

/** How many rows differ. */
export const rowsIn = ({ tables }: Difference): number =>
  tables.reduce((sum, { inserted, changed, deleted }) => sum + inserted + changed + deleted, 0);
