/**
 * Hrana responses, from types to JSON text. Written by hand because every response passes here: strings are
 * built in one pass and given up early when they pass the size limit.
 */

import { encodeRow } from '../../sql/row-text.ts';
import type {
  BatchResult,
  SqlColumn,
  SqlDescription,
  SqlError,
  SqlOutcome,
  SqlResult,
} from '../../sql/sql.ts';
import { type AnswerText, joinText, textLength } from './answer-text.ts';

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

function encodeRowid(rowid: bigint | null): string {
  return rowid === null ? 'null' : `"${rowid}"`;
}

/** `{message, code}`. */
export function encodeError(error: SqlError): string {
  return `{"message":${JSON.stringify(error.message)},"code":${JSON.stringify(error.code)}}`;
}

/** `StmtResult`, or null when it would be longer than `maxLength` UTF-16 units. */
export function encodeResult(result: SqlResult, maxLength: number): AnswerText | null {
  let text = `{"cols":${encodeColumns(result.columns)},"rows":[`;
  if (result.rowsText !== undefined) {
    const { parts } = result.rowsText;
    return textLength(parts) > maxLength ? null : joinText([text, parts, endOfResult(result)]);
  }
  let first = true;
  for (const row of result.rows) {
    text += first ? encodeRow(row) : `,${encodeRow(row)}`;
    first = false;
    if (text.length > maxLength) return null;
  }
  return text + endOfResult(result);
}

function endOfResult(result: SqlResult): string {
  let text = `],"affected_row_count":${result.affectedRowCount},"last_insert_rowid":${encodeRowid(result.lastInsertRowid)}`;
  if (result.rowsRead !== undefined) text += `,"rows_read":${result.rowsRead}`;
  if (result.rowsWritten !== undefined) text += `,"rows_written":${result.rowsWritten}`;
  return `${text}}`;
}

/** `BatchResult`: one slot per step, both null for a skipped step; or null when too long. */
export function encodeBatchResult(batch: BatchResult, maxLength: number): AnswerText | null {
  const texts: AnswerText[] = ['{"step_results":['];
  let length = 0;
  let errors = '';
  for (const [index, outcome] of batch.entries()) {
    let result: AnswerText | null = 'null';
    let error = 'null';
    if (outcome?.ok === true) result = encodeResult(outcome.value, maxLength - length);
    else if (outcome?.ok === false) error = encodeError(outcome.error);
    if (result === null) return null;
    if (index > 0) texts.push(',');
    texts.push(result);
    length += textLength(result) + 1;
    errors += index === 0 ? error : `,${error}`;
    if (length + errors.length > maxLength) return null;
  }
  texts.push(`],"step_errors":[${errors}]}`);
  return joinText(texts);
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
