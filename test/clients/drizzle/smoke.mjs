/** Drizzle ORM over @libsql/client; the schema by migrations that drizzle-kit generates. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createClient } from '@libsql/client';
import { count, eq, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/libsql';
import { migrate } from 'drizzle-orm/libsql/migrator';
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
import { author, book, value } from './schema.mjs';

const db = drizzle(createClient({ url, intMode: 'bigint' }));
const migrationsFolder = './migrations';
const kitTimeoutMs = 60_000;

function kit(...args) {
  const tool = ['node_modules/drizzle-kit/bin.cjs', ...args, '--dialect', 'turso'];
  return execFileSync(process.execPath, tool, { encoding: 'utf8', timeout: kitTimeoutMs, stdio: 'pipe' });
}

/** The filter keeps `push` from dropping every table that the schema does not name. Note: `push` exits 0 when it failed. */
const push = (schema) =>
  kit('push', '--force', '--url', url, '--schema', schema, '--tablesFilter', 'smoke_{author,book,value}');

const authorsNamed = async (name) => {
  const [row] = await db.select({ n: count() }).from(author).where(eq(author.name, name));
  return Number(row.n);
};

await smoke({
  connect: async () => assert.equal(Number((await db.get(sql`SELECT 1 AS one`)).one), 1),

  schema: async () => {
    rmSync(migrationsFolder, { recursive: true, force: true });
    kit('generate', '--out', migrationsFolder, '--schema', './schema.mjs');
    await migrate(db, { migrationsFolder, migrationsTable: 'smoke_drizzle_migrations' });
    await migrate(db, { migrationsFolder, migrationsTable: 'smoke_drizzle_migrations' });
    const tables = await db.all(sql`SELECT name FROM sqlite_schema WHERE name LIKE 'smoke\\_%' ESCAPE '\\' AND type = 'table'`);
    assert.deepEqual(
      tables.map((table) => table.name).sort(),
      ['smoke_author', 'smoke_book', 'smoke_drizzle_migrations', 'smoke_value'],
    );
  },

  insert: async () => {
    await db.insert(value).values({
      id: 1,
      nil: null,
      big: bigInteger,
      small: smallestInteger,
      fraction,
      words,
      bytes: Buffer.from(bytes),
    });
  },

  read: async () => {
    const [row] = await db.select().from(value).where(eq(value.id, 1));
    assert.deepEqual(
      { ...row, bytes: byteList(row.bytes) },
      { id: 1n, nil: null, big: bigInteger, small: smallestInteger, fraction, words, bytes: [...bytes] },
    );
    const types = await db.get(
      sql`SELECT typeof(nil) AS a, typeof(big) AS b, typeof(fraction) AS c, typeof(words) AS d, typeof(bytes) AS e FROM smoke_value`,
    );
    assert.deepEqual([types.a, types.b, types.c, types.d, types.e], ['null', 'integer', 'real', 'text', 'blob']);
  },

  'last-id': async () => {
    const first = await db.insert(author).values({ name: 'first' });
    const second = await db.insert(author).values({ name: 'second' });
    assert.equal(second.lastInsertRowid, first.lastInsertRowid + 1n);
    const [returned] = await db.insert(author).values({ name: 'third' }).returning();
    assert.equal(returned.id, second.lastInsertRowid + 1n);
  },

  changes: async () => {
    await db.insert(value).values([{ id: 10 }, { id: 11 }, { id: 12 }]);
    const updated = await db.update(value).set({ words: 'changed' }).where(sql`id >= 10 AND id < 12`);
    assert.equal(updated.rowsAffected, 2);
    const deleted = await db.delete(value).where(sql`id >= 10`);
    assert.equal(deleted.rowsAffected, 3);
  },

  commit: async () => {
    await db.transaction(async (tx) => {
      const [made] = await tx.insert(author).values({ name: 'committed' }).returning();
      await tx.insert(book).values({ authorId: made.id, title: 'kept' });
      const [seen] = await tx.select({ n: count() }).from(book).where(eq(book.title, 'kept'));
      assert.equal(Number(seen.n), 1);
    });
    assert.equal(await authorsNamed('committed'), 1);
  },

  rollback: async () => {
    const error = await errorOf(() =>
      db.transaction(async (tx) => {
        await tx.insert(author).values({ name: 'rolled back' });
        tx.rollback();
      }),
    );
    assert.match(explain(error), /rollback/i);
    assert.equal(await authorsNamed('rolled back'), 0);
  },

  batch: async () => {
    const [one, two, counted] = await db.batch([
      db.insert(author).values({ name: 'batch one' }),
      db.insert(author).values({ name: 'batch two' }),
      db.select({ n: count() }).from(author).where(sql`name LIKE 'batch %'`),
    ]);
    assert.equal(one.rowsAffected + two.rowsAffected, 2);
    assert.equal(Number(counted[0].n), 2);
    await errorOf(() =>
      db.batch([
        db.insert(author).values({ name: 'batch three' }),
        db.insert(author).values({ name: 'batch one' }),
      ]),
    );
    assert.equal(await authorsNamed('batch three'), 0);
  },

  cascade: async () => {
    const [made] = await db.insert(author).values({ name: 'with books' }).returning();
    await db.insert(book).values([
      { authorId: made.id, title: 'cascade' },
      { authorId: made.id, title: 'cascade' },
    ]);
    await db.delete(author).where(eq(author.id, made.id));
    const [left] = await db.select({ n: count() }).from(book).where(eq(book.title, 'cascade'));
    assert.equal(Number(left.n), 0, 'books of a deleted author');
    const orphan = await errorOf(() => db.insert(book).values({ authorId: 999_999, title: 'orphan' }));
    assert.match(explain(orphan), /FOREIGN KEY constraint failed/);
  },

  unique: async () => {
    await db.insert(author).values({ name: 'only one' });
    const error = await errorOf(() => db.insert(author).values({ name: 'only one' }));
    assert.match(explain(error), /UNIQUE constraint failed: smoke_author\.name/);
    assert.match(explain(error), /SQLITE_CONSTRAINT/);
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await db.insert(author).values({ name: `own ${n}` });
      const [seen] = await db.select({ n: count() }).from(author).where(sql`name LIKE 'own %'`);
      assert.equal(Number(seen.n), n);
    }
  },

  push: async () => {
    assert.doesNotMatch(push('./schema.mjs'), /Changes applied/);
    assert.match(push('./schema-next.mjs'), /Changes applied/);
    const columns = await db.all(sql`SELECT name FROM pragma_table_info('smoke_author') ORDER BY cid`);
    assert.deepEqual(
      columns.map((column) => column.name),
      ['id', 'name', 'born'],
    );
  },
});
