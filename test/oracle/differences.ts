/** Where Sextant's answer is meant to differ from stock SQLite's, by name; everything else that differs is a fault. */
import { isDeepStrictEqual } from 'node:util';
import type { Answer, Outcome, StatementAnswer } from './answer.ts';
import type { Operation } from './script.ts';

export interface Difference {
  readonly name: string;
  /** What the streams hold differs from here on, so that nothing after it is compared. */
  readonly parts: boolean;
  /** Whether it accounts for these two answers to a statement. */
  accounts(stock: StatementAnswer, sextant: StatementAnswer): boolean;
}

const refusedAsReadonly = (answer: StatementAnswer): boolean =>
  answer.kind === 'error' &&
  answer.code === 'SQLITE_READONLY' &&
  answer.message.includes('BEGIN TRANSACTION READONLY');

/** What the stock stream says of a write inside BEGIN READONLY. */
const refusesWrites = (answer: StatementAnswer): boolean =>
  answer.kind === 'error' && answer.code === 'SQLITE_READONLY';

/**
 * Which transactions end by themselves is compared in `staysInTransaction`. Three more have no rule here, since the stock stream does
 * as Sextant does: what `BEGIN READONLY` and `BEGIN TRANSACTION READONLY`
 * refuse is what writes the volume, a PRAGMA that is only described takes no effect, and infinite floats leave as NULL.
 */
export const differences: readonly Difference[] = [
  {
    name: 'inside BEGIN READONLY, or behind its end in the same request, a write, or a second BEGIN IMMEDIATE, is refused in words of its own',
    parts: false,
    accounts: (stock, sextant) => stock.kind === 'error' && refusedAsReadonly(sextant),
  },
  {
    name: 'inside BEGIN READONLY temporary objects and attached databases are not made or written, either',
    parts: true,
    accounts: (stock, sextant) => stock.kind === 'result' && refusedAsReadonly(sextant),
  },
  {
    name: 'beside a statement that inserted no row, the answer may give 0 instead of an earlier last_insert_rowid',
    parts: false,
    accounts: (stock, sextant) =>
      stock.kind === 'result' && isDeepStrictEqual({ ...stock, rowid: '0' }, sextant),
  },
];

/** `parted`: as it should be, and what follows cannot be compared. */
export type Agreement = 'same' | 'parted' | 'differs';

const rolledBack = 'The transaction was rolled back when a statement failed (SQLITE_FULL';

const isFull = (outcome: Outcome): boolean => outcome.kind === 'error' && outcome.code === 'SQLITE_FULL';

/**
 * SQLite rolls a whole transaction back when it finds no room, for a row as at the end of AUTOINCREMENT, too. What its client sends
 * next runs outside any transaction there. Here the stream stays in the transaction, and is told, until the client ends it.
 * @returns whether that accounts for two answers of which the operation's outcomes are given.
 */
function staysInTransaction(stock: Answer, sextant: Answer): boolean {
  const [expected, got] = [stock.outcome, sextant.outcome];
  if (expected.kind !== 'batch' || got.kind !== 'batch')
    return isFull(expected) && isDeepStrictEqual(expected, got) && stock.autocommit && !sextant.autocommit;
  const full = expected.steps.findIndex(isFull);
  const isSameUntil = isDeepStrictEqual(expected.steps.slice(0, full + 1), got.steps.slice(0, full + 1));
  if (full < 0 || !isSameUntil) return false;
  const behind = got.steps.slice(full + 1).find(({ kind }) => kind !== 'skipped');
  if (behind === undefined) return stock.autocommit && !sextant.autocommit;
  return behind.kind === 'error' && behind.message.startsWith(rolledBack);
}

/** @param open a transaction was open when the statement was run, or is now; without one nothing is read only. */
function compareStatement(stock: StatementAnswer, sextant: StatementAnswer, open: boolean): Agreement {
  if (isDeepStrictEqual(stock, sextant)) return 'same';
  const found = differences.find(({ accounts }) => accounts(stock, sextant));
  if (found === undefined || (refusedAsReadonly(sextant) && !open)) return 'differs';
  return found.parts ? 'parted' : 'same';
}

/** Whether Sextant answered an operation as it should. */
export function agreement(operation: Operation, stock: Answer, sextant: Answer): Agreement {
  if (staysInTransaction(stock, sextant)) return 'parted';
  const [expected, got] = [stock.outcome, sextant.outcome];
  // Stock SQLite is not asked, since its answer would have an effect: an error, such as of a database that is not there, is as good.
  if (operation.kind === 'describe' && expected.kind === 'done')
    return stock.autocommit === sextant.autocommit ? 'same' : 'differs';
  if (expected.kind === 'batch' && got.kind === 'batch' && operation.kind === 'batch') {
    for (const [at, one] of expected.steps.entries()) {
      const other = got.steps[at];
      // The batch may have ended its transaction in a later step.
      const agreed = other === undefined ? 'differs' : compareStatement(one, other, true);
      if (agreed !== 'same') return agreed;
    }
    return stock.autocommit === sextant.autocommit ? 'same' : 'differs';
  }
  // The rest of a script that was refused half-way has not run here; in stock SQLite it has, however it ended.
  if (operation.kind === 'sequence' && isStatement(got) && refusedAsReadonly(got)) {
    if (!isStatement(expected) || !refusesWrites(expected)) return 'parted';
    return stock.autocommit === sextant.autocommit ? 'same' : 'differs';
  }
  const agreed =
    isStatement(expected) && isStatement(got)
      ? compareStatement(expected, got, !stock.autocommit)
      : isDeepStrictEqual(expected, got)
        ? 'same'
        : 'differs';
  return agreed === 'same' && stock.autocommit !== sextant.autocommit ? 'differs' : agreed;
}

function isStatement(outcome: Outcome): outcome is StatementAnswer {
  return outcome.kind === 'result' || outcome.kind === 'error' || outcome.kind === 'skipped';
}
