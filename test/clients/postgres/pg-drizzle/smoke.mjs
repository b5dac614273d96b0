/** Drizzle ORM over node-postgres; the schema by migrations that drizzle-kit generates. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { count, eq, like, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import pg from 'pg';
import { row, sameRow, sqlstateOf } from '../shared/postgres.mjs';
import { errorOf, ownWrites, smoke, url } from '../shared/smoke.mjs';
import { author, book, value } from './schema.mjs';

const db = drizzle(new pg.Pool({ connectionString: url, max: 4 }));
const migrationsFolder = './migrations';
const kitTimeoutMs = 80_000;

function kit(...args) {
  const tool = ['node_modules/drizzle-kit/bin.cjs', ...args, '--dialect', 'postgresql'];
  return execFileSync(process.execPath, tool, { encoding: 'utf8', timeout: kitTimeoutMs, stdio: 'pipe' });
}

/** The filter keeps `push` from dropping every table that the schema does not name. Note: `push` exits 0 when it failed. */
const push = (schema) =>
  kit('push', '--force', '--url', url, '--schema', schema, '--tablesFilter', 'smoke_{author,book,value}');

const authorsLike = async (name) => {
  const [{ n }] = await db.select({ n: count() }).from(author).where(like(author.name, name));
  return Number(n);
};

await smoke({
  connect: async () => assert.equal((await db.execute(sql`SELECT 1 AS one`)).rows[0].one, 1),

  schema: async () => {
    rmSync(migrationsFolder, { recursive: true, force: true });
    kit('generate', '--out', migrationsFolder, '--schema', './schema.mjs');
    // The migrator keeps its books in the schema `drizzle`.
    await migrate(db, { migrationsFolder });
    await migrate(db, { migrationsFolder });
    const { rows } = await db.execute(sql`SELECT table_name AS name FROM information_schema.tables WHERE table_name LIKE 'smoke\\_%'`);
    assert.deepEqual(
      rows.map(({ name }) => name).sort(),
      ['smoke_author', 'smoke_book', 'smoke_value'],
    );
  },

  insert: async () => void (await db.insert(value).values(row)),

  read: async () => sameRow((await db.select().from(value).where(eq(value.id, 1)))[0]),

  commit: async () => {
    await db.transaction(async (tx) => {
      const [made] = await tx.insert(author).values({ name: 'kept' }).returning();
      await tx.insert(book).values({ authorId: made.id, title: 'kept' });
    });
    assert.equal(await authorsLike('kept'), 1);
  },

  rollback: async () => {
    await errorOf(() =>
      db.transaction(async (tx) => {
        await tx.insert(author).values({ name: 'gone' });
        const inner = await errorOf(() => tx.transaction((deeper) => deeper.execute(sql`SELECT 1 / 0`)));
        assert.equal(sqlstateOf(inner), '22012');
        tx.rollback();
      }),
    );
    assert.equal(await authorsLike('gone'), 0);
  },

  unique: async () => {
    await db.insert(author).values({ name: 'only one' });
    assert.equal(sqlstateOf(await errorOf(() => db.insert(author).values({ name: 'only one' }))), '23505');
  },

  prepared: async () => {
    const prepared = db.select().from(author).where(eq(author.name, sql.placeholder('name'))).prepare('by_name');
    for (const name of ['kept', 'only one', 'nobody'])
      assert.equal((await prepared.execute({ name })).length, name === 'nobody' ? 0 : 1);
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await db.insert(author).values({ name: `own ${n}` });
      assert.equal(await authorsLike('own %'), n);
    }
  },

  push: async () => {
    assert.doesNotMatch(push('./schema.mjs'), /Changes applied/);
    assert.match(push('./schema-next.mjs'), /Changes applied/);
    const { rows } = await db.execute(
      sql`SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'smoke_author' ORDER BY ordinal_position`,
    );
    assert.deepEqual(
      rows.map(({ name }) => name),
      ['id', 'name', 'born'],
    );
  },
});
