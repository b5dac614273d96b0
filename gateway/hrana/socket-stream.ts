/** What a WebSocket keeps of its streams, and what it has to do about a request. */
import type { SqlOutcome, SqlSession } from '../sql/sql.ts';
import type { SocketCursor } from './hrana-cursor.ts';

/** Work of a stream; a promise only where it has to wait. */
export type Job = () => SqlOutcome<string> | Promise<SqlOutcome<string>>;

/** What is to be done about a request: answer at once, or run a job in the order of a stream. */
export type Plan =
  | { readonly kind: 'answer'; readonly outcome: SqlOutcome<string> }
  | { readonly kind: 'queue'; readonly stream: SocketStream; readonly job: Job };

/** A job that waits for those before it on its stream. */
export interface QueuedJob {
  readonly requestId: number;
  /** Length of the request. */
  readonly bytes: number;
  readonly run: Job;
}

/** A stream of one socket: a session, or the reason why there is none, and the jobs that wait for it. */
export interface SocketStream {
  readonly session: SqlOutcome<SqlSession>;
  readonly jobs: QueuedJob[];
  running: boolean;
  closed: boolean;
  cursorId: number | null;
}

/** A cursor, and the stream whose batch it reads. */
export interface OpenCursor {
  readonly stream: SocketStream;
  readonly cursor: SocketCursor;
}
