/**
 * One image run on the disk: its index in memory, its file open for readers. A run that was replaced stays readable until the
 * last reader that began with it has finished.
 *
 * S12: a slot whose bytes do not match their CRC-32 is not handed out; it counts as rotten until a page that does match has been
 * fetched from elsewhere. Such a page is served from memory until the run is written anew.
 */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { crc32 } from 'node:zlib';
import {
  type Disk,
  type DiskFailure,
  type DiskFile,
  diskFailureReason,
  onDisk,
  readFully,
} from '../log/disk.ts';
import type { RunEntry } from './core/manifest.ts';
import {
  decodeFooter,
  decodeIndex,
  footerBytes,
  indexEntryBytes,
  pageBytes,
  type RunFacts,
  type RunIndex,
  runFileBytes,
} from './core/run-format.ts';
import { readsOf } from './core/slot-plan.ts';
import type { Turnstile } from './turnstile.ts';

/** Where the files of a store lie, and how many reads of them may be under way. */
export interface RunPlace {
  readonly disk: Disk;
  readonly directory: string;
  readonly reads: Turnstile;
  /** Hears of each slot that is found to be rotten, once. */
  readonly onRot: (reason: string) => void;
}

export type RunOpened =
  | { readonly kind: 'run'; readonly run: RunFile }
  /** The file is not there or is not the run that it should be. */
  | { readonly kind: 'bad'; readonly reason: string }
  /** It could not be looked at, which may pass. */
  | { readonly kind: 'failed'; readonly message: string };

/** A page of a run: its bytes, this reader's own, or why there are none. */
export type SlotBytes = Uint8Array | { readonly reason: string };

const suffix = '.run';
const unread: SlotBytes = { reason: 'it was not read' };

export function runPath({ directory }: Pick<RunPlace, 'directory'>, file: number): string {
  return join(directory, `${String(file).padStart(10, '0')}${suffix}`);
}

/** Number of the run whose file has this name; null for any other name. */
export function runNumber(name: string): number | null {
  return /^\d{10}\.run$/.test(name) ? Number(name.slice(0, -suffix.length)) : null;
}

export class RunFile {
  readonly entry: RunEntry;
  readonly index: RunIndex;
  private readonly place: RunPlace;
  private readonly handle: DiskFile;
  private readonly rottenSlots = new Set<number>();
  private readonly healedSlots = new Map<number, Uint8Array>();
  private hasRottenIndex = false;
  private readers = 0;
  private retired: 'no' | 'closed' | 'removed' = 'no';
  private whenGone: (() => void)[] = [];

  constructor(place: RunPlace, entry: RunEntry, index: RunIndex, handle: DiskFile) {
    this.place = place;
    this.entry = entry;
    this.index = index;
    this.handle = handle;
  }

  /** Opens a file and believes it as far as its checksums go; pages are checked when they are read. */
  static async open(place: RunPlace, file: number): Promise<RunOpened> {
    const path = runPath(place, file);
    const opened = await onDisk<DiskFile>((done) => place.disk.open(path, 'existing', done));
    if (opened.kind === 'failed') return notOpened(opened);
    const read = await readIndex(opened.value);
    if (read.kind === 'index')
      return { kind: 'run', run: new RunFile(place, { ...read.facts, file }, read.index, opened.value) };
    await onDisk<void>((done) => opened.value.close(done));
    return read;
  }

  get bytes(): number {
    return runFileBytes(this.entry.pages);
  }

  /** Pages that are known to be rotten and have not been fetched yet, at most `count`. */
  rotten(count: number): readonly number[] {
    const pages: number[] = [];
    for (const slot of this.rottenSlots) {
      if (pages.length === count) break;
      pages.push(this.index.pages[slot] ?? 0);
    }
    return pages;
  }

  get rottenCount(): number {
    return this.rottenSlots.size;
  }

  /** What is in memory is not in the file: pages that were fetched, or an index that has rotted there. */
  get wantsRewrite(): boolean {
    return this.healedSlots.size > 0 || this.hasRottenIndex;
  }

  /** It was replaced, or the store is closed: no new reader comes. */
  get isRetired(): boolean {
    return this.retired !== 'no';
  }

  /**
   * Takes a page in the place of a rotten one. @returns whether it is the page that was stored there. In a fuzzy run any version
   * of the page as of a point in its bounds is as good.
   */
  heal(slot: number, bytes: Uint8Array): boolean {
    if (bytes.length !== pageBytes) return false;
    if (this.entry.fuzzyTo !== undefined) this.index.crcs[slot] = crc32(bytes);
    else if (crc32(bytes) !== this.index.crcs[slot]) return false;
    this.rottenSlots.delete(slot);
    this.healedSlots.set(slot, bytes.slice());
    return true;
  }

  /**
   * Reads slots, neighbours together. @param slots ascending.
   * @returns what is in each, in the order asked.
   */
  async read(slots: readonly number[]): Promise<readonly SlotBytes[]> {
    const stored = slots.filter((slot) => !this.healedSlots.has(slot));
    const found = new Map<number, SlotBytes>();
    const release = this.hold();
    try {
      await Promise.all(
        readsOf(stored).map(({ first, count }) => this.readSome(first, count, stored, found)),
      );
    } finally {
      release();
    }
    return slots.map((slot) => found.get(slot) ?? this.healedSlots.get(slot)?.slice() ?? unread);
  }

  /** Reads the index and the footer again, which nobody but a start does. @returns how many bytes that were. */
  async checkIndex(): Promise<number> {
    const release = this.hold();
    const read = await this.place.reads.pass(() => readIndex(this.handle));
    release();
    const isSame =
      read.kind === 'index' && isDeepStrictEqual({ ...read.facts, file: this.entry.file }, this.entry);
    // A want of file handles is no rot. In a fuzzy run pages that were healed may have other checksums by now.
    if (read.kind !== 'failed' && !isSame && !this.hasRottenIndex) {
      this.hasRottenIndex = true;
      const why = read.kind === 'bad' ? read.reason : 'it is that of another run';
      this.place.onRot(`the index of run ${this.entry.file} is rotten: ${why}`);
    }
    return this.bytes - this.entry.pages * pageBytes;
  }

  /** Keeps the file open and in its place until the function returned is called. */
  hold(): () => void {
    this.readers += 1;
    return () => {
      this.readers -= 1;
      this.leave();
    };
  }

  /** No new reader comes. Resolves when the last one has gone and the file is closed, or removed as well. */
  retire(how: 'closed' | 'removed'): Promise<void> {
    this.retired = how;
    return new Promise((resolve) => {
      this.whenGone.push(resolve);
      this.leave();
    });
  }

  private async readSome(
    first: number,
    count: number,
    wanted: readonly number[],
    found: Map<number, SlotBytes>,
  ): Promise<void> {
    const into = new Uint8Array(count * pageBytes);
    const read = await this.place.reads.pass(() =>
      onDisk<number>((done) => readFully(this.handle, into, first * pageBytes, done)),
    );
    const inside = wanted.filter((slot) => slot >= first && slot < first + count);
    if (read.kind === 'failed' && count > 1) {
      // One bad block is no reason to call its neighbours rotten.
      await Promise.all([...new Set(inside)].map((slot) => this.readSome(slot, 1, [slot], found)));
      return;
    }
    for (const slot of inside) {
      if (found.has(slot)) continue;
      const bytes = into.subarray((slot - first) * pageBytes, (slot - first + 1) * pageBytes);
      if (read.kind === 'failed') found.set(slot, this.failed(slot, read));
      else if (crc32(bytes) === this.index.crcs[slot]) found.set(slot, bytes);
      else found.set(slot, this.rot(slot, 'its bytes do not match their checksum'));
    }
  }

  /** Handles that are lacking come back; what the disk cannot read is as good as rotten. */
  private failed(slot: number, failure: DiskFailure): SlotBytes {
    if (diskFailureReason(failure) === 'io-error') return this.rot(slot, failure.message);
    return { reason: `the image of page ${this.index.pages[slot]} cannot be read: ${failure.message}` };
  }

  private rot(slot: number, why: string): SlotBytes {
    const reason = `the image of page ${this.index.pages[slot]} in run ${this.entry.file} is rotten: ${why}`;
    if (!this.rottenSlots.has(slot)) this.place.onRot(reason);
    this.rottenSlots.add(slot);
    return { reason };
  }

  private leave(): void {
    if (this.readers > 0 || this.retired === 'no' || this.whenGone.length === 0) return;
    const { disk } = this.place;
    const isRemoved = this.retired === 'removed';
    const gone = this.whenGone;
    this.whenGone = [];
    const tell = (): void => {
      for (const resolve of gone) resolve();
    };
    this.handle.close(() => (isRemoved ? disk.remove(runPath(this.place, this.entry.file), tell) : tell()));
  }
}

type IndexRead =
  | { readonly kind: 'index'; readonly facts: RunFacts; readonly index: RunIndex }
  | Exclude<RunOpened, { readonly kind: 'run' }>;

async function readIndex(handle: DiskFile): Promise<IndexRead> {
  const size = await onDisk<number>((done) => handle.sizeBytes(done));
  if (size.kind === 'failed') return notOpened(size);
  const end = await readAt(handle, Math.max(0, size.value - footerBytes), Math.min(size.value, footerBytes));
  if (end.kind === 'failed') return notOpened(end);
  const decoded = decodeFooter(end.value, size.value);
  if (decoded.kind === 'bad') return decoded;
  const { indexCrc, ...facts } = decoded.footer;
  const bytes = await readAt(handle, facts.pages * pageBytes, facts.pages * indexEntryBytes);
  if (bytes.kind === 'failed') return notOpened(bytes);
  const index = decodeIndex(bytes.value, { ...facts, indexCrc });
  return index === null
    ? { kind: 'bad', reason: 'its index does not match its checksum' }
    : { kind: 'index', facts, index };
}

async function readAt(
  handle: DiskFile,
  position: number,
  length: number,
): Promise<{ readonly kind: 'ok'; readonly value: Uint8Array } | DiskFailure> {
  const into = new Uint8Array(length);
  const read = await onDisk<number>((done) => readFully(handle, into, position, done));
  return read.kind === 'failed' ? read : { kind: 'ok', value: into.subarray(0, read.value) };
}

function notOpened(failure: DiskFailure): Exclude<RunOpened, { readonly kind: 'run' }> {
  const passes = diskFailureReason(failure) === 'disk-full';
  return passes ? { kind: 'failed', message: failure.message } : { kind: 'bad', reason: failure.message };
}
