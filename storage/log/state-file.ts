/**
 * A small piece of state that is replaced as a whole: write beside it, flush, rename over it, flush the directory.
 * After a crash at any moment the file holds either the old value or the new one, complete.
 *
 * The file is one line of envelope (format, version, generation, length, CRC-32 of the body) and the body as JSON, so
 * an operator can read it.
 *
 * On damage. A node's promises (seals, epochs it has forked) must never go backwards: a node that forgot its newest
 * seal would take frames it has promised to refuse. So a damaged file is reported as damaged and the previous
 * generation is **not** used in its stead, unless the state was opened with `fallback: 'previous'`, which is right only
 * for values that can be rebuilt or may be old: checkpoints, caches, peer hints. In the same way `absent` next to other
 * data of the same node means that the file was lost, not that nothing was ever promised; the owner must treat it so.
 */
import assert from 'node:assert/strict';
import { basename, dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import {
  type Disk,
  type DiskFailure,
  type DiskFailureReason,
  type DiskFile,
  type DiskResult,
  diskFailureReason,
  onDisk,
  readFully,
  writeFully,
} from './disk.ts';

export interface StateFileOptions<T> {
  readonly disk: Disk;
  /** The file; its directory must exist. `<path>.new` and, with a fallback, `<path>.previous` lie beside it. */
  readonly path: string;
  /** Version of the body's shape; a file of another version is reported as damaged, naming both. */
  readonly version: number;
  /** Turns a parsed body into the value, or says what is wrong with it. */
  readonly parse: (
    body: unknown,
  ) => { readonly kind: 'ok'; readonly value: T } | { readonly kind: 'bad'; readonly reason: string };
  /** `never`: the value carries promises. `previous`: an older value is as safe as none. */
  readonly fallback: 'never' | 'previous';
}

export type StateLoaded<T> =
  | { readonly kind: 'value'; readonly value: T; readonly generation: number }
  /** The current file is damaged and the one before it was used, which the options allow. */
  | { readonly kind: 'previous'; readonly value: T; readonly generation: number; readonly reason: string }
  | { readonly kind: 'absent' }
  /** @param isRotten its bytes are not what was written; else it is whole, and this version cannot read it. */
  | { readonly kind: 'damaged'; readonly reason: string; readonly isRotten: boolean };

export type StateSaved =
  | { readonly kind: 'saved'; readonly generation: number }
  /** Whether the old or the new value is on disk is open; nothing may be promised on the new one. */
  | { readonly kind: 'failed'; readonly reason: DiskFailureReason; readonly message: string };

/** Longest file that is written or believed. */
export const stateFileBytesMax = 16 * 1024 * 1024;

const format = 'sextant-state';

const envelopeSchema = z.strictObject({
  format: z.literal(format),
  version: z.int(),
  generation: z.int(),
  bytes: z.int(),
  crc32: z.int(),
});

interface Save<T> {
  value: T;
  readonly done: ((result: StateSaved) => void)[];
}

type FileRead =
  | { readonly kind: 'good'; readonly body: unknown; readonly generation: number; readonly bytes: Buffer }
  | { readonly kind: 'absent' }
  | { readonly kind: 'bad'; readonly reason: string; readonly isRotten: boolean };

export class StateFile<T> {
  private readonly options: StateFileOptions<T>;
  private generation = 0;
  /** The bytes of the current file, for the copy the next save keeps; only with a fallback. */
  private currentBytes: Buffer | undefined;
  private phase: 'unread' | 'idle' | 'saving' = 'unread';
  private next: Save<T> | undefined;
  private failure: StateSaved | undefined;

  constructor(options: StateFileOptions<T>) {
    this.options = options;
  }

  /** Reads the file. Call once, before the first save. */
  async load(): Promise<StateLoaded<T>> {
    assert.equal(this.phase, 'unread', 'a state file is loaded once');
    const current = await this.loadFrom(this.options.path);
    const loaded = current.kind === 'damaged' ? await this.fallBack(current) : current;
    this.phase = 'idle';
    return loaded;
  }

  /**
   * Replaces the value. Saves that arrive while one is under way are answered together by the one after it, which
   * writes the newest of their values, so each value must contain the promises of the ones before it.
   * After a failed flush of the directory every later save fails: see the fsync note in hot-log.ts.
   */
  save(value: T): Promise<StateSaved> {
    assert.notEqual(this.phase, 'unread', 'a state file is loaded before it is saved');
    return new Promise((resolve) => {
      if (this.next === undefined) this.next = { value, done: [resolve] };
      else {
        this.next.value = value;
        this.next.done.push(resolve);
      }
      if (this.phase === 'idle') void this.saveAll();
    });
  }

  private async saveAll(): Promise<void> {
    this.phase = 'saving';
    for (let save = this.next; save !== undefined; save = this.next) {
      this.next = undefined;
      const result = this.failure ?? (await this.write(save.value));
      for (const done of save.done) done(result);
    }
    this.phase = 'idle';
  }

  private async write(value: T): Promise<StateSaved> {
    const { disk, path, version, fallback } = this.options;
    const generation = this.generation + 1;
    const bytes = encode(version, generation, value);
    assert(bytes.length <= stateFileBytesMax, `${path} would take ${bytes.length} bytes`);
    if (this.currentBytes !== undefined) {
      const kept = await replaceFile(disk, `${path}.previous`, this.currentBytes);
      if (kept.kind === 'failed') return failed(kept);
    }
    const replaced = await replaceFile(disk, path, bytes);
    if (replaced.kind === 'failed') return failed(replaced);
    this.generation = generation;
    if (fallback === 'previous') this.currentBytes = bytes;
    const synced = await onDisk<void>((done) => disk.syncDirectory(dirname(path), done));
    if (synced.kind === 'ok') return { kind: 'saved', generation };
    this.failure = { kind: 'failed', reason: 'io-error', message: synced.message };
    return this.failure;
  }

  private async fallBack(current: Extract<StateLoaded<T>, { kind: 'damaged' }>): Promise<StateLoaded<T>> {
    const { reason } = current;
    if (this.options.fallback === 'never') return current;
    const previous = await this.loadFrom(`${this.options.path}.previous`);
    if (previous.kind === 'value') return { ...previous, kind: 'previous', reason };
    const why = previous.kind === 'damaged' ? previous.reason : 'there is no previous generation';
    return { ...current, reason: `${reason}; ${why}` };
  }

  private async loadFrom(path: string): Promise<Exclude<StateLoaded<T>, { kind: 'previous' }>> {
    const read = await readState(this.options.disk, path, this.options.version);
    const name = basename(path);
    if (read.kind === 'absent') return read;
    if (read.kind === 'bad') return { ...read, kind: 'damaged', reason: `${name}: ${read.reason}` };
    const parsed = this.options.parse(read.body);
    if (parsed.kind === 'bad')
      return { kind: 'damaged', reason: `${name}: ${parsed.reason}`, isRotten: false };
    this.generation = read.generation;
    if (this.options.fallback === 'previous') this.currentBytes = read.bytes;
    return { kind: 'value', value: parsed.value, generation: read.generation };
  }
}

/** Writes a file beside, flushes it and renames it: everything of a replacement but the flush of the directory. */
export async function replaceFile(disk: Disk, path: string, bytes: Uint8Array): Promise<DiskResult<void>> {
  const beside = join(dirname(path), `${basename(path)}.new`);
  // A new file every time: pages of an earlier attempt whose flush failed are in no known state.
  await onDisk<void>((done) => disk.remove(beside, done));
  const written = await withFile(disk, beside, 'replace', async (file) => {
    const wrote = await onDisk<void>((done) => writeFully(file, [bytes], 0, done));
    return wrote.kind === 'failed' ? wrote : onDisk<void>((done) => file.fdatasync(done));
  });
  if (written.kind === 'ok') return onDisk<void>((done) => disk.rename(beside, path, done));
  await onDisk<void>((done) => disk.remove(beside, done));
  return written;
}

async function readState(disk: Disk, path: string, version: number): Promise<FileRead> {
  const read = await withFile<Buffer>(disk, path, 'existing', async (file) => {
    const size = await onDisk<number>((done) => file.sizeBytes(done));
    if (size.kind === 'failed') return size;
    const into = Buffer.alloc(Math.min(size.value, stateFileBytesMax + 1));
    const filled = await onDisk<number>((done) => readFully(file, into, 0, done));
    return filled.kind === 'failed' ? filled : { kind: 'ok', value: into.subarray(0, filled.value) };
  });
  if (read.kind === 'ok') return decode(read.value, version);
  return read.code === 'ENOENT' ? { kind: 'absent' } : { kind: 'bad', reason: read.message, isRotten: false };
}

/** Opens a file for the time of `use`. */
export async function withFile<T>(
  disk: Disk,
  path: string,
  mode: 'existing' | 'replace',
  use: (file: DiskFile) => Promise<DiskResult<T>>,
): Promise<DiskResult<T>> {
  const opened = await onDisk<DiskFile>((done) => disk.open(path, mode, done));
  if (opened.kind === 'failed') return opened;
  const result = await use(opened.value);
  await onDisk<void>((done) => opened.value.close(done));
  return result;
}

function failed(failure: DiskFailure): StateSaved {
  return { kind: 'failed', reason: diskFailureReason(failure), message: failure.message };
}

function encode(version: number, generation: number, value: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(value));
  const envelope = JSON.stringify({ format, version, generation, bytes: body.length, crc32: crc32(body) });
  // The envelope's own checksum: a flipped bit in the generation or version must not pass for a value.
  return Buffer.concat([Buffer.from(`${envelope} ${crc32(envelope)}\n`), body, Buffer.from('\n')]);
}

function decode(bytes: Buffer, version: number): FileRead {
  const bad = (reason: string): FileRead => ({ kind: 'bad', reason, isRotten: true });
  if (bytes.length > stateFileBytesMax) return bad(`longer than ${stateFileBytesMax} bytes`);
  const lineEnd = bytes.indexOf('\n');
  if (lineEnd < 0) return bad('no envelope');
  const line = bytes.toString('latin1', 0, lineEnd);
  const gap = line.lastIndexOf(' ');
  const envelopeText = line.slice(0, Math.max(0, gap));
  if (line.slice(gap + 1) !== String(crc32(envelopeText))) return bad('envelope checksum mismatch');
  const parsed = envelopeSchema.safeParse(parseJson(envelopeText));
  if (!parsed.success) return bad('not a state file');
  const envelope = parsed.data;
  const body = bytes.subarray(lineEnd + 1, -1);
  if (body.length !== envelope.bytes || bytes.at(-1) !== 0x0a) {
    return bad(`${body.length} bytes of body, the envelope says ${envelope.bytes}`);
  }
  if (crc32(body) !== envelope.crc32) return bad('body checksum mismatch');
  if (envelope.version !== version) {
    const reason = `version ${envelope.version}, this process reads ${version}`;
    return { kind: 'bad', reason, isRotten: false };
  }
  return { kind: 'good', body: parseJson(body.toString()), generation: envelope.generation, bytes };
}

/** Text that passed its checksum is still not believed to be JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
