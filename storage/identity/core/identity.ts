/**
 * Who a process is: a URI in its certificate, `sextant://<cluster>/<region>/<role>/<name>`. Host names say where a process
 * is, which may change; this says what it may do.
 */

export const roles = ['storage', 'agent', 'gateway', 'endpoint', 'nats', 'operator'] as const;
/** `operator` is a person or a tool, such as the command line or Prometheus. */
export type Role = (typeof roles)[number];

export interface Identity {
  readonly cluster: string;
  readonly region: string;
  readonly role: Role;
  /** Of a storage node or gateway its name in the configuration. */
  readonly name: string;
}

export type IdentityResult =
  | { readonly kind: 'identity'; readonly identity: Identity }
  | { readonly kind: 'none'; readonly reason: string };

const scheme = 'sextant://';
const part = '[a-z0-9][a-z0-9-]{0,62}';
const partPattern = new RegExp(`^${part}$`);
const uriPattern = new RegExp(`^${scheme}(${part})/(${part})/(${roles.join('|')})/(${part})$`);

/** Whether the text may be a cluster, a region or a name in an identity. */
export const isIdentityPart = (text: string): boolean => partPattern.test(text);

const isRole = (text: string): text is Role => roles.some((role) => role === text);

export function identityUri({ cluster, region, role, name }: Identity): string {
  return `${scheme}${cluster}/${region}/${role}/${name}`;
}

/** Null for what is no identity, or none of this version. */
export function parseIdentityUri(uri: string): Identity | null {
  const [, cluster, region, role, name] = uriPattern.exec(uri) ?? [];
  if (cluster === undefined || region === undefined || role === undefined || name === undefined) return null;
  return isRole(role) ? { cluster, region, role, name } : null;
}

/**
 * The one identity among a certificate's alternative names, as Node.js prints them: `DNS:a, URI:b`, with what holds a comma
 * or a quote written as a JSON string. Several identities are none: it would be for the reader to choose.
 */
export function identityIn(alternativeNames: string | undefined): IdentityResult {
  const uris = splitNames(alternativeNames ?? '')
    .filter((name) => name.startsWith('URI:'))
    .map((name) => name.slice('URI:'.length))
    .filter((uri) => uri.startsWith(scheme));
  const [uri, ...more] = uris;
  if (uri === undefined) return { kind: 'none', reason: 'the certificate carries no sextant:// identity' };
  if (more.length > 0) return { kind: 'none', reason: 'the certificate carries more than one identity' };
  const identity = parseIdentityUri(uri);
  return identity === null
    ? { kind: 'none', reason: `the certificate's identity ${uri.slice(0, 300)} cannot be read` }
    : { kind: 'identity', identity };
}

/** Cut at commas outside quotes: a name that holds one is quoted, and must not pass for two. */
function splitNames(text: string): readonly string[] {
  return (text.match(/(?:"(?:[^"\\]|\\.)*"|[^,"])+/g) ?? []).map((name) => name.trim());
}

const roleWords: Readonly<Record<Role, string>> = {
  storage: 'storage node',
  agent: 'agent',
  gateway: 'gateway',
  endpoint: 'endpoint',
  nats: 'NATS server',
  operator: 'operator',
};

/** In words: `storage node us-east-1/n1 of cluster shop`. */
export function describeIdentity({ cluster, region, role, name }: Identity): string {
  return `${roleWords[role]} ${region}/${name} of cluster ${cluster}`;
}
