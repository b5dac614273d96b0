/**
 * PostgreSQL in the engine's worker: sessions in turn on one backend.
 *
 * G91. An answer is given only after what its operation wrote has become redo, and says the LSN that shows it; what cannot become
 * redo is dropped, with the backend that wrote it, before anything else runs.
 */
import { type Lsn, zeroLsn } from '../../../../storage/redo.ts';
import { wrongEngine } from '../../../sql/engine-kind.ts';
import { adviseError, sqlError } from '../../../sql/errors.ts';
import { operationWhileLost } from '../../../sql/lost-transaction.ts';
import type { SqlError, SqlOutcome } from '../../../sql/sql.ts';
import { rolledBackWire, type WireOperation, type WireResult } from '../../../sql/wire-operation.ts';
import type { SessionCommit } from '../../core/engine-protocol.ts';
import type { DeskWork, EngineDesk, OperationMessage } from '../../thread/engine-desk.ts';
import { replaced } from '../../thread/engine-session.ts';
import { newRunnerSession, type RunnerSession, type RunResult } from './backend-runner.ts';
import { type Turn, Turns } from './core/turns.ts';
import { idleMs } from './core/upkeep.ts';
import { ServedBackend } from './served-backend.ts';
import { nobody } from './served-pages.ts';

/** SQLSTATE of a write where only reads are allowed. */
const readOnlyState = '25006';
const readOnly = sqlError('SEXTANT_READ_ONLY', 'This gateway reads; the statement must run at the writer.');

/** A thread that has somebody waiting shows so often that it lives. */
const beatMs = 1_000;
/** Of a reader: others that may go to the writer wait so long for a session that keeps the backend and asks nothing. */
const awayMs = 100;

interface Session extends RunnerSession {
  readonly id: number;
  /** Why the transaction the client believes in is gone; told until the client ends it. */
  lost: SqlError | null;
}

/** How an operation ended. */
interface Ending {
  readonly outcome: SqlOutcome<WireResult>;
  readonly commits: readonly SessionCommit[];
  readonly seen: Lsn;
}

type Taken = Turn<OperationMessage>;

export class PostgresWork implements DeskWork {
  private readonly desk: EngineDesk;
  private readonly served: ServedBackend;
  private readonly turns: Turns<OperationMessage>;
  private readonly sessions = new Map<number, Session>();
  private usedAtMs = 0;
  private drains = false;
  /** The backend is to be started although nobody has asked for anything. */
  private startsAhead = false;

  constructor(desk: EngineDesk) {
    this.desk = desk;
    this.served = new ServedBackend(desk);
    this.turns = new Turns(desk.limits);
  }

  post(message: OperationMessage): void {
    const now = performance.now();
    if (!this.turns.post(message.session, message, now)) {
      this.refuse(message, this.tooMany());
      return;
    }
    this.sendAway(now);
    this.drain();
  }

  closeSession(session: number): void {
    this.turns.close(session, performance.now());
    this.drain();
    if (!this.turns.knows(session)) this.sessions.delete(session);
  }

  gathered(): void {
    this.drain();
  }

  reset(): void {
    this.served.reset('opened');
    const { waiting, kept } = this.turns.reset();
    for (const session of this.sessions.values()) {
      if (session.id !== kept) continue;
      session.lost = session.status === 'I' ? session.lost : replaced;
      forget(session);
    }
    for (const { session, operation } of waiting) {
      if (operation === null) this.sessions.delete(session);
      else this.refuse(operation, replaced, this.sessions.get(session)?.lost == null);
    }
  }

  opened(): void {
    this.startsAhead = false;
    if (this.desk.mode.kind !== 'writer') return;
    this.drain();
    // Whoever writes is asked before long: the backend runs by then, with its recovery behind it. What that makes redo of leaves
    // after the news that the engine is open.
    setImmediate(() => {
      this.startsAhead = true;
      this.desk.receive([]);
    });
  }

  warm(): void {
    this.served.prepare(() => this.desk.receive([]));
  }

  setBlocked(blocked: boolean): void {
    this.turns.setBlocked(blocked, performance.now());
    this.drain();
  }

  tick(): number | null {
    const now = performance.now();
    this.desk.shared.beat();
    const { late, evict } = this.turns.expire(now);
    for (const { operation, holderAgeMs } of late)
      if (operation !== null) this.refuse(operation, this.waited(holderAgeMs));
    if (evict !== null) this.evict(evict);
    this.sendAway(now);
    this.drain();
    const isIdle = now - this.usedAtMs >= idleMs;
    if (isIdle && this.turns.isIdle) this.keepFit(true);
    const deadline = this.turns.nextDeadline();
    const wakes = [
      deadline === null ? null : deadline - performance.now(),
      // Who waits for a session that keeps the backend, or for its start, waits for a thread that lives.
      this.turns.isIdle ? null : this.isReader ? awayMs : beatMs,
      // While nobody comes, one thing follows another; whoever comes waits for one of them at most.
      this.served.wantsIdle && this.turns.isIdle ? this.usedAtMs + idleMs - performance.now() : null,
    ].filter((wake) => wake !== null);
    return wakes.length === 0 ? null : Math.max(1, Math.ceil(Math.min(...wakes)));
  }

  /** Gives everybody the turn that it is. */
  private drain(): void {
    if (this.drains) return;
    this.drains = true;
    while (this.isReady()) {
      this.startAhead();
      const turn = this.turns.next();
      if (turn === null) break;
      this.take(turn);
      if (!this.turns.isKept) this.keepFit(false);
      this.desk.updateBlocked();
      this.desk.flushIfDue();
    }
    this.drains = false;
  }

  private startAhead(): void {
    if (!this.startsAhead) return;
    this.startsAhead = false;
    if (this.desk.mode.kind !== 'writer') return;
    try {
      this.served.startAhead();
    } catch (error) {
      this.served.fail(error); // Whoever asks for something has it tried again, and is told.
    }
  }

  private isReady(): boolean {
    if (this.served.isReady) return true;
    if (this.desk.mode.kind === 'writer' || !this.turns.isIdle)
      this.served.prepare(() => this.desk.receive([]));
    return false;
  }

  private take({ session: id, operation }: Taken): void {
    const session = this.sessionOf(id);
    if (operation === null) {
      this.rollBack(session);
      this.sessions.delete(id);
    } else if (this.desk.shared.begin(operation.id)) {
      this.perform(session, operation);
    }
    this.usedAtMs = performance.now();
    this.turns.ended(id, session.status !== 'I', this.usedAtMs);
  }

  private sessionOf(id: number): Session {
    const known = this.sessions.get(id);
    if (known !== undefined) return known;
    const session: Session = { id, lost: null, ...newRunnerSession() };
    this.sessions.set(id, session);
    return session;
  }

  private perform(session: Session, message: OperationMessage): void {
    const hadState = session.status !== 'I' || session.lost !== null;
    const startMs = performance.now();
    this.desk.setRunning(message.id);
    const { outcome, commits, seen } = this.run(session, message);
    this.desk.setRunning(0);
    const wrote = commits.length > 0;
    this.desk.answer({
      id: message.id,
      counted: false,
      rerunnable: !hadState,
      answer: {
        outcome,
        seenLsn: seen,
        commits: commits.map(({ lsn, commitTimeUs }) => ({ lsn, commitTimeUs })),
        autocommit: session.status === 'I' && session.lost === null,
        wrote,
        state: null,
        holds: false,
        aborted: !outcome.ok && this.desk.isAbandoned && !wrote && !hadState,
        engineUs: Math.round((performance.now() - startMs) * 1000),
      },
    });
  }

  private run(session: Session, message: OperationMessage): Ending {
    const { operation } = message;
    if (operation.kind !== 'wire') return failed(wrongEngine('postgres'));
    if (session.lost !== null) {
      const told = this.tellLost(session, session.lost, operation);
      if (told !== null) return told;
    }
    const before = session.status;
    try {
      const elsewhere = this.served.ensure(operation, before === 'I');
      if (elsewhere !== null) return failed(elsewhere);
      return this.finish(session, message, operation, before, this.served.run(session, operation));
    } catch (error) {
      return this.broken(session, operation, before, this.served.fail(error));
    }
  }

  private finish(
    session: Session,
    { trace }: OperationMessage,
    operation: WireOperation,
    before: RunnerSession['status'],
    result: RunResult,
  ): Ending {
    if (this.served.hasStrayed) {
      this.served.reset('fault');
      return this.broken(session, operation, before, readOnly);
    }
    const isRefused = this.isReader && result.errors.some(({ code }) => code === readOnlyState);
    if (isRefused && before === 'I' && !operation.statements.some(beginsReadOnly)) {
      this.served.rollBack(session);
      return failed(readOnly);
    }
    const { messages, status, settings, error } = result;
    const made = this.served.publish([result.mayHaveCommitted ? { session: session.id, trace } : nobody]);
    if ('code' in made) return this.broken(session, operation, before, made);
    return {
      outcome: { ok: true, value: { messages, status, settings, error } },
      commits: made.filter((commit) => commit.session === session.id),
      seen: this.served.readPoint,
    };
  }

  /** The backend is gone, with the session's transaction. */
  private broken(
    session: Session,
    operation: WireOperation,
    before: RunnerSession['status'],
    error: SqlError,
  ): Ending {
    const ends = operationWhileLost(operation).kind !== 'refuse';
    session.lost = before === 'I' || ends ? null : error;
    forget(session);
    return failed(error);
  }

  private tellLost(session: Session, lost: SqlError, operation: WireOperation): Ending | null {
    const what = operationWhileLost(operation);
    if (what.kind !== 'refuse' || what.ends) session.lost = null;
    switch (what.kind) {
      case 'run':
        return null;
      case 'rolledBack':
        return { outcome: { ok: true, value: rolledBackWire }, commits: [], seen: zeroLsn };
      default:
        return failed(lost);
    }
  }

  /** Ends what a session has open, between two of its operations. */
  private rollBack(session: Session): void {
    if (session.status === 'I') return;
    try {
      this.served.rollBack(session);
      const made = this.served.publish([nobody]);
      if ('code' in made) this.served.reset('fault');
    } catch (error) {
      this.served.fail(error);
    }
    forget(session);
  }

  private evict(id: number): void {
    const session = this.sessionOf(id);
    const { idleTransactionMs } = this.desk.limits;
    session.lost = adviseError(
      'TRANSACTION_TIMEOUT',
      `The transaction had no statement for idleTransactionMs = ${idleTransactionMs} while others waited, and was rolled back`,
    );
    this.desk.tell({ kind: 'idleEnded' });
    this.rollBack(session);
    this.turns.ended(id, false, performance.now());
  }

  private get isReader(): boolean {
    return this.desk.mode.kind === 'reader';
  }

  /** Nobody waits here for a transaction that only reads and does nothing, if the writer can answer instead. */
  private sendAway(nowMs: number): void {
    if (!this.isReader) return;
    const may = ({ operation }: OperationMessage): boolean =>
      operation.kind === 'wire' && operation.mayMove === true;
    for (const message of this.turns.withdraw(awayMs, may, nowMs)) this.refuse(message, readOnly);
  }

  private keepFit(isIdle: boolean): void {
    try {
      this.served.keepFit(isIdle);
    } catch (error) {
      this.served.fail(error);
    }
  }

  /** It has not run. @param again it may simply be run again, elsewhere. */
  private refuse(message: OperationMessage, error: SqlError, again = false): void {
    if (!this.desk.shared.begin(message.id)) return;
    this.desk.answer({
      id: message.id,
      counted: false,
      rerunnable: again,
      answer: {
        outcome: { ok: false, error },
        seenLsn: zeroLsn,
        commits: [],
        autocommit: this.sessions.get(message.session)?.lost == null,
        wrote: false,
        state: null,
        holds: false,
        aborted: again,
        engineUs: 0,
      },
    });
  }

  private tooMany(): SqlError {
    const { writeQueueMax } = this.desk.limits;
    return adviseError('SEXTANT_LIMIT', `writeQueueMax = ${writeQueueMax} sessions wait for their turn`);
  }

  private waited(holderAgeMs: number | null): SqlError {
    const why =
      holderAgeMs === null
        ? 'redo waiting to become durable held everybody up'
        : `another session has kept the backend for ${Math.round(holderAgeMs)} ms`;
    const detail = `The statement waited turnWaitMs = ${this.desk.limits.turnWaitMs} for its turn: ${why}`;
    return adviseError('SEXTANT_LIMIT', detail);
  }
}

const failed = (error: SqlError): Ending => ({ outcome: { ok: false, error }, commits: [], seen: zeroLsn });

/** The backend has nothing of the session any more. */
function forget(session: Session): void {
  session.status = 'I';
  session.touched = false;
  session.timeout = null;
}

const beginsReadOnly = (sql: string): boolean => /^BEGIN READONLY\b/.test(sql);
