import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { defaultGeometry, postgresMagic } from '../../../storage/core.ts';
import { concatBytes } from '../../../storage/redo/bytes.ts';
import { pageNo, zeroLsn } from '../../../storage/redo/ids.ts';
import {
  always,
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

/** A reader, and how many pages each of its requests to storage asked for. */
async function countedReader(volume: MemoryVolume, pageCacheBytes = 64 * 1024 * 1024) {
  const asked: number[] = [];
  const { engine } = await reader(volume, {
    pageCacheBytes,
    readPages: async (pages, readPoint) => {
      asked.push(pages.length);
      return pages.map((page) => volume.page(page, readPoint));
    },
  });
  return { engine, asked };
}

describe('pages of the writer shown to other engines', () => {
  test('are those of storage, or not shown: at every read point of a random workload', async () => {
    const volume = new MemoryVolume();
    const { engine } = await writer({}, volume);
    const session = engine.openSession();
    await run(session, 'CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)');
    let shown = 0;
    for (let at = 1; at <= 60; at++) {
      await run(session, 'INSERT INTO t VALUES (?, ?)', BigInt(at), 'x'.repeat((at * 97) % 900));
      const before = volume.durable;
      await run(session, 'UPDATE t SET text = ? WHERE n = ?', `${at}`, BigInt(1 + ((at * 31) % at)));
      for (const readPoint of [before, volume.durable])
        for (let page = 1; page <= 12; page++) {
          const bytes = await engine.peek(pageNo(page), readPoint, 1_000);
          if (bytes === undefined) continue;
          shown += 1;
          expect(bytes).toEqual(volume.page(pageNo(page), readPoint));
        }
    }
    expect(shown).toBeGreaterThan(200);
  });

  test('are not waited for while the thread is busy', async () => {
    const { engine } = await writer();
    const slow = engine.openSession();
    const answer = execute(
      slow,
      'WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i FROM c LIMIT 1 OFFSET 3000000',
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await engine.peek(pageNo(1), zeroLsn, 5)).toBe(undefined);
    await answer;
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
    const { engine, volume } = await writer({}, new MemoryVolume(), true, {
      ...defaultGeometry,
      pgBytes: 1024 * 1024,
    });
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
    await run(held, 'BEGIN READONLY');
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
    const refused = { ok: false, error: { code: 'SEXTANT_READ_ONLY' } };
    const batch = await session.batch(
      always('SELECT 1', 'PRAGMA foreign_keys=off', 'INSERT INTO t VALUES (1)'),
      null,
    );
    expect(batch).toMatchObject({ outcome: refused, state: null, autocommit: true });
    expect(await rows(session, 'PRAGMA foreign_keys')).toEqual([[1n]]);
    for (const script of [
      'SELECT 1; BEGIN READONLY; SELECT * FROM t; CREATE TEMP TABLE x (a)',
      "SELECT 1; ATTACH ':memory:' AS side",
      'SELECT 1; SAVEPOINT s',
      'BEGIN',
    ]) {
      const answer = await session.sequence(script, null);
      expect([script, answer]).toMatchObject([
        script,
        { outcome: refused, state: null, autocommit: true, holds: false },
      ]);
    }
    expect(await rows(session, 'EXPLAIN INSERT INTO t VALUES (1)')).not.toEqual([]);
    const transaction = await session.batch(
      always('BEGIN TRANSACTION READONLY', 'SELECT count(*) FROM t'),
      null,
    );
    expect(transaction.autocommit).toBe(false);
    await run(session, 'SAVEPOINT s');
    for (const sql of ['INSERT INTO t VALUES (1)', 'CREATE TEMP TABLE x (a)', "ATTACH ':memory:' AS m"])
      expect([sql, await code(session, sql)]).toEqual([sql, 'SQLITE_READONLY']);
    expect((await execute(session, 'COMMIT')).autocommit).toBe(true);
  });

  test('asks storage once for a page and those that are read ahead with it (G60)', async () => {
    const volume = new MemoryVolume();
    const { engine } = await writer({}, volume);
    await run(engine.openSession(), 'CREATE TABLE t (a)');
    await run(
      engine.openSession(),
      'INSERT INTO t WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 400) SELECT randomblob(1000) FROM c',
    );
    const { engine: follower, asked } = await countedReader(volume);
    expect(await rows(follower.openSession(), 'SELECT sum(length(a)) FROM t')).toEqual([[400_000n]]);
    const pages = asked.reduce((sum, count) => sum + count, 0);
    expect(pages).toBeGreaterThan(100);
    expect(Math.max(...asked)).toBe(16);
    expect(asked.length).toBeLessThan(pages / 6);
  });

  test.each([
    ['brings the pages behind those that are read at random, while its cache has room', 64 * 1024 * 1024, 16],
    ['asks for single pages once its cache is half full', 16 * 1024, 2],
  ])('a cold engine %s (G60)', async (_, pageCacheBytes, most) => {
    const volume = new MemoryVolume();
    const { engine } = await writer({}, volume);
    await run(engine.openSession(), 'CREATE TABLE t (id INTEGER PRIMARY KEY, a)');
    await run(
      engine.openSession(),
      'INSERT INTO t (a) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 400) SELECT randomblob(1000) FROM c',
    );
    const { engine: follower, asked } = await countedReader(volume, pageCacheBytes);
    const session = follower.openSession();
    for (let id = 1, left = 100; left > 0; id = (id * 7 + 3) % 401, left--)
      await rows(session, 'SELECT length(a) FROM t WHERE id = ?', BigInt(id));
    const warm = asked.slice(10);
    expect(Math.max(0, ...warm)).toBeLessThanOrEqual(most);
    if (most === 16) expect(asked.length).toBeLessThan(30);
    else expect(asked.length).toBeGreaterThan(60);
  });

  test('a volume in which PostgreSQL keeps its files is refused, whatever is asked (G85)', async () => {
    const volume = new MemoryVolume();
    const { engine } = await writer({}, volume);
    await run(engine.openSession(), 'CREATE TABLE t (a)');
    const page1 = volume.page(pageNo(1), volume.durable)?.slice() ?? new Uint8Array(0);
    page1.set(postgresMagic);
    const other = {
      readPages: async (pages: readonly number[]) => pages.map((page) => (page === 1 ? page1 : null)),
    };
    const { engine: follower } = await reader(volume, other);
    const answer = await execute(follower.openSession(), 'SELECT * FROM t');
    expect(answer.outcome).toMatchObject({
      ok: false,
      error: {
        code: 'SEXTANT_VOLUME_UNREADABLE',
        message: expect.stringMatching(/An SQLite database was expected .* holds a PostgreSQL database/),
      },
    });
  });

  test('tells a page that storage does not give, and goes on when it does', async () => {
    const volume = new MemoryVolume();
    const { engine } = await writer({}, volume);
    await run(engine.openSession(), 'CREATE TABLE t (a)');
    await run(engine.openSession(), 'INSERT INTO t VALUES (7)');
    let broken: 'reject' | 'silent' | 'no' = 'no';
    const { engine: follower } = await reader(volume, {
      pageReadMs: 500,
      readPages: async (pages, readPoint) => {
        if (broken === 'reject') throw new Error('no node answers');
        if (broken === 'silent') await new Promise(() => undefined);
        return pages.map((page) => volume.page(page, readPoint));
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
    await run(session, 'BEGIN TRANSACTION READONLY');
    broken = 'reject';
    expect(await code(session, 'SELECT * FROM t')).toBe('SEXTANT_STORAGE_UNAVAILABLE');
    broken = 'no';
    expect(await code(session, 'SELECT * FROM t')).toBe('SEXTANT_TRANSACTION_ABORTED');
    await run(session, 'ROLLBACK');
    expect(await rows(session, 'SELECT * FROM t')).toEqual([[7n]]);
  });
});
