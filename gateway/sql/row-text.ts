/** Values and rows as JSON of the libSQL protocol. Pure. */
import type { SqlValue } from './sql.ts';
import { encodeBase64 } from './values.ts';

/** Rows that have been written, without the brackets around them all: UTF-8 in parts, each with memory of its own. */
export interface RowsText {
  readonly parts: readonly Uint8Array[];
}

/**
 * One value as JSON text: integers as strings, blobs in base64 without padding. An infinity leaves as NULL: JSON has no number for
 * it, and the clients of most languages refuse `1e999` and a float whose value is `null` alike.
 */
export function encodeValue(value: SqlValue): string {
  switch (typeof value) {
    case 'bigint':
      return `{"type":"integer","value":"${value}"}`;
    case 'number':
      if (!Number.isFinite(value)) return '{"type":"null"}';
      return `{"type":"float","value":${Object.is(value, -0) ? '-0.0' : value}}`;
    case 'string':
      return `{"type":"text","value":${JSON.stringify(value)}}`;
    default:
      return value === null ? '{"type":"null"}' : `{"type":"blob","base64":"${encodeBase64(value)}"}`;
  }
}

export function encodeRow(row: readonly SqlValue[]): string {
  let text = '[';
  for (const value of row) {
    if (text.length > 1) text += ',';
    text += encodeValue(value);
  }
  return `${text}]`;
}
