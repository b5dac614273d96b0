/** Which NATS servers a deployment has, and which of them keep the control record. */

/** The name of the third vote of a two-region deployment, which is no region. */
export const witness = 'witness';
const votersMax = 3;

export interface NatsTopology {
  readonly servers: readonly string[];
  readonly voters: readonly string[];
  readonly replicas: 1 | 3;
}

/**
 * Which servers there are and which of them keep the control record: an odd number, never half of them in one region.
 * @param voters as the files name them, once regions have come or gone (R57): a copy stays where it is. One that is no region is
 *   a server that only votes. Without them, those of a new deployment.
 */
export function natsTopology(regions: readonly string[], voters?: readonly string[]): NatsTopology {
  if (voters !== undefined) {
    const servers = [...regions, ...voters.filter((name) => !regions.includes(name))];
    return { servers, voters, replicas: voters.length === 1 ? 1 : 3 };
  }
  const servers = regions.length === 2 ? [...regions, witness] : regions;
  if (servers.length === 1) return { servers, voters: servers, replicas: 1 };
  return { servers, voters: servers.slice(0, votersMax), replicas: 3 };
}

/** What has to stand in the files as `voters`: nothing where it is what a new deployment of these regions has. */
export function votersToName(
  regions: readonly string[],
  voters: readonly string[],
): readonly string[] | undefined {
  return natsTopology(regions).voters.join() === voters.join() ? undefined : voters;
}

/** Names of the servers that only vote: the witness of two regions, and voters whose region has left. */
export const voteOnly = (regions: readonly string[], voters?: readonly string[]): readonly string[] =>
  natsTopology(regions, voters).servers.filter((name) => !regions.includes(name));
