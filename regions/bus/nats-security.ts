/** How a process of a role connects to NATS where the deployment is encrypted. */
import type { Credentials } from '../../storage/index.ts';
import { inboxPrefixOf, type NatsProcess } from './core/nats-permissions.ts';
import type { NatsSecurity } from './nats-connection.ts';

/** What `openNatsConnection` is told about it; nothing without a certificate. */
export function natsSecurity(
  credentials: Credentials | undefined,
  process: NatsProcess,
): { readonly secured?: NatsSecurity } {
  if (credentials === undefined) return {};
  const expected = { cluster: process.cluster, role: 'nats' } as const;
  return { secured: { credentials, expected, inboxPrefix: inboxPrefixOf(process) } };
}
