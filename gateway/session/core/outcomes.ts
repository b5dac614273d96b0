/** What the outcome of an operation says about where it should have run, and what is told of one that has none. Pure. */
import { adviseError } from '../../sql/errors.ts';
import { type AnyOperationValue, isBatch, type SqlOperation } from '../../sql/operation.ts';
import type { SqlError, SqlOutcome } from '../../sql/sql.ts';
import { asksForWriter, leavesTransaction, mayCommit } from './routing.ts';

type Outcome = SqlOutcome<AnyOperationValue>;

export function failureOf(outcome: Outcome): SqlError | null {
  return outcome.ok ? null : outcome.error;
}

/** What is counted and traced as the failure: PostgreSQL's own errors are part of an answer like any other. */
export function countedFailureOf(outcome: Outcome): SqlError | null {
  if (!outcome.ok) return outcome.error;
  const { value } = outcome;
  return value !== null && 'messages' in value ? value.error : null;
}

/** Nobody waits for a commit that may not exist. */
export function isUnknown(outcome: Outcome): boolean {
  return failureOf(outcome)?.code === 'SEXTANT_COMMIT_UNKNOWN';
}

/** The error of an operation, or of the first step of a batch that names what a reader may not know yet. */
export function readerFailure(outcome: Outcome): SqlError | null {
  if (!outcome.ok) return outcome.error;
  const { value } = outcome;
  if (!isBatch(value)) return null;
  for (const step of value) if (step?.ok === false && asksForWriter(step.error) !== null) return step.error;
  return null;
}

/** `PRAGMA sextant_read` is about reads to come, and waits for nothing itself. */
export function isAboutConsistency(operation: SqlOperation): boolean {
  return operation.kind === 'execute' && /^\s*PRAGMA\s+sextant_read\b/i.test(operation.statement.sql);
}

/** The error of an operation that was sent to the writer, which did not tell what became of it. */
export function unknownFate(operation: SqlOperation, reason: string, inTransaction: boolean): SqlError {
  if (mayCommit(operation, inTransaction)) {
    return adviseError(
      'SEXTANT_COMMIT_UNKNOWN',
      `The statement was sent to the writer, and its fate is not known: ${reason}`,
    );
  }
  return inTransaction || leavesTransaction(operation)
    ? adviseError(
        'SEXTANT_TRANSACTION_ABORTED',
        `The writer that held this transaction does not answer: ${reason}`,
      )
    : adviseError('SEXTANT_NO_WRITER', `The writer did not answer a read: ${reason}`);
}

/** A client that is in a transaction hears it until it ends the transaction. */
export const transactionGone = (): SqlError =>
  adviseError(
    'SEXTANT_TRANSACTION_ABORTED',
    'The writer that held this transaction is gone, and the transaction was rolled back',
  );

/** Told once; then the stream goes on without what it had. */
export const stateGone = (): SqlError =>
  adviseError(
    'SEXTANT_TRANSACTION_ABORTED',
    'The writer that held the temporary tables and attached databases of this stream is gone, and they with it; the statement did not run',
  );
