/**
 * Where a request goes: its path, and the consistency its streams read with. Stock clients use a stream per statement, so
 * that a PRAGMA is forgotten at once, and refuse query parameters they do not know; what all of them keep is the path of
 * their URL. So `http://host/read/global/` means the same gateway with `global` reads. Pure.
 */

import { type Bookmark, bookmarkHeader, parseBookmark } from '../../sql/bookmark.ts';
import { failure } from '../../sql/errors.ts';
import type { SqlOutcome } from '../../sql/sql.ts';
import { type ReadPreference, readPreferences } from '../../sql/stream-state.ts';

export interface HranaTarget {
  /** The path without the consistency and the query. */
  readonly path: string;
  /** Null where the request asks for none. */
  readonly readPreference: ReadPreference | null;
  /** What its client has seen; null where it shows nothing. */
  readonly bookmark: Bookmark | null;
}

const prefix = '/read/';
const parameter = 'sextant_read';

/** The header in which programs that can add one may ask for a consistency instead. */
export const readHeader = 'sextant-read';

/**
 * Reads the target of a request.
 * @param url as in the request line.
 * @param header the value of `readHeader`, which counts before the URL. @param mark that of `bookmarkHeader`.
 */
export function hranaTarget(
  url: string,
  header: string | string[] | undefined,
  mark?: string | string[],
): SqlOutcome<HranaTarget> {
  const bookmark = mark === undefined ? null : parseBookmark(String(mark));
  if (mark !== undefined && bookmark === null)
    return failure(
      'SEXTANT_PROTOCOL_ERROR',
      `${bookmarkHeader} is <epoch>.<lsn>, as an answer carried it, not ${JSON.stringify(String(mark).slice(0, 40))}.`,
    );
  const query = url.indexOf('?');
  let path = query < 0 ? url : url.slice(0, query);
  let asked: string | null = null;
  if (path.startsWith(prefix)) {
    const end = path.indexOf('/', prefix.length);
    asked = end < 0 ? path.slice(prefix.length) : path.slice(prefix.length, end);
    path = end < 0 ? '/' : path.slice(end);
    if (preferenceOf(asked) === null) return notThere(asked);
  }
  if (query >= 0) asked = new URLSearchParams(url.slice(query + 1)).get(parameter) ?? asked;
  if (header !== undefined) asked = String(header);
  if (asked === null) return { ok: true, value: { path, readPreference: null, bookmark } };
  const readPreference = preferenceOf(asked);
  if (readPreference !== null) return { ok: true, value: { path, readPreference, bookmark } };
  return failure(
    'SEXTANT_PROTOCOL_ERROR',
    `${JSON.stringify(asked.slice(0, 40))} is no consistency of reads. Use one of ${readPreferences.join(', ')}.`,
  );
}

function preferenceOf(text: string): ReadPreference | null {
  const lower = text.toLowerCase();
  return readPreferences.find((preference) => preference === lower) ?? null;
}

/** Without the slash at its end a client's base URL loses the last part of its path, which then is missing here. */
function notThere(asked: string): SqlOutcome<never> {
  return failure(
    'SEXTANT_NOT_FOUND',
    `There is no consistency ${JSON.stringify(asked.slice(0, 40))}: the URL of a client is /read/<${readPreferences.join('|')}>/, with the slash at its end.`,
  );
}
