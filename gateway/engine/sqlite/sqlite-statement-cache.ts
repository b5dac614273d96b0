/** Prepared statements that a connection keeps for the next time, the least recently used one given up first. */
import type { PreparedStatement } from './sqlite-statement.ts';
import type { SqliteWasm } from './sqlite-wasm.ts';

export class StatementCache {
  private readonly wasm: SqliteWasm;
  private readonly most: number;
  private readonly statements = new Map<string, PreparedStatement>();

  /** @param most how many are kept. */
  constructor(wasm: SqliteWasm, most: number) {
    this.wasm = wasm;
    this.most = most;
  }

  get(sql: string): PreparedStatement | undefined {
    const found = this.statements.get(sql);
    if (found === undefined) return undefined;
    this.statements.delete(sql);
    this.statements.set(sql, found);
    return found;
  }

  add(sql: string, statement: PreparedStatement): void {
    statement.cached = true;
    this.statements.set(sql, statement);
    if (this.statements.size <= this.most) return;
    for (const [oldest, { pointer }] of this.statements) {
      this.statements.delete(oldest);
      this.wasm.call.sqlite3_finalize(pointer);
      return;
    }
  }

  /** Gives up all of them. None may be in use. */
  clear(): void {
    for (const { pointer } of this.statements.values()) this.wasm.call.sqlite3_finalize(pointer);
    this.statements.clear();
  }
}
