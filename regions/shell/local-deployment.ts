/**
 * A deployment on this machine as its owner sees it: created in a data directory, brought up under a supervisor, taken down
 * exactly, found again after any crash.
 */
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { loadConfig } from '../../storage/shell/config.ts';
import { regionsMax, regionsSchema } from './config.ts';
import { socketPathProblem } from './control-socket.ts';
import {
  basePortMax,
  configFile,
  controlSocket,
  type Deployment,
  deploymentFile,
  deploymentSchema,
  natsProcesses,
  type ProcessSpec,
  type Programs,
  pidFile,
  processDirs,
  routePortOf,
  routesOf,
  sextantProcesses,
  supervisorDir,
} from './local-layout.ts';
import { lastLines } from './managed-process.ts';
import { findNatsServer } from './nats-server.ts';
import {
  identify,
  isAlive,
  readPidFile,
  removePidFile,
  signalProcess,
  stopProcess,
  waitForExit,
  writePidFile,
} from '../../storage/shell/process-identity.ts';
import { RouteProxies, RouteProxy } from './route-proxy.ts';
import { Supervisor } from './supervisor.ts';

/** Something the user can put right; `message` says what and how. Anything else that is thrown is a bug. */
export class DeploymentError extends Error {
  override readonly name = 'DeploymentError';
}

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
};

const privateMode = 0o600;
const supervisorGraceMs = 40_000;
const orphanGraceMs = 8_000;

/** The deployment in `dataDir`, or undefined when there is none. @throws DeploymentError when its file is damaged. */
export function readDeployment(dataDir: string): Deployment | undefined {
  const file = deploymentFile(dataDir);
  if (!existsSync(file)) return undefined;
  const loaded = loadConfig(file, deploymentSchema, {});
  if (loaded.kind === 'invalid') throw new DeploymentError(loaded.message);
  return loaded.value;
}

/** The deployment in `dataDir`. @throws DeploymentError when there is none. */
export function requireDeployment(dataDir: string): Deployment {
  const deployment = readDeployment(dataDir);
  if (deployment === undefined) {
    throw new DeploymentError(
      `there is no deployment in ${resolve(dataDir)}: start one with \`sextant up\`, or name its --data`,
    );
  }
  return deployment;
}

function writeDeployment(dataDir: string, deployment: Deployment): void {
  const file = deploymentFile(dataDir);
  // A torn file would lose the secrets, and with them the data: written aside, then moved into place.
  writeFileSync(`${file}.new`, `${JSON.stringify(deployment, null, 2)}\n`, { mode: privateMode });
  renameSync(`${file}.new`, file);
}

function checkRequest(request: UpRequest): void {
  if (request.regions !== undefined) {
    const parsed = regionsSchema.safeParse(request.regions);
    if (!parsed.success) {
      const problems = parsed.error.issues.map((issue) => issue.message).join('; ');
      throw new DeploymentError(`--regions takes 1 to ${regionsMax} names separated by commas: ${problems}`);
    }
  }
  const { basePort } = request;
  if (basePort !== undefined && !(Number.isInteger(basePort) && basePort >= 1 && basePort <= basePortMax)) {
    throw new DeploymentError(`--base-port is a number from 1 to ${basePortMax}`);
  }
}

/**
 * Deletes the deployment in `dataDir`, and nothing else there.
 * @throws DeploymentError when the directory holds something, but no deployment of ours.
 */
export function deleteDeployment(dataDir: string): void {
  if (!existsSync(dataDir) || readdirSync(dataDir).length === 0) return;
  let deployment: Deployment | undefined;
  try {
    deployment = readDeployment(dataDir);
  } catch (error) {
    if (!(error instanceof DeploymentError)) throw error;
  }
  if (deployment === undefined) {
    throw new DeploymentError(
      `--fresh deletes only a Sextant deployment, and ${resolve(dataDir)} holds no readable deployment.json. ` +
        'Delete the directory yourself if you are sure, or choose another --data.',
    );
  }
  for (const region of deployment.regions) rmSync(join(dataDir, region), { recursive: true, force: true });
  rmSync(join(dataDir, 'witness'), { recursive: true, force: true });
  rmSync(supervisorDir(dataDir), { recursive: true, force: true });
  // Last: until then a second try still knows what this directory is.
  rmSync(deploymentFile(dataDir), { force: true });
  if (readdirSync(dataDir).length === 0) rmdirSync(dataDir);
}

/** Opens the deployment in the request's data directory, or creates it there. @throws DeploymentError. */
export function prepareDeployment(request: UpRequest): Deployment {
  checkRequest(request);
  const { dataDir } = request;
  const pathProblem = socketPathProblem(resolve(controlSocket(dataDir)));
  if (pathProblem !== undefined) throw new DeploymentError(pathProblem);
  if (request.fresh === true) deleteDeployment(dataDir);
  const existing = readDeployment(dataDir);
  if (existing === undefined && existsSync(dataDir) && readdirSync(dataDir).length > 0) {
    throw new DeploymentError(
      `${resolve(dataDir)} is not empty and holds no Sextant deployment: choose another --data`,
    );
  }
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
  const base = existing ?? {
    version: 1 as const,
    cluster: `sextant-${randomBytes(4).toString('hex')}`,
    secret: randomBytes(32).toString('base64url'),
    natsToken: randomBytes(24).toString('base64url'),
    regions: regionsSchema.parse(request.regions ?? defaultRegions),
    basePort: defaultBasePort,
    nats: null,
  };
  const { nats } = request;
  const deployment: Deployment = {
    ...base,
    basePort: request.basePort ?? base.basePort,
    nats:
      nats === undefined ? base.nats : { servers: [nats.url], token: nats.token, replicas: nats.replicas },
  };
  refuseForeignData(dataDir, deployment);
  mkdirSync(dataDir, { recursive: true });
  writeDeployment(dataDir, deployment);
  return deployment;
}

/** Data of another cluster under this deployment's identity would be taken for its own, or refused node by node. */
function refuseForeignData(dataDir: string, deployment: Deployment): void {
  for (const dir of processDirs(deployment, dataDir)) {
    let config: unknown;
    try {
      config = JSON.parse(readFileSync(configFile(dir), 'utf8'));
    } catch {
      continue;
    }
    const cluster =
      typeof config === 'object' && config !== null && 'cluster' in config ? config.cluster : undefined;
    if (typeof cluster === 'string' && cluster !== deployment.cluster) {
      throw new DeploymentError(
        `${dir} holds data of cluster ${cluster}, but ${deploymentFile(dataDir)} is of cluster ${deployment.cluster}: ` +
          'put the right deployment.json back, choose another --data, or delete the data with --fresh',
      );
    }
  }
}

/** True when something else listens on the loopback port. */
function isBusy(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(true));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => done(false)));
  });
}

/** @throws DeploymentError naming the ports of `processes` that others hold, and who wants them. */
async function refuseBusyPorts(processes: readonly ProcessSpec[]): Promise<void> {
  const wanted = processes.flatMap(({ id, ports }) => ports.map((port) => ({ id, port })));
  const checked = await Promise.all(
    wanted.map(async (entry) => ({ ...entry, busy: await isBusy(entry.port) })),
  );
  const busy = checked.filter((entry) => entry.busy);
  if (busy.length === 0) return;
  const named = busy.slice(0, 4).map(({ id, port }) => `${port} (for ${id})`);
  const more = busy.length > named.length ? ` and ${busy.length - named.length} more` : '';
  throw new DeploymentError(
    `port ${named.join(', ')}${more} is in use by another program: stop it, or choose other ports with --base-port N`,
  );
}

const supervisorPidFile = (dataDir: string): string => pidFile(supervisorDir(dataDir));

/** Pid of the running supervisor of `dataDir`, or undefined. */
export function runningSupervisor(dataDir: string): number | undefined {
  const identity = readPidFile(supervisorPidFile(dataDir));
  return identity !== undefined && isAlive(identity) ? identity.pid : undefined;
}

/**
 * Ends what the pid files of `dataDir` name and is still the same process. A pid that belongs to a stranger by now is left alone.
 * @returns the ids, such as `us-east-1/n1`, of those that were running.
 */
export async function stopLeftovers(dataDir: string, deployment: Deployment): Promise<readonly string[]> {
  const stopped = await Promise.all(
    processDirs(deployment, dataDir).map(async (dir) => {
      const identity = readPidFile(pidFile(dir));
      const running = identity !== undefined && (await stopProcess(identity, orphanGraceMs));
      removePidFile(pidFile(dir));
      return running ? [dir.slice(dataDir.length + 1)] : [];
    }),
  );
  return stopped.flat();
}

/**
 * Makes the data directory ready for a start: no supervisor runs there, leftovers of one that died are stopped, the deployment
 * is opened or created. @throws DeploymentError.
 */
export async function openDeployment(
  request: UpRequest,
  onProgress: (line: string) => void,
): Promise<Deployment> {
  const dataDir = resolve(request.dataDir);
  const pid = runningSupervisor(dataDir);
  if (pid !== undefined) {
    throw new DeploymentError(
      `the deployment in ${dataDir} is already running (supervisor pid ${pid}); \`sextant down\` stops it`,
    );
  }
  const previous = readDeployment(dataDir);
  if (previous !== undefined) {
    const leftovers = await stopLeftovers(dataDir, previous);
    if (leftovers.length > 0)
      onProgress(`stopped ${leftovers.length} processes that an earlier run left behind`);
  }
  return prepareDeployment({ ...request, dataDir });
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
  /** Handed the deployment before it is ready, so that an interrupted start can be stopped too. */
  readonly onStarting?: (running: RunningDeployment) => void;
};

/**
 * Brings the deployment up in this process, which becomes its supervisor, and resolves when it is ready.
 * @throws DeploymentError when it cannot; then everything that was started has been stopped again.
 */
export async function bringUp(request: UpRequest, hooks: UpHooks): Promise<RunningDeployment> {
  const { onProgress, programs } = hooks;
  const dataDir = resolve(request.dataDir);
  const deployment = await openDeployment(request, onProgress);
  const nats =
    deployment.nats === null ? await findNatsServer(undefined, onProgress) : { path: '', version: '0.0.0' };
  if ('error' in nats) throw new DeploymentError(nats.error);

  const proxies = await Promise.all(
    routesOf(deployment).map((ends) => RouteProxy.open(ends, routePortOf(deployment, ends.to))),
  );
  const processes = [
    ...natsProcesses(deployment, dataDir, nats, proxies),
    ...sextantProcesses(deployment, dataDir, programs),
  ];
  const supervisor = new Supervisor({
    processes,
    proxies: deployment.nats === null ? new RouteProxies(proxies) : undefined,
    controlSocket: controlSocket(dataDir),
    onProgress,
  });
  const running: RunningDeployment = {
    deployment,
    supervisor,
    async stop() {
      await supervisor.stop();
      removePidFile(supervisorPidFile(dataDir));
    },
  };
  try {
    await refuseBusyPorts(processes);
    const self = identify(process.pid);
    if (self !== undefined) writePidFile(supervisorPidFile(dataDir), self);
    hooks.onStarting?.(running);
    onProgress(`starting ${processes.length} processes of ${deployment.regions.length} regions`);
    const failure = await supervisor.start(hooks.timeoutMs ?? defaultStartTimeoutMs);
    if (failure !== undefined) {
      const tail = failure.logTail.map((line) => `  | ${line}`).join('\n');
      throw new DeploymentError(
        `${failure.process} ${failure.reason}\nlast lines of ${failure.log}:\n${tail === '' ? '  | (empty)' : tail}`,
      );
    }
  } catch (error) {
    await running.stop();
    throw error;
  }
  return running;
}

/**
 * Stops the deployment in `dataDir`: its supervisor, and whatever a supervisor that died left running.
 * @returns what was found running; ids such as `supervisor` or `us-east-1/n1`.
 */
export async function takeDown(dataDirGiven: string): Promise<readonly string[]> {
  const dataDir = resolve(dataDirGiven);
  const deployment = requireDeployment(dataDir);
  const stopped: string[] = [];
  const supervisor = readPidFile(supervisorPidFile(dataDir));
  if (supervisor !== undefined && signalProcess(supervisor, 'SIGTERM')) {
    stopped.push('supervisor');
    signalProcess(supervisor, 'SIGCONT');
    if (!(await waitForExit(supervisor, supervisorGraceMs))) signalProcess(supervisor, 'SIGKILL');
    await waitForExit(supervisor, orphanGraceMs);
  }
  stopped.push(...(await stopLeftovers(dataDir, deployment)));
  removePidFile(supervisorPidFile(dataDir));
  return stopped;
}

/** Last lines of a process's log, for an error message. */
export const supervisorLogTail = (dataDir: string): readonly string[] =>
  lastLines(join(supervisorDir(dataDir), 'process.log'), 12);
