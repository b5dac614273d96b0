/**
 * One client stream: each operation is routed, waits for what it has to wait for, runs here or at the writer, and is
 * answered when it may be. A switchover or a crash of the writer in between only makes a write wait.
 */
import assert from 'node:assert/strict';
import { monotonicMs, wallUs } from '../../regions/shell/clock.ts';
import { type Lsn, unreachable, zeroLsn } from '../../storage/core/ids.ts';
import { volumeLimits } from '../../storage/core/limits.ts';
import type { AnyOperationValue, SqlOperation } from '../core/engine-protocol.ts';
import { adviseError, adviseFailure, limitFailure } from '../core/errors.ts';
import { asksForWriter, classOfOperation, mayCommit, route, statementsOf } from '../core/routing.ts';
import type { ServiceLimits } from '../core/service-limits.ts';
import type {
  BatchResult,
  BatchStep,
  SqlDescription,
  SqlError,
  SqlOutcome,
  SqlRequestContext,
  SqlResult,
  SqlSession,
  SqlStatement,
} from '../core/sql.ts';
import { factsOf, type StatementClass } from '../core/statement-facts.ts';
import type { ReadPreference } from '../core/stream-state.ts';
import type { ForwardClient, ForwardOutcome } from './forward-client.ts';
import type { GatewayMetrics } from './gateway-metrics.ts';
import { type LocalAnswer, LocalSession, type LocalSessions } from './local-session.ts';
import type { RequestSpan, RequestTracer } from './request-tracer.ts';
import type { GatewayVolume } from './volume.ts';
import type { RemoteWriter, WriterWatch } from './writer-watch.ts';

export interface SessionServices {
  readonly volume: GatewayVolume;
  readonly sessions: LocalSessions;
  readonly watch: WriterWatch;
  readonly forward: ForwardClient;
  readonly tracer: RequestTracer;
  readonly metrics: GatewayMetrics;
  readonly limits: ServiceLimits;
  readonly readDefault: ReadPreference;
}

type Outcome = SqlOutcome<AnyOperationValue>;

/** How an attempt ended: with an answer, or with where to look next. */
type Attempt =
  | { readonly kind: 'answer'; readonly outcome: Outcome }
  /** Nothing has happened; route again, as this class of statement. */
  | { readonly kind: 'again'; readonly as: StatementClass; readonly pauseMs: number }
  /** The read names what this region has not heard of: ask the writer, and answer `instead` when there is none. */
  | { readonly kind: 'forward'; readonly instead: Outcome };

interface Request {
  readonly operation: SqlOperation;
  readonly span: RequestSpan | null;
  readonly sinceMs: number;
}

interface RemoteStream {
  readonly id: string;
  readonly writer: RemoteWriter;
}

/** Fetching a point of time from the writer, for a `global` read. */
const positionRetryMs = 20;
/** Who waits for a writer looks again after this long, news or not: how long to wait depends on why there is none. */
const waitAgainMs = 250;

export class GatewaySession implements SqlSession {
  private readonly services: SessionServices;
  private readonly onClose: () => void;
  private readonly local: LocalSession;
  private remote: RemoteStream | null = null;
  private preference: ReadPreference;
  private closed = false;

  constructor(services: SessionServices, onClose: () => void) {
    this.services = services;
    this.onClose = onClose;
    this.preference = services.readDefault;
    this.local = new LocalSession(services.volume, services.sessions, services.limits.settingsPerSession);
    if (services.readDefault !== 'session')
      this.local.set('sextant_read', `PRAGMA sextant_read = '${services.readDefault}'`);
  }

  execute(statement: SqlStatement, context: SqlRequestContext): Promise<SqlOutcome<SqlResult>> {
    return new Promise((resolve) =>
      this.run({ kind: 'execute', statement }, context, (outcome) => {
        if (!outcome.ok) return resolve(outcome);
        const { value } = outcome;
        assert(value !== null && 'rows' in value, 'an execute is answered with rows');
        resolve({ ok: true, value });
      }),
    );
  }

  batch(steps: readonly BatchStep[], context: SqlRequestContext): Promise<SqlOutcome<BatchResult>> {
    return new Promise((resolve) =>
      this.run({ kind: 'batch', steps }, context, (outcome) => {
        if (!outcome.ok) return resolve(outcome);
        const { value } = outcome;
        assert(
          value !== null && !('rows' in value) && !('params' in value),
          'a batch is answered step by step',
        );
        resolve({ ok: true, value });
      }),
    );
  }

  sequence(sql: string, context: SqlRequestContext): Promise<SqlOutcome<null>> {
    return new Promise((resolve) =>
      this.run({ kind: 'sequence', sql }, context, (outcome) =>
        resolve(outcome.ok ? { ok: true, value: null } : outcome),
      ),
    );
  }

  describe(sql: string, context: SqlRequestContext): Promise<SqlOutcome<SqlDescription>> {
    return new Promise((resolve) =>
      this.run({ kind: 'describe', sql }, context, (outcome) => {
        if (!outcome.ok) return resolve(outcome);
        const { value } = outcome;
        assert(value !== null && 'params' in value, 'a describe is answered with a description');
        resolve({ ok: true, value });
      }),
    );
  }

  isAutocommit(): boolean {
    return this.remote === null && this.local.isAutocommit;
  }

  close(): Promise<void> {
    if (this.closed) return Promise.resolve();
    this.closed = true;
    if (this.remote !== null) this.services.forward.closeStream(this.remote.writer, this.remote.id);
    this.remote = null;
    this.local.close();
    this.onClose();
    return Promise.resolve();
  }

  private run(operation: SqlOperation, context: SqlRequestContext, done: (outcome: Outcome) => void): void {
    const { tracer, metrics } = this.services;
    const span = tracer.begin(context.traceparent);
    const request: Request = { operation, span, sinceMs: monotonicMs() };
    this.start(request, (outcome) => {
      const error = failureOf(outcome);
      metrics.answered(operation, error, monotonicMs() - request.sinceMs);
      tracer.ended(span, operation, error, this.preference);
      done(outcome);
    });
  }

  /** Most operations find nothing to wait for before they run here, and cost no promise then. */
  private start(request: Request, done: (outcome: Outcome) => void): void {
    const kind = classOfOperation(request.operation);
    if (!this.runsAtOnce(kind)) {
      void this.route(request, kind).then(done);
      return;
    }
    this.runHere(request, kind, (local) => {
      const concluded = this.concludeHere(request, kind, local, true);
      if (concluded.kind === 'answer') done(concluded.outcome);
      else void this.route(request, kind, concluded).then(done);
    });
  }

  private runsAtOnce(kind: StatementClass): boolean {
    const { watch, volume } = this.services;
    if (this.closed || this.remote !== null || !this.local.isAutocommit || watch.place() !== 'here')
      return false;
    return kind === 'read' || volume.reign?.hasRoom !== false;
  }

  /** Tries until there is an answer, or nobody has patience left. @param first how an attempt before this ended. */
  private async route(request: Request, kind: StatementClass, first?: Attempt): Promise<Outcome> {
    const { watch } = this.services;
    let attempt = first ?? (await this.attemptAs(request, kind));
    for (;;) {
      switch (attempt.kind) {
        case 'answer':
          return attempt.outcome;
        case 'forward':
          attempt = await this.runForward(request, 'read', attempt.instead);
          break;
        case 'again': {
          const left = watch.patienceMs(request.sinceMs, monotonicMs());
          if (left <= 0) return { ok: false, error: watch.reason() };
          if (attempt.pauseMs > 0) await watch.next(Math.min(left, attempt.pauseMs));
          attempt = await this.attemptAs(request, attempt.as);
          break;
        }
        default:
          return unreachable(attempt);
      }
    }
  }

  private attemptAs(request: Request, kind: StatementClass): Promise<Attempt> {
    if (this.closed) return Promise.resolve(answer(adviseFailure('STREAM_EXPIRED', 'The stream was closed')));
    const place = this.remote !== null ? 'remote' : this.local.isAutocommit ? 'idle' : 'local';
    return this.attempt(request, kind, route(place, kind, this.services.watch.place()));
  }

  private attempt(request: Request, kind: StatementClass, where: ReturnType<typeof route>): Promise<Attempt> {
    switch (where) {
      case 'remote':
        return this.runRemote(request);
      case 'local':
        return this.runLocal(request, kind);
      case 'forward':
        return this.runForward(request, kind);
      case 'wait':
        return Promise.resolve({ kind: 'again', as: kind, pauseMs: waitAgainMs });
      default:
        return unreachable(where);
    }
  }

  // ---- here

  private async runLocal(request: Request, kind: StatementClass): Promise<Attempt> {
    const { volume, watch, limits } = this.services;
    const idle = this.local.isAutocommit;
    const writesHere = watch.place() === 'here';
    if (idle && !writesHere) {
      const ready = await this.readable(request);
      if (ready !== null) return ready;
    } else if (idle && kind !== 'read' && volume.reign?.hasRoom === false) {
      const room = await volume.reign.room(limits.writeWaitMs);
      if (!room) return answer(limitFailure('outstandingBytesMax', volumeLimits.outstandingBytesMax));
      // Things may have changed while it waited.
      return { kind: 'again', as: kind, pauseMs: 0 };
    }
    const local = await new Promise<LocalAnswer>((resolve) => this.runHere(request, kind, resolve));
    return this.concludeHere(request, kind, local, idle);
  }

  private runHere(request: Request, kind: StatementClass, done: (local: LocalAnswer) => void): void {
    const trace = this.services.tracer.engineTrace(request.span?.context ?? null);
    this.local.run(request.operation, trace, kind !== 'read', done);
  }

  /** What follows from the engine's answer. @param idle no transaction was open before. */
  private concludeHere(request: Request, kind: StatementClass, local: LocalAnswer, idle: boolean): Attempt {
    const { volume, watch, tracer, limits } = this.services;
    if (local.kind === 'notRun') return { kind: 'again', as: kind, pauseMs: limits.forwardRetryMs };
    const wants = idle && this.local.isAutocommit ? asksForWriter(readerFailure(local.outcome)) : null;
    if (wants === 'writes') return { kind: 'again', as: 'write', pauseMs: 0 };
    if (wants === 'schema' && watch.place() === 'elsewhere')
      return { kind: 'forward', instead: local.outcome };
    tracer.committed(local.commits, request.span?.context ?? null);
    const last = local.commits.at(-1);
    if (last !== undefined && !isUnknown(local.outcome)) volume.noteWritten(local.epoch, last.lsn);
    if (local.readPreference !== null) this.preference = local.readPreference;
    return answer(local.outcome);
  }

  /** Waits until this region may be read at the stream's consistency. @returns null when it may, else what to do instead. */
  private async readable(request: Request): Promise<Attempt | null> {
    const { volume, limits, metrics, tracer, watch } = this.services;
    const preference = isAboutConsistency(request.operation) ? 'eventual' : this.preference;
    const startUs = wallUs();
    const startMs = monotonicMs();
    let needed: Lsn = zeroLsn;
    if (preference === 'session') needed = volume.writtenLsn;
    if (preference === 'global') {
      const point = await this.globalPoint(request);
      if (point === null)
        return watch.place() === 'here'
          ? { kind: 'again', as: 'read', pauseMs: 0 }
          : answer({ ok: false, error: watch.reason() });
      needed = point;
    }
    const reached = volume.reached(needed, limits.readWaitMs);
    const ready = reached === true || (await reached);
    if (reached !== true || preference === 'global') {
      metrics.readWaited(preference, monotonicMs() - startMs);
      tracer.readWaited(request.span, startUs, preference);
    }
    if (ready) return null;
    // This region is behind; the writer is not.
    if (watch.place() === 'elsewhere') return this.runForward(request, 'read');
    const detail = `This region's volume has not reached LSN ${needed} within readWaitMs = ${limits.readWaitMs}`;
    return answer({ ok: false, error: adviseError('SEXTANT_STORAGE_UNAVAILABLE', detail) });
  }

  /** Up to where everything was durable after this read began; null when there is no one to ask, or it is this gateway. */
  private async globalPoint(request: Request): Promise<Lsn | null> {
    const { watch, forward } = this.services;
    for (;;) {
      if (watch.place() === 'here') return null;
      const left = watch.patienceMs(request.sinceMs, monotonicMs());
      if (left <= 0) return null;
      const writer = watch.remote();
      const point = writer === null ? null : await forward.position(writer, left);
      if (point?.kind === 'position') return point.vdl;
      await watch.next(Math.min(left, writer === null ? left : positionRetryMs));
    }
  }

  // ---- at the writer

  private async runForward(request: Request, kind: StatementClass, instead?: Outcome): Promise<Attempt> {
    const { watch, forward } = this.services;
    const writer = watch.remote();
    if (writer === null)
      return instead === undefined ? { kind: 'again', as: kind, pauseMs: 0 } : answer(instead);
    const stream = { id: forward.newId(), writer };
    const outcome = await this.send(request, stream, true);
    switch (outcome.kind) {
      case 'result': {
        if (!outcome.result.autocommit) this.adopt(stream);
        return answer(this.received(request, outcome.result));
      }
      case 'notRun':
        if (instead !== undefined) return answer(instead);
        watch.noteRemoteQuorum(outcome.reason === 'quorum-lost');
        return { kind: 'again', as: kind, pauseMs: this.services.limits.forwardRetryMs };
      case 'unknown':
        return answer({ ok: false, error: this.unknown(request, outcome.reason, false) });
      case 'tooLarge':
        return answer(adviseFailure('SEXTANT_LIMIT', outcome.message));
      default:
        return unreachable(outcome);
    }
  }

  private async runRemote(request: Request): Promise<Attempt> {
    const { remote } = this;
    if (remote === null) return { kind: 'again', as: 'unclear', pauseMs: 0 };
    const outcome = await this.send(request, remote, false);
    switch (outcome.kind) {
      case 'result':
        if (outcome.result.autocommit) this.remote = null;
        return answer(this.received(request, outcome.result));
      case 'tooLarge':
        return answer(adviseFailure('SEXTANT_LIMIT', outcome.message));
      case 'notRun':
        return this.lostRemote(
          adviseError(
            'SEXTANT_TRANSACTION_ABORTED',
            'The writer that held this transaction is gone, and the transaction was rolled back',
          ),
          request,
        );
      case 'unknown':
        return this.lostRemote(this.unknown(request, outcome.reason, true), request);
      default:
        return unreachable(outcome);
    }
  }

  /** The transaction at the writer is gone; the client hears it until it ends the transaction. */
  private lostRemote(error: SqlError, request: Request): Attempt {
    if (this.remote !== null) this.services.forward.closeStream(this.remote.writer, this.remote.id);
    this.remote = null;
    const mayHaveEnded = mayCommit(request.operation, true);
    if (!mayHaveEnded) this.local.lose(error);
    return answer({ ok: false, error });
  }

  private unknown(request: Request, reason: string, inTransaction: boolean): SqlError {
    if (mayCommit(request.operation, inTransaction)) {
      return adviseError(
        'SEXTANT_COMMIT_UNKNOWN',
        `The statement was sent to the writer, and its fate is not known: ${reason}`,
      );
    }
    return inTransaction
      ? adviseError(
          'SEXTANT_TRANSACTION_ABORTED',
          `The writer that held this transaction does not answer: ${reason}`,
        )
      : adviseError('SEXTANT_NO_WRITER', `The writer did not answer a read: ${reason}`);
  }

  private adopt(stream: RemoteStream): void {
    if (this.closed) this.services.forward.closeStream(stream.writer, stream.id);
    else this.remote = stream;
  }

  private async send(request: Request, stream: RemoteStream, fresh: boolean): Promise<ForwardOutcome> {
    const { forward, tracer, metrics } = this.services;
    const child = tracer.forwarded(request.span);
    const startUs = wallUs();
    const startMs = monotonicMs();
    const outcome = await forward.call(stream.writer, {
      stream: stream.id,
      fresh,
      settings: fresh ? this.local.setUp : [],
      traceparent: child?.traceparent ?? null,
      operation: request.operation,
    });
    metrics.forwarded(outcome.kind, monotonicMs() - startMs);
    const error =
      outcome.kind === 'result'
        ? failureOf(outcome.result.outcome)
        : { code: outcome.kind, message: 'reason' in outcome ? outcome.reason : outcome.message };
    tracer.forwardEnded(request.span, child?.spanId, startUs, stream.writer.region, error);
    return outcome;
  }

  private received(request: Request, result: Extract<ForwardOutcome, { kind: 'result' }>['result']): Outcome {
    const { volume, watch } = this.services;
    watch.noteRemoteQuorum(false);
    if (!isUnknown(result.outcome)) volume.noteWritten(result.epoch, result.seenLsn);
    if (result.outcome.ok) this.noteSettings(request.operation);
    return result.outcome;
  }

  /** What set the stream up at the writer holds here, too. */
  private noteSettings(operation: SqlOperation): void {
    if (operation.kind === 'describe') return;
    for (const sql of statementsOf(operation)) {
      const { setting } = factsOf(sql);
      if (setting !== null) this.local.set(setting, sql);
    }
  }
}

function answer(outcome: Outcome): Attempt {
  return { kind: 'answer', outcome };
}

function failureOf(outcome: Outcome): SqlError | null {
  return outcome.ok ? null : outcome.error;
}

/** Nobody waits for a commit that may not exist. */
function isUnknown(outcome: Outcome): boolean {
  return failureOf(outcome)?.code === 'SEXTANT_COMMIT_UNKNOWN';
}

/** The error of an operation, or of the first step of a batch that names what a reader may not know yet. */
function readerFailure(outcome: Outcome): SqlError | null {
  if (!outcome.ok) return outcome.error;
  const { value } = outcome;
  if (value === null || 'rows' in value || 'params' in value) return null;
  for (const step of value) if (step?.ok === false && asksForWriter(step.error) !== null) return step.error;
  return null;
}

/** `PRAGMA sextant_read` is about reads to come, and waits for nothing itself. */
function isAboutConsistency(operation: SqlOperation): boolean {
  return operation.kind === 'execute' && /^\s*PRAGMA\s+sextant_read\b/i.test(operation.statement.sql);
}
