/**
 * What a restore leaves for the agent: that its region's nodes were filled from a backup, under which epoch. With it the agent of
 * the first region makes the control record of the restored deployment, once: as soon as a writer has forked, the epoch is past.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const markerSchema = z.strictObject({
  version: z.literal(1),
  /** That the nodes were filled under. */
  epoch: z.int().min(1),
  /** Where the restored history leaves that of the backup. */
  lsn: z.int().min(0),
  /** Time of the last commit that was restored, Unix microseconds; null when the backup does not say. */
  commitUs: z.number().nullable(),
  /** The backup that it came from. */
  backup: z.string(),
});
export type RestoredMarker = z.output<typeof markerSchema>;

const markerFile = (agentDir: string): string => join(agentDir, 'restored.json');

export function writeMarker(agentDir: string, marker: RestoredMarker): void {
  mkdirSync(agentDir, { recursive: true, mode: 0o700 });
  writeFileSync(markerFile(agentDir), `${JSON.stringify(marker, null, 2)}\n`, { mode: 0o600 });
}

/** @returns null for a deployment that was not restored. */
export function readMarker(agentDir: string): RestoredMarker | null {
  try {
    const parsed = markerSchema.safeParse(JSON.parse(readFileSync(markerFile(agentDir), 'utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}
