/**
 * What SQLite asks before it compiles each part of a statement: what may not be done at all, and what a statement does beyond
 * its rows. It sees what SQLite makes of the text, so quotes, scripts and table functions hide nothing.
 */
import { redoLimits } from '../../../storage/redo.ts';
import { adviseError } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';
import { isWritingPragma } from '../../sql/statement-facts.ts';
import { isSetting } from '../../sql/stream-settings.ts';
import type { Pointer, SqliteWasm } from './sqlite-wasm.ts';

const result = { ok: 0, deny: 1, ignore: 2 } as const;

const action = {
  delete: 9,
  insert: 18,
  pragma: 19,
  read: 20,
  select: 21,
  transaction: 22,
  update: 23,
  attach: 24,
  detach: 25,
  alterTable: 26,
  function: 31,
  savepoint: 32,
  recursive: 33,
} as const;
/** Authorizer actions that write, whose fourth argument is the database. */
const writeActions: ReadonlySet<number> = new Set([
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 23, 27, 28, 29, 30,
]);

/** Those that make something in a schema, or remove it. */
const creates: ReadonlySet<number> = new Set([1, 2, 3, 4, 5, 6, 7, 8, 29]);
const drops: ReadonlySet<number> = new Set([10, 11, 12, 13, 14, 15, 16, 17, 30]);

/** PRAGMAs that tell what the connection holds of the schema, without a look whether it is still so. */
const schemaPragmas: ReadonlySet<string> = new Set([
  'foreign_key_check',
  'foreign_key_list',
  'index_info',
  'index_list',
  'index_xinfo',
  'integrity_check',
  'quick_check',
  'table_info',
  'table_list',
  'table_xinfo',
]);

/** For whom a statement is prepared. */
export type PrepareMode =
  /** A session that keeps this connection: it may have temporary objects and attach databases. */
  | 'own'
  /** Any session: a statement that would leave such things in the connection is refused with `needsOwn`. */
  | 'shared'
  /** A commit group: settings are refused, too, since a PRAGMA takes effect while it is prepared. */
  | 'group'
  /** Only to look at: no PRAGMA with a value is compiled. */
  | 'dry'
  /** The engine itself: all is allowed, nothing is noted. */
  | 'engine';

export class SqliteAuthorizer {
  private readonly wasm: SqliteWasm;
  /** Null while a statement runs: SQLite compiles it anew when the schema has changed, and what it runs within. */
  mode: PrepareMode | null = null;
  /** The statement belongs on a connection that is its session's for good. */
  needsOwn: boolean = false;
  writesMain: boolean = false;
  writesOther: boolean = false;
  /** It makes or removes temporary objects, or attaches or detaches. */
  marks: boolean = false;
  /** BEGIN, or a SAVEPOINT that may be one. */
  begins: boolean = false;
  /** ROLLBACK, with or without TO. */
  undoes: boolean = false;
  /** It tells of the schema as its connection knows it. */
  looksAtSchema: boolean = false;
  /** It changes the rows that keep the schema of the volume. */
  editsSchema: boolean = false;
  /** Settings that were given a value since somebody last looked; null for none. */
  settings: Set<string> | null = null;
  /** Why the last call was denied, where the engine has a reason of its own. */
  blocked: SqlError | null = null;

  constructor(wasm: SqliteWasm) {
    this.wasm = wasm;
  }

  /** A statement is about to be compiled. */
  begin(mode: PrepareMode): void {
    this.mode = mode;
    this.needsOwn = false;
    this.writesMain = false;
    this.writesOther = false;
    this.marks = false;
    this.begins = false;
    this.undoes = false;
    this.looksAtSchema = false;
    this.editsSchema = false;
    this.blocked = null;
  }

  authorize(code: number, first: Pointer, second: Pointer, database: Pointer): number {
    if (code === action.read) return this.read(first);
    if (code === action.select || code === action.function || code === action.recursive) return result.ok;
    if (this.mode === 'engine') return result.ok;
    if (writeActions.has(code) || code === action.alterTable) return this.write(code, first, database);
    switch (code) {
      case action.pragma:
        return this.pragma(
          this.wasm.stringAt(first) ?? '',
          this.wasm.stringAt(second),
          this.wasm.stringAt(database),
        );
      case action.transaction:
      case action.savepoint: {
        const what = this.wasm.stringAt(first);
        if (what === 'BEGIN') this.begins = true;
        if (what === 'ROLLBACK') this.undoes = true;
        return result.ok;
      }
      case action.attach: {
        const name = this.wasm.stringAt(first);
        if (name === '' || name === ':memory:') return this.mark();
        return this.block(
          `ATTACH of ${name === null ? 'a computed file name' : JSON.stringify(name)} is refused: only ':memory:' can be attached, and VACUUM INTO has no file to write`,
        );
      }
      case action.detach:
        return this.mark();
      default:
        return result.ok;
    }
  }

  private write(code: number, first: Pointer, database: Pointer): number {
    const name = this.wasm.stringAt(code === action.alterTable ? first : database);
    if (name === 'main') this.writesMain = true;
    else this.writesOther = true;
    if (name !== 'main') {
      // "CREATE TABLE temp.t" comes as a table of the database "temp", "CREATE TEMP TABLE t" as a temporary one.
      if (creates.has(code)) return this.mark();
      if (drops.has(code)) this.marks = true;
    }
    const changesRows = code === action.insert || code === action.update || code === action.delete;
    const table = changesRows ? this.wasm.stringAt(first)?.toLowerCase() : undefined;
    if (name === 'main' && table === 'sqlite_master') this.editsSchema = true;
    if (table === 'sqlite_dbpage')
      return this.block('A write to sqlite_dbpage is refused: it would break the format of the volume');
    return result.ok;
  }

  private pragma(name: string, value: string | null, database: string | null): number {
    const lower = name.toLowerCase();
    if (schemaPragmas.has(lower)) this.looksAtSchema = true;
    if (value !== null) {
      if (lower === 'page_size' && Number(value) !== redoLimits.pageBytes) {
        return this.block(
          `PRAGMA page_size=${value} is refused: the pages of a volume have ${redoLimits.pageBytes} bytes`,
        );
      }
      if (lower === 'hard_heap_limit' || lower === 'soft_heap_limit')
        return this.block(`PRAGMA ${lower} is refused: it would bind every session of this gateway`);
      if (lower === 'max_page_count' && database !== null && database !== 'main')
        return this.block(
          `PRAGMA ${database}.max_page_count is refused: the gateway bounds what one stream holds in memory`,
        );
      if (lower === 'temp_store' || lower === 'temp_store_directory') return result.ignore;
    }
    if (this.mode === 'dry') {
      if (!isWritingPragma(name, value)) return value === null ? result.ok : result.ignore;
      this.writesMain = true;
      return result.deny;
    }
    if (value === null) return result.ok;
    if (this.mode === 'group') {
      this.needsOwn = true;
      return result.deny;
    }
    if (isSetting(lower)) {
      this.settings ??= new Set();
      this.settings.add(lower);
    }
    return result.ok;
  }

  private mark(): number {
    this.marks = true;
    if (this.mode !== 'shared' && this.mode !== 'group') return result.ok;
    this.needsOwn = true;
    return result.deny;
  }

  private block(detail: string): number {
    this.blocked = adviseError('BLOCKED', detail);
    return result.deny;
  }

  /** Every column of every statement comes by here; what counts has an underscore at the same place: "sqlite_stmt", "pragma_…". */
  private read(table: Pointer): number {
    if (table === 0 || this.wasm.heap()[table + 6] !== 0x5f) return result.ok;
    const name = this.wasm.stringAt(table)?.toLowerCase() ?? '';
    if (name.startsWith('pragma_')) this.looksAtSchema = true;
    if (name !== 'sqlite_stmt') return result.ok;
    return this.block('sqlite_stmt is refused: it holds the statements of other clients');
  }
}
