import { afterEach, describe, expect, test } from 'vitest';
import type { EngineCommitEvent } from '../../../../../gateway/engine/commit-events.ts';
import { Engine } from '../../../../../gateway/engine/engine.ts';
import { defaultGeometry } from '../../../../../storage/core.ts';
import { lsn } from '../../../../../storage/redo/ids.ts';
import { closeEngines, MemoryVolume, openWriter } from '../../engine-volume.ts';
import { Client, postgres } from './postgres-engine.ts';

afterEach(closeEngines);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a PostgreSQL engine whose thread is ended at any moment under load', () => {
  test('has every write that was acknowledged, and none that was half done', async () => {
    const volume = new MemoryVolume();
    const acknowledged = new Map<number, number>();
    let next = 1;
    for (let round = 0; round < 3; round++) {
      const engine = await Engine.start({
        ...postgres,
        pageCacheBytes: 64 * 1024 * 1024,
        limits: { checkpointCommits: 40 },
        readPages: async (pages, readPoint) => pages.map((page) => volume.page(page, readPoint)),
        onCommit: (commit: EngineCommitEvent) => {
          volume.add(commit);
          volume.durable = commit.lsn;
          engine.setDurable(commit.lsn);
        },
        onFatal: () => undefined,
      });
      await engine.open({ kind: 'writer', lsn: volume.end, pgBytes: defaultGeometry.pgBytes });
      const setUp = new Client(engine.openSession());
      await setUp.sql(
        'CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY, pair int); CREATE INDEX IF NOT EXISTS p ON t (pair)',
      );
      let running = true;
      const load = async (): Promise<void> => {
        const client = new Client(engine.openSession());
        while (running) {
          const pair = next++;
          const answers = [
            await client.sql('BEGIN'),
            await client.sql(`INSERT INTO t VALUES (${2 * pair}, ${pair})`),
            await client.sql(`INSERT INTO t VALUES (${2 * pair + 1}, ${pair})`),
            await client.sql('COMMIT'),
          ];
          if (answers[3] !== 'C[COMMIT] Z[I]') return;
          // What is acknowledged is durable at the LSN that the answer names.
          expect(client.last?.seenLsn).toBeLessThanOrEqual(volume.durable);
          acknowledged.set(pair, round);
        }
      };
      const clients = [load(), load(), load()];
      const before = acknowledged.size;
      await expect
        .poll(() => acknowledged.size, { timeout: 30_000, interval: 5 })
        .toBeGreaterThan(before + 8);
      await pause(37 * round);
      await engine.close();
      running = false;
      await Promise.all(clients);
    }
    expect(acknowledged.size).toBeGreaterThan(20);
    const { engine } = await openWriter(postgres, volume);
    const client = new Client(engine.openSession());
    const pairs = await client.sql('SELECT pair, count(*) FROM t GROUP BY pair ORDER BY pair');
    const found = new Map(
      [...pairs.matchAll(/D\[(\d+),(\d+)\]/g)].map(([, pair, count]) => [Number(pair), Number(count)]),
    );
    for (const pair of acknowledged.keys()) expect(found.get(pair)).toBe(2);
    expect([...found.values()].every((count) => count === 2)).toBe(true);
    // One statement of each client may have been under way when its thread ended.
    expect(found.size - acknowledged.size).toBeLessThanOrEqual(15);
    expect(await client.sql('SET enable_seqscan = off; SELECT count(*) FROM t WHERE pair > 0')).toContain(
      `D[${2 * found.size}]`,
    );
    expect(await client.sql('REINDEX TABLE t')).toBe('C[REINDEX] Z[I]');
    expect(await client.sql('VACUUM FULL t')).toBe('C[VACUUM] Z[I]');
  }, 120_000);

  test('begins anew at any commit that was durable', async () => {
    const volume = new MemoryVolume();
    const { engine } = await openWriter(postgres, volume, false);
    const client = new Client(engine.openSession());
    await client.sql('CREATE TABLE t (n int)');
    const points = [volume.end];
    for (let n = 1; n <= 4; n++) {
      await client.sql(`INSERT INTO t SELECT ${n} FROM generate_series(1, 100)`);
      points.push(volume.end);
    }
    volume.durable = volume.end;
    for (const [n, point] of points.entries()) {
      await engine.open({ kind: 'reader', readPoint: lsn(point) });
      expect(await client.sql('SELECT count(*) FROM t')).toBe(`T D[${100 * n}] C[SELECT 1] Z[I]`);
    }
  }, 60_000);
});

describe('storage that does not answer', () => {
  test('fails the statement and the transaction it is in, and nothing once it answers again', async () => {
    const volume = new MemoryVolume();
    const first = await openWriter(postgres, volume);
    const setUp = new Client(first.engine.openSession());
    await setUp.sql(
      "CREATE TABLE t (id int, pad text); INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 3000) i",
    );
    await setUp.sql('CHECKPOINT');
    let away = false;
    const { engine } = await openWriter(
      {
        ...postgres,
        readPages: async (pages, readPoint) => {
          if (away) throw new Error('no node answers');
          return pages.map((page) => volume.page(page, readPoint));
        },
      },
      volume,
    );
    const [one, other] = [new Client(engine.openSession()), new Client(engine.openSession())];
    away = true;
    expect(await one.sql('SELECT 1')).toBe('(SEXTANT_STORAGE_UNAVAILABLE)');
    away = false;
    await one.sql('BEGIN');
    expect(await one.sql('INSERT INTO t VALUES (0)')).toBe('C[INSERT 0 1] Z[T]');
    away = true;
    expect(await one.sql('SELECT sum(id) FROM t')).toBe('(SEXTANT_STORAGE_UNAVAILABLE)');
    away = false;
    expect(await one.sql('COMMIT')).toBe('(SEXTANT_STORAGE_UNAVAILABLE)');
    expect(await other.sql('SELECT sum(id), count(*) FROM t')).toBe('T D[4501500,3000] C[SELECT 1] Z[I]');
  }, 60_000);
});

/** Before or after its columns were told. */
const stopped = /^(?:T )?E\[57014\] Z\[I\]$/;

describe('a statement of a PostgreSQL engine', () => {
  test('that only computes is stopped like any other, and nobody loses a transaction by it', async () => {
    const { engine } = await openWriter({ ...postgres, limits: { statementMs: 2_000 } });
    const client = new Client(engine.openSession());
    await client.sql('CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)');
    const endless = 'SELECT count(*) FROM generate_series(1, 1000000000)';
    expect(await client.sql(endless, { settings: { statement_timeout: '200' } })).toMatch(stopped);
    expect(await client.sql(endless)).toMatch(stopped);
    const answered = client.sql(endless);
    await expect.poll(() => engine.running, { interval: 5 }).toBeGreaterThan(0);
    engine.cancel(engine.running);
    expect(await answered).toMatch(stopped);
    expect(client.last?.engineUs).toBeLessThan(1_900_000);
    expect(await client.sql('SELECT n FROM kept')).toBe('T D[1] C[SELECT 1] Z[I]');
  }, 60_000);

  test('is stopped when its client goes, and when its time is up; the next one is not', async () => {
    const { engine } = await openWriter({ ...postgres, limits: { statementMs: 1_500 } });
    const [client, other] = [new Client(engine.openSession()), new Client(engine.openSession())];
    await client.sql(
      'CREATE TABLE wide AS SELECT i, repeat(md5(i::text), 40) AS pad FROM generate_series(1, 3000) i',
    );
    const long = 'SELECT count(*) FROM wide a, wide b, generate_series(1, 100) WHERE a.pad < b.pad';
    const rows = 'SELECT i FROM generate_series(1, 100000000) i';
    let id = 0;
    const answered = new Promise<unknown>((resolve) => {
      id = client.session.run(
        {
          kind: 'wire',
          messages: Buffer.from([0x51, 0, 0, 0, rows.length + 5, ...Buffer.from(rows), 0]),
          prepared: [],
          statements: [rows],
          class: 'read',
          settings: {},
        },
        null,
        client.session.state,
        resolve,
      );
    });
    await expect.poll(() => engine.running, { interval: 5 }).toBe(id);
    const began = performance.now();
    engine.cancel(id);
    expect(await answered).toMatchObject({ outcome: { ok: true, value: { status: 'I' } } });
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(await other.sql('SELECT 1')).toBe('T D[1] C[SELECT 1] Z[I]');
    const copies = `CREATE TABLE copies AS ${long.replace('count(*)', 'a.pad AS x, b.pad AS y')}`;
    expect(await other.sql(copies)).toBe('E[57014] Z[I]');
    expect(await other.sql(copies, { settings: { statement_timeout: '200' } })).toBe('E[57014] Z[I]');
    expect(other.last?.engineUs).toBeLessThan(1_400_000);
    expect(await other.sql('SELECT 1')).toBe('T D[1] C[SELECT 1] Z[I]');
  }, 60_000);
});
