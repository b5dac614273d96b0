import { afterEach, describe, expect, test } from 'vitest';
import { Upkeep } from '../../../../../gateway/engine/postgres/backend/core/upkeep.ts';
import { closeEngines, MemoryVolume, openWriter } from '../../engine-volume.ts';
import { Client, postgres } from './postgres-engine.ts';

afterEach(closeEngines);
const limits = { checkpointCommits: 100, checkpointBytes: 1_000_000, freezeAge: 1_000 };

describe('what is due', () => {
  test('is a checkpoint after so many commits, or so many bytes, whoever waits', () => {
    const upkeep = new Upkeep(limits);
    for (let commit = 1; commit < 100; commit++) upkeep.committed(10);
    expect(upkeep.next(0, false)).toBeNull();
    upkeep.committed(10);
    expect(upkeep.next(0, false)).toEqual({ kind: 'checkpoint' });
    upkeep.checkpointed();
    expect(upkeep.next(0, false)).toBeNull();
    upkeep.committed(1_000_000);
    expect(upkeep.next(0, false)).toEqual({ kind: 'checkpoint' });
  });

  test('is a checkpoint at an idle moment after less than that: a start has less to recover then', () => {
    const upkeep = new Upkeep({ ...limits, checkpointCommits: 2_500 });
    for (let commit = 1; commit < 200; commit++) upkeep.committed(10);
    expect(upkeep.next(0, true)).toBeNull();
    expect(upkeep.wantsIdle).toBe(false);
    upkeep.committed(10);
    expect(upkeep.wantsIdle).toBe(true);
    expect(upkeep.next(0, false)).toBeNull();
    expect(upkeep.next(0, true)).toEqual({ kind: 'checkpoint' });
    upkeep.checkpointed();
    expect(upkeep.next(0, true)).toEqual({ kind: 'look' });
    upkeep.looked([], 0);
    expect(upkeep.wantsIdle).toBe(false);
    upkeep.committed(256 * 1024);
    expect(upkeep.next(0, true)).toEqual({ kind: 'checkpoint' });
  });

  test('is one task after another at idle moments, and at any when none comes', () => {
    const upkeep = new Upkeep({ ...limits, checkpointCommits: 1_000_000 });
    for (let commit = 0; commit < 200; commit++) upkeep.committed(1);
    upkeep.checkpointed();
    expect(upkeep.next(0, false)).toBeNull();
    expect(upkeep.wantsIdle).toBe(true);
    expect(upkeep.next(0, true)).toEqual({ kind: 'look' });
    upkeep.looked(['a', 'b'], 0);
    expect(upkeep.next(1, false)).toBeNull();
    expect(upkeep.next(1, true)).toEqual({ kind: 'task', sql: 'a' });
    upkeep.ran('a', true, 2);
    expect(upkeep.next(3, false)).toBeNull();
    expect(upkeep.next(20_000, false)).toEqual({ kind: 'task', sql: 'b' });
    upkeep.ran('b', true, 20_000);
    expect(upkeep.wantsIdle).toBe(false);
  });

  test('is not what has just failed', () => {
    const upkeep = new Upkeep(limits);
    upkeep.looked(['a'], 0);
    upkeep.ran('a', false, 0);
    upkeep.looked(['a'], 1_000);
    expect(upkeep.next(1_000, true)).toBeNull();
    upkeep.looked(['a'], 1_000_000);
    expect(upkeep.next(1_000_000, true)).toEqual({ kind: 'task', sql: 'a' });
  });
});

test('a database that is written is checkpointed, vacuumed and frozen by itself', async () => {
  const volume = new MemoryVolume();
  const { engine } = await openWriter(
    { ...postgres, limits: { checkpointCommits: 300, freezeAge: 400 } },
    volume,
  );
  const client = new Client(engine.openSession());
  const number = async (sql: string): Promise<number> =>
    Number(/D\[(-?\d+)\]/.exec(await client.sql(sql))?.[1] ?? Number.NaN);
  await client.sql(
    'CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 1000) i',
  );
  const age = 'SELECT max(age(datfrozenxid)) FROM pg_database';
  const segments = 'SELECT count(*) FROM pg_ls_waldir()';
  const begun = await number(segments);
  for (let round = 0; round < 500; round++)
    await client.sql(`UPDATE t SET n = n + 1 WHERE id = ${1 + (round % 200)}`);
  expect(await number('SELECT pg_current_wal_lsn() - redo_lsn FROM pg_control_checkpoint()')).toBeLessThan(
    200_000,
  );
  expect(await number(segments)).toBeLessThanOrEqual(begun + 2);
  await client.sql('DELETE FROM t WHERE id > 300');
  await expect
    .poll(() => number('SELECT count(*) FROM pg_stat_user_tables WHERE vacuum_count > 0'), {
      timeout: 20_000,
      interval: 1_000,
    })
    .toBe(1);
  const frozen = async (): Promise<boolean> => {
    for (let commit = 0; commit < 210; commit++) await client.sql('UPDATE t SET n = 0 WHERE id = 1');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    return (await number(age)) < 800;
  };
  await expect.poll(frozen, { timeout: 60_000, interval: 1 }).toBe(true);
}, 120_000);
