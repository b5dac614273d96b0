/** What was typed in earlier shells, kept for the arrow keys in a file that only its user can read. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

const linesMax = 1_000;

/** `$XDG_STATE_HOME/sextant/shell-history`, by default below `~/.local/state`. */
export const historyFile = (): string =>
  join(process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state'), 'sextant', 'shell-history');

/** Lines of earlier shells, the newest first; none when there is no file to read. */
export function readHistory(file: string): string[] {
  try {
    const lines = readFileSync(file, 'utf8').split('\n');
    return lines.filter((line) => line !== '').slice(0, linesMax);
  } catch {
    return [];
  }
}

/** Keeps `lines`, the newest first, but for those that begin with a blank, as other shells do. A failure is silent: it is a comfort. */
export function writeHistory(file: string, lines: readonly string[]): void {
  const kept = lines.filter((line) => line !== '' && !line.startsWith(' ')).slice(0, linesMax);
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, `${kept.join('\n')}\n`, { mode: 0o600 });
  } catch {
    // No home, or no room in it.
  }
}
