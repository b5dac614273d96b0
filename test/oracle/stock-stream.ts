/** Stock SQLite as the oracle: one `node:sqlite` connection is one stream, in a file that outlasts it. */
import { constants, DatabaseSync } from 'node:sqlite';
import { conditionHolds } from '../../gateway/sql/condition.ts';
import type { SqlOutcome, SqlResult, SqlValue } from '../../gateway/sql/sql.ts';
import {
  type Answer,
  type Column,
  description,
  type Outcome,
  ownColumns,
  type StatementAnswer,
} from './answer.ts';
import type { Operation, Statement, Step } from './script.ts';

const codes: Readonly<Record<number, string>> = {
  1: 'SQLITE_ERROR',
  4: 'SQLITE_ABORT',
  5: 'SQLITE_BUSY',
  6: 'SQLITE_LOCKED',
  8: 'SQLITE_READONLY',
  11: 'SQLITE_CORRUPT',
  13: 'SQLITE_FULL',
  17: 'SQLITE_SCHEMA',
  18: 'SQLITE_TOOBIG',
  19: 'SQLITE_CONSTRAINT',
  20: 'SQLITE_MISMATCH',
  21: 'SQLITE_MISUSE',
  25: 'SQLITE_RANGE',
};

const readonlyBegin = /^BEGIN\s+(?:(?:DEFERRED\s+)?TRANSACTION\s+)?READONLY$/i;
const writesRows =
  /^(?:\s|\/\*.*?\*\/|--.*\n|\ufeff)*(?:(?:INSERT|UPDATE|DELETE|REPLACE)\b|WITH\b[\s\S]*\b(?:INSERT|REPLACE)\s+(?:OR\s+\w+\s+)?INTO\b|WITH\b[\s\S]*\)\s*(?:UPDATE|DELETE)\b)/i;
/** A PRAGMA takes effect while SQLite prepares it; Sextant describes one without, so that its description is not compared. */
export const settingPragma = /^(?:\s|\/\*.*?\*\/)*(?:EXPLAIN\s+(?:QUERY\s+PLAN\s+)?)?PRAGMA\b[\s\S]*[=(]/i;
/** Rows of the schema of `main` are changed by hand. */
const editsSchema =
  /^(?:\s|\/\*.*?\*\/)*(?:INSERT|UPDATE|DELETE|REPLACE)\b(?:\s+(?:OR\s+\w+|INTO|FROM))*\s+(?:main\.)?sqlite_(?:schema|master)\b/i;
const undoesAll = /^(?:\s|\/\*.*?\*\/)*ROLLBACK\b(?![\s\S]*\bTO\b)/i;
/** What the authorizer calls writing; the fourth argument is the database. */
const writeActions: ReadonlySet<number> = new Set([
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 23, 27, 28, 29, 30,
]);

export function cell(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'bigint') return `${value}`;
  // Infinite floats leave as NULL.
  if (typeof value === 'number') return Number.isFinite(value) ? `float ${value}` : 'null';
  if (typeof value === 'string') return `'${value}'`;
  if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString('hex')}'`;
  throw new Error(`SQLite answered with a ${typeof value}`);
}

/** What Sextant's protocol answers by itself: `conditionHolds` only asks whether a step went well. */
function asOutcome(answer: StatementAnswer): SqlOutcome<SqlResult> | null {
  if (answer.kind === 'skipped') return null;
  if (answer.kind === 'error') return { ok: false, error: answer };
  return { ok: true, value: { columns: [], rows: [], affectedRowCount: 0, lastInsertRowid: null } };
}

export class StockStream {
  private readonly path: string;
  private readonly foreignKeys: boolean;
  private db: DatabaseSync;
  private readonlyTransaction = false;
  private writesMain = false;
  /** The version of the schema before its rows were edited in a transaction that is open still; null while none were. */
  private editedFrom: SqlValue = null;

  /** @param foreignKeys whether a stream begins with them on. */
  constructor(path: string, foreignKeys = true) {
    this.path = path;
    this.foreignKeys = foreignKeys;
    this.db = this.open();
  }

  private open(): DatabaseSync {
    const db = new DatabaseSync(this.path, {
      enableForeignKeyConstraints: this.foreignKeys,
      enableDoubleQuotedStringLiterals: true,
      defensive: false,
    });
    // Settings that no script can see; without them a script would wait for the disk.
    db.exec(
      'PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096',
    );
    return db;
  }

  run(operation: Operation): Answer {
    const outcome = this.perform(operation);
    this.endReadonly();
    return { outcome, autocommit: !this.db.isTransaction };
  }

  close(): void {
    this.db.close();
  }

  private perform(operation: Operation): Outcome {
    switch (operation.kind) {
      case 'execute':
        return this.execute(operation.statement);
      case 'batch':
        return { kind: 'batch', steps: this.batch(operation.steps) };
      case 'sequence': {
        for (const sql of operation.statements) {
          const answer = this.execute({ sql, args: [] });
          if (answer.kind === 'error' && answer.code !== noStatement.code) return answer;
        }
        return { kind: 'done' };
      }
      case 'describe':
        return this.describe(operation.sql);
      case 'reopen':
        this.db.close();
        this.readonlyTransaction = false;
        this.editedFrom = null;
        this.db = this.open();
        return { kind: 'done' };
    }
  }

  private batch(steps: readonly Step[]): readonly StatementAnswer[] {
    const answers: StatementAnswer[] = [];
    for (const step of steps) {
      const runs = conditionHolds(step.condition, answers.map(asOutcome), !this.db.isTransaction);
      answers.push(runs ? this.execute(step) : { kind: 'skipped' });
    }
    return answers;
  }

  private execute({ sql, args }: Statement): StatementAnswer {
    this.endReadonly();
    try {
      const isReadonlyBegin = readonlyBegin.test(sql);
      this.writesMain = false;
      const prepared = this.db.prepare(isReadonlyBegin ? 'BEGIN' : sql);
      if (this.readonlyTransaction && this.writesMain)
        return { kind: 'error', code: 'SQLITE_READONLY', message: '' };
      prepared.setReadBigInts(true);
      prepared.setReturnArrays(true);
      if (editsSchema.test(sql)) this.editedFrom ??= this.schemaVersion();
      const found: unknown[] = prepared.all(...args);
      const rows = found.map((row) => (Array.isArray(row) ? row.map(cell) : []));
      if (isReadonlyBegin) this.beginReadonly();
      const counts = writesRows.test(sql) ? this.counters() : null;
      this.raiseSchemaVersion(sql);
      return {
        kind: 'result',
        columns: ownColumns(columnsOf(prepared.columns())),
        rows,
        affected: Number(counts?.[0] ?? 0),
        rowid: counts === null ? null : `${counts[1]}`,
      };
    } catch (error) {
      if (!this.db.isTransaction) this.editedFrom = null;
      return errorOf(error);
    }
  }

  /** G133: once edited rows of the schema are committed, it is another schema, also for the stream that edited them. */
  private raiseSchemaVersion(sql: string): void {
    if (this.editedFrom === null || this.db.isTransaction) return;
    const version = this.schemaVersion();
    if (version === this.editedFrom && !undoesAll.test(sql)) {
      const { query_only: isReadOnly } = this.db.prepare('PRAGMA query_only').get() ?? {};
      this.db.exec(`PRAGMA query_only = 0; PRAGMA schema_version = ${Number(version) + 1}`);
      this.db.exec(`PRAGMA query_only = ${Number(isReadOnly)}`);
    }
    this.editedFrom = null;
  }

  private schemaVersion(): SqlValue {
    const prepared = this.db.prepare('PRAGMA schema_version');
    prepared.setReadBigInts(true);
    return Object.values(prepared.get() ?? {})[0] ?? null;
  }

  private counters(): readonly SqlValue[] {
    const prepared = this.db.prepare('SELECT changes(), last_insert_rowid()');
    prepared.setReadBigInts(true);
    return Object.values(prepared.get() ?? {});
  }

  private beginReadonly(): void {
    this.readonlyTransaction = true;
    this.db.setAuthorizer((action, first, _second, database) => {
      const name = action === constants.SQLITE_ALTER_TABLE ? first : database;
      if ((writeActions.has(action) || action === constants.SQLITE_ALTER_TABLE) && name === 'main')
        this.writesMain = true;
      return constants.SQLITE_OK;
    });
  }

  private endReadonly(): void {
    if (!this.readonlyTransaction || this.db.isTransaction) return;
    this.readonlyTransaction = false;
    this.db.setAuthorizer(null);
  }

  private describe(sql: string): Outcome {
    if (settingPragma.test(sql)) return { kind: 'done' };
    try {
      const columns = columnsOf(this.db.prepare(readonlyBegin.test(sql) ? 'BEGIN' : sql).columns());
      return description(sql, columns, parametersOf(sql), !writesRows.test(sql));
    } catch (error) {
      return errorOf(error);
    }
  }
}

function columnsOf(columns: readonly { name: string; type: string | null }[]): readonly Column[] {
  return columns.map(({ name, type }) => ({ name, decltype: type }));
}

/** What Sextant says of a text without a statement, of which SQLite makes no error; in a script there may be such. */
const noStatement = {
  kind: 'error',
  code: 'SQL_NO_STATEMENT',
  message: 'The SQL text holds no statement.',
} as const;

function errorOf(error: unknown): StatementAnswer {
  if (error instanceof TypeError && error.message.includes('contains no statements')) return noStatement;
  const code: unknown = error instanceof Error ? Reflect.get(error, 'errcode') : undefined;
  if (typeof code !== 'number' || !(error instanceof Error)) throw error;
  return { kind: 'error', code: codes[code & 255] ?? `SQLite ${code}`, message: error.message };
}

/** How many arguments a statement takes: as many as it has `?`, or the highest number behind one. */
function parametersOf(sql: string): number {
  const found = [...sql.matchAll(/\?(\d*)/g)];
  return Math.max(0, ...found.map(([, number], at) => (number === '' ? at + 1 : Number(number))));
}
