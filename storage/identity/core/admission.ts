/** Who may connect to what (S60). The table, and the sentence for who may not: it names both ends. */
import { describeIdentity, type Identity, type Role } from './identity.ts';

/**
 * What is asked for at a port. `link`: the redo and pages of a storage node. `api`: what an agent is asked and told.
 * `watch`: health and metrics, which tell how a process is and change nothing.
 */
export type Door = 'link' | 'api' | 'watch';

interface Rule {
  readonly roles: readonly Role[];
  readonly regions: 'own' | 'any';
  /** In words, for who is refused. */
  readonly admitted: string;
}

const rules: Readonly<Record<Door, Rule>> = {
  link: {
    roles: ['gateway', 'agent', 'storage'],
    regions: 'own',
    admitted: 'links from the gateways, the agent and the storage nodes of its own region',
  },
  api: {
    roles: ['gateway', 'agent', 'operator'],
    regions: 'any',
    admitted: 'requests from agents, gateways and operators of its cluster',
  },
  watch: {
    roles: ['storage', 'agent', 'gateway', 'endpoint', 'nats', 'operator'],
    regions: 'any',
    admitted: 'requests from its own cluster',
  },
};

/** Null when `peer` may; else why not, in one sentence. */
export function refusalAt(door: Door, own: Identity, peer: Identity): string | null {
  const rule = rules[door];
  const mayEnter =
    peer.cluster === own.cluster &&
    (rule.regions === 'any' || peer.region === own.region) &&
    rule.roles.includes(peer.role);
  if (mayEnter) return null;
  return `${describeIdentity(own)} takes ${rule.admitted}, and the caller's certificate is that of ${describeIdentity(peer)}`;
}

/** Whom a caller means to reach. Without a name any of that kind will do; without a region any of the cluster. */
export interface Expected {
  readonly cluster: string;
  readonly role: Role;
  readonly region?: string;
  readonly name?: string;
}

/** Null when `found` is who was meant; else who was, and who answers. */
export function mismatch(expected: Expected, found: Identity): string | null {
  const { cluster, role, region = found.region, name = found.name } = expected;
  const meant = { cluster, role, region, name };
  const fits =
    found.cluster === cluster && found.role === role && found.region === region && found.name === name;
  return fits
    ? null
    : `expected ${describeIdentity(meant)}, and the certificate is that of ${describeIdentity(found)}`;
}
