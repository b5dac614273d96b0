/**
 * A client stream that may read the past. While it reads the present it is the stream below; `PRAGMA sextant_at` takes it to an
 * engine that stands at one place of history, where nothing is ever written (G54), and back.
 */
import type { Place } from '../../regions/index.ts';
import { monotonicMs } from '../../storage/index.ts';
import type { EngineSession } from '../engine/engine-stream.ts';
import type { GatewayMetrics } from '../observe/gateway-metrics.ts';
import { failureOf } from '../session/core/outcomes.ts';
import { type ReadOnlyErrors, readOnlyOperation } from '../session/core/read-only.ts';
import type { Database } from '../session/database.ts';
import { OperationSession } from '../session/operation-session.ts';
import type { GatewaySession } from '../session/sql-session.ts';
import type { Bookmark } from '../sql/bookmark.ts';
import { adviseFailure, sqlError } from '../sql/errors.ts';
import { type AnyOperationValue, isBatch, type SqlOperation } from '../sql/operation.ts';
import type { SqlOutcome, SqlRequestContext, SqlResult } from '../sql/sql.ts';
import type { StreamState } from '../sql/stream-state.ts';
import { readTravel, type TravelReading, travels } from './core/travel-words.ts';
import type { PastEngine } from './past-engine.ts';
import type { PastReads, Resolved } from './past-reads.ts';

export interface TravelServices {
  readonly past: PastReads;
  readonly metrics: GatewayMetrics;
  /** See `seesAll`. */
  readonly hasAll: (database: Database) => Promise<SqlOutcome<null>>;
}

/** Where a stream is while it reads the past. */
interface Stay {
  readonly at: Resolved;
  readonly engine: PastEngine;
  readonly session: EngineSession;
  readonly errors: ReadOnlyErrors;
  state: StreamState;
  autocommit: boolean;
  running: number;
}

type Outcome = SqlOutcome<AnyOperationValue>;

const one = (text: string): SqlResult => ({
  columns: [{ name: 'sextant_at', decltype: null }],
  rows: [[text]],
  affectedRowCount: 0,
  lastInsertRowid: null,
});

export class TravelSession extends OperationSession {
  private readonly present: GatewaySession;
  private readonly services: TravelServices;
  private stay: Stay | null = null;
  private closed = false;

  constructor(present: GatewaySession, services: TravelServices) {
    super();
    this.present = present;
    this.services = services;
  }

  run(operation: SqlOperation, context: SqlRequestContext, done: (outcome: Outcome) => void): void {
    if (this.stay === null && !travels(operation)) this.present.run(operation, context, done);
    else void this.travelOrRun(operation, context).then(done);
  }

  isAutocommit(): boolean {
    return this.stay?.autocommit ?? this.present.isAutocommit();
  }

  show(bookmark: Bookmark): void {
    this.present.show(bookmark);
  }

  /** Of the present: the past has not moved. */
  get bookmark(): Bookmark | null {
    return this.present.bookmark;
  }

  close(): Promise<void> {
    this.closed = true;
    this.comeBack();
    return this.present.close();
  }

  private async travelOrRun(operation: SqlOperation, context: SqlRequestContext): Promise<Outcome> {
    const reading: TravelReading = travels(operation) ? readTravel(operation) : { kind: 'stay' };
    if (reading.kind === 'refused') return { ok: false, error: reading.error };
    if (reading.kind === 'stay') return this.runWhereItIs(operation, context);
    const moved = await this.travel(reading);
    if (!moved.ok) return moved;
    if (reading.rest === null) return { ok: true, value: one(moved.value) };
    return this.runWhereItIs(reading.rest(moved.value), context);
  }

  /** @returns what the PRAGMA answers. */
  private async travel({ wish }: Extract<TravelReading, { kind: 'travel' }>): Promise<SqlOutcome<string>> {
    if (wish.kind === 'ask') return { ok: true, value: this.stay?.at.text ?? 'now' };
    if (!this.isAutocommit())
      return adviseFailure(
        'SEXTANT_POINT_UNAVAILABLE',
        'PRAGMA sextant_at cannot be set inside a transaction: what that reads is settled. End it first',
      );
    if (wish.kind === 'now') {
      this.comeBack();
      return { ok: true, value: 'now' };
    }
    const { past } = this.services;
    const at = await this.resolve(wish.place);
    if (!at.ok) return at;
    const joined = await past.join(at.value);
    if (!joined.ok) return joined;
    if (this.closed) {
      joined.value.leave();
      return adviseFailure('STREAM_EXPIRED', 'The stream was closed');
    }
    this.comeBack();
    this.stay = {
      at: at.value,
      engine: joined.value,
      session: joined.value.openSession(),
      errors: errorsAt(at.value),
      state: this.present.state,
      autocommit: true,
      running: 0,
    };
    return { ok: true, value: at.value.text };
  }

  /** What a place means on the line of history that the stream is on, which has to be awake to say so. */
  private async resolve(place: Place): Promise<SqlOutcome<Resolved>> {
    const { past, hasAll } = this.services;
    const { database } = this.present;
    const refused = database.begin();
    if (refused !== null) return { ok: false, error: refused };
    const at = await past.resolve(database.volume, place, () => hasAll(database));
    database.ended();
    return at;
  }

  private comeBack(): void {
    const { stay } = this;
    if (stay === null) return;
    this.stay = null;
    if (stay.running !== 0) stay.session.engine.cancel(stay.running);
    stay.session.close();
    stay.engine.leave();
  }

  private runWhereItIs(operation: SqlOperation, context: SqlRequestContext): Promise<Outcome> {
    const { stay } = this;
    return stay === null
      ? new Promise((resolve) => this.present.run(operation, context, resolve))
      : this.runThere(stay, operation, context);
  }

  private runThere(stay: Stay, given: SqlOperation, context: SqlRequestContext): Promise<Outcome> {
    const { metrics } = this.services;
    const { tracer } = this.present.database;
    const reading = readOnlyOperation(given, stay.errors);
    if (reading.kind === 'refused') return Promise.resolve({ ok: false, error: reading.error });
    const { operation } = reading;
    const span = tracer.begin(context.traceparent);
    const sinceMs = monotonicMs();
    return new Promise((resolve) => {
      const answered = (outcome: Outcome): void => {
        const error = failureOf(outcome);
        metrics.answered(operation, error, monotonicMs() - sinceMs);
        tracer.ended(span, operation, error, stay.state.readPreference);
        resolve(outcome);
      };
      const ask = (): void => {
        const trace = tracer.engineTrace(span?.context ?? null);
        stay.running = stay.session.run(operation, trace, stay.state, (answer) => {
          stay.running = 0;
          stay.state = answer.state ?? stay.state;
          stay.autocommit = answer.autocommit;
          // Nothing is fresher there: the consistency of its reads only has to be noted.
          if (failureOf(answer.outcome)?.code === 'SEXTANT_READ_RAISED') ask();
          else answered(told(answer.outcome, stay.errors));
        });
      };
      ask();
    });
  }
}

/** What a statement that writes is told there. */
function errorsAt({ text }: Resolved): ReadOnlyErrors {
  const where = `This stream reads the past, at ${text}`;
  const back = "PRAGMA sextant_at = 'now' takes it back to the present.";
  return {
    write: sqlError('SEXTANT_READ_ONLY', `${where}, where nothing can be written. ${back}`),
    begin: sqlError(
      'SEXTANT_READ_ONLY',
      `${where}, and BEGIN IMMEDIATE begins a write: BEGIN READONLY or a deferred BEGIN reads there. ${back}`,
    ),
  };
}

/** The engine says that it reads; here there is no writer to go to. */
function told(outcome: Outcome, { write }: ReadOnlyErrors): Outcome {
  if (!outcome.ok) return outcome.error.code === 'SEXTANT_READ_ONLY' ? { ok: false, error: write } : outcome;
  const { value } = outcome;
  if (!isBatch(value)) return outcome;
  const steps = value.map((step) =>
    step !== null && !step.ok && step.error.code === 'SEXTANT_READ_ONLY'
      ? ({ ok: false, error: write } as const)
      : step,
  );
  return { ok: true, value: steps };
}
