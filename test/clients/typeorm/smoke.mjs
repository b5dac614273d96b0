/** TypeORM's better-sqlite3 driver over the native `libsql` package as a remote client; the schema by TypeORM's migrations. */
import 'reflect-metadata';
import assert from 'node:assert/strict';
import libsql from 'libsql';
import { DataSource, EntitySchema, In, Like, MoreThanOrEqual } from 'typeorm';
import { byteList, bytes, errorOf, explain, fraction, ownWrites, smoke, url, words } from '../shared/smoke.mjs';

const Author = new EntitySchema({
  name: 'Author',
  tableName: 'smoke_author',
  columns: {
    id: { type: 'integer', primary: true, generated: 'increment' },
    name: { type: 'text', unique: true },
  },
});
const Book = new EntitySchema({
  name: 'Book',
  tableName: 'smoke_book',
  columns: {
    id: { type: 'integer', primary: true, generated: 'increment' },
    authorId: { type: 'integer', name: 'author_id' },
    title: { type: 'text' },
  },
  relations: {
    author: {
      type: 'many-to-one',
      target: 'Author',
      joinColumn: { name: 'author_id' },
      onDelete: 'CASCADE',
    },
  },
});
const Value = new EntitySchema({
  name: 'Value',
  tableName: 'smoke_value',
  columns: {
    id: { type: 'integer', primary: true },
    nil: { type: 'text', nullable: true },
    fraction: { type: 'real', nullable: true },
    words: { type: 'text', nullable: true },
    bytes: { type: 'blob', nullable: true },
  },
});

/** TypeORM takes the order of migrations from the time stamp that ends their names. */
class Authors1700000000001 {
  name = 'Authors1700000000001';
  async up(runner) {
    await runner.query(
      'CREATE TABLE "smoke_author" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "name" text NOT NULL UNIQUE)',
    );
    await runner.query(
      'CREATE TABLE "smoke_book" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "author_id" integer NOT NULL, "title" text NOT NULL, FOREIGN KEY ("author_id") REFERENCES "smoke_author" ("id") ON DELETE CASCADE)',
    );
  }
  async down() {}
}
class Values1700000000002 {
  name = 'Values1700000000002';
  async up(runner) {
    await runner.query(
      'CREATE TABLE "smoke_value" ("id" integer PRIMARY KEY NOT NULL, "nil" text, "big" integer, "fraction" real, "words" text, "bytes" blob)',
    );
  }
  async down() {}
}

const database = new DataSource({
  type: 'better-sqlite3',
  driver: libsql,
  database: url,
  // A remote statement of `libsql` stays with the stream it was prepared on, and a cached BEGIN would run in an old one.
  statementCacheSize: 0,
  entities: [Author, Book, Value],
  migrations: [Authors1700000000001, Values1700000000002],
  migrationsTableName: 'smoke_typeorm_migrations',
});
const authors = database.getRepository(Author);
const books = database.getRepository(Book);
const values = database.getRepository(Value);

await smoke({
  connect: async () => {
    await database.initialize();
    const [row] = await database.query('SELECT 1 AS one');
    assert.equal(row.one, 1);
  },

  schema: async () => {
    const done = await database.runMigrations();
    assert.deepEqual(
      done.map((migration) => migration.name),
      ['Authors1700000000001', 'Values1700000000002'],
    );
    assert.deepEqual(await database.runMigrations(), []);
  },

  insert: async () => {
    await values.insert({ id: 1, nil: null, fraction, words, bytes: Buffer.from(bytes) });
    // TypeORM binds no bigint through this driver; the engine makes one of the text.
    await database.query('UPDATE smoke_value SET big = CAST(? AS INTEGER) WHERE id = 1', ['9007199254740993']);
  },

  read: async () => {
    const row = await values.findOneByOrFail({ id: 1 });
    assert.deepEqual(
      { ...row, bytes: byteList(row.bytes) },
      { id: 1, nil: null, fraction, words, bytes: [...bytes] },
    );
    const [types] = await database.query(
      'SELECT typeof(nil) AS a, typeof(big) AS b, typeof(fraction) AS c, typeof(words) AS d, typeof(bytes) AS e, CAST(big AS TEXT) AS big FROM smoke_value',
    );
    assert.deepEqual([types.a, types.b, types.c, types.d, types.e], ['null', 'integer', 'real', 'text', 'blob']);
    assert.equal(types.big, '9007199254740993');
  },

  'last-id': async () => {
    const first = await authors.insert({ name: 'first' });
    const second = await authors.insert({ name: 'second' });
    assert.equal(second.identifiers[0].id, first.identifiers[0].id + 1);
    const saved = await authors.save({ name: 'third' });
    assert.equal(saved.id, second.identifiers[0].id + 1);
  },

  changes: async () => {
    await values.insert([{ id: 10 }, { id: 11 }, { id: 12 }]);
    const updated = await values.update({ id: In([10, 11]) }, { words: 'changed' });
    assert.equal(updated.affected, 2);
    const deleted = await values.delete({ id: MoreThanOrEqual(10) });
    assert.equal(deleted.affected, 3);
  },

  commit: async () => {
    await database.transaction(async (manager) => {
      const author = await manager.save(Author, { name: 'committed' });
      await manager.insert(Book, { authorId: author.id, title: 'kept' });
      assert.equal(await manager.countBy(Book, { title: 'kept' }), 1);
    });
    assert.equal(await authors.countBy({ name: 'committed' }), 1);
    assert.equal(await books.countBy({ title: 'kept' }), 1);
  },

  rollback: async () => {
    const error = await errorOf(() =>
      database.transaction(async (manager) => {
        await manager.insert(Author, { name: 'rolled back' });
        throw new Error('changed my mind');
      }),
    );
    assert.equal(error.message, 'changed my mind');
    assert.equal(await authors.countBy({ name: 'rolled back' }), 0);
  },

  cascade: async () => {
    const author = await authors.save({ name: 'with books' });
    await books.insert([
      { authorId: author.id, title: 'cascade' },
      { authorId: author.id, title: 'cascade' },
    ]);
    await authors.delete({ id: author.id });
    assert.equal(await books.countBy({ title: 'cascade' }), 0, 'books of a deleted author');
    const orphan = await errorOf(() => books.insert({ authorId: 999_999, title: 'orphan' }));
    assert.match(explain(orphan), /FOREIGN KEY constraint failed/);
  },

  unique: async () => {
    await authors.insert({ name: 'only one' });
    const error = await errorOf(() => authors.insert({ name: 'only one' }));
    assert.match(explain(error), /UNIQUE constraint failed: smoke_author\.name/);
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await authors.insert({ name: `own ${n}` });
      assert.equal(await authors.countBy({ name: Like('own %') }), n);
    }
  },
});
