/**
 * SQLite's own files: the journal from which a transaction is rolled back, what a statement sorts, the copy that VACUUM makes. They are
 * private to one connection and mean nothing once it is gone (G111).
 */
import assert from 'node:assert/strict';
import type { SqlError } from '../../sql/sql.ts';
import { ScratchError, type ScratchSpace } from '../scratch/scratch-space.ts';
import { SpillingFile } from '../scratch/spilling-file.ts';
import type { Pointer, SqliteWasm } from './sqlite-wasm.ts';

const code = {
  ok: 0,
  ioerr: 10,
  ioerrRead: 10 | (1 << 8),
  ioerrShortRead: 10 | (2 << 8),
  notfound: 12,
  full: 13,
} as const;
const readwriteFlag = 0x2;
/** SQLITE_IOCAP_POWERSAFE_OVERWRITE, SAFE_APPEND and SEQUENTIAL. */
const deviceCharacteristics = 0x1000 | 0x200 | 0x400;
const sectorBytes = 4_096;

export class SqliteScratch {
  /** Why the last call failed, in the engine's words. */
  failure: SqlError | null = null;
  private readonly wasm: SqliteWasm;
  private readonly space: ScratchSpace;
  private readonly methods: Pointer;
  private readonly files = new Map<Pointer, SpillingFile>();

  constructor(wasm: SqliteWasm, space: ScratchSpace) {
    this.wasm = wasm;
    this.space = space;
    const { capi } = wasm.sqlite3;
    const io = new capi.sqlite3_io_methods();
    const pointer: unknown = io.pointer;
    assert(typeof pointer === 'number', 'the SQLite build uses 32-bit pointers');
    this.methods = pointer;
    wasm.heap().writeInt32LE(1, pointer); // iVersion: without shared memory
    io.installMethods({
      xClose: (file: Pointer) => this.close(file),
      xRead: (file: Pointer, out: Pointer, bytes: number, offset: number) =>
        this.read(file, out, bytes, Number(offset)),
      xWrite: (file: Pointer, from: Pointer, bytes: number, offset: number) =>
        this.write(file, from, bytes, Number(offset)),
      xTruncate: (file: Pointer, size: number) => this.truncate(file, Number(size)),
      xSync: () => code.ok,
      xFileSize: (file: Pointer, out: Pointer) => this.fileSize(file, out),
      xLock: () => code.ok,
      xUnlock: () => code.ok,
      xCheckReservedLock: (_file: Pointer, out: Pointer) => {
        wasm.heap().writeInt32LE(0, out);
        return code.ok;
      },
      xFileControl: () => code.notfound,
      xSectorSize: () => sectorBytes,
      xDeviceCharacteristics: () => deviceCharacteristics,
    });
  }

  /** Opens an empty file at `file`. @returns SQLite's result code */
  open(file: Pointer, flags: number, outFlags: Pointer): number {
    const heap = this.wasm.heap();
    heap.writeUInt32LE(this.methods, file);
    if (outFlags !== 0) heap.writeInt32LE(flags | readwriteFlag, outFlags);
    this.files.set(file, new SpillingFile(this.space));
    return code.ok;
  }

  private close(pointer: Pointer): number {
    this.files.get(pointer)?.truncate(0);
    this.files.delete(pointer);
    return code.ok;
  }

  private read(pointer: Pointer, out: Pointer, bytes: number, offset: number): number {
    const file = this.files.get(pointer);
    if (file === undefined) return code.ioerr;
    const target = this.wasm.heap().subarray(out, out + bytes);
    try {
      const read = file.read(target, offset);
      if (read === bytes) return code.ok;
      target.fill(0, read);
      return code.ioerrShortRead;
    } catch (error) {
      return this.fail(error, code.ioerrRead);
    }
  }

  private write(pointer: Pointer, from: Pointer, bytes: number, offset: number): number {
    try {
      this.files.get(pointer)?.write(this.wasm.heap(), from, bytes, offset);
      return code.ok;
    } catch (error) {
      return this.fail(error, code.full);
    }
  }

  private truncate(pointer: Pointer, size: number): number {
    this.files.get(pointer)?.truncate(size);
    return code.ok;
  }

  private fileSize(pointer: Pointer, out: Pointer): number {
    this.wasm.heap().writeBigInt64LE(BigInt(this.files.get(pointer)?.length ?? 0), out);
    return code.ok;
  }

  /** SQLite is C: nothing may be thrown through it. */
  private fail(error: unknown, result: number): number {
    if (!(error instanceof ScratchError)) return code.ioerr;
    this.failure = error.error;
    return result;
  }
}
