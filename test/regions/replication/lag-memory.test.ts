import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, expect, test, vi } from 'vitest';
import { positionsOf, rememberLags } from '../../../regions/replication/core/lag-memory.ts';
import { LagStore } from '../../../regions/replication/lag-store.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import { epoch, lsn, mainBranch, regionId } from '../../../storage/redo/ids.ts';

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

test('a new primary goes on from what the others said they hold of its path, and from nothing beside it', () => {
  const fork = (reign: number, parent: number, at: number): Fork => ({
    epoch: epoch(reign),
    branch: mainBranch,
    parent: epoch(parent),
    forkLsn: lsn(at),
  });
  const old = [fork(1, 0, 0)];
  const me = { epoch: epoch(2), vdl: lsn(1_200), forks: [...old, fork(2, 1, 1_000)] };
  const heard = [
    // The lost primary had more than was shipped: that is an orphan, and it has the path up to the fork.
    { region: 'us', held: { epoch: epoch(1), vdl: lsn(1_300), forks: old } },
    { region: 'ap', held: { epoch: epoch(1), vdl: lsn(700), forks: old } },
    { region: 'sa', held: { ...me, vdl: lsn(1_200) } },
    { region: 'ca', held: null },
    { region: 'af', held: { epoch: epoch(1), vdl: lsn(10), forks: old } },
  ];
  const memory = { af: { vdl: lsn(1_100), sinceUs: 5 } };
  expect(positionsOf(memory, me, heard, 9)).toEqual({
    us: { vdl: 1_000, sinceUs: null },
    ap: { vdl: 700, sinceUs: null },
    sa: { vdl: 1_200, sinceUs: 9 },
    af: { vdl: 1_100, sinceUs: 5 },
  });
});

test('an agent that starts again knows what the one before it knew, until the region is no primary any more', async () => {
  const store = await LagStore.open(dir, log);
  expect(store.memory).toEqual({});
  store.note([{ region: 'eu', lagMs: 1_000, vdl: lsn(400) }], 5_000_000);
  const file = join(dir, 'lag.json');
  await vi.waitFor(() => expect(readFileSync(file, 'utf8')).toContain('400'));
  const again = await LagStore.open(dir, log);
  expect(again.memory).toEqual({ eu: { vdl: 400, sinceUs: 4_000_000 } });
  again.note([{ region: 'us', lagMs: 0, vdl: lsn(500) }], 6_000_000);
  // It is a secondary now: what it knows of itself stays, and outlasts that it is level with nobody yet.
  again.keepOnly([regionId('us')]);
  again.note([{ region: 'us', lagMs: null, vdl: lsn(0) }], 9_000_000);
  expect(again.memory).toEqual({ us: { vdl: 500, sinceUs: 6_000_000 } });
  await vi.waitFor(() => expect(readFileSync(file, 'utf8')).not.toContain('400'));
  writeFileSync(file, '{"eu": 7');
  expect((await LagStore.open(dir, log)).memory).toEqual({});
});
