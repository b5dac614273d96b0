/** One SQLite connection on the volume: preparing, running and caching statements, and what it must not do. */
import { redoLimits } from '../../storage/core/limits.ts';
import {
  countsRows,
  firstWord,
  isConnectionPragma,
  isWritingPragma,
  withoutLeadingBlanks,
} from '../core/engine-text.ts';
import { adviseError, failure, primarySqliteCode, sqlError } from '../core/errors.ts';
import type { PageStore } from '../core/page-store.ts';
import type { SqlError, SqlOutcome, SqlResult, SqlStatement, SqlValue } from '../core/sql.ts';
import type { RunBudget, SessionCounters, SqliteRuntime } from './sqlite-runtime.ts';
import {
  bindArguments,
  type PreparedStatement,
  readColumns,
  readParameters,
  readRow,
} from './sqlite-statement.ts';
import { VolumeFile } from './sqlite-vfs.ts';
import type { Pointer, SqliteWasm } from './sqlite-wasm.ts';

const result = { ok: 0, deny: 1, ignore: 2, row: 100, done: 101, interrupt: 9, auth: 23 } as const;
const prepareFlag = { none: 0, persistent: 1 } as const;
const openFlags = 0x2 | 0x4 | 0x2000000; // READWRITE, CREATE, EXRESCODE
const reprepareCounter = 5; // SQLITE_STMTSTATUS_REPREPARE
const writeTransaction = 2; // SQLITE_TXN_WRITE
/** VM operations between two looks at the clock: well under a millisecond. */
const progressOperations = 4_000;

const action = {
  createTempIndex: 3,
  createTempView: 6,
  pragma: 19,
  read: 20,
  select: 21,
  attach: 24,
  detach: 25,
  alterTable: 26,
  function: 31,
  recursive: 33,
} as const;
/** Authorizer actions that write, whose fourth argument is the database. */
const writeActions: ReadonlySet<number> = new Set([
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 23, 27, 28, 29, 30,
]);

/** For whom a statement is prepared. */
export type PrepareMode =
  /** A session that keeps this connection: it may change the connection's settings. */
  | 'own'
  /** Any session: a statement that would leave its mark on the connection is refused with `needsOwn`. */
  | 'shared'
  /** Only to look at: a PRAGMA takes effect while it is prepared, so none is. */
  | 'dry';

export type Prepared =
  | { readonly kind: 'statement'; readonly statement: PreparedStatement }
  | { readonly kind: 'empty' }
  | { readonly kind: 'needsOwn' }
  | { readonly kind: 'failed'; readonly error: SqlError; readonly writes: boolean };

export class Connection {
  readonly file: VolumeFile;
  private readonly runtime: SqliteRuntime;
  private readonly wasm: SqliteWasm;
  private db: Pointer = 0;
  private readonly statements = new Map<string, PreparedStatement>();
  private mode: PrepareMode | null = null;
  private needsOwn: boolean = false;
  private writesMain: boolean = false;
  private writesOther: boolean = false;
  private counters: SessionCounters | null = null;
  /** Whose counters SQLite's own are. */
  private countersIn: SessionCounters | null = null;
  private totalAtStart = 0;

  private constructor(runtime: SqliteRuntime, store: PageStore) {
    this.runtime = runtime;
    this.wasm = runtime.wasm;
    this.file = new VolumeFile(store);
  }

  /** Opens a connection on the pages of `store`. */
  static open(runtime: SqliteRuntime, store: PageStore): SqlOutcome<Connection> {
    const connection = new Connection(runtime, store);
    const error = connection.start();
    if (error === null) return { ok: true, value: connection };
    connection.close();
    return { ok: false, error };
  }

  private start(): SqlError | null {
    const { runtime, wasm } = this;
    const { call } = wasm;
    const { capi } = wasm.sqlite3;
    const opened = runtime.vfs.openWith(this.file, () =>
      call.sqlite3_open_v2(runtime.fileName, runtime.out, openFlags, runtime.vfs.name),
    );
    this.db = wasm.pointerAt(runtime.out);
    if (opened !== result.ok) return this.error(opened);
    // Stock SQLite, and libSQL, take a double-quoted word that names no column for a string.
    capi.sqlite3_db_config(this.db, capi.SQLITE_DBCONFIG_DQS_DML, 1, 0);
    capi.sqlite3_db_config(this.db, capi.SQLITE_DBCONFIG_DQS_DDL, 1, 0);
    const kibibytes = Math.ceil(runtime.limits.connectionCacheBytes / 1024);
    const settings = [
      `page_size=${redoLimits.pageBytes}`,
      'journal_mode=memory',
      'cache_spill=off',
      'temp_store=memory',
      `cache_size=-${kibibytes}`,
      `hard_heap_limit=${runtime.limits.heapBytes}`,
    ];
    this.file.settingUp = true;
    for (const setting of settings) {
      const outcome = this.perform(`PRAGMA ${setting}`);
      if (!outcome.ok) return outcome.error;
    }
    this.file.settingUp = false;
    call.sqlite3_set_authorizer(this.db, runtime.authorizer, 0);
    call.sqlite3_progress_handler(this.db, progressOperations, runtime.progress, 0);
    for (const [name, callback] of [
      [runtime.changesName, runtime.changesCall],
      [runtime.totalChangesName, runtime.totalChangesCall],
    ] as const) {
      call.sqlite3_create_function(this.db, name, 0, capi.SQLITE_UTF8, 0, callback, 0, 0);
    }
    return null;
  }

  /** Runs a statement of the engine's own. */
  perform(sql: string): SqlOutcome<null> {
    const prepared = this.prepare(sql, 'own');
    if (prepared.kind === 'failed') return { ok: false, error: prepared.error };
    if (prepared.kind !== 'statement') return { ok: true, value: null };
    const none: SessionCounters = { changes: 0, totalChanges: 0, lastInsertRowid: 0n };
    const outcome = this.run(prepared.statement, { sql, args: [], namedArgs: [], wantRows: false }, none, {
      bytes: 0,
    });
    this.finish(prepared.statement);
    return outcome.ok ? { ok: true, value: null } : outcome;
  }

  isAutocommit(): boolean {
    return this.wasm.call.sqlite3_get_autocommit(this.db) !== 0;
  }

  /** True while a transaction holds the volume for writing. */
  isWriting(): boolean {
    return (
      !this.isAutocommit() &&
      this.wasm.call.sqlite3_txn_state(this.db, this.runtime.mainName) === writeTransaction
    );
  }

  /** The statement for a text that holds exactly one; kept for the next time unless it is a PRAGMA. */
  prepare(sql: string, mode: PrepareMode): Prepared {
    const cached = this.statements.get(sql);
    if (cached !== undefined) {
      this.statements.delete(sql);
      this.statements.set(sql, cached);
      return { kind: 'statement', statement: cached };
    }
    const bytes = Buffer.byteLength(sql);
    const text = this.wasm.scratch(bytes + 1);
    if (text === 0)
      return {
        kind: 'failed',
        error: sqlError('SQLITE_NOMEM', 'The statement does not fit the memory of the engine.'),
        writes: false,
      };
    const heap = this.wasm.heap();
    heap.write(sql, text, 'utf8');
    heap[text + bytes] = 0;
    const { prepared, tail } = this.prepareAt(text, bytes, firstWord(sql), mode, true);
    if (prepared.kind === 'empty')
      return {
        kind: 'failed',
        error: sqlError('SQL_NO_STATEMENT', 'The SQL text holds no statement.'),
        writes: false,
      };
    if (prepared.kind !== 'statement') return prepared;
    const rest = tail - text >= bytes ? '' : this.wasm.heap().toString('utf8', tail, text + bytes);
    if (rest !== '' && withoutLeadingBlanks(rest) !== '') {
      this.wasm.call.sqlite3_finalize(prepared.statement.pointer);
      return {
        kind: 'failed',
        error: adviseError('SQL_MANY_STATEMENTS', 'The SQL text holds more than one statement'),
        writes: prepared.statement.writes,
      };
    }
    if (mode !== 'dry' && prepared.statement.word !== 'PRAGMA') this.cache(sql, prepared.statement);
    return prepared;
  }

  private cache(sql: string, statement: PreparedStatement): void {
    statement.cached = true;
    this.statements.set(sql, statement);
    if (this.statements.size <= this.runtime.limits.cachedStatements) return;
    for (const [oldest, { pointer }] of this.statements) {
      this.statements.delete(oldest);
      this.wasm.call.sqlite3_finalize(pointer);
      return;
    }
  }

  /** Ends the use of a statement: finalizes it unless it is cached. */
  finish(statement: PreparedStatement): void {
    if (!statement.cached) this.wasm.call.sqlite3_finalize(statement.pointer);
  }

  /** Prepares the first statement of a text in WASM memory that is followed by a NUL. @returns it, and where the next begins. */
  prepareAt(
    text: Pointer,
    bytes: number,
    word: string,
    mode: PrepareMode,
    persistent: boolean,
  ): { readonly prepared: Prepared; readonly tail: Pointer } {
    const { runtime, wasm } = this;
    const { call } = wasm;
    this.mode = mode;
    this.needsOwn = false;
    this.writesMain = false;
    this.writesOther = false;
    this.file.failure = null;
    runtime.active = this;
    const flags = persistent ? prepareFlag.persistent : prepareFlag.none;
    const prepared = call.sqlite3_prepare_v3(this.db, text, bytes, flags, runtime.out, runtime.tail);
    runtime.active = null;
    this.mode = null;
    const tail = wasm.pointerAt(runtime.tail);
    if (prepared !== result.ok) {
      if (this.needsOwn) return { prepared: { kind: 'needsOwn' }, tail };
      return { prepared: { kind: 'failed', error: this.error(prepared), writes: this.writesMain }, tail };
    }
    const pointer = wasm.pointerAt(runtime.out);
    if (pointer === 0) return { prepared: { kind: 'empty' }, tail };
    const readonly = call.sqlite3_stmt_readonly(pointer) !== 0;
    const statement: PreparedStatement = {
      pointer,
      word,
      readonly,
      writes: !readonly && (this.writesMain || !this.writesOther),
      isExplain: call.sqlite3_stmt_isexplain(pointer) !== 0,
      parameters: readParameters(wasm, pointer),
      columns: readColumns(wasm, pointer),
      reprepared: 0,
      cached: false,
    };
    return { prepared: { kind: 'statement', statement }, tail };
  }

  /** Runs a statement to its end. Whatever happens it is reset afterwards. */
  run(
    statement: PreparedStatement,
    given: SqlStatement,
    counters: SessionCounters,
    budget: RunBudget,
  ): SqlOutcome<SqlResult> {
    const { runtime, wasm } = this;
    const { call } = wasm;
    const { pointer } = statement;
    const bound = bindArguments(wasm, statement, given);
    if (!bound.ok) {
      call.sqlite3_clear_bindings(pointer);
      return bound;
    }
    this.file.failure = null;
    runtime.active = this;
    this.counters = counters;
    if (this.countersIn !== counters) call.sqlite3_set_last_insert_rowid(this.db, counters.lastInsertRowid);
    const counting = !statement.readonly && countsRows(statement.word);
    this.totalAtStart = call.sqlite3_total_changes(this.db);
    runtime.guard.deadline = performance.now() + runtime.limits.statementMs;
    const rows: SqlValue[][] = [];
    const outcome = this.stepAll(statement, given.wantRows, rows, budget);
    // Before the reset an error is still the statement's own; the reset repeats it.
    const error = outcome === result.done || outcome === result.row ? null : this.error(outcome);
    const tooLarge = budget.bytes > runtime.limits.resultBytes;
    const finished = call.sqlite3_reset(pointer);
    if (statement.parameters.length > 0) call.sqlite3_clear_bindings(pointer);
    runtime.guard.deadline = Number.POSITIVE_INFINITY;
    runtime.active = null;
    let affected = 0;
    if (counting) {
      affected = call.sqlite3_changes(this.db);
      counters.changes = affected;
      counters.totalChanges += call.sqlite3_total_changes(this.db) - this.totalAtStart;
      counters.lastInsertRowid = call.sqlite3_last_insert_rowid(this.db);
      this.countersIn = counters;
    } else if (this.countersIn !== counters) this.countersIn = null;
    this.counters = null;
    wasm.trimScratch();
    if (error !== null) return { ok: false, error };
    if (finished !== result.ok) return { ok: false, error: this.error(finished) };
    if (tooLarge) {
      return failure(
        'RESPONSE_TOO_LARGE',
        `The result is larger than resultBytes = ${runtime.limits.resultBytes}. Ask for fewer rows or columns, or page with LIMIT.`,
      );
    }
    return {
      ok: true,
      value: {
        columns: statement.columns,
        rows,
        affectedRowCount: affected,
        lastInsertRowid: counting ? counters.lastInsertRowid : null,
      },
    };
  }

  /** Steps to the end, or for a statement that only reads until its result is too large: what writes is never cut short. */
  private stepAll(
    statement: PreparedStatement,
    wantRows: boolean,
    rows: SqlValue[][],
    budget: RunBudget,
  ): number {
    const { call } = this.wasm;
    const { pointer } = statement;
    const limit = this.runtime.limits.resultBytes;
    let step = call.sqlite3_step(pointer);
    const reprepared = call.sqlite3_stmt_status(pointer, reprepareCounter, 0);
    if (reprepared !== statement.reprepared) {
      statement.reprepared = reprepared;
      statement.columns = readColumns(this.wasm, pointer);
    }
    const columns = statement.columns.length;
    while (step === result.row) {
      if (wantRows && budget.bytes <= limit) rows.push(readRow(this.wasm, pointer, columns, budget));
      if (budget.bytes > limit && statement.readonly) break;
      step = call.sqlite3_step(pointer);
    }
    return step;
  }

  /** `changes()` as the session sees it: another session's statement may have run on this connection in between. */
  changes(): number {
    if (this.counters === null || this.countersIn === this.counters)
      return this.wasm.call.sqlite3_changes(this.db);
    return this.counters.changes;
  }

  /** `total_changes()` as the session sees it. */
  totalChanges(): number {
    return (
      (this.counters?.totalChanges ?? 0) + this.wasm.call.sqlite3_total_changes(this.db) - this.totalAtStart
    );
  }

  /** What SQLite counted is no session's any more: it was rolled back. */
  disownCounters(): void {
    this.countersIn = null;
  }

  /** Called by SQLite every so many operations. */
  mustStop(): boolean {
    const { guard } = this.runtime;
    const reason =
      performance.now() > guard.deadline
        ? sqlError(
            'SQLITE_INTERRUPT',
            `The statement ran longer than statementMs = ${this.runtime.limits.statementMs} and was stopped.`,
          )
        : guard.stopReason();
    if (reason === null) return false;
    this.file.failure = reason;
    return true;
  }

  /** SQLite asks before it compiles each part of a statement. */
  authorize(code: number, first: Pointer, second: Pointer, database: Pointer): number {
    if (
      code === action.read ||
      code === action.select ||
      code === action.function ||
      code === action.recursive
    )
      return result.ok;
    if (writeActions.has(code) || code === action.alterTable) {
      const name = this.wasm.stringAt(code === action.alterTable ? first : database);
      if (name === 'main') this.writesMain = true;
      else this.writesOther = true;
      if (code >= action.createTempIndex && code <= action.createTempView) return this.marksConnection();
      return result.ok;
    }
    switch (code) {
      case action.pragma:
        return this.authorizePragma(this.wasm.stringAt(first) ?? '', this.wasm.stringAt(second));
      case action.attach: {
        const name = this.wasm.stringAt(first);
        if (name === '' || name === ':memory:') return this.marksConnection();
        return this.block(
          `ATTACH of ${name === null ? 'a computed file name' : JSON.stringify(name)} is refused: only ':memory:' can be attached, and VACUUM INTO has no file to write`,
        );
      }
      case action.detach:
        return this.marksConnection();
      default:
        return result.ok;
    }
  }

  private authorizePragma(name: string, value: string | null): number {
    const lower = name.toLowerCase();
    if (value !== null) {
      if (lower === 'page_size' && Number(value) !== redoLimits.pageBytes) {
        return this.block(
          `PRAGMA page_size=${value} is refused: the pages of a volume have ${redoLimits.pageBytes} bytes`,
        );
      }
      if (lower === 'hard_heap_limit' || lower === 'soft_heap_limit') {
        return this.block(`PRAGMA ${lower} is refused: it would bind every session of this gateway`);
      }
      if (lower === 'temp_store') return result.ignore;
    }
    if (this.mode === 'dry') {
      if (!isWritingPragma(name, value)) return value === null ? result.ok : result.ignore;
      this.writesMain = true;
      return result.deny;
    }
    return isConnectionPragma(name, value) ? this.marksConnection() : result.ok;
  }

  private marksConnection(): number {
    if (this.mode === 'dry') return result.ok;
    if (this.mode !== 'shared') return result.ok;
    this.needsOwn = true;
    return result.deny;
  }

  private block(detail: string): number {
    this.file.failure = adviseError('BLOCKED', detail);
    return result.deny;
  }

  /** The error of the last call, in the engine's words where it caused it. */
  private error(code: number): SqlError {
    if (this.file.failure !== null) return this.file.failure;
    const name = this.wasm.sqlite3.capi.sqlite3_js_rc_str(code & 0xff);
    const message =
      this.db === 0 ? name : (this.wasm.stringAt(this.wasm.call.sqlite3_errmsg(this.db)) ?? name);
    return sqlError(primarySqliteCode(name), message);
  }

  /** Rolls back what is open and closes. */
  close(): void {
    this.runtime.active = null;
    for (const { pointer } of this.statements.values()) this.wasm.call.sqlite3_finalize(pointer);
    this.statements.clear();
    if (this.db !== 0) this.wasm.call.sqlite3_close_v2(this.db);
    this.db = 0;
  }
}
