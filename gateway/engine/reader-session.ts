/** One stream's way to the threads that read. */
import type { AnyOperationValue, SqlOperation } from '../sql/operation.ts';
import type { StreamState } from '../sql/stream-state.ts';
import type { EngineAnswer, EngineTrace } from './core/engine-protocol.ts';
import type { TakeAnswer } from './engine.ts';
import type { EngineSession } from './engine-stream.ts';
import type { ReaderThread } from './reader-thread.ts';

/** Where a read transaction lives. */
export interface Pin {
  readonly thread: ReaderThread;
  readonly session: EngineSession;
}

/** A statement outside a transaction. */
export interface ReadTask {
  readonly operation: SqlOperation;
  readonly trace: EngineTrace | null;
  readonly state: StreamState;
  /** It begins a read transaction and does not end it. */
  readonly transaction: boolean;
  readonly take: (answer: EngineAnswer<AnyOperationValue>, pin: Pin | null) => void;
}

/** The pool, as a stream uses it. @param T what stands for a statement on its way. */
export interface ReaderThreads<T> {
  /** Answers a statement here and now, where that is proven to be quick; null: it is to be run. */
  answerAtOnce(operation: SqlOperation, state: StreamState): EngineAnswer<AnyOperationValue> | null;
  /** Runs a statement on some thread; `take` gets a pin when it has begun a transaction, which lives there from now on. */
  run(given: ReadTask): T;
  /** The client of a statement is gone, or does not want it any more. */
  stop(task: T): void;
  /** Brings a thread up to date for a statement of a transaction that lives there. */
  bring(thread: ReaderThread): void;
}

/** Any thread outside transactions, always the same one inside. */
export class ReaderSession<T = unknown> {
  private readonly pool: ReaderThreads<T>;
  private pin: Pin | null = null;
  private task: T | null = null;
  private pinnedOperation = 0;
  private closed = false;

  constructor(pool: ReaderThreads<T>) {
    this.pool = pool;
  }

  /** True while a read transaction is open. */
  get isPinned(): boolean {
    return this.pin !== null;
  }

  /** One operation at a time. @param transaction it begins a read transaction and does not end it. */
  run(
    operation: SqlOperation,
    trace: EngineTrace | null,
    state: StreamState,
    transaction: boolean,
    take: TakeAnswer,
  ): void {
    const { pin } = this;
    if (pin === null) {
      const answer = transaction ? null : this.pool.answerAtOnce(operation, state);
      if (answer !== null) {
        take(answer);
        return;
      }
      this.task = this.pool.run({
        operation,
        trace,
        state,
        transaction,
        take: (answer, pinned) => {
          this.task = null;
          if (pinned !== null) this.pinTo(pinned);
          take(answer);
        },
      });
      return;
    }
    this.pool.bring(pin.thread);
    this.pinnedOperation = pin.session.run(operation, trace, state, (answer) => {
      this.pinnedOperation = 0;
      if (answer.autocommit) this.unpin();
      take(answer);
    });
  }

  /** Rolls back what is open and stops what runs. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.cancel();
    this.unpin();
  }

  /** Stops what runs. */
  cancel(): void {
    if (this.task !== null) this.pool.stop(this.task);
    if (this.pinnedOperation !== 0) this.pin?.session.engine.cancel(this.pinnedOperation);
  }

  private pinTo(pin: Pin): void {
    pin.thread.pinned += 1;
    this.pin = pin;
    if (this.closed) this.unpin();
  }

  private unpin(): void {
    const { pin } = this;
    if (pin === null) return;
    this.pin = null;
    pin.thread.pinned -= 1;
    pin.session.close();
  }
}
