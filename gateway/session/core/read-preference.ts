/** How consistent the reads of an operation have to be: what its stream has set, or what a PostgreSQL session has. Pure. */
import type { SqlOperation } from '../../sql/operation.ts';
import type { ReadPreference, StreamState } from '../../sql/stream-state.ts';
import { readPreferenceIn } from '../../sql/wire-operation.ts';

/** A value that means nothing counts as the strongest: nobody reads less than was asked for. */
export function preferenceOf(operation: SqlOperation, state: StreamState): ReadPreference {
  if (operation.kind !== 'wire') return state.readPreference;
  const set = readPreferenceIn(operation.settings);
  return set === 'unset' ? state.readPreference : set === 'unknown' ? 'global' : set;
}
