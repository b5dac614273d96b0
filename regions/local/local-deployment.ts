/**
 * A deployment on this machine as its owner sees it: brought up under a supervisor in its directory (`data-directory.ts`), taken
 * down exactly, found again after any crash.
 */
import { existsSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type DirectoryLock,
  type LockHolder,
  lockDirectory,
  lockHolder,
  readPidFile,
  removePidFile,
  signalProcess,
  stopProcess,
  waitForExit,
} from '../../storage/index.ts';
import { findNatsServer } from '../nats/nats-server.ts';
import { busyPorts } from './busy-port.ts';
import { RouteProxies, RouteProxy } from './cables/route-proxy.ts';
import type { MoreRoutes } from './control-socket.ts';
import { anyGraceMs, deploymentGraceMs } from './core/stop-graces.ts';
import { distancesOf, prepareDeployment, refuseUnusable, type UpRequest } from './data-directory.ts';
import { DeploymentError, KeptDeployment, readDeployment, requireDeployment } from './deployment-file.ts';
import { addressesOf, processesWith } from './jaeger-processes.ts';
import { supervisorPort } from './layout/core/local-ports.ts';
import {
  controlSocket,
  type Deployment,
  deploymentFile,
  namesIn,
  routePortOf,
  routesOf,
  supervisorDir,
} from './layout/local-layout.ts';
import { natsProcesses, type Programs } from './layout/local-processes.ts';
import { LocalMembers } from './local-members.ts';
import { deploymentTraces, pidFilesBelow } from './local-traces.ts';
import { natsAccess } from './nats-care.ts';
import { downgradeHint, rememberStoreVersion, storeProblem, storeVersion } from './nats-store-version.ts';
import { findJaegerPrograms, type JaegerPrograms } from './programs/jaeger-programs.ts';
import { writeRegionFiles } from './region-files.ts';
import { RegionKeeper } from './region-keeper.ts';
import { renewLocal, secureDeployment, trustLocal } from './secure/make-certificates.ts';
import { Supervisor } from './supervisor.ts';
import { failureText } from './wait-until-up.ts';

export const defaultStartTimeoutMs = 90_000;

const downPollMs = 100;
const upPurpose = 'sextant up';
const downPurpose = 'sextant down';

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
