/** What the engine's worker keeps of one session, and of one operation while it is carried out. */
import type { AnyOperationValue, EngineCommit, EngineTrace, SqlOperation } from '../core/engine-protocol.ts';
import { sqlError } from '../core/errors.ts';
import type { SqlError, SqlOutcome } from '../core/sql.ts';
import type { ReadPreference } from '../core/stream-state.ts';
import type { Connection } from './sqlite-connection.ts';
import type { SessionCounters } from './sqlite-runtime.ts';

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
  readonly operation: SqlOperation;
  readonly commits: EngineCommit[];
  readonly budget: { bytes: number };
  /** Whether the session had state of its own (a transaction, settings) when the operation began. */
  hadState: boolean;
  /** Set once a statement has run. */
  ran: boolean;
  seen: number;
  engineUs: number;
  readPreference: ReadPreference | null;
}

/** One client stream. */
export class Session implements SessionCounters {
  readonly id: number;
  changes = 0;
  totalChanges = 0;
  lastInsertRowid = 0n;
  connection: Connection | null = null;
  /** The connection has this session's settings: it is never given to another. */
  keeps: boolean = false;
  /** Opened with BEGIN TRANSACTION READONLY. */
  readonlyTransaction: boolean = false;
  /** Why the transaction the client believes in is gone; told until the client ends it. */
  lost: SqlError | null = null;
  /** Why settings outside a transaction are gone; told once. */
  lostSettings: SqlError | null = null;
  readPreference: ReadPreference = 'session';
  readonly queue: Operation[] = [];
  current: { readonly operation: Operation; readonly run: Waiting<OperationOutcome> } | null = null;
  closing: boolean = false;

  constructor(id: number) {
    this.id = id;
  }

  get hasLost(): boolean {
    return this.lost !== null || this.lostSettings !== null;
  }

  get inTransaction(): boolean {
    return this.lost !== null || (this.connection !== null && !this.connection.isAutocommit());
  }
}

/** The engine was opened anew beneath an operation. */
export const replaced = sqlError(
  'SEXTANT_TRANSACTION_ABORTED',
  'The gateway had to reopen its volume (a failover, a switchover or a lost quorum), and what this stream had open was rolled back. Run the whole transaction again from its BEGIN.',
);
