/** One SQLite connection on the volume: preparing and running statements. */
import assert from 'node:assert/strict';
import { redoLimits } from '../../../storage/redo.ts';
import { adviseError, failure, primarySqliteCode, sqlError } from '../../sql/errors.ts';
import type { SqlError, SqlOutcome, SqlResult, SqlStatement } from '../../sql/sql.ts';
import {
  countsRows,
  explainedWord,
  firstWord,
  isReadonlyBegin,
  readonlyBegin,
  shortReadonlyBeginOf,
  withoutLeadingBlanks,
} from '../../sql/statement-facts.ts';
import type { StreamSetting } from '../../sql/stream-state.ts';
import type { PageStore } from '../core/page-store.ts';
import { type PrepareMode, SqliteAuthorizer } from './sqlite-authorizer.ts';
import { type SessionCounters, SqliteCounters } from './sqlite-counters.ts';
import { HeldMemory } from './sqlite-held-memory.ts';
import { RowCollector } from './sqlite-rows.ts';
import type { RunBudget, SqliteRuntime } from './sqlite-runtime.ts';
import { ConnectionSettings } from './sqlite-settings.ts';
import { bindArguments, type PreparedStatement, readColumns, readParameters } from './sqlite-statement.ts';
import { StatementCache } from './sqlite-statement-cache.ts';
import { VolumeFile } from './sqlite-vfs.ts';
import type { Pointer, SqliteWasm } from './sqlite-wasm.ts';

const result = { ok: 0, error: 1, row: 100, done: 101 } as const;
const prepareFlag = { none: 0, persistent: 1 } as const;
const openFlags = 0x2 | 0x4 | 0x2000000; // READWRITE, CREATE, EXRESCODE
const reprepareCounter = 5; // SQLITE_STMTSTATUS_REPREPARE
const writeTransaction = 2; // SQLITE_TXN_WRITE
const cacheUsed = 1; // SQLITE_DBSTATUS_CACHE_USED

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
  /** Of what SQLite counts; set once it is open. */
  private counted: SqliteCounters | null = null;
  private readonly statements: StatementCache;
  readonly authorizer: SqliteAuthorizer;
  readonly heldMemory: HeldMemory;
  private readonly configured: ConnectionSettings;
  /** A statement may have made or removed temporary objects, or attached or detached. */
  marked: boolean = false;

  private constructor(runtime: SqliteRuntime, store: PageStore) {
    this.runtime = runtime;
    this.wasm = runtime.wasm;
    this.statements = new StatementCache(runtime.wasm, runtime.limits.cachedStatements);
    this.file = new VolumeFile(store, runtime.vfs.access);
    this.authorizer = new SqliteAuthorizer(this.wasm);
    this.heldMemory = new HeldMemory(this);
    this.configured = new ConnectionSettings(this, `-${cacheKibibytes(runtime)}`);
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
    this.counted = new SqliteCounters(wasm, this.db);
    // Stock SQLite, and libSQL, take a double-quoted word that names no column for a string.
    capi.sqlite3_db_config(this.db, capi.SQLITE_DBCONFIG_DQS_DML, 1, 0);
    capi.sqlite3_db_config(this.db, capi.SQLITE_DBCONFIG_DQS_DDL, 1, 0);
    const settings = [
      `page_size=${redoLimits.pageBytes}`,
      'journal_mode=truncate',
      `cache_spill=${Math.ceil(runtime.limits.connectionSpillBytes / redoLimits.pageBytes)}`,
      'temp_store=memory',
      `cache_size=-${cacheKibibytes(runtime)}`,
      'foreign_keys=on', // As in every build of libSQL.
      `hard_heap_limit=${runtime.limits.heapBytes}`,
    ];
    const refused = this.setUp(settings);
    // A schema that was edited into one that does not parse is told by the first statement, and mended through `writable_schema`.
    const error = isMalformed(refused)
      ? this.setUp(['writable_schema=on', ...settings, 'writable_schema=reset'])
      : refused;
    if (error !== null && !isMalformed(error)) return error;
    call.sqlite3_set_authorizer(this.db, runtime.authorizer, 0);
    call.sqlite3_progress_handler(this.db, runtime.lookEvery, runtime.progress, 0);
    for (const [name, callback] of [
      [runtime.changesName, runtime.changesCall],
      [runtime.totalChangesName, runtime.totalChangesCall],
    ] as const) {
      call.sqlite3_create_function(this.db, name, 0, capi.SQLITE_UTF8, 0, callback, 0, 0);
    }
    return null;
  }

  private setUp(settings: readonly string[]): SqlError | null {
    this.file.settingUp = true;
    const error = settings
      .map((setting) => `PRAGMA ${setting}`)
      .reduce<SqlError | null>((failed, sql) => failed ?? this.problemOf(sql), null);
    this.file.settingUp = false;
    return error;
  }

  private problemOf(sql: string): SqlError | null {
    const outcome = this.perform(sql);
    return outcome.ok ? null : outcome.error;
  }

  /** Runs a statement of the engine's own. */
  perform(sql: string): SqlOutcome<null> {
    const prepared = this.prepare(sql, 'engine');
    if (prepared.kind === 'failed') return { ok: false, error: prepared.error };
    if (prepared.kind !== 'statement') return { ok: true, value: null };
    const none: SessionCounters = { changes: 0, totalChanges: 0, lastInsertRowid: 0n };
    const outcome = this.run(prepared.statement, { sql, args: [], namedArgs: [], wantRows: false }, none, {
      bytes: 0,
    });
    this.finish(prepared.statement);
    return outcome.ok ? { ok: true, value: null } : outcome;
  }

  /**
   * Runs a statement of the engine's own that counts no rows and leaves the stream's counters alone.
   * @returns the first column of its first row as text; null without one, or when it fails.
   */
  ask(sql: string): string | null {
    const { runtime, wasm } = this;
    const { call } = wasm;
    const bytes = Buffer.byteLength(sql);
    const text = wasm.scratch(bytes + 1);
    if (text === 0) return null;
    wasm.heap().write(`${sql}\0`, text, 'utf8');
    const { failure } = this.file;
    this.authorizer.begin('engine');
    runtime.active = this;
    let answer: string | null = null;
    if (call.sqlite3_prepare_v3(this.db, text, bytes, prepareFlag.none, runtime.out, 0) === result.ok) {
      const pointer = wasm.pointerAt(runtime.out);
      if (call.sqlite3_step(pointer) === result.row)
        answer = wasm.stringAt(call.sqlite3_column_text(pointer, 0));
      call.sqlite3_finalize(pointer);
    }
    runtime.active = null;
    this.authorizer.mode = null;
    this.file.failure = failure;
    return answer;
  }

  /** See `HeldMemory`. */
  mayLookAt(database: string): boolean {
    if (this.isAutocommit()) return true;
    const name = this.wasm.scratch(Buffer.byteLength(database) + 1);
    if (name === 0) return false;
    this.wasm.heap().write(`${database}\0`, name, 'utf8');
    return this.wasm.call.sqlite3_txn_state(this.db, name) > 0;
  }

  /** The stream settings it has. */
  get settings(): readonly StreamSetting[] {
    return this.configured.now;
  }

  /** Sets it up for a stream. */
  giveSettings(settings: readonly StreamSetting[]): void {
    this.configured.give(settings);
  }

  /** After a statement, or an attempt to prepare one: notes the settings it has changed. */
  noteSettings(): void {
    const { settings } = this.authorizer;
    if (settings === null && !this.configured.fades) return;
    this.authorizer.settings = null;
    const { fades } = this.configured;
    this.configured.readBack(settings);
    // Prepared while foreign keys were deferred, a statement leaves a row behind that it should have refused: SQLite expires
    // such statements when the PRAGMA is turned off, not when the end of a transaction does it.
    if (fades && !this.configured.fades) this.statements.clear();
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
    // SQLite notices a change of the schema when a statement is stepped, which one that is only looked at never is.
    const cached = mode === 'dry' ? undefined : this.statements.get(sql);
    if (cached !== undefined) return { kind: 'statement', statement: cached };
    const word = firstWord(sql);
    if (word === 'BEGIN') {
      const short = shortReadonlyBeginOf(sql);
      if (short !== '' && withoutLeadingBlanks(sql.slice(short.length)) === '')
        return this.prepare(readonlyBegin, mode);
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
    const { prepared, tail } = this.prepareAt(text, bytes, word, mode, true);
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
    if (mode !== 'dry' && prepared.statement.word !== 'PRAGMA') this.statements.add(sql, prepared.statement);
    return prepared;
  }

  /** The text of a statement. */
  textOf({ pointer }: PreparedStatement): string {
    return this.wasm.stringAt(this.wasm.call.sqlite3_sql(pointer)) ?? '';
  }

  /** Ends the use of a statement: finalizes it unless it is cached. */
  finish(statement: PreparedStatement): void {
    if (!statement.cached) this.wasm.call.sqlite3_finalize(statement.pointer);
  }

  /** Prepares the first statement of a script in WASM memory that is followed by a NUL. @returns it, and where the next begins. */
  prepareFirst(
    text: Pointer,
    bytes: number,
    word: string,
    mode: PrepareMode,
  ): { readonly prepared: Prepared; readonly tail: Pointer } {
    if (word === 'BEGIN') {
      const start = this.wasm.heap().toString('utf8', text, text + Math.min(bytes, 1024));
      const short = Buffer.byteLength(shortReadonlyBeginOf(start));
      if (short > 0) return { prepared: this.prepare(readonlyBegin, mode), tail: text + short };
    }
    return this.prepareAt(text, bytes, word, mode, false);
  }

  private prepareAt(
    text: Pointer,
    bytes: number,
    word: string,
    mode: PrepareMode,
    persistent: boolean,
  ): { readonly prepared: Prepared; readonly tail: Pointer } {
    const { runtime, wasm, authorizer } = this;
    const { call } = wasm;
    authorizer.begin(mode);
    this.file.failure = null;
    this.file.takeAnswered();
    runtime.active = this;
    const flags = persistent ? prepareFlag.persistent : prepareFlag.none;
    const prepared = call.sqlite3_prepare_v3(this.db, text, bytes, flags, runtime.out, runtime.tail);
    runtime.active = null;
    authorizer.mode = null;
    const tail = wasm.pointerAt(runtime.tail);
    if (prepared !== result.ok) {
      if (authorizer.needsOwn) return { prepared: { kind: 'needsOwn' }, tail };
      this.file.failure ??= authorizer.blocked;
      return {
        prepared: { kind: 'failed', error: this.error(prepared), writes: authorizer.writesMain },
        tail,
      };
    }
    const pointer = wasm.pointerAt(runtime.out);
    if (pointer === 0) return { prepared: { kind: 'empty' }, tail };
    const readonly = call.sqlite3_stmt_readonly(pointer) !== 0;
    const isExplain = call.sqlite3_stmt_isexplain(pointer) !== 0;
    const answered = this.file.takeAnswered();
    const statement: PreparedStatement = {
      pointer,
      word,
      readonly,
      writes: !readonly && !isExplain && (authorizer.writesMain || !authorizer.writesOther),
      onlyMain: authorizer.writesMain && !authorizer.writesOther,
      begins: authorizer.begins,
      beginsReadonly: authorizer.begins && isReadonlyBegin(wasm.heap().toString('utf8', text, tail)),
      marks: authorizer.marks || authorizer.undoes,
      looksAtSchema: authorizer.looksAtSchema,
      editsSchema: authorizer.editsSchema && !isExplain,
      isExplain,
      forgetsChanges:
        isExplain && !readonly && countsRows(explainedWord(wasm.heap().toString('utf8', text, tail))),
      parameters: readParameters(wasm, pointer),
      // SQLite would give the answer itself as the name.
      columns:
        answered === null ? readColumns(wasm, pointer) : answered.map((name) => ({ name, decltype: null })),
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
    const stopped = runtime.guard.stopReason();
    if (stopped !== null) return { ok: false, error: stopped };
    const bound = bindArguments(wasm, statement, given);
    if (!bound.ok) {
      call.sqlite3_clear_bindings(pointer);
      return bound;
    }
    this.file.failure = null;
    runtime.vfs.scratch.failure = null;
    this.authorizer.marks = false;
    this.authorizer.blocked = null;
    runtime.active = this;
    if (statement.editsSchema) this.file.editsSchema = true;
    this.counters.begin(counters);
    const counting = !statement.readonly && countsRows(statement.word);
    runtime.started(performance.now());
    const rows = new RowCollector(wasm, given, budget);
    const outcome = this.stepAll(statement, rows, budget);
    this.file.failure ??= this.authorizer.blocked;
    // Before the reset an error is still the statement's own; the reset repeats it.
    const error = outcome === result.done || outcome === result.row ? null : this.error(outcome);
    const tooLarge = budget.bytes > runtime.limits.resultBytes;
    const finished = call.sqlite3_reset(pointer);
    if (statement.parameters.length > 0) call.sqlite3_clear_bindings(pointer);
    runtime.guard.deadline = Number.POSITIVE_INFINITY;
    runtime.active = null;
    const affected = this.counters.end(counters, statement, counting, outcome === result.error);
    if (statement.marks || this.authorizer.marks) this.marked = true;
    // Not with the file's lock: SQLite gives it up, too, to compile a statement anew for a schema that others have changed.
    if (this.file.editsSchema && this.isAutocommit()) this.file.editsSchema = false;
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
        ...rows.finish(),
        affectedRowCount: affected,
        lastInsertRowid: counting ? counters.lastInsertRowid : null,
      },
    };
  }

  /** Steps to the end, or for a statement that only reads until its result is too large: what writes is never cut short. */
  private stepAll(statement: PreparedStatement, rows: RowCollector, budget: RunBudget): number {
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
      if (budget.bytes <= limit) rows.take(pointer, columns);
      if (budget.bytes > limit && statement.readonly) break;
      step = call.sqlite3_step(pointer);
    }
    return step;
  }

  /** What this connection counts, and of whom. */
  get counters(): SqliteCounters {
    assert(this.counted !== null, 'a connection that is not open counts nothing');
    return this.counted;
  }

  /** Pages in SQLite's memory while it writes, bytes: those its transaction has changed, and few others. 0 while it only reads. */
  changedBytes(): number {
    const { wasm, runtime } = this;
    const { call } = wasm;
    if (call.sqlite3_txn_state(this.db, 0) !== writeTransaction) return 0;
    if (call.sqlite3_db_status(this.db, cacheUsed, runtime.out, runtime.tail, 0) !== result.ok) return 0;
    return wasm.heap().readInt32LE(runtime.out);
  }

  /** Called by SQLite every so many operations. */
  mustStop(): boolean {
    const reason = this.runtime.stopReason(performance.now());
    if (reason === null) return false;
    this.file.failure = reason;
    return true;
  }

  /** The error of the last call, in the engine's words where it caused it. */
  private error(code: number): SqlError {
    const failure = this.file.failure ?? this.runtime.vfs.scratch.failure;
    if (failure !== null) return failure;
    const name = this.wasm.sqlite3.capi.sqlite3_js_rc_str(code & 0xff);
    const message =
      this.db === 0 ? name : (this.wasm.stringAt(this.wasm.call.sqlite3_errmsg(this.db)) ?? name);
    return sqlError(primarySqliteCode(name), message);
  }

  /** Rolls back what is open and closes. */
  close(): void {
    this.runtime.active = null;
    this.statements.clear();
    if (this.db !== 0) this.wasm.call.sqlite3_close_v2(this.db);
    this.db = 0;
  }
}

const isMalformed = (error: SqlError | null): boolean => error?.code === 'SQLITE_CORRUPT';

function cacheKibibytes({ limits }: SqliteRuntime): number {
  return Math.ceil(limits.connectionCacheBytes / 1024);
}
