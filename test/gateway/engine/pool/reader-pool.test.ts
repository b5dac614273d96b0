import { afterEach, describe, expect, it } from 'vitest';
import type { EngineAnswer } from '../../../../gateway/engine/core/engine-protocol.ts';
import type { EngineSession } from '../../../../gateway/engine/engine-stream.ts';
import { ReaderPool, type ReaderPoolLimits } from '../../../../gateway/engine/reader-pool.ts';
import type { ReaderSession } from '../../../../gateway/engine/reader-session.ts';
import type { AnyOperationValue } from '../../../../gateway/sql/operation.ts';
import { freshStream } from '../../../../gateway/sql/stream-state.ts';
import { eventually, silent } from '../../../storage/region-harness.ts';
import { closeEngines, MemoryVolume, openWriter, run, startEngine, statement } from '../engine-volume.ts';

const limits: ReaderPoolLimits = {
  readerThreads: 2,
  readerIdleMs: 60_000,
  slowMs: 15,
  readerWaitMs: 100,
  slowShareMs: 200,
  readerQueueMs: 20_000,
  readerQueue: 1_000,
  engineSilenceMs: 20_000,
};

const endless = 'WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c';
/** Keeps its thread for minutes within one call of one function, which SQLite cannot interrupt. */
const deaf = "SELECT length(replace(hex(zeroblob(8000000)), hex(zeroblob(2000000)) || 'x', ''))";

interface World {
  readonly pool: ReaderPool;
  readonly writer: EngineSession;
  readonly volume: MemoryVolume;
}

const pools: ReaderPool[] = [];
afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.close();
  await closeEngines();
});

/** A table of one row, a writer, and readers that are given what it commits as soon as it has. */
async function start(changed: Partial<ReaderPoolLimits> = {}, aheadBytesMax = 2 ** 25): Promise<World> {
  const volume = new MemoryVolume();
  const { engine } = await openWriter({}, volume);
  const writer = engine.openSession();
  await run(writer, 'CREATE TABLE t (n INTEGER)');
  await run(writer, 'INSERT INTO t VALUES (0)');
  const pool = new ReaderPool({
    start: async (callbacks) => (await startEngine(volume, { ...callbacks })).engine,
    limits: { ...limits, ...changed },
    log: silent,
    onFolded: () => undefined,
    aheadBytesMax,
  });
  pools.push(pool);
  await pool.start();
  pool.begin(volume.durable);
  return { pool, writer, volume };
}

/** Commits and lets the readers follow. */
async function write({ pool, writer, volume }: World, sql: string): Promise<void> {
  const before = volume.frames.length;
  await run(writer, sql);
  for (const frame of volume.frames.slice(before)) pool.offer(frame, volume.durable);
  pool.advance(volume.durable);
}

const ask = (session: ReaderSession, sql: string): Promise<EngineAnswer<AnyOperationValue>> =>
  new Promise((resolve) =>
    session.run(
      { kind: 'execute', statement: statement(sql) },
      null,
      freshStream,
      /^BEGIN/.test(sql),
      resolve,
    ),
  );

/** The first value of the first row, or the code of the error. */
async function value(session: ReaderSession, sql: string): Promise<unknown> {
  const { outcome } = await ask(session, sql);
  if (!outcome.ok) return outcome.error.code;
  return outcome.value !== null && 'rows' in outcome.value ? outcome.value.rows[0]?.[0] : undefined;
}

const count = 'SELECT n FROM t';

describe('the threads that read', () => {
  it('see everything that was durable when a statement was given to them (G33)', async () => {
    const world = await start();
    for (let n = 1n; n <= 20n; n++) {
      await write(world, `UPDATE t SET n = ${n}`);
      expect(await value(world.pool.openSession(), count)).toBe(n);
    }
  });

  it('show nothing that is not durable', async () => {
    const world = await start();
    const before = world.volume.frames.length;
    await run(world.writer, 'UPDATE t SET n = 9');
    for (const frame of world.volume.frames.slice(before)) world.pool.offer(frame, world.volume.durable);
    expect(await value(world.pool.openSession(), count)).toBe(0n);
    world.pool.advance(world.volume.durable);
    expect(await value(world.pool.openSession(), count)).toBe(9n);
  });

  it('go on with the pages they have while a transaction larger than they keep becomes durable (G63)', async () => {
    const world = await start({}, 64 * 1024);
    const { pool, volume } = world;
    const reads = Array.from({ length: 10 }, () => pool.openSession());
    for (const session of reads) expect(await value(session, count)).toBe(0n);
    const before = volume.frames.length;
    await run(world.writer, 'BEGIN');
    await run(world.writer, 'UPDATE t SET n = 7');
    await run(world.writer, 'CREATE TABLE large AS SELECT randomblob(300000) AS d');
    await run(world.writer, 'COMMIT');
    const frames = volume.frames.slice(before);
    expect(frames.length).toBeGreaterThan(1);
    const misses = (): number => pool.engines.reduce((sum, { pageCounts }) => sum + pageCounts.misses, 0);
    const missed = misses();
    for (const frame of frames) {
      pool.offer(frame, volume.durable);
      for (const session of reads) expect(await value(session, count)).toBe(0n);
    }
    expect(misses()).toBe(missed);
    pool.advance(volume.durable);
    expect(await value(pool.openSession(), count)).toBe(7n);
    await write(world, 'UPDATE t SET n = 8');
    expect(await value(pool.openSession(), count)).toBe(8n);
  });

  it('keep the snapshot of a read transaction while others move on, and start a thread for those', async () => {
    const world = await start();
    const reader = world.pool.openSession();
    await ask(reader, 'BEGIN TRANSACTION READONLY');
    expect(await value(reader, count)).toBe(0n);
    await write(world, 'UPDATE t SET n = 1');
    expect(await value(reader, count)).toBe(0n);
    expect(await value(world.pool.openSession(), count)).toBe(1n);
    await eventually('a second thread runs', async () => world.pool.size === 2);
    await ask(reader, 'COMMIT');
    expect(reader.isPinned).toBe(false);
    expect(await value(reader, count)).toBe(1n);
  });

  it('become more under load, end when nobody needs them, and come back', async () => {
    const { pool } = await start({ readerIdleMs: 200 });
    const some =
      'WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 2000) SELECT count(*) FROM c';
    const crowd = async (): Promise<void> => {
      const untilMs = performance.now() + 10_000;
      const one = async (session: ReaderSession): Promise<void> => {
        while (pool.size < 2 && performance.now() < untilMs) expect(await value(session, some)).toBe(2_000n);
      };
      await Promise.all(Array.from({ length: 16 }, () => one(pool.openSession())));
    };
    for (const _ of [1, 2]) {
      expect(pool.counts).toEqual({ threads: 1, busy: 0, most: 2 });
      await crowd();
      expect(pool.size).toBe(2);
      await eventually('one is enough', async () => pool.size === 1);
      expect(await value(pool.openSession(), count)).toBe(0n);
    }
  });

  it('let nobody wait behind a slow statement, and stop it when its client goes (G34)', async () => {
    const { pool } = await start();
    const slow = pool.openSession();
    const stopped = value(slow, endless);
    const others = await Promise.all(Array.from({ length: 20 }, () => value(pool.openSession(), count)));
    expect(others).toEqual(Array.from({ length: 20 }, () => 0n));
    slow.close();
    expect(await stopped).toBe('SQLITE_INTERRUPT');
  });

  it('stop the slowest of their statements when all of them are slow and somebody waits', async () => {
    const { pool } = await start();
    const slow = [value(pool.openSession(), endless), value(pool.openSession(), endless)];
    const first = Promise.race(slow);
    expect(await value(pool.openSession(), count)).toBe(0n);
    expect(await first).toBe('SQLITE_INTERRUPT');
  });

  it('are replaced when a statement keeps one that cannot be interrupted; what waited runs elsewhere', async () => {
    const { pool } = await start({ readerThreads: 1, engineSilenceMs: 400 });
    const stuck = value(pool.openSession(), deaf);
    const waits = value(pool.openSession(), count);
    expect(await stuck).toBe('SEXTANT_TRANSACTION_ABORTED');
    expect(await waits).toBe(0n);
  });

  it('begin anew when they were idle for long, and have not missed what was on its way', async () => {
    const world = await start();
    const idle = world.pool.openSession();
    expect(await value(idle, count)).toBe(0n);
    // Larger than what a thread keeps that takes no part; part of it is not durable yet when the thread begins anew.
    const before = world.volume.frames.length;
    await run(world.writer, 'CREATE TABLE big (b BLOB)');
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    for (let round = 0; round < 9; round++)
      await run(world.writer, `INSERT INTO big VALUES (randomblob(4000000))`);
    const durable = world.volume.durable;
    await run(world.writer, 'UPDATE t SET n = 5');
    for (const [index, frame] of world.volume.frames.entries()) {
      const last = index === world.volume.frames.length - 1;
      if (index >= before) world.pool.offer(frame, last ? world.volume.durable : durable);
    }
    world.pool.advance(durable);
    expect(await value(idle, 'SELECT count(*) FROM big')).toBe(9n);
    expect(await value(idle, count)).toBe(0n);
    world.pool.advance(world.volume.durable);
    expect(await value(idle, count)).toBe(5n);
  });
});
