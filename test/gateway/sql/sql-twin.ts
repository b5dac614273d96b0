/**
 * An `SqlService` over node:sqlite, for tests of the protocol layer: snapshot reads beside an open writer, writers
 * that queue, interactive transactions, primary SQLite codes. It stands in for the engine, and shares no code with it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { RowsWriter } from '../../../gateway/engine/sqlite/rows-writer.ts';
import { conditionHolds } from '../../../gateway/sql/condition.ts';
import { failure } from '../../../gateway/sql/errors.ts';
import type {
  BatchStep,
  SessionOptions,
  SqlDescription,
  SqlOutcome,
  SqlRequestContext,
  SqlResult,
  SqlService,
  SqlSession,
  SqlStatement,
  SqlValue,
} from '../../../gateway/sql/sql.ts';

const codes: Readonly<Record<number, `SQLITE_${string}`>> = {
  1: 'SQLITE_ERROR',
  5: 'SQLITE_BUSY',
  8: 'SQLITE_READONLY',
  18: 'SQLITE_TOOBIG',
  19: 'SQLITE_CONSTRAINT',
  20: 'SQLITE_MISMATCH',
  25: 'SQLITE_RANGE',
};
const busyWaitMs = 5_000;

export interface SqlTwin {
  readonly service: SqlService;
  /** Its database file. */
  readonly path: string;
  /** Sessions opened and not closed. */
  openSessions(): number;
  /** The contexts of all requests so far. */
  readonly contexts: SqlRequestContext[];
  /** What sessions were opened with, in order. */
  readonly opened: (SessionOptions | undefined)[];
  /** Statements run so far, in order. */
  readonly statements: string[];
  /** Settles when no session is open. */
  idle(): Promise<void>;
  /** From now on statements wait until the returned function is called. */
  hold(): () => void;
  /** At most this many sessions may be open. */
  maxSessions: number;
  close(): void;
}

class TwinSession implements SqlSession {
  readonly bookmark = null;

  readonly #twin: TwinState;
  readonly #db: DatabaseSync;
  readonly #flags: { closed: boolean } = { closed: false };

  constructor(twin: TwinState) {
    this.#twin = twin;
    this.#db = new DatabaseSync(twin.path, { timeout: 0, defensive: false });
  }

  async execute(statement: SqlStatement, context: SqlRequestContext): Promise<SqlOutcome<SqlResult>> {
    this.#twin.contexts.push(context);
    return this.#one(statement);
  }

  async batch(steps: readonly BatchStep[], context: SqlRequestContext) {
    this.#twin.contexts.push(context);
    const outcomes: (SqlOutcome<SqlResult> | null)[] = [];
    for (const { condition, statement } of steps) {
      const runs = conditionHolds(condition, outcomes, this.isAutocommit());
      outcomes.push(runs ? await this.#one(statement) : null);
    }
    return { ok: true as const, value: outcomes };
  }

  async sequence(sql: string, context: SqlRequestContext): Promise<SqlOutcome<null>> {
    this.#twin.contexts.push(context);
    return this.#attempt(sql, () => {
      this.#db.exec(sql);
      return null;
    });
  }

  async describe(sql: string, context: SqlRequestContext): Promise<SqlOutcome<SqlDescription>> {
    this.#twin.contexts.push(context);
    return this.#attempt(sql, () => ({
      params: [...sql.matchAll(/[?:@$]\w*/g)].map(([name]) => ({ name: name === '?' ? null : name })),
      columns: this.#db
        .prepare(sql)
        .columns()
        .map(({ name, type }) => ({ name, decltype: type })),
      isExplain: /^\s*explain/i.test(sql),
      isReadonly: /^\s*(select|explain|commit|begin|rollback)/i.test(sql),
    }));
  }

  show(): void {
    // One database on one connection: nothing is behind.
  }

  isAutocommit(): boolean {
    return this.#flags.closed || !this.#db.isTransaction;
  }

  async close(): Promise<void> {
    if (this.#flags.closed) return;
    this.#flags.closed = true;
    this.#db.close();
    this.#twin.closed(this);
  }

  async #attempt<T>(sql: string, run: () => T): Promise<SqlOutcome<T>> {
    await this.#twin.gate;
    const deadline = performance.now() + busyWaitMs;
    for (;;) {
      if (this.#flags.closed) return failure('STREAM_EXPIRED', 'the session was closed');
      try {
        this.#twin.statements.push(sql);
        const value = run();
        if (this.isAutocommit()) this.#twin.wake();
        return { ok: true, value };
      } catch (error) {
        const code = errorCode(error);
        const message = error instanceof Error ? error.message : String(error);
        // 517 is SQLITE_BUSY_SNAPSHOT: waiting cannot help a transaction that read an old snapshot.
        if (code !== 5 || performance.now() > deadline) {
          if (code === null) return failure('ARGS_INVALID', message);
          const name = codes[code & 255] ?? 'SQLITE_ERROR';
          if (this.isAutocommit()) this.#twin.wake();
          return failure(name, `${name}: ${message}`);
        }
        await this.#twin.freed();
      }
    }
  }

  #one(statement: SqlStatement): Promise<SqlOutcome<SqlResult>> {
    return this.#attempt(statement.sql, () => {
      const prepared = this.#db.prepare(statement.sql);
      prepared.setReadBigInts(true);
      prepared.setReturnArrays(true);
      const columns = prepared.columns().map(({ name, type }) => ({ name, decltype: type }));
      const before = this.#integer('SELECT total_changes()');
      const named = Object.fromEntries(statement.namedArgs.map(({ name, value }) => [name, value]));
      const args = [...statement.args];
      const rows: unknown[] = statement.namedArgs.length > 0 ? prepared.all(named) : prepared.all(...args);
      const changed = this.#integer('SELECT total_changes()') > before;
      return {
        columns,
        ...rowsFor(statement, rows.map(toRow)),
        affectedRowCount: changed ? Number(this.#integer('SELECT changes()')) : 0,
        lastInsertRowid: changed ? this.#integer('SELECT last_insert_rowid()') : null,
      };
    });
  }

  #integer(sql: string): bigint {
    const statement = this.#db.prepare(sql);
    statement.setReadBigInts(true);
    const [value] = Object.values(statement.get() ?? {});
    if (typeof value !== 'bigint') throw new Error(`${sql} gave no integer`);
    return value;
  }
}

function toRow(row: unknown): SqlValue[] {
  if (!Array.isArray(row)) throw new Error('node:sqlite returned a row that is no array');
  return row.map((value: unknown): SqlValue => {
    if (value === null || value instanceof Uint8Array) return value;
    if (typeof value === 'bigint' || typeof value === 'number' || typeof value === 'string') return value;
    throw new Error(`node:sqlite returned a ${typeof value}`);
  });
}

function errorCode(error: unknown): number | null {
  if (typeof error !== 'object' || error === null) return null;
  const code: unknown = Reflect.get(error, 'errcode');
  return typeof code === 'number' ? code : null;
}

class TwinState {
  readonly path: string;
  readonly contexts: SqlRequestContext[] = [];
  readonly opened: (SessionOptions | undefined)[] = [];
  readonly statements: string[] = [];
  readonly sessions = new Set<TwinSession>();
  gate: Promise<void> = Promise.resolve();
  #waiters: (() => void)[] = [];
  #idlers: (() => void)[] = [];

  constructor(path: string) {
    this.path = path;
  }

  /** Settles when a writer may have finished. */
  freed(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }

  idle(): Promise<void> {
    return this.sessions.size === 0
      ? Promise.resolve()
      : new Promise((resolve) => this.#idlers.push(resolve));
  }

  closed(session: TwinSession): void {
    this.sessions.delete(session);
    this.wake();
    if (this.sessions.size > 0) return;
    const idlers = this.#idlers;
    this.#idlers = [];
    for (const idler of idlers) idler();
  }
}

/** A fresh empty database in a temporary directory; `close` removes it. */
export function createSqlTwin(): SqlTwin {
  const directory = mkdtempSync(join(tmpdir(), 'sextant-twin-'));
  const state = new TwinState(join(directory, 'db'));
  const keeper = new DatabaseSync(state.path);
  keeper.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF');
  const twin: SqlTwin = {
    path: state.path,
    maxSessions: 10_000,
    contexts: state.contexts,
    opened: state.opened,
    statements: state.statements,
    openSessions: () => state.sessions.size,
    idle: () => state.idle(),
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      state.gate = promise;
      return resolve;
    },
    service: {
      openSession: (options) => {
        state.opened.push(options);
        if (state.sessions.size >= twin.maxSessions)
          return failure('SEXTANT_LIMIT', 'The limit maxSessions is reached');
        const session = new TwinSession(state);
        state.sessions.add(session);
        return { ok: true, value: session };
      },
    },
    close: () => {
      for (const session of state.sessions) void session.close();
      keeper.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return twin;
}

/** Several rows come as text where they may, so that both ways are seen. */
function rowsFor(
  { wantRows, textRows }: SqlStatement,
  rows: readonly (readonly SqlValue[])[],
): Pick<SqlResult, 'rows' | 'rowsText'> {
  if (!wantRows) return { rows: [] };
  if (textRows !== true || rows.length < 2) return { rows };
  const writer = new RowsWriter();
  for (const row of rows) writer.write([row]);
  return { rows: [], rowsText: writer.finish() };
}
