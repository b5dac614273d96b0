import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';

export { book, value } from './schema.mjs';

/** One column more than the migrations made. */
export const author = sqliteTable('smoke_author', {
  id: integer('id').primaryKey(),
  name: text('name').notNull().unique(),
  born: integer('born'),
});
