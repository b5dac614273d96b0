/** Statements that bring rows back, run by SQLite itself on what was there before. */
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { differenceJson, differenceLines } from '../../../regions/cli/losses/difference-text.ts';
import { comparePlaces } from '../../../regions/compare/compare-places.ts';
import { bringBack } from '../../../regions/compare/core/bring-back.ts';
import type { Difference } from '../../../regions/compare/core/difference.ts';
import { linkOf } from './two-files.ts';

const schema = `
  CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, age INT, twice AS (age * 2));
  CREATE TABLE kv(k TEXT COLLATE NOCASE, n INTEGER, v, PRIMARY KEY(k, n)) WITHOUT ROWID;
  CREATE TABLE bare(a, b);
  CREATE TABLE "odd ""name"(rowid TEXT, "select" BLOB);
  CREATE TABLE worded(word TEXT PRIMARY KEY, seen REAL);
  CREATE TABLE same(x);
  INSERT INTO people(id, name, age) VALUES(1, 'Ada', 36), (2, 'Bob', 20), (-3, 'it''s', NULL);
  INSERT INTO kv VALUES('B', 1, 'x'), ('a', 2, 9e999), ('a', 10, X'00FF'), ('é', 1, char(0));
  INSERT INTO bare VALUES(1, 2), (1, 2), (NULL, 'three');
  INSERT INTO "odd ""name" VALUES('r', X'01'), ('s', NULL);
  INSERT INTO worded VALUES('one', 1.0), ('two', 0.1);
  INSERT INTO same VALUES(1), (2);
`;

function databases(later: string): { before: DatabaseSync; after: DatabaseSync } {
  const [before, after] = [new DatabaseSync(':memory:'), new DatabaseSync(':memory:')];
  before.exec(schema);
  after.exec(schema);
  after.exec(later);
  return { before, after };
}

const difference = (before: DatabaseSync, after: DatabaseSync, limit = 1_000): Promise<Difference> =>
  comparePlaces(linkOf({ '1:10': before, '1:20': after }), {
    before: '1:10',
    after: '1:20',
    limit,
    progress: () => undefined,
  });

const summary = ({ tables }: Difference): unknown =>
  tables.map(({ shape, inserted, changed, deleted }) => [shape.name, inserted, changed, deleted]);

describe('a difference between two places', () => {
  test('is told by table, and brought back by its statements', async () => {
    const { before, after } = databases(`
      UPDATE people SET age = age + 1 WHERE id > 0;
      DELETE FROM people WHERE id = -3;
      INSERT INTO people(id, name) VALUES(9, 'line' || char(10) || 'two');
      UPDATE kv SET v = -9e999 WHERE k = 'a' AND n = 10;
      INSERT INTO kv VALUES('C', -9223372036854775807 - 1, CAST(X'FF' AS TEXT));
      DELETE FROM bare WHERE rowid = 2;
      UPDATE bare SET b = 'x' WHERE a IS NULL;
      INSERT INTO bare VALUES('new', 1e300);
      UPDATE "odd ""name" SET "select" = NULL WHERE rowid = 'r';
      INSERT OR REPLACE INTO worded VALUES('one', 2.0);
    `);
    const found = await difference(before, after);
    expect(summary(found)).toEqual([
      ['bare', 1, 1, 1],
      ['kv', 1, 1, 0],
      ['odd "name', 0, 1, 0],
      ['people', 1, 2, 1],
      ['worded', 1, 0, 1],
    ]);
    for (const statement of bringBack(found)) before.exec(statement);
    expect(await difference(before, after)).toEqual({ schema: [], tables: [], notCompared: [] });
  });

  test('leaves a row alone that somebody has written since (R88)', async () => {
    const { before, after } = databases(
      `
        UPDATE people SET age = 99 WHERE id = 1;
        UPDATE people SET name = 'Eve' WHERE id = 2;
        DELETE FROM bare WHERE rowid = 1;
        INSERT INTO people(id, name) VALUES(7, 'lost');
      `,
    );
    const statements = bringBack(await difference(before, after));
    before.exec(
      `
        UPDATE people SET age = 50 WHERE id = 1;
        UPDATE people SET age = 21 WHERE id = 2;
        UPDATE bare SET a = 'kept' WHERE rowid = 1;
        INSERT INTO people(id, name, age) VALUES(7, 'newer', 1);
      `,
    );
    for (const statement of statements) before.exec(statement);
    expect(before.prepare('SELECT name, age FROM people WHERE id > 0').all()).toEqual([
      { name: 'Ada', age: 50 },
      { name: 'Eve', age: 21 },
      { name: 'newer', age: 1 },
    ]);
    expect(before.prepare('SELECT count(*) n FROM bare').get()).toEqual({ n: 3 });
  });

  test('tells what became of the schema, and makes what is new', async () => {
    const { before, after } = databases(`
      CREATE TABLE fresh(id INTEGER PRIMARY KEY, w);
      INSERT INTO fresh VALUES(1, 'w');
      CREATE INDEX by_age ON people(age);
      CREATE TRIGGER watch AFTER INSERT ON people BEGIN SELECT 1; END;
      CREATE VIEW adults AS SELECT * FROM people WHERE age > 17;
      ALTER TABLE same ADD COLUMN y DEFAULT 5;
      UPDATE same SET y = 6 WHERE x = 2;
      DROP TABLE worded;
    `);
    const found = await difference(before, after);
    expect(found.schema.map(({ change, type, name }) => `${change} ${type} ${name}`)).toEqual([
      'created table fresh',
      'altered table same',
      'dropped table worded',
      'created index by_age',
      'created view adults',
      'created trigger watch',
    ]);
    // The rows that were there take the default, and count as the same.
    expect(summary(found)).toEqual([
      ['fresh', 1, 0, 0],
      ['same', 0, 1, 0],
    ]);
    const lines = bringBack(found);
    expect(lines.filter((line) => line.startsWith('--')).join('\n')).toContain('table same was altered');
    before.exec('ALTER TABLE same ADD COLUMN y DEFAULT 5');
    for (const line of lines) before.exec(line);
    expect(await difference(before, after)).toEqual({ schema: [], tables: [], notCompared: [] });
  });

  test('says which tables were not compared', async () => {
    const { before, after } = databases(`
      DROP TABLE kv; CREATE TABLE kv(k PRIMARY KEY, n) WITHOUT ROWID;
      CREATE TABLE hidden(rowid, _rowid_, oid);
    `);
    expect((await difference(before, after)).notCompared).toEqual([
      { name: 'hidden', reason: expect.stringContaining('cannot be told apart'), isVirtual: false },
      { name: 'kv', reason: 'its key was another one before', isVirtual: false },
    ]);
  });

  test('shows rows up to the limit, and counts all', async () => {
    const { before, after } = databases(`
      UPDATE people SET name = 'N' WHERE id > 0;
      DELETE FROM bare WHERE a = 1;
      INSERT INTO kv VALUES('z', 9007199254740993, X'00FF');
    `);
    expect(differenceLines(await difference(before, after))).toEqual([
      'table bare: 0 inserted, 0 changed, 2 deleted',
      '  - rowid=1, a=1, b=2',
      '  - rowid=2, a=1, b=2',
      'table kv: 1 inserted, 0 changed, 0 deleted',
      "  + k='z', n=9007199254740993, v=x'00ff'",
      'table people: 0 inserted, 2 changed, 0 deleted',
      "  ~ id=1: name 'Ada' → 'N'",
      "  ~ id=2: name 'Bob' → 'N'",
    ]);
    const cut = await difference(before, after, 3);
    expect(differenceLines(cut).slice(-2)).toEqual([
      'table people: 0 inserted, 2 changed, 0 deleted',
      '  … and 2 more rows',
    ]);
    expect(differenceJson(cut)).toMatchObject({
      rows: 5,
      truncated: true,
      tables: [
        { name: 'bare', deleted: 2, rows: [{ change: 'deleted', key: { rowid: 1 } }, {}] },
        { name: 'kv', rows: [{ after: { k: 'z', n: '9007199254740993', v: 'AP8=' }, before: null }] },
        { name: 'people', changed: 2, rows: [] },
      ],
    });
  });

  test('of many rows is found in batches, by keys of any collation', async () => {
    const { before, after } = databases('');
    for (const db of [before, after])
      db.exec(`
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT INTO kv SELECT CASE i % 3 WHEN 0 THEN 'Key' WHEN 1 THEN 'key-' ELSE 'ü' END || i, i, zeroblob(i % 5) FROM n;
        INSERT INTO bare SELECT n, v FROM kv;
      `);
    after.exec(
      "DELETE FROM kv WHERE n = 1700; UPDATE kv SET v = 'v' WHERE n IN (101, 2999); UPDATE bare SET b = 0 WHERE a = 2500",
    );
    expect(summary(await difference(before, after))).toEqual([
      ['bare', 0, 1, 0],
      ['kv', 0, 2, 1],
    ]);
  });
});
