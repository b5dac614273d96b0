import { blob, integer, real, sqliteTable, text } from 'drizzle-orm/sqlite-core';

export const author = sqliteTable('smoke_author', {
  id: integer('id').primaryKey(),
  name: text('name').notNull().unique(),
});

export const book = sqliteTable('smoke_book', {
  id: integer('id').primaryKey(),
  authorId: integer('author_id')
    .notNull()
    .references(() => author.id, { onDelete: 'cascade' }),
  title: text('title').notNull(),
});

export const value = sqliteTable('smoke_value', {
  id: integer('id').primaryKey(),
  nil: text('nil'),
  big: integer('big'),
  small: integer('small'),
  fraction: real('fraction'),
  words: text('words'),
  bytes: blob('bytes', { mode: 'buffer' }),
});
