import { afterEach, expect, test } from 'vitest';
import { SentMarks } from '../../../gateway/engine/core/engine-life.ts';
import { WriterEngine } from '../../../gateway/engine/writer-engine.ts';
import { defaultGeometry } from '../../../storage/core.ts';
import { zeroLsn } from '../../../storage/redo/ids.ts';
import { silent } from '../../storage/region-harness.ts';
import { execute, limited, MemoryVolume, run, startEngine } from './engine-volume.ts';

let writer: WriterEngine | null = null;
afterEach(async () => {
  await writer?.close();
  writer = null;
});

test('marks say which operations were sent long ago', () => {
  const marks = new SentMarks();
  expect(marks.olderThan(100, 0)).toBeNull();
  for (let at = 0; at <= 1_000; at += 50) marks.note(at / 10, at);
  expect(marks.olderThan(100, 1_000)).toBe(90);
  expect(marks.olderThan(100, 1_000)).toBe(90);
  expect(marks.olderThan(5_000, 1_000)).toBeNull();
});

/** Keeps its thread for minutes within one call of one function, which SQLite cannot interrupt. */
const deaf = "SELECT length(replace(hex(zeroblob(8000000)), hex(zeroblob(2000000)) || 'x', ''))";

test('a thread that spins in one call is given up after engineSilenceMs of its own time; one that rests is not', async () => {
  const volume = new MemoryVolume();
  const lost = Promise.withResolvers<string>();
  writer = new WriterEngine({
    start: async () => (await startEngine(volume)).engine,
    log: silent,
    engineSilenceMs: 400,
    onLost: lost.resolve,
  });
  await writer.begin(zeroLsn, defaultGeometry.pgBytes);
  const session = writer.openSession();
  await run(session, 'CREATE TABLE t (a)');
  // Nothing to do for longer than it may be silent.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect([writer.silentMs, writer.stuckMs]).toEqual([0, 0]);
  const cpuBefore = process.cpuUsage();
  const kept = execute(session, deaf);
  expect(await lost.promise).toMatch(/kept its thread for \d+ ms and cannot be interrupted/);
  // All threads of this process together have used at least what is held against the one.
  const { user, system } = process.cpuUsage(cpuBefore);
  expect((user + system) / 1_000).toBeGreaterThanOrEqual(process.platform === 'linux' ? 400 : 0);
  expect((await kept).outcome).toMatchObject({ error: { code: 'SEXTANT_TRANSACTION_ABORTED' } });
});

test('what waits for a thread that one statement keeps is told after writeQueueMs, and has not run', async () => {
  const volume = new MemoryVolume();
  writer = new WriterEngine({
    start: async () => (await startEngine(volume, limited({ writeQueueMs: 500 }))).engine,
    log: silent,
    engineSilenceMs: 60_000,
    onLost: (reason) => {
      throw new Error(reason);
    },
  });
  await writer.begin(zeroLsn, defaultGeometry.pgBytes);
  const [slow, plain, open] = [writer.openSession(), writer.openSession(), writer.openSession()];
  await run(plain, 'CREATE TABLE t (a)');
  await run(open, 'BEGIN');
  await run(open, 'SELECT * FROM t');
  const counting =
    'CREATE TABLE late AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000000) SELECT count(*) FROM c';
  const kept = slow.execute({ sql: counting, args: [], namedArgs: [], wantRows: true }, null);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const ending = execute(open, 'COMMIT');
  const { outcome } = await execute(plain, 'INSERT INTO t VALUES (1)');
  expect(outcome).toMatchObject({
    error: { code: 'SQLITE_BUSY', message: expect.stringContaining('writeQueueMs = 500') },
  });
  writer.engine.cancel(writer.engine.running);
  expect((await kept).outcome).toMatchObject({ error: { code: 'SQLITE_INTERRUPT' } });
  // The end of a transaction waits, however long: who is told that it did not run has the transaction still.
  expect((await ending).outcome.ok).toBe(true);
  expect((await run(plain, 'SELECT count(*) FROM t')).rows).toEqual([[0n]]);
});
