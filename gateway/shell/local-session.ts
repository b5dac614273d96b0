/**
 * A stream in this gateway's engine, and the gate its answers pass. Serves clients of this gateway and, on the writer, the
 * streams of other gateways.
 */
import { type Epoch, type Lsn, zeroLsn } from '../../storage/core/ids.ts';
import type {
  AnyOperationValue,
  EngineAnswer,
  EngineCommit,
  EngineTrace,
  SqlOperation,
} from '../core/engine-protocol.ts';
import { isReadonlyBegin } from '../core/engine-text.ts';
import { adviseError, sqlError } from '../core/errors.ts';
import { answerLost, emptyResult } from '../core/lost-transaction.ts';
import { statementsOf } from '../core/routing.ts';
import type { SqlError, SqlOutcome } from '../core/sql.ts';
import { factsOf } from '../core/statement-facts.ts';
import { freshStream, type ReadPreference } from '../core/stream-state.ts';
import type { EngineSession } from './engine.ts';
import type { GatewayVolume, Settled } from './volume.ts';

export type LocalAnswer =
  | {
      readonly kind: 'answered';
      readonly outcome: SqlOutcome<AnyOperationValue>;
      readonly seenLsn: Lsn;
      readonly commits: readonly EngineCommit[];
      readonly epoch: Epoch;
      readonly readPreference: ReadPreference | null;
      readonly engineUs: number;
    }
  /** Nothing of it has happened: run it again, here or elsewhere. */
  | { readonly kind: 'notRun' };

/** Sessions of the engine that may hold a drain up. */
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
}

const unknown = (): SqlError =>
  adviseError(
    'SEXTANT_COMMIT_UNKNOWN',
    'The statement was committed, and this gateway stopped being the writer before four storage nodes had confirmed it',
  );

const aborted = (): SqlError =>
  sqlError(
    'SEXTANT_TRANSACTION_ABORTED',
    'This gateway stopped being the writer, and the transaction was rolled back. Run the whole transaction again from its BEGIN.',
  );

/** What a drain tells a transaction that lasted too long. */
export const movedAway = (): SqlError =>
  adviseError(
    'SEXTANT_MOVE_IN_PROGRESS',
    'The primary moves to another region and the transaction, which was open for too long, was rolled back',
  );

export class LocalSession {
  private readonly volume: GatewayVolume;
  private readonly sessions: LocalSessions;
  private readonly settingsMax: number;
  private readonly settings = new Map<string, string>();
  private engine: EngineSession | null = null;
  private generation = 0;
  private keepsState = false;
  private autocommit = true;
  private readonlyTransaction = false;
  private running: 'nothing' | 'read' | 'write' = 'nothing';
  private lost: SqlError | null = null;
  private closed = false;

  constructor(volume: GatewayVolume, sessions: LocalSessions, settingsMax: number) {
    this.volume = volume;
    this.sessions = sessions;
    this.settingsMax = settingsMax;
    sessions.add(this);
  }

  /** False while a transaction is open, or the client believes so. */
  get isAutocommit(): boolean {
    return this.autocommit && this.lost === null;
  }

  get mayWrite(): boolean {
    return this.running === 'write' || (!this.autocommit && !this.readonlyTransaction);
  }

  /** No operation is under way. */
  get isIdle(): boolean {
    return this.running === 'nothing';
  }

  /** The PRAGMAs this stream was set up with, to be repeated where it goes on. */
  get setUp(): readonly string[] {
    return [...this.settings.values()];
  }

  /** A PRAGMA the stream is to begin with. */
  set(name: string, sql: string): void {
    if (this.settings.size < this.settingsMax || this.settings.has(name)) this.settings.set(name, sql);
  }

  /** Rolls back what is open; the client is told until it ends the transaction. */
  lose(error: SqlError): void {
    this.lost = error;
    this.autocommit = true;
    this.endEngine();
  }

  /**
   * Runs an operation; `done` is called, at once or later, when its answer may leave. Nothing on this path is a promise:
   * every statement of every client passes here.
   * @param mayWrite what routing thinks of it.
   */
  run(
    operation: SqlOperation,
    trace: EngineTrace | null,
    mayWrite: boolean,
    done: (answer: LocalAnswer) => void,
  ): void {
    const lost = this.answerLost(operation);
    if (lost !== null) {
      done(lost);
      return;
    }
    const wasAutocommit = this.autocommit;
    const session = this.engineSession();
    const { generation } = this;
    this.running = mayWrite || (!wasAutocommit && !this.readonlyTransaction) ? 'write' : 'read';
    session.run(operation, trace, freshStream, (answer) => {
      if (this.engine === session) this.autocommit = answer.autocommit;
      if (this.autocommit) this.readonlyTransaction = false;
      else if (wasAutocommit) this.readonlyTransaction = isReadonlyBegin(statementsOf(operation)[0] ?? '');
      this.volume.settle(answer, (settled) => {
        this.running = 'nothing';
        done(this.settled(operation, answer, settled, wasAutocommit, generation));
      });
    });
  }

  private settled(
    operation: SqlOperation,
    answer: EngineAnswer<AnyOperationValue>,
    settled: Settled,
    wasAutocommit: boolean,
    generation: number,
  ): LocalAnswer {
    if (answer.aborted) return { kind: 'notRun' };
    if (settled !== 'released') return this.afterLoss(answer, settled, wasAutocommit);
    const { outcome } = answer;
    const code = outcome.ok ? null : outcome.error.code;
    // It began outside a transaction, committed nothing, and the engine changed under it: only settings were lost.
    if (
      code === 'SEXTANT_TRANSACTION_ABORTED' &&
      wasAutocommit &&
      answer.autocommit &&
      !answer.wrote &&
      generation !== this.volume.generation &&
      !this.keepsState
    ) {
      return { kind: 'notRun' };
    }
    this.noteSettings(operation, outcome);
    return this.answered(answer, outcome);
  }

  /** Ends the stream; what is open is rolled back. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.endEngine();
    this.sessions.delete(this);
  }

  private answered(
    answer: EngineAnswer<AnyOperationValue>,
    outcome: SqlOutcome<AnyOperationValue>,
  ): LocalAnswer {
    const { seenLsn, commits, engineUs } = answer;
    return {
      kind: 'answered',
      outcome,
      seenLsn,
      commits,
      epoch: this.volume.head,
      readPreference: answer.state?.readPreference ?? null,
      engineUs,
    };
  }

  private afterLoss(
    answer: EngineAnswer<AnyOperationValue>,
    settled: 'lost' | 'discarded',
    wasAutocommit: boolean,
  ): LocalAnswer {
    if (settled === 'lost') return this.answered(answer, { ok: false, error: unknown() });
    if (wasAutocommit && answer.autocommit) return { kind: 'notRun' };
    // The engine tells the client of the loss once more, with its next statement.
    return this.answered(answer, { ok: false, error: aborted() });
  }

  private answerLost(operation: SqlOperation): LocalAnswer | null {
    if (this.lost === null) return null;
    const answer = answerLost(this.lost, operation);
    const reply = (outcome: SqlOutcome<AnyOperationValue>): LocalAnswer => ({
      kind: 'answered',
      outcome,
      seenLsn: zeroLsn,
      commits: [],
      epoch: this.volume.head,
      readPreference: null,
      engineUs: 0,
    });
    switch (answer.kind) {
      case 'run':
        this.lost = null;
        return null;
      case 'rolledBack':
        this.lost = null;
        return reply({ ok: true, value: valueFor(operation) });
      case 'refuse':
        if (answer.ended) this.lost = null;
        return reply({ ok: false, error: answer.error });
    }
  }

  private engineSession(): EngineSession {
    // Settings do not survive a change of the engine; what else a connection holds does not either, and the engine says so.
    if (
      this.engine !== null &&
      this.generation !== this.volume.generation &&
      this.autocommit &&
      this.settings.size > 0 &&
      !this.keepsState
    )
      this.endEngine();
    if (this.engine !== null) return this.engine;
    const session = this.volume.engine.openSession();
    this.engine = session;
    this.generation = this.volume.generation;
    this.keepsState = false;
    // The engine runs a session's operations in order: these come first, and what they answer is of no interest.
    for (const sql of this.settings.values())
      void session.execute({ sql, args: [], namedArgs: [], wantRows: false }, null);
    return session;
  }

  private endEngine(): void {
    this.engine?.close();
    this.engine = null;
  }

  private noteSettings(operation: SqlOperation, outcome: SqlOutcome<AnyOperationValue>): void {
    if (!outcome.ok || operation.kind === 'describe') return;
    for (const sql of statementsOf(operation)) {
      const { leavesState, setting } = factsOf(sql);
      if (leavesState) this.keepsState = true;
      if (setting !== null) this.set(setting, sql);
    }
  }
}

function valueFor(operation: SqlOperation): AnyOperationValue {
  switch (operation.kind) {
    case 'execute':
      return emptyResult;
    case 'batch':
      return operation.steps.map(() => ({ ok: true, value: emptyResult }));
    default:
      return null;
  }
}
