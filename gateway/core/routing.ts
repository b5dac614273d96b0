/**
 * Where a statement runs: in this gateway's engine, at the writer, or nowhere yet. Pure: what is known about the statement
 * is its text, what is known about the writer is its state here; the engine has the last word about what writes.
 *
 * G10. A transaction runs in one place from its BEGIN to its end.
 * G11. While the writer drains, nothing that could write is begun; reads go on.
 */
import { unreachable } from '../../storage/core/ids.ts';
import type { SqlOperation } from './engine-protocol.ts';
import { firstWord } from './engine-text.ts';
import type { SqlError } from './sql.ts';
import { factsOf, type StatementClass } from './statement-facts.ts';

/** Where writes are taken, as this gateway knows. */
export type WriterPlace =
  /** By this gateway's engine. */
  | 'here'
  /** This gateway's engine is the writer's, and begins nothing new: it drains. */
  | 'draining'
  /** By another gateway. */
  | 'elsewhere'
  /** By nobody at the moment, and this gateway's engine only reads. */
  | 'nowhere';

/** Where the session's open transaction lives. */
export type SessionPlace = 'idle' | 'local' | 'remote';

export type Route =
  /** In this gateway's engine; a write that the engine refuses is routed again as `write`. */
  | 'local'
  /** At the writer, as a new stream. */
  | 'forward'
  /** At the writer, in the stream the transaction lives in. */
  | 'remote'
  /** Nowhere until a writer is known. */
  | 'wait';

/** Decides where an operation runs. */
export function route(session: SessionPlace, kind: StatementClass, writer: WriterPlace): Route {
  if (session === 'remote') return 'remote';
  if (session === 'local' || kind === 'read') return 'local';
  switch (writer) {
    case 'here':
      return 'local';
    case 'draining':
      return 'wait';
    case 'elsewhere':
      return kind === 'write' ? 'forward' : 'local';
    case 'nowhere':
      return kind === 'write' ? 'wait' : 'local';
    default:
      return unreachable(writer);
  }
}

/** What an operation's texts say. */
export function classOfOperation(operation: SqlOperation): StatementClass {
  switch (operation.kind) {
    case 'execute':
      return factsOf(operation.statement.sql).kind;
    case 'batch': {
      let found: StatementClass = 'read';
      for (const { statement } of operation.steps) {
        const kind = factsOf(statement.sql).kind;
        if (kind === 'write') return 'write';
        if (kind === 'unclear') found = 'unclear';
      }
      return found;
    }
    case 'sequence':
      return factsOf(operation.sql).kind === 'write' ? 'write' : 'unclear';
    case 'describe':
      return 'read';
    default:
      return unreachable(operation);
  }
}

const schemaBehind =
  /^(?:SQLITE_ERROR: )?(?:no such (?:table|column|index|view|trigger)|table .* has no column named|.* has no column named)/i;

/**
 * Whether an answer of an engine that only reads says that the writer should be asked: the statement writes, or names
 * what this region may not have heard of yet. Nothing has changed anywhere when it does.
 */
export function asksForWriter(error: SqlError | null): 'writes' | 'schema' | null {
  if (error === null) return null;
  if (error.code === 'SEXTANT_READ_ONLY') return 'writes';
  return error.code.startsWith('SQLITE_ERROR') && schemaBehind.test(error.message) ? 'schema' : null;
}

/** Statements of an operation, as far as they are separate. */
export function statementsOf(operation: SqlOperation): readonly string[] {
  switch (operation.kind) {
    case 'execute':
      return [operation.statement.sql];
    case 'batch':
      return operation.steps.map(({ statement }) => statement.sql);
    case 'sequence':
    case 'describe':
      return [operation.sql];
    default:
      return unreachable(operation);
  }
}

/** Whether an operation may have made a commit by the time it has run, inside an open transaction or not. */
export function mayCommit(operation: SqlOperation, inTransaction: boolean): boolean {
  if (operation.kind === 'describe') return false;
  if (operation.kind === 'sequence') return true;
  const words = statementsOf(operation).map(firstWord);
  if (inTransaction) return words.some((word) => word === 'COMMIT' || word === 'END' || word === 'RELEASE');
  return classOfOperation(operation) !== 'read';
}

/** The SQL verb an operation is counted and traced under. */
export function verbOf(operation: SqlOperation): string {
  switch (operation.kind) {
    case 'execute':
      return factsOf(operation.statement.sql).word;
    case 'batch':
      return 'BATCH';
    case 'sequence':
      return factsOf(operation.sql).word;
    case 'describe':
      return '';
    default:
      return unreachable(operation);
  }
}
