/** hrana-client asked for version 3: it speaks protobuf where the server offers that, else JSON, over HTTP or WebSocket. */
import assert from 'node:assert/strict';
import { BatchCond, openHttp, openWs } from '@libsql/hrana-client';
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

const client = url.startsWith('ws')
  ? openWs(url, undefined, 3)
  : openHttp(url, undefined, undefined, undefined, 3);
client.intMode = 'bigint';

/** Runs `use` on a stream of its own. */
async function onStream(use) {
  const stream = client.openStream();
  try {
    return await use(stream);
  } finally {
    stream.close();
  }
}
const run = (...statement) => onStream((stream) => stream.run(statement.length > 1 ? statement : statement[0]));
const row = (...statement) =>
  onStream(async (stream) => (await stream.queryRow(statement.length > 1 ? statement : statement[0])).row);
const countOf = async (table, column, like) =>
  Number((await row(`SELECT count(*) AS n FROM ${table} WHERE ${column} LIKE ?`, [like])).n);

/** BEGIN, `statements`, COMMIT as one batch, each only after the one before it, else ROLLBACK; answers the steps' promises. */
async function inBatch(stream, statements) {
  const batch = stream.batch();
  let last = batch.step();
  const answers = [last.run('BEGIN')];
  for (const statement of [...statements, 'COMMIT']) {
    const step = batch.step().condition(BatchCond.ok(last));
    answers.push(step.run(statement));
    last = step;
  }
  batch.step().condition(BatchCond.not(BatchCond.ok(last))).run('ROLLBACK').catch(() => undefined);
  await batch.execute();
  return Promise.allSettled(answers);
}

await smoke({
  connect: async () => {
    assert.equal((await row('SELECT 1 AS one')).one, 1n);
    assert.equal(await client.getVersion(), 3);
  },

  schema: async () => {
    await onStream((stream) =>
      stream.sequence(`
        CREATE TABLE smoke_author (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
        CREATE TABLE smoke_book (
          id INTEGER PRIMARY KEY,
          author_id INTEGER NOT NULL REFERENCES smoke_author (id) ON DELETE CASCADE,
          title TEXT NOT NULL
        );
        CREATE TABLE smoke_value (
          id INTEGER PRIMARY KEY, nil TEXT, big INTEGER, small INTEGER, fraction REAL, words TEXT, bytes BLOB
        );
      `),
    );
    const described = await onStream((stream) => stream.describe('SELECT * FROM smoke_value WHERE id = :id'));
    assert.equal(described.columns.length, 7);
    assert.deepEqual(
      [described.isReadonly, described.paramNames],
      [true, [':id']],
    );
  },

  insert: async () => {
    const values = [1, null, bigInteger, smallestInteger, fraction, words, bytes];
    await run('INSERT INTO smoke_value VALUES (?, ?, ?, ?, ?, ?, ?)', values);
  },

  read: async () => {
    const found = await row('SELECT * FROM smoke_value WHERE id = ?', [1]);
    const { id, nil, big, small, fraction: float, words: text, bytes: blob } = found;
    assert.deepEqual(
      [id, nil, big, small, float, text, byteList(blob)],
      [1n, null, bigInteger, smallestInteger, fraction, words, [...bytes]],
    );
  },

  'last-id': async () => {
    const first = await run("INSERT INTO smoke_author (name) VALUES ('first')");
    const second = await run("INSERT INTO smoke_author (name) VALUES ('second')");
    assert.equal(second.lastInsertRowid, first.lastInsertRowid + 1n);
  },

  changes: async () => {
    const affected = async (sql) => (await run(sql)).affectedRowCount;
    assert.equal(await affected('INSERT INTO smoke_value (id) VALUES (10), (11), (12)'), 3);
    assert.equal(await affected("UPDATE smoke_value SET words = 'changed' WHERE id IN (10, 11)"), 2);
    assert.equal(await affected('DELETE FROM smoke_value WHERE id >= 10'), 3);
  },

  commit: async () => {
    await onStream(async (stream) => {
      await stream.run('BEGIN IMMEDIATE');
      const { lastInsertRowid } = await stream.run("INSERT INTO smoke_author (name) VALUES ('committed')");
      await stream.run(["INSERT INTO smoke_book (author_id, title) VALUES (?, 'kept')", [lastInsertRowid]]);
      assert.equal(await stream.getAutocommit(), false);
      await stream.run('COMMIT');
      assert.equal(await stream.getAutocommit(), true);
    });
    assert.equal(await countOf('smoke_author', 'name', 'committed'), 1);
    assert.equal(await countOf('smoke_book', 'title', 'kept'), 1);
  },

  rollback: async () => {
    await onStream(async (stream) => {
      await stream.run('BEGIN IMMEDIATE');
      await stream.run("INSERT INTO smoke_author (name) VALUES ('rolled back')");
      await stream.run('ROLLBACK');
    });
    // A stream that is closed inside a transaction leaves nothing either.
    await onStream(async (stream) => {
      await stream.run('BEGIN IMMEDIATE');
      await stream.run("INSERT INTO smoke_author (name) VALUES ('rolled back')");
    });
    assert.equal(await countOf('smoke_author', 'name', 'rolled back'), 0);
  },

  batch: async () => {
    const insert = (name) => ['INSERT INTO smoke_author (name) VALUES (?)', [name]];
    await onStream(async (stream) => {
      const made = await inBatch(stream, [insert('batch one'), insert('batch two')]);
      assert.deepEqual(
        made.map((answer) => answer.status),
        ['fulfilled', 'fulfilled', 'fulfilled', 'fulfilled'],
      );
      const [, , duplicate] = await inBatch(stream, [insert('batch three'), insert('batch one')]);
      assert.match(explain(duplicate.reason), /UNIQUE constraint failed/);
    });
    assert.equal(await countOf('smoke_author', 'name', 'batch %'), 2);
  },

  cascade: async () => {
    const { lastInsertRowid } = await run("INSERT INTO smoke_author (name) VALUES ('with books')");
    await run("INSERT INTO smoke_book (author_id, title) VALUES (?1, 'cascade'), (?1, 'cascade')", [
      lastInsertRowid,
    ]);
    await run('DELETE FROM smoke_author WHERE id = ?', [lastInsertRowid]);
    assert.equal(await countOf('smoke_book', 'title', 'cascade'), 0, 'books of a deleted author');
    const orphan = await errorOf(() =>
      run("INSERT INTO smoke_book (author_id, title) VALUES (999999, 'orphan')"),
    );
    assert.match(explain(orphan), /FOREIGN KEY constraint failed/);
  },

  unique: async () => {
    await run("INSERT INTO smoke_author (name) VALUES ('only one')");
    const error = await errorOf(() => run("INSERT INTO smoke_author (name) VALUES ('only one')"));
    assert.equal(error.code, 'SQLITE_CONSTRAINT');
    assert.match(error.message, /UNIQUE constraint failed: smoke_author\.name/);
  },

  describe: async () => {
    for (const columns of ['a', 'a, b', 'a, b, c']) {
      await onStream((stream) =>
        stream.sequence(`DROP TABLE IF EXISTS smoke_again; CREATE TABLE smoke_again (${columns});`),
      );
      const described = await onStream((stream) => stream.describe('SELECT * FROM smoke_again'));
      assert.equal(described.columns.map((column) => column.name).join(', '), columns);
    }
  },

  infinity: async () => assert.equal((await row("SELECT 9e999, -9e999, 'after' AS words")).words, 'after'),

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await run('INSERT INTO smoke_author (name) VALUES (?)', [`own ${n}`]);
      assert.equal(await countOf('smoke_author', 'name', 'own %'), n);
    }
  },
});
