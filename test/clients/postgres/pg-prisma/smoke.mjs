/** Prisma Client, whose queries its adapter for node-postgres runs; tables as its schema describes them, made by SQL. */
import assert from 'node:assert/strict';
import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaClient } from '@prisma/client';
import { row, sameRow, schema } from '../shared/postgres.mjs';
import { errorOf, ownWrites, smoke, url } from '../shared/smoke.mjs';

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 4 }) });

const authorsLike = (name) => prisma.author.count({ where: { name: { startsWith: name } } });

await smoke({
  connect: async () => assert.equal((await prisma.$queryRaw`SELECT 1 AS one`)[0].one, 1),

  schema: async () => {
    for (const statement of schema) await prisma.$executeRawUnsafe(statement);
    assert.equal(await prisma.author.count(), 0);
  },

  insert: async () => void (await prisma.value.create({ data: row })),

  read: async () => {
    const read = await prisma.value.findUniqueOrThrow({ where: { id: 1 } });
    sameRow({ ...read, amount: read.amount.toFixed(10) });
  },

  commit: async () => {
    await prisma.$transaction(async (tx) => {
      const made = await tx.author.create({ data: { name: 'kept' } });
      await tx.book.create({ data: { authorId: made.id, title: 'kept' } });
    });
    const kept = await prisma.author.findUniqueOrThrow({ where: { name: 'kept' }, include: { books: true } });
    assert.equal(kept.books.length, 1);
  },

  rollback: async () => {
    const error = await errorOf(() =>
      prisma.$transaction(
        async (tx) => {
          await tx.author.create({ data: { name: 'gone' } });
          throw new Error('changed my mind');
        },
        { isolationLevel: 'Serializable' },
      ),
    );
    assert.equal(error.message, 'changed my mind');
    assert.equal(await authorsLike('gone'), 0);
  },

  batch: async () => {
    await prisma.$transaction([
      prisma.author.create({ data: { name: 'batch one' } }),
      prisma.author.create({ data: { name: 'batch two' } }),
    ]);
    await errorOf(() =>
      prisma.$transaction([
        prisma.author.create({ data: { name: 'batch three' } }),
        prisma.author.create({ data: { name: 'batch one' } }),
      ]),
    );
    assert.equal(await authorsLike('batch '), 2);
  },

  unique: async () => {
    await prisma.author.create({ data: { name: 'only one' } });
    const error = await errorOf(() => prisma.author.create({ data: { name: 'only one' } }));
    assert.equal(error.code, 'P2002');
    assert.equal(error.meta.driverAdapterError.cause.originalCode, '23505');
  },

  'own-writes': async () => {
    for (let n = 1; n <= ownWrites; n++) {
      await prisma.author.create({ data: { name: `own ${n}` } });
      assert.equal(await authorsLike('own '), n);
    }
  },
});
