/**
 * Moves a region that has left a local deployment into a directory of its own, as a deployment of its own. Each step can be
 * repeated: one that was interrupted is finished by asking again with the same directory.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { regionId } from '../../storage/index.ts';
import { isBusy } from '../local/busy-port.ts';
import { DeploymentError, readDeployment, writeDeployment } from '../local/deployment-file.ts';
import { gatewayCount } from '../local/layout/core/gateway-places.ts';
import { basePortMax, portsOf, supervisorPort } from '../local/layout/core/local-ports.ts';
import { type Deployment, deploymentFile, nodesOfRegion } from '../local/layout/local-layout.ts';
import { deleteRegion } from '../local/region-keeper.ts';
import { adoptRegion } from './adopt-region.ts';

export interface DetachRequest {
  readonly dataDir: string;
  readonly region: string;
  /** Directory of the new deployment; its name by default is that of the old one and the region. */
  readonly to: string;
  readonly cluster: string | undefined;
  readonly basePort: number | undefined;
}

const directoryMode = 0o700;
/** What the NATS servers of the old deployment keep there is none of the new one's. */
const staysBehind: readonly string[] = ['nats', 'witness.yaml', 'secrets', 'region.yaml'];
/** Between the ports of one deployment and those of the next. */
const portStep = 200;

/**
 * Writes down the new deployment, before anything else changes.
 * @returns it, the same one when it was asked before.
 * @throws DeploymentError when it cannot be in that directory.
 */
export async function planDetachment(from: Deployment, request: DetachRequest): Promise<Deployment> {
  const { region, to, dataDir } = request;
  const origin = `${from.cluster}/${region}`;
  const there = readDeployment(to);
  if (there !== undefined) {
    if (there.detachedFrom === origin) return there;
    throw new DeploymentError(`${resolve(to)} holds another deployment: choose another directory with --to`);
  }
  const replacing = from.replacing?.[region];
  if (replacing !== undefined)
    throw new DeploymentError(
      `${region}/${replacing.out} is being replaced by ${replacing.in}: wait until that has ended, or give it up with ` +
        `\`sextant node replace ${region}/${replacing.out} --cancel\``,
    );
  if (existsSync(to) && readdirSync(to).length > 0)
    throw new DeploymentError(`${resolve(to)} is not empty: choose another directory with --to`);
  const cluster = request.cluster ?? `${from.cluster}-${region}`.slice(0, 63);
  if (cluster === from.cluster)
    throw new DeploymentError(`--cluster ${cluster} is the name of the deployment that ${region} leaves`);
  mkdirSync(to, { recursive: true, mode: directoryMode });
  if (statSync(to).dev !== statSync(dataDir).dev)
    throw new DeploymentError(
      `${resolve(to)} is on another disk than ${resolve(dataDir)}, and data is moved and not copied: choose another --to`,
    );
  const secret = (bytes: number): string => randomBytes(bytes).toString('base64url');
  const deployment: Deployment = {
    version: 1,
    cluster,
    secret: secret(32),
    natsToken: secret(24),
    natsRoutePassword: secret(24),
    ...(from.secure !== undefined && { secure: from.secure }),
    ...(from.engine !== undefined && { engine: from.engine }),
    regions: [regionId(region)],
    gateways: { [region]: gatewayCount(from, region) },
    ...(from.nodes?.[region] !== undefined && { nodes: { [region]: from.nodes[region] } }),
    basePort: request.basePort ?? (await freeBasePort(from.basePort)),
    nats: null,
    detachedFrom: origin,
  };
  writeDeployment(to, deployment);
  return deployment;
}

/** The first base port above with which the ports of one region are free now. */
async function freeBasePort(from: number): Promise<number> {
  for (let base = from + portStep; base <= basePortMax; base += portStep) {
    const wanted = [supervisorPort(base), ...Object.values(portsOf(base, 0)).flat()];
    const busy = await Promise.all(wanted.map(isBusy));
    if (!busy.includes(true)) return base;
  }
  throw new DeploymentError(`no ports above ${from} are free: choose some with --base-port`);
}

/** Hands the data over, once nothing has it open, and moves it. @throws DeploymentError when it is somebody else's. */
export async function moveRegion(
  from: Deployment,
  to: Deployment,
  { dataDir, region, to: target, keepsVote }: DetachRequest & { readonly keepsVote: boolean },
): Promise<void> {
  const oldDir = join(dataDir, region);
  const newDir = join(target, region);
  mkdirSync(newDir, { recursive: true, mode: directoryMode });
  const at = (name: string): string => {
    const moved = join(newDir, name, 'data');
    return existsSync(moved) ? moved : join(oldDir, name, 'data');
  };
  const adopted = await adoptRegion({
    region,
    nodes: nodesOfRegion(to, region).map((node) => ({ node, dataDir: at(node) })),
    agentDataDir: at('agent'),
    from: from.cluster,
    to: to.cluster,
  });
  if (adopted.kind === 'refused') throw new DeploymentError(adopted.reason);
  if (!existsSync(oldDir)) return;
  for (const name of readdirSync(oldDir).filter((one) => !staysBehind.includes(one)))
    if (!existsSync(join(newDir, name))) renameSync(join(oldDir, name), join(newDir, name));
  deleteRegion(oldDir, keepsVote);
}

/** Where a detached region goes when nothing else is said: beside the directory that it leaves. */
export const defaultDetachDir = (dataDir: string, region: string): string =>
  join(dirname(resolve(dataDir)), `${resolve(dataDir).split('/').at(-1)}-${region}`);

/** Whether a detachment to that directory was begun and not finished. */
export const isDetaching = (to: string, from: Deployment, region: string): boolean =>
  existsSync(deploymentFile(to)) && readDeployment(to)?.detachedFrom === `${from.cluster}/${region}`;
