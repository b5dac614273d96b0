/** A backup in a directory, of a disk of its own or of a mounted file server. */
import { mkdir, open, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { type Listed, type ObjectStore, StoreError } from './store-types.ts';

/** Files of uploads that were cut off; no object's name begins like this. */
const beside = '.new-';

export class DirectoryStore implements ObjectStore {
  readonly describe: string;
  private readonly made = new Set<string>();
  private count = 0;

  constructor(directory: string) {
    this.describe = directory;
  }

  /** Flushed, with its name, before it returns. */
  async put(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.describe, name);
    const folder = dirname(path);
    this.count += 1;
    const temporary = join(folder, `${beside}${process.pid}-${this.count}`);
    try {
      await this.makeFolder(folder);
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(bytes);
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      await syncFolder(folder);
    } catch (error) {
      this.made.delete(folder);
      await rm(temporary, { force: true }).catch(() => undefined);
      throw this.failed(`cannot be written (${reasonOf(error)})`);
    }
  }

  async get(name: string): Promise<Uint8Array | null> {
    try {
      return await readFile(join(this.describe, name));
    } catch (error) {
      if (isAbsent(error)) return null;
      throw this.failed(`: ${name} cannot be read (${reasonOf(error)})`);
    }
  }

  async list(prefix: string): Promise<readonly Listed[]> {
    const folder = join(this.describe, dirname(`${prefix}x`));
    try {
      const entries = await readdir(folder, { recursive: true, withFileTypes: true });
      const files = entries.filter((entry) => entry.isFile() && !entry.name.startsWith(beside));
      const paths = files.map((entry) => join(entry.parentPath, entry.name));
      const listed = await Promise.all(
        paths.map(async (path) => ({
          name: relative(this.describe, path),
          bytes: (await stat(path)).size,
        })),
      );
      return listed.filter(({ name }) => name.startsWith(prefix));
    } catch (error) {
      if (isAbsent(error)) return [];
      throw this.failed(`cannot be listed (${reasonOf(error)})`);
    }
  }

  async remove(name: string): Promise<void> {
    try {
      await unlink(join(this.describe, name));
    } catch (error) {
      if (!isAbsent(error)) throw this.failed(`: ${name} cannot be removed (${reasonOf(error)})`);
    }
  }

  /** The first time it also clears away what uploads that were cut off have left there. */
  private async makeFolder(folder: string): Promise<void> {
    if (this.made.has(folder)) return;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(folder))
      if (name.startsWith(beside)) await rm(join(folder, name), { force: true });
    this.made.add(folder);
  }

  private failed(what: string): StoreError {
    return new StoreError(`the backup store ${this.describe}${what.startsWith(':') ? '' : ' '}${what}`);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const isAbsent = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';
const reasonOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);
