import { sql } from 'drizzle-orm';
import { bigint, customType, integer, jsonb, numeric, pgTable, serial, text, timestamp, uuid } from 'drizzle-orm/pg-core';

const bytea = customType({ dataType: () => 'bytea' });

export const author = pgTable('smoke_author', {
  id: integer('id').primaryKey().generatedAlwaysAsIdentity(),
  name: text('name').notNull().unique(),
});

export const book = pgTable('smoke_book', {
  id: serial('id').primaryKey(),
  authorId: integer('author_id')
    .notNull()
    .references(() => author.id, { onDelete: 'cascade' }),
  title: text('title').notNull().default(sql`'untitled'`),
});

export const value = pgTable('smoke_value', {
  id: integer('id').primaryKey(),
  nil: text('nil'),
  big: bigint('big', { mode: 'bigint' }),
  amount: numeric('amount', { precision: 40, scale: 10 }),
  words: text('words'),
  bytes: bytea('bytes'),
  at: timestamp('at', { withTimezone: true }),
  doc: jsonb('doc'),
  ident: uuid('ident'),
  list: integer('list').array(),
  names: text('names').array(),
});
