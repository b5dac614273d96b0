/** The engine's connections: those of no session lie idle, most recently used on top, so that its caches stay warm. */
import assert from 'node:assert/strict';
import { failure } from '../../sql/errors.ts';
import type { SqlOutcome } from '../../sql/sql.ts';
import { type StreamSetting, sameSettings } from '../../sql/stream-state.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import type { PageStore } from '../core/page-store.ts';
import { Connection } from '../sqlite/sqlite-connection.ts';
import type { SqliteRuntime } from '../sqlite/sqlite-runtime.ts';
import type { PreparedStatement } from '../sqlite/sqlite-statement.ts';

export class ConnectionPool {
  private runtime: SqliteRuntime;
  private readonly limits: EngineLimits;
  private readonly store: () => PageStore;
  private idle: Connection[] = [];
  private open = 0;
  private held = 0;
  /** SQLite's memory before the statement that may fill them, bytes. */
  private heapBefore = 0;

  /** @param store the pages new connections read. */
  constructor(runtime: SqliteRuntime, limits: EngineLimits, store: () => PageStore) {
    this.runtime = runtime;
    this.limits = limits;
    this.store = store;
  }

  /**
   * A connection outside any transaction, set up as a stream wants it; given back with `giveBack`, or with `close` when it was
   * kept for a session.
   */
  borrow(settings: readonly StreamSetting[]): SqlOutcome<Connection> {
    const idle = this.takeIdle(settings);
    if (idle !== null) {
      idle.giveSettings(settings);
      return { ok: true, value: idle };
    }
    if (this.isFull) {
      const text = `The limit connections = ${this.limits.connections} is reached. Try again after a pause.`;
      return failure('TRANSACTION_BUSY', text);
    }
    const opened = Connection.open(this.runtime, this.store());
    if (opened.ok) {
      this.open++;
      opened.value.giveSettings(settings);
    }
    return opened;
  }

  private takeIdle(settings: readonly StreamSetting[]): Connection | null {
    const last = this.idle.at(-1);
    if (last !== undefined && sameSettings(last.settings, settings)) return this.idle.pop() ?? null;
    const at = this.idle.findLastIndex((connection) => sameSettings(connection.settings, settings));
    const [same] = at < 0 ? [] : this.idle.splice(at, 1);
    if (same !== undefined) return same;
    // Changing settings makes SQLite compile what is cached anew: done to the connection that was used longest ago.
    return this.idle.length > 1 || this.isFull ? (this.idle.shift() ?? null) : null;
  }

  /** Connections that are somebody's now. */
  get lent(): number {
    return this.open - this.idle.length;
  }

  private measureHeld(connection: Connection): void {
    this.held -= connection.heldMemory.bytes;
    connection.heldMemory.measure();
    this.held += connection.heldMemory.bytes;
  }

  /** Before a statement that may fill temporary tables or attached databases. */
  boundHeld(connection: Connection): void {
    const { streamTempBytes, tempBytes } = this.limits;
    this.measureHeld(connection);
    connection.heldMemory.bound(
      Math.min(streamTempBytes - connection.heldMemory.bytes, tempBytes - this.held),
    );
    this.heapBefore = this.runtime.wasm.markHeap();
  }

  /** After it. @returns its outcome, where the bound is named that it met. */
  afterGrowth<T>(
    connection: Connection,
    { onlyMain }: PreparedStatement,
    outcome: SqlOutcome<T>,
  ): SqlOutcome<T> {
    const grownBytes = this.runtime.wasm.heapMost() - this.heapBefore;
    this.measureHeld(connection);
    if (outcome.ok || outcome.error.code !== 'SQLITE_FULL') return outcome;
    if (onlyMain || !connection.heldMemory.metBound(grownBytes)) return outcome;
    const { streamTempBytes, tempBytes } = this.limits;
    return failure(
      'SQLITE_FULL',
      `The temporary tables and attached databases of one stream may take streamTempBytes = ${streamTempBytes}, those of all streams tempBytes = ${tempBytes}. Drop some, or use tables of the volume.`,
    );
  }

  private get isFull(): boolean {
    return this.open >= this.limits.connections;
  }

  giveBack(connection: Connection): void {
    if (this.idle.length < this.limits.idleConnections) this.idle.push(connection);
    else this.close(connection);
  }

  /** Rolls back what is open on a borrowed connection and closes it. */
  close(connection: Connection): void {
    this.held -= connection.heldMemory.bytes;
    connection.close();
    this.open--;
  }

  /** Closes the idle connections, after every borrowed one was closed. */
  reset(): void {
    for (const connection of this.idle) connection.file.dead = true;
    this.closeIdle();
    assert.equal(this.open, 0, 'every connection belongs to a session or lies idle');
  }

  private closeIdle(): void {
    for (const connection of this.idle.splice(0)) this.close(connection);
  }

  /** Opens connections in another SQLite from now on; none is lent. */
  use(runtime: SqliteRuntime): void {
    this.closeIdle();
    assert.equal(this.open, 0, 'no connection of the other SQLite is left');
    this.runtime = runtime;
  }
}
