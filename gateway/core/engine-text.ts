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

/** True for `BEGIN TRANSACTION READONLY` and `BEGIN READONLY`, with which libSQL clients open a transaction that must not write. */
export function isReadonlyBegin(sql: string): boolean {
  const text = withoutLeadingBlanks(sql).replace(/\/\*[\s\S]*?\*\/|--[^\n]*/g, ' ');
  return /^BEGIN\s+(?:DEFERRED\s+)?(?:TRANSACTION\s+)?READONLY\s*;?\s*$/i.test(text);
}

/** True for statements that count rows: those after which `changes()` means this statement. */
export function countsRows(word: string): boolean {
  return word === 'INSERT' || word === 'UPDATE' || word === 'DELETE' || word === 'REPLACE' || word === 'WITH';
}

/** PRAGMAs that read or write the volume whichever connection runs them; every other one with a value sets up its own connection. */
const volumePragmas: ReadonlySet<string> = new Set([
  'application_id',
  'auto_vacuum',
  'encoding',
  'foreign_key_check',
  'foreign_key_list',
  'freelist_count',
  'incremental_vacuum',
  'index_info',
  'index_list',
  'index_xinfo',
  'integrity_check',
  'journal_mode',
  'locking_mode',
  'optimize',
  'page_count',
  'page_size',
  'quick_check',
  'schema_version',
  'sextant_read',
  'synchronous',
  'table_info',
  'table_list',
  'table_xinfo',
  'temp_store',
  'user_version',
  'wal_checkpoint',
  'cache_spill',
  'mmap_size',
  'temp_store_directory',
  'data_store_directory',
]);

/** Whether a PRAGMA with a value changes only the connection it runs on, so that the session must keep that connection. */
export function isConnectionPragma(name: string, value: string | null): boolean {
  return value !== null && !volumePragmas.has(name.toLowerCase());
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
