/** What can be told about a statement from its first words, before SQLite has parsed it. Pure. */

const blank = /^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?(?:\*\/|$)|;)+/;

/** The text without leading blanks, comments and empty statements. */
export function withoutLeadingBlanks(sql: string): string {
  return sql.replace(blank, '');
}

/** First word in upper case; empty when the text holds no statement. */
export function firstWord(sql: string): string {
  const direct = /^[A-Za-z]+/.exec(sql);
  const found = direct ?? /^[A-Za-z]+/.exec(withoutLeadingBlanks(sql));
  return found === null ? '' : found[0].toUpperCase();
}

/** True for `BEGIN [TRANSACTION] READONLY`, with which libSQL clients open a transaction that must not write. */
export function isReadonlyBegin(sql: string): boolean {
  const text = withoutLeadingBlanks(sql).replace(/\/\*[\s\S]*?\*\/|--[^\n]*/g, ' ');
  return /^BEGIN\s+(?:(?:DEFERRED\s+)?TRANSACTION\s+)?READONLY\s*;?\s*$/i.test(text);
}

/** How SQLite spells `BEGIN READONLY`: a transaction of that name. */
export const readonlyBegin = 'BEGIN TRANSACTION READONLY';

const shortReadonlyBegin = /^BEGIN\s+READONLY\s*(?:;|$)/i;

/** The beginning of a text, blanks included, that is `BEGIN READONLY`, which SQLite cannot parse; empty when it begins otherwise. */
export function shortReadonlyBeginOf(sql: string): string {
  const text = withoutLeadingBlanks(sql);
  const length = shortReadonlyBegin.exec(text)?.[0].length ?? 0;
  return length === 0 ? '' : sql.slice(0, sql.length - text.length + length);
}

/** True for statements that count rows: those after which `changes()` means this statement. */
export function countsRows(word: string): boolean {
  return word === 'INSERT' || word === 'UPDATE' || word === 'DELETE' || word === 'REPLACE' || word === 'WITH';
}

const writingPragmas: ReadonlySet<string> = new Set([
  'application_id',
  'auto_vacuum',
  'incremental_vacuum',
  'optimize',
  'schema_version',
  'user_version',
]);

/** Whether a PRAGMA writes to the volume. */
export function isWritingPragma(name: string, value: string | null): boolean {
  const lower = name.toLowerCase();
  return writingPragmas.has(lower) && (value !== null || lower === 'incremental_vacuum');
}
