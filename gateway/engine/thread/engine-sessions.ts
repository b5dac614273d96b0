/**
 * Sessions in the engine's worker. A statement outside a transaction borrows any connection and gives it back; a session
 * keeps a connection while its transaction is open, and as long as it has temporary objects or attached databases.
 *
 * An operation is a generator: it runs to its end in one go, unless it must wait for the writer or for its commit group,
 * where it yields and is resumed; see `Waiting`.
 */
import assert from 'node:assert/strict';
import { lsn } from '../../../storage/redo.ts';
import { adviseError, failure, sqlError } from '../../sql/errors.ts';
import type { AnyOperationValue, SqlOperation } from '../../sql/operation.ts';
import type { SqlError } from '../../sql/sql.ts';
import { countedState, type StreamState, sameState } from '../../sql/stream-state.ts';
import type { EngineAnswer, EngineTrace, SessionCommit, WorkerAnswer } from '../core/engine-protocol.ts';
import type { PageStore } from '../core/page-store.ts';
import { WriteSlot } from '../core/write-slot.ts';
import type { Connection } from '../sqlite/sqlite-connection.ts';
import type { SqliteRuntime } from '../sqlite/sqlite-runtime.ts';
import { holdsObjects } from '../sqlite/sqlite-temporary.ts';
import type { PragmaAnswer } from '../sqlite/sqlite-vfs.ts';
import type { Committer } from './engine-commits.ts';
import { ConnectionPool } from './engine-connections.ts';
import { CommitGroup } from './engine-group.ts';
import { isUndone, type OperationHost, type OperationSlot, Operations } from './engine-operations.ts';
import {
  type Operation,
  type OperationOutcome,
  type Resumption,
  replaced,
  Session,
} from './engine-session.ts';
import { readPreferenceOf } from './read-preference.ts';

/** What the sessions need of the worker around them. */
export interface SessionHost extends OperationHost {
  /** The pages new connections read. */
  store(): PageStore;
  answer(answer: WorkerAnswer): void;
  /** Whether redo waiting to become durable forbids new writes. */
  isBlocked(): boolean;
  /** Claims an operation before it begins. @returns false when it was taken back: drop it. */
  begin(id: number): boolean;
  /** Which operation runs from here on; 0 for none. */
  running(id: number): void;
  /** A good moment to hand on what has been answered. */
  answered(): void;
}

/** Owns the write slot for a group; sessions count from 1. */
const groupOwner = 0;

export class Sessions {
  private readonly host: SessionHost;
  private runtime: SqliteRuntime;
  private readonly sessions = new Map<number, Session>();
  private readonly pool: ConnectionPool;
  private readonly operations: Operations;
  private readonly group: CommitGroup;
  private slot: WriteSlot;
  /** Sessions that got the writer and are to be resumed. */
  private readonly granted: number[] = [];
  private running: { readonly session: Session; readonly operation: Operation } | null = null;
  private drains: boolean = false;

  constructor(host: SessionHost, runtime: SqliteRuntime) {
    this.host = host;
    this.runtime = runtime;
    this.pool = new ConnectionPool(runtime, host.limits, () => host.store());
    this.group = new CommitGroup({
      pool: this.pool,
      limits: host.limits,
      boundChanges: (bytes) => {
        this.runtime.changesMax = bytes;
      },
      takeSlot: () => this.slot.isFree && this.slot.request(groupOwner, performance.now()) === 'granted',
      releaseSlot: () => this.releaseSlot(groupOwner),
    });
    const slot: OperationSlot = {
      request: (session, operation) => {
        const now = performance.now();
        const since = now - operation.waitedMs;
        operation.waitedMs = 0;
        return this.slot.request(session.id, now, since);
      },
      release: (session) => this.releaseSlot(session.id),
      holds: (session) => this.slot.holds(session.id),
    };
    this.operations = new Operations(host, runtime, this.pool, slot, this.group, () => this.roomToHold());
    this.slot = this.newSlot();
  }

  /** Whether nothing of any session is in SQLite's memory: no connection is lent, and no operation has begun. */
  get isOutside(): boolean {
    if (this.pool.lent > 0 || this.group.isOpen) return false;
    for (const { current } of this.sessions.values()) if (current !== null) return false;
    return true;
  }

  /** Goes on in another SQLite; `isOutside` holds. */
  use(runtime: SqliteRuntime): void {
    this.runtime = runtime;
    this.pool.use(runtime);
    this.operations.use(runtime);
  }

  private newSlot(): WriteSlot {
    const { limits } = this.host;
    return new WriteSlot({
      queueTimeoutMs: limits.writeQueueMs,
      idleTimeoutMs: limits.writeIdleMs,
      ageTimeoutMs: limits.writeAgeMs,
      queueMax: limits.writeQueueMax,
    });
  }

  /** Whose transactions SQLite is committing now: those of a group, or that of the session that runs. */
  committers(): readonly Committer[] {
    const committers = this.group.committers ?? (this.running === null ? [] : [this.running]);
    return committers.map(({ session, operation }) => ({ session: session.id, trace: operation.trace }));
  }

  /** Notes the commits of `committers`, in their order. */
  noteCommits(commits: readonly SessionCommit[]): void {
    if (this.group.committers !== null) this.group.noteCommits(commits);
    else
      for (const { lsn, commitTimeUs } of commits)
        this.running?.operation.commits.push({ lsn, commitTimeUs });
  }

  /**
   * Takes an operation; it is answered through the host, in the order of its session.
   * @param isMoreComing another one follows before `gathered` is called: they may commit as a group.
   * @param waitedMs how long it has waited for this thread.
   */
  post(
    id: number,
    sessionId: number,
    trace: EngineTrace | null,
    state: StreamState | null,
    operation: SqlOperation,
    isMoreComing: boolean,
    waitedMs = 0,
  ): void {
    this.group.expectsMore = isMoreComing;
    let session = this.sessions.get(sessionId);
    if (session === undefined) {
      session = new Session(sessionId);
      this.sessions.set(sessionId, session);
    }
    assert(
      state !== null || (session.current === null && session.queue.length === 0),
      'an answer came before',
    );
    session.queue.push({
      id,
      trace,
      state: state ?? session.state,
      operation,
      commits: [],
      budget: { bytes: 0 },
      hadState: false,
      inside: false,
      ran: false,
      steered: false,
      raised: null,
      waitedMs,
      seen: 0,
      engineUs: 0,
    });
    this.pump(session);
    this.drain();
  }

  /** Everything that came together has been posted: what waits for its group commits. */
  gathered(): void {
    this.group.expectsMore = false;
    while (this.group.isOpen) {
      this.group.close();
      this.drain();
    }
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
      if (!this.host.begin(operation.id)) continue;
      operation.hadState = session.keeps || session.inTransaction;
      operation.inside = session.connection?.isAutocommit() === false;
      session.take(operation.state);
      session.current = { operation, run: this.operations.perform(session, operation) };
      this.slot.busy(session.id);
      this.advance(session, null);
    }
    if (session.closing && session.current === null) this.dispose(session);
  }

  /** Runs the current operation on, until it ends or has to wait. */
  private advance(session: Session, resumeWith: Resumption): void {
    const { current } = session;
    assert(current !== null, 'W1: only a waiting operation is resumed');
    const { operation } = current;
    const start = performance.now();
    this.running = { session, operation };
    this.host.running(operation.id);
    const step = current.run.next(resumeWith);
    this.running = null;
    this.host.running(0);
    operation.engineUs += (performance.now() - start) * 1000;
    if (this.runtime.vfs.fatal !== null) throw this.runtime.vfs.fatal;
    if (step.done !== true) return;
    session.current = null;
    if (!step.value.ok && isUndone(step.value.error) && !operation.inside) this.discardConnection(session);
    this.settle(session);
    this.reply(session, operation, step.value);
  }

  private reply(session: Session, operation: Operation, outcome: OperationOutcome): void {
    const wrote = operation.commits.length > 0;
    const cut =
      this.host.isAbandoned() && !outcome.ok && outcome.error.code === 'SEXTANT_TRANSACTION_ABORTED';
    const aborted = cut && !wrote && !operation.hadState;
    if (aborted) {
      this.discardConnection(session); // A transaction the operation began itself is run again with it.
      this.releaseSlot(session.id);
    }
    const state = aborted ? null : stateAfter(session, operation, outcome);
    session.state = state ?? operation.state;
    const counted = state !== null && isCounted(operation.state, state, outcome);
    const answer: EngineAnswer<AnyOperationValue> = {
      outcome,
      seenLsn: lsn(operation.seen),
      commits: operation.commits,
      autocommit: !session.inTransaction,
      wrote,
      state: counted ? null : state,
      holds: session.keeps,
      aborted,
      engineUs: Math.round(operation.engineUs),
    };
    this.host.answer({ id: operation.id, answer, counted, rerunnable: !operation.hadState });
  }

  /** After an operation: gives back what the session needs no longer. */
  private settle(session: Session): void {
    if (session.connection?.marked === true) this.settleHeld(session, session.connection);
    const { connection } = session;
    if (connection === null || connection.isAutocommit()) {
      session.readonlyTransaction = false;
      if (connection !== null && !session.keeps) {
        session.connection = null;
        this.pool.giveBack(connection);
      }
    }
    if (session.connection !== null) session.idleSinceMs = performance.now();
    if (!this.slot.holds(session.id)) return;
    if (session.connection?.isWriting() === true) this.slot.idle(session.id, performance.now());
    else this.releaseSlot(session.id);
  }

  /** Temporary objects or attached databases may have come or gone. */
  private settleHeld(session: Session, connection: Connection): void {
    // A rollback may bring back what its transaction has removed.
    if (!connection.isAutocommit()) return;
    connection.marked = false;
    if (!session.keeps || holdsObjects(connection)) return;
    // What such things leave behind (sequences, sizes of their own) is nobody else's.
    this.discardConnection(session);
  }

  private releaseSlot(owner: number): void {
    const now = performance.now();
    // What it has committed counts before another one is let in. Nobody is granted by this: the slot is held.
    if (this.slot.holds(owner)) this.slot.setBlocked(this.host.isBlocked(), now);
    const next = this.slot.release(owner, now);
    if (next !== null) this.granted.push(next);
  }

  /** Resumes sessions whose group has ended, and those that were granted the writer, one after another. */
  private drain(): void {
    if (this.drains) return;
    this.drains = true;
    for (;;) {
      const ended = this.group.ended.shift();
      if (ended !== undefined) {
        // It may take long, and what came before it does not wait.
        if (ended.again) this.host.answered();
        this.advance(ended.session, ended.again ? 'again' : null);
        this.pump(ended.session);
        continue;
      }
      if (this.group.isDue(performance.now())) {
        this.group.close();
        continue;
      }
      this.host.answered();
      const owner = this.granted.shift();
      if (owner === undefined) break;
      const session = this.sessions.get(owner);
      if (session?.current === null || session === undefined) {
        this.releaseSlot(owner);
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
    const holder = evict === null ? undefined : this.sessions.get(evict.owner);
    if (evict !== null && holder !== undefined) this.endHeld(holder, this.evicted(evict.why));
    this.drain();
    const next = this.slot.nextDeadline();
    return next === null ? null : Math.max(1, Math.ceil(next - performance.now()));
  }

  private evicted(why: 'idle' | 'age'): string {
    const { writeIdleMs, writeAgeMs } = this.host.limits;
    return why === 'idle'
      ? `The write transaction had no statement for writeIdleMs = ${writeIdleMs} while others waited, and was rolled back`
      : `The write transaction was open for writeAgeMs = ${writeAgeMs} while others waited, and was rolled back`;
  }

  /** Rolls back what a session has open, between two of its operations; it is told. */
  private endHeld(session: Session, why: string): void {
    const error = adviseError('TRANSACTION_TIMEOUT', why);
    if (session.inTransaction) session.lost = error;
    else session.lostHeld = error;
    this.discardConnection(session);
    this.releaseSlot(session.id);
  }

  /**
   * Whether one more session may keep a connection, besides the one that is lent to it now. The one idle longest makes room, when
   * it has been so for a while. @returns null, or why not.
   */
  private roomToHold(): SqlError | null {
    const { heldConnections, heldIdleMs } = this.host.limits;
    if (this.pool.lent - 1 < heldConnections) return null;
    let idlest: Session | null = null;
    for (const session of this.sessions.values()) {
      if (session.connection === null || session.current !== null) continue;
      if (idlest === null || session.idleSinceMs < idlest.idleSinceMs) idlest = session;
    }
    const limit = `heldConnections = ${heldConnections} streams have a transaction, temporary objects or attached databases`;
    if (idlest === null || performance.now() - idlest.idleSinceMs < heldIdleMs)
      return adviseError('TRANSACTION_BUSY', `The limit is reached: ${limit}`);
    this.endHeld(
      idlest,
      `What this stream had open was given up after heldIdleMs = ${heldIdleMs} without a statement: ${limit}, and another asked for room`,
    );
    return null;
  }

  private discardConnection(session: Session): void {
    const { connection } = session;
    session.connection = null;
    session.keeps = false;
    session.readonlyTransaction = false;
    if (connection === null) return;
    this.pool.close(connection);
  }

  private dispose(session: Session): void {
    this.sessions.delete(session.id);
    const { connection } = session;
    if (connection !== null && (session.keeps || !connection.isAutocommit())) this.discardConnection(session);
    else if (connection !== null) this.pool.giveBack(connection);
    this.slot.cancel(session.id);
    this.releaseSlot(session.id);
  }

  /**
   * Discards every connection: the engine was opened anew. Operations that had done nothing are answered as such; sessions
   * that had a transaction or temporary objects learn that these are gone.
   */
  reset(): void {
    this.slot = this.newSlot();
    this.granted.length = 0;
    this.group.discard();
    for (const session of this.sessions.values()) {
      const waiting = session.current?.operation;
      const lostHere = waiting === undefined ? session.keeps || session.inTransaction : waiting.hadState;
      const lostTransaction = lostHere && session.inTransaction;
      if (session.connection !== null) session.connection.file.dead = true;
      session.current?.run.return(failure('SEXTANT_TRANSACTION_ABORTED', replaced.message));
      session.current = null;
      this.discardConnection(session);
      if (lostTransaction) session.lost = replaced;
      else if (lostHere) session.lostHeld = replaced;
      if (waiting !== undefined) this.refuse(session, waiting, lostHere);
      // G32: what was taken back behind it is nobody's, and is not answered.
      for (const operation of session.queue.splice(0))
        if (this.host.begin(operation.id)) this.refuse(session, operation, lostHere);
    }
    this.pool.reset();
    for (const session of this.sessions.values()) if (session.closing) this.sessions.delete(session.id);
  }

  private refuse(session: Session, operation: Operation, lostHere: boolean): void {
    const wrote = operation.commits.length > 0;
    const answer: EngineAnswer<AnyOperationValue> = {
      outcome: { ok: false, error: replaced },
      seenLsn: lsn(operation.seen),
      commits: operation.commits,
      autocommit: !session.inTransaction,
      wrote,
      state: null,
      holds: false,
      aborted: !wrote && !lostHere,
      engineUs: Math.round(operation.engineUs),
    };
    session.state = operation.state;
    this.host.answer({ id: operation.id, answer, counted: false, rerunnable: !lostHere });
  }

  /** The VFS asks when SQLite takes the write lock. Statements that do not announce that they write meet it only here. */
  mayWrite(): SqlError | null {
    const running = this.running;
    assert(running !== null, 'W1: SQLite writes only while an operation runs');
    const { session, operation } = running;
    if (session.readonlyTransaction)
      return sqlError('SQLITE_READONLY', 'The transaction was begun read-only and may not write.');
    if (!this.host.isWriter()) return this.operations.readOnly(operation);
    if (this.group.isOpen || this.slot.holds(session.id)) return null;
    if (this.slot.request(session.id, performance.now()) === 'granted') return null;
    this.slot.cancel(session.id);
    return sqlError(
      'SQLITE_BUSY',
      'Another transaction holds the writer. Begin with BEGIN IMMEDIATE to wait for it.',
    );
  }

  /** Answers `PRAGMA sextant_read`. */
  readPreference(value: string | null): PragmaAnswer {
    const running = this.running;
    if (running === null) return { ok: true, text: 'session' };
    const { session, operation } = running;
    return readPreferenceOf(session, operation, value, this.host.isWriter());
  }
}

/** The result says all that has changed of the state. */
function isCounted(before: StreamState, after: StreamState, outcome: OperationOutcome): boolean {
  if (!outcome.ok || outcome.value === null || !('affectedRowCount' in outcome.value)) return false;
  return sameState(after, countedState(before, outcome.value));
}

/** What the stream's state has become; null for no change. An operation that is to run again has changed nothing. */
function stateAfter(session: Session, operation: Operation, outcome: OperationOutcome): StreamState | null {
  if (outcome.ok || !isUndone(outcome.error)) return session.stateSince(operation.state);
  return operation.raised === null ? null : { ...operation.state, readPreference: operation.raised };
}
