/**
 * A stream in this gateway's engines, and the gate its answers pass. Serves clients of this gateway and, on the writer, the
 * streams of other gateways. Outside transactions every operation may run elsewhere; what cannot travel (a transaction,
 * temporary objects, attached databases) keeps the stream where it is.
 */
import { type Epoch, type Lsn, zeroLsn } from '../../storage/core.ts';
import type { EngineAnswer, EngineCommit, EngineTrace } from '../engine/core/engine-protocol.ts';
import type { Engine, TakeAnswer } from '../engine/engine.ts';
import type { EngineSession } from '../engine/engine-stream.ts';
import type { ReaderSession } from '../engine/reader-session.ts';
import type { Drainable } from '../reign/drain.ts';
import type { GatewayVolume } from '../reign/gateway-volume.ts';
import type { Settled } from '../reign/volume-options.ts';
import { adviseError, sqlError } from '../sql/errors.ts';
import { emptyResult, operationWhileLost } from '../sql/lost-transaction.ts';
import type { AnyOperationValue, SqlOperation } from '../sql/operation.ts';
import type { SqlError, SqlOutcome } from '../sql/sql.ts';
import type { StreamState } from '../sql/stream-state.ts';
import { rolledBackWire } from '../sql/wire-operation.ts';
import { opensReadTransaction, type SessionPlace } from './core/routing.ts';

export type LocalAnswer =
  | {
      readonly kind: 'answered';
      readonly outcome: SqlOutcome<AnyOperationValue>;
      readonly seenLsn: Lsn;
      readonly commits: readonly EngineCommit[];
      readonly epoch: Epoch;
      /** The stream's state afterwards; null: as it came. */
      readonly state: StreamState | null;
    }
  /** Nothing of it has happened: run it again, here or elsewhere. */
  | { readonly kind: 'notRun' };

/** Which engine carries an operation out. */
export type LocalPlace = 'reader' | 'writer';

/** Sessions of the engines that may hold a drain up. */
export class LocalSessions {
  private readonly open = new Set<LocalSession>();

  add(session: LocalSession): void {
    this.open.add(session);
  }

  delete(session: LocalSession): void {
    this.open.delete(session);
  }

  /** Sessions with a transaction that may write, or an operation under way that may. */
  get writing(): readonly LocalSession[] {
    return [...this.open].filter((session) => session.mayWrite);
  }

  /** Whether one of them keeps the engine that writes between two of its operations. */
  get keepWriter(): boolean {
    for (const { place } of this.open) if (place === 'writer') return true;
    return false;
  }

  /** None of them has an operation under way, or anything in an engine that it goes on with. */
  get areIdle(): boolean {
    for (const { isIdle, place } of this.open) if (!isIdle || place !== 'idle') return false;
    return true;
  }
}

/** What an operation was when it was given to an engine. */
interface Asked {
  readonly wasAutocommit: boolean;
  /** Only the writer can answer it. */
  readonly asksWriter: boolean;
  /** It was given to a thread that reads. */
  readonly reads: boolean;
}

/** An operation of a client that is gone may go on for this long on the writing thread before it is stopped. */
const goneGraceMs = 1_000;

export const cancelledByClient = sqlError(
  'SQLITE_INTERRUPT',
  'The statement did not run: its client has gone, or asked that it be cancelled.',
);

const unknown = (): SqlError =>
  adviseError(
    'SEXTANT_COMMIT_UNKNOWN',
    'The statement was committed, and this gateway stopped being the writer, or could not renew its lease in time, before that was confirmed',
  );

/** Whether it is kept is decided by what becomes of this region, or by the acknowledgement of another one. */
const held = (volume: GatewayVolume, committed: boolean): SqlError => {
  const why = volume.holdReason(0) ?? 'no other region had confirmed it in time (policy --rpo-ms)';
  return committed
    ? adviseError(
        'SEXTANT_COMMIT_UNKNOWN',
        `The statement was committed and is durable in this region, and may be lost with it: ${why}`,
      )
    : adviseError(
        'SEXTANT_STORAGE_UNAVAILABLE',
        `The statement changed nothing, and what it read may be lost with this region: ${why}`,
      );
};

const historyForked = (seen: { readonly epoch: Epoch; readonly lsn: Lsn }, bookmark: string): SqlError =>
  adviseError(
    'SEXTANT_HISTORY_FORKED',
    `This transaction had read LSN ${seen.lsn} of epoch ${seen.epoch}, which history has left (a rewind or a failover); it goes on from ${bookmark}, and the transaction was rolled back`,
  );

const aborted = (): SqlError =>
  sqlError(
    'SEXTANT_TRANSACTION_ABORTED',
    'This gateway stopped being the writer, and the transaction was rolled back. Run the whole transaction again from its BEGIN.',
  );

export class LocalSession implements Drainable {
  private readonly volume: GatewayVolume;
  private readonly sessions: LocalSessions;
  private readonly reading: ReaderSession;
  private writing: EngineSession | null = null;
  private autocommit = true;
  private holds = false;
  /** The open read transaction has read something: what it sees does not move any more. */
  private snapshotTaken = false;
  /** What it has read, and under which head. */
  private seen: { readonly epoch: Epoch; readonly lsn: Lsn } | null = null;
  private running: 'nothing' | 'read' | 'write' = 'nothing';
  private runningAtWriter = 0;
  private lost: SqlError | null = null;
  /** Why what runs was asked to stop. */
  private stopped: SqlError | null = null;
  private closed = false;

  constructor(volume: GatewayVolume, sessions: LocalSessions) {
    this.volume = volume;
    this.sessions = sessions;
    this.reading = volume.readers.openSession();
    sessions.add(this);
  }

  /** False while a transaction is open, or the client believes so. */
  get isAutocommit(): boolean {
    return this.autocommit && this.lost === null;
  }

  /** Where the stream has to go on. */
  get place(): Extract<SessionPlace, 'idle' | 'reader' | 'writer'> {
    if (this.reading.isPinned) return 'reader';
    return this.autocommit && !this.holds ? 'idle' : 'writer';
  }

  /** What the stream reads is not fixed yet: its consistency is still to be waited for. */
  get readsAnew(): boolean {
    return this.place === 'idle' || (this.place === 'reader' && !this.snapshotTaken);
  }

  get mayWrite(): boolean {
    return this.running === 'write' || (!this.autocommit && !this.reading.isPinned);
  }

  /** No operation is under way. */
  get isIdle(): boolean {
    return this.running === 'nothing';
  }

  /** Rolls back what is open; the client is told until it ends the transaction. */
  lose(error: SqlError): void {
    this.lost = error;
    this.autocommit = true;
    this.holds = false;
    this.endWriting();
  }

  /** Stops the write that runs, if SQLite can be interrupted, and tells the client why. */
  stopWrite(error: SqlError): void {
    if (this.runningAtWriter === 0 || this.writing === null) return;
    this.stopped = error;
    this.writing.engine.cancel(this.runningAtWriter);
  }

  /** Stops what runs, as soon as the engine can be interrupted: it is answered as stopped, or as if nobody had asked. */
  cancel(): void {
    if (this.runningAtWriter === 0) this.reading.cancel();
    else if (this.writing !== null) stopAt(this.writing.engine, this.runningAtWriter, this.autocommit);
  }

  /**
   * Runs an operation; `done` is called, at once or later, when its answer may leave. Nothing on this path is a promise:
   * every statement of every client passes here.
   * @param where the engine, for a stream that has to go on nowhere in particular.
   */
  run(
    operation: SqlOperation,
    where: LocalPlace,
    trace: EngineTrace | null,
    state: StreamState,
    done: (answer: LocalAnswer) => void,
  ): void {
    const lost = this.answerLost(operation);
    if (lost !== null) {
      done({
        kind: 'answered',
        outcome: lost,
        seenLsn: zeroLsn,
        commits: [],
        epoch: this.volume.head,
        state: null,
      });
      return;
    }
    const { place } = this;
    const reads = place === 'reader' || (place === 'idle' && where === 'reader');
    const asked: Asked = {
      wasAutocommit: this.autocommit,
      // What is durable here is enough for any read but one that wants everything acknowledged anywhere.
      asksWriter: !reads || state.readPreference === 'global',
      reads,
    };
    const taken: TakeAnswer = (answer) => {
      this.noteAnswer(answer);
      this.volume.settle(answer, asked, (settled) => {
        this.running = 'nothing';
        done(this.settled(answer, settled, asked));
      });
    };
    if (reads) {
      this.running = 'read';
      const transaction = place === 'idle' && opensReadTransaction(operation);
      this.reading.run(operation, trace, state, transaction, taken);
      return;
    }
    this.running = 'write';
    const session = this.writingSession();
    this.runningAtWriter = session.run(operation, trace, state, (answer) => {
      this.runningAtWriter = 0;
      if (this.writing === session) this.holds = answer.holds;
      taken(answer);
    });
  }

  /** Ends the stream; what is open is rolled back, and what runs is stopped. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.reading.close();
    const { writing, runningAtWriter, autocommit } = this;
    if (writing !== null && runningAtWriter !== 0)
      setTimeout(() => stopAt(writing.engine, runningAtWriter, autocommit), goneGraceMs).unref();
    this.endWriting();
    this.sessions.delete(this);
  }

  private noteAnswer(answer: EngineAnswer<AnyOperationValue>): void {
    // A session that was lost meanwhile has been told, or will be.
    if (this.lost === null) this.autocommit = answer.autocommit;
    this.snapshotTaken = !answer.autocommit && (this.snapshotTaken || answer.seenLsn > 0);
    if (this.snapshotTaken && answer.seenLsn > 0)
      this.seen = { epoch: this.volume.head, lsn: answer.seenLsn };
  }

  private settled(answer: EngineAnswer<AnyOperationValue>, settled: Settled, asked: Asked): LocalAnswer {
    if (answer.aborted) return { kind: 'notRun' };
    const { stopped } = this;
    this.stopped = null;
    const { outcome } = answer;
    const isWhole = asked.wasAutocommit && answer.autocommit;
    if (settled === 'released' || (settled === 'stale' && !(asked.asksWriter && isWhole))) {
      const wasStopped = stopped !== null && !outcome.ok && outcome.error.code === 'SQLITE_INTERRUPT';
      if (wasStopped) return this.answered(answer, { ok: false, error: stopped });
      return this.answered(answer, asked.wasAutocommit ? outcome : this.told(outcome));
    }
    if (settled === 'held') {
      const error = held(this.volume, answer.commits.length > 0);
      return this.answered(answer, { ok: false, error });
    }
    if (settled === 'lost') return this.answered(answer, { ok: false, error: unknown() });
    if (isWhole) return { kind: 'notRun' };
    // The engine tells the client of the loss once more, with its next statement.
    return this.answered(answer, { ok: false, error: aborted() });
  }

  /** G56: a transaction that is gone, and had read what history has left since, says so and where history goes on. */
  private told(outcome: SqlOutcome<AnyOperationValue>): SqlOutcome<AnyOperationValue> {
    if (outcome.ok || outcome.error.code !== 'SEXTANT_TRANSACTION_ABORTED' || this.seen === null)
      return outcome;
    const bookmark = this.volume.forkedFrom(this.seen);
    return bookmark === null ? outcome : { ok: false, error: historyForked(this.seen, bookmark) };
  }

  private answered(
    answer: EngineAnswer<AnyOperationValue>,
    outcome: SqlOutcome<AnyOperationValue>,
  ): LocalAnswer {
    const { seenLsn, commits, state } = answer;
    return { kind: 'answered', outcome, seenLsn, commits, epoch: this.volume.head, state };
  }

  /**
   * G35. What a client that believes in a transaction which is gone is told, before anything decides where its operation is to
   * run; null when the operation may run. An operation that begins anew ends the loss.
   */
  answerLost(operation: SqlOperation): SqlOutcome<AnyOperationValue> | null {
    const { lost } = this;
    if (lost === null) return null;
    const answer = operationWhileLost(operation);
    switch (answer.kind) {
      case 'run':
        this.lost = null;
        return null;
      case 'rolledBack':
        this.lost = null;
        return { ok: true, value: valueFor(operation) };
      case 'refuse':
        if (answer.ends) this.lost = null;
        return { ok: false, error: lost };
    }
  }

  /** A stream that has something in a session goes on there, even when the engine has lost it: it is told so there. */
  private writingSession(): EngineSession {
    const { engine } = this.volume.writer;
    if (this.writing !== null && (this.place === 'writer' || this.writing.engine === engine))
      return this.writing;
    this.writing = engine.openSession();
    return this.writing;
  }

  private endWriting(): void {
    this.writing?.close();
    this.writing = null;
  }
}

/** What still waits for its turn never gets one. @param isAutocommit in a transaction nothing waits */
function stopAt(engine: Engine, id: number, isAutocommit: boolean): void {
  if (!isAutocommit || !engine.withdraw(id, cancelledByClient)) engine.cancel(id);
}

function valueFor(operation: SqlOperation): AnyOperationValue {
  switch (operation.kind) {
    case 'execute':
      return emptyResult;
    case 'batch':
      return operation.steps.map(() => ({ ok: true, value: emptyResult }));
    case 'wire':
      return rolledBackWire;
    default:
      return null;
  }
}
