/**
 * A SQLite on a thread that must not be held up. It never waits for a page, and each statement may carry out so many operations, read
 * so many pages and give back so much; one that meets a bound is given up, and nobody can tell that it was tried.
 */
import type { PageNo } from '../../../storage/redo.ts';
import { sqlError } from '../../sql/errors.ts';
import type { SqlError, SqlOutcome, SqlResult, SqlStatement } from '../../sql/sql.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import type { PageStore } from '../core/page-store.ts';
import type { WasmCode } from '../core/wasm.ts';
import { ScratchError, ScratchSpace } from '../scratch/scratch-space.ts';
import { Connection, type Prepared } from '../sqlite/sqlite-connection.ts';
import type { SessionCounters } from '../sqlite/sqlite-counters.ts';
import { SqliteRuntime } from '../sqlite/sqlite-runtime.ts';
import { VolumeVfs } from '../sqlite/sqlite-vfs.ts';
import { SqliteWasm } from '../sqlite/sqlite-wasm.ts';
import { type QuickRun, quickLimits } from './core/quick-limits.ts';
import { isQuickProgram } from './core/quick-program.ts';

const givenUp = sqlError('SQLITE_INTERRUPT', 'The statement is run elsewhere.');
const operationsCounter = 4; // SQLITE_STMTSTATUS_VM_STEP
const reprepareCounter = 5; // SQLITE_STMTSTATUS_REPREPARE
/** Texts whose proof is remembered. */
const provenMax = 1_024;

/** Whoever is looked at has carried out all that a statement may. */
class BoundedRuntime extends SqliteRuntime {
  private readonly onBound: () => void;

  constructor(wasm: SqliteWasm, vfs: VolumeVfs, limits: EngineLimits, onBound: () => void) {
    super(wasm, vfs, limits, {
      operations: quickLimits.operations,
      deadline: Number.POSITIVE_INFINITY,
      stopReason: () => null,
      hasWaiting: () => false,
    });
    this.onBound = onBound;
  }

  override stopReason(): SqlError {
    this.onBound();
    return givenUp;
  }
}

export class QuickSqlite {
  private readonly wasm: SqliteWasm;
  private readonly runtime: SqliteRuntime;
  private readonly counters: SessionCounters = { changes: 0, totalChanges: 0, lastInsertRowid: 0n };
  private readonly quick = new Set<string>();
  private connection: Connection | null = null;
  /** The store that connections are opened on. */
  private store: PageStore | null = null;
  private cookie = -1;
  private lacks: PageNo | null = null;
  private pagesRead = 0;
  private isBounded = false;

  private constructor(wasm: SqliteWasm, limits: EngineLimits) {
    const { resultBytes, connectionCacheBytes, heapBytes } = quickLimits;
    const own: EngineLimits = { ...limits, resultBytes, connectionCacheBytes, heapBytes };
    const refuse = (): never => {
      throw new Error('G130: what is answered where it arrives changes nothing');
    };
    const vfs = new VolumeVfs(wasm, {
      limits: own,
      scratch: new ScratchSpace(() => {
        throw new ScratchError('nothing is kept on disk here');
      }, 1),
      store: () => this.store ?? refuse(),
      fetch: (_store, page) => {
        this.lacks = page;
        return givenUp;
      },
      hit: () => {
        this.pagesRead += 1;
        if (this.pagesRead <= quickLimits.pages) return null;
        this.isBounded = true;
        return givenUp;
      },
      reserve: () => givenUp,
      prepareCommit: () => givenUp,
      finishCommit: refuse,
      pragma: () => ({ ok: false, message: givenUp.message }),
    });
    this.wasm = wasm;
    this.runtime = new BoundedRuntime(wasm, vfs, own, () => {
      this.isBounded = true;
    });
  }

  /** @throws Error when SQLite cannot be loaded. */
  static async load(code: WasmCode, limits: EngineLimits): Promise<QuickSqlite> {
    return new QuickSqlite(await SqliteWasm.load(code), limits);
  }

  /** Drops what it knows of pages and schema. */
  close(): void {
    this.connection?.close();
    this.connection = null;
    this.quick.clear();
    this.store = null;
  }

  /**
   * Runs a statement at the head of `store`, whose schema has this cookie.
   * @throws Error when SQLite itself, or an invariant, is broken: it must not be used any more then.
   */
  run(statement: SqlStatement, store: PageStore, cookie: number): QuickRun {
    this.lacks = null;
    this.isBounded = false;
    const done = this.tryRun(statement, store, cookie);
    if (this.runtime.vfs.fatal !== null) throw this.runtime.vfs.fatal;
    if (done !== null) return done;
    if (this.lacks !== null) return { kind: 'lacksPage', page: this.lacks };
    return { kind: this.isBounded ? 'bounded' : 'refused' };
  }

  private tryRun(statement: SqlStatement, store: PageStore, cookie: number): QuickRun | null {
    const connection = this.connectionOn(store, cookie);
    if (connection === null || !this.isProven(connection, statement)) return null;
    const prepared = this.prepare(connection, statement.sql);
    if (prepared.kind !== 'statement') return null;
    const { pointer, readonly, looksAtSchema, marks } = prepared.statement;
    if (!readonly || looksAtSchema || marks) return null;
    connection.file.seen = 0;
    const outcome = this.runOn(connection, prepared, statement);
    if (!outcome.ok) {
      // What else fails, such as an argument that is missing, says nothing of the next run.
      this.isBounded = true;
      return null;
    }
    // It was compiled anew as it ran: another program than the one that was looked at.
    if (this.wasm.call.sqlite3_stmt_status(pointer, reprepareCounter, 0) > 0) return null;
    return { kind: 'answered', result: outcome.value, seen: connection.file.seen };
  }

  /** A connection whose programs are of this schema. */
  private connectionOn(store: PageStore, cookie: number): Connection | null {
    if (this.connection !== null && this.store === store && this.cookie === cookie) return this.connection;
    this.close();
    this.store = store;
    this.cookie = cookie;
    this.pagesRead = 0;
    const opened = Connection.open(this.runtime, store);
    if (!opened.ok) return null;
    this.connection = opened.value;
    return opened.value;
  }

  /** G131: what runs was compiled to a program that is quick, of the schema that it runs on. */
  private isProven(connection: Connection, statement: SqlStatement): boolean {
    const { sql } = statement;
    if (this.quick.has(sql)) return true;
    const explained: SqlStatement = { ...statement, sql: `EXPLAIN ${sql}`, wantRows: true, textRows: false };
    const prepared = this.prepare(connection, explained.sql);
    if (prepared.kind !== 'statement') return false;
    const outcome = this.runOn(connection, prepared, explained);
    if (!outcome.ok || !isQuickProgram(outcome.value.rows)) return false;
    if (this.quick.size >= provenMax) this.quick.clear();
    this.quick.add(sql);
    return true;
  }

  private prepare(connection: Connection, sql: string): Prepared {
    this.pagesRead = 0;
    return connection.prepare(sql, 'shared');
  }

  private runOn(
    connection: Connection,
    { statement }: Extract<Prepared, { kind: 'statement' }>,
    given: SqlStatement,
  ): SqlOutcome<SqlResult> {
    this.pagesRead = 0;
    this.wasm.call.sqlite3_stmt_status(statement.pointer, operationsCounter, 1);
    const outcome = connection.run(statement, given, this.counters, { bytes: 0 });
    connection.finish(statement);
    return outcome;
  }
}
