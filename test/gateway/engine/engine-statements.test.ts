import assert from 'node:assert/strict';
import { afterEach, describe, expect, test } from 'vitest';
import { encodeRow } from '../../../gateway/sql/row-text.ts';
import type { BatchStep, SqlStatement, SqlValue } from '../../../gateway/sql/sql.ts';
import {
  closeEngines,
  code,
  execute,
  limited,
  openReader as reader,
  rows,
  run,
  statement,
  openWriter as writer,
} from './engine-volume.ts';

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

  test('are refused for what the schema is, whichever connection has changed it', async () => {
    const { engine } = await writer();
    const [one, held] = [engine.openSession(), engine.openSession()];
    await run(one, 'CREATE TABLE t (a)');
    await run(one, 'CREATE VIEW v AS SELECT a FROM t');
    await run(held, 'CREATE TEMP TABLE own (a)');
    expect((await execute(held, 'INSERT INTO v VALUES (1)')).outcome).toMatchObject({ ok: false });
    await run(one, 'CREATE TRIGGER g INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES (new.a); END');
    await run(held, 'INSERT INTO v VALUES (1)');
    expect(await rows(one, 'SELECT a FROM t')).toEqual([[1n]]);
  });

  test.each([
    ['PRAGMA index_info(i)', 1],
    ['PRAGMA index_xinfo(i)', 2],
    ['PRAGMA index_list(t)', 1],
    ['PRAGMA foreign_key_list(u)', 1],
    ['PRAGMA table_info(u)', 1],
    ["SELECT * FROM pragma_index_info('i')", 1],
    ["SELECT * FROM pragma_table_list('u')", 1],
    ["SELECT ii.name FROM pragma_index_list('t') il, PRAGMA_INDEX_INFO(il.name) ii", 1],
  ])(
    'G106: %s tells of the schema as others have left it, also in a read transaction',
    async (sql, count) => {
      const { engine, volume } = await writer();
      const maker = engine.openSession();
      await run(maker, 'CREATE TABLE t (a UNIQUE ON CONFLICT IGNORE, n)');
      await run(maker, 'DROP TABLE t');
      const { engine: reading } = await reader(volume);
      const sessions = [engine.openSession(), reading.openSession()];
      // Every connection there is knows the schema as it is before.
      for (const session of sessions) for (let time = 0; time < 3; time++) await run(session, sql);
      const [transaction] = sessions.slice(1);
      assert(transaction !== undefined);
      await maker.sequence(
        'CREATE TABLE t (a, n); CREATE INDEX i ON t (n); CREATE TABLE u (t REFERENCES t)',
        null,
      );
      reading.apply(Buffer.concat(volume.frames.slice(-3)), volume.durable);
      for (const session of sessions) expect((await rows(session, sql)).length).toBe(count);
      await maker.sequence('DROP TABLE u; DROP TABLE t', null);
      reading.apply(Buffer.concat(volume.frames), volume.durable);
      await run(transaction, 'BEGIN TRANSACTION READONLY');
      expect(await rows(transaction, sql)).toEqual([]);
    },
  );

  test('leave no row behind that they refuse, also when foreign keys were deferred as they were prepared', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    await run(session, 'CREATE TABLE parent (id INTEGER PRIMARY KEY)');
    await run(session, 'CREATE TABLE child (id INTEGER PRIMARY KEY, p REFERENCES parent)');
    await run(session, 'PRAGMA defer_foreign_keys = ON');
    expect(await code(session, 'INSERT INTO child (p) VALUES (9)')).toBe('SQLITE_CONSTRAINT');
    await run(session, 'BEGIN IMMEDIATE');
    expect(await code(session, 'INSERT INTO child (p) VALUES (9)')).toBe('SQLITE_CONSTRAINT');
    expect(await rows(session, 'SELECT * FROM child')).toEqual([]);
    await run(session, 'COMMIT');
  });

  test('are described as they are now, however often they ran before the schema changed', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    await run(session, 'CREATE TABLE t (a)');
    await run(session, 'SELECT * FROM t');
    await run(session, 'DROP TABLE t');
    await run(session, 'CREATE TABLE t (b, c)');
    expect((await session.describe('SELECT * FROM t', null)).outcome).toMatchObject({
      value: { columns: [{ name: 'b' }, { name: 'c' }] },
    });
    const held = engine.openSession();
    await run(held, 'CREATE TEMP TABLE own (a)');
    await run(session, 'DROP TABLE t');
    expect((await held.describe('SELECT * FROM t', null)).outcome).toMatchObject({
      error: { message: expect.stringContaining('no such table') },
    });
    await run(session, 'CREATE TABLE t (b, c)');
    expect((await session.describe('CREATE TABLE t (b, c)', null)).outcome).toMatchObject({
      error: { message: expect.stringContaining('already exists') },
    });
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
    await describe('PRAGMA foreign_keys=off');
    expect(await rows(session, 'PRAGMA foreign_keys')).toEqual([[1n]]);
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
    // As SQLite has it after an EXPLAIN of what would count, and not after another one.
    await run(b, 'EXPLAIN QUERY PLAN SELECT * FROM t');
    expect(await rows(b, counters)).toEqual([[1n, 1n, 100n]]);
    await run(b, '/* how */ EXPLAIN QUERY PLAN WITH w AS (SELECT 1) DELETE FROM t');
    expect(await rows(b, counters)).toEqual([[0n, 1n, 100n]]);
    await run(a, 'EXPLAIN CREATE TABLE u (a)');
    expect(await rows(a, counters)).toEqual([[3n, 3n, 3n]]);
    expect((await run(a, 'INSERT INTO t (n) VALUES (last_insert_rowid()) RETURNING n')).rows).toEqual([[3n]]);
  });

  test('settings, temporary tables and attached memory belong to one session', async () => {
    const { engine } = await writer();
    const [a, b] = [engine.openSession(), engine.openSession()];
    await run(a, 'CREATE TABLE p (id INTEGER PRIMARY KEY)');
    await run(a, 'CREATE TABLE c (p REFERENCES p)');
    await run(b, 'PRAGMA foreign_keys=off');
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
    expect(volume.endings).toEqual([Number(after)]);
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

  test('give many rows as text where they may, which says what the values say', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    const many =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 4000) SELECT i, 'é' || i, i * 0.5, x'00ff', NULL FROM n";
    const one = "SELECT printf('%.*c', 2000000, 'x'), zeroblob(1000000)";
    for (const sql of [many, one, 'SELECT 1, 2']) {
      const values = await run(session, sql);
      const { outcome } = await session.execute({ ...statement(sql), textRows: true }, null);
      assert(outcome.ok);
      const { rowsText } = outcome.value;
      if (sql === 'SELECT 1, 2') expect(outcome.value).toEqual(values);
      else {
        assert(rowsText !== undefined);
        expect(outcome.value).toMatchObject({ columns: values.columns, rows: [] });
        expect(Buffer.concat(rowsText.parts).equals(Buffer.from(values.rows.map(encodeRow).join(',')))).toBe(
          true,
        );
      }
    }
  });

  test('that give rows as text are bounded by what the text takes', async () => {
    const { engine } = await writer(limited({ resultBytes: 400_000 }));
    const session = engine.openSession();
    const ask = (rows: number) => ({
      ...statement(
        `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ${rows}) SELECT i FROM n`,
      ),
      textRows: true,
    });
    expect((await session.execute(ask(10_000), null)).outcome).toMatchObject({ ok: true });
    expect((await session.execute(ask(20_000), null)).outcome).toMatchObject({
      error: { code: 'RESPONSE_TOO_LARGE', message: expect.stringContaining('resultBytes = 400000') },
    });
  });

  test('PRAGMA sextant_read sets and tells the session’s consistency', async () => {
    const { engine } = await writer();
    const session = engine.openSession();
    expect((await execute(session, "PRAGMA sextant_read='eventual'")).state?.readPreference).toBe('eventual');
    expect(await rows(session, 'PRAGMA sextant_read')).toEqual([['eventual']]);
    expect(await rows(engine.openSession(), 'PRAGMA sextant_read')).toEqual([['session']]);
    expect(await code(session, "PRAGMA sextant_read='perhaps'")).toBe('SQLITE_ERROR');
  });
});
