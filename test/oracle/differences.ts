/** Where Sextant's answer is meant to differ from stock SQLite's, by name; everything else that differs is a fault. */
import { isDeepStrictEqual } from 'node:util';
import type { Answer, StatementAnswer } from './answer.ts';
import type { Operation } from './script.ts';

export interface Difference {
  readonly name: string;
  /** Whether it accounts for these two answers to a statement. */
  accounts(stock: StatementAnswer, sextant: StatementAnswer, sql: string): boolean;
}

const failedWith = (answer: StatementAnswer, code: string): boolean =>
  answer.kind === 'error' && answer.code === code;

/**
 * Two more have no rule here, since the stock stream does as Sextant does: what `BEGIN READONLY` and `BEGIN TRANSACTION READONLY`
 * refuse is what writes the volume, and a PRAGMA that is only described takes no effect.
 */
export const differences: readonly Difference[] = [
  {
    name: 'a write of the volume inside BEGIN READONLY is refused in words of its own',
    accounts: (stock, sextant) =>
      failedWith(stock, 'SQLITE_READONLY') && failedWith(sextant, 'SQLITE_READONLY'),
  },
  {
    name: 'BEGIN IMMEDIATE inside BEGIN READONLY is refused as a write, not as a second BEGIN',
    accounts: (stock, sextant, sql) =>
      /^BEGIN (?:IMMEDIATE|EXCLUSIVE)/i.test(sql) &&
      stock.kind === 'error' &&
      failedWith(sextant, 'SQLITE_READONLY'),
  },
  {
    name: 'beside a statement that inserted no row, the answer may give 0 instead of an earlier last_insert_rowid',
    accounts: (stock, sextant) =>
      stock.kind === 'result' && isDeepStrictEqual({ ...stock, rowid: '0' }, sextant),
  },
];

function alike(stock: StatementAnswer, sextant: StatementAnswer, sql: string): boolean {
  return (
    isDeepStrictEqual(stock, sextant) || differences.some(({ accounts }) => accounts(stock, sextant, sql))
  );
}

/** Whether Sextant answered an operation as it should. */
export function agrees(operation: Operation, stock: Answer, sextant: Answer): boolean {
  if (stock.autocommit !== sextant.autocommit) return false;
  const [expected, got] = [stock.outcome, sextant.outcome];
  if (expected.kind === 'batch' && got.kind === 'batch' && operation.kind === 'batch') {
    return operation.steps.every(({ sql }, at) => {
      const [one, other] = [expected.steps[at], got.steps[at]];
      return one !== undefined && other !== undefined && alike(one, other, sql);
    });
  }
  if (isStatement(expected) && isStatement(got)) return alike(expected, got, textOf(operation));
  return isDeepStrictEqual(expected, got);
}

function isStatement(outcome: Answer['outcome']): outcome is StatementAnswer {
  return outcome.kind === 'result' || outcome.kind === 'error' || outcome.kind === 'skipped';
}

const textOf = (operation: Operation): string =>
  operation.kind === 'execute' ? operation.statement.sql : '';
