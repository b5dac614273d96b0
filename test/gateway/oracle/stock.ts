/** Stock SQLite on one connection, with the defaults that streams of the gateway have. */
import { DatabaseSync } from 'node:sqlite';
import { conditionHolds } from '../../../gateway/core/condition.ts';
import type { SqlOperation } from '../../../gateway/core/engine-protocol.ts';
import { countsRows, firstWord } from '../../../gateway/core/engine-text.ts';
import type { BatchResult, SqlOutcome, SqlResult, SqlValue } from '../../../gateway/core/sql.ts';

/** What an operation answered, made comparable: an outcome for each statement, a script's as a whole. */
export type Answer = readonly unknown[];

/** An outcome without what is told in other words: error messages. */
export function comparable(outcome: SqlOutcome<SqlResult> | null): unknown {
  if (outcome === null) return 'skipped';
  if (!outcome.ok) return outcome.error.code;
  const { columns, rows, affectedRowCount, lastInsertRowid } = outcome.value;
  return { columns, rows, affectedRowCount, lastInsertRowid };
}

const codes: Readonly<Record<number, string>> = {
  1: 'SQLITE_ERROR',
  5: 'SQLITE_BUSY',
  6: 'SQLITE_LOCKED',
  8: 'SQLITE_READONLY',
  11: 'SQLITE_CORRUPT',
  19: 'SQLITE_CONSTRAINT',
  20: 'SQLITE_MISMATCH',
};

export class StockSqlite {
  private readonly db = new DatabaseSync(':memory:', {
    enableDoubleQuotedStringLiterals: true,
    defensive: false,
  });

  constructor() {
    this.db.exec('PRAGMA page_size=4096; PRAGMA foreign_keys=on; PRAGMA trusted_schema=on');
  }

  perform(operation: SqlOperation): Answer {
    switch (operation.kind) {
      case 'execute':
        return [comparable(this.execute(operation.statement.sql))];
      case 'batch': {
        const results: BatchResult[number][] = [];
        for (const { condition, statement } of operation.steps) {
          const runs = conditionHolds(condition, results, !this.db.isTransaction);
          results.push(runs ? this.execute(statement.sql) : null);
        }
        return results.map(comparable);
      }
      case 'sequence':
        return [this.attempt(() => this.db.exec(operation.sql)).ok];
      case 'describe':
        return [];
    }
  }

  close(): void {
    this.db.close();
  }

  private execute(sql: string): SqlOutcome<SqlResult> {
    return this.attempt(() => {
      const statement = this.db.prepare(sql);
      statement.setReadBigInts(true);
      statement.setReturnArrays(true);
      const columns = statement.columns().map(({ name, type }) => ({ name, decltype: type }));
      const rows = statement.all() as unknown as SqlValue[][];
      const counts = countsRows(firstWord(sql));
      const [affected, rowid] = counts ? this.counters() : [0n, null];
      return { columns, rows, affectedRowCount: Number(affected), lastInsertRowid: rowid };
    });
  }

  private counters(): [bigint, bigint] {
    const statement = this.db.prepare('SELECT changes(), last_insert_rowid()');
    statement.setReadBigInts(true);
    statement.setReturnArrays(true);
    return statement.get() as unknown as [bigint, bigint];
  }

  private attempt<T>(run: () => T): SqlOutcome<T> {
    try {
      return { ok: true, value: run() };
    } catch (error) {
      const code: unknown = error instanceof Error ? Reflect.get(error, 'errcode') : null;
      if (typeof code !== 'number') throw error;
      const message = error instanceof Error ? error.message : '';
      return { ok: false, error: { code: codes[code & 255] ?? `SQLITE_${code}`, message } };
    }
  }
}
