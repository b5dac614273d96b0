/** What the engine's worker keeps of one session, and of one operation while it is carried out. */

import { sqlError } from '../../sql/errors.ts';
import type { AnyOperationValue, SqlOperation } from '../../sql/operation.ts';
import type { SqlError, SqlOutcome } from '../../sql/sql.ts';
import {
  freshStream,
  type ReadPreference,
  type StreamSetting,
  type StreamState,
  sameSettings,
} from '../../sql/stream-state.ts';
import type { EngineCommit, EngineTrace } from '../core/engine-protocol.ts';
import type { Connection } from '../sqlite/sqlite-connection.ts';
import type { SessionCounters } from '../sqlite/sqlite-counters.ts';

/**
 * A generator that yields where it must wait: `park` for the writer, resumed with null or the error it waited in vain for;
 * `join` for the end of its commit group, resumed with null when that has committed and with `again` when it has not.
 */
export type Waiting<T> = Generator<'park' | 'join', T, Resumption>;
export type Resumption = SqlError | 'again' | null;
export type OperationOutcome = SqlOutcome<AnyOperationValue>;

/** One operation being carried out. */
export interface Operation {
  readonly id: number;
  readonly trace: EngineTrace | null;
  /** The stream's state that it came with. */
  readonly state: StreamState;
  readonly operation: SqlOperation;
  readonly commits: EngineCommit[];
  readonly budget: { bytes: number };
  /** Whether the session had state of its own (a transaction, temporary objects, attached databases) when the operation began. */
  hadState: boolean;
  /** Whether a transaction was open here when it began. */
  inside: boolean;
  /** Set once a statement has run. */
  ran: boolean;
  /** Set once it has begun a savepoint, or ended one: it cannot simply run again within its transaction. */
  steered: boolean;
  /** The consistency it asked for, when that is more than a reader gave it: it is to be run again. */
  raised: ReadPreference | null;
  /** How long it waited for the thread: that counts when it waits for the writer. */
  waitedMs: number;
  seen: number;
  engineUs: number;
}

/**
 * One client stream, as far as it is here. Its settings, counters and consistency come with each operation and go back with its
 * answer; only a connection with something open stays.
 */
export class Session {
  readonly id: number;
  counters: SessionCounters = { ...freshStream.counters };
  settings: readonly StreamSetting[] = freshStream.settings;
  readPreference: ReadPreference = freshStream.readPreference;
  /** The state as the last answer left it. */
  state: StreamState = freshStream;
  connection: Connection | null = null;
  /** The connection has, or may have, temporary objects or attached databases: it is never given to another. */
  keeps: boolean = false;
  /** When its last operation ended, `performance.now()`; of a session that keeps a connection. */
  idleSinceMs = 0;
  /** Opened with BEGIN TRANSACTION READONLY. */
  readonlyTransaction: boolean = false;
  /** Why the transaction the client believes in is gone; told until the client ends it. */
  lost: SqlError | null = null;
  /** Why temporary objects and attached databases are gone; told once. */
  lostHeld: SqlError | null = null;
  readonly queue: Operation[] = [];
  current: { readonly operation: Operation; readonly run: Waiting<OperationOutcome> } | null = null;
  closing: boolean = false;

  constructor(id: number) {
    this.id = id;
  }

  get hasLost(): boolean {
    return this.lost !== null || this.lostHeld !== null;
  }

  get inTransaction(): boolean {
    return this.lost !== null || (this.connection !== null && !this.connection.isAutocommit());
  }

  /** An operation begins: the stream's state is what that came with. */
  take({ settings, counters, readPreference }: StreamState): void {
    const { changes, totalChanges, lastInsertRowid } = counters;
    const mine = this.counters;
    // Another object says to the connection that counted last that its own counters are not these.
    if (
      mine.changes !== changes ||
      mine.totalChanges !== totalChanges ||
      mine.lastInsertRowid !== lastInsertRowid
    )
      this.counters = { changes, totalChanges, lastInsertRowid };
    this.readPreference = readPreference;
    this.settings = settings;
    this.connection?.giveSettings(settings);
  }

  /** What the state has become since an operation came with `before`; null for no change. */
  stateSince(before: StreamState): StreamState | null {
    const { readPreference, settings } = this;
    const { changes, totalChanges, lastInsertRowid } = this.counters;
    const counts =
      changes !== before.counters.changes ||
      totalChanges !== before.counters.totalChanges ||
      lastInsertRowid !== before.counters.lastInsertRowid;
    if (!counts && readPreference === before.readPreference && sameSettings(settings, before.settings))
      return null;
    const counters = counts ? { changes, totalChanges, lastInsertRowid } : before.counters;
    return { readPreference, settings, counters };
  }
}

/** The engine was opened anew beneath an operation. */
export const replaced = sqlError(
  'SEXTANT_TRANSACTION_ABORTED',
  'The gateway had to reopen its volume (a failover, a switchover or a lost quorum), and what this stream had open was rolled back. Run the whole transaction again from its BEGIN.',
);
