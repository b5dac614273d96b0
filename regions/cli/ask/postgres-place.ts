/** Where PostgreSQL clients of a deployment connect, and what they are told who ask for something that only SQLite has. */
import { mainBranch, parseAddress } from '../../../storage/index.ts';
import { type PostgresPlace, postgresUrl, readPostgresUrl } from '../../postgres/core/postgres-url.ts';
import { fetchStatus, type Target } from './admin-client.ts';
import { CliError } from './output.ts';

/**
 * Where PostgreSQL keeps the databases, the address of that gateway for its clients; null where SQLite does.
 * @param gateway its URL, of that region. @throws CliError when no gateway of the region says where.
 */
export async function postgresOf(
  target: Target,
  region: string,
  gateway: string,
): Promise<PostgresPlace | null> {
  if (target.local !== undefined) {
    const own = target.endpoints.flatMap(({ gateways }) => gateways).find(({ url }) => url === gateway);
    return own?.postgres === undefined ? null : readPostgresUrl(own.postgres);
  }
  const answer = await fetchStatus(target);
  // What the databases are is told by who serves SQL then.
  if (answer.kind !== 'ok') return null;
  const { regions } = answer.status;
  if (regions.every(({ postgres }) => typeof postgres !== 'string')) return null;
  const asked = regions.find(({ name }) => name === region);
  const own = asked?.gateways?.find(({ address }) => gateway.endsWith(address));
  const place = parseAddress(own?.postgres ?? asked?.postgres ?? '');
  if (place === undefined)
    throw new CliError(
      `no gateway of ${region} says where it takes PostgreSQL clients: sextant status shows them`,
    );
  const isEncrypted = gateway.startsWith('https:');
  return { ...place, database: mainBranch, user: null, password: null, isEncrypted };
}

/** @throws CliError where PostgreSQL keeps the databases. @param what it is that only SQLite has. @param instead may name the URL. */
export async function needsSqlite(
  target: Target,
  region: string,
  gateway: string,
  what: string,
  instead: (url: string) => string,
): Promise<void> {
  const place = await postgresOf(target, region, gateway);
  if (place !== null)
    throw new CliError(
      `${what}, and this deployment has PostgreSQL databases: ${instead(postgresUrl(place))}`,
    );
}
