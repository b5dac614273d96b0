/**
 * The directory of a local deployment: what `up` may be asked for, and the directory as it is checked, made and deleted. Nothing
 * here starts or stops a process; whoever changes the directory holds its lock.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { holderFileName, lockFileName } from '../../storage/index.ts';
import type { BackupConfig } from '../backup/core/backup-config.ts';
import { regionsSchema } from '../deploy/agent-config.ts';
import type { EngineKind } from '../deploy/core/engine-kinds.ts';
import { regionsMax } from '../membership/core/membership-rules.ts';
import { retentionDefault } from '../retention/core/retention-limits.ts';
import { type Distances, type PairRoundTrip, wideAreaOf } from './cables/core/wide-area.ts';
import { socketPathProblem } from './control-socket.ts';
import { DeploymentError, readDeployment, writeDeployment } from './deployment-file.ts';
import { localGatewaysMax } from './layout/core/gateway-places.ts';
import { basePortMax } from './layout/core/local-ports.ts';
import { ownDirectories, takenName } from './layout/core/region-slots.ts';
import {
  controlSocket,
  type Deployment,
  deploymentFile,
  isHeadless,
  supervisorDir,
  telemetryGroup,
  temporaryDir,
} from './layout/local-layout.ts';
import { deploymentTraces } from './local-traces.ts';
import { foreignData } from './region-files.ts';

export const defaultRegions: readonly string[] = ['us-east-1', 'eu-west-1', 'ap-northeast-1'];
export const defaultBasePort = 7000;
export const defaultDataDir = '.sextant';

/** What `up` was asked for. Whatever is left out keeps the value of an existing deployment. */
export type UpRequest = {
  readonly dataDir: string;
  readonly regions?: readonly string[];
  readonly basePort?: number;
  readonly fresh?: boolean;
  readonly nats?: { readonly url: string; readonly token: string; readonly replicas: 1 | 3 | 5 };
  readonly secure?: boolean;
  /** What is not said stays as it was. */
  readonly retention?: { readonly hours?: number; readonly bytes?: number };
  /** Where the first region is backed up to; null ends its backup. Paths are absolute. */
  readonly backup?: BackupConfig | null;
  /** Of a new deployment; left out, it gets a name by chance. */
  readonly cluster?: string;
  /** Whether the package of nats-server may be installed, as root, where there is none. */
  readonly install?: boolean;
  /** How far apart the regions are made to be this time; left out, they are as close as one machine is. */
  readonly wan?: Distances;
  /** How many gateways each region has from now on; a headless region stays so. */
  readonly gateways?: number;
  /** Of a new deployment: what keeps its databases. */
  readonly engine?: EngineKind;
  /** Whether Jaeger and Prometheus run beside it this time, and take its spans and metrics. */
  readonly jaeger?: boolean;
};

const privateDirectoryMode = 0o700;
function checkRequest(request: UpRequest): void {
  if (request.regions !== undefined) {
    const parsed = regionsSchema.safeParse(request.regions);
    if (!parsed.success) {
      const problems = parsed.error.issues.map((issue) => issue.message).join('; ');
      throw new DeploymentError(`--regions takes 1 to ${regionsMax} names separated by commas: ${problems}`);
    }
    const taken = request.regions.map(takenName).find((reason) => reason !== null);
    if (taken !== undefined) throw new DeploymentError(`--regions: ${taken}`);
  }
  const { basePort, gateways } = request;
  if (
    gateways !== undefined &&
    !(Number.isInteger(gateways) && gateways >= 1 && gateways <= localGatewaysMax)
  )
    throw new DeploymentError(`--gateways is a number from 1 to ${localGatewaysMax}`);
  if (basePort !== undefined && !(Number.isInteger(basePort) && basePort >= 1 && basePort <= basePortMax)) {
    throw new DeploymentError(`--base-port is a number from 1 to ${basePortMax}`);
  }
}

/** What an `up` that has not yet decided anything leaves in its directory: its lock, and the log of a detached one. */
const isOfSupervisor = (name: string): boolean => name === ownDirectories.supervisor;

/** True when the directory is there and holds more than an `up` that is just starting has put there. */
const holdsSomething = (dataDir: string): boolean =>
  existsSync(dataDir) && readdirSync(dataDir).some((name) => !isOfSupervisor(name));

/**
 * Deletes the deployment in `dataDir`, and nothing else there: by its deployment.json, or, when that is damaged or lost, the
 * directories in which regions keep their processes.
 * @returns what was deleted, in words; undefined when there was nothing.
 * @throws DeploymentError when the directory holds something, but no deployment of ours.
 */
export function deleteDeployment(dataDir: string): string | undefined {
  if (!holdsSomething(dataDir)) return undefined;
  let deployment: Deployment | undefined;
  try {
    deployment = readDeployment(dataDir);
  } catch (error) {
    if (!(error instanceof DeploymentError)) throw error;
  }
  // Regions that have left keep their data here, and belong to the deployment as well.
  const regions = [...new Set([...(deployment?.regions ?? []), ...deploymentTraces(dataDir)])];
  if (deployment === undefined && regions.length === 0) {
    throw new DeploymentError(
      `--fresh deletes only a Sextant deployment, and ${resolve(dataDir)} holds neither a readable deployment.json nor a region's processes. ` +
        'Delete the directory yourself if you are sure, or choose another --data.',
    );
  }
  for (const region of regions) rmSync(join(dataDir, region), { recursive: true, force: true });
  rmSync(join(dataDir, 'witness'), { recursive: true, force: true });
  rmSync(join(dataDir, telemetryGroup), { recursive: true, force: true });
  rmSync(temporaryDir(dataDir), { recursive: true, force: true });
  emptySupervisorDir(supervisorDir(dataDir));
  // Last: until then a second try still knows what this directory is.
  rmSync(deploymentFile(dataDir), { force: true });
  if (readdirSync(dataDir).length === 0) rmdirSync(dataDir);
  const named = `the data of ${regions.join(', ')} in ${resolve(dataDir)}`;
  return deployment === undefined
    ? `${named}, whose deployment.json was damaged or lost`
    : `${named} (cluster ${deployment.cluster})`;
}

/** All but the lock and what its holder has open: another `up` must find the same lock. */
function emptySupervisorDir(dir: string): void {
  if (!existsSync(dir)) return;
  const kept = new Set([lockFileName, holderFileName, 'process.log']);
  const names = readdirSync(dir);
  for (const name of names) if (!kept.has(name)) rmSync(join(dir, name), { recursive: true, force: true });
  if (!names.some((name) => kept.has(name))) rmdirSync(dir);
}

/** What can be refused without a look at anything that another process may be changing. @throws DeploymentError. */
export function refuseUnusable(request: UpRequest): void {
  checkRequest(request);
  const { dataDir } = request;
  const pathProblem = socketPathProblem(resolve(controlSocket(dataDir)));
  if (pathProblem !== undefined) throw new DeploymentError(pathProblem);
  if (existsSync(deploymentFile(dataDir)) || !holdsSomething(dataDir)) return;
  if (deploymentTraces(dataDir).length === 0) {
    throw new DeploymentError(
      `${resolve(dataDir)} is not empty and holds no Sextant deployment: choose another --data`,
    );
  }
  if (request.fresh === true) return;
  throw new DeploymentError(
    `${resolve(dataDir)} holds the data of a deployment whose deployment.json is lost: put that back from a copy, ` +
      'choose another --data, or give the data up with --fresh',
  );
}

/** Opens the deployment in the request's data directory, or creates it there. @throws DeploymentError. */
export function prepareDeployment(
  request: UpRequest,
  onProgress: (line: string) => void = () => undefined,
): Deployment {
  const { dataDir } = request;
  if (request.fresh === true) {
    checkRequest(request);
    const deleted = deleteDeployment(dataDir);
    if (deleted !== undefined) onProgress(`--fresh: deleted ${deleted}`);
  }
  refuseUnusable(request);
  const existing = readDeployment(dataDir);
  if (
    existing !== undefined &&
    request.regions !== undefined &&
    request.regions.join() !== existing.regions.join()
  ) {
    throw new DeploymentError(
      `${resolve(dataDir)} holds a deployment of ${existing.regions.join(',')}, not of ${request.regions.join(',')}: ` +
        'leave --regions out, choose another --data, or delete its data with --fresh',
    );
  }
  if (
    existing !== undefined &&
    request.engine !== undefined &&
    request.engine !== (existing.engine ?? 'sqlite')
  )
    throw new DeploymentError(
      `${resolve(dataDir)} holds a deployment with \`--engine ${existing.engine ?? 'sqlite'}\`, and one engine cannot read what the other wrote: ` +
        'leave --engine out, choose another --data, or delete its data with --fresh',
    );
  const base: Deployment = existing ?? {
    version: 1,
    cluster: request.cluster ?? `sextant-${randomBytes(4).toString('hex')}`,
    secret: randomBytes(32).toString('base64url'),
    natsToken: randomBytes(24).toString('base64url'),
    regions: regionsSchema.parse(request.regions ?? defaultRegions),
    basePort: defaultBasePort,
    ...(request.engine !== undefined && { engine: request.engine }),
    nats: null,
  };
  const { nats } = request;
  const { backup: backupBefore, ...kept } = base;
  const backup = request.backup === undefined ? backupBefore : (request.backup ?? undefined);
  const deployment: Deployment = {
    ...kept,
    ...(backup !== undefined && { backup }),
    basePort: request.basePort ?? base.basePort,
    ...(request.secure !== undefined && { secure: request.secure }),
    ...(request.gateways !== undefined && { gateways: gatewaysOf(request.gateways, base) }),
    ...(request.retention !== undefined && {
      retention: { ...retentionDefault, ...base.retention, ...request.retention },
    }),
    natsRoutePassword: base.natsRoutePassword ?? randomBytes(24).toString('base64url'),
    nats:
      nats === undefined ? base.nats : { servers: [nats.url], token: nats.token, replicas: nats.replicas },
  };
  const foreign = foreignData(dataDir, deployment);
  if (foreign !== undefined) throw new DeploymentError(foreign);
  distancesOf(request, deployment);
  if (request.jaeger === true && deployment.regions.some((region) => region === telemetryGroup))
    throw new DeploymentError(
      `with --jaeger no region can be called ${telemetryGroup}: Jaeger's data is kept there`,
    );
  mkdirSync(dataDir, { recursive: true, mode: privateDirectoryMode });
  // An empty directory that was there before gets what is private as well.
  if (existing === undefined) chmodSync(dataDir, privateDirectoryMode);
  writeDeployment(dataDir, deployment);
  return deployment;
}

const gatewaysOf = (each: number, deployment: Deployment): Readonly<Record<string, number>> =>
  Object.fromEntries(deployment.regions.map((region) => [region, isHeadless(deployment, region) ? 0 : each]));

/** How far apart the regions are made to be. @throws DeploymentError when they cannot be set apart as was asked. */
export function distancesOf({ wan }: UpRequest, { regions, nats }: Deployment): readonly PairRoundTrip[] {
  const area = wideAreaOf(regions, wan, nats === null);
  if (area.kind === 'refused') throw new DeploymentError(area.reason);
  return area.pairs;
}
