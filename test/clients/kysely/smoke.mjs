/** Kysely with libSQL's own dialect; the schema by Kysely's migrator. */
import assert from 'node:assert/strict';
import { createClient } from '@libsql/client';
import { LibsqlDialect } from '@libsql/kysely-libsql';
import { Kysely, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
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

const db = new Kysely({ dialect: new LibsqlDialect({ client: createClient({ url, intMode: 'bigint' }) }) });

const migrations = {
  '001-authors': {
    up: async (schema) => {
      await schema.schema
        .createTable('smoke_author')
        .addColumn('id', 'integer', (column) => column.primaryKey())
        .addColumn('name', 'text', (column) => column.notNull().unique())
        .execute();
      await schema.schema
        .createTable('smoke_book')
        .addColumn('id', 'integer', (column) => column.primaryKey())
        .addColumn('author_id', 'integer', (column) =>
          column.notNull().references('smoke_author.id').onDelete('cascade'),
        )
        .addColumn('title', 'text', (column) => column.notNull())
        .execute();
    },
  },
  '002-values': {
    up: async (schema) => {
      await schema.schema
        .createTable('smoke_value')
        .addColumn('id', 'integer', (column) => column.primaryKey())
        .addColumn('nil', 'text')
        .addColumn('big', 'integer')
        .addColumn('small', 'integer')
        .addColumn('fraction', 'real')
        .addColumn('words', 'text')
        .addColumn('bytes', 'blob')
        .execute();
    },
  },
};

const migrator = new Migrator({
  db,
  provider: { getMigrations: async () => migrations },
  migrationTableName: 'smoke_kysely_migration',
  migrationLockTableName: 'smoke_kysely_migration_lock',
});

async function migrateToLatest() {
  const { error, results } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
  return results.map((result) => [result.migrationName, result.status]);
}

async function countOf(table, column, value) {
  const { n } = await db
    .selectFrom(table)
    .select((builder) => builder.fn.countAll().as('n'))
    .where(column, 'like', value)
    .executeTakeFirstOrThrow();
  return Number(n);
}

const insertAuthor = (name, on = db) =>
  on.insertInto('smoke_author').values({ name }).returning('id').executeTakeFirstOrThrow();

await smoke({
  connect: async () => {
    const { rows } = await sql`SELECT 1 AS one`.execute(db);
    assert.equal(Number(rows[0].one), 1);
  },

  schema: async () => {
    assert.deepEqual(await migrateToLatest(), [
      ['001-authors', 'Success'],
      ['002-values', 'Success'],
    ]);
    assert.deepEqual(await migrateToLatest(), []);
    const tables = (await db.introspection.getTables()).map((table) => table.name);
    for (const name of ['smoke_author', 'smoke_book', 'smoke_value']) assert.ok(tables.includes(name), name);
  },

  insert: async () => {
    await db
      .insertInto('smoke_value')
      .values({ id: 1, nil: null, big: bigInteger, small: smallestInteger, fraction, words, bytes })
      .execute();
  },

  read: async () => {
    const row = await db.selectFrom('smoke_value').selectAll().where('id', '=', 1).executeTakeFirstOrThrow();
    assert.deepEqual(
      { ...row, bytes: byteList(row.bytes) },
      { id: 1n, nil: null, big: bigInteger, small: smallestInteger, fraction, words, bytes: [...bytes] },
    );
    const { rows } =
      await sql`SELECT typeof(nil) AS a, typeof(big) AS b, typeof(fraction) AS c, typeof(words) AS d, typeof(bytes) AS e FROM smoke_value`.execute(
        db,
      );
    const [types] = rows;
    assert.deepEqual([types.a, types.b, types.c, types.d, types.e], ['null', 'integer', 'real', 'text', 'blob']);
  },

  'last-id': async () => {
    const first = await db.insertInto('smoke_author').values({ name: 'first' }).executeTakeFirst();
    const second = await db.insertInto('smoke_author').values({ name: 'second' }).executeTakeFirst();
    assert.equal(second.insertId, first.insertId + 1n);
    assert.equal((await insertAuthor('third')).id, second.insertId + 1n);
  },

  changes: async () => {
    await db
      .insertInto('smoke_value')
      .values([{ id: 10 }, { id: 11 }, { id: 12 }])
      .execute();
    const updated = await db
      .updateTable('smoke_value')
      .set({ words: 'changed' })
      .where('id', 'in', [10, 11])
      .executeTakeFirst();
    assert.equal(updated.numUpdatedRows, 2n);
    const deleted = await db.deleteFrom('smoke_value').where('id', '>=', 10).executeTakeFirst();
    assert.equal(deleted.numDeletedRows, 3n);
  },

  commit: async () => {
    await db.transaction().execute(async (tx) => {
      const { id } = await insertAuthor('committed', tx);
      await tx.insertInto('smoke_book').values({ author_id: id, title: 'kept' }).execute();
    });
    assert.equal(await countOf('smoke_author', 'name', 'committed'), 1);
    assert.equal(await countOf('smoke_book', 'title', 'kept'), 1);
  },

  rollback: async () => {
    const error = await errorOf(() =>
      db.transaction().execute(async (tx) => {
        await insertAuthor('rolled back', tx);
        throw new Error('changed my mind');
      }),
    );
    assert.equal(error.message, 'changed my mind');
    assert.equal(await countOf('smoke_author', 'name', 'rolled back'), 0);
  },

  cascade: async () => {
    const { id } = await insertAuthor('with books');
    await db
      .insertInto('smoke_book')
      .values([
        { author_id: id, title: 'cascade' },
        { author_id: id, title: 'cascade' },
      ])
      .execute();
    await db.deleteFrom('smoke_author').where('id', '=', id).execute();
    assert.equal(await countOf('smoke_book', 'title', 'cascade'), 0, 'books of a deleted author');
    const orphan = await errorOf(() =>
      db.insertInto('smoke_book').values({ author_id: 999_999, title: 'orphan' }).execute(),
    );
    assert.match(explain(orphan), /FOREIGN KEY constraint failed/);
  },

  unique: async () => {
    await insertAuthor('only one');
    const error = await errorOf(() => insertAuthor('only one'));
    assert.match(explain(error), /UNIQUE constraint failed: smoke_author\.name/);
    assert.match(explain(error), /SQLITE_CONSTRAINT/);
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await insertAuthor(`own ${n}`);
      assert.equal(await countOf('smoke_author', 'name', 'own %'), n);
    }
  },
});
