/** Rows of a statement on their way out of SQLite: as values, or, where they are many and the statement allows it, as text. */
import { RowsWriter } from '../../sql/row-text.ts';
import type { SqlResult, SqlStatement, SqlValue } from '../../sql/sql.ts';
import type { RunBudget } from './sqlite-runtime.ts';
import type { Pointer, SqliteWasm } from './sqlite-wasm.ts';

const columnType = { integer: 1, float: 2, text: 3, blob: 4 } as const;
/** Rows that take so much memory become text. Below it, values cost the main thread less than a part of its own. */
const textAtBytes = 64 * 1024;

export class RowCollector {
  private readonly wasm: SqliteWasm;
  private readonly given: SqlStatement;
  private readonly budget: RunBudget;
  private readonly rows: SqlValue[][] = [];
  private writer: RowsWriter | null = null;
  /** What the budget was without `rows`. */
  private bytesBefore: number;

  /** @param budget of the operation; its `bytes` are what all its rows take here, values or text. */
  constructor(wasm: SqliteWasm, given: SqlStatement, budget: RunBudget) {
    this.wasm = wasm;
    this.given = given;
    this.budget = budget;
    this.bytesBefore = budget.bytes;
  }

  /** Takes the current row of a statement, if anybody wants it. */
  take(pointer: Pointer, columns: number): void {
    if (!this.given.wantRows) return;
    this.rows.push(readRow(this.wasm, pointer, columns, this.budget));
    if (this.given.textRows === true && this.budget.bytes - this.bytesBefore >= textAtBytes) this.write();
  }

  finish(): Pick<SqlResult, 'rows' | 'rowsText'> {
    if (this.writer === null) return { rows: this.rows };
    this.write();
    return { rows: this.rows, rowsText: this.writer.finish() };
  }

  private write(): void {
    this.writer ??= new RowsWriter();
    this.bytesBefore += this.writer.write(this.rows);
    this.budget.bytes = this.bytesBefore;
    this.rows.length = 0;
  }
}

/** The current row; `size` adds up what it takes in memory. */
function readRow(wasm: SqliteWasm, pointer: Pointer, columns: number, size: { bytes: number }): SqlValue[] {
  const { call } = wasm;
  const row: SqlValue[] = new Array(columns);
  let bytes = 16;
  for (let column = 0; column < columns; column++) {
    switch (call.sqlite3_column_type(pointer, column)) {
      case columnType.integer:
        row[column] = call.sqlite3_column_int64(pointer, column);
        bytes += 16;
        break;
      case columnType.float:
        row[column] = call.sqlite3_column_double(pointer, column);
        bytes += 16;
        break;
      case columnType.text: {
        const text = call.sqlite3_column_text(pointer, column);
        const length = call.sqlite3_column_bytes(pointer, column);
        row[column] = length === 0 ? '' : wasm.heap().toString('utf8', text, text + length);
        bytes += 16 + length;
        break;
      }
      case columnType.blob: {
        const blob = call.sqlite3_column_blob(pointer, column);
        const length = call.sqlite3_column_bytes(pointer, column);
        row[column] =
          length === 0 ? new Uint8Array(0) : new Uint8Array(wasm.heap().subarray(blob, blob + length));
        bytes += 16 + length;
        break;
      }
      default:
        row[column] = null;
        bytes += 8;
    }
  }
  size.bytes += bytes;
  return row;
}
