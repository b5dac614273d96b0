/** node-postgres, with pg-cursor and pg-copy-streams. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import { columns, parameters, sameRow, schema } from '../shared/postgres.mjs';
import { errorOf, ownWrites, smoke, url } from '../shared/smoke.mjs';

const pool = new pg.Pool({ connectionString: url, max: 4 });

const one = async (text, values = []) => (await pool.query(text, values)).rows[0];
const authorsLike = async (name) =>
  Number((await one('SELECT count(*) AS n FROM smoke_author WHERE name LIKE $1', [name])).n);

async function withClient(use) {
  const client = await pool.connect();
  try {
    return await use(client);
  } finally {
    client.release();
  }
}

await smoke({
  connect: async () => assert.equal((await one('SELECT 1 AS one')).one, 1),

  schema: async () => {
    for (const statement of schema) await pool.query(statement);
  },

  insert: async () => {
    const places = columns.map((_, at) => `$${at + 1}`).join(', ');
    const text = `INSERT INTO smoke_value (${columns.join(', ')}) VALUES (${places})`;
    assert.equal((await pool.query(text, parameters)).rowCount, 1);
  },

  read: async () => sameRow(await one('SELECT * FROM smoke_value WHERE id = $1', [1])),

  commit: async () => {
    await withClient(async (client) => {
      await client.query('BEGIN');
      const { rows } = await client.query('INSERT INTO smoke_author (name) VALUES ($1) RETURNING id', ['kept']);
      await client.query('INSERT INTO smoke_book (author_id, title) VALUES ($1, $2)', [rows[0].id, 'kept']);
      await client.query('COMMIT');
    });
    assert.equal(await authorsLike('kept'), 1);
  },

  rollback: async () => {
    await withClient(async (client) => {
      await client.query('BEGIN');
      await client.query("INSERT INTO smoke_author (name) VALUES ('gone')");
      await client.query('SAVEPOINT inner_one');
      assert.equal((await errorOf(() => client.query('SELECT 1 / 0'))).code, '22012');
      await client.query('ROLLBACK TO inner_one');
      assert.equal(Number((await client.query("SELECT count(*) AS n FROM smoke_author WHERE name = 'gone'")).rows[0].n), 1);
      await client.query('ROLLBACK');
    });
    assert.equal(await authorsLike('gone'), 0);
  },

  unique: async () => {
    await pool.query("INSERT INTO smoke_author (name) VALUES ('only one')");
    const error = await errorOf(() => pool.query('INSERT INTO smoke_author (name) VALUES ($1)', ['only one']));
    assert.equal(error.code, '23505');
    assert.equal(error.constraint, 'smoke_author_name_key');
    const orphan = await errorOf(() => pool.query("INSERT INTO smoke_book (author_id, title) VALUES (999999, '')"));
    assert.equal(orphan.code, '23503');
  },

  prepared: async () => {
    await withClient(async (client) => {
      for (let n = 1; n <= 5; n++) {
        const { rows } = await client.query({ name: 'twice', text: 'SELECT $1::int * 2 AS n', values: [n] });
        assert.equal(rows[0].n, 2 * n);
      }
    });
  },

  cursor: async () => {
    await withClient(async (client) => {
      const cursor = client.query(new Cursor('SELECT n FROM generate_series(1, $1) AS n', [250]));
      const read = [];
      for (let rows = await cursor.read(100); rows.length > 0; rows = await cursor.read(100)) read.push(rows.length);
      assert.deepEqual(read, [100, 100, 50]);
      await cursor.close();
    });
  },

  copy: async () => {
    await withClient(async (client) => {
      const lines = Array.from({ length: 500 }, (_, n) => `copied ${n}\n`);
      await pipeline(Readable.from(lines), client.query(copyFrom('COPY smoke_author (name) FROM STDIN')));
      let text = '';
      const out = client.query(copyTo("COPY (SELECT name FROM smoke_author WHERE name LIKE 'copied %' ORDER BY id) TO STDOUT"));
      for await (const chunk of out) text += chunk;
      assert.equal(text, lines.join(''));
    });
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await pool.query('INSERT INTO smoke_author (name) VALUES ($1)', [`own ${n}`]);
      assert.equal(await authorsLike('own %'), n);
    }
  },
});
