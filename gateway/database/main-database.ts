/** Main as a database like the others: it is always awake, and the writer role of the gateway is its own. */
import { mainBranch } from '../../storage/core.ts';
import type { Database } from '../session/database.ts';
import type { DatabaseCounts } from './database-counts.ts';

/** What is there before anything else of a gateway is. */
export type MainParts = Pick<Database, 'volume' | 'sessions' | 'watch' | 'tracer'> & {
  readonly counts: DatabaseCounts;
};

export function mainDatabase({
  counts,
  ...parts
}: MainParts): Database & { readonly counts: DatabaseCounts } {
  return {
    ...parts,
    counts,
    branch: mainBranch,
    begin: () => {
      counts.begun();
      return null;
    },
    ended: () => counts.ended(),
  };
}
