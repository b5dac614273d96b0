/**
 * The official SQLite WASM build, called at the level of its exports: the JS wrappers around them cost more than the
 * calls. Strings and blobs cross in `Buffer` views of the WASM memory, which are renewed when that memory grows.
 */
import assert from 'node:assert/strict';
import sqlite3InitModule, { type Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import { instantiateWasm, type WasmCode, type WasmInstance } from '../core/wasm.ts';

/** Address in WASM memory; 0 is NULL. */
export type Pointer = number;

/** The exports in use, with their C signatures; 64-bit integers are bigint. */
export interface SqliteExports {
  malloc(bytes: number): Pointer;
  free(pointer: Pointer): void;
  sqlite3_malloc(bytes: number): Pointer;
  sqlite3_open_v2(name: Pointer, db: Pointer, flags: number, vfs: Pointer): number;
  sqlite3_close_v2(db: Pointer): number;
  sqlite3_prepare_v3(
    db: Pointer,
    sql: Pointer,
    bytes: number,
    flags: number,
    statement: Pointer,
    tail: Pointer,
  ): number;
  sqlite3_step(statement: Pointer): number;
  sqlite3_reset(statement: Pointer): number;
  sqlite3_finalize(statement: Pointer): number;
  sqlite3_clear_bindings(statement: Pointer): number;
  sqlite3_bind_null(statement: Pointer, index: number): number;
  sqlite3_bind_int64(statement: Pointer, index: number, value: bigint): number;
  sqlite3_bind_double(statement: Pointer, index: number, value: number): number;
  sqlite3_bind_text(
    statement: Pointer,
    index: number,
    text: Pointer,
    bytes: number,
    destructor: number,
  ): number;
  sqlite3_bind_blob(
    statement: Pointer,
    index: number,
    blob: Pointer,
    bytes: number,
    destructor: number,
  ): number;
  sqlite3_bind_zeroblob(statement: Pointer, index: number, bytes: number): number;
  sqlite3_bind_parameter_count(statement: Pointer): number;
  sqlite3_bind_parameter_name(statement: Pointer, index: number): Pointer;
  sqlite3_column_count(statement: Pointer): number;
  sqlite3_column_type(statement: Pointer, column: number): number;
  sqlite3_column_int64(statement: Pointer, column: number): bigint;
  sqlite3_column_double(statement: Pointer, column: number): number;
  sqlite3_column_text(statement: Pointer, column: number): Pointer;
  sqlite3_column_blob(statement: Pointer, column: number): Pointer;
  sqlite3_column_bytes(statement: Pointer, column: number): number;
  sqlite3_column_name(statement: Pointer, column: number): Pointer;
  sqlite3_column_decltype(statement: Pointer, column: number): Pointer;
  sqlite3_errmsg(db: Pointer): Pointer;
  sqlite3_extended_errcode(db: Pointer): number;
  sqlite3_extended_result_codes(db: Pointer, on: number): number;
  sqlite3_changes(db: Pointer): number;
  sqlite3_total_changes(db: Pointer): number;
  sqlite3_last_insert_rowid(db: Pointer): bigint;
  sqlite3_set_last_insert_rowid(db: Pointer, rowid: bigint): void;
  sqlite3_get_autocommit(db: Pointer): number;
  sqlite3_txn_state(db: Pointer, schema: Pointer): number;
  sqlite3_sql(statement: Pointer): Pointer;
  sqlite3_stmt_readonly(statement: Pointer): number;
  sqlite3_stmt_isexplain(statement: Pointer): number;
  sqlite3_db_status(db: Pointer, what: number, current: Pointer, highest: Pointer, reset: number): number;
  sqlite3_status(what: number, current: Pointer, highest: Pointer, reset: number): number;
  sqlite3_stmt_status(statement: Pointer, counter: number, reset: number): number;
  sqlite3_progress_handler(db: Pointer, operations: number, callback: Pointer, context: Pointer): void;
  sqlite3_set_authorizer(db: Pointer, callback: Pointer, context: Pointer): number;
  sqlite3_create_function(
    db: Pointer,
    name: Pointer,
    args: number,
    flags: number,
    context: Pointer,
    call: Pointer,
    step: Pointer,
    final: Pointer,
  ): number;
  sqlite3_result_int64(context: Pointer, value: bigint): void;
}

/** A WASM memory: its buffer is another one after it has grown. */
interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

function isMemory(value: unknown): value is WasmMemory {
  return (
    typeof value === 'object' && value !== null && 'buffer' in value && value.buffer instanceof ArrayBuffer
  );
}

const memoryUsed = 0; // SQLITE_STATUS_MEMORY_USED
const statusBytes = 8;

/** The import by which SQLite's allocator makes its memory larger. */
const growImport = 'emscripten_resize_heap';

/** Has somebody told before the memory grows. @param imports of the build, which are changed. */
function tellGrowth(imports: object, onGrow: (bytes: number) => void): void {
  const env: unknown = Reflect.get(imports, 'env');
  assert(typeof env === 'object' && env !== null, 'the SQLite build imports its environment');
  const grow: unknown = Reflect.get(env, growImport);
  assert(typeof grow === 'function', 'the SQLite build asks for memory by an import');
  Reflect.set(env, growImport, (bytes: number): unknown => {
    onGrow(bytes >>> 0);
    return grow(bytes);
  });
}

/** What the build's own types leave out. */
const initialize: (how: {
  instantiateWasm(imports: object, done: (instance: WasmInstance) => void): void;
}) => Promise<Sqlite3Static> = sqlite3InitModule;

export class SqliteWasm {
  readonly sqlite3: Sqlite3Static;
  readonly call: SqliteExports;
  private readonly memory: WasmMemory;
  private view: Buffer;
  private arena: Pointer = 0;
  private arenaBytes = 0;
  private status: Pointer = 0;

  private constructor(sqlite3: Sqlite3Static, memory: WasmMemory) {
    this.sqlite3 = sqlite3;
    this.call = sqlite3.wasm.exports;
    this.memory = memory;
    this.view = Buffer.from(memory.buffer);
  }

  /**
   * An independent SQLite with a memory of its own.
   * @param code SQLite, compiled. @param onGrow told before the memory grows to so many bytes; may take its time.
   */
  static async load(code: WasmCode, onGrow: (bytes: number) => void = () => {}): Promise<SqliteWasm> {
    const sqlite3 = await initialize({
      instantiateWasm: (imports, done) => {
        tellGrowth(imports, onGrow);
        done(instantiateWasm(code, imports));
      },
    });
    const memory: unknown = Reflect.get(sqlite3.wasm, 'memory');
    assert(isMemory(memory), 'the SQLite build exposes its memory');
    return new SqliteWasm(sqlite3, memory);
  }

  /** The WASM memory now; not to be kept across a call that may allocate. */
  heap(): Buffer {
    if (this.view.buffer !== this.memory.buffer) this.view = Buffer.from(this.memory.buffer);
    return this.view;
  }

  /**
   * Memory for the arguments of one statement or the text of one `prepare`; the next call overwrites it.
   * @returns 0 when the WASM memory is exhausted.
   */
  scratch(bytes: number): Pointer {
    if (bytes <= this.arenaBytes) return this.arena;
    if (this.arena !== 0) this.call.free(this.arena);
    const wanted = Math.max(bytes, 64 * 1024);
    this.arena = this.call.malloc(wanted);
    this.arenaBytes = this.arena === 0 ? 0 : wanted;
    return this.arena;
  }

  /** Gives an unusually large scratch back. */
  trimScratch(): void {
    if (this.arenaBytes <= 1024 * 1024) return;
    this.call.free(this.arena);
    this.arena = 0;
    this.arenaBytes = 0;
  }

  /** A NUL-terminated copy that lives as long as the module. */
  permanentString(text: string): Pointer {
    const bytes = Buffer.from(`${text}\0`);
    const pointer = this.call.malloc(bytes.length);
    assert(pointer !== 0, 'SQLite has no memory left');
    this.heap().set(bytes, pointer);
    return pointer;
  }

  /** A NUL-terminated copy that SQLite frees; 0 when there is no memory. */
  ownedString(text: string): Pointer {
    const bytes = Buffer.from(`${text}\0`);
    const pointer = this.call.sqlite3_malloc(bytes.length);
    if (pointer !== 0) this.heap().set(bytes, pointer);
    return pointer;
  }

  /** Memory SQLite has allocated, bytes. */
  heapUsed(): number {
    return this.memoryStatus(false) ? this.heap().readInt32LE(this.status) : 0;
  }

  /** Counts `heapMost` anew from here. @returns what is allocated, bytes */
  markHeap(): number {
    return this.memoryStatus(true) ? this.heap().readInt32LE(this.status) : 0;
  }

  /** The most that was allocated at any time since `markHeap`, bytes. */
  heapMost(): number {
    return this.memoryStatus(false) ? this.heap().readInt32LE(this.status + statusBytes) : 0;
  }

  /** Asks for the memory that is allocated, and for the most that was. */
  private memoryStatus(reset: boolean): boolean {
    if (this.status === 0) this.status = this.call.malloc(2 * statusBytes);
    const { status } = this;
    return (
      status !== 0 && this.call.sqlite3_status(memoryUsed, status, status + statusBytes, Number(reset)) === 0
    );
  }

  /** The string at a pointer; null at NULL. */
  stringAt(pointer: Pointer): string | null {
    if (pointer === 0) return null;
    const heap = this.heap();
    return heap.toString('utf8', pointer, heap.indexOf(0, pointer));
  }

  pointerAt(address: Pointer): Pointer {
    return this.heap().readUInt32LE(address);
  }

  /** Makes a JS function callable from SQLite. @param signature result and parameters: i int, p pointer, j int64, v void. */
  callback(signature: string, call: (...args: never[]) => unknown): Pointer {
    return this.sqlite3.wasm.installFunction(signature, call);
  }
}
