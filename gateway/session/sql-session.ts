/**
 * One client stream: each operation is routed, waits for what it has to wait for, runs here or at the writer, and is
 * answered when it may be. A switchover or a crash of the writer in between only makes a write wait.
 */
import assert from 'node:assert/strict';
import {
  type Lsn,
  maxLsn,
  monotonicMs,
  unreachable,
  volumeLimits,
  wallUs,
  zeroLsn,
} from '../../storage/index.ts';
import type { ForwardClient, ForwardOutcome } from '../forward/forward-client.ts';
import { ForwardTrail } from '../observe/forward-trail.ts';
import type { GatewayMetrics } from '../observe/gateway-metrics.ts';
import type { Bookmark } from '../sql/bookmark.ts';
import { adviseError, adviseFailure, limitFailure } from '../sql/errors.ts';
import type { SqlOperation } from '../sql/operation.ts';
import type { SqlError, SqlRequestContext } from '../sql/sql.ts';
import type { StatementClass } from '../sql/statement-facts.ts';
import { freshStream, type ReadPreference, type StreamState } from '../sql/stream-state.ts';
import { type Attempt, answer, type Outcome, type RemoteStream, type Request, waits } from './attempt.ts';
import {
  countedFailureOf,
  failureOf,
  isAboutConsistency,
  isUnknown,
  readerFailure,
  stateGone,
  transactionGone,
  unknownFate,
} from './core/outcomes.ts';
import { type ReadOnlyReading, readOnlyOperation, writeRefused } from './core/read-only.ts';
import { preferenceOf } from './core/read-preference.ts';
import {
  asksForWriter,
  classAtWriter,
  classOfOperation,
  leavesTransaction,
  mayCommit,
  opensReadTransaction,
  route,
} from './core/routing.ts';
import type { ServiceLimits } from './core/service-limits.ts';
import type { Database } from './database.ts';
import { globalPoint } from './global-point.ts';
import { cancelledByClient, type LocalAnswer, type LocalPlace, LocalSession } from './local-session.ts';
import { OperationSession } from './operation-session.ts';
import { StreamBookmark } from './stream-bookmark.ts';

export interface SessionServices {
  readonly forward: ForwardClient;
  readonly metrics: GatewayMetrics;
  readonly limits: ServiceLimits;
  readonly readDefault: ReadPreference;
  /** Its streams read nothing behind this one. */
  readonly bookmark: Bookmark | null;
  /** Its streams may only read (G40). */
  readonly readOnly: boolean;
}

export class GatewaySession extends OperationSession {
  /** Whose stream it is. */
  readonly database: Database;
  private readonly services: SessionServices;
  private readonly onClose: () => void;
  private readonly local: LocalSession;
  /** The stream at the writer this one goes on in. */
  private remote: RemoteStream | null = null;
  /** A stream at the writer whose first answer has not come. */
  private asked: RemoteStream | null = null;
  /** What the stream has of its own; read by who takes it elsewhere. */
  state: StreamState;
  private readonly marks: StreamBookmark;
  /** The operation that was asked last. */
  private current: Request | null = null;
  private closed = false;

  constructor(database: Database, services: SessionServices, onClose: () => void) {
    super();
    this.database = database;
    this.services = services;
    this.onClose = onClose;
    const { readDefault } = services;
    this.state = readDefault === 'session' ? freshStream : { ...freshStream, readPreference: readDefault };
    this.local = new LocalSession(database.volume, database.sessions);
    this.marks = new StreamBookmark(database.volume, services.bookmark);
  }

  isAutocommit(): boolean {
    return this.closed || (this.remote?.autocommit !== false && this.local.isAutocommit);
  }

  show(bookmark: Bookmark): void {
    this.marks.show(bookmark);
  }

  get bookmark(): Bookmark | null {
    return this.marks.now;
  }

  close(): Promise<void> {
    if (this.closed) return Promise.resolve();
    this.closed = true;
    for (const stream of [this.remote, this.asked])
      if (stream !== null) this.services.forward.closeStream(stream.writer, stream.id);
    this.remote = null;
    this.local.close();
    this.onClose();
    return Promise.resolve();
  }

  /** Stops what runs, here or at the writer, and what still waits for one. */
  cancel(): void {
    if (this.current !== null) this.current.cancelled = true;
    for (const stream of [this.remote, this.asked])
      if (stream !== null) this.services.forward.cancelStream(stream.writer, stream.id);
    this.local.cancel();
  }

  run(given: SqlOperation, context: SqlRequestContext, done: (outcome: Outcome) => void): void {
    const { metrics, readOnly } = this.services;
    const { tracer } = this.database;
    const reading: ReadOnlyReading = readOnly ? readOnlyOperation(given) : { kind: 'run', operation: given };
    const operation = reading.kind === 'run' ? reading.operation : given;
    const span = tracer.begin(context.traceparent);
    const sinceMs = monotonicMs();
    const request: Request = {
      operation,
      span,
      sinceMs,
      attempts: 0,
      readsAt: zeroLsn,
      cancelled: false,
      trail: null,
    };
    this.current = request;
    const refused = reading.kind === 'run' ? this.database.begin() : reading.error;
    const answered = (outcome: Outcome): void => {
      if (refused === null) this.database.ended();
      const error = countedFailureOf(outcome);
      request.trail?.ended();
      metrics.answered(operation, error, monotonicMs() - sinceMs);
      tracer.ended(span, operation, error, preferenceOf(operation, this.state));
      done(outcome);
    };
    const own = this.marks.pragma(operation);
    if (refused !== null) answered({ ok: false, error: refused });
    else if (own !== null) answered(own);
    else this.start(request, answered);
  }

  /** Most operations find nothing to wait for before they run here, and cost no promise then. */
  private start(request: Request, done: (outcome: Outcome) => void): void {
    const lost = this.local.answerLost(request.operation);
    if (lost !== null) {
      done(lost);
      return;
    }
    const kind = this.classOf(request.operation);
    const where = this.runsAtOnce(request, kind);
    if (where === null) {
      void this.route(request, kind).then(done);
      return;
    }
    this.runHere(request, where, (local) => {
      const concluded = this.concludeHere(request, kind, local, where, true);
      if (concluded.kind === 'answer') done(concluded.outcome);
      else void this.route(request, kind, concluded).then(done);
    });
  }

  private classOf(operation: SqlOperation): StatementClass {
    const { watch, sessions } = this.database;
    const isShared = !this.services.readOnly && watch.place() === 'here';
    return isShared ? classAtWriter(operation, () => sessions.keepWriter) : classOfOperation(operation);
  }

  /** The engine that can take an operation now; null when there is something to wait for first. */
  private runsAtOnce(request: Request, kind: StatementClass): LocalPlace | null {
    const { watch, volume } = this.database;
    if (this.closed || this.remote !== null || this.local.place !== 'idle' || watch.place() !== 'here')
      return null;
    const { needed } = this.marks;
    if (needed === null) return null;
    if (kind === 'write') return volume.reign?.hasRoom === true ? 'writer' : null;
    request.readsAt = maxLsn(needed, volume.pointFor(preferenceOf(request.operation, this.state)));
    return volume.covers(request.readsAt) ? 'reader' : null;
  }

  /** Tries until there is an answer, or nobody has patience left. @param first how an attempt before this ended. */
  private async route(request: Request, kind: StatementClass, first?: Attempt): Promise<Outcome> {
    const { watch } = this.database;
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
          if (request.cancelled) return { ok: false, error: cancelledByClient };
          if (left <= 0) return { ok: false, error: watch.reason() };
          if (attempt.pauseMs > 0) await this.pause(request, attempt.pauseMs, left);
          attempt = await this.attemptAs(request, attempt.as);
          break;
        }
        default:
          return unreachable(attempt);
      }
    }
  }

  /** Waits before a statement is tried again. News is another writer, or another state of this gateway (G38). */
  private async pause(request: Request, pauseMs: number, mostMs: number): Promise<void> {
    const { watch } = this.database;
    const before = { place: watch.place(), writer: watch.remote()?.subject };
    const longestMs = Math.max(pauseMs, before.place === 'elsewhere' ? waits.pauseMaxMs : waits.waitAgainMs);
    await watch.next(Math.min(mostMs, longestMs, pauseMs * 2 ** request.attempts));
    const isNews = watch.place() !== before.place || watch.remote()?.subject !== before.writer;
    request.attempts = isNews ? 0 : request.attempts + 1;
  }

  private attemptAs(request: Request, kind: StatementClass): Promise<Attempt> {
    if (this.closed) return Promise.resolve(answer(adviseFailure('STREAM_EXPIRED', 'The stream was closed')));
    // The transaction may have been lost while this waited. Nothing of it may run anywhere, wherever the writer is now (G35).
    const lost = this.local.answerLost(request.operation);
    if (lost !== null) return Promise.resolve(answer(lost));
    const error = this.marks.forked();
    if (error !== null) return Promise.resolve(answer({ ok: false, error }));
    const place = this.remote !== null ? 'remote' : this.local.place;
    return this.attempt(request, kind, route(place, kind, this.database.watch.place()));
  }

  private attempt(request: Request, kind: StatementClass, where: ReturnType<typeof route>): Promise<Attempt> {
    switch (where) {
      case 'remote':
        return this.runRemote(request);
      case 'reader':
        return this.read(request, kind);
      case 'writer':
        return this.write(request, kind);
      case 'forward':
        return this.runForward(request, kind);
      case 'wait':
        this.database.watch.want();
        return Promise.resolve({ kind: 'again', as: kind, pauseMs: waits.waitAgainMs });
      default:
        return unreachable(where);
    }
  }

  // ---- here

  private async read(request: Request, kind: StatementClass): Promise<Attempt> {
    const idle = this.local.place === 'idle';
    if (this.local.readsAnew) {
      const ready = await this.readable(request);
      if (ready !== null) return ready;
    }
    const local = await new Promise<LocalAnswer>((resolve) => this.runHere(request, 'reader', resolve));
    return this.concludeHere(request, kind, local, 'reader', idle);
  }

  private async write(request: Request, kind: StatementClass): Promise<Attempt> {
    const { limits } = this.services;
    const { volume } = this.database;
    assert(!this.services.readOnly, 'G40: a stream that may only read reaches no engine that writes');
    const idle = this.local.place === 'idle';
    if (idle && volume.reign?.hasRoom === false) {
      const room = await volume.reign.room(limits.writeWaitMs);
      if (!room) return answer(this.noRoom());
      // Things may have changed while it waited.
      return { kind: 'again', as: kind, pauseMs: 0 };
    }
    const local = await new Promise<LocalAnswer>((resolve) => this.runHere(request, 'writer', resolve));
    return this.concludeHere(request, kind, local, 'writer', idle);
  }

  /** Nothing of it has run. */
  private noRoom(): Outcome {
    const held = this.database.volume.holdReason(0);
    if (held !== null) return adviseFailure('SEXTANT_NO_WRITER', `The write did not run: ${held}`);
    return limitFailure('outstandingBytesMax', volumeLimits.outstandingBytesMax);
  }

  private runHere(request: Request, where: LocalPlace, done: (local: LocalAnswer) => void): void {
    request.trail?.ranHere();
    const trace = this.database.tracer.engineTrace(request.span?.context ?? null);
    this.local.run(this.placed(request), where, trace, this.state, done);
  }

  /** A PostgreSQL engine that reads stays at a point of its own: it is told how much it has to show. */
  private placed({ operation, readsAt }: Request): SqlOperation {
    if (operation.kind !== 'wire') return operation;
    const { volume } = this.database;
    // Beside the writer's engine nothing that was acknowledged is left out.
    const acknowledged = volume.reign?.readPoint ?? zeroLsn;
    const isEventual = preferenceOf(operation, this.state) === 'eventual';
    const written = isEventual ? zeroLsn : maxLsn(volume.writtenLsn, acknowledged);
    const mayMove =
      !this.services.readOnly &&
      this.database.watch.place() === 'elsewhere' &&
      !opensReadTransaction(operation);
    return { ...operation, atLeast: [written, readsAt].reduce(maxLsn, this.marks.least), mayMove };
  }

  /** What follows from the engine's answer. @param idle the stream had to go on nowhere in particular. */
  private concludeHere(
    request: Request,
    kind: StatementClass,
    local: LocalAnswer,
    where: LocalPlace,
    idle: boolean,
  ): Attempt {
    const { limits } = this.services;
    const { volume, watch, tracer } = this.database;
    if (local.kind === 'notRun') return { kind: 'again', as: kind, pauseMs: limits.forwardRetryMs };
    if (failureOf(local.outcome)?.code === 'SEXTANT_READ_RAISED') {
      // It asks for more than it waited for: nothing of it has happened.
      this.state = local.state ?? this.state;
      return { kind: 'again', as: kind, pauseMs: 0 };
    }
    const wants = idle && where === 'reader' ? asksForWriter(readerFailure(local.outcome)) : null;
    if (wants === 'writes' && this.services.readOnly) return answer({ ok: false, error: writeRefused });
    if (wants === 'writes') return { kind: 'again', as: 'write', pauseMs: 0 };
    if (wants === 'schema' && watch.place() === 'elsewhere')
      return { kind: 'forward', instead: local.outcome };
    // The writer was one when it was asked, and only reads by now.
    if (where === 'writer' && idle && failureOf(local.outcome)?.code === 'SEXTANT_READ_ONLY')
      return { kind: 'again', as: 'write', pauseMs: limits.forwardRetryMs };
    tracer.committed(local.commits, request.span?.context ?? null);
    const last = local.commits.at(-1);
    if (last !== undefined && !isUnknown(local.outcome)) volume.noteWritten(local.epoch, last.lsn);
    if (!isUnknown(local.outcome)) this.marks.saw(local.epoch, local.seenLsn);
    this.state = local.state ?? this.state;
    return answer(local.outcome);
  }

  /** Waits until this region may be read at the stream's consistency. @returns null when it may, else what to do instead. */
  private async readable(request: Request): Promise<Attempt | null> {
    const { limits, metrics } = this.services;
    const { volume, tracer, watch } = this.database;
    const preference = isAboutConsistency(request.operation)
      ? 'eventual'
      : preferenceOf(request.operation, this.state);
    const startUs = wallUs();
    const startMs = monotonicMs();
    const shown = await this.marks.settle(limits.readWaitMs);
    if (shown.kind !== 'at') {
      const mayGo = shown.kind === 'unheard' && watch.place() === 'elsewhere' && this.local.place === 'idle';
      return mayGo ? this.runForward(request, 'read') : answer({ ok: false, error: shown.error });
    }
    let needed: Lsn = zeroLsn;
    if (preference === 'session') needed = volume.writtenLsn;
    if (preference === 'global' && watch.place() === 'here') needed = volume.pointFor(preference);
    else if (preference === 'global') {
      const point = await globalPoint(
        { database: this.database, forward: this.services.forward },
        request.sinceMs,
      );
      if (point === null)
        return watch.place() === 'here'
          ? { kind: 'again', as: 'read', pauseMs: 0 }
          : answer({ ok: false, error: watch.reason() });
      needed = point;
    }
    request.readsAt = maxLsn(needed, shown.lsn);
    const reached = volume.reached(request.readsAt, limits.readWaitMs);
    const ready = reached === true || (await reached);
    if (reached !== true || preference === 'global') {
      metrics.readWaited(preference, monotonicMs() - startMs);
      tracer.readWaited(request.span, startUs, preference);
    }
    if (ready) return null;
    // This region is behind; the writer is not. A read transaction that is open here cannot go there.
    if (watch.place() === 'elsewhere' && this.local.place === 'idle') return this.runForward(request, 'read');
    const held = volume.holdReason(0);
    const detail =
      `This region's volume has not reached LSN ${needed} within readWaitMs = ${limits.readWaitMs}` +
      (held === null ? '' : `: ${held}`);
    return answer({ ok: false, error: adviseError('SEXTANT_STORAGE_UNAVAILABLE', detail) });
  }

  // ---- at the writer

  private async runForward(request: Request, kind: StatementClass, instead?: Outcome): Promise<Attempt> {
    const { forward } = this.services;
    const { watch } = this.database;
    const writer = watch.remote();
    if (writer === null)
      return instead === undefined ? { kind: 'again', as: kind, pauseMs: 0 } : answer(instead);
    const stream: RemoteStream = { id: forward.newId(), writer, autocommit: true };
    this.asked = stream;
    const outcome = await this.send(request, stream, true);
    this.asked = null;
    switch (outcome.kind) {
      case 'result': {
        const { autocommit, holds } = outcome.result;
        stream.autocommit = autocommit;
        if (!autocommit || holds) this.adopt(stream);
        return answer(this.received(outcome.result));
      }
      case 'notRun':
        if (instead !== undefined) return answer(instead);
        watch.noteRemoteQuorum(outcome.reason === 'quorum-lost');
        return { kind: 'again', as: kind, pauseMs: this.services.limits.forwardRetryMs };
      case 'unknown': {
        forward.closeStream(writer, stream.id);
        const error = unknownFate(request.operation, outcome.reason, false);
        if (leavesTransaction(request.operation)) this.local.lose(error);
        return answer({ ok: false, error });
      }
      case 'tooLarge':
        return answer(adviseFailure('SEXTANT_LIMIT', outcome.message));
      default:
        return unreachable(outcome);
    }
  }

  private async runRemote(request: Request): Promise<Attempt> {
    const { remote } = this;
    if (remote === null) return { kind: 'again', as: 'unclear', pauseMs: 0 };
    const wasOpen = !remote.autocommit;
    const outcome = await this.send(request, remote, false);
    switch (outcome.kind) {
      case 'result': {
        const { autocommit, holds } = outcome.result;
        remote.autocommit = autocommit;
        if (autocommit && !holds) this.remote = null;
        return answer(this.received(outcome.result));
      }
      case 'tooLarge':
        return answer(adviseFailure('SEXTANT_LIMIT', outcome.message));
      case 'notRun':
        return this.lostRemote(wasOpen ? transactionGone() : stateGone(), request, wasOpen);
      case 'unknown':
        return this.lostRemote(unknownFate(request.operation, outcome.reason, wasOpen), request, wasOpen);
      default:
        return unreachable(outcome);
    }
  }

  /** What lived at the writer is gone; a client that was in a transaction hears it until it ends the transaction. */
  private lostRemote(error: SqlError, request: Request, wasOpen: boolean): Attempt {
    if (this.remote !== null) this.services.forward.closeStream(this.remote.writer, this.remote.id);
    this.remote = null;
    const mayHaveEnded = !wasOpen || mayCommit(request.operation, true);
    if (!mayHaveEnded || leavesTransaction(request.operation)) this.local.lose(error);
    return answer({ ok: false, error });
  }

  private adopt(stream: RemoteStream): void {
    if (this.closed) this.services.forward.closeStream(stream.writer, stream.id);
    else this.remote = stream;
  }

  private async send(request: Request, stream: RemoteStream, fresh: boolean): Promise<ForwardOutcome> {
    const { forward, metrics } = this.services;
    const { tracer, branch } = this.database;
    request.trail ??= new ForwardTrail(tracer, metrics, request.span);
    const { trail } = request;
    const outcome = await forward.call(stream.writer, branch, {
      stream: stream.id,
      fresh,
      state: this.state,
      readOnly: this.services.readOnly,
      traceparent: trail.sent(stream.writer.region),
      operation: request.operation,
    });
    const error =
      outcome.kind === 'result'
        ? failureOf(outcome.result.outcome)
        : { code: outcome.kind, message: 'reason' in outcome ? outcome.reason : outcome.message };
    trail.heard(outcome.kind, error);
    return outcome;
  }

  private received(result: Extract<ForwardOutcome, { kind: 'result' }>['result']): Outcome {
    const { volume, watch } = this.database;
    watch.noteRemoteQuorum(false);
    if (!isUnknown(result.outcome)) {
      volume.noteWritten(result.epoch, result.seenLsn);
      this.marks.saw(result.epoch, result.seenLsn);
    }
    this.state = result.state ?? this.state;
    return result.outcome;
  }
}
