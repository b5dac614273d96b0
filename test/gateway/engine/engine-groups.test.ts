import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { EngineLimits } from '../../../gateway/engine/core/engine-limits.ts';
import { handOverAt } from '../../../gateway/engine/core/engine-limits.ts';
import type { EngineAnswer } from '../../../gateway/engine/core/engine-protocol.ts';
import type { EngineSession } from '../../../gateway/engine/engine-stream.ts';
import type { SqlResult, SqlValue } from '../../../gateway/sql/sql.ts';
import { defaultGeometry } from '../../../storage/core.ts';
import { lsn } from '../../../storage/redo/ids.ts';
import { decodeRecords } from '../../../storage/redo/record.ts';
import {
  closeEngines,
  execute,
  openWriter,
  rows,
  run,
  runsIn,
  statement,
  type TestEngine,
} from './engine-volume.ts';

/** A writer with a table of `count` rows (id, n = 0), and what committed after that. Groups do not end by time unless told. */
async function withRows(count: number, limits: Partial<EngineLimits> = {}) {
  const test = await openWriter({ limits: { groupMs: 60_000, ...limits } });
  const session = test.engine.openSession();
  await run(session, 'CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0)');
  await run(
    session,
    'WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) INSERT INTO t (id) SELECT i FROM c',
    BigInt(count),
  );
  const before = test.volume.commits.length;
  return { ...test, session, since: () => test.volume.commits.slice(before) };
}

/** What is sent in one turn arrives in one message: each SQL text on a session of its own. */
function together(test: TestEngine, ...sqls: string[]): Promise<EngineAnswer<SqlResult>[]> {
  return Promise.all(sqls.map((sql) => execute(test.engine.openSession(), sql)));
}

const update = (id: number): string => `UPDATE t SET n = n + 1 WHERE id = ${id}`;
const codes = (answers: readonly EngineAnswer<SqlResult>[]): (string | null)[] =>
  answers.map(({ outcome }) => (outcome.ok ? null : outcome.error.code));
const valuesOf = ({ outcome }: EngineAnswer<SqlResult>): readonly (readonly SqlValue[])[] =>
  outcome.ok ? outcome.value.rows : [];

afterEach(closeEngines);

describe('statements that arrive together', () => {
  test('share a mini-transaction and have a commit each, with LSNs and times that ascend', async () => {
    const opened = await withRows(3);
    const answers = await together(opened, update(1), update(2), update(3));
    const [redo, ...rest] = opened.since();
    assert(redo !== undefined);
    expect(rest).toEqual([]);
    expect(redo.mtr.commits).toBe(3);
    const [first, ...others] = runsIn(redo.mtr);
    assert(first !== undefined && others.length === 0);
    const decoded = decodeRecords(first.bytes, lsn(redo.lsn - redo.mtr.byteLength));
    assert(decoded.kind === 'records');
    const logged = decoded.records.filter((record) => record.kind === 'commit');
    expect(logged.map((record) => record.lsn)).toEqual(redo.commits.map((commit) => commit.lsn));
    expect(decoded.records.slice(-3)).toEqual(logged);
    expect(redo.commits.at(-1)?.lsn).toBe(redo.lsn);
    const times = redo.commits.map((commit) => commit.commitTimeUs);
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
    for (const [index, answer] of answers.entries()) {
      expect(answer).toMatchObject({ wrote: true, autocommit: true, aborted: false, seenLsn: redo.lsn });
      expect(answer.commits.map((commit) => commit.lsn)).toEqual([redo.commits[index]?.lsn]);
      expect(answer.outcome).toMatchObject({ ok: true, value: { affectedRowCount: 1 } });
    }
  });

  test('keep their own traces', async () => {
    const opened = await withRows(3);
    const traces = ['ab', 'cd', 'ef'].map((byte) => ({ traceId: byte.repeat(16), flags: 1 }));
    const answers = await Promise.all(
      traces.map((trace, index) =>
        opened.engine.openSession().execute(statement(update(index + 1)), index === 1 ? null : trace),
      ),
    );
    const [redo] = opened.since();
    expect(redo?.commits.map((commit) => commit.trace)).toEqual([traces[0], null, traces[2]]);
    expect(answers.map((answer) => answer.commits[0]?.lsn)).toEqual(
      redo?.commits.map((commit) => commit.lsn),
    );
    const spans = redo?.commits.map((commit) => commit.spanId) ?? [];
    expect(spans[1]).toBeNull();
    expect(new Set(spans).size).toBe(3);
  });

  test('see what came before them, reads too', async () => {
    const opened = await withRows(1);
    const answers = await together(
      opened,
      update(1),
      'SELECT n FROM t WHERE id = 1',
      'UPDATE t SET n = n * 10 WHERE id = 1 RETURNING n',
      'SELECT n FROM t WHERE id = 1',
    );
    expect(answers.map(valuesOf)).toEqual([[], [[1n]], [[10n]], [[10n]]]);
    expect(answers.map((answer) => answer.commits.length)).toEqual([1, 0, 1, 0]);
    expect(opened.since().map((redo) => redo.mtr.commits)).toEqual([2]);
  });

  test('that change nothing have no commit', async () => {
    const opened = await withRows(1);
    const answers = await together(opened, update(7), update(1), update(8));
    expect(answers.map((answer) => answer.wrote)).toEqual([false, true, false]);
    expect(opened.since().map((redo) => redo.mtr.commits)).toEqual([1]);
    const none = await together(opened, update(7), update(8));
    expect(none.map((answer) => answer.wrote)).toEqual([false, false]);
    expect(opened.since()).toHaveLength(1);
  });

  test('fail by themselves', async () => {
    const opened = await withRows(2);
    const answers = await together(
      opened,
      update(1),
      'INSERT INTO t (id) VALUES (9), (2), (10)',
      'INSERT INTO nowhere VALUES (1)',
      update(2),
    );
    expect(codes(answers)).toEqual([null, 'SQLITE_CONSTRAINT', 'SQLITE_ERROR', null]);
    expect(await rows(opened.session, 'SELECT id, n FROM t')).toEqual([
      [1n, 1n],
      [2n, 1n],
    ]);
  });

  test('keep what a failed one keeps under OR FAIL, as its own commit', async () => {
    const opened = await withRows(2);
    const answers = await together(
      opened,
      update(1),
      'INSERT OR FAIL INTO t (id) VALUES (9), (2)',
      update(2),
    );
    expect(codes(answers)).toEqual([null, 'SQLITE_CONSTRAINT', null]);
    expect(answers.map((answer) => answer.wrote)).toEqual([true, true, true]);
    expect(await rows(opened.session, 'SELECT id FROM t')).toEqual([[1n], [2n], [9n]]);
  });

  test('run again when one of them rolls the transaction back', async () => {
    const opened = await withRows(3);
    const answers = await together(
      opened,
      update(1),
      'INSERT INTO t (id) VALUES (4)',
      'INSERT OR ROLLBACK INTO t (id) VALUES (2)',
      update(3),
    );
    expect(codes(answers)).toEqual([null, null, 'SQLITE_CONSTRAINT', null]);
    expect(answers.map((answer) => answer.wrote)).toEqual([true, true, false, true]);
    expect(await rows(opened.session, 'SELECT id, n FROM t')).toEqual([
      [1n, 1n],
      [2n, 0n],
      [3n, 1n],
      [4n, 0n],
    ]);
  });

  test('run again, each by itself, when together they are too large', async () => {
    const opened = await withRows(0, { transactionPageBytes: 8 * 4096 });
    await run(opened.session, 'CREATE TABLE big (id INTEGER PRIMARY KEY, body TEXT)');
    const insert = (id: number): string => `INSERT INTO big VALUES (${id}, '${'x'.repeat(20_000)}')`;
    const answers = await together(opened, insert(1), insert(2), insert(3));
    expect(codes(answers)).toEqual([null, null, null]);
    expect(await rows(opened.session, 'SELECT id, length(body) FROM big')).toEqual([
      [1n, 20_000n],
      [2n, 20_000n],
      [3n, 20_000n],
    ]);
    const tooLarge = `INSERT INTO big VALUES (4, '${'x'.repeat(40_000)}')`;
    expect(codes(await together(opened, insert(5), tooLarge, insert(6)))).toEqual([
      null,
      'SEXTANT_TRANSACTION_TOO_LARGE',
      null,
    ]);
    expect(await rows(opened.session, 'SELECT id FROM big')).toEqual([[1n], [2n], [3n], [5n], [6n]]);
  });

  describe('G114: beside one that changes much', () => {
    const limits = { groupBytes: 600_000, connectionCacheBytes: 100_000 };
    const large = (id: number): string =>
      `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000) INSERT INTO big SELECT ${id}, randomblob(1000) FROM c`;
    const withBig = async () => {
      const opened = await withRows(3, limits);
      await run(opened.session, 'CREATE TABLE big (id, body)');
      return opened;
    };

    test('share their commit with others, and not with that', async () => {
      const opened = await withBig();
      const before = opened.since().length;
      const answers = await together(opened, update(1), update(2), large(1), update(3));
      expect(codes(answers)).toEqual([null, null, null, null]);
      const commits = opened.since().slice(before);
      const sizes = commits.map(({ mtr }) => [mtr.commits, mtr.byteLength > 1_000_000]);
      expect(sizes).toEqual([
        [1, false],
        [1, false],
        [1, true],
        [1, false],
      ]);
      // In the order in which they came: what was small is durable before the large one.
      expect(answers.map(({ commits: [own] }) => own?.lsn)).toEqual(commits.map((commit) => commit.lsn));
      expect(await rows(opened.session, 'SELECT count(*) FROM big')).toEqual([[2_000n]]);
      expect(await rows(opened.session, 'SELECT n FROM t')).toEqual([[1n], [1n], [1n]]);
    });

    test('are not joined with it when it comes first', async () => {
      const opened = await withBig();
      const before = opened.since().length;
      await together(opened, large(1), update(1), update(2));
      expect(
        opened
          .since()
          .slice(before)
          .map(({ mtr }) => mtr.commits),
      ).toEqual([1, 2]);
    });

    test('are one group when each is small, however much all of them change, and then another one', async () => {
      const opened = await withBig();
      const before = opened.since().length;
      const insert = 'INSERT INTO big VALUES (1, zeroblob(200000))';
      await together(opened, ...Array.from({ length: 6 }, () => insert));
      const members = opened
        .since()
        .slice(before)
        .map(({ mtr }) => mtr.commits);
      expect(members.length).toBeLessThanOrEqual(3);
      expect(members.reduce((sum, count) => sum + count, 0)).toBe(6);
    });

    test('do not wait for one large value', async () => {
      const opened = await withBig();
      const before = opened.since().length;
      const answers = await together(opened, update(1), 'INSERT INTO big VALUES (1, zeroblob(1000000))');
      expect(codes(answers)).toEqual([null, null]);
      expect(
        opened
          .since()
          .slice(before)
          .map(({ mtr }) => mtr.commits),
      ).toEqual([1, 1]);
    });
  });

  test('are answered before a statement that is in no group keeps the thread', async () => {
    const opened = await withRows(3);
    const order: string[] = [];
    const noted = (name: string, sql: string): Promise<unknown> =>
      execute(opened.engine.openSession(), sql).then(() => order.push(name));
    const slow =
      'CREATE TABLE late AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000000) SELECT count(*) FROM c';
    let answeredAtMs = 0;
    const startMs = performance.now();
    const first = noted('small', update(1)).then(() => {
      answeredAtMs = performance.now() - startMs;
    });
    await Promise.all([first, noted('small', update(2)), noted('slow', slow)]);
    expect(order).toEqual(['small', 'small', 'slow']);
    expect(answeredAtMs).toBeLessThan((performance.now() - startMs) / 2);
  });

  test('count for their own sessions, also when they had to run again', async () => {
    const opened = await withRows(3);
    const sessions = [1, 2, 3].map(() => opened.engine.openSession());
    const counted = async (session: EngineSession) =>
      (await rows(session, 'SELECT changes(), total_changes(), last_insert_rowid()'))[0];
    const round = (...sqls: string[]) =>
      Promise.all(sessions.map((session, index) => execute(session, sqls[index] ?? 'SELECT 1')));
    await round('INSERT INTO t (id) VALUES (10)', 'UPDATE t SET n = 1 WHERE id < 3', 'SELECT 1');
    expect(await Promise.all(sessions.map(counted))).toEqual([
      [1n, 1n, 10n],
      [2n, 2n, 0n],
      [0n, 0n, 0n],
    ]);
    await round(
      'INSERT INTO t (id) VALUES (11)',
      'DELETE FROM t WHERE id < 3',
      'INSERT OR ROLLBACK INTO t (id) VALUES (3)',
    );
    expect(await Promise.all(sessions.map(counted))).toEqual([
      [1n, 2n, 11n],
      [2n, 4n, 0n],
      [0n, 0n, 0n],
    ]);
  });

  test('of one session keep their order', async () => {
    const opened = await withRows(1);
    const session = opened.engine.openSession();
    const other = opened.engine.openSession();
    const answers = await Promise.all([
      execute(session, update(1)),
      execute(other, update(1)),
      execute(session, 'SELECT n FROM t'),
      execute(session, update(1)),
      execute(session, 'SELECT n FROM t'),
    ]);
    expect(answers.map(valuesOf)).toEqual([[], [], [[2n]], [], [[3n]]]);
  });

  test('end their group where something else runs', async () => {
    const opened = await withRows(3);
    const transaction = opened.engine.openSession();
    const answers = await Promise.all([
      execute(opened.engine.openSession(), update(1)),
      execute(opened.engine.openSession(), update(2)),
      execute(transaction, 'BEGIN IMMEDIATE'),
      execute(opened.engine.openSession(), update(3)),
      execute(transaction, 'UPDATE t SET n = n + 10'),
      execute(transaction, 'COMMIT'),
      execute(opened.engine.openSession(), 'CREATE TABLE u (a)'),
      execute(opened.engine.openSession(), 'PRAGMA user_version = 7'),
    ]);
    expect(codes(answers)).toEqual(answers.map(() => null));
    expect(await rows(opened.session, 'SELECT n FROM t')).toEqual([[11n], [11n], [11n]]);
    expect(await rows(opened.session, 'PRAGMA user_version')).toEqual([[7n]]);
    expect(opened.since()[0]?.mtr.commits).toBe(2);
  });

  test('wait for a transaction that holds the writer', async () => {
    const opened = await withRows(2);
    await run(opened.session, 'BEGIN IMMEDIATE');
    await run(opened.session, update(1));
    const waiting = together(opened, update(1), update(2), update(1));
    await run(opened.session, 'COMMIT');
    expect(codes(await waiting)).toEqual([null, null, null]);
    expect(await rows(opened.session, 'SELECT n FROM t')).toEqual([[3n], [1n]]);
  });

  test('may all be run again when the engine is opened anew beneath them', async () => {
    const opened = await withRows(2);
    const { volume } = opened;
    const answers = together(opened, update(1), update(2), update(1));
    await opened.engine.open({ kind: 'writer', lsn: volume.end, pgBytes: defaultGeometry.pgBytes });
    for (const answer of await answers) {
      if (answer.outcome.ok) expect(volume.commits.some(({ lsn: end }) => end >= answer.seenLsn)).toBe(true);
      else expect(answer).toMatchObject({ aborted: true, wrote: false });
    }
    expect(codes(await together(opened, update(1), update(2)))).toEqual([null, null]);
  });

  test('end their group when its time is over', async () => {
    const opened = await withRows(1, { groupMs: 1 });
    const slow =
      'WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000) SELECT count(*) FROM c';
    await together(opened, update(1), slow, update(1), update(1));
    expect(opened.since().length).toBeGreaterThan(1);
    expect(await rows(opened.session, 'SELECT n FROM t')).toEqual([[3n]]);
  });

  test('are no more than groupStatements', async () => {
    const opened = await withRows(1, { groupStatements: 4 });
    await together(opened, ...Array.from({ length: 10 }, () => update(1)));
    expect(opened.since().map((redo) => redo.mtr.commits)).toEqual([4, 4, 2]);
    expect(await rows(opened.session, 'SELECT n FROM t')).toEqual([[10n]]);
  });

  test('of a crowd are handed to the engine before the turn has ended', async () => {
    const opened = await withRows(1);
    const handOver = vi.spyOn(Worker.prototype, 'postMessage');
    const crowd = (count: number): string[] => Array.from({ length: count }, () => update(1));
    const first = together(opened, ...crowd(handOverAt - 1));
    expect(handOver).toHaveBeenCalledTimes(0);
    const rest = together(opened, ...crowd(3));
    expect(handOver).toHaveBeenCalledTimes(1);
    await Promise.all([first, rest]);
    expect(handOver).toHaveBeenCalledTimes(2);
    handOver.mockRestore();
    expect(opened.since().map((redo) => redo.mtr.commits)).toEqual([handOverAt, 2]);
    expect(await rows(opened.session, 'SELECT n FROM t')).toEqual([[BigInt(handOverAt + 2)]]);
  });
});

test('whatever arrives together leaves what stock SQLite leaves that runs it in that order', async () => {
  const key = fc.integer({ min: 1, max: 6 });
  const sql = fc.oneof(
    { weight: 4, arbitrary: key.map(update) },
    { weight: 2, arbitrary: key.map((id) => `INSERT INTO t (id, n) VALUES (${id}, 100)`) },
    { weight: 1, arbitrary: key.map((id) => `INSERT INTO t (id, n) VALUES (${id + 6}, 1), (${id}, 2)`) },
    {
      weight: 1,
      arbitrary: key.map((id) => `INSERT OR FAIL INTO t (id, n) VALUES (${id + 6}, 1), (${id}, 2)`),
    },
    { weight: 2, arbitrary: key.map((id) => `DELETE FROM t WHERE id = ${id}`) },
    { weight: 1, arbitrary: key.map((id) => `REPLACE INTO t (id, n) VALUES (${id}, 7)`) },
    { weight: 1, arbitrary: key.map((id) => `SELECT n FROM t WHERE id <= ${id} ORDER BY id`) },
    { weight: 1, arbitrary: key.map((id) => `UPDATE t SET n = n * 2 WHERE id > ${id} RETURNING id`) },
  );
  const opened = await withRows(3);
  await fc.assert(
    fc.asyncProperty(fc.array(sql, { minLength: 2, maxLength: 12 }), async (sqls) => {
      const stock = new DatabaseSync(':memory:');
      stock.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0)');
      for (const [id, n] of await rows(opened.session, 'SELECT id, n FROM t'))
        stock.prepare('INSERT INTO t VALUES (?, ?)').run(Number(id), Number(n));
      const expected = sqls.map((text) => {
        const prepared = stock.prepare(text);
        prepared.setReadBigInts(true);
        prepared.setReturnArrays(true);
        try {
          return prepared.all();
        } catch {
          return 'failed';
        }
      });
      const answers = await together(opened, ...sqls);
      expect(answers.map((answer) => (answer.outcome.ok ? answer.outcome.value.rows : 'failed'))).toEqual(
        expected,
      );
      const all = stock.prepare('SELECT id, n FROM t ORDER BY id');
      all.setReadBigInts(true);
      all.setReturnArrays(true);
      expect(await rows(opened.session, 'SELECT id, n FROM t ORDER BY id')).toEqual(all.all());
      stock.close();
    }),
    { numRuns: 60 },
  );
});
