/** What one statement may take that is answered where it arrives. */
import type { PageNo } from '../../../../storage/redo.ts';
import type { SqlResult } from '../../../sql/sql.ts';

export const quickLimits = {
  /** Operations of SQLite's machine in one statement, and in reading the schema. */
  operations: 2_000,
  /** Pages that one statement, or reading the schema, may read. */
  pages: 128,
  /** Rows of one statement, as the engine holds them. */
  resultBytes: 32 * 1024,
  /** SQLite's own page cache: so much more may a statement have at hand. */
  connectionCacheBytes: 256 * 1024,
  /** All memory that SQLite takes. */
  heapBytes: 16 * 1024 * 1024,
  /** A text, and the arguments that come with it. */
  textLength: 2_048,
  argumentBytes: 4_096,
} as const;

/** What became of a try. Only `answered` has been of any use. */
export type QuickRun =
  | { readonly kind: 'answered'; readonly result: SqlResult; readonly seen: number }
  | { readonly kind: 'lacksPage'; readonly page: PageNo }
  /** It met a bound. */
  | { readonly kind: 'bounded' }
  /** It fails, writes, or is not what it was taken for. */
  | { readonly kind: 'refused' };
