/**
 * The log's files: their names, and a bounded set of open handles shared by readers and the writer. A handle in use is
 * never closed, because the number of a closed descriptor can at once mean another file.
 */
import { join } from 'node:path';
import { type Disk, type DiskFailure, type DiskFile, type DiskOpenMode, onDisk } from './disk.ts';

const namePattern = /^(\d{10})\.log$/;
const indexPattern = /^(\d{10})\.idx$/;

export function logFileName(number: number): string {
  return `${String(number).padStart(10, '0')}.log`;
}

/** What a sealed log file holds; see core/sealed-index.ts. */
export function indexFileName(number: number): string {
  return `${String(number).padStart(10, '0')}.idx`;
}

/** Numbers of the log files among `names`, ascending; other files are none of the log's business. */
export function logFileNumbers(names: readonly string[]): readonly number[] {
  return numbersOf(names, namePattern);
}

/** Numbers of the index files among `names`, ascending. */
export function indexFileNumbers(names: readonly string[]): readonly number[] {
  return numbersOf(names, indexPattern);
}

function numbersOf(names: readonly string[], pattern: RegExp): readonly number[] {
  return names
    .map((name) => Number(pattern.exec(name)?.[1] ?? 0))
    .filter((number) => number > 0)
    .sort((a, b) => a - b);
}

/** A use of an open file; `release` once, after the last operation has called back. */
export interface LogFileLease {
  readonly kind: 'open';
  readonly file: DiskFile;
  release(): void;
}

interface Entry {
  readonly opened: Promise<DiskFile | DiskFailure>;
  users: number;
  isForgotten: boolean;
}

export class LogFiles {
  private readonly disk: Disk;
  private readonly directory: string;
  private openMax: number;
  /** In order of last use, oldest first. */
  private readonly entries = new Map<number, Entry>();

  constructor(disk: Disk, directory: string, openMax: number) {
    this.disk = disk;
    this.directory = directory;
    this.openMax = openMax;
  }

  async use(number: number, mode: DiskOpenMode): Promise<LogFileLease | DiskFailure> {
    const path = join(this.directory, logFileName(number));
    const entry = this.entries.get(number) ?? {
      opened: onDisk<DiskFile>((done) => this.disk.open(path, mode, done)).then((result) =>
        result.kind === 'ok' ? result.value : result,
      ),
      users: 0,
      isForgotten: false,
    };
    this.entries.delete(number);
    this.entries.set(number, entry);
    entry.users += 1;
    const file = await entry.opened;
    if ('kind' in file) {
      if (this.entries.get(number) === entry) this.entries.delete(number);
      return file;
    }
    void this.closeIdle();
    const release = (): void => {
      entry.users -= 1;
      if (!entry.isForgotten) void this.closeIdle();
      else if (entry.users === 0) void closeEntry(entry);
    };
    return { kind: 'open', file, release };
  }

  /** The file is being removed: its handle is closed as soon as nobody uses it. */
  forget(number: number): void {
    const entry = this.entries.get(number);
    if (entry === undefined) return;
    this.entries.delete(number);
    entry.isForgotten = true;
    if (entry.users === 0) void closeEntry(entry);
  }

  /** Closes every handle that is not in use; the rest close when they are released. */
  closeAll(): Promise<void> {
    this.openMax = 0;
    return this.closeIdle();
  }

  private async closeIdle(): Promise<void> {
    const closing: Promise<unknown>[] = [];
    for (const [number, entry] of this.entries) {
      if (this.entries.size <= this.openMax) break;
      if (entry.users > 0) continue;
      this.entries.delete(number);
      closing.push(closeEntry(entry));
    }
    await Promise.all(closing);
  }
}

async function closeEntry(entry: Entry): Promise<void> {
  const file = await entry.opened;
  if (!('kind' in file)) await onDisk<void>((done) => file.close(done));
}
