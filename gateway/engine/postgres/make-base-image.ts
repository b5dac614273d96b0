/** A new PostgreSQL database: `initdb` in a scratch instance in memory, and what is changed of it for a volume. */
import assert from 'node:assert/strict';
import { PGlite } from '@electric-sql/pglite';
import type { BaseFile, BaseImage } from './core/base-archive.ts';
import { controlPath, isShutDown, isWalFile } from './core/system-identifier.ts';
import { spillPath } from './mount-files.ts';

/**
 * Settings that go with the volume. A set of pages is applied whole or not at all, so that WAL needs no whole pages; storage keeps the
 * copies, so that WAL serves recovery alone; and a WAL file that is used again, or filled with zeros first, would be redo.
 */
const settings = [
  'full_page_writes = off',
  'wal_level = minimal',
  'max_wal_senders = 0',
  'wal_init_zero = off',
  'wal_recycle = off',
  'synchronous_commit = on',
  'autovacuum = off',
  'temp_file_limit = 1GB',
  "datestyle = 'iso, mdy'",
  "timezone = 'UTC'",
  "log_timezone = 'UTC'",
  "lc_messages = 'C'",
  "lc_monetary = 'C'",
  "lc_numeric = 'C'",
  "lc_time = 'C'",
  "default_text_search_config = 'pg_catalog.english'",
];
const settingsFile = [
  '# Written when the database was made. What a session or ALTER DATABASE sets has precedence over most of it.',
  ...settings,
  '',
].join('\n');

/** Files of 1 MiB each: one is made and removed for so much WAL. */
const initdb = ['--wal-segsize=1', '--no-data-checksums', '-c', 'wal_recycle=off'];

const dataDirectory = PGlite.paths.PGDATA;
/** Names the process that has the database open; and what PostgreSQL removes at each start, and writes again. */
const leftOut = ['postmaster.pid', 'pg_internal.init'];

/** What is used of emscripten's `FS` to read a tree. */
interface ReadableFs {
  readdir(path: string): string[];
  stat(path: string): { readonly mode: number };
  isDir(mode: number): boolean;
  readFile(path: string): Uint8Array;
}

/** Makes it. Takes seconds of this thread's time, in which it does nothing else. @throws Error when initdb or the instance fails */
export async function makeBaseImage(): Promise<BaseImage> {
  const { exitCode } = process;
  const scratch = await PGlite.create({ dataDir: 'memory://', initDbStartParams: initdb });
  const fs: ReadableFs = scratch.Module.FS;
  await scratch.close();
  process.exitCode = exitCode; // Emscripten leaves the engine's own there.
  const files = [...filesOf(fs, '')];
  const control = files.find(({ path }) => path === controlPath);
  assert(
    control !== undefined && isShutDown(control.bytes),
    'the scratch instance of PostgreSQL closed its database',
  );
  assert.equal(files.filter(({ path }) => isWalFile(path)).length, 1, 'a new database has one file of WAL');
  return [...files, { path: spillPath, kind: 'directory', mode: 0o700, bytes: new Uint8Array(0) }];
}

/** The files below a directory of PGDATA, each directory before what is in it. */
function* filesOf(fs: ReadableFs, directory: string): Generator<BaseFile> {
  for (const name of fs.readdir(`${dataDirectory}/${directory}`)) {
    if (name === '.' || name === '..' || leftOut.includes(name)) continue;
    const path = directory === '' ? name : `${directory}/${name}`;
    if (path === spillPath) continue;
    const { mode } = fs.stat(`${dataDirectory}/${path}`);
    if (fs.isDir(mode)) {
      yield { path, kind: 'directory', mode: mode & 0o777, bytes: new Uint8Array(0) };
      yield* filesOf(fs, path);
    } else {
      const bytes =
        path === 'postgresql.conf'
          ? new TextEncoder().encode(settingsFile)
          : new Uint8Array(fs.readFile(`${dataDirectory}/${path}`));
      yield { path, kind: 'file', mode: mode & 0o777, bytes };
    }
  }
}
