import { integer, pgTable, text } from 'drizzle-orm/pg-core';

export { book, value } from './schema.mjs';

/** One column more than the migrations made. */
export const author = pgTable('smoke_author', {
  id: integer('id').primaryKey().generatedAlwaysAsIdentity(),
  name: text('name').notNull().unique(),
  born: integer('born'),
});
