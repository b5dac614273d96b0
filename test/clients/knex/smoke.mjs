/** knex with libSQL's dialect (over @libsql/sqlite3 and an old hrana-client); the schema by knex's migrations. */
import assert from 'node:assert/strict';
import dialect from '@libsql/knex-libsql';
import makeKnex from 'knex';
import {
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

const knex = makeKnex({ client: dialect, connection: { filename: url }, useNullAsDefault: true });

const migrations = {
  '001-authors': {
    up: async (schema) => {
      await schema.schema.createTable('smoke_author', (table) => {
        table.increments('id');
        table.text('name').notNullable().unique();
      });
      await schema.schema.createTable('smoke_book', (table) => {
        table.increments('id');
        table.integer('author_id').notNullable().references('smoke_author.id').onDelete('CASCADE');
        table.text('title').notNullable();
      });
    },
    down: async () => {},
  },
  '002-values': {
    up: async (schema) => {
      await schema.schema.createTable('smoke_value', (table) => {
        table.integer('id').primary();
        table.text('nil');
        table.bigInteger('big');
        table.bigInteger('small');
        table.float('fraction');
        table.text('words');
        table.binary('bytes');
      });
    },
    down: async () => {},
  },
};

const migrateConfig = {
  tableName: 'smoke_knex_migrations',
  migrationSource: {
    getMigrations: async () => Object.keys(migrations),
    getMigrationName: (name) => name,
    getMigration: async (name) => migrations[name],
  },
};

async function countOf(table, column, value) {
  const [row] = await knex(table).where(column, 'like', value).count({ n: '*' });
  return Number(row.n);
}

await smoke({
  connect: async () => {
    const [row] = await knex.raw('SELECT 1 AS one');
    assert.equal(row.one, 1);
  },

  schema: async () => {
    const [, done] = await knex.migrate.latest(migrateConfig);
    assert.deepEqual(done, ['001-authors', '002-values']);
    const [, again] = await knex.migrate.latest(migrateConfig);
    assert.deepEqual(again, []);
    assert.equal(await knex.schema.hasTable('smoke_book'), true);
  },

  insert: async () => {
    // This client has no 64-bit integers: they go in, and come back, as text that the engine converts.
    await knex('smoke_value').insert({
      id: 1,
      nil: null,
      big: knex.raw('9007199254740993'),
      small: knex.raw('CAST(? AS INTEGER)', [String(smallestInteger)]),
      fraction,
      words,
      bytes: Buffer.from(bytes),
    });
  },

  read: async () => {
    const row = await knex('smoke_value')
      .where({ id: 1 })
      .first('nil', 'fraction', 'words', 'bytes')
      .select(knex.raw('CAST(big AS TEXT) AS big'), knex.raw('CAST(small AS TEXT) AS small'));
    assert.deepEqual(
      { ...row, bytes: byteList(row.bytes) },
      {
        nil: null,
        big: '9007199254740993',
        small: String(smallestInteger),
        fraction,
        words,
        bytes: [...bytes],
      },
    );
    const [types] = await knex.raw(
      'SELECT typeof(nil) AS a, typeof(big) AS b, typeof(fraction) AS c, typeof(words) AS d, typeof(bytes) AS e FROM smoke_value',
    );
    assert.deepEqual([types.a, types.b, types.c, types.d, types.e], ['null', 'integer', 'real', 'text', 'blob']);
  },

  'last-id': async () => {
    const [first] = await knex('smoke_author').insert({ name: 'first' });
    const [second] = await knex('smoke_author').insert({ name: 'second' });
    assert.equal(second, first + 1);
    const [third] = await knex('smoke_author').insert({ name: 'third' }).returning('id');
    assert.equal(third.id, second + 1);
  },

  changes: async () => {
    await knex('smoke_value').insert([{ id: 10 }, { id: 11 }, { id: 12 }]);
    assert.equal(await knex('smoke_value').whereIn('id', [10, 11]).update({ words: 'changed' }), 2);
    assert.equal(await knex('smoke_value').where('id', '>=', 10).delete(), 3);
  },

  commit: async () => {
    await knex.transaction(async (tx) => {
      const [id] = await tx('smoke_author').insert({ name: 'committed' });
      await tx('smoke_book').insert({ author_id: id, title: 'kept' });
    });
    assert.equal(await countOf('smoke_author', 'name', 'committed'), 1);
    assert.equal(await countOf('smoke_book', 'title', 'kept'), 1);
  },

  rollback: async () => {
    const error = await errorOf(() =>
      knex.transaction(async (tx) => {
        await tx('smoke_author').insert({ name: 'rolled back' });
        throw new Error('changed my mind');
      }),
    );
    assert.equal(error.message, 'changed my mind');
    assert.equal(await countOf('smoke_author', 'name', 'rolled back'), 0);
  },

  cascade: async () => {
    const [id] = await knex('smoke_author').insert({ name: 'with books' });
    await knex('smoke_book').insert([
      { author_id: id, title: 'cascade' },
      { author_id: id, title: 'cascade' },
    ]);
    await knex('smoke_author').where({ id }).delete();
    assert.equal(await countOf('smoke_book', 'title', 'cascade'), 0, 'books of a deleted author');
    const orphan = await errorOf(() => knex('smoke_book').insert({ author_id: 999_999, title: 'orphan' }));
    assert.match(explain(orphan), /FOREIGN KEY constraint failed/);
  },

  unique: async () => {
    await knex('smoke_author').insert({ name: 'only one' });
    const error = await errorOf(() => knex('smoke_author').insert({ name: 'only one' }));
    assert.match(explain(error), /UNIQUE constraint failed: smoke_author\.name/);
    assert.match(explain(error), /SQLITE_CONSTRAINT/);
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await knex('smoke_author').insert({ name: `own ${n}` });
      assert.equal(await countOf('smoke_author', 'name', 'own %'), n);
    }
  },
});
