/**
 * What the protocol layer asks of the SQL layer, and what it gets back. Both the local engine and a stream
 * forwarded to another region stand behind `SqlSession`, so the protocol never knows where a statement ran.
 */
import type { BranchName } from '../../storage/redo.ts';
import type { Bookmark } from './bookmark.ts';
import type { RowsText } from './row-text.ts';
import type { ReadPreference } from './stream-state.ts';

/** A SQL value as the libSQL protocol distinguishes it: 64-bit integers are bigint, floats are number. */
export type SqlValue = null | bigint | number | string | Uint8Array;

export interface SqlStatement {
  readonly sql: string;
  /** Positional arguments, 1-based in SQL. */
  readonly args: readonly SqlValue[];
  /** Named arguments; names come with or without their `:`, `@` or `$`. */
  readonly namedArgs: readonly { readonly name: string; readonly value: SqlValue }[];
  /** False when the caller does not want rows back. */
  readonly wantRows: boolean;
  /** Many rows may come as text. */
  readonly textRows?: boolean;
}

export interface SqlColumn {
  readonly name: string | null;
  readonly decltype: string | null;
}

export interface SqlResult {
  readonly columns: readonly SqlColumn[];
  readonly rows: readonly (readonly SqlValue[])[];
  /** All rows, in place of `rows`, where the statement allows it and they are many. */
  readonly rowsText?: RowsText;
  readonly affectedRowCount: number;
  readonly lastInsertRowid: bigint | null;
  readonly rowsRead?: number;
  readonly rowsWritten?: number;
}

/** An expected failure. `code` is from the one table in `gateway/sql/errors.ts`. */
export interface SqlError {
  readonly code: string;
  readonly message: string;
}

export type SqlOutcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: SqlError };

export type BatchCondition =
  | { readonly kind: 'ok'; readonly step: number }
  | { readonly kind: 'error'; readonly step: number }
  | { readonly kind: 'not'; readonly condition: BatchCondition }
  | { readonly kind: 'and'; readonly conditions: readonly BatchCondition[] }
  | { readonly kind: 'or'; readonly conditions: readonly BatchCondition[] }
  | { readonly kind: 'isAutocommit' };

export interface BatchStep {
  readonly condition: BatchCondition | null;
  readonly statement: SqlStatement;
}

/** One slot per step; a skipped step is null. */
export type BatchResult = readonly (SqlOutcome<SqlResult> | null)[];

export interface SqlDescription {
  readonly params: readonly { readonly name: string | null }[];
  readonly columns: readonly SqlColumn[];
  readonly isExplain: boolean;
  readonly isReadonly: boolean;
}

/** What a request carries beside its SQL: the caller's W3C `traceparent`, where there is one. */
export interface SqlRequestContext {
  readonly traceparent: string | null;
}

/**
 * One client stream. Its caller gives it one operation after another; a transaction left open lives until `close`, which rolls it back.
 * A returned promise settles only when the response may leave: the volume is durable at everything it saw.
 * Promises never reject for expected failures.
 */
export interface SqlSession {
  execute(statement: SqlStatement, context: SqlRequestContext): Promise<SqlOutcome<SqlResult>>;
  batch(steps: readonly BatchStep[], context: SqlRequestContext): Promise<SqlOutcome<BatchResult>>;
  /** Runs several statements separated by semicolons, discarding rows; stops at the first error. */
  sequence(sql: string, context: SqlRequestContext): Promise<SqlOutcome<null>>;
  describe(sql: string, context: SqlRequestContext): Promise<SqlOutcome<SqlDescription>>;
  /** True when no transaction is open. */
  isAutocommit(): boolean;
  /** The client shows a bookmark: from now on nothing is read behind it. */
  show(bookmark: Bookmark): void;
  /** What the stream has seen; null while it has seen nothing. */
  readonly bookmark: Bookmark | null;
  close(): Promise<void>;
}

/** What a stream is opened with. */
export interface SessionOptions {
  /** The database that it is a stream of; left out, main. */
  readonly branch?: BranchName;
  /** The consistency of its reads until it sets another; left out, the service's own. */
  readonly readPreference?: ReadPreference;
  /** It never reads behind this one. */
  readonly bookmark?: Bookmark;
  /** Nothing that it asks for may change anything (G40). */
  readonly readOnly?: boolean;
}

/** Opens streams. A failure names the limit when no more may be opened. */
export interface SqlService {
  openSession(options?: SessionOptions): SqlOutcome<SqlSession>;
  /** Why streams of a database cannot be opened: there is none of that name; null when they can. Left out where main is all. */
  branchProblem?(branch: BranchName): SqlError | null;
}
