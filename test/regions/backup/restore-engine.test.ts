/** Which engine a restored database is of, and what that forbids. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { RestoreError } from '../../../regions/backup/backup-reader.ts';
import { type FileReader, restoreFile } from '../../../regions/backup/restore.ts';
import { lsn, postgresMagic, redoLimits } from '../../../storage/core.ts';

const dir = mkdtempSync(join(tmpdir(), 'sx-restore-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A backup of one page that begins so. */
const backupOf = (head: Uint8Array): FileReader => ({
  restore: async (_at, file) => {
    const page = new Uint8Array(redoLimits.pageBytes);
    page.set(head);
    file.put(1, page);
  },
});

test('PostgreSQL databases make no file of SQLite, and none is left behind', async () => {
  const path = join(dir, 'postgres.db');
  const restored = restoreFile(backupOf(postgresMagic), lsn(1), path, () => undefined);
  await expect(restored).rejects.toThrow(RestoreError);
  await expect(restored).rejects.toThrow('pg_dump');
  expect(existsSync(path)).toBe(false);
});

test('SQLite databases do', async () => {
  const path = join(dir, 'sqlite.db');
  const head = new TextEncoder().encode('SQLite format 3\0');
  expect(await restoreFile(backupOf(head), lsn(1), path, () => undefined)).toEqual({ pages: 1 });
  expect(existsSync(path)).toBe(true);
});
