/**
 * The disk as the node's shell sees it: the few operations the log and the state files need, shaped so that a test or
 * a simulator can refuse space, fail a flush, tear a write or forget what was never flushed.
 *
 * Results are values and arrive by callback, because durability is an event and the write path should cost no
 * promises. Every implementation promises: `done` runs exactly once and never before the method has returned. This
 * machine's disk does its appends within the call; everything else is done beside the event loop.
 * Nothing here times out: a system call on a hung disk cannot be recalled, so the process watching the node decides.
 */
import fs from 'node:fs';
import { DurableAppender } from './durable-append.ts';

export interface DiskFailure {
  readonly kind: 'failed';
  /** System error code such as `ENOSPC` or `EIO`. */
  readonly code: string;
  readonly message: string;
}

export type DiskResult<T> = { readonly kind: 'ok'; readonly value: T } | DiskFailure;
export type DiskDone<T> = (result: DiskResult<T>) => void;

/** Why a write did not become durable, in the terms a caller can act on: make space (or handles), or stop trusting the disk. */
export type DiskFailureReason = 'disk-full' | 'io-error';

/** An open file. Positions and lengths are bytes; the caller keeps buffers unchanged until `done`. */
export interface DiskFile {
  /** Writes the buffers back to back at `position`; the value is the bytes written, which may be fewer. */
  writev(buffers: readonly Uint8Array[], position: number, done: DiskDone<number>): void;
  /**
   * Writes the buffers back to back at `position`, behind everything written before, and makes them durable, as one
   * operation. After a failure the bytes from `position` on are in an unknown state. The file may be longer afterwards
   * than what was written: zeros follow then.
   */
  append(buffers: readonly Uint8Array[], position: number, done: DiskDone<void>): void;
  /** Makes everything written before the call durable. After a failure the written bytes are in an unknown state. */
  fdatasync(done: DiskDone<void>): void;
  /** Fills `into` from `position`; the value is the bytes read, fewer only at the end of the file. */
  read(into: Uint8Array, position: number, done: DiskDone<number>): void;
  sizeBytes(done: DiskDone<number>): void;
  truncate(sizeBytes: number, done: DiskDone<void>): void;
  close(done: DiskDone<void>): void;
}

/** `existing`: must exist. `create`: made when absent. `replace`: made, or emptied when present. */
export type DiskOpenMode = 'existing' | 'create' | 'replace';

export interface Disk {
  /** Makes the directory and its parents. */
  makeDirectory(path: string, done: DiskDone<void>): void;
  /** Names (not paths) of what is in the directory, in no order. */
  list(path: string, done: DiskDone<readonly string[]>): void;
  open(path: string, mode: DiskOpenMode, done: DiskDone<DiskFile>): void;
  /** Replaces `to` atomically; durable only after `syncDirectory`. */
  rename(from: string, to: string, done: DiskDone<void>): void;
  remove(path: string, done: DiskDone<void>): void;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(path: string, done: DiskDone<void>): void;
}

/** Space, quota, and handles of the process and of the machine: what somebody else may give back. */
const passing: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE']);

/** Tells a lack of space or of file handles, which passes, from everything else, which does not. */
export function diskFailureReason(failure: DiskFailure): DiskFailureReason {
  return passing.has(failure.code) ? 'disk-full' : 'io-error';
}

/** One disk operation as a promise, for paths where a promise costs nothing that matters. It never rejects. */
export function onDisk<T>(operation: (done: DiskDone<T>) => void): Promise<DiskResult<T>> {
  return new Promise((resolve) => operation(resolve));
}

/**
 * Reads until `into` is full or the file ends. Short reads inside a file happen (signals, network file systems), so
 * only a read of nothing counts as its end.
 */
export function readFully(file: DiskFile, into: Uint8Array, position: number, done: DiskDone<number>): void {
  const next = (filled: number): void => {
    file.read(into.subarray(filled), position + filled, (result) => {
      if (result.kind === 'failed') return done(result);
      const now = filled + result.value;
      if (result.value === 0 || now === into.length) done({ kind: 'ok', value: now });
      else next(now);
    });
  };
  next(0);
}

/**
 * Writes everything, resuming after short writes. A failure part way leaves an unknown number of bytes behind, which
 * the caller truncates away or abandons with the file.
 */
export function writeFully(
  file: DiskFile,
  buffers: readonly Uint8Array[],
  position: number,
  done: DiskDone<void>,
): void {
  const next = (left: readonly Uint8Array[], at: number): void => {
    file.writev(left, at, (result) => {
      if (result.kind === 'failed') return done(result);
      const rest = skipBytes(left, result.value);
      if (rest.length === 0) return done(nothing);
      if (result.value === 0) return done({ kind: 'failed', code: 'EIO', message: 'the disk took no bytes' });
      next(rest, at + result.value);
    });
  };
  next(buffers, position);
}

function skipBytes(buffers: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let left = count;
  for (const [index, buffer] of buffers.entries()) {
    if (left < buffer.length) return [buffer.subarray(left), ...buffers.slice(index + 1)];
    left -= buffer.length;
  }
  return [];
}

const nothing: DiskResult<void> = { kind: 'ok', value: undefined };

function failure(error: NodeJS.ErrnoException): DiskFailure {
  return { kind: 'failed', code: error.code ?? 'EIO', message: error.message };
}

/** node:fs gives a system error or null; the value, where there is one, is read only when there is no error. */
function plain(done: DiskDone<void>): (error: NodeJS.ErrnoException | null) => void {
  return (error) => done(error === null ? nothing : failure(error));
}

function valued<T>(done: DiskDone<T>): (error: NodeJS.ErrnoException | null, value: T) => void {
  return (error, value) => done(error ? failure(error) : { kind: 'ok', value });
}

function nodeFile(path: string, fd: number): DiskFile {
  const appender = new DurableAppender(path, fd);
  return {
    append: (buffers, position, done) => {
      const result = appender.append(buffers, position);
      queueMicrotask(() => done(result));
    },
    writev: (buffers, position, done) => fs.writev(fd, buffers, position, valued(done)),
    fdatasync: (done) => fs.fdatasync(fd, plain(done)),
    read: (into, position, done) => fs.read(fd, into, 0, into.length, position, valued(done)),
    sizeBytes: (done) =>
      fs.fstat(fd, (error, stat) => done(error === null ? { kind: 'ok', value: stat.size } : failure(error))),
    truncate: (sizeBytes, done) => {
      appender.forget();
      fs.ftruncate(fd, sizeBytes, plain(done));
    },
    close: (done) => {
      appender.close();
      fs.close(fd, (error) => done(error ? failure(error) : nothing));
    },
  };
}

const { O_RDWR, O_CREAT, O_TRUNC } = fs.constants;
const openFlags: Record<DiskOpenMode, number> = {
  existing: O_RDWR,
  create: O_RDWR | O_CREAT,
  replace: O_RDWR | O_CREAT | O_TRUNC,
};

/** The machine's own disk, through node:fs. Files are made readable and writable by their owner only. */
export const nodeDisk: Disk = {
  makeDirectory: (path, done) =>
    fs.mkdir(path, { recursive: true, mode: 0o700 }, (error) =>
      done(error === null ? nothing : failure(error)),
    ),
  list: (path, done) => fs.readdir(path, valued(done)),
  open: (path, mode, done) =>
    fs.open(path, openFlags[mode], 0o600, (error, fd) =>
      done(error === null ? { kind: 'ok', value: nodeFile(path, fd) } : failure(error)),
    ),
  rename: (from, to, done) => fs.rename(from, to, plain(done)),
  remove: (path, done) => fs.unlink(path, plain(done)),
  syncDirectory: (path, done) =>
    fs.open(path, fs.constants.O_RDONLY, (error, fd) => {
      if (error !== null) return done(failure(error));
      fs.fsync(fd, (syncError) => fs.close(fd, () => plain(done)(syncError ?? null)));
    }),
};
