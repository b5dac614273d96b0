/** Where PostgreSQL clients find a database of the deployment, as they write it themselves. Pure. */

/** What a `postgres:` URL says, without options that only some clients know. */
export interface PostgresPlace {
  readonly host: string;
  readonly port: number;
  /** `main`, or the name of a branch. */
  readonly database: string;
  /** Null: whoever the client says it is. */
  readonly user: string | null;
  readonly password: string | null;
  /** TLS, with a certificate of an authority that the client knows. */
  readonly isEncrypted: boolean;
}

const portDefault = 5_432;
/** The name under which the product's own clients come where nobody says another. */
export const userDefault = 'sextant';
const encrypted: ReadonlySet<string> = new Set(['require', 'verify-ca', 'verify-full']);

/** Null when it is none. */
export function readPostgresUrl(text: string): PostgresPlace | null {
  const url = URL.parse(text);
  if (url === null || !/^postgres(?:ql)?:$/.test(url.protocol) || url.hostname === '') return null;
  try {
    return {
      host: decodeURIComponent(url.hostname.replace(/^\[(.*)\]$/, '$1')),
      port: url.port === '' ? portDefault : Number(url.port),
      database: decodeURIComponent(url.pathname.slice(1)) || 'main',
      user: url.username === '' ? null : decodeURIComponent(url.username),
      password: url.password === '' ? null : decodeURIComponent(url.password),
      isEncrypted: encrypted.has(url.searchParams.get('sslmode') ?? ''),
    };
  } catch {
    // A percent sign that begins no character.
    return null;
  }
}

/** The URL without its password. @param place its host may be a name, or an address of either family. */
export function postgresUrl({ host, port, database, user, isEncrypted }: PostgresPlace): string {
  const name = user === null ? '' : `${encodeURIComponent(user)}@`;
  const at = host.includes(':') ? `[${host}]` : encodeURIComponent(host);
  return `postgres://${name}${at}:${port}/${encodeURIComponent(database)}${isEncrypted ? '?sslmode=verify-full' : ''}`;
}
