/** What all SQLite connections of one WASM instance share: callbacks, constants, and the guard over whatever runs. */

import { adviseError, sqlError } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import type { Connection } from './sqlite-connection.ts';
import type { VolumeVfs } from './sqlite-vfs.ts';
import type { Pointer, SqliteWasm } from './sqlite-wasm.ts';

const ok = 0;

/** Told to nobody: the statement runs again. */
const tooMuchForGroup = sqlError('SQLITE_BUSY', 'The statement changes too much to commit with others.');

/** Time and abandonment of the statement that runs; shared by all connections, since one runs at a time. */
export interface RunGuard {
  /** VM operations between two looks at it, where not as many as usual. */
  readonly operations?: number;
  /** `performance.now()` at which the statement is interrupted. */
  deadline: number;
  /** Why the statement must stop now, or null; asked often, which shows that the thread gets on. */
  stopReason(): SqlError | null;
  /** Whether operations wait for this thread. */
  hasWaiting(): boolean;
}

export interface RunBudget {
  /** Result bytes collected so far by the operation. */
  bytes: number;
}

/** VM operations between two looks at the clock: well under a millisecond. */
const progressOperations = 4_000;

/** Callbacks and constants all connections of a WASM instance share. */
export class SqliteRuntime {
  readonly wasm: SqliteWasm;
  readonly vfs: VolumeVfs;
  readonly limits: EngineLimits;
  readonly guard: RunGuard;
  readonly mainName: Pointer;
  readonly fileName: Pointer;
  readonly out: Pointer;
  readonly tail: Pointer;
  readonly authorizer: Pointer;
  readonly progress: Pointer;
  readonly changesName: Pointer;
  readonly totalChangesName: Pointer;
  readonly changesCall: Pointer;
  readonly totalChangesCall: Pointer;
  /** `performance.now()` at which the statement that runs has to give way to others that wait. */
  yieldsAt = Number.POSITIVE_INFINITY;
  /** What the transaction may have changed before the statement that runs is stopped, bytes. */
  changesMax = Number.POSITIVE_INFINITY;
  /** VM operations between two looks at the statement that runs. */
  readonly lookEvery: number;
  private heapAtStart = -1;
  /** The connection that prepares or runs; callbacks refer to it. */
  active: Connection | null = null;

  constructor(wasm: SqliteWasm, vfs: VolumeVfs, limits: EngineLimits, guard: RunGuard) {
    this.wasm = wasm;
    this.vfs = vfs;
    this.limits = limits;
    this.guard = guard;
    this.lookEvery = guard.operations ?? progressOperations;
    this.mainName = wasm.permanentString('main');
    this.fileName = wasm.permanentString('volume');
    this.changesName = wasm.permanentString('changes');
    this.totalChangesName = wasm.permanentString('total_changes');
    this.out = wasm.call.malloc(16);
    this.tail = this.out + 8;
    this.authorizer = wasm.callback(
      'i(pipppp)',
      (_context: Pointer, code: number, a: Pointer, b: Pointer, db: Pointer) =>
        this.active === null ? ok : this.active.authorizer.authorize(code, a, b, db),
    );
    this.progress = wasm.callback('i(p)', (_context: Pointer) => (this.active?.mustStop() === true ? 1 : 0));
    this.changesCall = wasm.callback('v(pip)', (context: Pointer, _count: number, _args: Pointer) =>
      wasm.call.sqlite3_result_int64(context, BigInt(this.active?.counters.changes ?? 0)),
    );
    this.totalChangesCall = wasm.callback('v(pip)', (context: Pointer, _count: number, _args: Pointer) =>
      wasm.call.sqlite3_result_int64(context, BigInt(this.active?.counters.totalChanges ?? 0)),
    );
  }
  /** A statement begins to run. */
  started(now: number): void {
    this.guard.deadline = now + this.limits.statementMs;
    this.heapAtStart = -1;
  }

  /** Why the statement that runs must stop, or null. */
  stopReason(now: number): SqlError | null {
    const { guard, limits } = this;
    if (now > guard.deadline)
      return sqlError(
        'SQLITE_INTERRUPT',
        `The statement ran longer than statementMs = ${limits.statementMs} and was stopped. Do less at a time: INSERT, UPDATE and DELETE by ranges of a key, and a large index before its rows; the operator can raise statementMs, one of the gateway's limits.`,
      );
    if (now > this.yieldsAt && guard.hasWaiting())
      return adviseError(
        'SEXTANT_LIMIT',
        `The statement read at the writer for longer than writerReadMs = ${limits.writerReadMs} while others waited, and was stopped. BEGIN READONLY runs elsewhere and may take longer`,
      );
    if (this.changesMax < Number.POSITIVE_INFINITY && (this.active?.changedBytes() ?? 0) > this.changesMax)
      return tooMuchForGroup;
    return this.heapReason() ?? guard.stopReason();
  }

  /**
   * What a transaction changes lies in SQLite's memory until there is much of it, and so does what a statement sorts. The first is
   * told as what it is, long before its COMMIT would be refused.
   */
  private heapReason(): SqlError | null {
    const { transactionPageBytes, statementHeapBytes } = this.limits;
    const used = this.wasm.heapUsed();
    const written = this.active?.file.pending.bytes ?? 0;
    if (this.heapAtStart < 0) this.heapAtStart = used;
    const needsTooMuch = used - this.heapAtStart > statementHeapBytes;
    if (!needsTooMuch && used + written <= transactionPageBytes) return null;
    const pages = this.active?.changedBytes() ?? 0;
    if (pages > transactionPageBytes || (needsTooMuch && 2 * pages > statementHeapBytes))
      return adviseError(
        'SEXTANT_TRANSACTION_TOO_LARGE',
        `The transaction holds ${pages} bytes of pages, where one may hold transactionPageBytes = ${transactionPageBytes} and one statement needs at most statementHeapBytes = ${statementHeapBytes}`,
      );
    if (!needsTooMuch) return null;
    return sqlError(
      'SQLITE_NOMEM',
      `The statement needed more than statementHeapBytes = ${statementHeapBytes} of memory, for what it sorts mostly, and was stopped. Ask for less at a time; make a large index before its rows, so that they come with it in parts.`,
    );
  }
}
