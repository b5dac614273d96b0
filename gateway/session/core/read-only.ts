/**
 * Operations of streams that may only read (G40). The words decide what is refused at once; for the rest such a stream runs on
 * engines that cannot write, and nowhere else. Pure.
 */
import { unreachable } from '../../../storage/core.ts';
import { adviseError } from '../../sql/errors.ts';
import type { SqlOperation } from '../../sql/operation.ts';
import type { SqlError, SqlStatement } from '../../sql/sql.ts';
import { factsOf, firstWord, readonlyBegin, withoutLeadingBlanks } from '../../sql/statement-facts.ts';
import type { WireOperation } from '../../sql/wire-operation.ts';

/** What a write is told. */
export const writeRefused: SqlError = adviseError(
  'AUTH_SCOPE_MISSING',
  'The statement writes, which needs a token with the scope write; this one has the scope read',
);

const beginRefused: SqlError = adviseError(
  'AUTH_SCOPE_MISSING',
  'BEGIN IMMEDIATE begins a write, which needs a token with the scope write; this one has the scope read, and may BEGIN TRANSACTION READONLY',
);

/** What is told of a write, and of a BEGIN that announces one. */
export interface ReadOnlyErrors {
  readonly write: SqlError;
  readonly begin: SqlError;
}

/** For streams whose token has the scope `read`. */
const scopeErrors: ReadOnlyErrors = { write: writeRefused, begin: beginRefused };

/** A deferred BEGIN at the beginning of a text; of such a stream it can only become a transaction that reads. */
const deferredBegin = /^BEGIN(?:\s+DEFERRED)?(?:\s+TRANSACTION)?\s*(?=;|$)/i;

export type ReadOnlyReading =
  | { readonly kind: 'run'; readonly operation: SqlOperation }
  | { readonly kind: 'refused'; readonly error: SqlError };

const refused = (sql: string, { begin, write }: ReadOnlyErrors): ReadOnlyReading => ({
  kind: 'refused',
  error: firstWord(sql) === 'BEGIN' ? begin : write,
});

/** The text with the transaction that it begins made one that reads; null when it says that it writes. */
function readingText(sql: string): string | null {
  if (factsOf(sql).kind !== 'write') return sql;
  const text = withoutLeadingBlanks(sql);
  return deferredBegin.test(text) ? text.replace(deferredBegin, readonlyBegin) : null;
}

const withText = (statement: SqlStatement, sql: string): SqlStatement =>
  sql === statement.sql ? statement : { ...statement, sql };

/** What is run of an operation whose stream may only read, or why nothing of it is. */
export function readOnlyOperation(operation: SqlOperation, errors = scopeErrors): ReadOnlyReading {
  switch (operation.kind) {
    case 'execute': {
      const sql = readingText(operation.statement.sql);
      if (sql === null) return refused(operation.statement.sql, errors);
      const statement = withText(operation.statement, sql);
      return { kind: 'run', operation: { kind: 'execute', statement } };
    }
    case 'batch': {
      const texts = operation.steps.map(({ statement }) => readingText(statement.sql));
      const writing = operation.steps.find((_, index) => texts[index] === null);
      if (writing !== undefined) return refused(writing.statement.sql, errors);
      const steps = operation.steps.map((step, index) => ({
        ...step,
        statement: withText(step.statement, texts[index] ?? step.statement.sql),
      }));
      return { kind: 'run', operation: { kind: 'batch', steps } };
    }
    case 'sequence': {
      const sql = readingText(operation.sql);
      return sql === null
        ? refused(operation.sql, errors)
        : { kind: 'run', operation: { kind: 'sequence', sql } };
    }
    case 'describe':
      return { kind: 'run', operation };
    case 'wire':
      return readOnlyWire(operation, errors);
    default:
      return unreachable(operation);
  }
}

/** On an engine that reads, every transaction is one that reads: a plain BEGIN needs no other words. */
function readOnlyWire(operation: WireOperation, errors: ReadOnlyErrors): ReadOnlyReading {
  if (operation.class !== 'write') return { kind: 'run', operation };
  const begins = (sql: string) => firstWord(sql) === 'BEGIN';
  const writing = operation.statements.find((sql) => !begins(sql) && factsOf(sql).kind === 'write');
  if (writing !== undefined || !operation.statements.some(begins))
    return refused(writing ?? operation.statements[0] ?? '', errors);
  const statements = operation.statements.map((sql) => (begins(sql) ? readonlyBegin : sql));
  return { kind: 'run', operation: { ...operation, statements, class: 'read' } };
}
