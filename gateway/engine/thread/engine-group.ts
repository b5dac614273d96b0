/**
 * Group commit. Statements that arrive together and would each commit by themselves run in one SQLite transaction, whichever
 * sessions they are of: beginning and committing costs twice what an UPDATE of one row does. To its session each is a
 * transaction of its own: it sees what came before it, fails by itself, and has a commit of its own in the log.
 *
 * G28. While a group is open nothing runs but its members, and none of them is answered before it has committed. A group
 *      that does not commit has done nothing: its members run again, each by itself, in the order in which they came.
 * G114. What changes more than `groupBytes` shares its commit with nobody: the others would wait until all of it is durable.
 */
import assert from 'node:assert/strict';
import type { SqlOutcome, SqlResult, SqlStatement } from '../../sql/sql.ts';
import { fadeAtCommit } from '../../sql/stream-settings.ts';
import { sameSettings } from '../../sql/stream-state.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import type { SessionCommit } from '../core/engine-protocol.ts';
import type { Connection } from '../sqlite/sqlite-connection.ts';
import type { SessionCounters } from '../sqlite/sqlite-counters.ts';
import type { PreparedStatement } from '../sqlite/sqlite-statement.ts';
import type { ConnectionPool } from './engine-connections.ts';
import type { Operation, Session } from './engine-session.ts';

/** Statements that may share a transaction; others end it, set connections up, or cannot run within one. */
const groupable: ReadonlySet<string> = new Set([
  'INSERT',
  'UPDATE',
  'DELETE',
  'REPLACE',
  'WITH',
  'SELECT',
  'VALUES',
]);

/** What a statement that writes begins with, unless a comment or a blank comes first: then it may join a group, and opens none. */
const mayWrite = /^[iudrw]/i;

interface Member {
  readonly session: Session;
  readonly operation: Operation;
  /** The session's counters before its statement ran. */
  readonly before: SessionCounters;
  readonly writes: boolean;
  /** Whether it changed a row. */
  readonly wrote: boolean;
}

/** What became of a statement that ran in a group. */
export type GroupRun =
  /** It shares the fate of the group. */
  | { readonly kind: 'joined'; readonly outcome: SqlOutcome<SqlResult> }
  /** It ended the group, and this is how it would have ended alone. */
  | { readonly kind: 'done'; readonly outcome: SqlOutcome<SqlResult> };

export interface GroupOptions {
  readonly pool: ConnectionPool;
  readonly limits: EngineLimits;
  /** Bounds what the statement that runs may change before it is stopped; infinite for no bound. */
  boundChanges(bytes: number): void;
  /** Takes the write slot. @returns false when it is not free. */
  takeSlot(): boolean;
  releaseSlot(): void;
}

export class CommitGroup {
  private readonly options: GroupOptions;
  private connection: Connection | null = null;
  private members: Member[] = [];
  private writers: readonly Member[] | null = null;
  private sinceMs = 0;
  /** Its members have changed so much that it takes no more. */
  private isFull = false;
  /** Pages that its connection holds, bytes. */
  private held = 0;
  /** Sessions whose group has ended, in their order; `again` when their statement is to run by itself. */
  readonly ended: { readonly session: Session; readonly again: boolean }[] = [];
  /** Whether more operations came with the one that is taken now. */
  expectsMore: boolean = false;

  constructor(options: GroupOptions) {
    this.options = options;
  }

  get isOpen(): boolean {
    return this.connection !== null;
  }

  /** Whether it has to commit before more is taken. */
  isDue(nowMs: number): boolean {
    if (this.connection === null) return false;
    const { groupStatements, groupMs } = this.options.limits;
    return this.isFull || this.members.length >= groupStatements || nowMs - this.sinceMs >= groupMs;
  }

  /** Whose commits end the redo that is being prepared; null when it is not the group's. */
  get committers(): readonly { readonly session: Session; readonly operation: Operation }[] | null {
    return this.writers;
  }

  /** Notes the commits of `committers`, in their order. */
  noteCommits(commits: readonly SessionCommit[]): void {
    for (const [index, { lsn, commitTimeUs }] of commits.entries())
      this.writers?.[index]?.operation.commits.push({ lsn, commitTimeUs });
  }

  /**
   * Prepares a statement of a session that has nothing open, and opens a group for it where it writes and more is to come.
   * @returns null when it is to run by itself.
   */
  admit({ settings }: Session, sql: string): PreparedStatement | null {
    const { pool } = this.options;
    // The group's COMMIT is not the one that ends the stream's own transaction.
    if (fadeAtCommit(settings)) return null;
    if (this.connection !== null) {
      if (!sameSettings(this.connection.settings, settings)) return null;
      const prepared = this.connection.prepare(sql, 'group');
      if (prepared.kind !== 'statement') return null;
      if (isGroupable(prepared.statement)) return prepared.statement;
      this.connection.finish(prepared.statement);
      return null;
    }
    if ((!this.expectsMore && this.ended.length === 0) || !mayWrite.test(sql)) return null;
    const borrowed = pool.borrow(settings);
    if (!borrowed.ok) return null;
    const connection = borrowed.value;
    const prepared = connection.prepare(sql, 'group');
    if (prepared.kind === 'statement') {
      if (prepared.statement.writes && isGroupable(prepared.statement) && this.open(connection))
        return prepared.statement;
      connection.finish(prepared.statement);
    }
    pool.giveBack(connection);
    return null;
  }

  private open(connection: Connection): boolean {
    if (!this.options.takeSlot()) return false;
    this.connection = connection;
    this.isFull = false;
    this.sinceMs = performance.now();
    if (connection.perform('BEGIN IMMEDIATE').ok) {
      this.held = connection.changedBytes();
      return true;
    }
    this.connection = null;
    this.options.releaseSlot();
    return false;
  }

  /** Runs a statement that was admitted. */
  run(session: Session, operation: Operation, statement: PreparedStatement, given: SqlStatement): GroupRun {
    const { connection } = this;
    assert(connection !== null, 'G28: a statement that was admitted has a group');
    const { changes, totalChanges, lastInsertRowid } = session.counters;
    const before: SessionCounters = { changes, totalChanges, lastInsertRowid };
    const { groupBytes } = this.options.limits;
    const isFirst = this.members.length === 0;
    const heldBefore = this.held;
    if (!isFirst && statement.writes) this.options.boundChanges(heldBefore + groupBytes);
    const outcome = connection.run(statement, given, session.counters, operation.budget);
    this.options.boundChanges(Number.POSITIVE_INFINITY);
    operation.ran = true;
    connection.finish(statement);
    const isOpen = !connection.isAutocommit();
    if (isOpen && statement.writes) this.held = connection.changedBytes();
    const isLarge = this.held - heldBefore > groupBytes;
    if (!isOpen && (isFirst || (!outcome.ok && outcome.error.code === 'SQLITE_INTERRUPT'))) {
      // SQLite has rolled everything back, and what the others did is not why.
      operation.seen = Math.max(operation.seen, seenBy(connection));
      this.end(connection, true);
      return { kind: 'done', outcome };
    }
    const wrote = session.counters.totalChanges > totalChanges;
    this.members.push({ session, operation, before, writes: statement.writes, wrote });
    if (isOpen && (isFirst || !isLarge)) this.isFull = this.held > groupBytes;
    else {
      if (isOpen) connection.perform('ROLLBACK');
      seenBy(connection);
      this.end(connection, true);
    }
    return { kind: 'joined', outcome };
  }

  /** Commits what is open. */
  close(): void {
    const { connection, members } = this;
    if (connection === null) return;
    const startMs = performance.now();
    const wrote = members.filter((member) => member.wrote);
    // A statement that changed no row may have changed pages; somebody's commit has to end their redo.
    this.writers = wrote.length > 0 ? wrote : members.filter((member) => member.writes).slice(-1);
    const committed = connection.perform('COMMIT');
    this.writers = null;
    if (!committed.ok && !connection.isAutocommit()) connection.perform('ROLLBACK');
    const seen = seenBy(connection);
    const engineUs = ((performance.now() - startMs) * 1000) / members.length;
    for (const { operation } of members) {
      operation.seen = Math.max(operation.seen, seen);
      operation.engineUs += engineUs;
    }
    this.end(connection, !committed.ok);
  }

  /**
   * Ends the group for a statement that is in none: its session is resumed behind the members, whose answers leave before
   * it keeps the thread. @returns false when no group is open.
   */
  closeBefore(session: Session): boolean {
    if (this.connection === null) return false;
    this.close();
    this.ended.push({ session, again: true });
    return true;
  }

  private end(connection: Connection, again: boolean): void {
    for (const { session, operation, before } of this.members) {
      if (again) undo(session, operation, before);
      this.ended.push({ session, again });
    }
    if (again) connection.counters.disown();
    this.members = [];
    this.connection = null;
    this.options.pool.giveBack(connection);
    this.options.releaseSlot();
  }

  /** The engine is opened anew: what is open is gone with its pages. Its members are answered by their sessions. */
  discard(): void {
    const { connection } = this;
    assert.equal(this.ended.length, 0, 'G28: whose group has ended is resumed before anything else is taken');
    this.members = [];
    this.connection = null;
    if (connection === null) return;
    connection.file.dead = true;
    this.options.pool.close(connection);
  }
}

function isGroupable(statement: PreparedStatement): boolean {
  return !statement.isExplain && groupable.has(statement.word);
}

/** The newest snapshot or commit a connection has seen since it was last asked. */
function seenBy({ file }: Connection): number {
  const seen = Math.max(file.seen, file.snapshot ?? 0);
  file.seen = 0;
  return seen;
}

/** The statement has not run. */
function undo(session: Session, operation: Operation, before: SessionCounters): void {
  const { counters } = session;
  counters.changes = before.changes;
  counters.totalChanges = before.totalChanges;
  counters.lastInsertRowid = before.lastInsertRowid;
  operation.ran = false;
  operation.budget.bytes = 0;
}
