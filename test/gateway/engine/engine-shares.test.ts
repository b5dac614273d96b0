/** One stream must not take what the others need: connections, the writer, memory. */
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, test } from 'vitest';
import { defaultEngineLimits } from '../../../gateway/engine/core/engine-limits.ts';
import type { EngineAnswer } from '../../../gateway/engine/core/engine-protocol.ts';
import { PageStore } from '../../../gateway/engine/core/page-store.ts';
import { ScratchSpace } from '../../../gateway/engine/scratch/scratch-space.ts';
import { SqliteRuntime } from '../../../gateway/engine/sqlite/sqlite-runtime.ts';
import { VolumeVfs } from '../../../gateway/engine/sqlite/sqlite-vfs.ts';
import { SqliteWasm } from '../../../gateway/engine/sqlite/sqlite-wasm.ts';
import { sqliteCode } from '../../../gateway/engine/sqlite-code.ts';
import { Sessions } from '../../../gateway/engine/thread/engine-sessions.ts';
import type { AnyOperationValue } from '../../../gateway/sql/operation.ts';
import { freshStream } from '../../../gateway/sql/stream-state.ts';
import { zeroLsn } from '../../../storage/redo/ids.ts';
import { closeEngines, code, execute, limited, openWriter, rows, run, statement } from './engine-volume.ts';

afterEach(closeEngines);

describe('connections', () => {
  test('are kept for statements outside transactions, whoever holds the others', async () => {
    const { engine } = await openWriter(limited({ connections: 5, heldConnections: 3, idleConnections: 2 }));
    await run(engine.openSession(), 'CREATE TABLE t (a)');
    const [transaction, temporary, reading] = [
      engine.openSession(),
      engine.openSession(),
      engine.openSession(),
    ];
    await run(transaction, 'BEGIN');
    await run(transaction, 'SELECT * FROM t');
    await run(temporary, 'CREATE TEMP TABLE mine (a)');
    await run(reading, 'BEGIN TRANSACTION READONLY');
    const newcomer = engine.openSession();
    for (const sql of ['BEGIN', 'SAVEPOINT s', 'CREATE TEMP TABLE x (a)', "ATTACH ':memory:' AS m"]) {
      const { outcome } = await execute(newcomer, sql);
      expect([sql, outcome]).toMatchObject([
        sql,
        { error: { code: 'TRANSACTION_BUSY', message: expect.stringContaining('heldConnections = 3') } },
      ]);
    }
    await Promise.all(
      Array.from({ length: 20 }, () => run(engine.openSession(), 'INSERT INTO t VALUES (1)')),
    );
    expect(await rows(newcomer, 'SELECT count(*) FROM t')).toEqual([[20n]]);
    await run(temporary, 'DROP TABLE mine');
    await run(newcomer, 'BEGIN');
  });

  test('of the stream that has been idle longest are given to a newcomer, and that stream is told', async () => {
    const { engine } = await openWriter(
      limited({ connections: 4, heldConnections: 2, idleConnections: 2, heldIdleMs: 1 }),
    );
    const [first, second, third] = [engine.openSession(), engine.openSession(), engine.openSession()];
    await run(first, 'CREATE TEMP TABLE mine (a)');
    await run(second, 'BEGIN');
    await new Promise((resolve) => setTimeout(resolve, 20));
    await run(second, 'SELECT 1');
    await run(third, 'BEGIN');
    const { outcome } = await execute(first, 'SELECT * FROM mine');
    expect(outcome).toMatchObject({
      error: { code: 'TRANSACTION_TIMEOUT', message: expect.stringContaining('heldIdleMs = 1') },
    });
    expect(await code(first, 'SELECT * FROM mine')).toBe('SQLITE_ERROR');
    expect((await execute(second, 'COMMIT')).outcome.ok).toBe(true);
  });
});

test('a write transaction that is kept alive is rolled back when it grows old and another write waits', async () => {
  const { engine } = await openWriter(limited({ writeAgeMs: 300, writeIdleMs: 10_000 }));
  const [busy, other] = [engine.openSession(), engine.openSession()];
  await run(busy, 'CREATE TABLE t (a)');
  await run(busy, 'BEGIN IMMEDIATE');
  await run(busy, 'INSERT INTO t VALUES (1)');
  const waiting = execute(other, 'INSERT INTO t VALUES (2)');
  let told = '';
  for (let round = 0; told === '' && round < 200; round++) {
    const { outcome } = await execute(busy, 'INSERT INTO t VALUES (1)');
    if (!outcome.ok) told = outcome.error.message;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(told).toContain('writeAgeMs = 300');
  expect((await waiting).outcome.ok).toBe(true);
  await run(busy, 'ROLLBACK');
  expect(await rows(busy, 'SELECT a FROM t')).toEqual([[2n]]);
});

test('a read in a transaction at the writer is stopped while others wait, and the transaction goes on', async () => {
  const wasm = await SqliteWasm.load(await sqliteCode());
  const store = new PageStore({ kind: 'writer', head: zeroLsn, cacheBytesMax: 1_000_000 });
  let isWaiting = true;
  const vfs = new VolumeVfs(wasm, {
    limits: defaultEngineLimits,
    scratch: new ScratchSpace(tmpdir, 0),
    store: () => store,
    fetch: () => null,
    hit: () => null,
    reserve: () => null,
    prepareCommit: () => null,
    finishCommit: () => store.head,
    pragma: () => null,
  });
  const limits = { ...defaultEngineLimits, writerReadMs: 20 };
  const runtime = new SqliteRuntime(wasm, vfs, limits, {
    deadline: Number.POSITIVE_INFINITY,
    stopReason: () => null,
    hasWaiting: () => isWaiting,
  });
  const answers: EngineAnswer<AnyOperationValue>[] = [];
  const sessions = new Sessions(
    {
      limits,
      store: () => store,
      isWriter: () => true,
      isAbandoned: () => false,
      isBlocked: () => false,
      answer: ({ answer }) => answers.push(answer),
      answered: () => undefined,
      begin: () => true,
      running: () => undefined,
    },
    runtime,
  );
  const post = (sql: string): EngineAnswer<AnyOperationValue> | undefined => {
    sessions.post(
      answers.length,
      1,
      null,
      freshStream,
      { kind: 'execute', statement: statement(sql) },
      false,
    );
    return answers.at(-1);
  };
  const counting = (rows: number): string =>
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ${rows}) SELECT count(*) FROM n`;
  post('BEGIN');
  const stopped = post(counting(1_000_000_000));
  expect(stopped).toMatchObject({
    outcome: { error: { code: 'SEXTANT_LIMIT', message: expect.stringContaining('writerReadMs = 20') } },
    autocommit: false,
  });
  expect(stopped?.outcome.ok === false && stopped.outcome.error.message).toContain('BEGIN READONLY');
  isWaiting = false;
  expect(post(counting(1_000_000))).toMatchObject({ outcome: { value: { rows: [[1_000_000n]] } } });
  expect(post('COMMIT')).toMatchObject({ outcome: { ok: true }, autocommit: true });
});

describe('memory', () => {
  const fill = (table: string, megabytes: number): string =>
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ${megabytes * 10}) INSERT INTO ${table} SELECT zeroblob(100000) FROM n`;
  const mebibyte = 1024 * 1024;

  test('of a stream’s temporary tables and attached databases is bounded, and of all streams together', async () => {
    const { engine } = await openWriter(limited({ streamTempBytes: 8 * mebibyte, tempBytes: 11 * mebibyte }));
    const [a, b] = [engine.openSession(), engine.openSession()];
    await run(a, 'CREATE TEMP TABLE big (x)');
    await run(a, fill('big', 5));
    await run(a, "ATTACH ':memory:' AS side");
    await run(a, 'CREATE TABLE side.big (x)');
    const { outcome } = await execute(a, fill('side.big', 5));
    expect(outcome).toMatchObject({
      error: { code: 'SQLITE_FULL', message: expect.stringContaining(`streamTempBytes = ${8 * mebibyte}`) },
    });
    expect(await code(a, 'PRAGMA temp.max_page_count = 1000000')).toBe('BLOCKED');
    expect(await rows(a, 'SELECT count(*) FROM temp.big')).toEqual([[50n]]);
    await run(b, 'CREATE TEMP TABLE big (x)');
    await run(b, fill('big', 5));
    expect(await code(b, fill('big', 2))).toBe('SQLITE_FULL');
    a.close();
    await run(b, fill('big', 2));
  });

  test('is named only where it is why there is no room', async () => {
    const { engine } = await openWriter(limited({ streamTempBytes: 8 * mebibyte }));
    const session = engine.openSession();
    const last = 9223372036854775807n;
    for (const schema of ['main', 'temp', 'side']) {
      if (schema === 'side') await run(session, "ATTACH ':memory:' AS side");
      await run(session, `CREATE TABLE ${schema}.at_end (id INTEGER PRIMARY KEY AUTOINCREMENT, v)`);
      await run(session, `INSERT INTO ${schema}.at_end (id) VALUES (?)`, last);
    }
    await run(session, 'CREATE VIRTUAL TABLE temp.words USING fts5 (text)');
    await run(session, 'CREATE TABLE plain (v)');
    const full = { error: { code: 'SQLITE_FULL', message: 'database or disk is full' } };
    for (const schema of ['main', 'temp', 'side']) {
      const { outcome } = await execute(session, `INSERT INTO ${schema}.at_end (v) VALUES ('more')`);
      expect([schema, outcome]).toMatchObject([schema, full]);
    }
    await run(session, 'PRAGMA max_page_count = 40');
    expect((await execute(session, fill('plain', 1))).outcome).toMatchObject(full);
    const named = { error: { code: 'SQLITE_FULL', message: expect.stringContaining('streamTempBytes') } };
    await run(session, 'CREATE TEMP TABLE big (x)');
    expect((await execute(session, fill('big', 9))).outcome).toMatchObject(named);
    // In many small rows, where nothing but pages takes memory; and when half of the room is taken.
    await run(session, fill('big', 4));
    const many =
      'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) INSERT INTO big SELECT i FROM n';
    expect((await execute(session, many)).outcome).toMatchObject(named);
  });

  test('of one statement is bounded, and the others go on', async () => {
    const { engine } = await openWriter(limited({ statementHeapBytes: 32 * mebibyte }));
    const session = engine.openSession();
    const sorted =
      'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT i, zeroblob(1000) AS b FROM n ORDER BY random()';
    const { outcome } = await execute(session, sorted);
    expect(outcome).toMatchObject({
      error: { code: 'SQLITE_NOMEM', message: expect.stringContaining('statementHeapBytes') },
    });
    expect(await rows(session, 'SELECT 1')).toEqual([[1n]]);
  });
});
