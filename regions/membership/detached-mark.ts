/**
 * The mark that a region carries in its agent's data directory between its detachment and its first control record as a
 * deployment of its own: its nodes know epochs and there is no record, which would look like a lost one. The agent then makes the
 * record anew, by the rules of `sextant control rebuild`, and removes the mark. A record that is lost later is lost as any other.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const markSchema = z.object({
  /** The deployment that it was part of. */
  from: z.string(),
});
export type DetachedMark = z.output<typeof markSchema>;

const fileOf = (dataDir: string): string => join(dataDir, 'detached.json');
const privateMode = 0o600;

export function writeDetachedMark(dataDir: string, mark: DetachedMark): void {
  writeFileSync(fileOf(dataDir), `${JSON.stringify(mark)}\n`, { mode: privateMode });
}

/** Null when there is none. A mark that cannot be read is still one. */
export function readDetachedMark(dataDir: string): DetachedMark | null {
  const file = fileOf(dataDir);
  if (!existsSync(file)) return null;
  try {
    return markSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return { from: 'another deployment' };
  }
}

export function removeDetachedMark(dataDir: string): void {
  rmSync(fileOf(dataDir), { force: true });
}
