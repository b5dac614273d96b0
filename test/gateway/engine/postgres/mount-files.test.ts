import { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PageUnavailable } from '../../../../gateway/engine/postgres/core/file-error.ts';
import { fileKind, rootIno } from '../../../../gateway/engine/postgres/core/inode-table.ts';
import { VolumeFiles } from '../../../../gateway/engine/postgres/core/volume-files.ts';
import {
  type EmscriptenFs,
  type MountedFiles,
  mountFiles,
  unmountFiles,
} from '../../../../gateway/engine/postgres/mount-files.ts';
import { sqlError } from '../../../../gateway/sql/errors.ts';
import { FilesVolume, pageTroubles } from './files-volume.ts';

/** The part of emscripten's `FS` that stands above a mount. */
interface Fs extends EmscriptenFs {
  mkdirTree(path: string): void;
  mkdir(path: string, mode?: number): void;
  open(path: string, flags: string | number, mode?: number): Stream;
  close(stream: Stream): void;
  read(stream: Stream, into: ArrayBufferView, at: number, length: number, position?: number): number;
  write(stream: Stream, from: ArrayBufferView, at: number, length: number, position?: number): number;
  llseek(stream: Stream, offset: number, whence: number): number;
  dupStream(stream: Stream): Stream;
  stat(path: string): { size: number; mode: number; blocks: number };
  fstat(fd: number): { size: number };
  readdir(path: string): string[];
  rename(from: string, to: string): void;
  unlink(path: string): void;
  rmdir(path: string): void;
  symlink(target: string, path: string): void;
  readlink(path: string): string;
  chmod(path: string, mode: number): void;
  ftruncate(fd: number, size: number): void;
  readFile(path: string, options: { encoding: 'utf8' }): string;
  writeFile(path: string, data: string | Uint8Array): void;
}
interface Stream {
  readonly fd: number;
}

const at = '/pglite/data';
const creating = 0o100 | 2; // O_CREAT | O_RDWR
const directory = fileKind.directory | 0o700;
let engine: PGlite;
let fs: Fs;
let volume: FilesVolume;
let files: VolumeFiles;
let mounted: MountedFiles;

/** The error number of a call, or 0. */
function errno(act: () => unknown): number {
  try {
    act();
    return 0;
  } catch (error) {
    if (error instanceof fs.ErrnoError) return (error as Error & { errno: number }).errno;
    throw error;
  }
}

beforeAll(async () => {
  engine = new PGlite({ noInitDb: true });
  await engine.waitReady;
  fs = engine.Module.FS as unknown as Fs;
  fs.mkdirTree(at);
});

beforeEach(() => {
  volume = new FilesVolume();
  files = VolumeFiles.format(volume.set);
  files.create(files.create(rootIno, 'base', directory), 'pgsql_tmp', directory);
  volume.publish();
  mounted = mountFiles(fs, () => files, at);
  return () => unmountFiles(fs, at);
});

afterAll(async () => {
  await engine.close().catch(() => undefined); // It was never started.
});

describe('a volume mounted in PostgreSQL’s runtime', () => {
  test('reads and writes through its memory, at places and at the end, cuts and seeks', () => {
    const stream = fs.open(`${at}/a`, creating, 0o600);
    const heap = new Int8Array(1 << 15); // As the engine's memory is handed over.
    heap.fill(-7, 1_000, 11_000);
    expect(fs.write(stream, heap, 1_000, 8_192, 4_000)).toBe(8_192);
    expect(fs.fstat(stream.fd).size).toBe(12_192);
    expect(fs.read(stream, heap, 2_000, 9_000, 3_999)).toBe(8_193);
    expect([heap[2_000], heap[2_001]]).toEqual([0, -7]);
    expect(fs.llseek(stream, -10, 2)).toBe(12_182);
    expect(errno(() => fs.llseek(stream, -20_000, 1))).toBe(28);
    fs.ftruncate(stream.fd, 4_001);
    expect(fs.stat(`${at}/a`)).toMatchObject({ size: 4_001, blocks: 1, mode: fileKind.file | 0o600 });
    fs.close(stream);
    const appending = fs.open(`${at}/a`, 'a');
    const part = new Uint8Array([1, 2, 3, 4]).subarray(2);
    fs.write(appending, part, 0, 2);
    fs.close(appending);
    const content = new Uint8Array(4_003);
    files.read(files.resolve('a'), content, 0, 4_003, 0);
    expect([...content.subarray(3_999)]).toEqual([0, 249, 3, 4]);
    fs.close(fs.open(`${at}/a`, 'w'));
    expect(fs.stat(`${at}/a`).size).toBe(0);
    expect(errno(() => fs.open(`${at}/a`, creating | 0o200))).toBe(20);
  });

  test('names: directories, renaming over a file, links, permissions, and the errors of each', () => {
    fs.mkdir(`${at}/d`);
    fs.writeFile(`${at}/d/x`, 'new');
    fs.writeFile(`${at}/y`, 'old');
    expect(errno(() => fs.rmdir(`${at}/d`))).toBe(55);
    fs.rename(`${at}/d/x`, `${at}/y`);
    expect(fs.readFile(`${at}/y`, { encoding: 'utf8' })).toBe('new');
    expect(errno(() => fs.stat(`${at}/d/x`))).toBe(44);
    fs.rmdir(`${at}/d`);
    fs.symlink(`${at}/y`, `${at}/link`);
    expect(fs.readlink(`${at}/link`)).toBe(`${at}/y`);
    expect(fs.readFile(`${at}/link`, { encoding: 'utf8' })).toBe('new');
    fs.chmod(`${at}/y`, 0o640);
    expect(fs.stat(`${at}/y`).mode).toBe(fileKind.file | 0o640);
    expect(new Set(fs.readdir(at))).toEqual(new Set(['.', '..', 'base', 'link', 'y']));
    expect(errno(() => fs.unlink(`${at}/base`))).toBe(31);
    expect(errno(() => fs.writeFile(`${at}/${'x'.repeat(256)}`, ''))).toBe(37);
  });

  test('an open file outlives its name, and a duplicate of its stream the stream (G84)', () => {
    fs.writeFile(`${at}/y`, 'kept');
    volume.publish();
    const before = volume.pages;
    const stream = fs.open(`${at}/y`, 'r');
    const twin = fs.dupStream(stream);
    fs.unlink(`${at}/y`);
    fs.writeFile(`${at}/y`, 'other');
    fs.close(stream);
    const into = new Uint8Array(4);
    expect(fs.read(twin, into, 0, 4, 0)).toBe(4);
    expect(new TextDecoder().decode(into)).toBe('kept');
    fs.close(twin);
    volume.publish();
    expect(volume.pages).toBe(before + 1);
    fs.unlink(`${at}/y`);
    volume.publish();
    expect(pageTroubles(volume.set)).toEqual([]);
  });

  test('what is spilled stays out of the volume', () => {
    fs.writeFile(`${at}/base/pgsql_tmp/pgsql_tmp42.0`, new Uint8Array(1 << 20));
    expect(volume.set.size).toBe(0);
    expect(fs.readdir(`${at}/base/pgsql_tmp`)).toContain('pgsql_tmp42.0');
  });

  test('other pages are seen after another mount, and nothing of those before', () => {
    fs.writeFile(`${at}/one`, '1');
    const open = fs.open(`${at}/one`, 'r');
    const other = new FilesVolume();
    const otherFiles = VolumeFiles.format(other.set);
    otherFiles.create(rootIno, 'two', fileKind.file | 0o600);
    files = otherFiles;
    fs.close(open);
    unmountFiles(fs, at);
    mounted = mountFiles(fs, () => files, at);
    expect(fs.readdir(at)).toEqual(['.', '..', 'two']);
    expect(errno(() => fs.stat(`${at}/one`))).toBe(44);
    expect(fs.stat(`${at}/two`).size).toBe(0);
  });

  test('a page that cannot be read is thrown through the engine, and every operation fails until it is taken (G86)', () => {
    fs.writeFile(`${at}/y`, 'text');
    volume.publish();
    const { cache } = volume;
    const get = cache.get.bind(cache);
    const lost = new PageUnavailable(sqlError('SEXTANT_STORAGE_UNAVAILABLE', 'no node answers'));
    cache.get = () => {
      throw lost;
    };
    expect(() => fs.readFile(`${at}/y`, { encoding: 'utf8' })).toThrow(lost);
    cache.get = get;
    expect(() => fs.stat(`${at}/y`)).toThrow(lost);
    expect(mounted.takeFault()).toBe(lost);
    expect(mounted.takeFault()).toBe(null);
    expect(fs.stat(`${at}/y`).size).toBe(4);
  });
});
