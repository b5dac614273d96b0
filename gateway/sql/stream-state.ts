/**
 * What a client stream has of its own that is not data: settings, counters, the consistency of its reads. It belongs to the
 * gateway the client talks to and travels with each operation to whatever engine runs it, and back; an engine keeps none of it.
 * What cannot travel (temporary objects, attached databases, an open transaction) keeps the whole stream where it is.
 */

/** Consistency a stream asked for with `PRAGMA sextant_read`, from weak to strong. */
export type ReadPreference = 'eventual' | 'session' | 'global';

export const readPreferences: readonly ReadPreference[] = ['eventual', 'session', 'global'];

/** What `changes()`, `total_changes()` and `last_insert_rowid()` answer. */
export interface StreamCounters {
  readonly changes: number;
  readonly totalChanges: number;
  readonly lastInsertRowid: bigint;
}

/** A PRAGMA of the connection whose value is not that of a new connection, as SQLite reads it back. */
export interface StreamSetting {
  /** Lower case. */
  readonly name: string;
  readonly value: string;
}

export interface StreamState {
  readonly readPreference: ReadPreference;
  /** Sorted by name, each name once. */
  readonly settings: readonly StreamSetting[];
  readonly counters: StreamCounters;
}

export const freshCounters: StreamCounters = { changes: 0, totalChanges: 0, lastInsertRowid: 0n };

/** A stream that has run nothing. */
export const freshStream: StreamState = { readPreference: 'session', settings: [], counters: freshCounters };

/** What a statement made of the counters. */
export interface Counted {
  readonly affectedRowCount: number;
  readonly lastInsertRowid: bigint | null;
}

/** The state after a statement whose result says all that has changed: what most statements that write leave behind. */
export function countedState(
  before: StreamState,
  { affectedRowCount, lastInsertRowid }: Counted,
): StreamState {
  return {
    ...before,
    counters: {
      changes: affectedRowCount,
      totalChanges: before.counters.totalChanges + affectedRowCount,
      lastInsertRowid: lastInsertRowid ?? before.counters.lastInsertRowid,
    },
  };
}

/** Whether two states are the same. */
export function sameState(a: StreamState, b: StreamState): boolean {
  if (a === b) return true;
  return (
    a.readPreference === b.readPreference &&
    a.counters.changes === b.counters.changes &&
    a.counters.totalChanges === b.counters.totalChanges &&
    a.counters.lastInsertRowid === b.counters.lastInsertRowid &&
    sameSettings(a.settings, b.settings)
  );
}

/** Whether two sorted lists of settings are the same. */
export function sameSettings(a: readonly StreamSetting[], b: readonly StreamSetting[]): boolean {
  return (
    a === b ||
    (a.length === b.length &&
      a.every(({ name, value }, index) => b[index]?.name === name && b[index]?.value === value))
  );
}
