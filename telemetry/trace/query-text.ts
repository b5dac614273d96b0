/**
 * SQL as it may be shown to an operator: literals replaced, so that what users store does not leak into traces, and
 * statements that differ only in their values read the same.
 */

/** Longest text put on a span, characters. */
export const queryTextMax = 1024;
/** Longest statement looked at: a bulk INSERT of megabytes costs no more than its beginning. */
const scannedMax = 8192;
const cacheEntriesMax = 512;

// In this order: strings and blobs, quoted names (kept), comments (dropped), parameters and words (kept, so that a
// digit within `?1` or `t1` stays), numbers, white space.
const tokens =
  /([xX]?'(?:[^']|'')*(?:'|$))|("(?:[^"]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|\[[^\]]*(?:\]|$))|(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|([?:@$]?[A-Za-z_][\w$]*|\?\d+)|((?:0[xX][\da-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))|(\s+)/g;

const cache = new Map<string, string>();

/**
 * `sql` with string, blob and number literals replaced by `?`, comments removed, white space collapsed and the length
 * capped at `queryTextMax`. Double-quoted text is kept as a name, which is what SQLite takes it for first. Remembers
 * recent statements, since applications send the same ones again and again.
 */
export function queryText(sql: string): string {
  const known = cache.get(sql);
  if (known !== undefined) return known;
  const text = sql
    .slice(0, scannedMax)
    .replace(tokens, (token, literal, _name, comment, _word, numeral, space) => {
      if (literal !== undefined || numeral !== undefined) return '?';
      return comment !== undefined || space !== undefined ? ' ' : token;
    })
    .replace(/ {2,}/g, ' ')
    .trim();
  const capped = text.length > queryTextMax ? `${text.slice(0, queryTextMax - 1)}…` : text;
  // Starting over is as good as any eviction here: the statements that matter are back at once.
  if (cache.size >= cacheEntriesMax) cache.clear();
  if (sql.length <= scannedMax) cache.set(sql, capped);
  return capped;
}
