/** Kysely over node-postgres; the schema by Kysely's migrator. */
import assert from 'node:assert/strict';
import { Kysely, PostgresAdapter, PostgresDialect, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import Cursor from 'pg-cursor';
import { columns, parameters, sameRow, schema, sqlstateOf } from '../shared/postgres.mjs';
import { errorOf, ownWrites, smoke, url } from '../shared/smoke.mjs';

const pool = new pg.Pool({ connectionString: url, max: 4 });

/** Kysely's own takes an advisory lock of the session, which is refused: this one is the transaction's that migrations run in. */
class TransactionLock extends PostgresAdapter {
  async acquireMigrationLock(db) {
    await sql`SELECT pg_advisory_xact_lock(3853314791062309107)`.execute(db);
  }
  async releaseMigrationLock() {}
}
class Dialect extends PostgresDialect {
  createAdapter() {
    return new TransactionLock();
  }
}
const db = new Kysely({ dialect: new Dialect({ pool, cursor: Cursor }) });

const [authors, books, values] = schema;
const migrations = {
  '001-authors': {
    up: async (on) => {
      await sql.raw(authors).execute(on);
      await sql.raw(books).execute(on);
    },
  },
  '002-values': { up: (on) => sql.raw(values).execute(on) },
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

const insertAuthor = (name, on = db) =>
  on.insertInto('smoke_author').values({ name }).returning('id').executeTakeFirstOrThrow();

async function authorsLike(name) {
  const { n } = await db
    .selectFrom('smoke_author')
    .select((builder) => builder.fn.countAll().as('n'))
    .where('name', 'like', name)
    .executeTakeFirstOrThrow();
  return Number(n);
}

await smoke({
  connect: async () => assert.equal((await sql`SELECT 1 AS one`.execute(db)).rows[0].one, 1),

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
    const entries = columns.map((name, at) => [name, parameters[at]]);
    await db.insertInto('smoke_value').values(Object.fromEntries(entries)).execute();
  },

  read: async () => {
    sameRow(await db.selectFrom('smoke_value').selectAll().where('id', '=', 1).executeTakeFirstOrThrow());
  },

  commit: async () => {
    await db.transaction().execute(async (tx) => {
      const { id } = await insertAuthor('kept', tx);
      await tx.insertInto('smoke_book').values({ author_id: id, title: 'kept' }).execute();
    });
    assert.equal(await authorsLike('kept'), 1);
  },

  rollback: async () => {
    const error = await errorOf(() =>
      db
        .transaction()
        .setIsolationLevel('serializable')
        .execute(async (tx) => {
          await insertAuthor('gone', tx);
          throw new Error('changed my mind');
        }),
    );
    assert.equal(error.message, 'changed my mind');
    assert.equal(await authorsLike('gone'), 0);
  },

  unique: async () => {
    await insertAuthor('only one');
    assert.equal(sqlstateOf(await errorOf(() => insertAuthor('only one'))), '23505');
  },

  cursor: async () => {
    await sql`INSERT INTO smoke_author (name) SELECT 'many ' || n FROM generate_series(1, 250) AS n`.execute(db);
    let read = 0;
    for await (const _ of db.selectFrom('smoke_author').selectAll().where('name', 'like', 'many %').stream(100)) read += 1;
    assert.equal(read, 250);
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await insertAuthor(`own ${n}`);
      assert.equal(await authorsLike('own %'), n);
    }
  },
});
