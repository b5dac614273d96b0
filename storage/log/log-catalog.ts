/**
 * The log's files as a whole: which there are, how long they are, which are sealed. Sealing one, taking its index away and
 * dropping files happen one after another, in the background; none of it is on the way of an append.
 *
 * A crash at any moment leaves a log that opens. An index is written beside and renamed, and checked when it is read. Of files
 * that are dropped the index goes first, so that no index outlives its file; one that does is removed at a start.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { nextTurn, type Runtime } from '../process/runtime.ts';
import type { HeldFrame } from './core/held-frames.ts';
import { SealedIndexEncoder, sealedIndexBytes, sealedIndexBytesMax } from './core/sealed-index.ts';
import { type Disk, type DiskResult, onDisk } from './disk.ts';
import { indexFileName, type LogFiles, logFileName } from './hot-log-files.ts';
import type { DropResult, LogFileFacts } from './hot-log-types.ts';
import { replaceFile } from './state-file.ts';

export interface CommitTimes {
  readonly firstCommitUs: number | null;
  readonly lastCommitUs: number | null;
}

export type SealResult =
  | { readonly kind: 'sealed' }
  /** The file was dropped, or something in it was found to be rotten meanwhile. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'failed'; readonly message: string };

interface Known {
  bytes: number;
  /** Of a sealed file. */
  sealed: CommitTimes | null;
  /** Goes up when an index of this file stops being true. */
  changes: number;
}

/** Entries encoded in one turn of the event loop: about half a millisecond. */
const entriesPerTurn = 4_096;

export class LogCatalog {
  private readonly disk: Disk;
  private readonly directory: string;
  private readonly files: LogFiles;
  private readonly runtime: Runtime;
  private readonly known = new Map<number, Known>();
  private last = 0;
  private droppedTo = 0;
  private work: Promise<unknown> = Promise.resolve();

  constructor(disk: Disk, directory: string, files: LogFiles, runtime: Runtime) {
    this.disk = disk;
    this.directory = directory;
    this.files = files;
    this.runtime = runtime;
  }

  /** By number, ascending; the last one is the one that is written, or the next start's. */
  get all(): readonly LogFileFacts[] {
    return [...this.known].map(([number, { bytes, sealed }]) => ({
      number,
      bytes,
      sealed: sealed !== null,
      firstCommitUs: sealed?.firstCommitUs ?? null,
      lastCommitUs: sealed?.lastCommitUs ?? null,
    }));
  }

  /** Of all files. */
  get bytes(): number {
    let bytes = 0;
    for (const file of this.known.values()) bytes += file.bytes;
    return bytes;
  }

  get sealedFiles(): number {
    let count = 0;
    for (const { sealed } of this.known.values()) if (sealed !== null) count += 1;
    return count;
  }

  /** Files up to this number were dropped since the log was opened. */
  get droppedThrough(): number {
    return this.droppedTo;
  }

  /** Whether the file may be sealed: it takes no more frames and is not sealed. */
  isRolled(number: number): boolean {
    return number < this.last && this.known.get(number)?.sealed === null;
  }

  /** A file is there and so long; its number is the highest or known already. */
  noted(number: number, bytes: number, sealed: CommitTimes | null = null): void {
    const file = this.known.get(number);
    if (file !== undefined) {
      file.bytes = bytes;
      return;
    }
    assert(number > this.last, 'log files are noted in their order');
    this.known.set(number, { bytes, sealed, changes: 0 });
    this.last = number;
  }

  /** S16: writes the index of a file that takes no more frames. @param entries all that are held in it, in its order. */
  seal(number: number, entries: readonly HeldFrame[], times: CommitTimes): Promise<SealResult> {
    assert(number < this.last, `log file ${number} is still written`);
    const before = this.known.get(number)?.changes;
    const last = entries.at(-1);
    const logBytes = last === undefined ? 0 : last.position.offset + last.position.length;
    return this.inTurn(async () => {
      if (sealedIndexBytes(entries.length) > sealedIndexBytesMax)
        return { kind: 'failed', message: `${entries.length} entries are more than an index takes` };
      const encoder = new SealedIndexEncoder({ file: number, logBytes, ...times }, entries.length);
      for (let at = 0; at < entries.length; at += entriesPerTurn) {
        encoder.add(entries.slice(at, at + entriesPerTurn));
        await nextTurn(this.runtime);
      }
      const bytes = encoder.finish();
      const file = this.known.get(number);
      if (file === undefined || file.changes !== before) return { kind: 'changed' };
      const written = await replaceFile(this.disk, this.indexPath(number), bytes);
      if (written.kind === 'failed') return written;
      // What has become untrue while it was written is taken away by the call that waits for this one.
      if (file.changes !== before) return { kind: 'changed' };
      file.sealed = times;
      return { kind: 'sealed' };
    });
  }

  /** S16: takes the index of a file away: what it says is not true any more. Resolves when the disk has forgotten it. */
  unseal(number: number): Promise<DiskResult<void>> {
    const file = this.known.get(number);
    if (file === undefined) return Promise.resolve(nothing);
    file.changes += 1;
    file.sealed = null;
    return this.inTurn(async () => {
      const removed = await this.remove(this.indexPath(number));
      return removed.kind === 'failed' ? removed : this.syncDirectory();
    });
  }

  /**
   * Removes the files up to `number`, with their indexes; never the last one, by whose number the next start goes on.
   * @param forget called with the number of each file before it goes.
   */
  dropThrough(number: number, forget: (number: number) => void): Promise<DropResult> {
    return this.inTurn(async () => {
      let files = 0;
      let bytes = 0;
      for (const [candidate, file] of [...this.known]) {
        if (candidate > number || candidate >= this.last) break;
        const before = this.droppedTo;
        this.droppedTo = candidate;
        forget(candidate);
        this.files.forget(candidate);
        file.sealed = null;
        for (const name of [indexFileName(candidate), logFileName(candidate)]) {
          const removed = await this.remove(join(this.directory, name));
          if (removed.kind === 'ok') continue;
          this.droppedTo = before;
          return { kind: 'failed', message: `${name} cannot be removed: ${removed.message}` };
        }
        this.known.delete(candidate);
        files += 1;
        bytes += file.bytes;
      }
      const synced = files === 0 ? nothing : await this.syncDirectory();
      return synced.kind === 'failed' ? synced : { kind: 'dropped', files, bytes };
    });
  }

  /** Waits for what is under way. */
  async settled(): Promise<void> {
    await this.work;
  }

  private inTurn<T>(act: () => Promise<T>): Promise<T> {
    const result = this.work.then(act);
    this.work = result.catch(() => undefined);
    return result;
  }

  private indexPath(number: number): string {
    return join(this.directory, indexFileName(number));
  }

  private async remove(path: string): Promise<DiskResult<void>> {
    const removed = await onDisk<void>((done) => this.disk.remove(path, done));
    return removed.kind === 'failed' && removed.code === 'ENOENT' ? nothing : removed;
  }

  private syncDirectory(): Promise<DiskResult<void>> {
    return onDisk<void>((done) => this.disk.syncDirectory(this.directory, done));
  }
}

const nothing: DiskResult<void> = { kind: 'ok', value: undefined };
