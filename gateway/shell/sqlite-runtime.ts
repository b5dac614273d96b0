/** What all SQLite connections of one WASM instance share: callbacks, constants, and the guard over whatever runs. */
import type { EngineLimits } from '../core/engine-limits.ts';
import type { SqlError } from '../core/sql.ts';
import type { Connection } from './sqlite-connection.ts';
import type { VolumeVfs } from './sqlite-vfs.ts';
import type { Pointer, SqliteWasm } from './sqlite-wasm.ts';

const ok = 0;

/** What SQLite keeps per connection and users expect per stream. */
export interface SessionCounters {
  changes: number;
  totalChanges: number;
  lastInsertRowid: bigint;
}

/** Time and abandonment of the statement that runs; shared by all connections, since one runs at a time. */
export interface RunGuard {
  /** `performance.now()` at which the statement is interrupted. */
  deadline: number;
  /** Why the statement must stop now, or null. */
  stopReason(): SqlError | null;
}

export interface RunBudget {
  /** Result bytes collected so far by the operation. */
  bytes: number;
}

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
  /** The connection that prepares or runs; callbacks refer to it. */
  active: Connection | null = null;

  constructor(wasm: SqliteWasm, vfs: VolumeVfs, limits: EngineLimits, guard: RunGuard) {
    this.wasm = wasm;
    this.vfs = vfs;
    this.limits = limits;
    this.guard = guard;
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
      wasm.call.sqlite3_result_int64(context, BigInt(this.active?.changes() ?? 0)),
    );
    this.totalChangesCall = wasm.callback('v(pip)', (context: Pointer, _count: number, _args: Pointer) =>
      wasm.call.sqlite3_result_int64(context, BigInt(this.active?.totalChanges() ?? 0)),
    );
  }
}
