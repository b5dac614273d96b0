/**
 * The files of a new PostgreSQL database. To make them takes `initdb`, which is seconds of work, so they are kept in the user's
 * cache: $XDG_CACHE_HOME/sextant, or ~/.cache/sextant. Where nothing can be kept they are made each time.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type BaseImage, decodeBase, encodeBase } from './core/base-archive.ts';
import { fileKind, rootIno } from './core/inode-table.ts';
import { controlPath, controlWith, isWalFile, walWith } from './core/system-identifier.ts';
import type { VolumeFiles } from './core/volume-files.ts';

/** Counts up when what `makeBaseImage` makes of the same version of PGlite changes. */
const imageFormat = 1;

export interface BaseImageOptions {
  /** Directory to keep it in; the user's cache unless it is given. */
  readonly directory?: string;
  /** Called before it is made, which takes seconds. */
  readonly onMake?: () => void;
  /** How it is made; for tests. */
  readonly make?: () => Promise<BaseImage>;
}

/**
 * The files of a new database, from the cache when it has them whole. When they are made, the thread is busy for seconds: not
 * to be called on one that has leases to renew or clients to answer. Several processes at a time make it once each at worst.
 * @throws Error when initdb fails
 */
export async function baseImage(options: BaseImageOptions = {}): Promise<BaseImage> {
  const path = join(options.directory ?? cacheDirectory(), await fileName());
  const kept = await readFile(path)
    .then(decodeBase)
    .catch(() => null);
  if (kept !== null) return kept;
  options.onMake?.();
  const make = options.make ?? (await import('./make-base-image.ts')).makeBaseImage;
  const image = await make();
  await keep(path, encodeBase(image));
  return image;
}

/**
 * Writes the files of a new database into an empty file system.
 * @param identifier tells the database from others made of the same image; drawn unless it is given
 * @throws VolumeFault when the image is not that of a database
 */
export function writeBaseImage(files: VolumeFiles, image: BaseImage, identifier = newIdentifier()): void {
  const control = image.find(({ path }) => path === controlPath)?.bytes ?? new Uint8Array(0);
  const directories = new Map([['', rootIno]]);
  for (const { path, kind, mode, bytes } of image) {
    const slash = path.lastIndexOf('/');
    const directory = directories.get(path.slice(0, Math.max(slash, 0)));
    if (directory === undefined) throw new Error(`the base image has ${path} before its directory`);
    const ino = files.create(directory, path.slice(slash + 1), fileKind[kind] | mode);
    if (kind === 'directory') {
      directories.set(path, ino);
      continue;
    }
    const own = isWalFile(path)
      ? walWith(bytes, control, identifier)
      : path === controlPath
        ? controlWith(bytes, identifier)
        : bytes;
    files.write(ino, own, 0, own.length, 0);
  }
}

/** As PostgreSQL makes it: the second in the upper half, and what is unlikely to come twice below. */
function newIdentifier(): bigint {
  return (BigInt(Math.floor(Date.now() / 1000)) << 32n) | BigInt(randomBytes(4).readUInt32LE());
}

async function fileName(): Promise<string> {
  const manifest = new URL('../package.json', import.meta.resolve('@electric-sql/pglite'));
  const { version }: { version: string } = JSON.parse(await readFile(manifest, 'utf8'));
  return `postgres-${version}-${imageFormat}.bin`;
}

/** Where the `sextant` command keeps compiled code, too. */
function cacheDirectory(): string {
  const { XDG_CACHE_HOME, HOME } = process.env;
  return join(XDG_CACHE_HOME || join(HOME || homedir(), '.cache'), 'sextant');
}

/** Keeps it for the next time, whole or not at all. A cache that cannot be written costs time and is no error. */
async function keep(path: string, archive: Uint8Array): Promise<void> {
  const written = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
    await writeFile(written, archive, { mode: 0o600 });
    await rename(written, path);
  } catch {
    await rm(written, { force: true }).catch(() => undefined);
  }
}
