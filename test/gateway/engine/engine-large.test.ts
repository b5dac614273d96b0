/** Transactions that are larger than what the engine keeps in memory: their pages, journals and redo lie in files. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EngineLimits } from '../../../gateway/engine/core/engine-limits.ts';
import type { EngineOptions } from '../../../gateway/engine/engine.ts';
import { type Lsn, lsn, type PageNo } from '../../../storage/redo/ids.ts';
import {
  closeEngines,
  code,
  execute,
  MemoryVolume,
  openReader,
  openWriter,
  rows,
  run,
  type TestEngine,
} from './engine-volume.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sextant-large-'));
});
afterEach(async () => {
  await closeEngines();
  expect(openFiles()).toBe(0);
  rmSync(folder, { recursive: true });
});

/** Everything beyond a few pages goes to files. */
const small: Partial<EngineLimits> = {
  residentPageBytes: 40 * 4096,
  connectionSpillBytes: 20 * 4096,
  connectionCacheBytes: 64 * 1024,
};

const options = (limits: Partial<EngineLimits> = {}): Partial<EngineOptions> => ({
  limits: { ...small, ...limits },
  scratchFolder: folder,
});

const writer = (limits?: Partial<EngineLimits>, durable = true): Promise<TestEngine> =>
  openWriter(options(limits), new MemoryVolume(), durable);

/** Files of `folder` that this process holds open, which have no name. */
function openFiles(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder);
    } catch {
      return false;
    }
  }).length;
}

const filled = (count: number, blob = 1_000) =>
  `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ${count}) INSERT INTO t SELECT i, randomblob(${blob}) FROM n`;
const digest = 'SELECT count(*), sum(id * length(b)), max(hex(substr(b, 1, 4))) FROM t';
const table = 'CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)';

/** What the writer shows is what its redo makes elsewhere. */
async function isTheSameElsewhere({ engine, volume }: TestEngine): Promise<void> {
  await volume.reading;
  const { engine: reader } = await openReader(volume, options());
  const [here, there] = [engine.openSession(), reader.openSession()];
  expect(await rows(there, digest)).toEqual(await rows(here, digest));
  expect(await rows(there, 'PRAGMA integrity_check')).toEqual([['ok']]);
}

test('G112: a statement that runs for long asks for pages as of what has become durable meanwhile', async () => {
  const volume = new MemoryVolume();
  const first = await openWriter(options(), volume);
  const session = first.engine.openSession();
  await run(session, table);
  for (let at = 0; at < 4; at++)
    await run(session, filled(200).replace('SELECT i,', `SELECT i + ${at * 200},`));
  const sum = await rows(session, 'SELECT sum(length(b)), count(*) FROM t');
  await volume.reading;
  const beganAt = volume.end;
  let asked = 0;
  const read = (pages: readonly PageNo[], readPoint: Lsn) => {
    asked += 1;
    // Somebody else's commit becomes durable while the statement runs, and its thread hears nothing.
    if (asked === 3) {
      volume.durable = volume.end;
      engine.setDurable(volume.end);
    }
    return Promise.resolve(pages.map((page) => volume.page(page, readPoint)));
  };
  const { engine } = await openWriter(
    { ...options(), pageCacheBytes: 8 * 4096, readPages: read },
    volume,
    false,
  );
  const [one, other] = [engine.openSession(), engine.openSession()];
  await run(one, 'INSERT INTO t VALUES (9999, zeroblob(7))');
  expect([volume.durable, volume.end > beganAt]).toEqual([beganAt, true]);
  asked = 0;
  volume.reads.length = 0;
  await run(other, 'BEGIN IMMEDIATE');
  expect(await rows(other, 'SELECT sum(length(b)), count(*) FROM t WHERE id < 9999')).toEqual(sum);
  const readAt = volume.reads.map(({ readPoint }) => readPoint);
  expect(readAt[0]).toBe(beganAt);
  expect(readAt.at(-1)).toBe(volume.end);
  expect(new Set(readAt)).toEqual(new Set([beganAt, volume.end]));
  await run(other, 'ROLLBACK');
});

describe('a transaction that is larger than memory', () => {
  test('commits as one, and its redo makes the same database elsewhere', async () => {
    const opened = await writer();
    const session = opened.engine.openSession();
    await run(session, table);
    await run(session, filled(2_000));
    const stored = opened.volume.commits.at(-1);
    expect(stored !== undefined && 'read' in stored.mtr).toBe(true);
    await opened.volume.reading;
    await run(session, 'UPDATE t SET b = randomblob(900) WHERE id % 2 = 0');
    await run(session, 'INSERT INTO t VALUES (100000, zeroblob(10))');
    expect(await rows(session, 'SELECT count(*) FROM t')).toEqual([[2_001n]]);
    await isTheSameElsewhere(opened);
    expect(openFiles()).toBe(0);
  });

  test('shows its pages before they are durable, and an open snapshot those of before', async () => {
    const opened = await writer({ outstandingBytes: 100_000_000 }, false);
    const { engine, volume } = opened;
    const [session, old] = [engine.openSession(), engine.openSession()];
    await run(session, table);
    await run(session, filled(10));
    await run(old, 'BEGIN');
    const before = await rows(old, digest);
    await run(session, 'DELETE FROM t');
    await run(session, filled(1_000));
    await run(session, 'UPDATE t SET b = zeroblob(800) WHERE id <= 500');
    await run(session, 'UPDATE t SET b = zeroblob(7) WHERE id = 3');
    expect(await rows(old, digest)).toEqual(before);
    expect(await rows(session, 'SELECT sum(length(b)) FROM t')).toEqual([[499n * 800n + 7n + 500n * 1_000n]]);
    expect(volume.reads).toEqual([]);
    expect(openFiles()).toBeGreaterThan(0);
    await volume.reading;
    volume.durable = volume.end;
    engine.setDurable(volume.end);
    await run(old, 'ROLLBACK');
    expect(await rows(old, 'SELECT count(*) FROM t')).toEqual([[1_000n]]);
    expect(openFiles()).toBe(0);
    await isTheSameElsewhere(opened);
  });

  test('that is rolled back, whole or to a savepoint, leaves nothing behind', async () => {
    const opened = await writer();
    const { engine, volume } = opened;
    const session = engine.openSession();
    await run(session, table);
    await run(session, filled(300));
    await volume.reading;
    const [before, end] = [await rows(session, digest), volume.end];
    await run(session, 'BEGIN');
    await run(session, 'UPDATE t SET b = randomblob(2000)');
    await run(session, 'SAVEPOINT s');
    await run(session, 'DELETE FROM t WHERE id > 20');
    await run(session, 'UPDATE t SET b = zeroblob(3000)');
    await run(session, 'ROLLBACK TO s');
    expect(await rows(session, 'SELECT count(*), sum(length(b)) FROM t')).toEqual([[300n, 600_000n]]);
    expect(openFiles()).toBeGreaterThan(0);
    await run(session, 'ROLLBACK');
    expect(openFiles()).toBe(0);
    expect([await rows(session, digest), volume.end]).toEqual([before, end]);
    // A statement that fails half way takes back what it did, and no more.
    await run(session, 'BEGIN');
    await run(session, 'UPDATE t SET b = zeroblob(1500) WHERE id <= 100');
    expect(await code(session, 'UPDATE t SET b = randomblob(2500), id = id + (id = 299)')).toBe(
      'SQLITE_CONSTRAINT',
    );
    await run(session, 'COMMIT');
    expect(await rows(session, 'SELECT count(*), sum(length(b)) FROM t')).toEqual([[300n, 350_000n]]);
    await isTheSameElsewhere(opened);
  });

  test('that is larger than its limit fails as soon as it is, and the engine goes on', async () => {
    const opened = await writer({ transactionPageBytes: 200 * 4096, transactionBytes: 100_000 });
    const { engine, volume } = opened;
    const session = engine.openSession();
    await run(session, table);
    const { end } = volume;
    const { outcome } = await execute(session, filled(5_000));
    assert(!outcome.ok);
    expect(outcome.error.code).toBe('SEXTANT_TRANSACTION_TOO_LARGE');
    expect(outcome.error.message).toContain('transactionPageBytes = 819200');
    expect(openFiles()).toBe(0);
    // Few enough pages, and too much redo.
    const { outcome: redo } = await execute(session, filled(400));
    assert(!redo.ok);
    expect(redo.error.message).toContain('transactionBytes = 100000');
    expect([openFiles(), volume.end]).toEqual([0, end]);
    await run(session, filled(50));
    await isTheSameElsewhere(opened);
  });

  test('that finds no room is rolled back and says where there is none', async () => {
    const opened = await writer({ scratchBytes: 300 * 4096 });
    const { engine, volume } = opened;
    const session = engine.openSession();
    await run(session, table);
    const { end } = volume;
    // While it writes, and while its redo is made.
    for (const count of [2_000, 900]) {
      const { outcome } = await execute(session, filled(count));
      assert(!outcome.ok);
      expect(outcome.error.code).toBe('SEXTANT_SCRATCH_FULL');
      expect(outcome.error.message).toContain('scratchBytes = 1228800');
      expect([openFiles(), volume.end]).toEqual([0, end]);
    }
    await run(session, 'BEGIN');
    await run(session, filled(20));
    expect(await code(session, filled(2_000).replace('SELECT i,', 'SELECT i + 100,'))).toBe(
      'SEXTANT_SCRATCH_FULL',
    );
    expect(await code(session, 'COMMIT')).toBe('SEXTANT_TRANSACTION_ABORTED');
    expect(await rows(session, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    await run(session, filled(300));
    await isTheSameElsewhere(opened);
  });

  test('in a folder that takes no file fails, and small ones do not', async () => {
    const { engine } = await openWriter({ ...options(), scratchFolder: '/proc/none' });
    const session = engine.openSession();
    await run(session, table);
    const { outcome } = await execute(session, filled(2_000));
    assert(!outcome.ok);
    expect([outcome.error.code, outcome.error.message]).toEqual([
      'SEXTANT_SCRATCH_FULL',
      expect.stringContaining('/proc/none'),
    ]);
    await run(session, filled(20));
  });

  test('comes to nothing with its engine, in the middle and when it is committed and not durable', async () => {
    const { engine, volume } = await writer({ outstandingBytes: 100_000_000 }, false);
    const [session, open] = [engine.openSession(), engine.openSession()];
    await run(session, table);
    await run(session, filled(1_000));
    await run(open, 'BEGIN');
    await run(open, 'UPDATE t SET b = zeroblob(1000)');
    await volume.reading;
    expect(openFiles()).toBeGreaterThan(1);
    await engine.open({ kind: 'writer', lsn: lsn(0), pgBytes: 1024 * 1024 });
    expect(openFiles()).toBe(0);
  });

  test('lets nobody commit behind it who would wait for all of it', async () => {
    const { engine, volume } = await writer({ outstandingBytes: 100_000, writeQueueMs: 300 }, false);
    const [session, ...others] = Array.from({ length: 4 }, () => engine.openSession());
    assert(session !== undefined);
    await run(session, table);
    await run(session, 'CREATE TABLE small (a)');
    await run(session, 'BEGIN IMMEDIATE');
    await run(session, filled(1_000));
    const waiting = others.map((other) => code(other, 'INSERT INTO small VALUES (1)'));
    await run(session, 'COMMIT');
    expect(await Promise.all(waiting)).toEqual(['SQLITE_BUSY', 'SQLITE_BUSY', 'SQLITE_BUSY']);
    await volume.reading;
    volume.durable = volume.end;
    engine.setDurable(volume.end);
    expect(await rows(session, 'SELECT count(*) FROM small')).toEqual([[0n]]);
    await run(session, 'INSERT INTO small VALUES (2)');
  });

  test('says how much of its files there is, and that they are gone', async () => {
    const { engine, volume } = await writer();
    const session = engine.openSession();
    await run(session, table);
    expect(engine.scratchBytes).toBe(0);
    await run(session, 'BEGIN');
    await run(session, filled(1_000));
    expect(engine.scratchBytes).toBeGreaterThan(500_000);
    await run(session, 'COMMIT');
    await volume.reading;
    await run(session, 'SELECT 1');
    expect(engine.scratchBytes).toBe(0);
  });

  test('may make an index, and VACUUM, in little memory', async () => {
    const opened = await writer({
      statementHeapBytes: 4_000_000,
      tempBytes: 100_000,
      streamTempBytes: 50_000,
    });
    const { engine, volume } = opened;
    const session = engine.openSession();
    await run(session, table);
    await run(session, filled(8_000));
    await run(session, 'CREATE INDEX byBlob ON t (b)');
    await volume.reading;
    await run(session, 'DELETE FROM t WHERE id % 3 > 0');
    await volume.reading;
    const [[pages]] = (await rows(session, 'PRAGMA page_count')) as [[bigint]];
    await run(session, 'VACUUM');
    const [[fewer]] = (await rows(session, 'PRAGMA page_count')) as [[bigint]];
    expect(fewer).toBeLessThan(pages / 2n);
    expect(await rows(session, 'SELECT count(*) FROM t INDEXED BY byBlob WHERE b > zeroblob(1)')).toEqual([
      [2_666n],
    ]);
    const temporary = engine.openSession();
    await run(temporary, 'CREATE TEMP TABLE kept AS SELECT 1 AS a');
    await run(temporary, 'CREATE INDEX byId ON t (id)');
    expect(await rows(temporary, 'SELECT a FROM kept')).toEqual([[1n]]);
    temporary.close();
    await isTheSameElsewhere(opened);
    expect(openFiles()).toBe(0);
  });
});
