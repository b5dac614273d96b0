import { afterEach, describe, expect, test } from 'vitest';
import { defaultGeometry } from '../../../storage/core.ts';
import { lsn, zeroLsn } from '../../../storage/redo/ids.ts';
import {
  closeEngines,
  code,
  execute,
  MemoryVolume,
  openReader as reader,
  rows,
  run,
  openWriter as writer,
} from './engine-volume.ts';

afterEach(closeEngines);

describe('an engine opened anew', () => {
  test('aborts what was open, lets the rest run again, and forgets what was not durable', async () => {
    const volume = new MemoryVolume();
    const { engine } = await writer({}, volume, false);
    const [inTransaction, waiting, setUp, free] = [
      engine.openSession(),
      engine.openSession(),
      engine.openSession(),
      engine.openSession(),
    ];
    await run(free, 'CREATE TABLE t (a)');
    volume.durable = volume.end;
    engine.setDurable(volume.end);
    await run(free, 'INSERT INTO t VALUES (1)');
    await run(setUp, 'PRAGMA foreign_keys=off');
    await run(setUp, 'CREATE TEMP TABLE mine (a)');
    await run(inTransaction, 'BEGIN IMMEDIATE');
    const parked = execute(waiting, 'INSERT INTO t VALUES (2)');
    await rows(free, 'SELECT 1');
    await engine.open({ kind: 'reader', readPoint: volume.durable });
    expect(await parked).toMatchObject({ aborted: true, wrote: false, outcome: { ok: false } });
    expect(await code(inTransaction, 'SELECT 1')).toBe('SEXTANT_TRANSACTION_ABORTED');
    expect(await code(inTransaction, 'COMMIT')).toBe('SEXTANT_TRANSACTION_ABORTED');
    expect(await rows(inTransaction, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    expect(await code(setUp, 'SELECT 1')).toBe('SEXTANT_TRANSACTION_ABORTED');
    expect(await code(setUp, 'SELECT * FROM mine')).toBe('SQLITE_ERROR');
    expect(await rows(setUp, 'PRAGMA foreign_keys')).toEqual([[0n]]);
    expect(await rows(free, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    expect(await code(free, 'INSERT INTO t VALUES (3)')).toBe('SEXTANT_READ_ONLY');
  });

  test('says nothing of what was taken back while it waited behind another operation of its stream', async () => {
    const { engine } = await writer();
    const [holder, stream] = [engine.openSession(), engine.openSession()];
    await run(holder, 'CREATE TABLE t (a)');
    await run(holder, 'BEGIN IMMEDIATE');
    const first = execute(stream, 'INSERT INTO t VALUES (1)');
    const second = execute(stream, 'INSERT INTO t VALUES (2)');
    const { lastOperation } = engine;
    await rows(holder, 'SELECT 1');
    expect(engine.withdraw(lastOperation, { code: 'SQLITE_BUSY', message: 'withdrawn' })).toBe(true);
    await engine.open({ kind: 'writer', lsn: zeroLsn, pgBytes: defaultGeometry.pgBytes });
    expect(await first).toMatchObject({ aborted: true });
    expect((await second).outcome).toMatchObject({ error: { message: 'withdrawn' } });
    expect(await rows(stream, 'SELECT 1')).toEqual([[1n]]);
  });

  test('interrupts a statement that runs, and one that waits for a page', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    const endless = execute(
      session,
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n',
    );
    await new Promise((resolve) => setImmediate(resolve));
    await engine.open({ kind: 'writer', lsn: zeroLsn, pgBytes: defaultGeometry.pgBytes });
    expect(await endless).toMatchObject({
      aborted: true,
      outcome: { ok: false, error: { code: 'SEXTANT_TRANSACTION_ABORTED' } },
    });
    expect(await rows(session, 'SELECT 1')).toEqual([[1n]]);

    let asked = (): void => undefined;
    const waiting = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const volume = new MemoryVolume();
    const stuck = await reader(
      volume,
      {
        readPages: () => {
          asked();
          return new Promise(() => undefined);
        },
      },
      lsn(1000),
    );
    const blocked = execute(stuck.engine.openSession(), 'SELECT * FROM t');
    await waiting;
    await stuck.engine.open({ kind: 'reader', readPoint: zeroLsn });
    expect(await blocked).toMatchObject({ aborted: true });
  });

  test('redo of the discarded engine is handed to no one', async () => {
    const volume = new MemoryVolume();
    const { engine } = await writer({}, volume);
    const session = engine.openSession();
    await run(session, 'CREATE TABLE t (a)');
    const commits = volume.commits.length;
    const late = execute(session, 'INSERT INTO t VALUES (1)');
    const opened = engine.open({ kind: 'writer', lsn: volume.end, pgBytes: defaultGeometry.pgBytes });
    expect(await late).toMatchObject({ aborted: true, outcome: { ok: false } });
    await opened;
    expect(volume.commits.length).toBe(commits);
    expect(await rows(session, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    await run(session, 'INSERT INTO t VALUES (2)');
  });

  test('operations of a closed engine are answered as lost, as values', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    const pending = execute(session, 'SELECT 1');
    await engine.close();
    expect((await pending).outcome).toMatchObject({
      ok: false,
      error: { code: 'SEXTANT_TRANSACTION_ABORTED' },
    });
    expect((await execute(session, 'SELECT 1')).outcome.ok).toBe(false);
  });

  test('a broken invariant ends the worker, and operations are answered as lost', async () => {
    const broken = await writer({ readPages: async (pages) => pages.map(() => null) });
    const session = broken.engine.openSession();
    // No commit fits above the highest LSN there is.
    await broken.engine.open({
      kind: 'writer',
      lsn: lsn(Number.MAX_SAFE_INTEGER),
      pgBytes: defaultGeometry.pgBytes,
    });
    const { outcome } = await execute(session, 'CREATE TABLE t (a)');
    expect(outcome).toMatchObject({ ok: false, error: { code: 'SEXTANT_TRANSACTION_ABORTED' } });
    expect(broken.fatal.map((error) => error.message)).toEqual([expect.stringContaining('safe integer')]);
    broken.fatal.length = 0;
  });
});
