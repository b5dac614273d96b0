/**
 * One client's half of the protocol after it has begun: takes its messages one by one, says what the engine is to run and what the
 * client is told. Knows no socket and no engine. Pure.
 *
 * G100. While an operation is with the engine, nothing is taken: so what a message means is known from all answers before it.
 */
import assert from 'node:assert/strict';
import type { SqlError, SqlOutcome } from '../../sql/sql.ts';
import { traceparentOfSql } from '../../sql/trace-context.ts';
import type { WireOperation, WireResult } from '../../sql/wire-operation.ts';
import {
  queryMessage,
  readBind,
  readExecute,
  readNamed,
  readParse,
  readQuery,
} from '../protocol/core/client-messages.ts';
import type { Frame } from '../protocol/core/frame-reader.ts';
import {
  commandComplete,
  copyInResponse,
  errorResponse,
  type ReadyStatus,
  type Report,
  readyForQuery,
} from '../protocol/core/server-messages.ts';
import { failingText } from '../sql/core/engine-texts.ts';
import type { ExecuteText, PrepareText } from '../sql/core/prepare-text.ts';
import type { Effect, StatementFacts } from '../sql/core/statement-facts.ts';
import { readAnswer } from './answer-reader.ts';
import { CopyIntake } from './copy-intake.ts';
import { type ClientStatement, type PreparedLimits, PreparedTable } from './prepared-table.ts';
import { abortedReport, limitReport, reports } from './reports.ts';
import type { SessionSettings } from './session-settings.ts';
import { type TimeLimits, timeLimits } from './session-timeouts.ts';
import { readOnlyReport, reportOf } from './sqlstate.ts';
import { type ContentName, StatementMaker } from './statement-maker.ts';
import { WireBatch } from './wire-batch.ts';

export interface ConversationLimits extends PreparedLimits {
  /** Messages of one operation, without the data of a COPY, bytes. */
  readonly batchBytes: number;
  /** Data of one COPY … FROM STDIN, bytes. */
  readonly copyBytes: number;
}

type Access = 'full' | 'read';

/** What follows from a message or from an answer. */
export interface Reaction {
  readonly send: readonly Uint8Array[];
  /** For the engine; nothing more is taken until `answered`. */
  readonly run: WireOperation | null;
  /** What `run` belongs to, as the client says: W3C. */
  readonly traceparent: string | null;
  /** The connection is over. */
  readonly end: boolean;
}

/**
 * How an operation ends. `ready`: the client hears ReadyForQuery. `flush`: the batch goes on. `alone`: the batch goes on, and the
 * engine has nothing of it. `failing`: it ends with an error that the front end has found, and the client is skipped to its Sync.
 * `clearing`: a transaction of which the client does not know is given up.
 */
type Finish = 'ready' | 'flush' | 'alone' | 'failing' | 'clearing';

const nothing: Reaction = { send: [], run: null, traceparent: null, end: false };
const tell = (...send: readonly Uint8Array[]): Reaction => ({ ...nothing, send });

export class Conversation {
  readonly #limits: ConversationLimits;
  readonly #access: Access;
  readonly #settings: SessionSettings;
  readonly #prepared: PreparedTable;
  /** Statements of `#prepared` that no engine has parsed since the client has prepared them. */
  readonly #unparsed = new WeakSet<ClientStatement>();
  readonly #portals = new Map<string, ClientStatement>();
  readonly #maker: StatementMaker;
  #mode: 'messages' | 'skip' = 'messages';
  #copy: CopyIntake | null = null;
  #batch = new WireBatch();
  /** As the client was told last. */
  #status: ReadyStatus = 'I';
  /** The engine has messages of a batch whose Sync has not come. */
  #open = false;
  /** Since the last ReadyForQuery a transaction was begun. */
  #begun = false;
  /** G102: the client was told that its transaction has failed, and the engine does not know or has none: only an end of it is run. */
  #failedHere = false;
  /** The session below believes that the client is in a transaction, and the client does not. */
  #clear = false;
  #running: { readonly batch: WireBatch; readonly finish: Finish } | null = null;

  /** @param access what the user may do. Whoever may only read is refused a COPY before its data: asking for them would be in vain. */
  constructor(
    limits: ConversationLimits,
    settings: SessionSettings,
    contentName: ContentName,
    access: Access = 'full',
  ) {
    this.#limits = limits;
    this.#access = access;
    this.#settings = settings;
    this.#prepared = new PreparedTable(limits);
    this.#maker = new StatementMaker(settings, contentName);
  }

  /** An operation is with the engine. */
  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** The client was told last that it is in a transaction, or in one that has failed. */
  get inTransaction(): boolean {
    return this.#status !== 'I';
  }

  get timeLimits(): TimeLimits {
    return timeLimits(this.#settings.current, this.inTransaction);
  }

  /** Of the client's messages, those that are not answered yet, bytes. */
  get heldBytes(): number {
    return this.#batch.bytes + (this.#copy?.bytes ?? 0) + (this.#running?.batch.bytes ?? 0);
  }

  /** No transaction, no operation and no half of either: the connection may be closed, and nothing is lost. */
  get isIdle(): boolean {
    return (
      this.#running === null &&
      this.#status === 'I' &&
      !this.#open &&
      this.#batch.isEmpty &&
      this.#copy === null &&
      this.#mode === 'messages'
    );
  }

  /** Takes the next message. @throws MalformedMessage when it is not what its type says */
  take(frame: Frame): Reaction {
    assert(this.#running === null, 'no message is taken while an operation is with the engine');
    if (frame.type === 'X') return { ...nothing, end: true };
    if (this.#copy !== null) return this.#copyData(this.#copy, frame);
    if (this.#mode === 'skip') return frame.type === 'S' ? this.#sync() : nothing;
    if (this.#batch.bytes + frame.bytes.length > this.#limits.batchBytes)
      return this.#fail(limitReport('batchBytes', this.#limits.batchBytes), frame.type === 'Q');
    switch (frame.type) {
      case 'Q':
        return this.#query(readQuery(frame.body));
      case 'P':
        return this.#parse(frame.body);
      case 'B':
        return this.#bind(frame.body);
      case 'D':
        return this.#describe(frame);
      case 'E':
        return this.#execute(frame);
      case 'C':
        return this.#close(frame);
      case 'S':
        return this.#sync();
      case 'H':
        return this.#flush();
      case 'F':
        return this.#fail(reports.functionCall, true);
      case 'd':
      case 'c':
      case 'f':
        // Of a COPY that has failed: the client did not know yet.
        return nothing;
      default:
        return {
          ...tell(errorResponse('FATAL', reports.unknownMessage(frame.type))),
          end: true,
        };
    }
  }

  /** Takes the answer to the operation. @param autocommit the session has no transaction open afterwards. */
  answered(outcome: SqlOutcome<WireResult>, autocommit: boolean): Reaction {
    const running = this.#running;
    assert(running !== null, 'an answer to nothing');
    this.#running = null;
    const { batch, finish } = running;
    if (finish === 'clearing') {
      const news = this.#settings.lost();
      return tell(...news, ...this.#ready('I').send);
    }
    if (!outcome.ok) return this.#operationFailed(outcome.error, batch, finish, autocommit);
    const { value } = outcome;
    if (value.messages.length === 0 && value.status === 'I' && !batch.isEmpty) {
      // A lost transaction was rolled back, and no engine was asked.
      for (const change of batch.changes) this.#prepared.apply(change);
      const news = this.#settings.lost();
      this.#open = false;
      this.#failedHere = false;
      const told = tell(...batch.acknowledgements('ROLLBACK'), ...news);
      return this.#after(told, finish, 'I', false);
    }
    for (const statement of batch.uses) this.#unparsed.delete(statement);
    const read = readAnswer(value.messages, batch);
    for (const change of read.changes) this.#prepared.apply(change);
    const news = [...this.#settings.answered({ ...value, ...read, settings: value.settings })];
    for (const effect of read.effects) news.push(...this.#carryOut(effect, value.status));
    this.#open = value.status === 'B';
    if (value.status === 'I') this.#failedHere = false;
    const status = value.status === 'B' ? this.#status : value.status;
    return this.#after(tell(...read.parts, ...news), finish, status, read.failed);
  }

  /** The client hears of the answer, and of where that leaves it. */
  #after(told: Reaction, finish: Finish, status: ReadyStatus, failed: boolean): Reaction {
    if (finish === 'ready') return { ...told, send: [...told.send, ...this.#ready(status).send] };
    if (finish === 'failing' || failed) this.#mode = 'skip';
    if (!this.#open) this.#status = status;
    return told;
  }

  #ready(status: ReadyStatus): Reaction {
    this.#status = status;
    this.#begun = false;
    if (status === 'I') this.#portals.clear();
    return tell(readyForQuery(status));
  }

  #operationFailed(error: SqlError, batch: WireBatch, finish: Finish, autocommit: boolean): Reaction {
    const told = [errorResponse('ERROR', reportOf(error))];
    if (autocommit) told.unshift(...this.#settings.lost());
    const knows = this.#status !== 'I' || this.#begun || batch.begins;
    this.#open = false;
    this.#failedHere = !autocommit && knows;
    this.#clear = !autocommit && !knows;
    const status = this.#failedHere ? 'E' : 'I';
    if (finish !== 'ready') {
      this.#mode = 'skip';
      this.#status = status;
      return tell(...told);
    }
    return this.#clear ? { ...this.#giveUp(), send: told } : tell(...told, ...this.#ready(status).send);
  }

  #carryOut(effect: Effect, status: WireResult['status']): readonly Uint8Array[] {
    switch (effect.kind) {
      case 'forget':
        this.#prepared.delete(effect.name);
        return [];
      case 'forgetAll':
        this.#prepared.clear();
        return [];
      case 'discardAll':
        this.#prepared.clear();
        return this.#settings.resetAll(status);
      case 'resetAll':
      case 'reset':
      case 'nothing':
        return [];
    }
  }

  // ---- simple queries

  #query(sql: string): Reaction {
    this.#prepared.delete('');
    const statements = this.#maker.statementsOf(sql);
    const [first] = statements;
    if (this.#failedHere && !(first?.control === 'commit' || first?.control === 'rollback'))
      return tell(errorResponse('ERROR', abortedReport), ...this.#ready('E').send);
    const isAlone = statements.length === 1;
    if (isAlone && first?.verb === 'PREPARE' && this.#status !== 'E') {
      const prepare = this.#maker.prepareOf(sql.slice(first.start, first.end));
      if (prepare !== null) return this.#prepareInSql(prepare);
    }
    if (isAlone && first?.verb === 'EXECUTE') {
      const execute = this.#maker.executeOf(sql.slice(first.start, first.end));
      if (execute !== null) return this.#executeInSql(execute, first, traceparentOfSql(sql));
    }
    for (const { refusal, copy, instead } of statements) {
      const report =
        refusal ??
        (copy?.direction === 'in' ? this.#copyProblem(isAlone) : null) ??
        this.#problemOf(instead?.effect ?? null, isAlone);
      if (report !== null) return this.#fail(report, true);
    }
    const { text, facts } = this.#maker.forEngine(sql, statements, this.#failedHere);
    this.#batch.query(text, facts, traceparentOfSql(sql));
    if (first?.copy?.direction === 'in' && this.#status !== 'E') {
      this.#copy = new CopyIntake('query', this.#limits.copyBytes);
      this.#batch.copies = true;
      return tell(copyInResponse(first.copy.binary, first.copy.columns));
    }
    return this.#run('ready');
  }

  /** The engine says what is wrong with it when it is executed. */
  #prepareInSql(prepare: PrepareText): Reaction {
    const { name } = prepare;
    if (this.#named(name) !== null) return this.#fail(reports.duplicateStatement(name), true);
    const made = this.#maker.prepare(prepare, this.#failedHere);
    if (made.kind === 'refused') return this.#fail(made.report, true);
    const limit = this.#prepared.limitFor(made.statement.parse.length);
    if (limit !== null) return this.#fail(limitReport(limit, this.#limits[limit]), true);
    this.#prepared.apply({ ack: '1', name, statement: made.statement });
    this.#unparsed.add(made.statement);
    return tell(commandComplete('PREPARE'), ...this.#ready(this.#status).send);
  }

  #executeInSql({ name, rest }: ExecuteText, facts: StatementFacts, traceparent: string | null): Reaction {
    const statement = this.#named(name);
    if (statement === null) return this.#fail(reports.noStatement(name), true);
    const { class: kind, told } = statement;
    this.#batch.query(`EXECUTE "${statement.name}"${rest}`, [{ ...facts, class: kind, told }], traceparent);
    this.#batch.needs(statement);
    return this.#run('ready');
  }

  /** Why the front end cannot do what a statement asks it for. */
  #problemOf(effect: Effect | null, isAlone: boolean): Report | null {
    if (effect?.kind === 'forget' && this.#named(effect.name) === null)
      return reports.noStatement(effect.name);
    return effect?.kind === 'discardAll' && (this.#status !== 'I' || !isAlone) ? reports.discardInside : null;
  }

  // ---- the extended protocol

  #named(name: string): ClientStatement | null {
    const pending = this.#batch.named(name);
    return pending === undefined ? (this.#prepared.get(name) ?? null) : pending;
  }

  #parse(body: Uint8Array): Reaction {
    const parsed = readParse(body);
    const made = this.#maker.make(parsed, this.#failedHere);
    if (made.kind === 'refused') return this.#fail(made.report, false);
    if (parsed.name !== '' && this.#named(parsed.name) !== null)
      return this.#fail(reports.duplicateStatement(parsed.name), false);
    const limit = this.#prepared.limitFor(this.#batch.bytes + made.statement.parse.length);
    if (limit !== null) return this.#fail(limitReport(limit, this.#limits[limit]), false);
    this.#batch.parse(parsed.name, made.statement);
    return nothing;
  }

  #bind(body: Uint8Array): Reaction {
    const { portal, statement: name, rest } = readBind(body);
    const statement = this.#named(name);
    if (statement === null) return this.#fail(reports.noStatement(name), false);
    const { control } = statement;
    if (this.#failedHere && control !== 'commit' && control !== 'rollback')
      return this.#fail(abortedReport, false);
    const bound = this.#failedHere ? this.#maker.rollback : statement;
    this.#portals.set(portal, bound);
    this.#batch.bind(portal, bound, rest);
    return nothing;
  }

  #describe(frame: Frame): Reaction {
    const { target, name } = readNamed(frame.body);
    if (target === 'portal') {
      this.#batch.describePortal(frame.bytes);
      return nothing;
    }
    const statement = this.#named(name);
    if (statement === null) return this.#fail(reports.noStatement(name), false);
    if (this.#failedHere && statement.control === null) return this.#fail(abortedReport, false);
    this.#batch.describe(statement);
    return nothing;
  }

  #execute(frame: Frame): Reaction {
    const statement = this.#portals.get(readExecute(frame.body));
    const problem = this.#problemOf(statement?.instead?.effect ?? null, true);
    if (problem !== null) return this.#fail(problem, false);
    const copy = statement?.copy ?? null;
    if (copy?.direction !== 'in' || this.#status === 'E') {
      this.#batch.execute(frame.bytes, statement);
      return nothing;
    }
    const refused = this.#copyProblem(this.#batch.onlyBinds);
    if (refused !== null) return this.#fail(refused, false);
    const told = this.#batch.acknowledgements('');
    this.#batch.execute(frame.bytes, statement);
    this.#batch.copies = true;
    this.#batch.acknowledged = true;
    this.#copy = new CopyIntake('extended', this.#limits.copyBytes);
    return tell(...told, copyInResponse(copy.binary, copy.columns));
  }

  #close(frame: Frame): Reaction {
    const { target, name } = readNamed(frame.body);
    if (target === 'statement') this.#batch.closeStatement(name);
    else {
      this.#portals.delete(name);
      this.#batch.closePortal(frame.bytes);
    }
    return nothing;
  }

  #sync(): Reaction {
    this.#mode = 'messages';
    if (this.#clear) return this.#giveUp();
    if (this.#batch.isEmpty && !this.#open) return this.#ready(this.#status);
    if (this.#isOnlyNamed) return tell(...this.#name(), ...this.#ready('I').send);
    this.#batch.sync();
    return this.#run('ready');
  }

  #flush(): Reaction {
    if (this.#batch.isEmpty) return nothing;
    if (this.#isOnlyNamed) return tell(...this.#name());
    // What only prepares is finished without the client's Sync: the engine need not wait for it.
    const alone = !this.#open && this.#status === 'I' && this.#batch.onlyPrepares;
    if (alone) this.#batch.sync();
    return this.#run(alone ? 'alone' : 'flush');
  }

  /**
   * Statements that are only parsed. They are with the engine once they are described or bound, which is when it says what is wrong
   * with them: a client that prepares on one connection while it holds a transaction on another would wait for itself here.
   */
  get #isOnlyNamed(): boolean {
    return !this.#open && this.#status === 'I' && this.#batch.onlyNames;
  }

  #name(): readonly Uint8Array[] {
    const batch = this.#batch;
    this.#batch = new WireBatch();
    for (const change of batch.changes) {
      this.#prepared.apply(change);
      if (change.ack === '1') this.#unparsed.add(change.statement);
    }
    return batch.acknowledgements('');
  }

  // ---- data of a COPY

  /** Why data of a COPY are not asked for. In a transaction that has failed the engine says so. */
  #copyProblem(isAlone: boolean): Report | null {
    if (this.#access === 'read' && this.#status !== 'E') return readOnlyReport;
    return isAlone ? null : reports.copyAmongOthers;
  }

  #copyData(copy: CopyIntake, frame: Frame): Reaction {
    const taken = copy.take(frame);
    switch (taken.kind) {
      case 'more':
        return nothing;
      case 'refused':
        this.#copy = null;
        this.#batch = new WireBatch();
        return this.#fail(taken.report, copy.of === 'query');
      case 'done':
        this.#copy = null;
        for (const message of taken.messages) this.#batch.data(message);
        return copy.of === 'query' ? this.#run('ready') : nothing;
      case 'unexpected':
        return { ...tell(errorResponse('FATAL', reports.duringCopy(frame.type))), end: true };
    }
  }

  // ---- what goes to the engine

  #run(finish: Finish): Reaction {
    const batch = this.#batch;
    this.#batch = new WireBatch();
    this.#begun ||= batch.begins;
    this.#running = { batch, finish };
    const { traceparent } = batch;
    return { ...nothing, run: batch.operation(this.#settings.current, this.#unparsed), traceparent };
  }

  /** Ends a transaction that the session below takes for the client's. */
  #giveUp(): Reaction {
    this.#clear = false;
    const { text, facts } = this.#maker.forEngine('ROLLBACK', this.#maker.statementsOf('ROLLBACK'), false);
    this.#batch = new WireBatch();
    this.#batch.query(text, facts, null);
    return this.#run('clearing');
  }

  /**
   * The client is told of an error, and whatever is open in the engine fails with it.
   * @param simple ReadyForQuery follows at once, and not with the Sync
   */
  #fail(report: Report, simple: boolean): Reaction {
    const isClean = this.#batch.isEmpty && !this.#open && this.#status === 'I';
    if (!isClean && !this.#failedHere) {
      this.#batch.data(queryMessage(failingText(report)));
      return this.#run(simple ? 'ready' : 'failing');
    }
    this.#batch = new WireBatch();
    const told = errorResponse('ERROR', report);
    if (simple) return tell(told, ...this.#ready(this.#status).send);
    this.#mode = 'skip';
    return tell(told);
  }
}
