/** Which SQL engine a deployment's databases belong to, and what somebody is told who speaks to the other. */
import type { EngineKind } from '../../regions/core.ts';
import { adviseError } from './errors.ts';
import type { SqlError } from './sql.ts';

export type { EngineKind };

/** What PostgreSQL here is a version of, as `SELECT version()` says. */
export const postgresVersion = '18.7';

const words: Readonly<Record<EngineKind, { readonly name: string; readonly clients: string }>> = {
  sqlite: { name: 'SQLite', clients: 'a libSQL client, at the HTTP address of a gateway' },
  postgres: { name: 'PostgreSQL', clients: 'a PostgreSQL client, at the `postgres` address of a gateway' },
};

/** What somebody is told who speaks another language than the databases do. */
export function wrongEngine(engine: EngineKind): SqlError {
  const { name, clients } = words[engine];
  return adviseError(
    'SEXTANT_WRONG_ENGINE',
    `The databases of this deployment are kept by ${name}, which is reached by ${clients}`,
  );
}
