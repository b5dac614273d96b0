/** What a node takes on its disk and what is left there, looked at now and then and never by a scrape: a long log is many files. */
import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { machine, type Timer } from '../process/runtime.ts';

export interface Space {
  /** Blocks that are taken, as the file system counts them. */
  readonly logBytes: number;
  readonly imageBytes: number;
  /** Left for this process's user. */
  readonly freeBytes: number;
  readonly sizeBytes: number;
}

const lookEveryMs = 5_000;
/** What POSIX calls a block in `stat`. */
const blockBytes = 512;

export class SpaceWatch {
  private readonly dataDir: string;
  private readonly timer: Timer;
  private seenNow: Space | null = null;
  private looking = false;

  constructor(dataDir: string) {
    this.dataDir = dataDir;
    this.timer = machine.every(lookEveryMs, () => void this.look());
    void this.look();
  }

  /** As of the last look, at most some seconds ago; null before the first. */
  get seen(): Space | null {
    return this.seenNow;
  }

  close(): void {
    this.timer.stop();
  }

  /** Resolves when it has looked. What cannot be looked at stays as it was. */
  async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    try {
      const [log, images, { bsize, bavail, bfree, blocks }] = await Promise.all([
        taken(join(this.dataDir, 'log')),
        taken(join(this.dataDir, 'images')),
        statfs(this.dataDir),
      ]);
      this.seenNow = {
        logBytes: log,
        imageBytes: images,
        freeBytes: bsize * (process.getuid?.() === 0 ? bfree : bavail),
        sizeBytes: bsize * blocks,
      };
    } catch {
      // The next look may succeed.
    }
    this.looking = false;
  }
}

/** Of all files below a directory; nothing of one that is not there. */
async function taken(directory: string): Promise<number> {
  let bytes = 0;
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const found = await stat(join(entry.parentPath, entry.name)).catch(() => null);
    bytes += (found?.blocks ?? 0) * blockBytes;
  }
  return bytes;
}
