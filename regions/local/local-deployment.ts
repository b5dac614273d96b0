/**
 * A deployment on this machine as its owner sees it: created in a data directory, brought up under a supervisor, taken down
 * exactly, found again after any crash.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type DirectoryLock,
  holderFileName,
  type LockHolder,
  lockDirectory,
  lockFileName,
  lockHolder,
  readPidFile,
  removePidFile,
  signalProcess,
  stopProcess,
  waitForExit,
} from '../../storage/index.ts';
import { regionsSchema } from '../agent/config.ts';
import type { BackupConfig } from '../backup/core/backup-config.ts';
import type { EngineKind } from '../deploy/core/engine-kinds.ts';
import { regionsMax } from '../membership/core/membership-rules.ts';
import { findNatsServer } from '../nats/nats-server.ts';
import { retentionDefault } from '../retention/core/retention-limits.ts';
import { busyPorts } from './busy-port.ts';
import { type Distances, type PairRoundTrip, wideAreaOf } from './cables/core/wide-area.ts';
import { RouteProxies, RouteProxy } from './cables/route-proxy.ts';
import { type MoreRoutes, socketPathProblem } from './control-socket.ts';
import { anyGraceMs, deploymentGraceMs } from './core/stop-graces.ts';
import {
  DeploymentError,
  KeptDeployment,
  readDeployment,
  requireDeployment,
  writeDeployment,
} from './deployment-file.ts';
import { addressesOf, processesWith } from './jaeger-processes.ts';
import { localGatewaysMax } from './layout/core/gateway-places.ts';
import { basePortMax, supervisorPort } from './layout/core/local-ports.ts';
import {
  controlSocket,
  type Deployment,
  deploymentFile,
  isHeadless,
  namesIn,
  routePortOf,
  routesOf,
  supervisorDir,
  telemetryGroup,
} from './layout/local-layout.ts';
import { natsProcesses, type Programs } from './layout/local-processes.ts';
import { LocalMembers } from './local-members.ts';
import { deploymentTraces, pidFilesBelow } from './local-traces.ts';
import { natsAccess } from './nats-care.ts';
import { downgradeHint, rememberStoreVersion, storeProblem, storeVersion } from './nats-store-version.ts';
import { findJaegerPrograms, type JaegerPrograms } from './programs/jaeger-programs.ts';
import { foreignData, writeRegionFiles } from './region-files.ts';
import { RegionKeeper } from './region-keeper.ts';
import { renewLocal, secureDeployment, trustLocal } from './secure/make-certificates.ts';
import { Supervisor } from './supervisor.ts';
import { failureText } from './wait-until-up.ts';

export const defaultRegions: readonly string[] = ['us-east-1', 'eu-west-1', 'ap-northeast-1'];
export const defaultBasePort = 7000;
export const defaultDataDir = '.sextant';
export const defaultStartTimeoutMs = 90_000;

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
const downPollMs = 100;
const upPurpose = 'sextant up';
const downPurpose = 'sextant down';

function checkRequest(request: UpRequest): void {
  if (request.regions !== undefined) {
    const parsed = regionsSchema.safeParse(request.regions);
    if (!parsed.success) {
      const problems = parsed.error.issues.map((issue) => issue.message).join('; ');
      throw new DeploymentError(`--regions takes 1 to ${regionsMax} names separated by commas: ${problems}`);
    }
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
const isOfSupervisor = (name: string): boolean => name === 'supervisor';

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

/** @throws DeploymentError when the regions cannot be set apart as was asked. */
function distancesOf({ wan }: UpRequest, { regions, nats }: Deployment): readonly PairRoundTrip[] {
  const area = wideAreaOf(regions, wan, nats === null);
  if (area.kind === 'refused') throw new DeploymentError(area.reason);
  return area.pairs;
}

/** Pid of the running supervisor of `dataDir`, also of one that is still starting, or undefined. */
export function runningSupervisor(dataDir: string): number | undefined {
  const holder = lockHolder(supervisorDir(dataDir));
  return holder?.purpose === upPurpose ? holder.identity.pid : undefined;
}

/**
 * Ends what the pid files below `dataDir` name and is still the same process. A pid that belongs to a stranger by now is left
 * alone. What the directories are called is not asked: a damaged deployment.json must not keep anything running.
 * @returns the ids, such as `us-east-1/n1`, of those that were running.
 */
export async function stopLeftovers(dataDir: string): Promise<readonly string[]> {
  const stopped = await Promise.all(
    pidFilesBelow(dataDir).map(async (file) => {
      const identity = readPidFile(file);
      const running = identity !== undefined && (await stopProcess(identity, anyGraceMs));
      if (identity !== undefined) removePidFile(file);
      return running ? [dirname(relative(dataDir, file))] : [];
    }),
  );
  return stopped.flat();
}

function lockedMessage(dataDir: string, holder: LockHolder | undefined): string {
  if (holder === undefined)
    return `${dataDir} is in use by another process that could not write down its pid: wait until it has ended`;
  const { identity, purpose, since } = holder;
  return purpose === upPurpose
    ? `the deployment in ${dataDir} is already running or starting (supervisor pid ${identity.pid}, since ${since}); \`sextant down --data ${dataDir}\` stops it`
    : `the deployment in ${dataDir} is being stopped (${purpose}, pid ${identity.pid}, since ${since}): try again when that has ended`;
}

/** An early word, before anything is made in the directory; what decides is the lock. @throws DeploymentError. */
export function refuseRunning(dataDir: string): void {
  const holder = lockHolder(supervisorDir(dataDir));
  if (holder !== undefined) throw new DeploymentError(lockedMessage(dataDir, holder));
}

/** @throws DeploymentError naming who has the directory. */
async function lockDeployment(dataDir: string, purpose: string): Promise<DirectoryLock> {
  const outcome = await lockDirectory(supervisorDir(dataDir), purpose);
  if (outcome.kind === 'locked') return outcome.lock;
  throw new DeploymentError(
    outcome.kind === 'held'
      ? lockedMessage(dataDir, outcome.holder)
      : `${supervisorDir(dataDir)} cannot be locked: ${outcome.reason}`,
  );
}

/** Makes the locked directory ready for a start: leftovers of a run that died are stopped, the deployment is opened or created. */
async function openDeployment(request: UpRequest, onProgress: (line: string) => void): Promise<Deployment> {
  const { dataDir } = request;
  // What cannot be started is not cleared away either, unless it is to be deleted.
  if (request.fresh !== true) readDeployment(dataDir);
  const leftovers = await stopLeftovers(dataDir);
  if (leftovers.length > 0)
    onProgress(`stopped ${leftovers.length} processes that an earlier run left behind`);
  return prepareDeployment(request, onProgress);
}

/** A deployment under supervision in this process. */
export type RunningDeployment = {
  readonly deployment: Deployment;
  readonly supervisor: Supervisor;
  /** Stops every process that was started, and forgets the supervisor. */
  stop(): Promise<void>;
};

export type UpHooks = {
  readonly onProgress: (line: string) => void;
  readonly programs: Programs;
  readonly timeoutMs?: number;
  /** What the supervisor serves beside its own, for the deployment in this directory. */
  readonly more?: (dataDir: string) => MoreRoutes;
  /** Handed the deployment before it is ready, so that an interrupted start can be stopped too. */
  readonly onStarting?: (running: RunningDeployment) => void;
};

/**
 * Brings the deployment up in this process, which becomes its supervisor, and resolves when it is ready. Of several that try
 * at once one gets the directory, before anything is read or started.
 * @throws DeploymentError when it cannot; then everything that was started has been stopped again.
 */
export async function bringUp(given: UpRequest, hooks: UpHooks): Promise<RunningDeployment> {
  const request = { ...given, dataDir: resolve(given.dataDir) };
  refuseUnusable(request);
  const jaeger = request.jaeger === true ? await findJaegerPrograms() : undefined;
  if (jaeger !== undefined && 'error' in jaeger) throw new DeploymentError(jaeger.error);
  const lock = await lockDeployment(request.dataDir, upPurpose);
  try {
    return await bringUpLocked(request, hooks, lock, jaeger);
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function bringUpLocked(
  request: UpRequest,
  hooks: UpHooks,
  lock: DirectoryLock,
  jaeger: JaegerPrograms | undefined,
): Promise<RunningDeployment> {
  const { onProgress, programs } = hooks;
  const { dataDir } = request;
  const deployment = await openDeployment(request, onProgress);
  const nats =
    deployment.nats === null
      ? await findNatsServer(undefined, { onProgress, fetch: true, install: request.install === true })
      : { path: '', version: '0.0.0' };
  if ('error' in nats) throw new DeploymentError(nats.error);
  await secureDeployment(dataDir, deployment, namesIn(deployment), onProgress);
  const pairs = distancesOf(request, deployment);
  const proxies = await Promise.all(
    routesOf(deployment).map((ends) => RouteProxy.open(ends, routePortOf(deployment, ends.to))),
  );
  const servers = natsProcesses(deployment, dataDir, nats, proxies);
  const wrote = storeVersion(dataDir, servers);
  const processes = [...servers, ...processesWith(jaeger, deployment, dataDir, programs)];
  const metricsPort = supervisorPort(deployment.basePort);
  const routes = deployment.nats === null ? new RouteProxies(proxies, pairs) : undefined;
  const supervisor: Supervisor = new Supervisor({
    processes,
    proxies: routes,
    changeRegions: (change) => keeper.change(change),
    ...(deployment.nats === null && { nats: natsAccess(dataDir, deployment) }),
    controlSocket: controlSocket(dataDir),
    metricsPort,
    nodes: (request) => members.answer(request),
    ...(hooks.more !== undefined && { more: hooks.more(dataDir) }),
    ...(deployment.secure === true && { renew: () => renewLocal(dataDir) }),
    onProgress,
  });
  const kept = new KeptDeployment({
    ...{ dataDir, deployment, jaeger },
    dialled: () => routes?.dialled ?? [],
  });
  const parts = { dataDir, kept, programs, jaeger, supervisor, onProgress };
  const keeper = new RegionKeeper({ ...parts, server: nats, proxies: routes, distances: request.wan });
  const members = new LocalMembers(parts);
  const running: RunningDeployment = {
    deployment,
    supervisor,
    async stop() {
      await supervisor.stop();
      lock.release();
    },
  };
  try {
    const problem = storeProblem(wrote, nats, servers.length > 1);
    if (problem !== undefined) throw new DeploymentError(problem);
    const busy = await busyPorts([...processes, { id: 'the supervisor', ports: [metricsPort] }]);
    if (busy !== undefined) throw new DeploymentError(busy);
    if (servers.length > 0) rememberStoreVersion(dataDir, wrote, nats.version);
    hooks.onStarting?.(running);
    writeRegionFiles(deployment, dataDir, proxies, jaeger && addressesOf(deployment).ui);
    if (deployment.secure === true) trustLocal(dataDir);
    onProgress(`starting ${processes.length} processes of ${deployment.regions.length} regions`);
    const failure = await supervisor.start(hooks.timeoutMs ?? defaultStartTimeoutMs);
    if (failure !== undefined) {
      const hint = servers.length > 0 ? downgradeHint(wrote, nats) : undefined;
      throw new DeploymentError(failureText(failure) + (hint === undefined ? '' : `\n${hint}`));
    }
  } catch (error) {
    await running.stop();
    throw error;
  }
  return running;
}

/**
 * Takes the directory from whoever has it: a supervisor is asked to stop, and killed after its grace; another `down` is
 * waited for. @returns the lock, and whether a supervisor was stopped. @throws DeploymentError when it cannot be had.
 */
async function takeOver(
  dataDir: string,
): Promise<{ readonly lock: DirectoryLock; readonly supervisor: boolean }> {
  const deadline = performance.now() + deploymentGraceMs + 2 * anyGraceMs;
  let supervisor = false;
  for (;;) {
    const outcome = await lockDirectory(supervisorDir(dataDir), downPurpose);
    if (outcome.kind === 'locked') return { lock: outcome.lock, supervisor };
    if (outcome.kind === 'failed')
      throw new DeploymentError(`${supervisorDir(dataDir)} cannot be locked: ${outcome.reason}`);
    const { holder } = outcome;
    if (performance.now() >= deadline) throw new DeploymentError(lockedMessage(dataDir, holder));
    if (holder?.purpose === upPurpose && signalProcess(holder.identity, 'SIGTERM')) {
      supervisor = true;
      signalProcess(holder.identity, 'SIGCONT');
      if (!(await waitForExit(holder.identity, deploymentGraceMs))) signalProcess(holder.identity, 'SIGKILL');
      await waitForExit(holder.identity, anyGraceMs);
    } else {
      await sleep(downPollMs);
    }
  }
}

/**
 * Stops the deployment in `dataDir`: its supervisor, also one that is still starting, and whatever one that died left running.
 * Needs no readable deployment.json.
 * @returns what was found running; ids such as `supervisor` or `us-east-1/n1`.
 * @throws DeploymentError when no deployment is there, or its directory cannot be had.
 */
export async function takeDown(dataDirGiven: string): Promise<readonly string[]> {
  const dataDir = resolve(dataDirGiven);
  if (
    !existsSync(deploymentFile(dataDir)) &&
    !existsSync(supervisorDir(dataDir)) &&
    deploymentTraces(dataDir).length === 0
  )
    requireDeployment(dataDir);
  const { lock, supervisor } = await takeOver(dataDir);
  try {
    const leftovers = await stopLeftovers(dataDir);
    return supervisor ? ['supervisor', ...leftovers] : leftovers;
  } finally {
    lock.release();
  }
}
