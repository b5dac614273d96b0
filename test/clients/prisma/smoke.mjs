/** Prisma Client with its libSQL adapter; the schema as Prisma's documentation has libSQL users apply it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { PrismaLibSql } from '@prisma/adapter-libsql';
import { PrismaClient } from '@prisma/client';
import {
  bigInteger,
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

const factory = new PrismaLibSql({ url, intMode: 'bigint' });
const prisma = new PrismaClient({ adapter: factory });

await smoke({
  connect: async () => {
    const [row] = await prisma.$queryRaw`SELECT 1 AS one`;
    assert.equal(Number(row.one), 1);
  },

  schema: async () => {
    const adapter = await factory.connect();
    await adapter.executeScript(readFileSync('migration.sql', 'utf8'));
    await adapter.dispose();
    assert.equal(await prisma.author.count(), 0);
  },

  insert: async () => {
    await prisma.value.create({
      data: { id: 1, nil: null, big: bigInteger, small: smallestInteger, fraction, words, bytes },
    });
  },

  read: async () => {
    const row = await prisma.value.findUniqueOrThrow({ where: { id: 1 } });
    assert.deepEqual(
      { ...row, bytes: [...row.bytes] },
      { id: 1, nil: null, big: bigInteger, small: smallestInteger, fraction, words, bytes: [...bytes] },
    );
    const [types] =
      await prisma.$queryRaw`SELECT typeof(nil) AS a, typeof(big) AS b, typeof(fraction) AS c, typeof(words) AS d, typeof(bytes) AS e FROM smoke_value`;
    assert.deepEqual([types.a, types.b, types.c, types.d, types.e], ['null', 'integer', 'real', 'text', 'blob']);
  },

  'last-id': async () => {
    const first = await prisma.author.create({ data: { name: 'first' } });
    const second = await prisma.author.create({ data: { name: 'second' } });
    assert.equal(second.id, first.id + 1);
  },

  changes: async () => {
    const created = await prisma.value.createMany({ data: [{ id: 10 }, { id: 11 }, { id: 12 }] });
    assert.equal(created.count, 3);
    const updated = await prisma.value.updateMany({
      where: { id: { in: [10, 11] } },
      data: { words: 'changed' },
    });
    assert.equal(updated.count, 2);
    const deleted = await prisma.value.deleteMany({ where: { id: { gte: 10 } } });
    assert.equal(deleted.count, 3);
    assert.equal(await prisma.$executeRaw`UPDATE smoke_value SET nil = NULL WHERE id = 1`, 1);
  },

  commit: async () => {
    await prisma.$transaction(async (tx) => {
      const author = await tx.author.create({ data: { name: 'committed' } });
      await tx.book.create({ data: { authorId: author.id, title: 'kept' } });
      assert.equal(await tx.book.count({ where: { title: 'kept' } }), 1);
    });
    const author = await prisma.author.findUniqueOrThrow({
      where: { name: 'committed' },
      include: { books: true },
    });
    assert.equal(author.books.length, 1);
  },

  rollback: async () => {
    const error = await errorOf(() =>
      prisma.$transaction(async (tx) => {
        await tx.author.create({ data: { name: 'rolled back' } });
        throw new Error('changed my mind');
      }),
    );
    assert.equal(error.message, 'changed my mind');
    assert.equal(await prisma.author.count({ where: { name: 'rolled back' } }), 0);
  },

  batch: async () => {
    const [one, two, count] = await prisma.$transaction([
      prisma.author.create({ data: { name: 'batch one' } }),
      prisma.author.create({ data: { name: 'batch two' } }),
      prisma.author.count({ where: { name: { startsWith: 'batch ' } } }),
    ]);
    assert.deepEqual([one.name, two.name, count], ['batch one', 'batch two', 2]);
    await errorOf(() =>
      prisma.$transaction([
        prisma.author.create({ data: { name: 'batch three' } }),
        prisma.author.create({ data: { name: 'batch one' } }),
      ]),
    );
    assert.equal(await prisma.author.count({ where: { name: 'batch three' } }), 0);
  },

  cascade: async () => {
    const author = await prisma.author.create({
      data: { name: 'with books', books: { create: [{ title: 'cascade' }, { title: 'cascade' }] } },
    });
    await prisma.author.delete({ where: { id: author.id } });
    assert.equal(await prisma.book.count({ where: { title: 'cascade' } }), 0, 'books of a deleted author');
    const orphan = await errorOf(() => prisma.book.create({ data: { authorId: 999_999, title: 'orphan' } }));
    assert.match(explain(orphan), /FOREIGN KEY constraint failed/);
  },

  unique: async () => {
    await prisma.author.create({ data: { name: 'only one' } });
    const error = await errorOf(() => prisma.author.create({ data: { name: 'only one' } }));
    // The adapter takes P2002 from an extended code that @libsql/client drops for every remote server: the message it is.
    assert.match(explain(error), /UNIQUE constraint failed: smoke_author\.name/);
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await prisma.author.create({ data: { name: `own ${n}` } });
      assert.equal(await prisma.author.count({ where: { name: { startsWith: 'own ' } } }), n);
    }
  },
});
