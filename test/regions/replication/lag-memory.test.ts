import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, expect, test, vi } from 'vitest';
import { rememberLags } from '../../../regions/replication/core/lag-memory.ts';
import { LagStore } from '../../../regions/replication/lag-store.ts';
import { lsn } from '../../../storage/redo/ids.ts';

const dir = mkdtempSync(join(tmpdir(), 'sx-lag-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const log = pino({ level: 'silent' });

test('a remembered lag is the time before which nothing is missing, and outlasts a word that is unknown', () => {
  const first = rememberLags({}, [{ region: 'eu', lagMs: 50_000, vdl: lsn(400) }], 60_000_000);
  expect(first).toEqual({ eu: { vdl: 400, sinceUs: 10_000_000 } });
  const second = rememberLags(
    first,
    [
      { region: 'eu', lagMs: null, vdl: lsn(0) },
      { region: 'ap', lagMs: 0, vdl: lsn(900) },
    ],
    70_000_000,
  );
  expect(second).toEqual({ eu: { vdl: 400, sinceUs: 10_000_000 }, ap: { vdl: 900, sinceUs: 70_000_000 } });
});

test('an agent that starts again knows what the one before it knew, until the region is no primary any more', async () => {
  const store = await LagStore.open(dir, log);
  expect(store.memory).toEqual({});
  store.note([{ region: 'eu', lagMs: 1_000, vdl: lsn(400) }], 5_000_000);
  const file = join(dir, 'lag.json');
  await vi.waitFor(() => expect(readFileSync(file, 'utf8')).toContain('400'));
  const again = await LagStore.open(dir, log);
  expect(again.memory).toEqual({ eu: { vdl: 400, sinceUs: 4_000_000 } });
  again.forget();
  await vi.waitFor(() => expect(readFileSync(file, 'utf8')).not.toContain('400'));
  writeFileSync(file, '{"eu": 7');
  expect((await LagStore.open(dir, log)).memory).toEqual({});
});
