/** Files that may be replaced while the gateway runs: keys and certificates. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { everyBeside } from '../../storage/index.ts';

const lookEveryMs = 1_000;

export type FilesRead =
  | { readonly kind: 'read'; readonly texts: readonly string[] }
  /** The reason names the file, and nothing that stands in it. */
  | { readonly kind: 'unreadable'; readonly reason: string };

function unreadable(file: string, error: unknown): FilesRead {
  const code = error instanceof Error && 'code' in error ? error.code : error;
  return { kind: 'unreadable', reason: `${file} cannot be read (${code})` };
}

/** What the files hold now. */
export function readFilesNow(files: readonly string[]): FilesRead {
  const texts: string[] = [];
  for (const file of files) {
    try {
      texts.push(readFileSync(file, 'utf8'));
    } catch (error) {
      return unreadable(file, error);
    }
  }
  return { kind: 'read', texts };
}

async function readFiles(files: readonly string[]): Promise<FilesRead> {
  const texts: string[] = [];
  for (const file of files) {
    try {
      texts.push(await readFile(file, 'utf8'));
    } catch (error) {
      return unreadable(file, error);
    }
  }
  return { kind: 'read', texts };
}

/**
 * Reads the files each second, and tells what they hold once that differs from before and has stayed the same for a look: files
 * that belong together are not replaced in one moment.
 * @param first what they held when they were read last.
 * @returns ends the watch.
 */
export function watchFiles(
  files: readonly string[],
  first: FilesRead,
  onChange: (read: FilesRead) => void,
  everyMs: number = lookEveryMs,
): () => void {
  let told = JSON.stringify(first);
  let seen = told;
  let looking = false;
  const look = async (): Promise<void> => {
    if (looking) return;
    looking = true;
    const read = await readFiles(files);
    looking = false;
    const now = JSON.stringify(read);
    const settled = now === seen;
    seen = now;
    if (!settled || now === told) return;
    told = now;
    onChange(read);
  };
  return everyBeside(everyMs, () => void look());
}
