/**
 * What one SQLite connection counts, told to the session whose statement runs. SQLite keeps `changes()`, `total_changes()` and
 * `last_insert_rowid()` per connection; here sessions take connections in turn, and a session may come back to another one.
 */
import type { PreparedStatement } from './sqlite-statement.ts';
import type { Pointer, SqliteWasm } from './sqlite-wasm.ts';

/** Of one session, changed in place while its statements run. */
export interface SessionCounters {
  changes: number;
  totalChanges: number;
  lastInsertRowid: bigint;
  /** Where they were counted last. */
  in?: SqliteCounters;
}

export class SqliteCounters {
  private readonly wasm: SqliteWasm;
  private readonly db: Pointer;
  /** Of the session whose statement runs. */
  private running: SessionCounters | null = null;
  /** Who counted here last. */
  private last: SessionCounters | null = null;
  private changesAtStart = 0;
  private totalAtStart = 0;

  constructor(wasm: SqliteWasm, db: Pointer) {
    this.wasm = wasm;
    this.db = db;
  }

  /** A statement of the session is about to run. */
  begin(session: SessionCounters): void {
    const { call } = this.wasm;
    this.running = session;
    if (!this.owns(session)) {
      call.sqlite3_set_last_insert_rowid(this.db, session.lastInsertRowid);
      this.changesAtStart = call.sqlite3_changes(this.db);
    }
    this.totalAtStart = call.sqlite3_total_changes(this.db);
  }

  /**
   * The statement has ended: the session's counters are what it left.
   * @param counting it counts the rows that it writes
   * @param failed with a plain error, as a cached statement does before it runs whose tables are gone
   * @returns the rows that it affected
   */
  end(
    session: SessionCounters,
    { readonly, forgetsChanges }: Pick<PreparedStatement, 'readonly' | 'forgetsChanges'>,
    counting: boolean,
    failed: boolean,
  ): number {
    const { call } = this.wasm;
    this.running = null;
    if (counting && (!failed || this.hasCounted(session))) {
      session.changes = call.sqlite3_changes(this.db);
      session.totalChanges += call.sqlite3_total_changes(this.db) - this.totalAtStart;
      session.lastInsertRowid = call.sqlite3_last_insert_rowid(this.db);
      this.own(session);
      return session.changes;
    }
    if (forgetsChanges) {
      session.changes = 0;
      this.own(session);
    } else if (!readonly) this.countOther(session);
    else if (!this.owns(session)) this.last = null;
    return 0;
  }

  /**
   * `changes()` as the session sees it: another session's statement may have run on this connection in between. What differs
   * from then is of the triggers of the statement that runs.
   */
  get changes(): number {
    const changes = this.wasm.call.sqlite3_changes(this.db);
    const { running } = this;
    if (running === null || this.owns(running) || changes !== this.changesAtStart) return changes;
    return running.changes;
  }

  /** `total_changes()` as the session sees it. */
  get totalChanges(): number {
    return (
      (this.running?.totalChanges ?? 0) + this.wasm.call.sqlite3_total_changes(this.db) - this.totalAtStart
    );
  }

  /** What SQLite counted is no session's any more: it was rolled back. */
  disown(): void {
    this.last = null;
  }

  /** SQLite's own numbers are this session's: no other has counted here since, and it has not counted elsewhere. */
  private owns(session: SessionCounters): boolean {
    return this.last === session && session.in === this;
  }

  private own(session: SessionCounters): void {
    this.last = session;
    session.in = this;
  }

  /** Statements that count no rows themselves may run others that do: those of a virtual table, foreign key actions of DROP TABLE. */
  private countOther(session: SessionCounters): void {
    const { call } = this.wasm;
    const changes = call.sqlite3_changes(this.db);
    session.totalChanges += call.sqlite3_total_changes(this.db) - this.totalAtStart;
    session.lastInsertRowid = call.sqlite3_last_insert_rowid(this.db);
    if (!this.hasCounted(session)) this.last = null;
    else {
      session.changes = changes;
      this.own(session);
    }
  }

  /** Whether `sqlite3_changes` speaks of a session: the number that another one left on this connection does not. */
  private hasCounted(session: SessionCounters): boolean {
    const { call } = this.wasm;
    return (
      this.owns(session) ||
      call.sqlite3_changes(this.db) !== this.changesAtStart ||
      call.sqlite3_total_changes(this.db) !== this.totalAtStart
    );
  }
}
