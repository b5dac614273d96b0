/**
 * A client that still believes in a transaction that is gone: each statement is told so until one ends the transaction,
 * so that no statement meant for it ever runs, and commits, on its own. Pure.
 */

import { type SqlOperation, statementsOf } from '../../sql/operation.ts';
import type { SqlError, SqlResult } from '../../sql/sql.ts';
import { firstWord } from '../../sql/statement-facts.ts';

export type LostAnswer =
  /** The transaction stays lost, or ends with this error. */
  | { readonly kind: 'refuse'; readonly error: SqlError; readonly ended: boolean }
  /** A rollback of what is rolled back already. */
  | { readonly kind: 'rolledBack' }
  /** A new transaction begins: run it. */
  | { readonly kind: 'run' };

export const emptyResult: SqlResult = { columns: [], rows: [], affectedRowCount: 0, lastInsertRowid: null };

/** What to do with the next operation of a session whose transaction is gone for the reason `lost`. */
export function answerLost(lost: SqlError, operation: SqlOperation): LostAnswer {
  const words = statementsOf(operation).map(firstWord);
  if (words[0] === 'BEGIN') return { kind: 'run' };
  if (words.length === 1 && words[0] === 'ROLLBACK' && operation.kind !== 'describe')
    return { kind: 'rolledBack' };
  const ended = words.some((word) => word === 'ROLLBACK' || word === 'COMMIT' || word === 'END');
  return { kind: 'refuse', error: lost, ended };
}
