/** How the product's own clients of PostgreSQL databases connect, and what they read in the errors that they get. */
import pg from 'pg';
import { type PostgresPlace, userDefault } from './core/postgres-url.ts';

/** As a gateway gives a login. */
const connectMs = 10_000;

/** What does not come from the URL. */
export interface ClientWishes {
  /** Settings that the session begins with. */
  readonly settings?: Readonly<Record<string, string>>;
  /** How long a statement may take until the client gives up on it; left out: for ever. */
  readonly queryMs?: number;
}

/**
 * The options of a client. Who it is and what it proves that with come from the place, else from the environment (`PGUSER`,
 * `PGPASSWORD`, `~/.pgpass`), as with any client of PostgreSQL.
 */
export function clientOptions(place: PostgresPlace, wishes: ClientWishes = {}): pg.ClientConfig {
  const { host, port, database, user, password, isEncrypted } = place;
  const { settings = {}, queryMs } = wishes;
  const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
  return {
    host,
    port,
    database,
    user: user ?? process.env.PGUSER ?? userDefault,
    ...(password !== null && { password }),
    // The certificate is checked against the host that was asked for, also when that is an address.
    ssl: isEncrypted ? { host } : false,
    application_name: 'sextant',
    connectionTimeoutMillis: connectMs,
    keepAlive: true,
    ...(options.length > 0 && { options: options.join(' ') }),
    ...(queryMs !== undefined && { query_timeout: queryMs }),
  };
}

/** Sextant's own code where the detail names one, else the SQLSTATE; null for what is no error of the database. */
export function codeOfDatabaseError(error: unknown): string | null {
  if (!(error instanceof pg.DatabaseError)) return null;
  return /^Sextant's code is (\w+)\.$/.exec(error.detail ?? '')?.[1] ?? error.code ?? null;
}
