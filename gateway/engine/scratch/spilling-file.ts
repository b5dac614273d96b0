/** A file that is in memory as long as it is small: journals and temporary tables of SQLite, most of which never grow. */
import type { ScratchFile, ScratchSpace } from './scratch-space.ts';

/** What one may take of memory, in bytes. */
const memoryBytesMax = 1024 * 1024;
const firstBytes = 16 * 1024;
const smallBytes = 16;
/** Memory that an emptied file keeps for the next time. */
const keptBytesMax = 64 * 1024;

export class SpillingFile {
  private readonly space: ScratchSpace;
  private memory: Uint8Array = new Uint8Array(0);
  private file: ScratchFile | null = null;
  private bytes = 0;

  constructor(space: ScratchSpace) {
    this.space = space;
  }

  get length(): number {
    return this.bytes;
  }

  /** Whether it is on disk. */
  get isSpilled(): boolean {
    return this.file !== null;
  }

  /** Writes `length` bytes of `source` from `from` at `at`. @throws ScratchError with the file as it was */
  write(source: Uint8Array, from: number, length: number, at: number): void {
    const end = at + length;
    if (this.file === null && end > memoryBytesMax) this.spill();
    if (this.file !== null) this.file.write(source.subarray(from, from + length), at);
    else {
      if (end > this.memory.length) this.reserve(end);
      if (at > this.bytes) this.memory.fill(0, this.bytes, at);
      // A journal has two numbers for each page, and a view of four bytes costs more than they do.
      if (length <= smallBytes) for (let i = 0; i < length; i++) this.memory[at + i] = source[from + i] ?? 0;
      else this.memory.set(source.subarray(from, from + length), at);
    }
    if (end > this.bytes) this.bytes = end;
  }

  /** Fills `target` from `at`. @returns how many bytes there were. @throws ScratchError when the disk fails. */
  read(target: Uint8Array, at: number): number {
    const length = Math.max(0, Math.min(target.length, this.bytes - at));
    if (length === 0) return 0;
    if (this.file !== null) return this.file.read(target.subarray(0, length), at);
    target.set(this.memory.subarray(at, at + length));
    return length;
  }

  /** Cuts off what lies beyond. An empty file takes no room on disk. */
  truncate(bytes: number): void {
    this.bytes = Math.min(this.bytes, bytes);
    if (this.bytes > 0) return;
    this.file?.close();
    this.file = null;
    if (this.memory.length > keptBytesMax) this.memory = new Uint8Array(0);
  }

  private reserve(bytes: number): void {
    const larger = new Uint8Array(
      Math.min(memoryBytesMax, Math.max(firstBytes, bytes, 2 * this.memory.length)),
    );
    larger.set(this.memory.subarray(0, this.bytes));
    this.memory = larger;
  }

  private spill(): void {
    const file = this.space.open();
    try {
      file.write(this.memory.subarray(0, this.bytes), 0);
    } catch (error) {
      file.close();
      throw error;
    }
    this.file = file;
    this.memory = new Uint8Array(0);
  }
}
