/** `sextant up` and `sextant down`, and the hidden `supervise` that a detached `up` leaves running. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { z } from 'zod';
import { brokenPipeExitCode, onBrokenPipe } from '../../../telemetry/core.ts';
import { engineKinds } from '../../deploy/core/engine-kinds.ts';
import { drillDesk } from '../../drills/run/drill-desk.ts';
import { supervisorStatus } from '../../local/control-socket.ts';
import {
  defaultBasePort,
  defaultRegions,
  refuseUnusable,
  type UpRequest,
} from '../../local/data-directory.ts';
import { requireDeployment } from '../../local/deployment-file.ts';
import { localGatewaysMax } from '../../local/layout/core/gateway-places.ts';
import { controlSocket, type Deployment, logFile, supervisorDir } from '../../local/layout/local-layout.ts';
import type { Programs } from '../../local/layout/local-processes.ts';
import {
  bringUp,
  defaultStartTimeoutMs,
  type RunningDeployment,
  refuseRunning,
  runningSupervisor,
  takeDown,
} from '../../local/local-deployment.ts';
import { endpointsOf } from '../../local/places/region-endpoints.ts';
import { authorityFileOf } from '../../local/secure/local-certificates.ts';
import { retentionSchema } from '../../retention/core/retention-limits.ts';
import { type BackupOptions, backupArgs, backupOf, withBackup } from '../ask/backup-options.ts';
import { jaegerLinks, jaegerTable } from '../ask/jaeger-links.ts';
import { type CommonOptions, withCommon, withExample } from '../ask/options.ts';
import { CliError, note, paint, parseBytes, printJson, table } from '../ask/output.ts';
import { wanTable } from '../ask/wan-table.ts';

const fromRoot = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const cliFile = fromRoot('regions/cli/sextant.ts');

/**
 * Bounds each half of the young generation of a process's heap. V8 doubles them whenever as much as they hold has survived
 * since: under steady load a storage node with 25 MiB of objects came to 64 MiB for its garbage within seven minutes.
 */
const semiSpace = (mebibytes: number): string => `--max-semi-space-size=${mebibytes}`;

/** How the kinds of process run. Gateways are only ever started by path: regions import nothing of theirs. */
export const programs: Programs = {
  storage: [semiSpace(8), fromRoot('storage/main.ts')],
  agent: [fromRoot('regions/main.ts')],
  gateway: [semiSpace(32), fromRoot('gateway/main.ts')],
  endpoint: [fromRoot('regions/endpoint/main.ts')],
};

/** The supervisor runs the drills that are asked for over HTTP, each as a command of its own. */
const desk = (dataDir: string) => drillDesk(dataDir, [process.execPath, cliFile]);

type UpOptions = CommonOptions &
  BackupOptions & {
    readonly regions?: string;
    readonly basePort?: string;
    readonly gateways?: string;
    readonly engine?: string;
    readonly detach?: boolean;
    readonly fresh?: boolean;
    readonly install?: boolean;
    readonly nats?: string;
    readonly natsReplicas: string;
    readonly wan?: boolean;
    readonly wanRttMs?: string;
    readonly jaeger?: boolean;
    readonly secure?: boolean;
    readonly retentionHours?: string;
    readonly retentionBytes?: string;
    readonly timeout: string;
  };

function natsOf(options: UpOptions): Pick<UpRequest, 'nats'> {
  if (options.nats === undefined) return {};
  const replicas = z
    .union([z.literal(1), z.literal(3), z.literal(5)])
    .safeParse(Number(options.natsReplicas));
  if (!replicas.success) throw new CliError('--nats-replicas is 1, 3 or 5');
  const token = process.env.SEXTANT_NATS_TOKEN;
  if (token === undefined || token === '')
    throw new CliError('--nats needs the token of those servers in $SEXTANT_NATS_TOKEN');
  return { nats: { url: options.nats, token, replicas: replicas.data } };
}

function wanOf({ wan, wanRttMs }: UpOptions): Pick<UpRequest, 'wan'> {
  if (wanRttMs !== undefined)
    return { wan: { kind: 'equal', rttMs: wanRttMs.trim() === '' ? Number.NaN : Number(wanRttMs) } };
  return wan === true ? { wan: { kind: 'cities' } } : {};
}

/** @throws CliError that names the option and its bounds. */
function retentionOf({ retentionHours, retentionBytes }: UpOptions): Pick<UpRequest, 'retention'> {
  if (retentionHours === undefined && retentionBytes === undefined) return {};
  const bytes = retentionBytes === undefined ? undefined : parseBytes(retentionBytes);
  if (bytes === null) throw new CliError('--retention-bytes is a size, such as 64MiB or 10GiB');
  const retention = {
    ...(retentionHours !== undefined && {
      hours: retentionHours.trim() === '' ? Number.NaN : Number(retentionHours),
    }),
    ...(bytes !== undefined && { bytes }),
  };
  const parsed = retentionSchema.partial().safeParse(retention);
  if (parsed.success) return { retention };
  const [issue] = parsed.error.issues;
  throw new CliError(`--retention-${String(issue?.path[0] ?? 'hours')}: ${issue?.message ?? 'not possible'}`);
}

function engineOf({ engine }: UpOptions): Pick<UpRequest, 'engine'> {
  if (engine === undefined) return {};
  const parsed = z.enum(engineKinds).safeParse(engine);
  if (!parsed.success) throw new CliError(`--engine is ${engineKinds.join(' or ')}, not ${engine}`);
  return { engine: parsed.data };
}

function requestOf(options: UpOptions): UpRequest {
  return {
    dataDir: options.data,
    ...(options.regions !== undefined && { regions: options.regions.split(',').map((name) => name.trim()) }),
    ...(options.basePort !== undefined && { basePort: Number(options.basePort) }),
    ...(options.gateways !== undefined && {
      gateways: options.gateways.trim() === '' ? Number.NaN : Number(options.gateways),
    }),
    ...engineOf(options),
    ...(options.fresh === true && { fresh: true }),
    ...(options.jaeger === true && { jaeger: true }),
    ...(options.install === true && { install: true }),
    ...(options.secure !== undefined && { secure: options.secure }),
    ...retentionOf(options),
    ...backupOf(options),
    ...natsOf(options),
    ...wanOf(options),
  };
}

async function printReady(options: CommonOptions, deployment: Deployment): Promise<void> {
  const supervisor = await supervisorStatus(controlSocket(resolve(options.data)));
  const endpoints = endpointsOf(deployment);
  const jaeger = await jaegerLinks(deployment, supervisor);
  if (options.json === true) {
    const dataDir = resolve(options.data);
    printJson({
      ready: true,
      cluster: deployment.cluster,
      dataDir,
      supervisorPid: runningSupervisor(dataDir),
      endpoints,
      wan: supervisor?.wan ?? [],
      ...(deployment.secure === true && { authority: authorityFileOf(dataDir) }),
      ...(jaeger !== undefined && { jaeger }),
    });
    return;
  }
  console.log(
    table(
      ['REGION', 'GATEWAY', 'AGENT', 'NATS'],
      endpoints.flatMap(({ region, gateways, headless, agent, nats }) =>
        headless
          ? [[region, '(headless)', agent, nats]]
          : gateways.map(({ url }, index) => (index === 0 ? [region, url, agent, nats] : ['', url, '', ''])),
      ),
    ),
  );
  const postgres = endpoints.flatMap(({ region, gateways }) =>
    gateways.flatMap(({ postgres: url }, index) =>
      url === undefined ? [] : [[index === 0 ? region : '', url]],
    ),
  );
  if (postgres.length > 0) console.log(table(['REGION', 'POSTGRES'], postgres));
  const balanced = endpoints.filter(({ writer }) => writer !== null);
  if (balanced.length > 0)
    console.log(
      table(
        ['REGION', 'ENDPOINT OF THE WRITER', 'OF READERS HERE'],
        balanced.flatMap(({ region, writer, reader, postgres: own }) => [
          [region, writer ?? '', reader ?? ''],
          ...(own === undefined ? [] : [['', own.writer, own.reader]]),
        ]),
      ),
    );
  const distances = supervisor === undefined ? null : wanTable(supervisor);
  if (distances !== null) console.log(distances);
  const pages = jaegerTable(jaeger);
  if (pages !== null) console.log(pages);
  const first = endpoints.find(({ headless }) => !headless);
  if (first !== undefined) console.log(`console  ${first.gateway}/console`);
  if (deployment.secure === true) {
    const authority = authorityFileOf(resolve(options.data));
    console.log(`clients  trust the deployment's own authority: NODE_EXTRA_CA_CERTS=${authority}`);
  }
  console.log(paint('green', 'ready'));
}

/** Why this process ends, and with which code when that is not its success. */
type End = { readonly reason: string; readonly exitCode: number };

/** Resolves with the first signal that asks this process to end, or when nobody reads what it says any more. */
function endAsked(): Promise<End> {
  return new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => done({ reason: signal, exitCode: 0 }));
    onBrokenPipe(() => done({ reason: 'nobody reads the output', exitCode: brokenPipeExitCode }));
  });
}

async function upInForeground(options: UpOptions, request: UpRequest): Promise<void> {
  let starting: RunningDeployment | undefined;
  const ending = endAsked().then(async ({ reason, exitCode }) => {
    note(`${reason}: stopping`);
    // Nothing has been started yet, and nothing may be from here on.
    if (starting === undefined) process.exit(exitCode === 0 ? 1 : exitCode);
    await starting.stop();
    process.exitCode = exitCode;
  });
  const running = await bringUp(request, {
    onProgress: note,
    programs,
    more: desk,
    timeoutMs: timeoutOf(options),
    onStarting: (deployment) => {
      starting = deployment;
    },
  });
  if (running.supervisor.status.phase !== 'ready') {
    await ending;
    if (process.exitCode === brokenPipeExitCode) return;
    throw new CliError('interrupted before the deployment was ready; everything has been stopped');
  }
  await printReady(options, running.deployment);
  if (options.json !== true) note('Ctrl-C stops it; --detach leaves it running');
  await ending;
  note('stopped');
}

function timeoutOf(options: UpOptions): number {
  const seconds = Number(options.timeout);
  if (!(seconds > 0)) throw new CliError('--timeout is a number of seconds');
  return seconds * 1_000;
}

/** What a detached supervisor tells the command that started it, until it is ready. */
const messageSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('progress'), line: z.string() }),
  z.object({ kind: z.literal('ready') }),
  z.object({ kind: z.literal('failed'), message: z.string() }),
]);
type SupervisorMessage = z.output<typeof messageSchema>;

/** The options of `up` that `supervise` takes as they are; a NATS token stays in the environment. */
const handedOn = (options: UpOptions): readonly string[] => [...ownArgs(options), ...backupArgs(options)];

const ownArgs = ({
  regions,
  basePort,
  gateways,
  engine,
  fresh,
  install,
  nats,
  natsReplicas,
  wan,
  wanRttMs,
  jaeger,
  secure,
  retentionHours,
  retentionBytes,
}: UpOptions): readonly string[] => [
  ...(regions === undefined ? [] : ['--regions', regions]),
  ...(basePort === undefined ? [] : ['--base-port', basePort]),
  ...(gateways === undefined ? [] : ['--gateways', gateways]),
  ...(engine === undefined ? [] : ['--engine', engine]),
  ...(fresh === true ? ['--fresh'] : []),
  ...(install === true ? ['--install'] : []),
  ...(nats === undefined ? [] : ['--nats', nats, '--nats-replicas', natsReplicas]),
  ...(secure === undefined ? [] : [secure ? '--secure' : '--no-secure']),
  ...(retentionHours === undefined ? [] : ['--retention-hours', retentionHours]),
  ...(retentionBytes === undefined ? [] : ['--retention-bytes', retentionBytes]),
  ...(wan === true ? ['--wan'] : []),
  ...(jaeger === true ? ['--jaeger'] : []),
  ...(wanRttMs === undefined ? [] : ['--wan-rtt-ms', wanRttMs]),
];

async function upDetached(options: UpOptions, request: UpRequest): Promise<void> {
  refuseUnusable(request);
  const dataDir = resolve(options.data);
  refuseRunning(dataDir);
  mkdirSync(supervisorDir(dataDir), { recursive: true, mode: 0o700 });
  const log = openSync(logFile(supervisorDir(dataDir)), 'a', 0o600);
  const child = spawn(
    process.execPath,
    [cliFile, 'supervise', '--data', dataDir, '--timeout', options.timeout, ...handedOn(options)],
    {
      detached: true,
      stdio: ['ignore', log, log, 'ipc'],
    },
  );
  closeSync(log);
  await new Promise<void>((done, fail) => {
    child.on('message', (message) => {
      const parsed = messageSchema.safeParse(message);
      if (!parsed.success) return;
      if (parsed.data.kind === 'progress') note(parsed.data.line);
      else if (parsed.data.kind === 'ready') done();
      else fail(new CliError(parsed.data.message));
    });
    child.once('error', fail);
    child.once('exit', (code, signal) =>
      fail(new CliError(`the supervisor ended (${signal ?? code}); see ${logFile(supervisorDir(dataDir))}`)),
    );
  });
  child.removeAllListeners('exit');
  child.disconnect();
  child.unref();
  await printReady(options, requireDeployment(dataDir));
}

/** The detached supervisor. It belongs to the `up` that started it until it is ready, and to nobody afterwards. */
async function supervise(options: UpOptions): Promise<void> {
  // Only here: other commands log nothing and need not wait for it to load.
  const [{ createLogger }, { returnMemoryAtRest }] = await Promise.all([
    import('../../../telemetry/index.ts'),
    import('../../../storage/index.ts'),
  ]);
  let parent = process.connected;
  const log = createLogger({ service: 'sextant-supervisor', region: 'local', component: 'supervisor' });
  const tell = (message: SupervisorMessage) => {
    if (message.kind === 'failed') log.error(message.message);
    else log.info(message.kind === 'progress' ? message.line : 'ready');
    if (parent && process.connected) process.send?.(message, () => undefined);
  };
  let starting: RunningDeployment | undefined;
  const onEnd = async (reason: string) => {
    tell({ kind: 'progress', line: `${reason}: stopping` });
    await starting?.stop();
    process.exit(0);
  };
  void endAsked().then(({ reason }) => onEnd(reason));
  process.once('disconnect', () => {
    // `up` was interrupted: nobody waits for this deployment any more.
    if (parent) void onEnd('the command that started it ended');
  });
  try {
    await bringUp(requestOf(options), {
      onProgress: (line) => tell({ kind: 'progress', line }),
      programs,
      more: desk,
      timeoutMs: Number(options.timeout) * 1_000,
      onStarting: (deployment) => {
        starting = deployment;
      },
    });
  } catch (error) {
    tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
    process.exit(1);
  }
  tell({ kind: 'ready' });
  parent = false;
  returnMemoryAtRest();
}

async function down(options: CommonOptions): Promise<void> {
  const stopped = await takeDown(options.data);
  if (options.json === true) printJson({ stopped });
  else console.log(stopped.length === 0 ? 'nothing was running' : 'stopped');
}

/** What a deployment is brought up with; `up` and `supervise` take the same. */
const withRequest = (command: Command): Command =>
  withBackup(command)
    .option(
      '--regions <names>',
      `up to six names, the first is primary (new deployments: ${defaultRegions.join(',')})`,
    )
    .option('--base-port <port>', `first of the ports it uses (default: ${defaultBasePort})`)
    .option(
      '--gateways <n>',
      `gateways in each region from now on, at most ${localGatewaysMax}; with more than one, endpoints beside them (new deployments: 1)`,
    )
    .option(
      '--engine <name>',
      'what keeps the databases of a new deployment: sqlite, for libSQL clients, or postgres, for PostgreSQL clients (new deployments: sqlite)',
    )
    .option('--fresh', 'delete the deployment in the data directory first')
    .option('--install', 'as root on Debian and Ubuntu: install nats-server where there is none')
    .option('--nats <url>', 'use NATS servers that run already; their token is $SEXTANT_NATS_TOKEN')
    .option('--nats-replicas <n>', 'copies of the control record on those servers: 1, 3 or 5', '1')
    .option('--secure', 'encrypt what processes say to one another, with certificates made for them')
    .option('--no-secure', 'from now on in plain text, which is what a new deployment speaks')
    .option('--retention-hours <n>', 'from now on, how much history is kept (new deployments: 24)')
    .option(
      '--retention-bytes <size>',
      'from now on, the most log each node keeps, such as 64MiB (new deployments: no limit)',
    )
    .option(
      '--wan',
      'this time, regions are as far apart as the cities that clouds name them after: messages between them take that long',
    )
    .option('--wan-rtt-ms <n>', 'the same, with one round-trip time for every pair of regions')
    .option('--jaeger', 'this time, run Jaeger and Prometheus beside it, with every write traced to them')
    .option(
      '--timeout <seconds>',
      'give up when it is not ready by then',
      String(defaultStartTimeoutMs / 1_000),
    );

export function addUpCommands(program: Command): void {
  withExample(
    withRequest(
      withCommon(program.command('up')).description(
        'run a whole deployment on this machine: regions, each with six storage nodes, an agent, a gateway and NATS',
      ),
    )
      .option('--detach', 'return when it is ready and leave it running')
      .action((options: UpOptions) =>
        options.detach === true
          ? upDetached(options, requestOf(options))
          : upInForeground(options, requestOf(options)),
      ),
    'sextant up --regions us-east-1,eu-west-1 --detach',
  );
  withExample(
    withCommon(program.command('down'))
      .description('stop what `up` started, and only that; the data stays')
      .action(down),
    'sextant down',
  );
  withRequest(program.command('supervise', { hidden: true }).requiredOption('--data <dir>')).action(
    supervise,
  );
}
