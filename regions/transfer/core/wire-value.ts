/**
 * SQL values on their way into a gateway: Hrana JSON text, exact. The client library's own encoder loses the sign of zero and
 * infinities, which a file may hold.
 */

/** A text that is no valid UTF-8, as its bytes. */
export class TextBytes {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** A value as SQLite stores it: integers are bigint, reals are number. */
export type FileValue = null | bigint | number | string | Uint8Array | TextBytes;

/** Beyond this a text is looked at twice: control characters take six bytes each in JSON. */
const longTextLength = 64 * 1024;

/** One argument of a statement. `asText`: a text that travels as bytes and becomes one at the other end. */
export interface WireValue {
  readonly json: string;
  readonly asText: boolean;
}

/** A real as a JSON number. `1e999` is read as infinity. SQLite has no NaN: it stores NULL. */
function encodeReal(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '1e999';
  if (value === Number.NEGATIVE_INFINITY) return '-1e999';
  return Object.is(value, -0) ? '-0.0' : String(value);
}

const encodeBlob = (bytes: Uint8Array): string =>
  `{"type":"blob","base64":"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')}"}`;

export function encodeWireValue(value: FileValue): WireValue {
  switch (typeof value) {
    case 'bigint':
      return { json: `{"type":"integer","value":"${value}"}`, asText: false };
    case 'number':
      return { json: `{"type":"float","value":${encodeReal(value)}}`, asText: false };
    case 'string': {
      const json = JSON.stringify(value);
      if (value.length > longTextLength && json.length > 2 * value.length)
        return { json: encodeBlob(Buffer.from(value)), asText: true };
      return { json: `{"type":"text","value":${json}}`, asText: false };
    }
    default:
      if (value === null) return { json: '{"type":"null"}', asText: false };
      return value instanceof TextBytes
        ? { json: encodeBlob(value.bytes), asText: true }
        : { json: encodeBlob(value), asText: false };
  }
}

/** `name` as an identifier in SQL. */
export const quotedName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** `text` as a string literal in SQL. */
export const quotedText = (text: string): string => `'${text.replaceAll("'", "''")}'`;
