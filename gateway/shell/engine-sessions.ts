/**
 * Sessions in the engine's worker. A statement outside a transaction borrows any connection and gives it back; a session
 * keeps a connection while its transaction is open, or for good once it has set that connection up (PRAGMA, temporary
 * tables, ATTACH).
 *
 * An operation is a generator: it runs to its end in one go, unless it must wait for the writer, where it yields and is
 * resumed with null (the writer is its own) or with the error it waited in vain for.
 */
import assert from 'node:assert/strict';
import { lsn } from '../../storage/core/ids.ts';
import { conditionHolds } from '../core/condition.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import type {
  AnyOperationValue,
  EngineAnswer,
  EngineCommit,
  EngineTrace,
  ReadPreference,
  SqlOperation,
} from '../core/engine-protocol.ts';
import { firstWord, isReadonlyBegin } from '../core/engine-text.ts';
import { adviseError, failure, sqlError } from '../core/errors.ts';
import type { PageStore } from '../core/page-store.ts';
import type { BatchResult, BatchStep, SqlDescription, SqlError, SqlOutcome, SqlResult, SqlStatement } from '../core/sql.ts';
import { WriteSlot } from '../core/write-slot.ts';
import { Connection, type Prepared, type PrepareMode, type SessionCounters, type SqliteRuntime } from './sqlite-connection.ts';
import type { PreparedStatement } from './sqlite-statement.ts';
import { staleSnapshot, type VolumeFile } from './sqlite-vfs.ts';

type Waiting<T> = Generator<'park', T, SqlError | null>;
type OperationOutcome = SqlOutcome<AnyOperationValue>;

/** One operation being carried out. */
interface Operation {
  readonly id: number;
  readonly trace: EngineTrace | null;
  readonly operation: SqlOperation;
  readonly commits: EngineCommit[];
  readonly budget: { bytes: number };
  /** Whether the session had state of its own (a transaction, settings) when the operation began. */
  hadState: boolean;
  /** Set once a statement has run. */
  ran: boolean;
  seen: number;
  engineUs: number;
  readPreference: ReadPreference | null;
}

class Session implements SessionCounters {
  readonly id: number;
  changes = 0;
  totalChanges = 0;
  lastInsertRowid = 0n;
  connection: Connection | null = null;
  /** The connection has this session's settings: it is never given to another. */
  keeps = false;
  /** Opened with BEGIN TRANSACTION READONLY. */
  readonlyTransaction = false;
  /** Why the transaction the client believes in is gone; told until the client ends it. */
  lost: SqlError | null = null;
  /** Why settings outside a transaction are gone; told once. */
  lostSettings: SqlError | null = null;
  readPreference: ReadPreference = 'session';
  readonly queue: Operation[] = [];
  current: { readonly operation: Operation; readonly run: Waiting<OperationOutcome> } | null = null;
  closing = false;

  constructor(id: number) {
    this.id = id;
  }

  get hasLost(): boolean {
    return this.lost !== null || this.lostSettings !== null;
  }

  get inTransaction(): boolean {
    return this.lost !== null || (this.connection !== null && !this.connection.isAutocommit());
  }
}

/** What the sessions need of the worker around them. */
export interface SessionHost {
  readonly limits: EngineLimits;
  store(): PageStore;
  isWriter(): boolean;
  /** True when the engine is to be replaced: nothing new is begun. */
  isAbandoned(): boolean;
  answer(id: number, answer: EngineAnswer<AnyOperationValue>): void;
}

const replaced = sqlError(
  'SEXTANT_TRANSACTION_ABORTED',
  'The gateway had to reopen its volume (a failover, a switchover or a lost quorum), and what this stream had open was rolled back. Run the whole transaction again from its BEGIN.',
);

export class Sessions {
  private readonly host: SessionHost;
  private readonly runtime: SqliteRuntime;
  private readonly sessions = new Map<number, Session>();
  private idle: Connection[] = [];
  private connections = 0;
  private slot: WriteSlot;
  /** Sessions that got the writer and are to be resumed. */
  private readonly granted: number[] = [];
  private running: { readonly session: Session; readonly operation: Operation } | null = null;
  private drains = false;

  constructor(host: SessionHost, runtime: SqliteRuntime) {
    this.host = host;
    this.runtime = runtime;
    this.slot = this.newSlot();
  }

  private newSlot(): WriteSlot {
    const { limits } = this.host;
    return new WriteSlot({
      queueTimeoutMs: limits.writeQueueMs,
      idleTimeoutMs: limits.writeIdleMs,
      queueMax: limits.writeQueueMax,
    });
  }

  /** The session and operation that run now, for the commit path. */
  get active(): { readonly session: number; readonly trace: EngineTrace | null } | null {
    return this.running === null ? null : { session: this.running.session.id, trace: this.running.operation.trace };
  }

  noteCommit(commit: EngineCommit): void {
    this.running?.operation.commits.push(commit);
  }

  /** Takes an operation; it is answered through the host, in the order of its session. */
  post(id: number, sessionId: number, trace: EngineTrace | null, operation: SqlOperation): void {
    let session = this.sessions.get(sessionId);
    if (session === undefined) {
      session = new Session(sessionId);
      this.sessions.set(sessionId, session);
    }
    session.queue.push({
      id,
      trace,
      operation,
      commits: [],
      budget: { bytes: 0 },
      hadState: false,
      ran: false,
      seen: 0,
      engineUs: 0,
      readPreference: null,
    });
    this.pump(session);
    this.drain();
  }

  /** Ends a session after what it has queued; an open transaction is rolled back. */
  closeSession(sessionId: number): void {
    const session = this.sessions.get(sessionId);
    if (session === undefined) return;
    session.closing = true;
    this.pump(session);
    this.drain();
  }

  private pump(session: Session): void {
    while (session.current === null) {
      const operation = session.queue.shift();
      if (operation === undefined) break;
      operation.hadState = session.keeps || session.inTransaction;
      session.current = { operation, run: this.perform(session, operation) };
      this.slot.busy(session.id);
      this.advance(session, null);
    }
    if (session.closing && session.current === null) this.dispose(session);
  }

  /** Runs the current operation on, until it ends or waits for the writer. */
  private advance(session: Session, resumeWith: SqlError | null): void {
    const { current } = session;
    assert(current !== null, 'W1: only a waiting operation is resumed');
    const { operation } = current;
    const start = performance.now();
    this.running = { session, operation };
    const step = current.run.next(resumeWith);
    this.running = null;
    operation.engineUs += (performance.now() - start) * 1000;
    if (this.runtime.vfs.fatal !== null) throw this.runtime.vfs.fatal;
    if (step.done !== true) return;
    session.current = null;
    this.settle(session);
    this.reply(session, operation, step.value);
  }

  private reply(session: Session, operation: Operation, outcome: OperationOutcome): void {
    const wrote = operation.commits.length > 0;
    const cut = this.host.isAbandoned() && !outcome.ok && outcome.error.code === 'SEXTANT_TRANSACTION_ABORTED';
    const aborted = cut && !wrote && !operation.hadState;
    if (aborted) {
      this.discardConnection(session); // A transaction the operation began itself is run again with it.
      this.releaseSlot(session);
    }
    const answer: EngineAnswer<AnyOperationValue> = {
      outcome,
      seenLsn: lsn(operation.seen),
      commits: operation.commits,
      autocommit: !session.inTransaction,
      wrote,
      aborted,
      engineUs: Math.round(operation.engineUs),
    };
    const { readPreference } = operation;
    this.host.answer(operation.id, readPreference === null ? answer : { ...answer, readPreference });
  }

  /** After an operation: gives back what the session needs no longer. */
  private settle(session: Session): void {
    const { connection } = session;
    if (connection === null || connection.isAutocommit()) {
      session.readonlyTransaction = false;
      if (connection !== null && !session.keeps) {
        session.connection = null;
        this.giveBack(connection);
      }
    }
    if (!this.slot.holds(session.id)) return;
    if (session.connection?.isWriting() === true) this.slot.idle(session.id, performance.now());
    else this.releaseSlot(session);
  }

  private releaseSlot(session: Session): void {
    const next = this.slot.release(session.id, performance.now());
    if (next !== null) this.granted.push(next);
  }

  /** Resumes sessions that were granted the writer, one after another. */
  private drain(): void {
    if (this.drains) return;
    this.drains = true;
    for (let owner = this.granted.shift(); owner !== undefined; owner = this.granted.shift()) {
      const session = this.sessions.get(owner);
      if (session?.current === null || session === undefined) {
        const next = this.slot.release(owner, performance.now());
        if (next !== null) this.granted.push(next);
        continue;
      }
      this.advance(session, null);
      this.pump(session);
    }
    this.drains = false;
  }

  /** Tells whether redo waiting to become durable forbids new writes. */
  setBlocked(blocked: boolean): void {
    const next = this.slot.setBlocked(blocked, performance.now());
    if (next !== null) this.granted.push(next);
    this.drain();
  }

  /** Gives up what has waited or idled too long. @returns milliseconds until this should be called again, or null. */
  tick(): number | null {
    const now = performance.now();
    const { timedOut, evict } = this.slot.expire(now);
    for (const { owner, holderAgeMs } of timedOut) {
      const session = this.sessions.get(owner);
      if (session?.current === null || session === undefined) continue;
      const why =
        holderAgeMs === null
          ? 'redo waiting to become durable held every write up'
          : `another transaction has held the writer for ${Math.round(holderAgeMs)} ms`;
      const text = `The statement waited writeQueueMs = ${this.host.limits.writeQueueMs} for the writer: ${why}. Try again after a pause.`;
      this.advance(session, sqlError('SQLITE_BUSY', text));
      this.pump(session);
    }
    const idler = evict === null ? undefined : this.sessions.get(evict);
    if (idler !== undefined) this.evict(idler);
    this.drain();
    const next = this.slot.nextDeadline();
    return next === null ? null : Math.max(1, Math.ceil(next - performance.now()));
  }

  private evict(session: Session): void {
    session.lost = adviseError(
      'TRANSACTION_TIMEOUT',
      `The write transaction had no statement for writeIdleMs = ${this.host.limits.writeIdleMs} while others waited, and was rolled back`,
    );
    this.discardConnection(session);
    this.releaseSlot(session);
  }

  private discardConnection(session: Session): void {
    const { connection } = session;
    session.connection = null;
    session.keeps = false;
    session.readonlyTransaction = false;
    if (connection === null) return;
    connection.close();
    this.connections--;
  }

  private dispose(session: Session): void {
    this.sessions.delete(session.id);
    const { connection } = session;
    if (connection !== null && (session.keeps || !connection.isAutocommit())) this.discardConnection(session);
    else if (connection !== null) this.giveBack(connection);
    this.slot.cancel(session.id);
    this.releaseSlot(session);
  }

  private giveBack(connection: Connection): void {
    if (this.idle.length < this.host.limits.idleConnections) {
      this.idle.push(connection);
      return;
    }
    connection.close();
    this.connections--;
  }

  private borrow(): SqlOutcome<Connection> {
    const idle = this.idle.pop();
    return idle === undefined ? this.connect() : { ok: true, value: idle };
  }

  private connect(): SqlOutcome<Connection> {
    const { limits } = this.host;
    if (this.connections >= limits.connections) {
      return failure('TRANSACTION_BUSY', `connections = ${limits.connections} transactions or set-up sessions are open. Try again after a pause.`);
    }
    const opened = Connection.open(this.runtime, this.host.store());
    if (opened.ok) this.connections++;
    return opened;
  }

  /**
   * Discards every connection: the engine was opened anew. Operations that had done nothing are answered as such; sessions
   * that had a transaction or settings learn that these are gone.
   */
  reset(): void {
    this.slot = this.newSlot();
    this.granted.length = 0;
    for (const session of this.sessions.values()) {
      const waiting = session.current?.operation;
      const lostHere = waiting === undefined ? session.keeps || session.inTransaction : waiting.hadState;
      const lostTransaction = lostHere && session.inTransaction;
      if (session.connection !== null) session.connection.file.dead = true;
      session.current?.run.return(failure('SEXTANT_TRANSACTION_ABORTED', replaced.message));
      session.current = null;
      this.discardConnection(session);
      if (lostTransaction) session.lost = replaced;
      else if (lostHere) session.lostSettings = replaced;
      const operations = waiting === undefined ? session.queue.splice(0) : [waiting, ...session.queue.splice(0)];
      for (const operation of operations) this.refuse(session, operation, lostHere);
    }
    for (const connection of this.idle) {
      connection.file.dead = true;
      connection.close();
      this.connections--;
    }
    this.idle = [];
    assert.equal(this.connections, 0, 'every connection belongs to a session or lies idle');
    for (const session of this.sessions.values()) if (session.closing) this.sessions.delete(session.id);
  }

  private refuse(session: Session, operation: Operation, lostHere: boolean): void {
    const wrote = operation.commits.length > 0;
    this.host.answer(operation.id, {
      outcome: { ok: false, error: replaced },
      seenLsn: lsn(operation.seen),
      commits: operation.commits,
      autocommit: !session.inTransaction,
      wrote,
      aborted: !wrote && !lostHere,
      engineUs: Math.round(operation.engineUs),
    });
  }

  // ---- operations

  private *perform(session: Session, operation: Operation): Waiting<OperationOutcome> {
    if (this.host.isAbandoned()) return { ok: false, error: replaced };
    const { operation: asked } = operation;
    switch (asked.kind) {
      case 'execute':
        return yield* this.execute(session, operation, asked.statement);
      case 'batch':
        return yield* this.batch(session, operation, asked.steps);
      case 'sequence':
        return yield* this.sequence(session, operation, asked.sql);
      case 'describe':
        return this.describe(session, operation, asked.sql);
    }
  }

  /** Statements that tell the client about a lost transaction end it; the others keep being told. */
  private lostError(session: Session, word: string): SqlOutcome<SqlResult> | null {
    const { lost, lostSettings } = session;
    if (lostSettings !== null) {
      session.lostSettings = null;
      return { ok: false, error: lostSettings };
    }
    if (lost === null) return null;
    if (word === 'ROLLBACK') {
      session.lost = null;
      return { ok: true, value: { columns: [], rows: [], affectedRowCount: 0, lastInsertRowid: null } };
    }
    if (word === 'BEGIN') {
      session.lost = null;
      return null;
    }
    if (word === 'COMMIT' || word === 'END') session.lost = null;
    return { ok: false, error: lost };
  }

  private *execute(session: Session, operation: Operation, given: SqlStatement): Waiting<SqlOutcome<SqlResult>> {
    const lost = session.hasLost ? this.lostError(session, firstWord(given.sql)) : null;
    if (lost !== null) return lost;
    for (;;) {
      const found = this.prepareFor(session, operation, (connection, mode) => connection.prepare(given.sql, mode));
      if (!found.ok) return found;
      const { connection, statement } = found.value;
      const refused = this.gate(session, operation, connection, statement);
      if (refused === null) return this.runOn(session, operation, connection, statement, given);
      connection.finish(statement);
      this.release(session, connection, operation);
      if (refused !== 'wait') return { ok: false, error: refused };
      const inVain = yield 'park';
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
    for (;;) {
      const kept = session.connection;
      const borrowed: SqlOutcome<Connection> = kept === null ? this.borrow() : { ok: true, value: kept };
      if (!borrowed.ok) return borrowed;
      const connection = borrowed.value;
      const prepared = prepare(connection, session.keeps ? 'own' : 'shared');
      switch (prepared.kind) {
        case 'statement':
          return { ok: true, value: { connection, statement: prepared.statement } };
        case 'needsOwn':
          // From here on the connection is this session's; when it closes so does the connection.
          session.connection = connection;
          session.keeps = true;
          continue;
        case 'empty':
          this.release(session, connection, operation);
          return failure('SQL_NO_STATEMENT', 'The SQL text holds no statement.');
        case 'failed':
          this.release(session, connection, operation);
          return { ok: false, error: prepared.error };
      }
    }
  }

  /** Puts a connection back unless the session keeps it, and notes what it has seen. */
  private release(session: Session, connection: Connection, operation: Operation): void {
    this.noteSeen(connection.file, operation);
    if (session.connection === connection) return;
    if (connection.isAutocommit()) this.giveBack(connection);
    else session.connection = connection;
  }

  private noteSeen(file: VolumeFile, operation: Operation): void {
    const seen = Math.max(file.seen, file.snapshot ?? 0);
    if (seen > operation.seen) operation.seen = seen;
    file.seen = 0;
  }

  /** Whether a statement may run now: null, the reason why never, or `wait`, having queued for the writer. */
  private gate(session: Session, operation: Operation, connection: Connection, statement: PreparedStatement): SqlError | 'wait' | null {
    if (!statement.writes) return null;
    if (session.readonlyTransaction) {
      return sqlError('SQLITE_READONLY', 'The transaction was begun with BEGIN TRANSACTION READONLY (mode "read") and may not write.');
    }
    if (!this.host.isWriter()) return this.readOnly(operation);
    const { snapshot } = connection.file;
    if (snapshot !== null && snapshot !== connection.file.store.head) {
      this.releaseSlot(session);
      return staleSnapshot;
    }
    switch (this.slot.request(session.id, performance.now())) {
      case 'granted':
        return null;
      case 'queued':
        return 'wait';
      case 'full':
        return adviseError('TRANSACTION_BUSY', `writeQueueMax = ${this.host.limits.writeQueueMax} statements wait for the writer`);
    }
  }

  private readOnly(operation: Operation): SqlError {
    return operation.ran
      ? sqlError('SQLITE_READONLY', 'This gateway reads, and statements before this write have already run here. Send the write first, or in an operation of its own.')
      : sqlError('SEXTANT_READ_ONLY', 'This gateway reads; the statement must run at the writer.');
  }

  /** The VFS asks when SQLite takes the write lock. Statements that do not announce that they write meet it only here. */
  mayWrite(): SqlError | null {
    const running = this.running;
    assert(running !== null, 'W1: SQLite writes only while an operation runs');
    const { session, operation } = running;
    if (session.readonlyTransaction) return sqlError('SQLITE_READONLY', 'The transaction was begun read-only and may not write.');
    if (!this.host.isWriter()) return this.readOnly(operation);
    if (this.slot.holds(session.id)) return null;
    if (this.slot.request(session.id, performance.now()) === 'granted') return null;
    this.slot.cancel(session.id);
    return sqlError('SQLITE_BUSY', 'Another transaction holds the writer. Begin with BEGIN IMMEDIATE to wait for it.');
  }

  /** Answers `PRAGMA sextant_read`; other names are null. */
  readPreference(value: string | null): ReadPreference | { readonly set: ReadPreference } | 'unknown' {
    const running = this.running;
    if (running === null) return 'session';
    if (value === null) return running.session.readPreference;
    const wanted = value.toLowerCase();
    if (wanted !== 'eventual' && wanted !== 'session' && wanted !== 'global') return 'unknown';
    running.session.readPreference = wanted;
    running.operation.readPreference = wanted;
    return { set: wanted };
  }

  private runOn(
    session: Session,
    operation: Operation,
    connection: Connection,
    statement: PreparedStatement,
    given: SqlStatement,
  ): SqlOutcome<SqlResult> {
    const outcome = connection.run(statement, given, session, operation.budget);
    operation.ran = true;
    connection.finish(statement);
    if (outcome.ok && statement.word === 'BEGIN' && isReadonlyBegin(given.sql)) session.readonlyTransaction = true;
    this.release(session, connection, operation);
    this.endOfStatement(session, connection);
    return outcome;
  }

  /** Between the statements of one operation: a transaction that ended lets the next writer in. */
  private endOfStatement(session: Session, connection: Connection): void {
    if (!connection.isAutocommit()) return;
    session.readonlyTransaction = false;
    if (session.connection === connection && !session.keeps) {
      session.connection = null;
      this.giveBack(connection);
    }
    if (this.slot.holds(session.id)) this.releaseSlot(session);
  }

  private *batch(session: Session, operation: Operation, steps: readonly BatchStep[]): Waiting<SqlOutcome<BatchResult>> {
    if (!this.host.isWriter() && !session.inTransaction) {
      const writes = this.anyWrites(session, operation, steps);
      if (!writes.ok) return writes;
      if (writes.value) return { ok: false, error: this.readOnly(operation) };
    }
    const results: (SqlOutcome<SqlResult> | null)[] = [];
    for (const { condition, statement } of steps) {
      if (!conditionHolds(condition, results, !session.inTransaction)) {
        results.push(null);
        continue;
      }
      const outcome = yield* this.execute(session, operation, statement);
      if (!outcome.ok && outcome.error.code === 'SEXTANT_READ_ONLY') return outcome;
      if (!outcome.ok && this.host.isAbandoned()) return outcome;
      results.push(outcome);
    }
    return { ok: true, value: results };
  }

  private anyWrites(session: Session, operation: Operation, steps: readonly BatchStep[]): SqlOutcome<boolean> {
    return this.look(session, operation, (connection) => {
      for (const { statement } of steps) {
        const prepared = connection.prepare(statement.sql, 'dry');
        if (prepared.kind === 'failed' && prepared.writes) return true;
        if (prepared.kind !== 'statement') continue;
        connection.finish(prepared.statement);
        if (prepared.statement.writes) return true;
      }
      return false;
    });
  }

  /** Prepares without running. */
  private look<T>(session: Session, operation: Operation, see: (connection: Connection) => T): SqlOutcome<T> {
    const borrowed: SqlOutcome<Connection> =
      session.connection === null ? this.borrow() : { ok: true, value: session.connection };
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
      if (!this.host.isWriter() && !session.inTransaction) {
        const writes = this.look(session, operation, (connection) => scriptWrites(connection, wordAt, text, bytes));
        if (!writes.ok) return writes;
        if (writes.value) return { ok: false, error: this.readOnly(operation) };
      }
      return yield* this.runScript(session, operation, wordAt, text, bytes);
    } finally {
      wasm.call.free(text);
    }
    function wordAt(from: number): string {
      // Enough text for leading comments of the usual length; a longer one only costs the row count, which a script drops.
      return firstWord(wasm.heap().toString('utf8', from, Math.min(text + bytes, from + 1024)));
    }
  }

  private *runScript(
    session: Session,
    operation: Operation,
    wordAt: (from: number) => string,
    text: number,
    bytes: number,
  ): Waiting<SqlOutcome<null>> {
    const end = text + bytes;
    let at = text;
    while (at < end) {
      const from = at;
      const word = wordAt(from);
      const lost = session.hasLost ? this.lostError(session, word) : null;
      if (lost !== null && !lost.ok) return lost;
      let next = end;
      const found = this.prepareFor(session, operation, (connection, mode) => {
        const { prepared, tail } = connection.prepareAt(from, end - from, word, mode, false);
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
        const inVain = yield 'park';
        if (inVain !== null) return { ok: false, error: inVain };
        if (this.host.isAbandoned()) return { ok: false, error: replaced };
        continue;
      }
      const sql = statement.word === 'BEGIN' ? this.runtime.wasm.heap().toString('utf8', from, next) : '';
      const outcome = this.runOn(session, operation, connection, statement, { sql, args: [], namedArgs: [], wantRows: false });
      if (!outcome.ok) return outcome;
      at = next;
    }
    return { ok: true, value: null };
  }

  private describe(session: Session, operation: Operation, sql: string): SqlOutcome<SqlDescription> {
    if (session.lost !== null) return { ok: false, error: session.lost };
    const seen = this.look(session, operation, (connection): SqlOutcome<SqlDescription> => {
      const prepared = connection.prepare(sql, 'dry');
      if (prepared.kind !== 'statement') {
        const error = prepared.kind === 'failed' ? prepared.error : sqlError('SQL_NO_STATEMENT', 'The SQL text holds no statement.');
        const isPragma = prepared.kind === 'failed' && prepared.writes && firstWord(sql) === 'PRAGMA';
        if (!isPragma) return { ok: false, error };
        return { ok: true, value: { params: [], columns: [], isExplain: false, isReadonly: false } };
      }
      const { statement } = prepared;
      const description: SqlDescription = {
        params: statement.parameters.map((name) => ({ name })),
        columns: statement.columns,
        isExplain: statement.isExplain,
        isReadonly: statement.readonly,
      };
      connection.finish(statement);
      return { ok: true, value: description };
    });
    return seen.ok ? seen.value : seen;
  }
}

/** Whether a script writes to the volume before its first error. */
function scriptWrites(connection: Connection, wordAt: (from: number) => string, text: number, bytes: number): boolean {
  const end = text + bytes;
  for (let at = text; at < end; ) {
    const { prepared, tail } = connection.prepareAt(at, end - at, wordAt(at), 'dry', false);
    if (prepared.kind === 'failed') return prepared.writes;
    if (prepared.kind === 'statement') {
      connection.finish(prepared.statement);
      if (prepared.statement.writes) return true;
    }
    if (tail <= at) return false;
    at = tail;
  }
  return false;
}
