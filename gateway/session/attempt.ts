/** What a stream keeps of one operation while it is tried, and how a try ended. */
import type { Lsn } from '../../storage/core.ts';
import type { RemoteWriter } from '../forward/core/writer-standing.ts';
import type { ForwardTrail } from '../observe/forward-trail.ts';
import type { RequestSpan } from '../observe/request-tracer.ts';
import type { AnyOperationValue, SqlOperation } from '../sql/operation.ts';
import type { SqlOutcome } from '../sql/sql.ts';
import type { StatementClass } from '../sql/statement-facts.ts';

export type Outcome = SqlOutcome<AnyOperationValue>;

/** How an attempt ended: with an answer, or with where to look next. */
export type Attempt =
  | { readonly kind: 'answer'; readonly outcome: Outcome }
  /** Nothing has happened; route again, as this class of statement. */
  | { readonly kind: 'again'; readonly as: StatementClass; readonly pauseMs: number }
  /** The read names what this region has not heard of: ask the writer, and answer `instead` when there is none. */
  | { readonly kind: 'forward'; readonly instead: Outcome };

export interface Request {
  readonly operation: SqlOperation;
  readonly span: RequestSpan | null;
  readonly sinceMs: number;
  /** How often nothing came of it since the last news of a writer: each time it waits twice as long. */
  attempts: number;
  /** What its reads have to show beside what the stream has seen; known once that was waited for. */
  readsAt: Lsn;
  /** Its client does not want it any more: it is not tried again. */
  cancelled: boolean;
  /** Of its ways to a writer elsewhere; null while it was not sent. */
  trail: ForwardTrail | null;
}

export interface RemoteStream {
  readonly id: string;
  readonly writer: RemoteWriter;
  /** Whether it is there for a transaction, or for something else that cannot travel. */
  autocommit: boolean;
}

/** In milliseconds. */
export const waits = {
  /** Who waits for a writer looks again after this long, news or not: how long to wait depends on why there is none. */
  waitAgainMs: 250,
  /** The longest pause before a writer that did not take a statement is asked again, when there is no news. */
  pauseMaxMs: 1_000,
} as const;

export const answer = (outcome: Outcome): Attempt => ({ kind: 'answer', outcome });
