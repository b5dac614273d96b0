/** Turso's serverless driver (Hrana 3 over HTTP: pipelines and cursors). */
import assert from 'node:assert/strict';
import { connect } from '@tursodatabase/serverless';
import {
  bigInteger,
  byteList,
  bytes,
  errorOf,
  explain,
  fraction,
  ownWrites,
  smallestInteger,
  smoke,
  url,
  words,
} from '../shared/smoke.mjs';

const db = connect({ url });

async function countOf(table, column, value) {
  const row = await db.get(`SELECT count(*) AS n FROM ${table} WHERE ${column} LIKE ?`, value);
  return row.n;
}

await smoke({
  connect: async () => assert.equal((await db.get('SELECT 1 AS one')).one, 1),

  schema: async () => {
    await db.exec(`
      CREATE TABLE smoke_author (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
      CREATE TABLE smoke_book (
        id INTEGER PRIMARY KEY,
        author_id INTEGER NOT NULL REFERENCES smoke_author (id) ON DELETE CASCADE,
        title TEXT NOT NULL
      );
      CREATE TABLE smoke_value (
        id INTEGER PRIMARY KEY, nil TEXT, big INTEGER, small INTEGER, fraction REAL, words TEXT, bytes BLOB
      );
    `);
  },

  insert: async () => {
    const insert = await db.prepare('INSERT INTO smoke_value VALUES (:id, :nil, :big, :small, :fraction, :words, :bytes)');
    await insert.run({ id: 1, nil: null, big: bigInteger, small: smallestInteger, fraction, words, bytes });
  },

  read: async () => {
    const select = await db.prepare('SELECT * FROM smoke_value WHERE id = ?');
    const row = await select.safeIntegers().get([1]);
    assert.deepEqual(
      { ...row, bytes: byteList(row.bytes) },
      { id: 1n, nil: null, big: bigInteger, small: smallestInteger, fraction, words, bytes: [...bytes] },
    );
    const types = await db.get(
      'SELECT typeof(nil) AS a, typeof(big) AS b, typeof(fraction) AS c, typeof(words) AS d, typeof(bytes) AS e FROM smoke_value',
    );
    assert.deepEqual([types.a, types.b, types.c, types.d, types.e], ['null', 'integer', 'real', 'text', 'blob']);
  },

  'last-id': async () => {
    const first = await db.run('INSERT INTO smoke_author (name) VALUES (?)', 'first');
    const second = await db.run('INSERT INTO smoke_author (name) VALUES (?)', 'second');
    assert.equal(Number(second.lastInsertRowid), Number(first.lastInsertRowid) + 1);
    const third = await db.get('INSERT INTO smoke_author (name) VALUES (?) RETURNING id', 'third');
    assert.equal(third.id, Number(second.lastInsertRowid) + 1);
  },

  changes: async () => {
    const inserted = await db.run('INSERT INTO smoke_value (id) VALUES (10), (11), (12)');
    assert.equal(inserted.changes, 3);
    assert.equal((await db.run("UPDATE smoke_value SET words = 'changed' WHERE id IN (10, 11)")).changes, 2);
    assert.equal((await db.run('DELETE FROM smoke_value WHERE id >= 10')).changes, 3);
  },

  commit: async () => {
    const keep = db.transaction(async () => {
      const made = await db.get("INSERT INTO smoke_author (name) VALUES ('committed') RETURNING id");
      await db.run("INSERT INTO smoke_book (author_id, title) VALUES (?, 'kept')", made.id);
    });
    await keep();
    assert.equal(await countOf('smoke_author', 'name', 'committed'), 1);
    assert.equal(await countOf('smoke_book', 'title', 'kept'), 1);
    assert.equal(db.inTransaction, false);
  },

  rollback: async () => {
    const regret = db.transaction(async () => {
      await db.run("INSERT INTO smoke_author (name) VALUES ('rolled back')");
      throw new Error('changed my mind');
    });
    assert.equal((await errorOf(regret)).message, 'changed my mind');
    assert.equal(await countOf('smoke_author', 'name', 'rolled back'), 0);
  },

  batch: async () => {
    await db.batch(
      [
        { sql: 'INSERT INTO smoke_author (name) VALUES (?)', args: ['batch one'] },
        "INSERT INTO smoke_author (name) VALUES ('batch two')",
      ],
      'immediate',
    );
    assert.equal(await countOf('smoke_author', 'name', 'batch %'), 2);
    await errorOf(() =>
      db.batch(
        [
          "INSERT INTO smoke_author (name) VALUES ('batch three')",
          "INSERT INTO smoke_author (name) VALUES ('batch one')",
        ],
        'immediate',
      ),
    );
    assert.equal(await countOf('smoke_author', 'name', 'batch %'), 2);
  },

  cascade: async () => {
    const { id } = await db.get("INSERT INTO smoke_author (name) VALUES ('with books') RETURNING id");
    await db.run("INSERT INTO smoke_book (author_id, title) VALUES (?, 'cascade'), (?, 'cascade')", [id, id]);
    await db.run('DELETE FROM smoke_author WHERE id = ?', id);
    assert.equal(await countOf('smoke_book', 'title', 'cascade'), 0, 'books of a deleted author');
    const orphan = await errorOf(() =>
      db.run("INSERT INTO smoke_book (author_id, title) VALUES (999999, 'orphan')"),
    );
    assert.match(explain(orphan), /FOREIGN KEY constraint failed/);
  },

  unique: async () => {
    await db.run("INSERT INTO smoke_author (name) VALUES ('only one')");
    const error = await errorOf(() => db.run("INSERT INTO smoke_author (name) VALUES ('only one')"));
    assert.match(explain(error), /UNIQUE constraint failed: smoke_author\.name/);
  },

  describe: async () => {
    for (const columns of ['a', 'a, b', 'a, b, c']) {
      await db.exec(`DROP TABLE IF EXISTS smoke_again; CREATE TABLE smoke_again (${columns});`);
      // A statement is described when it is prepared, on a stream of its own.
      const statement = await connect({ url }).prepare('SELECT * FROM smoke_again');
      assert.equal(
        statement
          .columns()
          .map((column) => column.name)
          .join(', '),
        columns,
      );
    }
  },

  infinity: async () => {
    const row = await db.get("SELECT 9e999 AS more, -9e999 AS less, 'after' AS words");
    assert.equal(row.words, 'after');
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await db.run('INSERT INTO smoke_author (name) VALUES (?)', `own ${n}`);
      assert.equal(await countOf('smoke_author', 'name', 'own %'), n);
    }
  },
});
