/** What a WebSocket keeps of its streams, and the order in which a stream does what it is asked. */
import type { SqlOutcome, SqlRequestContext, SqlSession } from '../sql/sql.ts';
import type { AnswerText } from './core/answer-text.ts';
import { mergeable, type Write } from './core/merged-writes.ts';
import type { SocketCursor } from './hrana-cursor.ts';
import { runWrites } from './run-request.ts';

/** Work of a stream; a promise only where it has to wait. */
export type Job = () => SqlOutcome<AnswerText> | Promise<SqlOutcome<AnswerText>>;

/** What is to be done about a request: answer at once, or run a job in the order of a stream. */
export type Plan =
  | { readonly kind: 'answer'; readonly outcome: SqlOutcome<AnswerText> }
  | {
      readonly kind: 'queue';
      readonly stream: SocketStream;
      readonly job: Job;
      /** What the job does, where it is a write that may be one operation with those behind it. */
      readonly write?: Write | null;
    };

/** A job that waits for those before it on its stream. */
export interface QueuedJob {
  readonly requestId: number;
  /** Length of the request. */
  readonly bytes: number;
  readonly run: Job;
  readonly write: Write | null;
}

/** A stream of one socket: a session, or the reason why there is none, and the jobs that wait for it. */
export interface SocketStream {
  readonly session: SqlOutcome<SqlSession>;
  readonly queue: JobQueue;
  closed: boolean;
  cursorId: number | null;
}

/** A cursor, and the stream whose batch it reads. */
export interface OpenCursor {
  readonly stream: SocketStream;
  readonly cursor: SocketCursor;
}

export interface JobQueueOptions {
  readonly session: SqlOutcome<SqlSession>;
  /** Of writes that are one operation. */
  readonly context: SqlRequestContext;
  readonly responseBytes: number;
  readonly finished: (job: QueuedJob, outcome: SqlOutcome<AnswerText>) => void;
  /** Sessions never reject for expected failures: what arrives here is a defect. */
  readonly failed: (error: unknown) => void;
}

/** Runs the jobs of one stream, one after another; writes that wait behind each other as one operation. */
export class JobQueue {
  private readonly options: JobQueueOptions;
  private readonly jobs: QueuedJob[] = [];
  private running = false;

  constructor(options: JobQueueOptions) {
    this.options = options;
  }

  push(job: QueuedJob): void {
    this.jobs.push(job);
    this.pump();
  }

  /** Drops what has not begun. */
  clear(): void {
    this.jobs.length = 0;
  }

  /** A promise is made only where a job has one. */
  private pump(): void {
    while (!this.running) {
      const together = this.takeWrites();
      if (together !== null) {
        this.runTogether(together.jobs, together.writes);
        return;
      }
      const job = this.jobs.shift();
      if (job === undefined) return;
      this.running = true;
      const outcome = job.run();
      if (outcome instanceof Promise) {
        this.settle(outcome.then((settled) => this.options.finished(job, settled)));
        return;
      }
      this.running = false;
      this.options.finished(job, outcome);
    }
  }

  /** Takes the writes that wait at the front; null when there are not two of them. */
  private takeWrites(): { readonly jobs: readonly QueuedJob[]; readonly writes: readonly Write[] } | null {
    if (this.jobs.length < 2 || !this.options.session.ok) return null;
    const writes = mergeable(this.jobs.map(({ write }) => write));
    return writes.length < 2 ? null : { jobs: this.jobs.splice(0, writes.length), writes };
  }

  private runTogether(jobs: readonly QueuedJob[], writes: readonly Write[]): void {
    const { session, context, responseBytes } = this.options;
    if (!session.ok) return;
    this.running = true;
    this.settle(
      runWrites(session.value, writes, context, responseBytes).then((outcomes) => {
        for (const [index, job] of jobs.entries()) {
          const outcome = outcomes[index];
          if (outcome !== undefined) this.options.finished(job, outcome);
        }
      }),
    );
  }

  private settle(work: Promise<void>): void {
    work
      .then(() => {
        this.running = false;
        this.pump();
      })
      .catch(this.options.failed);
  }
}
