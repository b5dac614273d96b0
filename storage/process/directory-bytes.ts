/** How much a directory takes on its disk. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const blockBytes = 512;

/** Bytes that the files below `dir` have on the disk, holes left out; 0 when there is none. Files that go meanwhile do not count. */
export function directoryBytes(dir: string): number {
  let bytes = 0;
  let entries: ReturnType<typeof namesIn> = [];
  try {
    entries = namesIn(dir);
  } catch {
    return 0;
  }
  for (const entry of entries) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) bytes += directoryBytes(path);
    else bytes += (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * blockBytes;
  }
  return bytes;
}

const namesIn = (dir: string) => readdirSync(dir, { withFileTypes: true });
