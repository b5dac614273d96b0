/** The engine's main-thread side of one stream of operations. */
import assert from 'node:assert/strict';
import type { AnyOperationValue, OperationValues, SqlOperation } from '../sql/operation.ts';
import type { BatchResult, BatchStep, SqlDescription, SqlResult, SqlStatement } from '../sql/sql.ts';
import { freshStream, type StreamState } from '../sql/stream-state.ts';
import type { EngineAnswer, EngineTrace } from './core/engine-protocol.ts';
import type { Engine, TakeAnswer } from './engine.ts';

/**
 * One stream of statements. Operations run in the order in which they are given; promises never reject. `run` is what the
 * others are made of, and costs no promise; they keep the stream's state from one answer to the next.
 */
export class EngineSession {
  readonly id: number;
  readonly engine: Engine;
  /** What the next operation that is not given a state begins with. */
  state: StreamState = freshStream;
  /** By its last answer it has a transaction, temporary objects or attached databases in the worker. */
  hasOpen: boolean = false;
  private closed: boolean = false;
  /** Operations under way. */
  private away = 0;
  /** The state the worker's end is known to have; null while it may be another. */
  private known: StreamState | null = freshStream;

  constructor(engine: Engine, id: number) {
    this.engine = engine;
    this.id = id;
  }

  execute(statement: SqlStatement, trace: EngineTrace | null): Promise<EngineAnswer<SqlResult>> {
    return this.operate('execute', { kind: 'execute', statement }, trace);
  }

  batch(steps: readonly BatchStep[], trace: EngineTrace | null): Promise<EngineAnswer<BatchResult>> {
    return this.operate('batch', { kind: 'batch', steps }, trace);
  }

  sequence(sql: string, trace: EngineTrace | null): Promise<EngineAnswer<null>> {
    return this.operate('sequence', { kind: 'sequence', sql }, trace);
  }

  describe(sql: string, trace: EngineTrace | null): Promise<EngineAnswer<SqlDescription>> {
    return this.operate('describe', { kind: 'describe', sql }, trace);
  }

  /** Ends the session after the operations given before; an open transaction is rolled back. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.engine.endSession(this.id);
  }

  /** @param state what the stream comes with; the answer says what it is afterwards. @returns the operation's number. */
  run(operation: SqlOperation, trace: EngineTrace | null, state: StreamState, take: TakeAnswer): number {
    assert(!this.closed, 'an operation follows the close of its session');
    return this.engine.operate(this, trace, state, operation, take);
  }

  /** An operation is being sent; used by `Engine`. @returns the state to send along, null when the worker's end has it. */
  leave(state: StreamState): StreamState | null {
    const isKnown = this.known === state;
    this.known = null;
    this.away += 1;
    return isKnown ? null : state;
  }

  /** An operation has been answered, or taken back; used by `Engine`. @param state what it left; null when that is unknown. */
  arrive(state: StreamState | null): void {
    this.away -= 1;
    this.known = this.away === 0 ? state : null;
  }

  private operate<K extends keyof OperationValues>(
    kind: K,
    operation: SqlOperation & { readonly kind: K },
    trace: EngineTrace | null,
  ): Promise<EngineAnswer<OperationValues[K]>> {
    return new Promise((resolve) =>
      this.run(operation, trace, this.state, (answer) => {
        this.state = answer.state ?? this.state;
        assert(isAnswerOf(kind, answer), `the worker answered a ${kind} with something else`);
        resolve(answer);
      }),
    );
  }
}

/** The worker answers each operation with the value of its kind; this is where the message's type is regained. */
function isAnswerOf<K extends keyof OperationValues>(
  kind: K,
  answer: EngineAnswer<AnyOperationValue>,
): answer is EngineAnswer<OperationValues[K]> {
  if (!answer.outcome.ok) return true;
  const { value } = answer.outcome;
  switch (kind) {
    case 'execute':
      return value !== null && 'rows' in value;
    case 'batch':
      return Array.isArray(value);
    case 'sequence':
      return value === null;
    case 'wire':
      return value !== null && 'messages' in value;
    default:
      return value !== null && 'params' in value;
  }
}
