/**
 * The SQLite VFS over a volume. A database file is the volume as one connection sees it: a snapshot taken with the
 * SHARED lock, plus what its transaction has written.
 *
 * SQLite writes a page when it commits, or before, when its cache holds too many changed ones. What it has written is nobody
 * else's (`pending`) until the commit, which ends so: xWrite of changed pages, FCNTL_SYNC, xSync, FCNTL_COMMIT_PHASETWO, xUnlock. An
 * error up to FCNTL_SYNC makes the pager roll back from its journal (it writes the old pages and syncs again, and never reaches
 * PHASETWO), so a transaction is checked and encoded at FCNTL_SYNC and becomes visible at PHASETWO, which cannot fail.
 * FCNTL_SYNC is used and not xSync because `PRAGMA synchronous=OFF` skips only the latter. A rollback syncs, too: every commit
 * counts page 1's change counter up, and no rollback does.
 *
 * The build's write hint (`experimental_pragma_20251114`) is not used: the engine takes the writer before it steps a
 * writing statement, so the snapshot taken at SHARED is the newest one already.
 */
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import {
  describeEngine,
  engineOf,
  type Lsn,
  type PageNo,
  pageNo,
  postgresMagic,
  redoLimits,
} from '../../../storage/redo.ts';
import { adviseError, sqlError } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import { databasePages, type PageStore } from '../core/page-store.ts';
import { ScratchError, type ScratchSpace } from '../scratch/scratch-space.ts';
import { TransactionPages, tooManyPages } from '../scratch/transaction-pages.ts';
import { SqliteScratch } from './sqlite-scratch.ts';
import type { Pointer, SqliteWasm } from './sqlite-wasm.ts';

const { pageBytes } = redoLimits;

const code = {
  ok: 0,
  error: 1,
  busySnapshot: 5 | (2 << 8),
  readonly: 8,
  ioerr: 10,
  ioerrRead: 10 | (1 << 8),
  ioerrShortRead: 10 | (2 << 8),
  ioerrWrite: 10 | (3 << 8),
  ioerrFstat: 10 | (7 << 8),
  notfound: 12,
  full: 13,
  cantopen: 14,
} as const;
const lockLevel = { none: 0, shared: 1, reserved: 2, exclusive: 4 } as const;
const control = { pragma: 14, sync: 21, commitPhaseTwo: 22 } as const;
const openFlag = { readwrite: 0x2, mainDb: 0x100 } as const;
/**
 * SQLITE_IOCAP_POWERSAFE_OVERWRITE, SAFE_APPEND and SEQUENTIAL, as no journal outlives its process; UNDELETABLE_WHEN_OPEN, so that a
 * connection keeps its journal open.
 */
const deviceCharacteristics = 0x1000 | 0x200 | 0x400 | 0x800;
/** Where page 1 counts commits. */
const changeCounter = { from: 24, to: 28 } as const;
/** Where page 1 says of which schema it is, and which commit its other fields are of. */
const schemaCookieAt = 40;
const validForAt = 92;
/** `struct sqlite3_file` is one pointer, to its methods. */
const fileStructBytes = 4;

const postgresFound = `An SQLite database was expected in this volume, and it ${describeEngine('postgres')}`;

/** The one result of a PRAGMA, or null for no row; or why it fails. */
export type PragmaAnswer =
  | { readonly ok: true; readonly text: string | null }
  | { readonly ok: false; readonly message: string; readonly error?: SqlError };

/** What the VFS needs of the engine. Every call returns without waiting, except `fetch`. */
export interface VolumeAccess {
  readonly limits: Pick<EngineLimits, 'residentPageBytes' | 'transactionPageBytes' | 'memoryPageBytes'>;
  /** Where large transactions and SQLite's own files go. */
  readonly scratch: ScratchSpace;
  /** The pages that connections opened now read. */
  store(): PageStore;
  /** Reads a page from storage into the store, waiting for it. @returns its bytes, null when absent, or what went wrong. */
  fetch(store: PageStore, page: PageNo, readPoint: Lsn): Uint8Array | null | SqlError;
  /** A page was found in the store. @returns why the statement may not read it, or null. */
  hit(): SqlError | null;
  /** Whether this connection may start writing now. @returns why not, or null. */
  reserve(file: VolumeFile): SqlError | null;
  /** Checks and encodes a transaction; nothing is visible yet. @returns why it cannot commit, or null. */
  prepareCommit(file: VolumeFile): SqlError | null;
  /** Makes the prepared transaction visible. Cannot fail. @returns the new head. */
  finishCommit(file: VolumeFile): Lsn;
  /** A PRAGMA the engine answers itself, or null when SQLite is to handle it. */
  pragma(file: VolumeFile, name: string, value: string | null): PragmaAnswer | null;
}

/** The volume as one connection sees it. */
export class VolumeFile {
  readonly store: PageStore;
  lock: number = lockLevel.none;
  /** Read point of the snapshot held; null while unlocked. */
  snapshot: Lsn | null = null;
  /** Newest snapshot or commit since the engine last reset it; 0 for none. */
  seen = 0;
  /** Pages that its transaction has written. */
  readonly pending: TransactionPages;
  /** The transaction failed to commit: SQLite writes the old pages back, which means nothing to us. */
  rollingBack: boolean = false;
  /** Its transaction may have changed the rows that keep the schema. */
  editsSchema: boolean = false;
  /** Why the last call failed, in the engine's words. */
  failure: SqlError | null = null;
  private answered: readonly string[] | null = null;
  /** Set when the engine is replaced: nothing can be read or written any more. */
  dead: boolean = false;
  /** True while the connection is being set up: then PRAGMAs are SQLite's own. */
  settingUp: boolean = false;
  private snapshotPages: number | null = null;

  constructor(store: PageStore, { scratch, limits }: Pick<VolumeAccess, 'scratch' | 'limits'>) {
    this.store = store;
    this.pending = new TransactionPages(scratch, limits.residentPageBytes, store);
  }

  /** A PRAGMA was answered here. @param columns its columns. */
  noteAnswered(columns: readonly string[] | null): void {
    this.answered = columns;
  }

  /** Columns of the PRAGMA answered here since the last call; null for none. */
  takeAnswered(): readonly string[] | null {
    const { answered } = this;
    this.answered = null;
    return answered;
  }

  takeSnapshot(): void {
    this.snapshot = this.store.pin();
    this.snapshotPages = null;
    if (this.snapshot > this.seen) this.seen = this.snapshot;
  }

  dropSnapshot(): void {
    if (this.snapshot !== null) this.store.unpin(this.snapshot);
    this.snapshot = null;
    this.snapshotPages = null;
  }

  discardPending(): void {
    this.rollingBack = false;
    this.pending.clear();
  }

  /** Whether what was written is what was there before: SQLite has rolled back. @returns why it cannot be told, where it cannot. */
  isRolledBack(access: VolumeAccess): boolean | SqlError {
    const written = this.pending.read(pageNo(1));
    if (written === null) return true;
    const counter = Buffer.from(written.subarray(changeCounter.from, changeCounter.to));
    const before = this.read(access, pageNo(1));
    if (before === null) return false;
    if (!(before instanceof Uint8Array)) return before;
    return counter.equals(before.subarray(changeCounter.from, changeCounter.to));
  }

  /**
   * G133: rows of the schema that were edited make another schema, although SQLite raises its version only for CREATE, ALTER and DROP.
   * The commit counts twice, so that the connection which makes it reads page 1 again, too. @throws ScratchError when the disk fails.
   */
  raiseSchemaVersion(access: VolumeAccess): SqlError | null {
    const written = this.editsSchema ? this.pending.read(pageNo(1)) : null;
    const before = written === null ? null : this.read(access, pageNo(1));
    if (written === null || before === null) return null;
    if (!(before instanceof Uint8Array)) return before;
    const page = Buffer.from(written);
    const version = page.readUInt32BE(schemaCookieAt);
    if (version !== Buffer.from(before).readUInt32BE(schemaCookieAt)) return null;
    const commits = (page.readUInt32BE(changeCounter.from) + 1) >>> 0;
    page.writeUInt32BE((version + 1) >>> 0, schemaCookieAt);
    page.writeUInt32BE(commits, changeCounter.from);
    page.writeUInt32BE(commits, validForAt);
    this.pending.write(pageNo(1), page);
    return null;
  }

  fail(error: SqlError, result: number): number {
    this.failure = error;
    return result;
  }

  /** A page of the snapshot: bytes, null when absent, or what went wrong. */
  read(access: VolumeAccess, page: PageNo): Uint8Array | null | SqlError {
    const readPoint = this.snapshot ?? this.store.head;
    const bytes = this.store.readAt(page, readPoint);
    if (bytes !== undefined) {
      return access.hit() ?? bytes;
    }
    if (this.dead) return sqlError('SEXTANT_TRANSACTION_ABORTED', 'the engine was replaced');
    return access.fetch(this.store, page, readPoint);
  }

  /** Pages of the database at the snapshot. */
  pages(access: VolumeAccess): number | SqlError {
    if (this.snapshotPages !== null && this.snapshot !== null) return this.snapshotPages;
    const page1 = this.read(access, pageNo(1));
    if (page1 !== null && !(page1 instanceof Uint8Array)) return page1;
    // G85. The second byte tells them apart as a rule, and this is asked at each statement.
    if (page1 !== null && page1[1] === postgresMagic[1] && engineOf(page1) === 'postgres')
      return adviseError('SEXTANT_VOLUME_UNREADABLE', postgresFound);
    this.snapshotPages = databasePages(page1);
    return this.snapshotPages;
  }
}

/** A method of a file with its arguments as numbers. @returns SQLite's result code. */
type FileMethod = (file: VolumeFile, a: number, b: number, c: number) => number;

export class VolumeVfs {
  /** A broken invariant met inside a callback, where nothing may be thrown; the engine throws it afterwards. */
  fatal: unknown = null;
  readonly name: Pointer;
  private readonly wasm: SqliteWasm;
  readonly access: VolumeAccess;
  private readonly files = new Map<Pointer, VolumeFile>();
  /** Journals, and what is sorted or rewritten. */
  readonly scratch: SqliteScratch;
  /** The file the connection being opened is to get; any other name is refused. */
  private opening: VolumeFile | null = null;

  constructor(wasm: SqliteWasm, access: VolumeAccess) {
    this.wasm = wasm;
    this.access = access;
    this.scratch = new SqliteScratch(wasm, access.scratch);
    this.name = wasm.permanentString('sextant-volume');
    this.install();
  }

  /** Runs `open`, whose main database becomes `file`. */
  openWith<T>(file: VolumeFile, open: () => T): T {
    this.opening = file;
    try {
      return open();
    } finally {
      this.opening = null;
    }
  }

  private install(): void {
    const { capi } = this.wasm.sqlite3;
    const io = new capi.sqlite3_io_methods();
    const ioPointer: unknown = io.pointer;
    assert(typeof ioPointer === 'number', 'the SQLite build uses 32-bit pointers');
    this.wasm.heap().writeInt32LE(1, ioPointer); // iVersion: without shared memory, hence without WAL
    io.installMethods(this.ioMethods());
    const driver = new capi.sqlite3_vfs();
    const driverPointer: unknown = driver.pointer;
    assert(typeof driverPointer === 'number', 'the SQLite build uses 32-bit pointers');
    driver.$iVersion = 2;
    driver.$szOsFile = fileStructBytes;
    driver.$mxPathname = 512;
    driver.$zName = this.name;
    driver.installMethods(this.driverMethods(ioPointer));
    const registered = capi.sqlite3_vfs_register(driverPointer, 0);
    assert.equal(registered, code.ok, 'SQLite takes the VFS');
  }

  private driverMethods(ioPointer: Pointer) {
    return {
      xOpen: (_vfs: Pointer, name: Pointer, file: Pointer, flags: number, outFlags: Pointer) =>
        this.open(name, file, flags, outFlags, ioPointer),
      xDelete: (_vfs: Pointer, _name: Pointer, _sync: number) => code.ok,
      xAccess: (_vfs: Pointer, _name: Pointer, _flags: number, out: Pointer) => this.answer(out, 0),
      xFullPathname: (_vfs: Pointer, name: Pointer, bytes: number, out: Pointer) =>
        this.fullPath(name, bytes, out),
      xRandomness: (_vfs: Pointer, bytes: number, out: Pointer) => {
        randomFillSync(this.wasm.heap(), out, bytes);
        return bytes;
      },
      xSleep: (_vfs: Pointer, microseconds: number) => microseconds,
      xCurrentTime: (_vfs: Pointer, out: Pointer) => {
        this.wasm.heap().writeDoubleLE(Date.now() / 86_400_000 + 2_440_587.5, out);
        return code.ok;
      },
      xCurrentTimeInt64: (_vfs: Pointer, out: Pointer) => {
        this.wasm.heap().writeBigInt64LE(BigInt(Date.now()) + 210_866_760_000_000n, out);
        return code.ok;
      },
      xGetLastError: (_vfs: Pointer, _bytes: number, _out: Pointer) => code.ok,
    };
  }

  /** SQLite calls these a dozen times a statement: a closure made at each call would be a tenth of the engine's garbage. */
  private ioMethods() {
    const close: FileMethod = (volume, file) => this.close(file, volume);
    const read: FileMethod = (volume, out, bytes, offset) => this.read(volume, out, bytes, offset);
    const write: FileMethod = (volume, from, bytes, offset) => this.write(volume, from, bytes, offset);
    const truncate: FileMethod = (volume, size) => this.truncate(volume, size);
    const fileSize: FileMethod = (volume, out) => this.fileSize(volume, out);
    const lock: FileMethod = (volume, level) => this.lock(volume, level);
    const unlock: FileMethod = (volume, level) => this.unlock(volume, level);
    const control: FileMethod = (volume, operation, argument) =>
      this.fileControl(volume, operation, argument);
    return {
      xClose: (file: Pointer) => this.guard(file, close, file),
      xRead: (file: Pointer, out: Pointer, bytes: number, offset: number) =>
        this.guard(file, read, out, bytes, Number(offset)),
      xWrite: (file: Pointer, from: Pointer, bytes: number, offset: number) =>
        this.guard(file, write, from, bytes, Number(offset)),
      xTruncate: (file: Pointer, size: number) => this.guard(file, truncate, Number(size)),
      xSync: () => code.ok,
      xFileSize: (file: Pointer, out: Pointer) => this.guard(file, fileSize, out),
      xLock: (file: Pointer, level: number) => this.guard(file, lock, level),
      xUnlock: (file: Pointer, level: number) => this.guard(file, unlock, level),
      // Somebody writes: so SQLite takes no journal for one that a process has left behind.
      xCheckReservedLock: (_file: Pointer, out: Pointer) => this.answer(out, 1),
      xFileControl: (file: Pointer, operation: number, argument: Pointer) =>
        this.guard(file, control, operation, argument),
      xSectorSize: () => pageBytes,
      xDeviceCharacteristics: () => deviceCharacteristics,
    };
  }

  /** SQLite is C: nothing may be thrown through it. */
  private guard(pointer: Pointer, run: FileMethod, a: number, b = 0, c = 0): number {
    const file = this.files.get(pointer);
    if (file === undefined) return code.ioerr;
    try {
      return run(file, a, b, c);
    } catch (error) {
      this.fatal ??= error;
      return code.ioerr;
    }
  }

  private answer(out: Pointer, value: number): number {
    this.wasm.heap().writeInt32LE(value, out);
    return code.ok;
  }

  private fullPath(name: Pointer, bytes: number, out: Pointer): number {
    const path = Buffer.from(`${this.wasm.stringAt(name) ?? ''}\0`);
    if (path.length > bytes) return code.cantopen;
    this.wasm.heap().set(path, out);
    return code.ok;
  }

  private open(name: Pointer, file: Pointer, flags: number, outFlags: Pointer, io: Pointer): number {
    const heap = this.wasm.heap();
    const opening = this.opening;
    if ((flags & openFlag.mainDb) === 0) return this.scratch.open(file, flags, outFlags);
    if (opening === null || name === 0) {
      heap.writeUInt32LE(0, file);
      return code.cantopen;
    }
    heap.writeUInt32LE(io, file);
    if (outFlags !== 0) heap.writeInt32LE(flags | openFlag.readwrite, outFlags);
    this.files.set(file, opening);
    return code.ok;
  }

  private close(pointer: Pointer, file: VolumeFile): number {
    file.discardPending();
    file.dropSnapshot();
    this.files.delete(pointer);
    return code.ok;
  }

  private read(file: VolumeFile, out: Pointer, bytes: number, offset: number): number {
    const page = pageNo(Math.floor(offset / pageBytes) + 1);
    const within = offset % pageBytes;
    if (within + bytes > pageBytes) return code.ioerrRead;
    let content: Uint8Array | null | SqlError = file.pending.size === 0 ? null : file.pending.read(page);
    if (content === null || file.rollingBack) {
      const pages = file.pages(this.access);
      if (typeof pages !== 'number') return file.fail(pages, code.ioerrRead);
      if (page > pages) {
        this.wasm.heap().fill(0, out, out + bytes);
        return code.ioerrShortRead;
      }
      content = file.read(this.access, page);
    }
    const heap = this.wasm.heap();
    if (content === null) heap.fill(0, out, out + bytes);
    else if (content instanceof Uint8Array) {
      heap.set(bytes === pageBytes ? content : content.subarray(within, within + bytes), out);
    } else return file.fail(content, code.ioerrRead);
    return code.ok;
  }

  private write(file: VolumeFile, from: Pointer, bytes: number, offset: number): number {
    if (file.rollingBack) return code.ok;
    if (bytes !== pageBytes || offset % pageBytes !== 0 || file.lock < lockLevel.reserved || file.dead) {
      return code.ioerrWrite;
    }
    const { limits } = this.access;
    if (file.pending.bytes > limits.transactionPageBytes)
      return file.fail(tooManyPages(file.pending.size, limits, 'transactionPageBytes'), code.full);
    try {
      file.pending.write(pageNo(offset / pageBytes + 1), this.wasm.heap().subarray(from, from + pageBytes));
      return code.ok;
    } catch (error) {
      if (error instanceof ScratchError) return file.fail(error.error, code.full);
      throw error;
    }
  }

  /** The database's size is in page 1; what is cut off is only forgotten. */
  private truncate(file: VolumeFile, size: number): number {
    file.pending.cutBehind(Math.floor(size / pageBytes));
    return code.ok;
  }

  private fileSize(file: VolumeFile, out: Pointer): number {
    let pages = file.pages(this.access);
    if (typeof pages !== 'number') return file.fail(pages, code.ioerrFstat);
    if (!file.rollingBack) pages = Math.max(pages, file.pending.lastPage);
    this.wasm.heap().writeBigInt64LE(BigInt(pages * pageBytes), out);
    return code.ok;
  }

  private lock(file: VolumeFile, level: number): number {
    if (level >= lockLevel.shared && file.snapshot === null) file.takeSnapshot();
    if (level >= lockLevel.reserved && file.lock < lockLevel.reserved) {
      if (file.snapshot !== file.store.head) return file.fail(staleSnapshot, code.busySnapshot);
      const refused = this.access.reserve(file);
      if (refused !== null)
        return file.fail(refused, refused.code === 'SQLITE_BUSY' ? code.busySnapshot : code.readonly);
    }
    if (level > file.lock) file.lock = level;
    return code.ok;
  }

  private unlock(file: VolumeFile, level: number): number {
    if (level <= lockLevel.shared) file.discardPending();
    if (level < file.lock) file.lock = level;
    if (level === lockLevel.none) file.dropSnapshot();
    return code.ok;
  }

  private fileControl(file: VolumeFile, operation: number, argument: Pointer): number {
    switch (operation) {
      case control.sync: {
        if (file.rollingBack || file.pending.size === 0) return code.ok;
        const refused = this.refusal(file);
        if (refused === null) return code.ok;
        file.rollingBack = true;
        return refused === 'rolled back' ? code.ok : file.fail(refused, code.full);
      }
      case control.commitPhaseTwo: {
        if (file.pending.size === 0) return code.ok;
        // Unpinned first: the old versions are then free to go unless another snapshot needs them.
        file.dropSnapshot();
        const head = this.access.finishCommit(file);
        file.takeSnapshot();
        if (head > file.seen) file.seen = head;
        return code.ok;
      }
      case control.pragma:
        return this.pragma(file, argument);
      default:
        return code.notfound;
    }
  }

  /** Why what was written does not become a commit; null when it is prepared to. */
  private refusal(file: VolumeFile): SqlError | 'rolled back' | null {
    if (file.dead) return staleSnapshot;
    const rolledBack = file.isRolledBack(this.access);
    if (rolledBack === true) return 'rolled back';
    if (rolledBack !== false) return rolledBack;
    try {
      return file.raiseSchemaVersion(this.access) ?? this.access.prepareCommit(file);
    } catch (error) {
      if (error instanceof ScratchError) return error.error;
      throw error;
    }
  }

  private pragma(file: VolumeFile, argument: Pointer): number {
    const name = (this.wasm.stringAt(this.wasm.pointerAt(argument + 4)) ?? '').toLowerCase();
    const value = this.wasm.stringAt(this.wasm.pointerAt(argument + 8));
    const answer = file.settingUp ? null : this.access.pragma(file, name, value);
    if (answer === null) return code.notfound;
    const text = answer.ok ? answer.text : answer.message;
    if (!answer.ok) file.failure = answer.error ?? null;
    else file.noteAnswered(text === null ? [] : [name]);
    this.wasm.heap().writeUInt32LE(text === null ? 0 : this.wasm.ownedString(text), argument);
    return answer.ok ? code.ok : code.error;
  }
}

/** A transaction that read before it wrote, while another one committed. */
export const staleSnapshot: SqlError = {
  code: 'SQLITE_BUSY',
  message:
    'Another transaction committed after this one began to read, so it may not write. Roll back and run it again, beginning with BEGIN IMMEDIATE.',
};
