/** What stands in a certificate, and where it lies in the directory of its authority. */
import { type Identity, identityUri, isIdentityPart, roles } from '../../../storage/core.ts';

export { directoryOf, fileNames } from '../../../storage/core.ts';

export type Host = { readonly type: 'dns' | 'ip'; readonly value: string };

export interface CertificateRequest {
  readonly identity: Identity;
  /** Where the process is reached: DNS names and IP addresses. Empty for one that only connects. */
  readonly hosts: readonly string[];
  readonly days: number;
}

export const certificateDays = { default: 90, max: 825, authority: 3_650 } as const;
/** Clocks of two machines differ: a certificate is valid a little before it is made. */
export const backdateMs = 5 * 60_000;

const hostPattern = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i;

/** Four numbers, or what has colons and hexadecimal digits: no DNS name looks like either. */
const isIp = (host: string): boolean =>
  /^\d{1,3}(?:\.\d{1,3}){3}$/.test(host) || /^(?=.*:)[0-9a-f:.]{2,45}$/i.test(host);

/** Why a request cannot be carried out; null when it can. */
export function requestProblem({ identity, hosts, days }: CertificateRequest): string | null {
  const { cluster, region, role, name } = identity;
  for (const [what, text] of Object.entries({ cluster, region, name })) {
    if (!isIdentityPart(text))
      return `a ${what} is 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit, not ${JSON.stringify(text)}`;
  }
  if (!roles.includes(role)) return `a role is one of ${roles.join(', ')}`;
  const bad = hosts.find((host) => !isIp(host) && !hostPattern.test(host));
  if (bad !== undefined) return `a host is a DNS name or an IP address, not ${JSON.stringify(bad)}`;
  if (!Number.isInteger(days) || days < 1 || days > certificateDays.max)
    return `a certificate is valid for 1 to ${certificateDays.max} days`;
  return null;
}

export const hostOf = (host: string): Host => ({ type: isIp(host) ? 'ip' : 'dns', value: host });

/** As it stands in the certificate. `nats-server` maps it, read backwards, to a user: see `natsUser`. */
export function subjectOf({ cluster, region, role }: Identity): string {
  return `O=${cluster}, OU=${region}, CN=${role}`;
}

export const uriOf = identityUri;

export const authoritySubject = (cluster: string): string => `O=${cluster}, CN=authority`;

export const authorityFiles = {
  cert: 'ca.pem',
  key: 'ca-key.pem',
  nextCert: 'next-ca.pem',
  nextKey: 'next-ca-key.pem',
} as const;
