/** The stock client of JavaScript (Hrana 2, over HTTP or WebSocket). */
import assert from 'node:assert/strict';
import { createClient } from '@libsql/client';
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

const db = createClient({ url, intMode: 'bigint' });

const migrations = [
  'CREATE TABLE smoke_author (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)',
  'CREATE TABLE smoke_book (id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL REFERENCES smoke_author (id) ON DELETE CASCADE, title TEXT NOT NULL)',
  'CREATE TABLE smoke_value (id INTEGER PRIMARY KEY, nil TEXT, big INTEGER, small INTEGER, fraction REAL, words TEXT, bytes BLOB)',
];

async function countOf(table, column, value) {
  const { rows } = await db.execute(`SELECT count(*) AS n FROM ${table} WHERE ${column} LIKE ?`, [value]);
  return Number(rows[0].n);
}

await smoke({
  connect: async () => assert.equal((await db.execute('SELECT 1 AS one')).rows[0].one, 1n),

  schema: async () => {
    await db.migrate(migrations);
    assert.equal(await countOf('sqlite_schema', 'sql', 'CREATE TABLE smoke%'), migrations.length);
  },

  insert: async () => {
    await db.execute({
      sql: 'INSERT INTO smoke_value VALUES (:id, :nil, :big, :small, :fraction, :words, :bytes)',
      args: { id: 1, nil: null, big: bigInteger, small: smallestInteger, fraction, words, bytes },
    });
  },

  read: async () => {
    const { rows } = await db.execute('SELECT * FROM smoke_value WHERE id = ?', [1]);
    const [row] = rows;
    assert.deepEqual(
      { ...row, bytes: byteList(row.bytes) },
      { id: 1n, nil: null, big: bigInteger, small: smallestInteger, fraction, words, bytes: [...bytes] },
    );
    const types = await db.execute(
      'SELECT typeof(nil), typeof(big), typeof(fraction), typeof(words), typeof(bytes) FROM smoke_value',
    );
    assert.deepEqual(Array.from(types.rows[0]), ['null', 'integer', 'real', 'text', 'blob']);
  },

  'last-id': async () => {
    const first = await db.execute("INSERT INTO smoke_author (name) VALUES ('first')");
    const second = await db.execute("INSERT INTO smoke_author (name) VALUES ('second')");
    assert.equal(second.lastInsertRowid, first.lastInsertRowid + 1n);
  },

  changes: async () => {
    const affected = async (sql) => (await db.execute(sql)).rowsAffected;
    assert.equal(await affected('INSERT INTO smoke_value (id) VALUES (10), (11), (12)'), 3);
    assert.equal(await affected("UPDATE smoke_value SET words = 'changed' WHERE id IN (10, 11)"), 2);
    assert.equal(await affected('DELETE FROM smoke_value WHERE id >= 10'), 3);
  },

  commit: async () => {
    const tx = await db.transaction('write');
    const { lastInsertRowid } = await tx.execute("INSERT INTO smoke_author (name) VALUES ('committed')");
    await tx.execute({
      sql: "INSERT INTO smoke_book (author_id, title) VALUES (?, 'kept')",
      args: [lastInsertRowid],
    });
    await tx.commit();
    assert.equal(await countOf('smoke_author', 'name', 'committed'), 1);
    assert.equal(await countOf('smoke_book', 'title', 'kept'), 1);
  },

  rollback: async () => {
    const tx = await db.transaction('write');
    await tx.execute("INSERT INTO smoke_author (name) VALUES ('rolled back')");
    await tx.rollback();
    assert.equal(await countOf('smoke_author', 'name', 'rolled back'), 0);
  },

  batch: async () => {
    const insert = (name) => ({ sql: 'INSERT INTO smoke_author (name) VALUES (?)', args: [name] });
    const results = await db.batch([insert('batch one'), insert('batch two')], 'write');
    assert.deepEqual(
      results.map((result) => result.rowsAffected),
      [1, 1],
    );
    await errorOf(() => db.batch([insert('batch three'), insert('batch one')], 'write'));
    assert.equal(await countOf('smoke_author', 'name', 'batch %'), 2);
  },

  cascade: async () => {
    const { lastInsertRowid } = await db.execute("INSERT INTO smoke_author (name) VALUES ('with books')");
    await db.execute("INSERT INTO smoke_book (author_id, title) VALUES (?1, 'cascade'), (?1, 'cascade')", [
      lastInsertRowid,
    ]);
    await db.execute('DELETE FROM smoke_author WHERE id = ?', [lastInsertRowid]);
    assert.equal(await countOf('smoke_book', 'title', 'cascade'), 0, 'books of a deleted author');
    const orphan = await errorOf(() =>
      db.execute("INSERT INTO smoke_book (author_id, title) VALUES (999999, 'orphan')"),
    );
    assert.match(explain(orphan), /FOREIGN KEY constraint failed/);
  },

  unique: async () => {
    await db.execute("INSERT INTO smoke_author (name) VALUES ('only one')");
    const error = await errorOf(() => db.execute("INSERT INTO smoke_author (name) VALUES ('only one')"));
    assert.equal(error.code, 'SQLITE_CONSTRAINT');
    assert.match(error.message, /UNIQUE constraint failed: smoke_author\.name/);
  },

  'read-only': async () => {
    const tx = await db.transaction('read');
    await tx.execute('SELECT count(*) FROM smoke_author');
    await errorOf(() => tx.execute("INSERT INTO smoke_author (name) VALUES ('read only')"));
    await tx.rollback();
    assert.equal(await countOf('smoke_author', 'name', 'read only'), 0);
  },

  infinity: async () => {
    const { rows } = await db.execute("SELECT 9e999, -9e999, 'after' AS words");
    assert.equal(rows[0].words, 'after');
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await db.execute('INSERT INTO smoke_author (name) VALUES (?)', [`own ${n}`]);
      assert.equal(await countOf('smoke_author', 'name', 'own %'), n);
    }
  },
});
