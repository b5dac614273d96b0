/**
 * A disk in memory that can run out of space, fail, and forget at a crash what was never flushed. Calls back from the
 * microtask queue, so that a test with it waits for no real disk.
 */
import { basename, dirname } from 'node:path';
import type { Disk, DiskDone, DiskFailure, DiskFile, DiskResult } from '../../../storage/log/disk.ts';

export type DiskOperation =
  | 'append'
  | 'writev'
  | 'fdatasync'
  | 'read'
  | 'truncate'
  | 'open'
  | 'rename'
  | 'syncDirectory';

interface Inode {
  /** As processes see it. */
  bytes: Buffer;
  /** As a power failure leaves it. */
  durable: Buffer;
}

export class MemoryDisk implements Disk {
  /** Space for file contents; writes beyond it are short first and then fail with ENOSPC, as on a real disk. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** Asked before every operation; a code such as `EIO` fails it. */
  fault: (operation: DiskOperation, path: string) => string | undefined = () => undefined;
  /** Most bytes one writev takes. */
  writeBytesMax = Number.POSITIVE_INFINITY;
  /** Byte ranges that cannot be read, by path. */
  readonly badRanges: { path: string; from: number; to: number }[] = [];
  readonly operations: DiskOperation[] = [];
  private names = new Map<string, Inode>();
  private durableNames = new Map<string, Inode>();

  /** What a power failure leaves: flushed bytes, flushed names, and `tornBytes` of what was written after. */
  crash(tornBytes: (path: string, unflushedBytes: number) => number = () => 0): void {
    this.names = new Map(this.durableNames);
    for (const [path, inode] of this.names) {
      const unflushed = Math.max(0, inode.bytes.length - inode.durable.length);
      const keep = unflushed === 0 ? 0 : tornBytes(path, unflushed);
      inode.bytes = Buffer.concat([
        inode.durable,
        inode.bytes.subarray(inode.durable.length, inode.durable.length + keep),
      ]);
      inode.durable = inode.bytes;
    }
  }

  /** What a power failure at this moment leaves, on a disk of its own: whoever has this one open changes nothing there. */
  survivor(): MemoryDisk {
    const disk = new MemoryDisk();
    for (const [path, { durable }] of this.durableNames) disk.put(path, durable);
    return disk;
  }

  contents(path: string): Buffer {
    return Buffer.from(this.inode(path).bytes);
  }

  paths(): readonly string[] {
    return [...this.names.keys()].sort();
  }

  /** Puts a durable file there, as an earlier process left it. */
  put(path: string, bytes: Uint8Array): void {
    const inode = { bytes: Buffer.from(bytes), durable: Buffer.from(bytes) };
    this.names.set(path, inode);
    this.durableNames.set(path, inode);
  }

  /** Flips bits of a byte where it lies, of what is durable too, and for those who have the file open. */
  rot(path: string, at: number, mask = 1): void {
    const inode = this.inode(path);
    const isDurable = inode.durable === inode.bytes;
    const rotten = Buffer.from(inode.bytes);
    rotten[at] = (rotten[at] ?? 0) ^ mask;
    inode.bytes = rotten;
    if (isDurable) inode.durable = rotten;
  }

  makeDirectory(_path: string, done: DiskDone<void>): void {
    this.answer(done, () => undefined);
  }

  list(path: string, done: DiskDone<readonly string[]>): void {
    this.answer(done, () =>
      [...this.names.keys()].filter((name) => dirname(name) === path).map((name) => basename(name)),
    );
  }

  open(path: string, mode: 'existing' | 'create' | 'replace', done: DiskDone<DiskFile>): void {
    this.answer(done, () => {
      const failed = this.failure('open', path);
      if (failed !== undefined) return failed;
      let inode = this.names.get(path);
      if (inode === undefined && mode === 'existing') return fail('ENOENT');
      if (inode === undefined || mode === 'replace') {
        inode = { bytes: Buffer.alloc(0), durable: Buffer.alloc(0) };
        this.names.set(path, inode);
      }
      return this.fileOf(path, inode);
    });
  }

  rename(from: string, to: string, done: DiskDone<void>): void {
    this.answer(done, () => {
      const failed = this.failure('rename', to);
      if (failed !== undefined) return failed;
      const inode = this.names.get(from);
      if (inode === undefined) return fail('ENOENT');
      this.names.set(to, inode);
      this.names.delete(from);
      return undefined;
    });
  }

  remove(path: string, done: DiskDone<void>): void {
    this.answer(done, () => (this.names.delete(path) ? undefined : fail('ENOENT')));
  }

  syncDirectory(path: string, done: DiskDone<void>): void {
    this.answer(done, () => {
      const failed = this.failure('syncDirectory', path);
      if (failed !== undefined) return failed;
      for (const name of this.durableNames.keys()) if (dirname(name) === path) this.durableNames.delete(name);
      for (const [name, inode] of this.names) if (dirname(name) === path) this.durableNames.set(name, inode);
      return undefined;
    });
  }

  private fileOf(path: string, inode: Inode): DiskFile {
    /** @returns the bytes there was space for. */
    const write = (whole: Buffer, position: number): number => {
      const grows = Math.max(0, position + whole.length - inode.bytes.length);
      const lacking = Math.max(0, this.usedBytes() + grows - this.capacityBytes);
      const taken = Math.max(0, whole.length - lacking);
      const bytes = Buffer.alloc(Math.max(inode.bytes.length, position + taken));
      bytes.set(inode.bytes);
      bytes.set(whole.subarray(0, taken), position);
      inode.bytes = bytes;
      return taken;
    };
    return {
      append: (buffers, position, done) =>
        this.answer(done, () => {
          const failed = this.failure('append', path);
          const whole = Buffer.concat(buffers);
          // A failed append may have written any part of it, and flushed none.
          if (write(whole, position) < whole.length) return fail('ENOSPC');
          if (failed !== undefined) return failed;
          inode.durable = inode.bytes;
          return undefined;
        }),
      writev: (buffers, position, done) =>
        this.answer(done, () => {
          const failed = this.failure('writev', path);
          if (failed !== undefined) return failed;
          const whole = Buffer.concat(buffers);
          const taken = write(whole.subarray(0, this.writeBytesMax), position);
          return taken === 0 ? fail('ENOSPC') : taken;
        }),
      fdatasync: (done) =>
        this.answer(done, () => {
          const failed = this.failure('fdatasync', path);
          if (failed !== undefined) return failed;
          inode.durable = inode.bytes;
          return undefined;
        }),
      read: (into, position, done) =>
        this.answer(done, () => {
          const end = position + into.length;
          const bad = this.badRanges.some(
            (range) => range.path === path && range.from < end && position < range.to,
          );
          const failed = this.failure('read', path) ?? (bad ? fail('EIO') : undefined);
          if (failed !== undefined) return failed;
          return inode.bytes.copy(into, 0, Math.min(position, inode.bytes.length), end);
        }),
      sizeBytes: (done) => this.answer(done, () => inode.bytes.length),
      truncate: (sizeBytes, done) =>
        this.answer(done, () => {
          const failed = this.failure('truncate', path);
          if (failed !== undefined) return failed;
          inode.bytes = inode.bytes.subarray(0, sizeBytes);
          return undefined;
        }),
      close: (done) => this.answer(done, () => undefined),
    };
  }

  private inode(path: string): Inode {
    const inode = this.names.get(path);
    if (inode === undefined) throw new Error(`no file ${path} on this disk`);
    return inode;
  }

  private usedBytes(): number {
    let sum = 0;
    for (const inode of this.names.values()) sum += inode.bytes.length;
    return sum;
  }

  private failure(operation: DiskOperation, path: string): DiskFailure | undefined {
    this.operations.push(operation);
    const code = this.fault(operation, path);
    return code === undefined ? undefined : fail(code);
  }

  private answer<T>(done: DiskDone<T>, act: () => T | DiskFailure): void {
    queueMicrotask(() => {
      const value = act();
      const result: DiskResult<T> = isFailure(value) ? value : { kind: 'ok', value };
      done(result);
    });
  }
}

function fail(code: string): DiskFailure {
  return { kind: 'failed', code, message: `${code}: injected` };
}

function isFailure(value: unknown): value is DiskFailure {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'failed';
}
