/**
 * The PRAGMAs that set up a connection, and what each is on a new one. A stream's settings are those of its connection that
 * differ; they are told from SQLite's own answers, never from the words of a statement. Pure.
 */
import type { StreamSetting } from './stream-state.ts';

/** What a new connection answers. `cache_size` is the engine's to say. */
const fresh: ReadonlyMap<string, string> = new Map([
  ['analysis_limit', '0'],
  ['automatic_index', '1'],
  ['busy_timeout', '0'],
  ['cache_size', ''],
  ['case_sensitive_like', '0'],
  ['cell_size_check', '0'],
  ['checkpoint_fullfsync', '0'],
  ['count_changes', '0'],
  ['defer_foreign_keys', '0'],
  ['empty_result_callbacks', '0'],
  ['foreign_keys', '1'],
  ['full_column_names', '0'],
  ['fullfsync', '0'],
  ['ignore_check_constraints', '0'],
  ['journal_size_limit', '-1'],
  ['legacy_alter_table', '0'],
  ['max_page_count', '4294967294'],
  ['query_only', '0'],
  ['read_uncommitted', '0'],
  ['recursive_triggers', '0'],
  ['reverse_unordered_selects', '0'],
  ['secure_delete', '0'],
  ['short_column_names', '1'],
  ['synchronous', '2'],
  ['threads', '0'],
  ['trusted_schema', '1'],
  ['wal_autocheckpoint', '1000'],
  ['writable_schema', '0'],
]);

export const settingNames: readonly string[] = [...fresh.keys()];

/** Whether a PRAGMA, in lower case, sets up the connection it runs on. */
export function isSetting(name: string): boolean {
  return fresh.has(name);
}

/** Whether some of them change without being set: the end of a transaction turns this one off. */
export function fadeAtCommit(settings: readonly StreamSetting[]): boolean {
  return settings.some(({ name }) => name === 'defer_foreign_keys');
}

/** What a new connection has for a setting. @param cacheSize its `cache_size`. */
export function freshValue(name: string, cacheSize: string): string {
  return name === 'cache_size' ? cacheSize : (fresh.get(name) ?? '');
}

/** A query whose one value is the setting. */
export function settingQuery(name: string): string {
  // This one alone has no answer: it exchanges the functions behind LIKE.
  return name === 'case_sensitive_like' ? "SELECT NOT ('a' LIKE 'A')" : `PRAGMA ${name}`;
}

/** A value as its PRAGMA takes it; null when it is none a connection ever answered. */
export function settingValue(name: string, answered: string): string | null {
  if (!/^-?\d{1,20}$/.test(answered)) return null;
  return name === 'secure_delete' && answered === '2' ? 'fast' : answered;
}
