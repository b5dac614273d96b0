/**
 * Writes the file of a run, some pages at a time and a turn of the event loop after each, so that whoever waits for the node
 * waits for a fraction of a millisecond. It is flushed every few MiB: one large flush at the end would keep the log's waiting.
 */
import { crc32 } from 'node:zlib';
import { type DiskFailure, type DiskFile, onDisk, writeFully } from '../log/disk.ts';
import type { RunEntry } from './core/manifest.ts';
import {
  encodeFooter,
  encodeIndex,
  indexEntryBytes,
  pageBytes,
  type RunFacts,
  type RunIndex,
} from './core/run-format.ts';
import { RunFile, type RunPlace, runPath } from './run-file.ts';

export const runWriterBounds = {
  /** Pages in one write: 256 KiB. */
  pagesPerWrite: 64,
  /** Bytes after which what was written is flushed. */
  bytesPerFlush: 4 * 1024 * 1024,
} as const;

/** Pages to write next, in ascending order; `crcs` where they are known. */
export interface RunPart {
  readonly pages: readonly number[];
  readonly images: readonly Uint8Array[];
}

export type RunParts =
  | { readonly kind: 'part'; readonly part: RunPart }
  | { readonly kind: 'end' }
  /** The run cannot be made. */
  | { readonly kind: 'stopped'; readonly reason: string };

export type RunWritten =
  /** Flushed, with its name: a manifest may name it (S13). */
  { readonly kind: 'written'; readonly run: RunFile } | { readonly kind: 'failed'; readonly reason: string };

export interface RunSource {
  readonly file: number;
  readonly facts: Omit<RunFacts, 'pages'>;
  /** As many pages as it holds, or more. */
  readonly pagesMax: number;
  /** The next pages, `count` at most. */
  readonly next: (count: number) => Promise<RunParts>;
  /** Resolves when more may be written. */
  readonly pace: (bytes: number) => Promise<void>;
}

/** Writes a run. What it leaves of one that failed is removed. */
export async function writeRun(place: RunPlace, source: RunSource): Promise<RunWritten> {
  const { disk, directory } = place;
  const path = runPath(place, source.file);
  const opened = await onDisk<DiskFile>((done) => disk.open(path, 'create', done));
  if (opened.kind === 'failed') return { kind: 'failed', reason: opened.message };
  const handle = opened.value;
  const written = await writeAll(handle, source);
  if (written.kind === 'index') {
    const synced = await onDisk<void>((done) => disk.syncDirectory(directory, done));
    if (synced.kind === 'ok')
      return { kind: 'written', run: new RunFile(place, written.entry, written.index, handle) };
  }
  await onDisk<void>((done) => handle.close(done));
  await onDisk<void>((done) => disk.remove(path, done));
  return {
    kind: 'failed',
    reason: written.kind === 'failed' ? written.reason : 'its name cannot be flushed',
  };
}

type Filled =
  | { readonly kind: 'index'; readonly entry: RunEntry; readonly index: RunIndex }
  | { readonly kind: 'failed'; readonly reason: string };

async function writeAll(handle: DiskFile, source: RunSource): Promise<Filled> {
  const pages = new Uint32Array(source.pagesMax);
  const crcs = new Uint32Array(source.pagesMax);
  const out = new Output(handle);
  let count = 0;
  for (;;) {
    const next = await source.next(runWriterBounds.pagesPerWrite);
    if (next.kind === 'stopped') return { kind: 'failed', reason: next.reason };
    if (next.kind === 'end') break;
    for (const [at, page] of next.part.pages.entries()) {
      pages[count + at] = page;
      crcs[count + at] = crc32(next.part.images[at] ?? nothing);
    }
    count += next.part.pages.length;
    const failed = await out.write(next.part.images, next.part.images.length * pageBytes);
    if (failed !== null) return { kind: 'failed', reason: failed.message };
    await source.pace(next.part.images.length * pageBytes);
  }
  const index = { pages: pages.slice(0, count), crcs: crcs.slice(0, count) };
  let indexCrc = 0;
  for (let from = 0; from < count; from += indexEntriesPerWrite) {
    const bytes = encodeIndex(index, from, Math.min(count, from + indexEntriesPerWrite));
    indexCrc = crc32(bytes, indexCrc);
    const failed = await out.write([bytes], bytes.length);
    if (failed !== null) return { kind: 'failed', reason: failed.message };
    await source.pace(bytes.length);
  }
  const facts = { ...source.facts, pages: count };
  const footer = encodeFooter({ ...facts, indexCrc });
  const failed = (await out.write([footer], footer.length)) ?? (await out.flush());
  if (failed !== null) return { kind: 'failed', reason: failed.message };
  return { kind: 'index', entry: { ...facts, file: source.file }, index };
}

const nothing = new Uint8Array(0);
const indexEntriesPerWrite = (runWriterBounds.pagesPerWrite * pageBytes) / indexEntryBytes;

class Output {
  private readonly handle: DiskFile;
  private position = 0;
  private unflushed = 0;

  constructor(handle: DiskFile) {
    this.handle = handle;
  }

  /** @returns what went wrong. */
  async write(buffers: readonly Uint8Array[], length: number): Promise<DiskFailure | null> {
    const at = this.position;
    const wrote = await onDisk<void>((done) => writeFully(this.handle, buffers, at, done));
    if (wrote.kind === 'failed') return wrote;
    this.position += length;
    this.unflushed += length;
    return this.unflushed < runWriterBounds.bytesPerFlush ? null : this.flush();
  }

  async flush(): Promise<DiskFailure | null> {
    this.unflushed = 0;
    const synced = await onDisk<void>((done) => this.handle.fdatasync(done));
    return synced.kind === 'failed' ? synced : null;
  }
}
