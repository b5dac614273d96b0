/** How the engine carries out execute, batch, sequence and describe, statement by statement. */
import assert from 'node:assert/strict';
import { conditionHolds } from '../../sql/condition.ts';
import { wrongEngine } from '../../sql/engine-kind.ts';
import { adviseError, failure, sqlError } from '../../sql/errors.ts';
import { emptyResult, whileLost } from '../../sql/lost-transaction.ts';
import type {
  BatchResult,
  BatchStep,
  SqlDescription,
  SqlError,
  SqlOutcome,
  SqlResult,
  SqlStatement,
} from '../../sql/sql.ts';
import { firstWord } from '../../sql/statement-facts.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import type { PrepareMode } from '../sqlite/sqlite-authorizer.ts';
import type { Connection, Prepared } from '../sqlite/sqlite-connection.ts';
import { describeStatement } from '../sqlite/sqlite-description.ts';
import type { SqliteRuntime } from '../sqlite/sqlite-runtime.ts';
import type { PreparedStatement } from '../sqlite/sqlite-statement.ts';
import { inFiles } from '../sqlite/sqlite-temporary.ts';
import { staleSnapshot, type VolumeFile } from '../sqlite/sqlite-vfs.ts';
import type { ConnectionPool } from './engine-connections.ts';
import type { CommitGroup } from './engine-group.ts';
import {
  type Operation,
  type OperationOutcome,
  type Resumption,
  replaced,
  type Session,
  type Waiting,
} from './engine-session.ts';

/** What operations need of the worker around them. */
export interface OperationHost {
  readonly limits: EngineLimits;
  isWriter(): boolean;
  /** True when the engine is to be replaced: nothing new is begun. */
  isAbandoned(): boolean;
}

/** The write slot, as operations use it. */
export interface OperationSlot {
  request(session: Session, operation: Operation): 'granted' | 'queued' | 'full';
  /** Does nothing when the session does not hold the slot. */
  release(session: Session): void;
  holds(session: Session): boolean;
}

const endsTransaction: ReadonlySet<string> = new Set(['COMMIT', 'END', 'ROLLBACK', 'RELEASE']);

export class Operations {
  private readonly host: OperationHost;
  private runtime: SqliteRuntime;
  private readonly pool: ConnectionPool;
  private readonly slot: OperationSlot;
  private readonly group: CommitGroup;
  private readonly roomToHold: () => SqlError | null;

  /** @param roomToHold whether one more session may keep the connection lent to it: null, or why not. */
  constructor(
    host: OperationHost,
    runtime: SqliteRuntime,
    pool: ConnectionPool,
    slot: OperationSlot,
    group: CommitGroup,
    roomToHold: () => SqlError | null,
  ) {
    this.host = host;
    this.runtime = runtime;
    this.roomToHold = roomToHold;
    this.pool = pool;
    this.slot = slot;
    this.group = group;
  }

  /** Runs in another SQLite from now on; no operation is under way. */
  use(runtime: SqliteRuntime): void {
    this.runtime = runtime;
  }

  /** Carries an operation out; see `Waiting`. */
  *perform(session: Session, operation: Operation): Waiting<OperationOutcome> {
    if (this.host.isAbandoned()) return { ok: false, error: replaced };
    const { operation: asked } = operation;
    switch (asked.kind) {
      case 'execute':
        return yield* this.executeAlone(session, operation, asked.statement);
      case 'batch':
        yield* this.behindGroup(session);
        return yield* this.batch(session, operation, asked.steps);
      case 'sequence':
        yield* this.behindGroup(session);
        return yield* this.sequence(session, operation, asked.sql);
      case 'describe':
        return this.describe(session, operation, asked.sql);
      case 'wire':
        return { ok: false, error: wrongEngine('sqlite') };
    }
  }

  /** What a statement is answered of which the client believes that something goes before it that is gone; null: run it. */
  private answerLost(session: Session, sql: string): SqlOutcome<SqlResult> | null {
    const { lost, lostHeld } = session;
    if (lostHeld !== null) {
      session.lostHeld = null;
      return { ok: false, error: lostHeld };
    }
    if (lost === null) return null;
    const answer = whileLost(sql);
    if (answer.kind !== 'refuse' || answer.ends) session.lost = null;
    switch (answer.kind) {
      case 'run':
        return null;
      case 'rolledBack':
        return { ok: true, value: emptyResult };
      case 'refuse':
        return { ok: false, error: lost };
    }
  }

  /** A statement that is an operation of its own may commit in a group. */
  private *executeAlone(
    session: Session,
    operation: Operation,
    given: SqlStatement,
  ): Waiting<SqlOutcome<SqlResult>> {
    if (session.connection === null && !session.hasLost && this.host.isWriter()) {
      const statement = this.group.admit(session, given.sql);
      const run = statement === null ? null : this.group.run(session, operation, statement, given);
      if (run?.kind === 'done') return run.outcome;
      if (run?.kind === 'joined' && (yield 'join') !== 'again') return run.outcome;
    }
    yield* this.behindGroup(session);
    if (this.host.isAbandoned()) return { ok: false, error: replaced };
    return yield* this.execute(session, operation, given);
  }

  /** Waits until no group is open. */
  private *behindGroup(session: Session): Waiting<void> {
    while (this.group.closeBefore(session)) yield 'join';
  }

  private *execute(
    session: Session,
    operation: Operation,
    given: SqlStatement,
  ): Waiting<SqlOutcome<SqlResult>> {
    const lost = session.hasLost ? this.answerLost(session, given.sql) : null;
    if (lost !== null) return lost;
    for (;;) {
      const found = this.prepareFor(session, operation, (connection, mode) =>
        connection.prepare(given.sql, mode),
      );
      if (!found.ok) return found;
      const { connection, statement } = found.value;
      const refused = this.gate(session, operation, connection, statement);
      if (refused === null) return this.runOn(session, operation, connection, statement, given);
      connection.finish(statement);
      this.release(session, connection, operation);
      if (refused !== 'wait') return { ok: false, error: refused };
      const inVain = notAgain(yield 'park');
      if (inVain !== null) return { ok: false, error: inVain };
      if (this.host.isAbandoned()) return { ok: false, error: replaced };
    }
  }

  /** Prepares on the session's connection, or on a borrowed one; on one of its own when the statement sets it up. */
  private prepareFor(
    session: Session,
    operation: Operation,
    prepare: (connection: Connection, mode: PrepareMode) => Prepared,
  ): SqlOutcome<{ readonly connection: Connection; readonly statement: PreparedStatement }> {
    assert(!this.group.isOpen, 'G28: nothing runs beside a group');
    for (;;) {
      const kept = session.connection;
      const borrowed: SqlOutcome<Connection> =
        kept === null ? this.pool.borrow(session.settings) : { ok: true, value: kept };
      if (!borrowed.ok) return borrowed;
      const connection = borrowed.value;
      const mode = session.keeps ? 'own' : 'shared';
      let prepared = prepare(connection, mode);
      // It may fail for what the schema was when this connection last looked.
      if (prepared.kind === 'failed' && this.seesSchema(connection)) prepared = prepare(connection, mode);
      if (prepared.kind === 'statement' && prepared.statement.looksAtSchema) {
        // G106. Or say what the schema was then.
        connection.finish(prepared.statement);
        this.lookAtSchema(connection);
        prepared = prepare(connection, mode);
      }
      switch (prepared.kind) {
        case 'statement':
          return { ok: true, value: { connection, statement: prepared.statement } };
        case 'needsOwn': {
          const refused = this.mayHold(session, operation);
          if (refused !== null) {
            this.release(session, connection, operation);
            return { ok: false, error: refused };
          }
          // From here on the connection is this session's; when it closes so does the connection.
          session.connection = connection;
          session.keeps = true;
          connection.marked = true;
          continue;
        }
        case 'empty':
          this.release(session, connection, operation);
          return failure('SQL_NO_STATEMENT', 'The SQL text holds no statement.');
        case 'failed':
          this.release(session, connection, operation);
          return { ok: false, error: prepared.error };
      }
    }
  }

  /**
   * Has a connection look whether other connections have changed the schema: SQLite looks when it steps, not when it prepares.
   * @returns false when it may not, because what an open read transaction sees would be fixed by it.
   */
  private seesSchema(connection: Connection): boolean {
    if (!connection.isAutocommit() && !this.host.isWriter()) return false;
    this.lookAtSchema(connection);
    return true;
  }

  private lookAtSchema(connection: Connection): void {
    connection.ask('SELECT 1 FROM sqlite_schema LIMIT 1');
  }

  /** Puts a connection back unless the session keeps it, and notes what it has seen. */
  private release(session: Session, connection: Connection, operation: Operation): void {
    this.noteSeen(connection.file, operation);
    connection.noteSettings();
    session.settings = connection.settings;
    if (session.connection === connection) return;
    if (connection.isAutocommit()) this.pool.giveBack(connection);
    else session.connection = connection;
  }

  private noteSeen(file: VolumeFile, operation: Operation): void {
    const seen = Math.max(file.seen, file.snapshot ?? 0);
    if (seen > operation.seen) operation.seen = seen;
    file.seen = 0;
  }

  /** Whether a statement may run now: null, the reason why never, or `wait`, having queued for the writer. */
  private gate(
    session: Session,
    operation: Operation,
    connection: Connection,
    statement: PreparedStatement,
  ): SqlError | 'wait' | null {
    const changes = !statement.readonly && !statement.isExplain;
    if (!this.host.isWriter()) {
      const opens = statement.begins && !statement.beginsReadonly && connection.isAutocommit();
      if (changes || opens) return this.readOnly(operation);
    }
    if (statement.begins && session.connection === null) {
      const full = this.roomToHold();
      if (full !== null) return full;
    }
    if (changes && session.readonlyTransaction) return readonlyTransaction;
    if (!statement.writes) return null;
    const { snapshot } = connection.file;
    if (snapshot !== null && snapshot !== connection.file.store.head) {
      this.slot.release(session);
      return staleSnapshot;
    }
    switch (this.slot.request(session, operation)) {
      case 'granted':
        return null;
      case 'queued':
        return 'wait';
      case 'full':
        return adviseError(
          'TRANSACTION_BUSY',
          `writeQueueMax = ${this.host.limits.writeQueueMax} statements wait for the writer`,
        );
    }
  }

  /** Whether a session may begin to have temporary objects or attached databases: null, or why not. */
  private mayHold(session: Session, operation: Operation): SqlError | null {
    if (session.readonlyTransaction && (operation.inside || this.host.isWriter())) return readonlyTransaction;
    if (!this.host.isWriter()) return this.readOnly(operation);
    return session.connection === null ? this.roomToHold() : null;
  }

  /**
   * What a write is told at a reader. The operation can run at the writer instead, whatever it has read here, unless it came to
   * a transaction that was open.
   */
  readOnly(operation: Operation): SqlError {
    return operation.inside
      ? readonlyTransaction
      : sqlError('SEXTANT_READ_ONLY', 'This gateway reads; the statement must run at the writer.');
  }

  private runOn(
    session: Session,
    operation: Operation,
    connection: Connection,
    statement: PreparedStatement,
    given: SqlStatement,
  ): SqlOutcome<SqlResult> {
    const wasOpen = session.connection !== null && !connection.isAutocommit();
    const grows = session.keeps && !statement.readonly;
    if (grows) this.pool.boundHeld(connection);
    if (wasOpen || session.keeps) this.runtime.yieldsAt = this.yieldsAt(session);
    const run = () => connection.run(statement, given, session.counters, operation.budget);
    let outcome = inFiles(connection, statement, run);
    this.runtime.yieldsAt = Number.POSITIVE_INFINITY;
    if (grows) outcome = this.pool.afterGrowth(connection, statement, outcome);
    operation.ran = true;
    if (statement.begins || endsTransaction.has(statement.word)) operation.steered = true;
    connection.finish(statement);
    if (outcome.ok && statement.beginsReadonly) session.readonlyTransaction = true;
    if (wasOpen && !outcome.ok && connection.isAutocommit())
      this.noteLost(session, statement.word, outcome.error);
    this.release(session, connection, operation);
    this.endOfStatement(session, connection);
    return outcome;
  }

  /** When a statement has to give way to others that wait: reads go to other threads, unless what they read is here. */
  private yieldsAt(session: Session): number {
    const keepsOthers = this.host.isWriter() && !this.slot.holds(session);
    return keepsOthers ? performance.now() + this.host.limits.writerReadMs : Number.POSITIVE_INFINITY;
  }

  /**
   * SQLite rolls a whole transaction back after some failures (time limit, storage, memory). The client may not have
   * noticed, so what it sends next must not run outside the transaction. Where the SQL itself asked for the rollback
   * (ON CONFLICT ROLLBACK), or the statement was to end the transaction, it is as in stock SQLite.
   */
  private noteLost(session: Session, word: string, error: SqlError): void {
    if (error.code === 'SQLITE_CONSTRAINT' || endsTransaction.has(word)) return;
    session.lost = adviseError(
      'SEXTANT_TRANSACTION_ABORTED',
      `The transaction was rolled back when a statement failed (${error.code}: ${error.message})`,
    );
  }

  /** Between the statements of one operation: a transaction that ended lets the next writer in. */
  private endOfStatement(session: Session, connection: Connection): void {
    if (!connection.isAutocommit()) return;
    session.readonlyTransaction = false;
    if (session.connection === connection && !session.keeps) {
      session.connection = null;
      this.pool.giveBack(connection);
    }
    this.slot.release(session);
  }

  private *batch(
    session: Session,
    operation: Operation,
    steps: readonly BatchStep[],
  ): Waiting<SqlOutcome<BatchResult>> {
    const results: (SqlOutcome<SqlResult> | null)[] = [];
    for (const { condition, statement } of steps) {
      if (!conditionHolds(condition, results, !session.inTransaction)) {
        results.push(null);
        continue;
      }
      const outcome = yield* this.execute(session, operation, statement);
      if (!outcome.ok && isUndone(outcome.error)) return outcome;
      if (!outcome.ok && this.host.isAbandoned()) return outcome;
      results.push(outcome);
    }
    return { ok: true, value: results };
  }

  /** Prepares without running. */
  private look<T>(session: Session, operation: Operation, see: (connection: Connection) => T): SqlOutcome<T> {
    const borrowed: SqlOutcome<Connection> =
      session.connection === null
        ? this.pool.borrow(session.settings)
        : { ok: true, value: session.connection };
    if (!borrowed.ok) return borrowed;
    const value = see(borrowed.value);
    this.release(session, borrowed.value, operation);
    return { ok: true, value };
  }

  private *sequence(session: Session, operation: Operation, sql: string): Waiting<SqlOutcome<null>> {
    const { wasm } = this.runtime;
    const bytes = Buffer.byteLength(sql);
    const text = wasm.call.malloc(bytes + 1);
    if (text === 0) return failure('SQLITE_NOMEM', 'The script does not fit the memory of the engine.');
    wasm.heap().write(sql, text, 'utf8');
    wasm.heap()[text + bytes] = 0;
    try {
      return yield* this.runScript(session, operation, headAt, text, bytes);
    } finally {
      wasm.call.free(text);
    }
    function headAt(from: number): string {
      // Enough text for leading comments of the usual length; a longer one only costs the row count, which a script drops.
      return wasm.heap().toString('utf8', from, Math.min(text + bytes, from + 1024));
    }
  }

  private *runScript(
    session: Session,
    operation: Operation,
    headAt: (from: number) => string,
    text: number,
    bytes: number,
  ): Waiting<SqlOutcome<null>> {
    const end = text + bytes;
    let at = text;
    while (at < end) {
      const from = at;
      const head = headAt(from);
      const word = firstWord(head);
      const lost = session.hasLost ? this.answerLost(session, head) : null;
      if (lost !== null && !lost.ok) return lost;
      let next = end;
      const found = this.prepareFor(session, operation, (connection, mode) => {
        const { prepared, tail } = connection.prepareFirst(from, end - from, word, mode);
        next = tail;
        return prepared;
      });
      if (!found.ok) {
        if (found.error.code !== 'SQL_NO_STATEMENT') return found;
        if (next <= from) return { ok: true, value: null };
        at = next;
        continue;
      }
      const { connection, statement } = found.value;
      if (lost !== null) {
        connection.finish(statement);
        this.release(session, connection, operation);
        at = next;
        continue;
      }
      const refused = this.gate(session, operation, connection, statement);
      if (refused !== null) {
        connection.finish(statement);
        this.release(session, connection, operation);
        if (refused !== 'wait') return { ok: false, error: refused };
        const inVain = notAgain(yield 'park');
        if (inVain !== null) return { ok: false, error: inVain };
        if (this.host.isAbandoned()) return { ok: false, error: replaced };
        continue;
      }
      const outcome = this.runOn(session, operation, connection, statement, {
        sql: '',
        args: [],
        namedArgs: [],
        wantRows: false,
      });
      if (!outcome.ok) return outcome;
      at = next;
    }
    return { ok: true, value: null };
  }

  private describe(session: Session, operation: Operation, sql: string): SqlOutcome<SqlDescription> {
    if (session.lost !== null) return { ok: false, error: session.lost };
    const seen = this.look(session, operation, (connection) => {
      this.seesSchema(connection);
      return describeStatement(connection, sql);
    });
    return seen.ok ? seen.value : seen;
  }
}

/** Who waits for the writer is in no group. */
function notAgain(resumption: Resumption): SqlError | null {
  assert(resumption !== 'again', 'G28: only members of a group run again');
  return resumption;
}

const readonlyTransaction = sqlError(
  'SQLITE_READONLY',
  'The transaction was begun with BEGIN TRANSACTION READONLY (mode "read"): it may not write, nor make temporary objects, nor attach databases. What writes behind its end goes into a request of its own.',
);

/** Whether an operation that fails so has done nothing, and is run again elsewhere or later. */
export function isUndone(error: SqlError): boolean {
  return error.code === 'SEXTANT_READ_ONLY' || error.code === 'SEXTANT_READ_RAISED';
}
