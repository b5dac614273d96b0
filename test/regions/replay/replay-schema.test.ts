/** What the schema has to say when losses are brought back: foreign keys, triggers, and changes of itself. */
import { describe, expect, test } from 'vitest';
import { isSettled } from '../../../regions/replay/core/replay-summary.ts';
import { countsOf, lostHistory, reasonsOf } from './lost-history.ts';

const people = `
  CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT UNIQUE, age INT CHECK (age < 200));
  INSERT INTO people VALUES(1, 'Ada', 36), (2, 'Bob', 20), (3, 'Cyd', 30), (4, 'Dan', 40);
`;

describe('foreign keys', () => {
  const schema = `
    CREATE TABLE a_item(id INTEGER PRIMARY KEY, box INT REFERENCES z_box ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE z_box(id INTEGER PRIMARY KEY, label);
    CREATE TABLE staff(id INTEGER PRIMARY KEY, boss INT REFERENCES staff(id));
    INSERT INTO z_box VALUES(1, 'one'), (2, 'two'), (3, 'three');
    INSERT INTO a_item VALUES(11, 1), (21, 2), (31, 3);
    INSERT INTO staff VALUES(100, 100), (50, 100), (40, 50);
  `;

  test('order the rows, by whatever names and keys', async () => {
    const lost = lostHistory(schema, [
      'DELETE FROM z_box WHERE id = 1; INSERT INTO z_box VALUES(9, NULL); INSERT INTO a_item VALUES(1, 9);',
      'DELETE FROM staff WHERE id IN (40, 50); INSERT INTO staff VALUES(7, 100); INSERT INTO staff VALUES(6, 7); INSERT INTO staff VALUES(5, 6)',
      'UPDATE a_item SET box = 9 WHERE id = 31',
    ]);
    const result = await lost.run();
    expect(reasonsOf(result)).toEqual([]);
    expect(lost.rows('SELECT id, box FROM a_item')).toEqual([
      { id: 1, box: 9 },
      { id: 21, box: 2 },
      { id: 31, box: 9 },
    ]);
    expect(countsOf(await lost.run())).toEqual([0, result.applied.length, 0]);
  });

  test('hold between transactions of one row each', async () => {
    const lost = lostHistory(schema, [
      'INSERT INTO z_box VALUES(9, NULL); UPDATE a_item SET box = 9 WHERE id = 31; DELETE FROM z_box WHERE id = 1',
    ]);
    expect(reasonsOf(await lost.run({ bounds: { rows: 1, chars: 1 } }))).toEqual([]);
    expect(lost.rows('SELECT id FROM z_box')).toEqual([{ id: 2 }, { id: 3 }, { id: 9 }]);
  });

  test('never cascade into rows that were written since (R88)', async () => {
    const lost = lostHistory(schema, ['DELETE FROM z_box WHERE id = 1'], 'INSERT INTO a_item VALUES(12, 1)');
    const result = await lost.run();
    expect(reasonsOf(result)).toEqual(['z_box: foreign key']);
    expect(result.conflicts[0]?.detail).toBe('rows of a_item refer to it');
    expect(lost.rows('SELECT id FROM a_item')).toEqual([{ id: 12 }, { id: 21 }, { id: 31 }]);
  });

  test('say which row is not there any more', async () => {
    const lost = lostHistory(
      schema,
      ['INSERT INTO a_item VALUES(22, 2), (32, 3)'],
      'DELETE FROM z_box WHERE id = 2',
    );
    const result = await lost.run();
    expect(result.conflicts.map(({ detail }) => detail)).toEqual([
      'z_box has no row with id=2, which it refers to',
    ]);
    expect(lost.rows('SELECT id FROM a_item WHERE id IN (22, 32)')).toEqual([{ id: 32 }]);
  });

  test('of a row that refers to itself, and of one that is deferred to the end, hold', async () => {
    const deferred =
      'CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p DEFERRABLE INITIALLY DEFERRED);' +
      'CREATE TABLE s(id INTEGER PRIMARY KEY, s REFERENCES s); INSERT INTO p VALUES(1), (2)';
    const lost = lostHistory(
      deferred,
      ['INSERT INTO c VALUES(1, 1), (2, 2); INSERT INTO s VALUES(5, 5)'],
      'DELETE FROM p WHERE id = 2',
    );
    expect(reasonsOf(await lost.run())).toEqual(['c: foreign key']);
    const gone = lostHistory(`${deferred}; INSERT INTO s VALUES(5, 5)`, ['DELETE FROM s']);
    expect(countsOf(await gone.run())).toEqual([1, 0, 0]);
  });
});

describe('triggers', () => {
  const counted = `
    CREATE TABLE orders(id INTEGER PRIMARY KEY, item);
    CREATE TABLE audit(id INTEGER PRIMARY KEY, what);
    CREATE TABLE total(n INT PRIMARY KEY, orders INT);
    INSERT INTO total VALUES(1, 0);
    CREATE TRIGGER audited AFTER INSERT ON orders BEGIN
      INSERT INTO audit(what) VALUES('order ' || NEW.id);
      UPDATE total SET orders = orders + 1;
    END;
  `;

  test('that write rows do not run again, and are there again', async () => {
    const lost = lostHistory(counted, ["INSERT INTO orders VALUES(1, 'a'), (2, 'b')"]);
    const result = await lost.run();
    expect(countsOf(result)).toEqual([5, 0, 0]);
    expect(result.suspended).toEqual(['audited']);
    expect(lost.rows('SELECT * FROM total')).toEqual([{ n: 1, orders: 2 }]);
    lost.now.exec("INSERT INTO orders VALUES(3, 'c')");
    expect(lost.rows('SELECT orders, (SELECT count(*) FROM audit) audits FROM total')).toEqual([
      { orders: 3, audits: 3 },
    ]);
    const again = await lost.run();
    expect(reasonsOf(again)).toEqual(['total: changed since']);
  });

  test('that refuse do run, whether they end the statement or the transaction', async () => {
    for (const how of ['ABORT', 'ROLLBACK', 'FAIL']) {
      const guarded = `${counted} CREATE TRIGGER no_b BEFORE INSERT ON orders WHEN NEW.item = 'b' AND EXISTS(SELECT 1 FROM audit WHERE what = 'closed')
        BEGIN SELECT RAISE(${how}, 'no more b'); END;`;
      const lost = lostHistory(
        guarded,
        ["INSERT INTO orders VALUES(1, 'a'), (2, 'b'), (3, 'c')"],
        "INSERT INTO audit VALUES(77, 'closed')",
      );
      const result = await lost.run();
      expect(result.conflicts.map(({ detail }) => detail)).toEqual(['no more b']);
      expect(lost.rows('SELECT id FROM orders')).toEqual([{ id: 1 }, { id: 3 }]);
    }
  });

  test('that leave a row out are named', async () => {
    const lost = lostHistory(
      'CREATE TABLE t(id INTEGER PRIMARY KEY); CREATE TABLE closed(x)',
      ['INSERT INTO t VALUES(1)'],
      'INSERT INTO closed VALUES(1); CREATE TRIGGER stop BEFORE INSERT ON t WHEN EXISTS(SELECT 1 FROM closed) BEGIN SELECT RAISE(IGNORE); END',
    );
    expect((await lost.run()).conflicts).toMatchObject([{ reason: 'left out', now: null }]);
  });

  test('that feed a virtual table run, so that it finds what came back', async () => {
    const lost = lostHistory(
      `CREATE TABLE notes(id INTEGER PRIMARY KEY, body); CREATE VIRTUAL TABLE found USING fts5(body, content=notes, content_rowid=id);
       CREATE TRIGGER fed AFTER INSERT ON notes BEGIN INSERT INTO found(rowid, body) VALUES(NEW.id, NEW.body); END;`,
      ["INSERT INTO notes VALUES(1, 'lost words')"],
    );
    const result = await lost.run();
    expect(result.suspended).toEqual([]);
    expect(lost.rows("SELECT rowid FROM found WHERE found MATCH 'lost'")).toEqual([{ rowid: 1 }]);
    expect(isSettled(result)).toBe(true);
  });
});

describe('a schema that was changed among the lost writes', () => {
  test('is named with the way out, and its rows come back once it is made', async () => {
    const lost = lostHistory(people, [
      'CREATE TABLE pets(id INTEGER PRIMARY KEY, n); INSERT INTO pets VALUES(1, 1);',
      "ALTER TABLE people ADD COLUMN city; UPDATE people SET city = 'Bern' WHERE id = 1; UPDATE people SET age = 1 WHERE id = 2; DROP INDEX IF EXISTS x",
    ]);
    const first = await lost.run();
    expect(reasonsOf(first).toSorted()).toEqual(['people: no column', 'pets: no table']);
    expect(first.schema.map(({ name, isThere }) => [name, isThere])).toEqual([
      ['people', false],
      ['pets', false],
    ]);
    expect(first.schema[1]?.wayOut).toContain('CREATE TABLE pets(id INTEGER PRIMARY KEY, n)');
    expect(first.applied).toHaveLength(1);
    lost.now.exec('CREATE TABLE pets(id INTEGER PRIMARY KEY, n); ALTER TABLE people ADD COLUMN city');
    const second = await lost.run();
    expect(countsOf(second)).toEqual([2, 1, 0]);
    expect(isSettled(second)).toBe(true);
  });

  test('by others while it is brought back is seen, and the schema read again', async () => {
    const lost = lostHistory(people, [
      "INSERT INTO people VALUES(8, 'Eve', 1); INSERT INTO people VALUES(9, 'Fay', 1)",
    ]);
    let transactions = 0;
    lost.gateway.accident = ([first]) => {
      if (first === 'BEGIN IMMEDIATE' && ++transactions === 2) lost.now.exec('DROP TABLE people');
      return 'none';
    };
    const result = await lost.run({ bounds: { rows: 1, chars: 1 } });
    expect([result.applied.length, reasonsOf(result)]).toEqual([1, ['people: no table']]);
  });
});
