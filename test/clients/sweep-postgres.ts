/** Drops what earlier smoke programs left in a PostgreSQL database, by a connection that no client under test takes part in. */
import pg from 'pg';

const limitMs = 30_000;

/** Statements that drop what smoke programs make: tables, views, a function, the schema that Drizzle's migrator makes. */
const leftovers = `
  SELECT format('DROP %s IF EXISTS %s CASCADE', CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, oid::regclass) AS statement
    FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace = 'public'::regnamespace AND relname ~ '^(smoke|pgbench)_'
  UNION ALL
  SELECT format('DROP FUNCTION IF EXISTS %s CASCADE', oid::regprocedure) FROM pg_proc WHERE proname ~ '^smoke_'
  UNION ALL
  SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace WHERE nspname = 'drizzle'`;

/**
 * Drops everything that a smoke program makes, through the gateway that is tried next, which therefore never reads behind it.
 *
 * @throws when the gateway does not answer within 30 s, or refuses
 */
export async function sweepPostgres(url: string): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: limitMs,
    query_timeout: limitMs,
  });
  await client.connect();
  try {
    const { rows } = await client.query<{ statement: string }>(leftovers);
    for (const { statement } of rows) await client.query(statement);
  } finally {
    await client.end();
  }
}
