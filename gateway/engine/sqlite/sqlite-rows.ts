/** Rows of a statement on their way out of SQLite: as values, or, where they are many and the statement allows it, as text. */

import type { SqlResult, SqlStatement, SqlValue } from '../../sql/sql.ts';
import { LyingText, longBytes, RowsWriter } from './rows-writer.ts';
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
    if (this.given.textRows !== true) this.rows.push(readRow(this.wasm, pointer, columns, this.budget, null));
    else this.takeText(pointer, columns);
  }

  finish(): Pick<SqlResult, 'rows' | 'rowsText'> {
    if (this.writer === null) return { rows: this.rows };
    this.write();
    return { rows: this.rows, rowsText: this.writer.finish() };
  }

  private takeText(pointer: Pointer, columns: number): void {
    const long: Long[] = [];
    const row = readRow(this.wasm, pointer, columns, this.budget, long);
    if (long.length > 0) {
      // What comes before it is written before it, and it is written before SQLite moves on.
      this.write();
      this.account([withLong(this.wasm, row, long)]);
      return;
    }
    this.rows.push(row);
    if (this.budget.bytes - this.bytesBefore >= textAtBytes) this.write();
  }

  private write(): void {
    this.account(this.rows);
    this.rows.length = 0;
  }

  private account(rows: readonly (readonly (SqlValue | LyingText)[])[]): void {
    this.writer ??= new RowsWriter();
    this.bytesBefore += this.writer.write(rows);
    this.budget.bytes = this.bytesBefore;
  }
}

/** A long text or blob of the current row, and where it lies. */
interface Long {
  readonly column: number;
  readonly at: Pointer;
  readonly length: number;
  readonly isText: boolean;
}

/** A row with its long values as views, which last until SQLite is called again. */
function withLong(
  wasm: SqliteWasm,
  row: readonly SqlValue[],
  long: readonly Long[],
): readonly (SqlValue | LyingText)[] {
  const whole: (SqlValue | LyingText)[] = [...row];
  const heap = wasm.heap();
  for (const { column, at, length, isText } of long) {
    const bytes = heap.subarray(at, at + length);
    whole[column] = isText ? new LyingText(bytes) : bytes;
  }
  return whole;
}

/**
 * The current row; `size` adds up what it takes in memory.
 * @param long gets what is long, for which the row has NULL; null where everything is to be read.
 */
function readRow(
  wasm: SqliteWasm,
  pointer: Pointer,
  columns: number,
  size: { bytes: number },
  long: Long[] | null,
): SqlValue[] {
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
        bytes += 16 + length;
        if (long !== null && length > longBytes) {
          row[column] = null;
          long.push({ column, at: text, length, isText: true });
        } else row[column] = length === 0 ? '' : wasm.heap().toString('utf8', text, text + length);
        break;
      }
      case columnType.blob: {
        const blob = call.sqlite3_column_blob(pointer, column);
        const length = call.sqlite3_column_bytes(pointer, column);
        bytes += 16 + length;
        if (long !== null && length > longBytes) {
          row[column] = null;
          long.push({ column, at: blob, length, isText: false });
        } else
          row[column] =
            length === 0 ? new Uint8Array(0) : new Uint8Array(wasm.heap().subarray(blob, blob + length));
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
