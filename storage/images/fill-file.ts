/**
 * A base run that is filled with pages from elsewhere, in the order of their numbers and a batch at a time: of a peer that has
 * images of what no log says any more, or of another region. Each batch is flushed before it counts, so a kill at any moment
 * resumes where the last one ended. Nobody reads the run before it is finished and the manifest names it (S13).
 *
 * S24: the pages may be as of different places of one history. The run begins at the lowest of them, where the log has to begin,
 * and every page is right from the highest on.
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Floor } from '../history/floor.ts';
import { type DiskFailure, type DiskFile, onDisk, readFully, writeFully } from '../log/disk.ts';
import type { FillBatch, FillStanding } from './core/fill.ts';
import { decodeFillJournal, encodeFillEntry, type FillEntry } from './core/fill-journal.ts';
import { encodeFooter, encodeIndex, pageBytes, type RunFacts } from './core/run-format.ts';
import { RunFile, type RunPlace, runPath } from './run-file.ts';

export type Filled = { readonly kind: 'stored' } | { readonly kind: 'failed'; readonly reason: string };

/** A fill that is under way. */
interface Open {
  readonly file: number;
  readonly run: DiskFile;
  readonly journal: DiskFile;
  journalBytes: number;
  readonly entries: FillEntry[];
  /** Nothing lies behind the last whole batch. */
  isCut: boolean;
}

export class FillFile {
  private readonly place: RunPlace;
  private open: Open | null;

  private constructor(place: RunPlace, open: Open | null) {
    this.place = place;
    this.open = open;
  }

  /** Takes up what an earlier process had begun. A fill that cannot be read is begun anew. */
  static async find(place: RunPlace): Promise<FillFile> {
    const { disk } = place;
    const found = await onDisk<DiskFile>((done) => disk.open(journalPath(place), 'existing', done));
    if (found.kind === 'failed') return new FillFile(place, null);
    const journal = found.value;
    const size = await onDisk<number>((done) => journal.sizeBytes(done));
    const into = new Uint8Array(size.kind === 'ok' ? size.value : 0);
    const read = await onDisk<number>((done) => readFully(journal, into, 0, done));
    const { entries, length } = decodeFillJournal(into.subarray(0, read.kind === 'ok' ? read.value : 0));
    const file = entries[0]?.file;
    const fill = new FillFile(place, null);
    if (file !== undefined) {
      const run = await onDisk<DiskFile>((done) => disk.open(runPath(place, file), 'existing', done));
      if (run.kind === 'ok') {
        const bytes = await onDisk<number>((done) => run.value.sizeBytes(done));
        fill.open = {
          file,
          run: run.value,
          journal,
          journalBytes: length,
          entries: [...entries],
          isCut: false,
        };
        // Not cut yet: a kill may have come after the manifest named the run.
        if (bytes.kind === 'ok' && bytes.value >= pagesOf(entries) * pageBytes) return fill;
        await onDisk<void>((done) => run.value.close(done));
      }
    }
    await onDisk<void>((done) => journal.close(done));
    fill.open = null;
    await onDisk<void>((done) => disk.remove(journalPath(place), done));
    return fill;
  }

  /** Number of the file that is being filled; null while none is. */
  get file(): number | null {
    return this.open?.file ?? null;
  }

  /** Null while nothing is being filled. */
  get standing(): FillStanding | null {
    if (this.open === null) return null;
    const { entries } = this.open;
    return { places: placesOf(entries), pages: pagesOf(entries), next: entries.at(-1)?.next ?? null };
  }

  /** Adds a batch that goes on where the last one ended, and flushes it. @param file number of a file, should this be the first. */
  async add({ at, pages, next }: FillBatch, file: number): Promise<Filled> {
    const begun = this.open === null ? await this.begin(file) : null;
    if (begun !== null) return failed(begun);
    const { open } = this;
    if (open === null || !(await this.cut())) return { kind: 'failed', reason: 'its files cannot be cut' };
    const index = {
      pages: Uint32Array.from(pages, ({ page }) => page),
      crcs: Uint32Array.from(pages, ({ bytes }) => crc32(bytes)),
    };
    const position = pagesOf(open.entries) * pageBytes;
    const entry: FillEntry = { file: open.file, at, next, index };
    const record = encodeFillEntry(entry);
    const wrote =
      (await write(
        open.run,
        pages.map(({ bytes }) => bytes),
        position,
      )) ?? (await write(open.journal, [record], open.journalBytes));
    if (wrote === null) {
      open.entries.push(entry);
      open.journalBytes += record.length;
      return { kind: 'stored' };
    }
    // What is there of it counts for nothing, and the next try cuts it away.
    open.isCut = false;
    if (open.entries.length === 0) await this.drop();
    return failed(wrote);
  }

  /** All pages are there: makes a run of them. The journal stays until `forget`, for a kill before the manifest names the run. */
  async finish(): Promise<
    { readonly kind: 'run'; readonly run: RunFile } | { readonly kind: 'failed'; readonly reason: string }
  > {
    const { open } = this;
    if (open === null || open.entries.at(-1)?.next !== null)
      return { kind: 'failed', reason: 'pages are missing' };
    const count = pagesOf(open.entries);
    if (!(await this.cut())) return { kind: 'failed', reason: 'its files cannot be cut' };
    const indexes = open.entries.map(({ index }) => encodeIndex(index));
    const indexCrc = indexes.reduce((crc, bytes) => crc32(bytes, crc), 0);
    const footer = encodeFooter({ ...this.facts(open), pages: count, indexCrc });
    open.isCut = false;
    const wrote = await write(open.run, [...indexes, footer], count * pageBytes);
    if (wrote !== null) return failed(wrote);
    const opened = await RunFile.open(this.place, open.file);
    return opened.kind === 'run'
      ? opened
      : { kind: 'failed', reason: opened.kind === 'bad' ? opened.reason : opened.message };
  }

  /** The run is in the manifest: it is no fill any more. */
  async forget(): Promise<void> {
    const { open } = this;
    this.open = null;
    if (open === null) return;
    await this.letGo(open);
  }

  /** Gives up what was filled. */
  async drop(): Promise<void> {
    const { open, place } = this;
    this.open = null;
    if (open === null) return;
    await this.letGo(open);
    await onDisk<void>((done) => place.disk.remove(runPath(place, open.file), done));
  }

  async close(): Promise<void> {
    const { open } = this;
    this.open = null;
    if (open === null) return;
    await Promise.all([open.run, open.journal].map((file) => onDisk<void>((done) => file.close(done))));
  }

  private facts({ entries }: Open): Omit<RunFacts, 'pages'> {
    const places = placesOf(entries);
    const [low, high] = [places[0] as Floor, places.at(-1) as Floor];
    const isFuzzy = high.lsn > low.lsn;
    return {
      epoch: high.epoch,
      from: 0 as RunFacts['from'],
      to: low.lsn,
      isConsistent: true,
      endsAt: null,
      ...(isFuzzy && { fuzzyTo: high.lsn }),
    };
  }

  private async begin(file: number): Promise<DiskFailure | null> {
    const { disk, directory } = this.place;
    const run = await onDisk<DiskFile>((done) => disk.open(runPath(this.place, file), 'create', done));
    if (run.kind === 'failed') return run;
    const journal = await onDisk<DiskFile>((done) => disk.open(journalPath(this.place), 'create', done));
    if (journal.kind === 'failed') {
      await onDisk<void>((done) => run.value.close(done));
      return journal;
    }
    this.open = { file, run: run.value, journal: journal.value, journalBytes: 0, entries: [], isCut: false };
    const synced = await onDisk<void>((done) => disk.syncDirectory(directory, done));
    if (synced.kind === 'ok' && (await this.cut())) return null;
    await this.drop();
    return synced.kind === 'ok'
      ? { kind: 'failed', code: 'EIO', message: 'its files cannot be cut' }
      : synced;
  }

  /** Cuts what lies behind the last whole batch. @returns whether that could be done, and all of the batches are there. */
  private async cut(): Promise<boolean> {
    const { open } = this;
    if (open === null || open.isCut) return open !== null;
    const bytes = pagesOf(open.entries) * pageBytes;
    const size = await onDisk<number>((done) => open.run.sizeBytes(done));
    if (size.kind === 'failed' || size.value < bytes) return false;
    const cuts = await Promise.all([
      onDisk<void>((done) => open.run.truncate(bytes, done)),
      onDisk<void>((done) => open.journal.truncate(open.journalBytes, done)),
    ]);
    open.isCut = cuts.every(({ kind }) => kind === 'ok');
    return open.isCut;
  }

  private async letGo(open: Open): Promise<void> {
    await Promise.all([open.run, open.journal].map((file) => onDisk<void>((done) => file.close(done))));
    await onDisk<void>((done) => this.place.disk.remove(journalPath(this.place), done));
  }
}

const journalPath = ({ directory }: RunPlace): string => join(directory, 'fill');
const failed = ({ message }: DiskFailure): Filled & { kind: 'failed' } => ({
  kind: 'failed',
  reason: message,
});
const pagesOf = (entries: readonly FillEntry[]): number =>
  entries.reduce((sum, { index }) => sum + index.pages.length, 0);

function placesOf(entries: readonly FillEntry[]): readonly Floor[] {
  const places = new Map<string, Floor>();
  for (const { at } of entries) places.set(`${at.epoch}/${at.lsn}`, at);
  return [...places.values()].sort((a, b) => a.lsn - b.lsn);
}

async function write(
  file: DiskFile,
  buffers: readonly Uint8Array[],
  position: number,
): Promise<DiskFailure | null> {
  const wrote = await onDisk<void>((done) => writeFully(file, buffers, position, done));
  if (wrote.kind === 'failed') return wrote;
  const synced = await onDisk<void>((done) => file.fdatasync(done));
  return synced.kind === 'failed' ? synced : null;
}
