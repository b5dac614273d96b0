/**
 * What a client is told that believes in a transaction which is gone: each statement is refused with the reason until one
 * ends the transaction, so that no statement meant for it ever runs, and commits, on its own. Pure.
 */
import { type SqlOperation, statementsOf } from './operation.ts';
import type { SqlResult } from './sql.ts';
import { firstWord, withoutLeadingBlanks } from './statement-facts.ts';

export type WhileLost =
  /** Tell the reason. `ends`: the client knows then that its transaction is over. */
  | { readonly kind: 'refuse'; readonly ends: boolean }
  /** A rollback of what is rolled back already: it succeeds, and the client knows. */
  | { readonly kind: 'rolledBack' }
  /** A new transaction begins: run it. */
  | { readonly kind: 'run' };

export const emptyResult: SqlResult = { columns: [], rows: [], affectedRowCount: 0, lastInsertRowid: null };

const refused: WhileLost = { kind: 'refuse', ends: false };
const refusedAtLast: WhileLost = { kind: 'refuse', ends: true };

/** What to do with a statement that comes while a transaction is lost. @param sql may go on behind the statement. */
export function whileLost(sql: string): WhileLost {
  switch (firstWord(sql)) {
    case 'BEGIN':
      return { kind: 'run' };
    case 'ROLLBACK':
      // To a savepoint: the client goes on in the transaction.
      return rollbackTo.test(withoutComments(sql)) ? refused : { kind: 'rolledBack' };
    case 'COMMIT':
    case 'END':
      return refusedAtLast;
    default:
      return refused;
  }
}

/** As `whileLost`, of an operation that is answered as a whole. */
export function operationWhileLost(operation: SqlOperation): WhileLost {
  // What is only described neither begins nor ends anything.
  if (operation.kind === 'describe') return refused;
  const [first = refused, ...others] = statementsOf(operation).map(whileLost);
  if (first.kind === 'run') return first;
  const alone =
    operation.kind === 'sequence' ? onlyRollback.test(withoutComments(operation.sql)) : others.length === 0;
  if (first.kind === 'rolledBack' && alone) return first;
  return [first, ...others].some(ends) ? refusedAtLast : refused;
}

const ends = (answer: WhileLost): boolean =>
  answer.kind === 'rolledBack' || (answer.kind === 'refuse' && answer.ends);

const withoutComments = (sql: string): string =>
  withoutLeadingBlanks(sql).replace(/\/\*[\s\S]*?(?:\*\/|$)|--[^\n]*/g, ' ');

const rollbackTo = /^ROLLBACK(?:\s+TRANSACTION(?:\s+(?:"[^"]*"|[^\s;]+))?)?\s+TO\b/i;
const onlyRollback = /^ROLLBACK(?:\s+TRANSACTION(?:\s+(?:"[^"]*"|[^\s;]+))?)?[\s;]*$/i;
