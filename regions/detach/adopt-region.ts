/**
 * Makes the data of a region that left one deployment that of a deployment of its own (R56). Nothing of either may have it open.
 * What was done stays done when it is interrupted: asked again, it goes on.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Adoption, adoptNode, clusterOfData } from '../../storage/data.ts';
import { writeDetachedMark } from '../membership/detached-mark.ts';

export interface RegionToAdopt {
  readonly region: string;
  /** All of its nodes; the data of some may be on other machines. */
  readonly nodes: readonly { readonly node: string; readonly dataDir: string }[];
  /** Where its agent keeps what it remembers, if that is on this machine. */
  readonly agentDataDir: string | null;
  /** Name of the deployment that it was part of, and of its own. */
  readonly from: string;
  readonly to: string;
}

export type AdoptedRegion =
  | { readonly kind: 'adopted'; readonly nodes: readonly string[]; readonly absent: readonly string[] }
  | { readonly kind: 'refused'; readonly reason: string };

const directoryMode = 0o700;
/** Moves and lags of the deployment that it was part of mean nothing in its own; what it lost does. */
const notItsOwn = ['operations.json', 'lag.json'] as const;

/** Has the agent make the first control record of the new deployment when it starts, and stamps every node. */
export async function adoptRegion(region: RegionToAdopt): Promise<AdoptedRegion> {
  const { nodes, agentDataDir, from, to } = region;
  if (from === to)
    return {
      kind: 'refused',
      reason: `both are called ${to}: a deployment of its own has a name of its own`,
    };
  const owners = await Promise.all(nodes.map(({ dataDir }) => clusterOfData(dataDir)));
  const known = owners.filter((owner) => owner !== null);
  // Of a deployment that may have run already, a record that is missing is a lost one.
  const isDone = known.length > 0 && known.every((owner) => owner === to);
  if (agentDataDir !== null && !isDone) {
    mkdirSync(agentDataDir, { recursive: true, mode: directoryMode });
    for (const name of notItsOwn) rmSync(join(agentDataDir, name), { force: true });
    writeDetachedMark(agentDataDir, { from });
  }
  const all = nodes.map(({ node }) => node);
  const found: { readonly node: string; readonly adoption: Adoption }[] = [];
  for (const { node, dataDir } of nodes) {
    const adoption = await adoptNode({ dataDir, node, region: region.region, named: all }, { from, to });
    if (adoption.kind === 'refused') return adoption;
    found.push({ node, adoption });
  }
  const named = (kinds: readonly Adoption['kind'][]) =>
    found.filter(({ adoption }) => kinds.includes(adoption.kind)).map(({ node }) => node);
  return { kind: 'adopted', nodes: named(['adopted', 'already']), absent: named(['absent']) };
}
