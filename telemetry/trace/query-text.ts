/**
 * SQL as it may be shown to an operator: literals replaced, so that what users store does not leak into traces, and
 * statements that differ only in their values read the same.
 */
import type { DbSystem } from './names.ts';

/** Longest text put on a span, characters. */
export const queryTextMax = 1024;
/** Longest statement looked at: a bulk INSERT of megabytes costs no more than its beginning. */
const scannedMax = 8192;
const cacheEntriesMax = 512;

/** As a dialect writes it; the first that matches counts. What none of them matches is kept. */
const comment = String.raw`(?<gap>--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|\s+)`;
const singleQuoted = `'(?:[^']|'')*(?:'|$)`;
const doubleQuoted = `"(?:[^"]|"")*(?:"|$)`;
const exponent = String.raw`(?:[eE][+-]?\d+)?`;

/** Literals, quoted names (kept), gaps, parameters and words (kept, so that a digit within `?1`, `$1` or `t1` stays), numbers. */
const tokens: Readonly<Record<DbSystem, RegExp>> = {
  sqlite: new RegExp(
    [
      `(?<literal>[xX]?${singleQuoted})`,
      `${doubleQuoted}|\x60(?:[^\x60]|\x60\x60)*(?:\x60|$)|\\[[^\\]]*(?:\\]|$)`,
      comment,
      String.raw`[?:@$]?[A-Za-z_][\w$]*|\?\d+`,
      String.raw`(?<number>0[xX][\da-fA-F]+|(?:\d+\.?\d*|\.\d+)${exponent})`,
    ].join('|'),
    'g',
  ),
  postgresql: new RegExp(
    [
      String.raw`(?<literal>[eE]'(?:\\[\s\S]|''|[^'\\])*(?:'|$)|(?:[xXbBnN]|[uU]&)?${singleQuoted}|\$(?<tag>[A-Za-z_]\w*)?\$[\s\S]*?(?:\$\k<tag>\$|$))`,
      doubleQuoted,
      comment,
      String.raw`[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|\$\d+`,
      String.raw`(?<number>0[xXoObB][\da-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)${exponent})`,
    ].join('|'),
    'g',
  ),
};

const caches: Readonly<Record<DbSystem, Map<string, string>>> = { sqlite: new Map(), postgresql: new Map() };

/**
 * `sql` with string, blob and number literals replaced by `?`, comments removed, white space collapsed and the length
 * capped at `queryTextMax`. Double-quoted text is kept as a name, which is what SQLite takes it for first. Remembers
 * recent statements, since applications send the same ones again and again.
 */
export function queryText(sql: string, system: DbSystem): string {
  const cache = caches[system];
  const known = cache.get(sql);
  if (known !== undefined) return known;
  const text = sql
    .slice(0, scannedMax)
    .replace(tokens[system], (token, ...rest) => {
      const groups: Readonly<Record<string, string | undefined>> = rest.at(-1);
      if (groups.literal !== undefined || groups.number !== undefined) return '?';
      return groups.gap !== undefined ? ' ' : token;
    })
    .replace(/ {2,}/g, ' ')
    .trim();
  const capped = text.length > queryTextMax ? `${text.slice(0, queryTextMax - 1)}…` : text;
  // Starting over is as good as any eviction here: the statements that matter are back at once.
  if (cache.size >= cacheEntriesMax) cache.clear();
  if (sql.length <= scannedMax) cache.set(sql, capped);
  return capped;
}
