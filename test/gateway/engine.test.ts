import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { EngineLimits } from '../../gateway/core/engine-limits.ts';
import type { BatchStep, SqlStatement, SqlValue } from '../../gateway/core/sql.ts';
import type { EngineOptions } from '../../gateway/shell/engine.ts';
import { concatBytes } from '../../storage/core/bytes.ts';
import { lsn, zeroLsn } from '../../storage/core/ids.ts';
import { decodeRecords } from '../../storage/core/record.ts';
import {
  closeEngines,
  code,
  execute,
  MemoryVolume,
  openReader as reader,
  rows,
  run,
  statement,
  openWriter as writer,
} from './engine-volume.ts';

const limited = (limits: Partial<EngineLimits>): Partial<EngineOptions> => ({ limits });
const always = (...sqls: string[]): BatchStep[] =>
  sqls.map((sql) => ({ condition: null, statement: statement(sql) }));

afterEach(closeEngines);

describe('statements', () => {
  test('answer every type of value, declared types and row counts', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    await run(
      session,
      'CREATE TABLE v (id INTEGER PRIMARY KEY, big BIGINT, real DOUBLE, body VARCHAR(20), raw BLOB)',
    );
    const blob = new Uint8Array([0, 255, 7]);
    const inserted = await run(
      session,
      'INSERT INTO v VALUES (?, ?, ?, ?, ?)',
      7n,
      9223372036854775807n,
      1.5,
      'naïve 😀\0tail',
      blob,
    );
    expect(inserted).toMatchObject({ affectedRowCount: 1, lastInsertRowid: 7n, rows: [] });
    const selected = await run(session, 'SELECT *, id + 1 AS next FROM v');
    expect(selected.columns).toEqual([
      { name: 'id', decltype: 'INTEGER' },
      { name: 'big', decltype: 'BIGINT' },
      { name: 'real', decltype: 'DOUBLE' },
      { name: 'body', decltype: 'VARCHAR(20)' },
      { name: 'raw', decltype: 'BLOB' },
      { name: 'next', decltype: null },
    ]);
    expect(selected.rows).toEqual([[7n, 9223372036854775807n, 1.5, 'naïve 😀\0tail', blob, 8n]]);
    expect(selected).toMatchObject({ affectedRowCount: 0, lastInsertRowid: null });
    expect(
      await rows(
        session,
        "SELECT ?, ?, ?, typeof(?), ''",
        null,
        -9223372036854775808n,
        '',
        new Uint8Array(0),
      ),
    ).toEqual([[null, -9223372036854775808n, '', 'blob', '']]);
    expect(await rows(session, 'SELECT length(?)', 'x'.repeat(300_000))).toEqual([[300_000n]]);
    expect((await run(session, 'UPDATE v SET real = 2 RETURNING id, real')).rows).toEqual([[7n, 2]]);
  });

  test('take positional and named arguments, and refuse what does not match', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    const named = (sql: string, values: Record<string, SqlValue>, args: SqlValue[] = []): SqlStatement => ({
      sql,
      args,
      namedArgs: Object.entries(values).map(([name, value]) => ({ name, value })),
      wantRows: true,
    });
    const answer = async (given: SqlStatement): Promise<unknown> => {
      const { outcome } = await session.execute(given, null);
      return outcome.ok ? outcome.value.rows : outcome.error.code;
    };
    expect(await answer(named('SELECT :a, @b, $c', { a: 1n, '@b': 2n, $c: 3n }))).toEqual([[1n, 2n, 3n]]);
    expect(await answer(named('SELECT :a, :b', { a: 1n }))).toBe('ARGS_INVALID');
    expect(await answer(named('SELECT :a', { a: 1n }, [1n]))).toBe('ARGS_BOTH_POSITIONAL_AND_NAMED');
    expect(await rows(session, 'SELECT ?2, ?1', 1n, 2n)).toEqual([[2n, 1n]]);
    expect(await code(session, 'SELECT ?')).toBe('ARGS_INVALID');
    expect(await code(session, 'SELECT 1', 1n)).toBe('ARGS_INVALID');
    expect(await code(session, 'SELECT ?', 2n ** 63n)).toBe('ARGS_INVALID');
  });

  test('fail under the primary names of SQLite and the codes of libSQL', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    await run(session, 'CREATE TABLE t (a UNIQUE)');
    await run(session, 'INSERT INTO t VALUES (1)');
    expect(await code(session, 'INSERT INTO t VALUES (1)')).toBe('SQLITE_CONSTRAINT');
    expect(await code(session, 'SELEC')).toBe('SQLITE_ERROR');
    expect(await code(session, 'SELECT * FROM nowhere')).toBe('SQLITE_ERROR');
    expect(await code(session, '-- nothing')).toBe('SQL_NO_STATEMENT');
    expect(await code(session, 'SELECT 1; SELECT 2')).toBe('SQL_MANY_STATEMENTS');
    expect(await rows(session, 'SELECT 1; -- the end')).toEqual([[1n]]);
    expect(await rows(session, 'SELECT "a text"')).toEqual([['a text']]);
  });

  test('are described without being run', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    await run(session, 'CREATE TABLE t (a INT)');
    const describe = async (sql: string): Promise<unknown> => {
      const { outcome } = await session.describe(sql, null);
      return outcome.ok ? outcome.value : outcome.error.code;
    };
    expect(await describe('INSERT INTO t VALUES (?3 + :x) RETURNING a')).toEqual({
      params: [{ name: null }, { name: null }, { name: '?3' }, { name: ':x' }],
      columns: [{ name: 'a', decltype: 'INT' }],
      isExplain: false,
      isReadonly: false,
    });
    expect(await describe('EXPLAIN SELECT 1')).toMatchObject({ isExplain: true, isReadonly: true });
    expect(await describe('COMMIT')).toMatchObject({ isReadonly: true });
    expect(await describe('SELECT nope')).toBe('SQLITE_ERROR');
    await describe('PRAGMA foreign_keys=on');
    expect(await rows(session, 'PRAGMA foreign_keys')).toEqual([[0n]]);
  });

  test('run in batches under conditions, and in scripts up to the first error', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    const steps: BatchStep[] = [
      { condition: null, statement: statement('CREATE TABLE t (a UNIQUE)') },
      { condition: { kind: 'ok', step: 0 }, statement: statement('INSERT INTO t VALUES (1)') },
      { condition: { kind: 'ok', step: 1 }, statement: statement('INSERT INTO t VALUES (1)') },
      { condition: { kind: 'ok', step: 2 }, statement: statement('INSERT INTO t VALUES (2)') },
      { condition: { kind: 'error', step: 2 }, statement: statement('SELECT count(*) FROM t') },
      { condition: { kind: 'isAutocommit' }, statement: statement('SELECT 5') },
    ];
    const { outcome, commits, wrote } = await session.batch(steps, null);
    assert(outcome.ok);
    expect(
      outcome.value.map((step) => (step === null ? 'skipped' : step.ok ? step.value.rows : step.error.code)),
    ).toEqual([[], [], 'SQLITE_CONSTRAINT', 'skipped', [[1n]], [[5n]]]);
    expect([commits.length, wrote]).toEqual([2, true]);
    const script = await session.sequence(
      '/* note */ INSERT INTO t VALUES (3);; CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END; BEGIN; INSERT INTO t VALUES (4); INSERT INTO t VALUES (3); INSERT INTO t VALUES (5);',
      null,
    );
    expect(script.outcome.ok).toBe(false);
    expect(script.autocommit).toBe(false);
    expect(await rows(session, 'SELECT a FROM t ORDER BY a')).toEqual([[1n], [3n], [4n]]);
    session.close();
    expect(await rows(engine.openSession(), 'SELECT a FROM t ORDER BY a')).toEqual([[1n], [3n]]);
  });

  test('changes(), total_changes() and last_insert_rowid() are the session’s own, whoever used the connection between', async () => {
    const { engine } = await writer();
    const [a, b] = [engine.openSession(), engine.openSession()];
    await run(a, 'CREATE TABLE t (id INTEGER PRIMARY KEY, n)');
    await run(a, 'INSERT INTO t (n) VALUES (1), (2), (3)');
    await run(b, 'INSERT INTO t (id, n) VALUES (100, 1)');
    const counters = 'SELECT changes(), total_changes(), last_insert_rowid()';
    expect(await rows(a, counters)).toEqual([[3n, 3n, 3n]]);
    expect(await rows(b, counters)).toEqual([[1n, 1n, 100n]]);
    expect(await rows(engine.openSession(), counters)).toEqual([[0n, 0n, 0n]]);
    expect((await run(a, 'INSERT INTO t (n) VALUES (last_insert_rowid()) RETURNING n')).rows).toEqual([[3n]]);
  });

  test('settings, temporary tables and attached memory belong to one session', async () => {
    const { engine } = await writer();
    const [a, b] = [engine.openSession(), engine.openSession()];
    await run(a, 'CREATE TABLE p (id INTEGER PRIMARY KEY)');
    await run(a, 'CREATE TABLE c (p REFERENCES p)');
    await run(a, 'PRAGMA foreign_keys=on');
    expect(await code(a, 'INSERT INTO c VALUES (1)')).toBe('SQLITE_CONSTRAINT');
    await run(b, 'INSERT INTO c VALUES (1)');
    await run(b, 'CREATE TEMP TABLE scratch (x)');
    const before = engine.readPoint();
    await run(b, 'INSERT INTO scratch VALUES (1)');
    await run(b, "ATTACH ':memory:' AS side");
    await run(b, 'CREATE TABLE side.t AS SELECT 5 AS five');
    expect(await rows(b, 'SELECT * FROM scratch, side.t')).toEqual([[1n, 5n]]);
    expect(engine.readPoint()).toBe(before);
    expect(await code(a, 'SELECT * FROM scratch')).toBe('SQLITE_ERROR');
    b.close();
    expect(await code(engine.openSession(), 'SELECT * FROM scratch')).toBe('SQLITE_ERROR');
  });

  test('cannot reach files, leave in-memory journalling or change the page size; VACUUM works', async () => {
    const { engine, volume } = await writer();
    const session = engine.openSession();
    for (const sql of [
      "ATTACH '/tmp/x.db' AS f",
      "ATTACH 'file:x?vfs=unix' AS f",
      "VACUUM INTO '/tmp/x.db'",
      'PRAGMA page_size=8192',
    ]) {
      expect([sql, await code(session, sql)]).toEqual([sql, 'BLOCKED']);
    }
    expect(await code(session, 'ATTACH ? AS f', '/tmp/x.db')).toBe('BLOCKED');
    for (const mode of ['wal', 'off', 'delete'])
      expect(await rows(session, `PRAGMA journal_mode=${mode}`)).toEqual([['memory']]);
    expect(await rows(session, 'PRAGMA locking_mode=exclusive')).toEqual([['normal']]);
    expect(await rows(session, 'PRAGMA page_size')).toEqual([[4096n]]);
    await run(session, 'CREATE TABLE t (a)');
    await run(
      session,
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT randomblob(200) FROM n',
    );
    await run(session, 'DELETE FROM t WHERE rowid % 10 <> 0');
    const [[before]] = (await rows(session, 'PRAGMA page_count')) as [[bigint]];
    await run(session, 'VACUUM');
    const [[after]] = (await rows(session, 'PRAGMA page_count')) as [[bigint]];
    expect(after).toBeLessThan(before / 4n);
    await run(
      session,
      'INSERT INTO t SELECT randomblob(300) FROM t, (SELECT 1 UNION SELECT 2 UNION SELECT 3)',
    );
    const { engine: other } = await reader(volume);
    expect(await rows(other.openSession(), 'PRAGMA integrity_check')).toEqual([['ok']]);
    expect(await rows(other.openSession(), 'SELECT count(*) FROM t')).toEqual([[800n]]);
  });

  test('that run too long are interrupted under the name of the limit, results too large are refused', async () => {
    const { engine } = await writer(limited({ statementMs: 400, resultBytes: 10_000 }));
    const session = engine.openSession();
    const endless = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n';
    const { outcome } = await execute(session, endless);
    expect(outcome).toMatchObject({
      ok: false,
      error: { code: 'SQLITE_INTERRUPT', message: expect.stringContaining('statementMs = 400') },
    });
    const large =
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n';
    expect(await code(session, large)).toBe('RESPONSE_TOO_LARGE');
    expect(await rows(session, 'SELECT 1')).toEqual([[1n]]);
  });

  test('PRAGMA sextant_read sets and tells the session’s consistency', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    expect((await execute(session, "PRAGMA sextant_read='eventual'")).readPreference).toBe('eventual');
    expect(await rows(session, 'PRAGMA sextant_read')).toEqual([['eventual']]);
    expect(await rows(engine.openSession(), 'PRAGMA sextant_read')).toEqual([['session']]);
    expect(await code(session, "PRAGMA sextant_read='perhaps'")).toBe('SQLITE_ERROR');
  });
});

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
    const endless =
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) INSERT INTO t SELECT count(*) FROM n';
    expect(await code(session, endless)).toBe('SQLITE_INTERRUPT');
    expect(await code(session, 'INSERT INTO t VALUES (2)')).toBe('SEXTANT_TRANSACTION_ABORTED');
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
      const decoded = decodeRecords(concatBytes(mtr.runs.map((part) => part.bytes)), lsn(base));
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

describe('pages and redo', () => {
  test('on a random workload results are those of SQLite, and the redo makes the same database', async () => {
    const value = fc.oneof(
      fc.constant(null),
      fc.bigInt({ min: -50n, max: 50n }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.string(),
      fc.uint8Array({ maxLength: 3000 }),
    );
    const key = fc.bigInt({ min: 1n, max: 30n });
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.tuple(
          fc.constant('INSERT OR REPLACE INTO t (id, a, b) VALUES (?, ?, ?)'),
          fc.tuple(key, value, value),
        ),
      },
      {
        weight: 2,
        arbitrary: fc.tuple(fc.constant('INSERT INTO t (id, a) VALUES (?, ?)'), fc.tuple(key, value)),
      },
      {
        weight: 2,
        arbitrary: fc.tuple(fc.constant('UPDATE t SET a = ? WHERE id > ?'), fc.tuple(value, key)),
      },
      {
        weight: 1,
        arbitrary: fc.tuple(
          fc.constant('DELETE FROM t WHERE id % 7 = ?'),
          fc.tuple(fc.bigInt({ min: 0n, max: 6n })),
        ),
      },
      {
        weight: 1,
        arbitrary: fc.tuple(
          fc.constantFrom(
            'BEGIN',
            'BEGIN IMMEDIATE',
            'COMMIT',
            'ROLLBACK',
            'SAVEPOINT s',
            'ROLLBACK TO s',
            'RELEASE s',
          ),
          fc.constant([]),
        ),
      },
      {
        weight: 1,
        arbitrary: fc.tuple(
          fc.constantFrom(
            'CREATE INDEX i ON t (a, b)',
            'DROP INDEX i',
            'VACUUM',
            'ALTER TABLE t ADD COLUMN c',
            'CREATE TABLE u AS SELECT * FROM t',
            'DROP TABLE u',
          ),
          fc.constant([]),
        ),
      },
      {
        weight: 2,
        arbitrary: fc.tuple(
          fc.constant('SELECT *, typeof(a) FROM t WHERE id < ? ORDER BY id'),
          fc.tuple(key),
        ),
      },
    );
    const { engine, volume } = await writer({ pageCacheBytes: 5 * 4096 });
    let round = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        const oracle = new DatabaseSync(':memory:');
        const session = engine.openSession();
        const table = `t${++round}`;
        const named = (sql: string): string => sql.replace(/\b(t|u|i)\b/g, (name) => `${name}${round}`);
        const create = named('CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)');
        oracle.exec(create);
        await run(session, create);
        for (const [sql, args] of steps) {
          const prepared = (): unknown => {
            const statementOf = oracle.prepare(named(sql));
            statementOf.setReadBigInts(true);
            return statementOf.all(...args).map((row) => Object.values(row));
          };
          let expected: unknown;
          try {
            expected = prepared();
          } catch {
            expected = 'failed';
          }
          const { outcome, autocommit } = await execute(session, named(sql), ...args);
          expect([sql, outcome.ok ? outcome.value.rows : 'failed']).toEqual([sql, expected]);
          expect(autocommit).toBe(!oracle.isTransaction);
        }
        session.close();
        if (oracle.isTransaction) oracle.exec('ROLLBACK');
        const dump = oracle.prepare(`SELECT * FROM ${table} ORDER BY id`);
        dump.setReadBigInts(true);
        expect(await rows(engine.openSession(), `SELECT * FROM ${table} ORDER BY id`)).toEqual(
          dump.all().map((row) => Object.values(row)),
        );
      }),
      { numRuns: 40 },
    );
    const { engine: replica } = await reader(volume, { pageCacheBytes: 3 * 4096 });
    const [a, b] = [engine.openSession(), replica.openSession()];
    expect(await rows(b, 'PRAGMA integrity_check')).toEqual([['ok']]);
    const tables = await rows(a, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    expect(await rows(b, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")).toEqual(
      tables,
    );
    for (const [name] of tables)
      expect(await rows(b, `SELECT * FROM "${name}"`)).toEqual(await rows(a, `SELECT * FROM "${name}"`));
  }, 60_000);

  test('with a tiny cache pages are evicted and come back from storage, never above the durable LSN', async () => {
    const { engine, volume } = await writer({ pageCacheBytes: 4 * 4096 });
    const session = engine.openSession();
    await run(session, 'PRAGMA cache_size=5');
    await run(session, 'CREATE TABLE t (id INTEGER PRIMARY KEY, body)');
    for (let at = 0; at < 30; at++) await run(session, 'INSERT INTO t (body) VALUES (randomblob(3000))');
    const held = engine.openSession();
    await run(held, 'BEGIN');
    const sum = 'SELECT count(*), sum(length(body)), max(hex(substr(body, 1, 8))) FROM t';
    const before = await rows(held, sum);
    for (let at = 1; at <= 30; at++)
      await run(session, 'UPDATE t SET body = randomblob(2000) WHERE id = ?', BigInt(at));
    expect(await rows(held, sum)).toEqual(before);
    expect((await rows(session, sum))[0]?.slice(0, 2)).toEqual([30n, 60_000n]);
    expect(await rows(session, 'PRAGMA integrity_check')).toEqual([['ok']]);
    expect(volume.reads.length).toBeGreaterThan(50);
  });

  test('a reader moves forward under queries, and its open snapshots stay', async () => {
    const { engine, volume } = await writer({ pgBytes: 1024 * 1024 });
    const w = engine.openSession();
    await run(w, 'CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, pad)');
    await run(
      w,
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) INSERT INTO t SELECT i, 0, randomblob(1000) FROM n',
    );
    const { engine: follower } = await reader(volume, { pageCacheBytes: 30 * 4096 });
    const sent = volume.frames.length;
    const [r, held] = [follower.openSession(), follower.openSession()];
    const query = 'SELECT sum(n), count(*), count(DISTINCT n) FROM t';
    expect(await rows(r, query)).toEqual([[0n, 1000n, 1n]]);
    await run(held, 'BEGIN');
    expect(await rows(held, query)).toEqual([[0n, 1000n, 1n]]);
    for (let round = 1; round <= 12; round++) {
      const from = volume.frames.length;
      await run(w, 'UPDATE t SET n = n + 1');
      await run(w, `CREATE TABLE x${round} (a)`);
      const durable = volume.commits.at(-2)?.lsn ?? zeroLsn;
      // The VDL stands between two commits: only the first may be seen.
      follower.apply(concatBytes(volume.frames.slice(from)), durable);
      expect(await rows(r, query)).toEqual([[BigInt(1000 * round), 1000n, 1n]]);
      expect(follower.readPoint()).toBe(durable);
      expect(await code(r, `SELECT * FROM x${round}`)).toBe('SQLITE_ERROR');
      follower.apply(new Uint8Array(0), volume.end);
      expect(await rows(r, `SELECT * FROM x${round}`)).toEqual([]);
    }
    expect(await rows(held, query)).toEqual([[0n, 1000n, 1n]]);
    await run(held, 'COMMIT');
    expect(await rows(held, query)).toEqual([[12_000n, 1000n, 1n]]);
    expect(await rows(r, 'PRAGMA integrity_check')).toEqual([['ok']]);
    expect(volume.frames.length).toBeGreaterThan(sent + 24);
  });

  test('a script of thousands of statements loads, and reads the same from its redo', async () => {
    const { engine, volume } = await writer();
    const session = engine.openSession();
    const script = [
      'CREATE TABLE artist (id INTEGER PRIMARY KEY, name NVARCHAR(120));',
      'CREATE TABLE album (id INTEGER PRIMARY KEY, title NVARCHAR(160) NOT NULL, artist INTEGER NOT NULL REFERENCES artist (id));',
      'CREATE INDEX album_artist ON album (artist);',
      'CREATE VIRTUAL TABLE words USING fts5 (title);',
      'BEGIN;',
      ...Array.from({ length: 500 }, (_, i) =>
        `INSERT INTO artist VALUES (${i}, N'Artist; number ${i}''s');`.replace("N'", "'"),
      ),
      ...Array.from(
        { length: 2000 },
        (_, i) =>
          `INSERT INTO album VALUES (${i}, 'Title ${i}', ${i % 500}); INSERT INTO words VALUES ('title ${i}');`,
      ),
      'COMMIT;',
    ].join('\n');
    const loaded = await session.sequence(script, null);
    expect(loaded.outcome).toEqual({ ok: true, value: null });
    expect(loaded.commits.length).toBe(5);
    const { engine: other } = await reader(volume);
    const sql =
      "SELECT a.name, count(*) FROM album JOIN artist a ON a.id = artist WHERE title LIKE '%7' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5";
    expect(await rows(other.openSession(), sql)).toEqual(await rows(session, sql));
    expect(await rows(other.openSession(), "SELECT count(*) FROM words WHERE words MATCH '1999'")).toEqual([
      [1n],
    ]);
  });

  test('a reader of an empty volume answers', async () => {
    const { engine } = await reader(new MemoryVolume());
    const session = engine.openSession();
    expect(await rows(session, 'SELECT 1')).toEqual([[1n]]);
    const { outcome } = await execute(session, 'SELECT * FROM t');
    expect(outcome).toMatchObject({
      ok: false,
      error: { code: 'SQLITE_ERROR', message: expect.stringContaining('no such table') },
    });
  });
});

describe('a reader', () => {
  test('refuses writes before anything ran, so that they can be forwarded', async () => {
    const volume = new MemoryVolume();
    const { engine } = await writer({}, volume);
    await run(engine.openSession(), 'CREATE TABLE t (a)');
    const { engine: follower } = await reader(volume);
    const session = follower.openSession();
    for (const sql of [
      'INSERT INTO t VALUES (1)',
      'BEGIN IMMEDIATE',
      'CREATE TABLE u (a)',
      'PRAGMA user_version=3',
      'VACUUM',
      'DROP TABLE t',
    ]) {
      expect([sql, await code(session, sql)]).toEqual([sql, 'SEXTANT_READ_ONLY']);
    }
    const batch = await session.batch(
      always('SELECT 1', 'PRAGMA foreign_keys=on', 'INSERT INTO t VALUES (1)'),
      null,
    );
    expect(batch.outcome).toMatchObject({ ok: false, error: { code: 'SEXTANT_READ_ONLY' } });
    expect(await rows(session, 'PRAGMA foreign_keys')).toEqual([[0n]]);
    const script = await session.sequence(
      'CREATE TEMP TABLE x (a); SELECT 1; CREATE TABLE y (a); INSERT INTO y VALUES (1)',
      null,
    );
    expect(script.outcome).toMatchObject({ ok: false, error: { code: 'SEXTANT_READ_ONLY' } });
    expect(await code(session, 'SELECT * FROM x')).toBe('SQLITE_ERROR');
    await run(session, 'CREATE TEMP TABLE x (a)');
    await run(session, 'INSERT INTO x VALUES (1)');
    const transaction = await session.batch(
      always('BEGIN TRANSACTION READONLY', 'SELECT count(*) FROM t'),
      null,
    );
    expect(transaction.autocommit).toBe(false);
    expect(await code(session, 'INSERT INTO t VALUES (1)')).toBe('SQLITE_READONLY');
  });

  test('tells a page that storage does not give, and goes on when it does', async () => {
    const volume = new MemoryVolume();
    const { engine } = await writer({}, volume);
    await run(engine.openSession(), 'CREATE TABLE t (a)');
    await run(engine.openSession(), 'INSERT INTO t VALUES (7)');
    let broken: 'reject' | 'silent' | 'no' = 'no';
    const { engine: follower } = await reader(volume, {
      limits: { pageReadMs: 500 },
      readPage: async (page, readPoint) => {
        if (broken === 'reject') throw new Error('no node answers');
        if (broken === 'silent') await new Promise(() => undefined);
        return volume.page(page, readPoint);
      },
    });
    const session = follower.openSession();
    broken = 'reject';
    const rejected = await execute(session, 'SELECT * FROM t');
    expect(rejected.outcome).toMatchObject({
      ok: false,
      error: { code: 'SEXTANT_STORAGE_UNAVAILABLE', message: expect.stringContaining('no node answers') },
    });
    broken = 'silent';
    const silent = await execute(session, 'SELECT * FROM t');
    expect(silent.outcome).toMatchObject({
      ok: false,
      error: { code: 'SEXTANT_STORAGE_UNAVAILABLE', message: expect.stringContaining('pageReadMs = 500') },
    });
    broken = 'no';
    expect(await rows(session, 'SELECT * FROM t')).toEqual([[7n]]);
    // SQLite rolls a transaction back when a page cannot be read, and with it goes the snapshot.
    await follower.open({ kind: 'reader', readPoint: volume.durable });
    await run(session, 'BEGIN');
    broken = 'reject';
    expect(await code(session, 'SELECT * FROM t')).toBe('SEXTANT_STORAGE_UNAVAILABLE');
    broken = 'no';
    expect(await code(session, 'SELECT * FROM t')).toBe('SEXTANT_TRANSACTION_ABORTED');
    await run(session, 'ROLLBACK');
    expect(await rows(session, 'SELECT * FROM t')).toEqual([[7n]]);
  });
});

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
    await run(setUp, 'PRAGMA foreign_keys=on');
    await run(inTransaction, 'BEGIN IMMEDIATE');
    const parked = execute(waiting, 'INSERT INTO t VALUES (2)');
    await rows(free, 'SELECT 1');
    await engine.open({ kind: 'reader', readPoint: volume.durable });
    expect(await parked).toMatchObject({ aborted: true, wrote: false, outcome: { ok: false } });
    expect(await code(inTransaction, 'SELECT 1')).toBe('SEXTANT_TRANSACTION_ABORTED');
    expect(await code(inTransaction, 'COMMIT')).toBe('SEXTANT_TRANSACTION_ABORTED');
    expect(await rows(inTransaction, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    expect(await code(setUp, 'SELECT 1')).toBe('SEXTANT_TRANSACTION_ABORTED');
    expect(await rows(setUp, 'PRAGMA foreign_keys')).toEqual([[0n]]);
    expect(await rows(free, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    expect(await code(free, 'INSERT INTO t VALUES (3)')).toBe('SEXTANT_READ_ONLY');
  });

  test('interrupts a statement that runs, and one that waits for a page', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    const endless = execute(
      session,
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n',
    );
    await new Promise((resolve) => setImmediate(resolve));
    await engine.open({ kind: 'writer', lsn: zeroLsn });
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
        readPage: () => {
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
    const opened = engine.open({ kind: 'writer', lsn: volume.end });
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
    const broken = await writer({ readPage: async () => null });
    const session = broken.engine.openSession();
    // No commit fits above the highest LSN there is.
    await broken.engine.open({ kind: 'writer', lsn: lsn(Number.MAX_SAFE_INTEGER) });
    const { outcome } = await execute(session, 'CREATE TABLE t (a)');
    expect(outcome).toMatchObject({ ok: false, error: { code: 'SEXTANT_TRANSACTION_ABORTED' } });
    expect(broken.fatal.map((error) => error.message)).toEqual([expect.stringContaining('safe integer')]);
    broken.fatal.length = 0;
  });
});
