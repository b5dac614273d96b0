/**
 * Where a statement runs: in this gateway's engines, at the writer, or nowhere yet. Pure: what is known about the statement
 * is its text, what is known about the writer is its state here; the engine has the last word about what writes.
 *
 * G10. A transaction runs in one place from its BEGIN to its end.
 * G11. While the writer drains or its lease is suspended, nothing that could write is begun; reads go on.
 */
import { unreachable } from '../../../storage/core.ts';
import { type SqlOperation, statementsOf } from '../../sql/operation.ts';
import type { SqlError } from '../../sql/sql.ts';
import { factsOf, firstWord, isReadonlyBegin, type StatementClass } from '../../sql/statement-facts.ts';

/** Where writes are taken, as this gateway knows. */
export type WriterPlace =
  /** By this gateway's engine. */
  | 'here'
  /** This gateway's engine is the writer's, and begins nothing new: it drains. */
  | 'draining'
  /** As `draining`: the lease of this gateway is suspended. */
  | 'suspended'
  /** By another gateway. */
  | 'elsewhere'
  /** By nobody at the moment, and this gateway's engine only reads. */
  | 'nowhere';

/** Where the session has to go on: where its transaction lives, or what else it has that cannot travel. */
export type SessionPlace = 'idle' | 'reader' | 'writer' | 'remote';

export type Route =
  /** On one of this gateway's reading threads; a write that it refuses is routed again as `write`. */
  | 'reader'
  /** In this gateway's writing engine. */
  | 'writer'
  /** At the writer, as a new stream. */
  | 'forward'
  /** At the writer, in the stream the session lives in. */
  | 'remote'
  /** Nowhere until a writer is known. */
  | 'wait';

/** Decides where an operation runs. */
export function route(session: SessionPlace, kind: StatementClass, writer: WriterPlace): Route {
  if (session !== 'idle') return session;
  if (kind !== 'write') return 'reader';
  switch (writer) {
    case 'here':
      return 'writer';
    case 'draining':
    case 'suspended':
    case 'nowhere':
      return 'wait';
    case 'elsewhere':
      return 'forward';
    default:
      return unreachable(writer);
  }
}

/**
 * What an operation is taken for where this gateway's engine is the writer's. A PostgreSQL engine serves one session after the
 * other and takes the memory of a process: reads share the one that is there, unless a transaction keeps it.
 * @param isKept asked of reads of PostgreSQL alone: it looks at every session.
 */
export function classAtWriter(operation: SqlOperation, isKept: () => boolean): StatementClass {
  const kind = classOfOperation(operation);
  return operation.kind === 'wire' && kind !== 'write' && !isKept() ? 'write' : kind;
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
    case 'wire':
      return operation.class;
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

/**
 * Whether an operation may have made a commit by the time it has run. What it does between a BEGIN and its COMMIT is none:
 * without the COMMIT nothing of it has happened.
 */
export function mayCommit(operation: SqlOperation, inTransaction: boolean): boolean {
  if (operation.kind === 'describe') return false;
  if (operation.kind === 'sequence') return true;
  let open = inTransaction;
  for (const sql of statementsOf(operation)) {
    const word = firstWord(sql);
    if (word === 'COMMIT' || word === 'END' || word === 'RELEASE') return true;
    if (word === 'BEGIN' || word === 'SAVEPOINT') open = true;
    // A step may be skipped: after a ROLLBACK the next one may be inside the transaction or outside.
    else if (word === 'ROLLBACK') open = false;
    else if (!open && mayWrite(operation, sql)) return true;
  }
  return false;
}

/** PostgreSQL's functions write as they please, so that only a read without any is certain to be one. */
function mayWrite(operation: SqlOperation, sql: string): boolean {
  return operation.kind === 'wire'
    ? operation.class !== 'read' || sql.includes('(')
    : factsOf(sql).kind !== 'read';
}

/** Whether an operation begins a transaction and does not end it, as far as its words say. */
export function leavesTransaction(operation: SqlOperation): boolean {
  if (operation.kind === 'describe' || operation.kind === 'sequence') return false;
  const words = statementsOf(operation).map(firstWord);
  const begin = words.findLastIndex((word) => word === 'BEGIN' || word === 'SAVEPOINT');
  return begin >= 0 && !words.slice(begin).some((word) => endingWords.has(word));
}

const endingWords: ReadonlySet<string> = new Set(['COMMIT', 'END', 'ROLLBACK', 'RELEASE']);

/** Whether an operation begins a read transaction and does not end it: it should find a thread it can stay on. */
export function opensReadTransaction(operation: SqlOperation): boolean {
  return leavesTransaction(operation) && isReadonlyBegin(statementsOf(operation)[0] ?? '');
}
