/**
 * Hrana responses, from types to JSON text. Written by hand because every response passes here: strings are
 * built in one pass and given up early when they pass the size limit.
 */

import type {
  BatchResult,
  SqlColumn,
  SqlDescription,
  SqlError,
  SqlOutcome,
  SqlResult,
  SqlValue,
} from '../../sql/sql.ts';
import { encodeValue } from './hrana-values.ts';

function nullableText(text: string | null): string {
  return text === null ? 'null' : JSON.stringify(text);
}

function encodeColumns(columns: readonly SqlColumn[]): string {
  let text = '[';
  for (const column of columns) {
    if (text.length > 1) text += ',';
    text += `{"name":${nullableText(column.name)},"decltype":${nullableText(column.decltype)}}`;
  }
  return `${text}]`;
}

function encodeRow(row: readonly SqlValue[]): string {
  let text = '[';
  for (const value of row) {
    if (text.length > 1) text += ',';
    text += encodeValue(value);
  }
  return `${text}]`;
}

function encodeRowid(rowid: bigint | null): string {
  return rowid === null ? 'null' : `"${rowid}"`;
}

/** `{message, code}`. */
export function encodeError(error: SqlError): string {
  return `{"message":${JSON.stringify(error.message)},"code":${JSON.stringify(error.code)}}`;
}

/** `StmtResult`, or null when it would be longer than `maxLength` UTF-16 units. */
export function encodeResult(result: SqlResult, maxLength: number): string | null {
  let text = `{"cols":${encodeColumns(result.columns)},"rows":[`;
  let first = true;
  for (const row of result.rows) {
    text += first ? encodeRow(row) : `,${encodeRow(row)}`;
    first = false;
    if (text.length > maxLength) return null;
  }
  text += `],"affected_row_count":${result.affectedRowCount},"last_insert_rowid":${encodeRowid(result.lastInsertRowid)}`;
  if (result.rowsRead !== undefined) text += `,"rows_read":${result.rowsRead}`;
  if (result.rowsWritten !== undefined) text += `,"rows_written":${result.rowsWritten}`;
  return `${text}}`;
}

/** `BatchResult`: one slot per step, both null for a skipped step; or null when too long. */
export function encodeBatchResult(batch: BatchResult, maxLength: number): string | null {
  let results = '';
  let errors = '';
  for (const [index, outcome] of batch.entries()) {
    let result: string | null = 'null';
    let error = 'null';
    if (outcome?.ok === true) result = encodeResult(outcome.value, maxLength - results.length);
    else if (outcome?.ok === false) error = encodeError(outcome.error);
    if (result === null) return null;
    results += index === 0 ? result : `,${result}`;
    errors += index === 0 ? error : `,${error}`;
    if (results.length + errors.length > maxLength) return null;
  }
  return `{"step_results":[${results}],"step_errors":[${errors}]}`;
}

/** `DescribeResult`. A column always has a name here, because clients insist. */
export function encodeDescription(description: SqlDescription): string {
  const params = description.params.map((param) => `{"name":${nullableText(param.name)}}`).join(',');
  const columns = encodeColumns(
    description.columns.map((column) => ({ ...column, name: column.name ?? '' })),
  );
  return `{"params":[${params}],"cols":${columns},"is_explain":${description.isExplain},"is_readonly":${description.isReadonly}}`;
}

/**
 * The entries of a cursor, in order, each one line of JSON. Skipped steps have none, and there is no
 * `replication_index`: the stock client refuses it.
 */
export function* encodeCursorEntries(outcome: SqlOutcome<BatchResult>): Generator<string, void, undefined> {
  if (!outcome.ok) {
    yield `{"type":"error","error":${encodeError(outcome.error)}}`;
    return;
  }
  for (const [step, result] of outcome.value.entries()) {
    if (result === null) continue;
    if (!result.ok) {
      yield `{"type":"step_error","step":${step},"error":${encodeError(result.error)}}`;
      continue;
    }
    const { columns, rows, affectedRowCount, lastInsertRowid } = result.value;
    yield `{"type":"step_begin","step":${step},"cols":${encodeColumns(columns)}}`;
    for (const row of rows) yield `{"type":"row","row":${encodeRow(row)}}`;
    yield `{"type":"step_end","affected_row_count":${affectedRowCount},"last_insert_rowid":${encodeRowid(lastInsertRowid)}}`;
  }
}
