/** postgres.js. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import postgres from 'postgres';
import { row, sameRow, schema, sqlstateOf } from '../shared/postgres.mjs';
import { errorOf, ownWrites, smoke, url } from '../shared/smoke.mjs';

const sql = postgres(url, { max: 4, onnotice: () => undefined });

const authorsLike = async (name) => {
  const [{ n }] = await sql`SELECT count(*) AS n FROM smoke_author WHERE name LIKE ${name}`;
  return Number(n);
};

await smoke({
  connect: async () => assert.equal((await sql`SELECT 1 AS one`)[0].one, 1),

  schema: async () => {
    for (const statement of schema) await sql.unsafe(statement);
  },

  insert: async () => {
    const values = { ...row, big: String(row.big), doc: sql.json(row.doc) };
    assert.equal((await sql`INSERT INTO smoke_value ${sql(values)}`).count, 1);
  },

  read: async () => {
    const [read] = await sql`SELECT * FROM smoke_value WHERE id = ${1}`;
    sameRow({ ...read });
  },

  commit: async () => {
    await sql.begin(async (tx) => {
      const [{ id }] = await tx`INSERT INTO smoke_author (name) VALUES (${'kept'}) RETURNING id`;
      await tx`INSERT INTO smoke_book (author_id, title) VALUES (${id}, ${'kept'})`;
    });
    assert.equal(await authorsLike('kept'), 1);
  },

  rollback: async () => {
    const error = await errorOf(() =>
      sql.begin(async (tx) => {
        await tx`INSERT INTO smoke_author (name) VALUES (${'gone'})`;
        const inner = await errorOf(() => tx.savepoint((point) => point`SELECT 1 / 0`));
        assert.equal(sqlstateOf(inner), '22012');
        throw new Error('changed my mind');
      }),
    );
    assert.equal(error.message, 'changed my mind');
    assert.equal(await authorsLike('gone'), 0);
  },

  unique: async () => {
    await sql`INSERT INTO smoke_author (name) VALUES (${'only one'})`;
    const error = await errorOf(() => sql`INSERT INTO smoke_author (name) VALUES (${'only one'})`);
    assert.equal(error.code, '23505');
    assert.equal(error.constraint_name, 'smoke_author_name_key');
  },

  prepared: async () => {
    // One text, so one statement of each connection, run many times at once.
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => sql`SELECT ${n}::int * 2 AS n`));
    assert.deepEqual(
      answers.map(([{ n }]) => n),
      Array.from({ length: 20 }, (_, n) => 2 * n),
    );
  },

  cursor: async () => {
    const read = [];
    for await (const rows of sql`SELECT n FROM generate_series(1, ${250}) AS n`.cursor(100)) read.push(rows.length);
    assert.deepEqual(read, [100, 100, 50]);
  },

  copy: async () => {
    const lines = Array.from({ length: 500 }, (_, n) => `copied ${n}\n`);
    await pipeline(Readable.from(lines), await sql`COPY smoke_author (name) FROM STDIN`.writable());
    let text = '';
    const out = await sql`COPY (SELECT name FROM smoke_author WHERE name LIKE 'copied %' ORDER BY id) TO STDOUT`.readable();
    for await (const chunk of out) text += chunk;
    assert.equal(text, lines.join(''));
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await sql`INSERT INTO smoke_author (name) VALUES (${`own ${n}`})`;
      assert.equal(await authorsLike('own %'), n);
    }
  },
});
