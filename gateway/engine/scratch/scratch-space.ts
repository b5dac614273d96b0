/**
 * Room on disk for what a transaction needs beyond memory: files of one engine's thread, without a name from the moment they are
 * opened, so that a process that ends leaves nothing behind however it ends (G111).
 */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { adviseError } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';

/** There is no room, or the folder cannot be used. */
export class ScratchError extends Error {
  /** What the client is told: it names the folder or the limit. */
  readonly error: SqlError;

  constructor(detail: string) {
    super(detail);
    this.error = adviseError('SEXTANT_SCRATCH_FULL', detail);
  }
}

export class ScratchSpace {
  private readonly bytesMax: number;
  private readonly folder: () => string;
  private readonly onUse: (bytes: number) => void;
  private used = 0;

  /** @param folder asked when a file is opened. @param bytesMax of all files together. @param onUse told what they take. */
  constructor(folder: () => string, bytesMax: number, onUse: (bytes: number) => void = () => undefined) {
    this.folder = folder;
    this.bytesMax = bytesMax;
    this.onUse = onUse;
  }

  /** @throws ScratchError when the folder takes no file. */
  open(): ScratchFile {
    const folder = this.folder();
    const path = join(folder, `sextant-${process.pid}-${randomBytes(8).toString('hex')}`);
    try {
      const fd = openSync(path, 'wx+', 0o600);
      unlinkSync(path);
      return new ScratchFile(this, fd, folder);
    } catch (error) {
      throw new ScratchError(`The folder ${folder} takes no temporary file (${reasonOf(error)})`);
    }
  }

  /** Takes room for a file. @throws ScratchError when there is none */
  take(bytes: number): void {
    if (this.used + bytes > this.bytesMax)
      throw new ScratchError(`What is open at the writer needs more than scratchBytes = ${this.bytesMax}`);
    this.use(bytes);
  }

  /** A file gives room back. */
  giveBack(bytes: number): void {
    this.use(-bytes);
  }

  private use(more: number): void {
    this.used += more;
    this.onUse(this.used);
  }
}

/** A file without a name. Room that it has taken stays taken until it is closed. */
export class ScratchFile {
  /** For other threads of this process, which may read as long as it is open here. */
  readonly fd: number;
  private readonly space: ScratchSpace;
  private readonly folder: string;
  private bytes = 0;
  private isClosed = false;

  constructor(space: ScratchSpace, fd: number, folder: string) {
    this.space = space;
    this.fd = fd;
    this.folder = folder;
  }

  /** Where it ends. */
  get length(): number {
    return this.bytes;
  }

  /** Writes all of `bytes` at `at`. @throws ScratchError with nothing lost but these bytes. */
  write(bytes: Uint8Array, at: number): void {
    const growth = Math.max(0, at + bytes.length - this.bytes);
    this.space.take(growth);
    let written = 0;
    try {
      while (written < bytes.length)
        written += writeSync(this.fd, bytes, written, bytes.length - written, at + written);
    } catch (error) {
      this.space.giveBack(growth);
      throw new ScratchError(
        `The folder ${this.folder} for temporary files has no room (${reasonOf(error)})`,
      );
    }
    this.bytes += growth;
  }

  /** Fills `target` from `at`. @returns how many bytes there were. @throws ScratchError when the disk fails. */
  read(target: Uint8Array, at: number): number {
    let read = 0;
    try {
      while (read < target.length) {
        const count = readSync(this.fd, target, read, target.length - read, at + read);
        if (count === 0) break;
        read += count;
      }
    } catch (error) {
      throw new ScratchError(`A temporary file in ${this.folder} cannot be read (${reasonOf(error)})`);
    }
    return read;
  }

  /** Once, or more often. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    closeSync(this.fd);
    this.space.giveBack(this.bytes);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
