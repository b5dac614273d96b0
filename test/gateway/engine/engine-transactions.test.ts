import assert from 'node:assert/strict';
import { afterEach, describe, expect, test } from 'vitest';
import { concatBytes } from '../../../storage/redo/bytes.ts';
import { lsn } from '../../../storage/redo/ids.ts';
import { decodeRecords } from '../../../storage/redo/record.ts';
import {
  closeEngines,
  code,
  execute,
  limited,
  MemoryVolume,
  rows,
  run,
  runsIn,
  statement,
  openWriter as writer,
} from './engine-volume.ts';

afterEach(closeEngines);

describe('transactions', () => {
  test('readers see their snapshot beside an open writer and after its commit', async () => {
    const { engine } = await writer();
    const [w, r] = [engine.openSession(), engine.openSession()];
    await run(w, 'CREATE TABLE t (a)');
    await run(w, 'INSERT INTO t VALUES (1)');
    await run(r, 'BEGIN');
    expect(await rows(r, 'SELECT count(*) FROM t')).toEqual([[1n]]);
    await run(w, 'BEGIN IMMEDIATE');
    await run(w, 'INSERT INTO t VALUES (2)');
    expect(await rows(r, 'SELECT count(*) FROM t')).toEqual([[1n]]);
    expect(await rows(engine.openSession(), 'SELECT count(*) FROM t')).toEqual([[1n]]);
    const committed = await execute(w, 'COMMIT');
    const snapshot = await execute(r, 'SELECT count(*) FROM t');
    expect(snapshot.outcome).toMatchObject({ value: { rows: [[1n]] } });
    expect(snapshot.seenLsn).toBeLessThan(committed.seenLsn);
    expect(committed.commits.map((commit) => commit.lsn)).toEqual([committed.seenLsn]);
    expect(await rows(engine.openSession(), 'SELECT count(*) FROM t')).toEqual([[2n]]);
    expect(await code(r, 'INSERT INTO t VALUES (3)')).toBe('SQLITE_BUSY');
    await run(r, 'ROLLBACK');
    await run(r, 'INSERT INTO t VALUES (3)');
  });

  test('a hundred sessions that write at once all succeed, transactions and single statements alike', async () => {
    const { engine, volume } = await writer();
    await run(engine.openSession(), 'CREATE TABLE t (n INTEGER)');
    await run(engine.openSession(), 'INSERT INTO t VALUES (0)');
    const work = Array.from({ length: 100 }, async (_, index) => {
      const session = engine.openSession();
      if (index % 2 === 0) await run(session, 'UPDATE t SET n = n + 1');
      else {
        await run(session, 'BEGIN IMMEDIATE');
        const [row] = await rows(session, 'SELECT n FROM t');
        await run(session, 'UPDATE t SET n = ?', BigInt(String(row?.[0])) + 1n);
        await run(session, 'COMMIT');
      }
      session.close();
    });
    await Promise.all(work);
    expect(await rows(engine.openSession(), 'SELECT n FROM t')).toEqual([[100n]]);
    expect(volume.commits.length).toBe(102);
  });

  test('a write waits for the writer before it, and fails with SQLITE_BUSY when that takes too long', async () => {
    const { engine } = await writer(limited({ writeQueueMs: 400, writeIdleMs: 10_000 }));
    const [a, b] = [engine.openSession(), engine.openSession()];
    await run(a, 'CREATE TABLE t (n)');
    await run(a, 'BEGIN IMMEDIATE');
    const late = await execute(b, 'INSERT INTO t VALUES (1)');
    expect(late.outcome).toMatchObject({
      ok: false,
      error: { code: 'SQLITE_BUSY', message: expect.stringContaining('writeQueueMs = 400') },
    });
    const waiting = execute(b, 'INSERT INTO t VALUES (2)');
    await run(a, 'ROLLBACK');
    expect((await waiting).outcome.ok).toBe(true);
  });

  test('a write transaction that idles while others wait is rolled back and told so until it ends', async () => {
    const { engine } = await writer(limited({ writeIdleMs: 30 }));
    const [a, b] = [engine.openSession(), engine.openSession()];
    await run(a, 'CREATE TABLE t (n)');
    await run(a, 'BEGIN IMMEDIATE');
    await run(a, 'INSERT INTO t VALUES (1)');
    await run(b, 'INSERT INTO t VALUES (2)');
    expect(await code(a, 'INSERT INTO t VALUES (3)')).toBe('TRANSACTION_TIMEOUT');
    expect((await execute(a, 'INSERT INTO t VALUES (3)')).autocommit).toBe(false);
    expect(await code(a, 'COMMIT')).toBe('TRANSACTION_TIMEOUT');
    expect(await rows(a, 'SELECT n FROM t')).toEqual([[2n]]);
  });

  test('rolling back leaves nothing, in the volume neither', async () => {
    const { engine, volume } = await writer();
    const session = engine.openSession();
    await run(session, 'CREATE TABLE t (a)');
    const before = volume.end;
    await run(session, 'BEGIN');
    await run(
      session,
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) INSERT INTO t SELECT randomblob(100) FROM n',
    );
    await run(session, 'CREATE INDEX i ON t (a)');
    await run(session, 'ROLLBACK');
    expect(await code(session, 'INSERT INTO t VALUES (1), (abs(-9223372036854775808))')).toBe('SQLITE_ERROR');
    await run(session, 'BEGIN IMMEDIATE');
    await run(session, 'COMMIT');
    expect(volume.end).toBe(before);
    expect(await rows(session, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    expect(await rows(session, 'PRAGMA integrity_check')).toEqual([['ok']]);
  });

  test('BEGIN TRANSACTION READONLY refuses writes and goes on reading', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    await run(session, 'CREATE TABLE t (a)');
    await run(session, 'BEGIN TRANSACTION READONLY');
    expect(await code(session, 'INSERT INTO t VALUES (1)')).toBe('SQLITE_READONLY');
    expect(await rows(session, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    await run(session, 'COMMIT');
    await run(session, 'INSERT INTO t VALUES (1)');
  });

  test('that a failed statement rolled back are not gone on with unnoticed', async () => {
    const { engine } = await writer(limited({ statementMs: 400 }));
    const session = engine.openSession();
    await run(session, 'CREATE TABLE t (a)');
    await run(session, 'BEGIN');
    await run(session, 'INSERT INTO t VALUES (1)');
    await run(session, 'SAVEPOINT s');
    const endless =
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) INSERT INTO t SELECT count(*) FROM n';
    expect(await code(session, endless)).toBe('SQLITE_INTERRUPT');
    expect(await code(session, 'INSERT INTO t VALUES (2)')).toBe('SEXTANT_TRANSACTION_ABORTED');
    expect(await code(session, 'ROLLBACK TO s')).toBe('SEXTANT_TRANSACTION_ABORTED');
    expect((await execute(session, 'SELECT 1')).autocommit).toBe(false);
    await run(session, 'ROLLBACK');
    expect(await rows(session, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    await run(session, 'INSERT INTO t VALUES (3)');
  });

  test('larger than the limit fail at commit, are rolled back whole, and the engine goes on', async () => {
    const { engine, volume } = await writer(limited({ transactionBytes: 100_000 }));
    const session = engine.openSession();
    await run(session, 'CREATE TABLE t (a)');
    const before = volume.end;
    const many =
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) INSERT INTO t SELECT randomblob(500) FROM n';
    expect(await code(session, many)).toBe('SEXTANT_TRANSACTION_TOO_LARGE');
    await run(session, 'BEGIN');
    await run(session, 'INSERT INTO t VALUES (1)');
    await run(session, many);
    const commit = await execute(session, 'COMMIT');
    expect(commit.outcome).toMatchObject({ ok: false, error: { code: 'SEXTANT_TRANSACTION_TOO_LARGE' } });
    expect(commit.autocommit).toBe(true);
    expect(volume.end).toBe(before);
    expect(await rows(session, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    await run(session, 'PRAGMA synchronous=off');
    expect(await code(session, many)).toBe('SEXTANT_TRANSACTION_TOO_LARGE');
    await run(session, 'INSERT INTO t VALUES (1)');
    expect(await rows(session, 'PRAGMA integrity_check')).toEqual([['ok']]);
  });

  test('that hold more pages than they may are stopped where they get there, not at COMMIT', async () => {
    const { engine, volume } = await writer(limited({ transactionPageBytes: 8_000_000 }));
    const session = engine.openSession();
    await run(session, 'CREATE TABLE t (a)');
    const before = volume.end;
    const much =
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) INSERT INTO t SELECT randomblob(3000) FROM n';
    await run(session, 'BEGIN');
    const codes: string[] = [];
    for (let part = 0; part < 6 && !codes.includes('SEXTANT_TRANSACTION_TOO_LARGE'); part++) {
      const { outcome } = await execute(session, much);
      if (outcome.ok) continue;
      codes.push(outcome.error.code);
      expect(outcome.error.message).toContain('transactionPageBytes = 8000000');
      expect(outcome.error.message).toContain('by ranges of a key');
    }
    expect(codes).toEqual(['SEXTANT_TRANSACTION_TOO_LARGE']);
    expect(await code(session, much)).toBe('SEXTANT_TRANSACTION_ABORTED');
    await run(session, 'ROLLBACK');
    expect(volume.end).toBe(before);
    expect(await rows(session, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    // The same rows in parts.
    for (let part = 0; part < 6; part++) await run(session, much);
    expect(await rows(session, 'SELECT count(*) FROM t')).toEqual([[6_000n]]);
    expect(await rows(session, 'PRAGMA integrity_check')).toEqual([['ok']]);
  });

  test('writes wait while too much redo is not durable', async () => {
    const { engine, volume } = await writer(limited({ outstandingBytes: 20_000 }), new MemoryVolume(), false);
    const session = engine.openSession();
    await run(session, 'CREATE TABLE t (a)');
    await run(session, 'INSERT INTO t VALUES (randomblob(30000))');
    let written = false;
    const waiting = execute(session, 'INSERT INTO t VALUES (2)').then((answer) => {
      written = true;
      return answer;
    });
    expect(await rows(engine.openSession(), 'SELECT count(*) FROM t')).toEqual([[1n]]);
    expect(written).toBe(false);
    volume.durable = volume.end;
    engine.setDurable(volume.end);
    expect((await waiting).outcome.ok).toBe(true);
  });

  test('a traced commit carries its trace and its own span id, and commit times ascend', async () => {
    const { engine, volume } = await writer();
    const session = engine.openSession();
    const trace = { traceId: 'ab'.repeat(16), flags: 1 };
    for (const sql of ['CREATE TABLE t (a)', 'INSERT INTO t VALUES (1)', 'INSERT INTO t VALUES (2)'])
      await session.execute(statement(sql), trace);
    const spans = new Set<string>();
    let lastUs = 0;
    let base = 0;
    for (const { mtr, lsn: end, commits } of volume.commits) {
      const [{ spanId, session: sessionId } = assert.fail('redo ends in a commit')] = commits;
      assert(spanId !== null);
      const decoded = decodeRecords(concatBytes(runsIn(mtr).map((part) => part.bytes)), lsn(base));
      assert(decoded.kind === 'records');
      const commit = decoded.records.at(-1);
      assert(commit?.kind === 'commit' && commit.trace !== null);
      expect(Buffer.from(commit.trace ?? []).toString('hex')).toBe(`${trace.traceId}${spanId}01`);
      expect([commit.lsn, sessionId]).toEqual([end, session.id]);
      expect(commit.commitTimeUs).toBeGreaterThan(lastUs);
      lastUs = commit.commitTimeUs;
      base = end;
      spans.add(spanId);
    }
    expect(spans.size).toBe(3);
  });
});
