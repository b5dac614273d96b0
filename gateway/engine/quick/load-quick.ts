/** The SQLite of a thread that answers some statements itself: loaded when the first of them comes, since many a gateway never needs it. */
import type { EngineLimits } from '../core/engine-limits.ts';
import { sqliteCode } from '../sqlite-code.ts';
import type { QuickSqlite } from './quick-sqlite.ts';

/** @throws Error when it cannot be loaded. */
export async function loadQuick(limits: EngineLimits): Promise<QuickSqlite> {
  const [code, program] = await Promise.all([sqliteCode(), import('./quick-sqlite.ts')]);
  return program.QuickSqlite.load(code, limits);
}
