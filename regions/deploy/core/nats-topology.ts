/** Which NATS servers a deployment has, and which of them keep the control record. */

/** The name of the third vote of a two-region deployment, which is no region. */
export const witness = 'witness';
const votersMax = 3;

/** Which servers there are and which of them keep the control record: an odd number, never half of them in one region. */
export function natsTopology(regions: readonly string[]): {
  readonly servers: readonly string[];
  readonly voters: readonly string[];
  readonly replicas: 1 | 3;
} {
  const servers = regions.length === 2 ? [...regions, witness] : regions;
  if (servers.length === 1) return { servers, voters: servers, replicas: 1 };
  return { servers, voters: servers.slice(0, votersMax), replicas: 3 };
}
