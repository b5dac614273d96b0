/** Losses brought back, by SQLite itself: what comes back, what is in conflict, and what a second replay finds. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSettled } from '../../../regions/replay/core/replay-summary.ts';
import { countsOf, lostHistory, reasonsOf } from './lost-history.ts';

const people = `
  CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT UNIQUE, age INT CHECK (age < 200));
  INSERT INTO people VALUES(1, 'Ada', 36), (2, 'Bob', 20), (3, 'Cyd', 30), (4, 'Dan', 40);
`;

describe('a replay', () => {
  test('brings back what nobody has touched since, and finds it there the next time (R94)', async () => {
    const lost = lostHistory(
      people,
      [
        "UPDATE people SET age = 37 WHERE id = 1; INSERT INTO people VALUES(9, 'it''s' || char(0), 5);",
        'DELETE FROM people WHERE id = 3;',
      ],
      'UPDATE people SET age = 21 WHERE id = 2;',
    );
    const first = await lost.run();
    expect(countsOf(first)).toEqual([3, 0, 0]);
    expect(isSettled(first)).toBe(true);
    expect(lost.rows('SELECT id, age FROM people')).toEqual([
      { id: 1, age: 37 },
      { id: 2, age: 21 },
      { id: 4, age: 40 },
      { id: 9, age: 5 },
    ]);
    const second = await lost.run();
    expect(countsOf(second)).toEqual([0, 3, 0]);
    expect(second.transactions).toBe(0);
  });

  test('leaves alone what somebody has written since, and says what it found (R88)', async () => {
    const lost = lostHistory(
      people,
      [
        "UPDATE people SET age = 37 WHERE id IN (1, 2); DELETE FROM people WHERE id = 3; INSERT INTO people VALUES(7, 'lost', 1), (8, 'Eve', 1);",
        'UPDATE people SET age = 41 WHERE id = 4;',
      ],
      "UPDATE people SET age = 50 WHERE id = 1; UPDATE people SET name = 'Bo' WHERE id = 2; UPDATE people SET age = 31 WHERE id = 3;" +
        "DELETE FROM people WHERE id = 4; INSERT INTO people VALUES(7, 'newer', 1), (10, 'Eve', 2);",
    );
    const result = await lost.run();
    expect(result.applied.map(({ key }) => key)).toEqual([['2']]);
    expect(reasonsOf(result).toSorted()).toEqual([
      'people: changed since',
      'people: changed since',
      'people: constraint',
      'people: deleted since',
      'people: key taken',
    ]);
    const taken = result.conflicts.find(({ reason }) => reason === 'key taken');
    expect(taken).toMatchObject({ row: { after: ['7', "'lost'", '1'] }, now: ['7', "'newer'", '1'] });
    expect(result.conflicts.find(({ reason }) => reason === 'constraint')?.detail).toContain('people.name');
    expect(lost.rows('SELECT * FROM people')).toEqual([
      { id: 1, name: 'Ada', age: 50 },
      { id: 2, name: 'Bo', age: 37 },
      { id: 3, name: 'Cyd', age: 31 },
      { id: 7, name: 'newer', age: 1 },
      { id: 10, name: 'Eve', age: 2 },
    ]);
    expect(isSettled(result)).toBe(false);
    expect(countsOf(await lost.run())).toEqual([0, 1, 5]);
  });

  test('that is a dry run says the same and changes nothing', async () => {
    const lost = lostHistory(
      people,
      ["UPDATE people SET age = 37; INSERT INTO people VALUES(8, 'Eve', 1)"],
      'UPDATE people SET age = 50 WHERE id = 1',
    );
    const before = lost.rows('SELECT * FROM people');
    const dry = await lost.run({ dryRun: true });
    expect(lost.rows('SELECT * FROM people')).toEqual(before);
    expect(lost.gateway.ran).not.toContain('COMMIT');
    const real = await lost.run();
    expect([countsOf(dry), reasonsOf(dry)]).toEqual([countsOf(real), reasonsOf(real)]);
  });

  test('takes no row of others away where a table says REPLACE on conflict', async () => {
    const lost = lostHistory(
      'CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT REPLACE); INSERT INTO t VALUES(1, 10)',
      ['UPDATE t SET u = 20; INSERT INTO t VALUES(2, 30)'],
      'INSERT INTO t VALUES(5, 20), (6, 30)',
    );
    expect(reasonsOf(await lost.run())).toEqual(['t: constraint', 't: constraint']);
    expect(lost.rows('SELECT id, u FROM t')).toEqual([
      { id: 1, u: 10 },
      { id: 5, u: 20 },
      { id: 6, u: 30 },
    ]);
  });

  test('keeps what changed places under one primary key a change, also where a rowid tells rows apart', async () => {
    const lost = lostHistory(
      "CREATE TABLE w(word TEXT PRIMARY KEY, seen); INSERT INTO w VALUES('one', 1), ('two', 2), (NULL, 3), (NULL, 3)",
      [
        "INSERT OR REPLACE INTO w VALUES('one', 5); UPDATE w SET word = 'deux' WHERE word = 'two'; UPDATE w SET seen = 4 WHERE rowid = 3",
      ],
    );
    expect(countsOf(await lost.run())).toEqual([4, 0, 0]);
    expect(lost.rows('SELECT word, seen FROM w ORDER BY seen')).toEqual([
      { word: 'deux', seen: 2 },
      { word: null, seen: 3 },
      { word: null, seen: 4 },
      { word: 'one', seen: 5 },
    ]);
    expect(countsOf(await lost.run())).toEqual([0, 4, 0]);
  });

  test('in small transactions ends as in one', async () => {
    const many = (from: number) =>
      `WITH RECURSIVE n(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i < ${from + 99}) INSERT INTO people SELECT i, 'n' || i, 1 FROM n;`;
    const lost = lostHistory(people, [many(100), 'DELETE FROM people WHERE id < 3']);
    const result = await lost.run({ bounds: { rows: 7, chars: 1_000 } });
    expect(countsOf(result)).toEqual([102, 0, 0]);
    expect(result.transactions).toBe(15);
    expect(lost.rows('SELECT count(*) n FROM people')).toEqual([{ n: 102 }]);
  });
});

describe('rows without a primary key', () => {
  const bare =
    'CREATE TABLE lost(i, lit); INSERT INTO lost VALUES(1, 1); CREATE TABLE log(a, b); INSERT INTO log VALUES(1, 2), (1, 2), (1, NULL);';

  test('come back as many as were lost, and once', async () => {
    const lost = lostHistory(
      bare,
      [
        "INSERT INTO log VALUES(1, 2), (1, 2), ('x', 1.5); DELETE FROM log WHERE b IS NULL; INSERT INTO lost VALUES(1, 1)",
      ],
      "INSERT INTO log VALUES('taken', 1), ('taken', 2), ('taken', 3)",
    );
    expect(countsOf(await lost.run())).toEqual([5, 0, 0]);
    expect(lost.rows('SELECT a, b, count(*) n FROM log GROUP BY a, b ORDER BY a, b')).toEqual([
      { a: 1, b: 2, n: 4 },
      { a: 'taken', b: 1, n: 1 },
      { a: 'taken', b: 2, n: 1 },
      { a: 'taken', b: 3, n: 1 },
      { a: 'x', b: 1.5, n: 1 },
    ]);
    expect(countsOf(await lost.run())).toEqual([0, 5, 0]);
  });

  test('of any number and size are counted in requests that a gateway takes', async () => {
    const lost = lostHistory(bare, [
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) INSERT INTO log SELECT i, i FROM n;' +
        'INSERT INTO log VALUES(1, zeroblob(1100000)), (2, zeroblob(1100000)), (3, zeroblob(1100000))',
    ]);
    let largest = 0;
    const { batch } = lost.gateway;
    lost.gateway.batch = (body) => {
      largest = Math.max(largest, body.length);
      return batch.call(lost.gateway, body);
    };
    expect(countsOf(await lost.run())).toEqual([1203, 0, 0]);
    expect(countsOf(await lost.run())).toEqual([0, 1203, 0]);
    expect(largest).toBeLessThan(12 * 1024 * 1024);
  });

  test('are in conflict where their like have been deleted since: nobody can tell which', async () => {
    const lost = lostHistory(bare, ['INSERT INTO log VALUES(1, 2)'], 'DELETE FROM log WHERE b = 2');
    expect(reasonsOf(await lost.run())).toEqual(['log: deleted since']);
    expect(lost.rows('SELECT count(*) n FROM log')).toEqual([{ n: 1 }]);
  });

  test('are told apart by the type of a value, not by what compares as equal', async () => {
    const lost = lostHistory(
      bare,
      ["INSERT INTO log VALUES(7, 'a'), (7.0, 'a'), ('7', 'A')"],
      "INSERT INTO log VALUES(7.0, 'A')",
    );
    expect(countsOf(await lost.run())).toEqual([3, 0, 0]);
    expect(countsOf(await lost.run())).toEqual([0, 3, 0]);
  });
});

describe('chosen writes', () => {
  test('come back alone, and together as one', async () => {
    const lost = lostHistory(people, [
      'UPDATE people SET age = 1 WHERE id = 1',
      'UPDATE people SET age = 1 WHERE id = 2',
      "UPDATE people SET age = 2, name = 'A' WHERE id = 1",
    ]);
    const wish = { spans: [lost.span(1, 1), lost.span(3, 3)] };
    expect(countsOf(await lost.run(wish))).toEqual([1, 0, 0]);
    expect(lost.rows('SELECT name, age FROM people WHERE id < 3')).toEqual([
      { name: 'A', age: 2 },
      { name: 'Bob', age: 20 },
    ]);
    expect(countsOf(await lost.run(wish))).toEqual([0, 1, 0]);
  });

  test('between which another one changed the row are in conflict', async () => {
    const lost = lostHistory(people, [
      'UPDATE people SET age = 1 WHERE id = 1',
      'UPDATE people SET age = 2 WHERE id = 1',
      'UPDATE people SET age = 3 WHERE id = 1',
    ]);
    expect(reasonsOf(await lost.run({ spans: [lost.span(1, 1), lost.span(3, 3)] }))).toEqual([
      'people: changed between',
    ]);
    expect(reasonsOf(await lost.run({ spans: [lost.span(3, 3)] }))).toEqual(['people: changed since']);
  });

  test('that are more than the limit change nothing', async () => {
    const lost = lostHistory(people, ['UPDATE people SET age = 1']);
    await expect(lost.run({ limit: 3 })).rejects.toThrow('more than --limit 3 rows differ, 4 so far');
    expect(lost.gateway.ran).not.toContain('BEGIN IMMEDIATE');
  });
});

describe('a replay that is cut off', () => {
  test.each(['request lost', 'answer lost'] as const)(
    'anywhere (%s) goes on by itself, and counts each row once',
    async (accident) => {
      const rows = Array.from({ length: 12 }, (_, at) => `(${at}, ${at})`).join(',');
      for (let fatal = 0; fatal < 16; fatal += 1) {
        const lost = lostHistory('CREATE TABLE t(id INTEGER PRIMARY KEY, n); CREATE TABLE bare(n)', [
          `INSERT INTO t VALUES${rows}; INSERT INTO bare SELECT n % 3 FROM t`,
        ]);
        let requests = 0;
        lost.gateway.accident = ([first]) =>
          /^(BEGIN|INSERT|COMMIT)/.test(first ?? '') && requests++ === fatal ? accident : 'none';
        const result = await lost.run({ bounds: { rows: 5, chars: 10_000 } });
        expect(countsOf(result)).toEqual([24, 0, 0]);
        expect(lost.rows('SELECT (SELECT count(*) FROM t) a, (SELECT count(*) FROM bare) b')).toEqual([
          { a: 12, b: 12 },
        ]);
      }
    },
  );

  test.each(['INSERT', 'COMMIT'])(
    'by a move of the primary before its %s begins that transaction again',
    async (word) => {
      const lost = lostHistory('CREATE TABLE t(id INTEGER PRIMARY KEY)', ['INSERT INTO t VALUES(1), (2)']);
      let moves = 0;
      lost.gateway.accident = ([first]) => {
        if (first?.startsWith(word) === true && moves++ === 0) lost.now.exec('ROLLBACK');
        return 'none';
      };
      expect(countsOf(await lost.run())).toEqual([2, 0, 0]);
      expect(lost.rows('SELECT count(*) n FROM t')).toEqual([{ n: 2 }]);
      expect(lost.notes).toEqual(['the transaction was over before its end; the replay goes on by itself']);
    },
  );

  test('for good ends with what it has come to, and the next one finds that', async () => {
    const lost = lostHistory('CREATE TABLE t(id INTEGER PRIMARY KEY)', [
      'INSERT INTO t VALUES(1), (2), (3), (4)',
    ]);
    let commits = 0;
    lost.gateway.accident = ([first]) => (first === 'COMMIT' && ++commits > 1 ? 'request lost' : 'none');
    await expect(lost.run({ bounds: { rows: 2, chars: 100 }, patienceMs: 300 })).rejects.toThrow(
      'it does not answer. 2 rows have been brought back and stay',
    );
    lost.gateway.accident = () => 'none';
    expect(countsOf(await lost.run())).toEqual([2, 2, 0]);
  });
});

test('whatever was lost and written since: nothing of others is touched, a dry run says the same, and a second replay does nothing', async () => {
  const write = fc.oneof(
    fc
      .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 3 }))
      .map(([id, x]) => `INSERT OR IGNORE INTO t VALUES(${id}, ${x}, 0)`),
    fc
      .tuple(fc.integer({ min: 1, max: 6 }), fc.constantFrom('x', 'y'), fc.integer({ min: 0, max: 3 }))
      .map(([id, column, value]) => `UPDATE OR IGNORE t SET ${column} = ${value} WHERE id = ${id}`),
    fc.integer({ min: 1, max: 6 }).map((id) => `DELETE FROM t WHERE id = ${id}`),
    fc.integer({ min: 0, max: 2 }).map((n) => `INSERT INTO bare VALUES(${n})`),
  );
  const writes = fc.array(write, { maxLength: 6 });
  const schema = 'CREATE TABLE t(id INTEGER PRIMARY KEY, x, y); CREATE TABLE bare(n);';
  await fc.assert(
    fc.asyncProperty(
      writes,
      fc.array(write, { minLength: 1, maxLength: 6 }),
      writes,
      async (fork, lost, since) => {
        const history = lostHistory([schema, ...fork].join(';'), lost, since.join(';'));
        const rowsOf = () =>
          history.rows('SELECT * FROM t') as readonly { id: number; x: number; y: number }[];
        const forked = lostHistory([schema, ...fork].join(';'), ['']).rows(
          'SELECT * FROM t',
        ) as typeof rowsOf extends () => infer R ? R : never;
        const before = rowsOf();
        const dry = await history.run({ dryRun: true });
        expect(rowsOf()).toEqual(before);
        const first = await history.run();
        expect([countsOf(dry), reasonsOf(dry)]).toEqual([countsOf(first), reasonsOf(first)]);
        const after = rowsOf();
        for (const row of before) {
          const old = forked.find(({ id }) => id === row.id);
          const now = after.find(({ id }) => id === row.id);
          for (const column of ['x', 'y'] as const)
            if (old?.[column] !== row[column]) expect(now?.[column]).toBe(row[column]);
        }
        const second = await history.run();
        expect(countsOf(second)).toEqual([
          0,
          first.applied.length + first.alreadyThere.length,
          first.conflicts.length,
        ]);
        expect(rowsOf()).toEqual(after);
      },
    ),
    { numRuns: 60 },
  );
});
