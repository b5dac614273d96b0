/**
 * Where everything of a local deployment lies: ports, directories, the files of its regions, and the processes that run from
 * them. Computed from `deployment.json` alone, so that `up`, `down`, `status` and the tests agree without asking a running
 * supervisor.
 */
import { join, resolve } from 'node:path';
import { z } from 'zod';
import {
  clusterSchema,
  nodesPerRegion,
  regionSchema,
  secretSchema,
  strictShape,
} from '../../storage/index.ts';
import { natsSchema, regionsSchema } from '../agent/config.ts';
import { backupSchema } from '../backup/core/backup-config.ts';
import { engineKinds } from '../deploy/core/engine-kinds.ts';
import { natsTopology, voteOnly, witness } from '../deploy/core/nats-topology.ts';
import type { NatsPart, ServerFile } from '../deploy/core/region-rules.ts';
import type { RegionPlan, WitnessPlan } from '../deploy/core/region-text.ts';
import { natsConfigFile, natsConfigOf } from '../deploy/nats-config.ts';
import { secretNames } from '../deploy/write-files.ts';
import type { NatsServer } from '../nats/nats-server.ts';
import { retentionSchema } from '../retention/core/retention-limits.ts';
import type { RouteEnds } from './cables/route-proxy.ts';
import {
  gatewayCount,
  gatewayDirectories,
  gatewayDirectory,
  gatewayNamesIn,
  localGatewaysMax,
} from './core/gateway-places.ts';
import { portsOf, portsPerRegion, type RegionPorts } from './core/local-ports.ts';
import { slotOf } from './core/region-slots.ts';
import {
  certificatesDir,
  identityFilesOf,
  natsIdentity,
  type ProcessNames,
} from './secure/local-certificates.ts';

/** A storage node is called by the last digit of its port. */
const nodeNameSchema = z.string().regex(/^n[1-9]$/, 'n1 to n9');
/** Names that a region has for its six nodes and those that replace them. */
export const nodeNames: readonly string[] = Array.from({ length: 9 }, (_, index) => `n${index + 1}`);

/** Content of `deployment.json`: what makes the deployment this one. Holds secrets; the file's mode is 0600. */
export const deploymentSchema = strictShape({
  version: z.literal(1),
  cluster: clusterSchema,
  secret: secretSchema,
  natsToken: z.string().min(1),
  /** What the NATS servers show each other. One of an older version is their token. */
  natsRoutePassword: z.string().min(1).optional(),
  /** Whether the processes encrypt what they say to one another. */
  secure: z.boolean().optional(),
  regions: regionsSchema,
  /** The three of `core/region-slots.ts`; left out until regions come and go. */
  voters: z.array(regionSchema).optional(),
  slots: z.record(z.string(), z.int().min(0)).optional(),
  /** The two of `core/gateway-places.ts`. */
  gateways: z.record(z.string(), z.int().min(0).max(localGatewaysMax)).optional(),
  headless: z.array(regionSchema).optional(),
  basePort: z.int().min(1),
  /** What keeps its databases, for good; left out: SQLite. */
  engine: z.enum(engineKinds).optional(),
  /** `<cluster>/<region>` of the deployment that it was a region of. */
  detachedFrom: z.string().optional(),
  /** How much of the log is kept; left out where it was never said. */
  retention: retentionSchema.optional(),
  /** Where the first region is backed up to; left out: nowhere. */
  backup: backupSchema.optional(),
  /** Servers of someone else (`--nats URL`), or null when the deployment runs its own. */
  nats: natsSchema.nullable(),
  /** Names of a region's storage nodes, where one was replaced: the first two in the first zone, and so on. */
  nodes: z.record(z.string(), z.array(nodeNameSchema).length(nodesPerRegion)).optional(),
  /** The replacement under way in a region. */
  replacing: z.record(z.string(), strictShape({ out: nodeNameSchema, in: nodeNameSchema })).optional(),
});
export type Deployment = z.output<typeof deploymentSchema>;

export const host = '127.0.0.1';

/** `prometheus`, `window` and `jaeger` belong to no region and run only with `--jaeger`. */
export type ProcessRole =
  | 'prometheus'
  | 'window'
  | 'jaeger'
  | 'nats'
  | 'storage'
  | 'agent'
  | 'gateway'
  | 'endpoint';
/** The order in which a region's processes start; all stop in the reverse order, so that Jaeger takes the last spans. */
export const startOrder: readonly ProcessRole[] = [
  'prometheus',
  'window',
  'jaeger',
  'nats',
  'storage',
  'agent',
  'gateway',
  'endpoint',
];

/** One process to supervise. */
export type ProcessSpec = {
  /** `<region>/<name>`, such as `us-east-1/n1`, `us-east-1/gateway`; the directory below the data directory too. */
  readonly id: string;
  readonly region: string;
  readonly role: ProcessRole;
  /** Holds `process.log` and `pid`. */
  readonly dir: string;
  /** What `wipe` deletes. */
  readonly dataDir: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Of a NATS server: its configuration, made of its region's file and written before each start. `args` names it. */
  readonly config?: { readonly file: string; readonly content: string };
  /** All must be free before the start; the first accepting connections means the process is up. */
  readonly ports: readonly number[];
  /** Answers 2xx once the process serves clients. */
  readonly readyUrl?: string;
  /** Files that it reads again when it gets SIGHUP. */
  readonly reloads?: readonly string[];
  /** Environment variables it is given unless the operator has set them. */
  readonly env?: Readonly<Record<string, string>>;
  /** With more than this in `dataDir` the supervisor starts it again empty. */
  readonly dataBytesMax?: number;
};

/** What Node.js is given to run each kind of process: its own flags, and the main file. Tests hand in their own. */
export type Programs = Readonly<Record<'storage' | 'agent' | 'gateway' | 'endpoint', readonly string[]>>;

/** Where a version before this one kept the configuration of each process. */
export const formerConfigFile = (dir: string): string => join(dir, 'config.json');
/** The file of a region, from which all its processes run; its secrets lie beside it. */
export const regionFileOf = (dataDir: string, region: string): string =>
  resolve(dataDir, region, 'region.yaml');
/** The file of a server that only votes: the witness of two regions, or one whose region has left. */
export const voterFileOf = (dataDir: string, name: string): string => resolve(dataDir, name, 'witness.yaml');
export const logFile = (dir: string): string => join(dir, 'process.log');
export const pidFile = (dir: string): string => join(dir, 'pid');
export const deploymentFile = (dataDir: string): string => join(dataDir, 'deployment.json');
export const supervisorDir = (dataDir: string): string => join(dataDir, 'supervisor');
/** Compiled code of all processes: a restart takes half as long with it. Safe to delete; as private as the data beside it. */
const compileCacheDir = (dataDir: string): string => resolve(supervisorDir(dataDir), 'compile-cache');
export const controlSocket = (dataDir: string): string => join(supervisorDir(dataDir), 'control.sock');

/** Names of the six storage nodes of a region, two in each zone. */
export const nodesOfRegion = (deployment: Deployment, region: string): readonly string[] =>
  deployment.nodes?.[region] ?? nodeNames.slice(0, nodesPerRegion);

/** The six as they are once the replacement under way has ended well. */
function nodesAfter(deployment: Deployment, region: string): readonly string[] {
  const replacing = deployment.replacing?.[region];
  const names = nodesOfRegion(deployment, region);
  return replacing === undefined
    ? names
    : names.map((name) => (name === replacing.out ? replacing.in : name));
}

/** Storage nodes that run in a region: the six, and one that joins. */
export function runningNodes(deployment: Deployment, region: string): readonly string[] {
  const joins = deployment.replacing?.[region]?.in;
  return [...nodesOfRegion(deployment, region), ...(joins === undefined ? [] : [joins])];
}

/** Who in a region has a name of its own. */
export const namesIn = (deployment: Deployment): ProcessNames => ({
  nodes: (region) => runningNodes(deployment, region),
  gateways: (region) => gatewayNamesIn(deployment, region),
  hasEndpoint: (region) => hasEndpoint(deployment, region),
});

/** Where a storage node listens, by its name. */
export const nodePortOf = (deployment: Deployment, region: string, name: string): number =>
  deployment.basePort + portsPerRegion * slotOf(deployment, region) + Number(name.slice(1));

/** The file of a node that joins: it names the six as they will be. All other processes run from their region's. */
export const joiningFileOf = (dataDir: string, region: string): string =>
  resolve(dataDir, region, 'joining.yaml');

/** Availability zone of node `index` (from 0): two nodes in each of three. */
const azOf = (region: string, index: number): string => `${region}${'abc'[Math.floor(index / 2)] ?? ''}`;

/** Names of the directories in which a region keeps its processes. */
export const processNames: readonly string[] = [
  ...nodeNames,
  ...gatewayDirectories,
  'agent',
  'endpoint',
  'nats',
];

/** What `--jaeger` adds stands beside the regions: this directory, and the processes in it. */
export const telemetryGroup = 'telemetry';
export const telemetryNames: readonly string[] = ['prometheus', 'window', 'jaeger'];

/** Every directory a deployment of these regions may keep a process in. */
export function processDirs(deployment: Deployment, dataDir: string): readonly string[] {
  const regions = deployment.regions.flatMap((region) =>
    processNames.map((name) => join(dataDir, region, name)),
  );
  return [...regions, join(dataDir, witness)];
}

/**
 * Routes between servers: one for each pair, through one proxy. Each dials its successor in a ring, because a JetStream server
 * refuses to start a cluster without a route to dial; of other pairs the later dials the earlier.
 */
export function routesOf(deployment: Deployment): readonly RouteEnds[] {
  if (deployment.nats !== null) return [];
  const { servers } = topologyOf(deployment);
  if (servers.length === 1) return [];
  const ring = servers.map((from, index) => ({ from, to: servers[(index + 1) % servers.length] ?? from }));
  const chords = servers.flatMap((from, index) =>
    servers
      .slice(0, Math.max(0, index - 1))
      .filter((_, earlier) => !(earlier === 0 && index === servers.length - 1))
      .map((to) => ({ from, to })),
  );
  return [...ring, ...chords];
}

/** The NATS servers of a deployment that runs its own. */
export const topologyOf = ({ regions, voters }: Deployment) => natsTopology(regions, voters);

/** Ports of a region, or of a server that only votes. */
export const portsIn = (deployment: Deployment, server: string): RegionPorts =>
  portsOf(deployment.basePort, slotOf(deployment, server));

/** Port that `server` takes routes on. */
export const routePortOf = (deployment: Deployment, server: string): number =>
  portsIn(deployment, server).natsRoute;

/**
 * Routes of a server that comes while the others run: it dials every one of them, and their configurations stay as they are.
 */
export const routesOfNew = (deployment: Deployment, from: string): readonly RouteEnds[] =>
  deployment.nats !== null
    ? []
    : topologyOf(deployment)
        .servers.filter((to) => to !== from)
        .map((to) => ({ from, to }));

/** A route as it is dialled this time. */
export type DialledRoute = { readonly ends: RouteEnds; readonly port: number };

function natsPlanOf(deployment: Deployment, server: string, dialled: readonly DialledRoute[]): NatsPart {
  if (deployment.nats !== null) {
    const { servers, replicas } = deployment.nats;
    return { servers, ...(replicas !== undefined && { replicas }) };
  }
  const ports = portsIn(deployment, server);
  const routes = dialled
    .filter(({ ends }) => ends.from === server)
    .map(({ ends, port }) => ({ region: ends.to, address: at(port), proxied: true }));
  const clustered = topologyOf(deployment).servers.length > 1;
  return { address: at(ports.nats), ...(clustered && { routeAddress: at(ports.natsRoute), routes }) };
}

const at = (port: number): string => `${host}:${port}`;

/** What a region's file says about secrets and certificates. */
const privacyOf = ({ secure }: Deployment, dataDir: string) => ({
  secrets: secretNames(secure === true),
  ...(secure === true && { certificatesDir: resolve(certificatesDir(dataDir)) }),
});

/** Clients are shown the certificate that other processes are shown. */
function clientTlsOf(dataDir: string, region: string, name: string) {
  const { certFile, keyFile } = identityFilesOf(dataDir, { region, role: 'gateway', name });
  return { certFile, keyFile };
}

/** The files of the regions, as `sextant init` would write them for this machine. `dialled` is where each route leads. */
export function regionPlans(
  deployment: Deployment,
  dataDir: string,
  dialled: readonly DialledRoute[],
  jaegerUrl?: string,
): readonly RegionPlan[] {
  const { cluster, regions, voters } = deployment;
  return regions.map((region, index) => {
    const ports = portsIn(deployment, region);
    return {
      cluster,
      region,
      regions,
      voters,
      dataDir: '.',
      ...privacyOf(deployment, dataDir),
      nodes: placed(deployment, region, nodesOfRegion(deployment, region)),
      ...(deployment.retention !== undefined && { retention: deployment.retention }),
      ...(index === 0 && deployment.backup !== undefined && { backup: deployment.backup }),
      agent: { address: at(ports.agent) },
      gateways: gatewayNamesIn(deployment, region).map((gateway, nth) => ({
        gateway,
        address: at(ports.gateways[nth] ?? 0),
        ...(isPostgres(deployment) && {
          engine: 'postgres',
          postgres: { listen: at(ports.postgres[nth] ?? 0) },
        }),
        ...(deployment.secure === true && { tls: clientTlsOf(dataDir, region, gateway) }),
        supervisor: resolve(controlSocket(dataDir)),
        // Not the system's, which may be memory.
        temporaryFolder: resolve(dataDir, 'tmp'),
        ...(jaegerUrl !== undefined && { jaegerUrl }),
      })),
      ...(hasEndpoint(deployment, region) && {
        endpoint: {
          address: at(ports.endpoint),
          writer: at(ports.writer),
          reader: at(ports.reader),
          ...(isPostgres(deployment) && {
            postgres: {
              writer: at(ports.postgresWriter),
              reader: at(ports.postgresReader),
            },
          }),
        },
      }),
      nats: natsPlanOf(deployment, region, dialled),
    };
  });
}

/** Nodes where they stand, by their names in order. */
const placed = (deployment: Deployment, region: string, names: readonly string[]): RegionPlan['nodes'] =>
  names.map((node, index) => ({
    node,
    az: azOf(region, index),
    address: at(nodePortOf(deployment, region, node)),
  }));

/** The file that a node which joins `region` runs from; undefined while none does. */
export function joiningPlan(deployment: Deployment, plan: RegionPlan): RegionPlan | undefined {
  if (deployment.replacing?.[plan.region] === undefined) return undefined;
  return { ...plan, nodes: placed(deployment, plan.region, nodesAfter(deployment, plan.region)) };
}

/** Whether its databases are kept by PostgreSQL. */
export const isPostgres = ({ engine }: Deployment): boolean => engine === 'postgres';

/** Whether a region has no gateway. */
export const isHeadless = (deployment: Deployment, region: string): boolean =>
  gatewayCount(deployment, region) === 0;

/** Whether a region has endpoints: where there is one gateway, clients connect to that. */
export const hasEndpoint = (deployment: Deployment, region: string): boolean =>
  gatewayCount(deployment, region) > 1;

/** Files of the servers that only vote. */
export function voterPlans(
  deployment: Deployment,
  dataDir: string,
  dialled: readonly DialledRoute[],
): readonly WitnessPlan[] {
  const { cluster, regions, voters, nats } = deployment;
  if (nats !== null) return [];
  return voteOnly(regions, voters).map((name) => ({
    cluster,
    witness: name,
    regions,
    voters,
    // One whose region has left keeps what it has where it was.
    dataDir: name === witness ? '.' : 'nats',
    ...privacyOf(deployment, dataDir),
    nats: natsPlanOf(deployment, name, dialled),
  }));
}

/** The NATS servers, each with the configuration that follows from its region's file. */
export function natsProcesses(
  deployment: Deployment,
  dataDir: string,
  server: NatsServer,
  dialled: readonly DialledRoute[],
): readonly ProcessSpec[] {
  const files: readonly ServerFile[] = [
    ...regionPlans(deployment, dataDir, dialled).map((plan) => ({ ...plan, name: plan.region })),
    ...voterPlans(deployment, dataDir, dialled).map((plan) => ({ ...plan, name: plan.witness })),
  ];
  return files.flatMap((file): readonly ProcessSpec[] => {
    const { name, nats } = file;
    const dir = resolve(dataDir, name === witness ? witness : join(name, 'nats'));
    const store = join(dir, 'data');
    const files = deployment.secure === true ? identityFilesOf(dataDir, natsIdentity(name)) : undefined;
    const content = natsConfigOf(file, {
      storeDir: store,
      token: deployment.natsToken,
      routePassword: deployment.natsRoutePassword ?? deployment.natsToken,
      identity: files,
      version: server.version,
    });
    if (content === undefined) return [];
    const ports = portsIn(deployment, name);
    return [
      {
        id: `${name}/nats`,
        region: name,
        role: 'nats',
        dir,
        dataDir: store,
        command: server.path,
        args: ['-c', natsConfigFile(dir)],
        config: { file: natsConfigFile(dir), content },
        ...(files !== undefined && { reloads: Object.values(files) }),
        ports: nats.routeAddress === undefined ? [ports.nats] : [ports.nats, ports.natsRoute],
      },
    ];
  });
}

/** What the ports of an encrypted deployment speak, clients' included (R58). */
export const schemeOf = ({ secure }: Deployment): 'http' | 'https' => (secure === true ? 'https' : 'http');

/** Storage nodes, agent and gateway of every region, each run from its region's file. Spans go to `otlpEndpoint`, if there is one. */
export function sextantProcesses(
  deployment: Deployment,
  dataDir: string,
  programs: Programs,
  otlpEndpoint?: string,
): readonly ProcessSpec[] {
  return deployment.regions.flatMap((region) => {
    const ports = portsIn(deployment, region);
    const headless = isHeadless(deployment, region);
    const spec = (
      role: keyof Programs,
      name: string,
      listens: readonly number[],
      args: readonly string[],
      file = regionFileOf(dataDir, region),
    ): ProcessSpec => {
      const dir = resolve(dataDir, region, name);
      return {
        id: `${region}/${name}`,
        region,
        role,
        dir,
        dataDir: join(dir, 'data'),
        command: process.execPath,
        args: [...programs[role], '--config', file, ...args],
        ports: listens,
        env: {
          NODE_COMPILE_CACHE: compileCacheDir(dataDir),
          // Their threads compile code now and then, and each would keep a heap of its own for what that took.
          ...((role === 'storage' || role === 'agent') && { MALLOC_ARENA_MAX: '2' }),
          ...(otlpEndpoint !== undefined && { OTEL_EXPORTER_OTLP_ENDPOINT: otlpEndpoint }),
        },
        ...((role === 'gateway' || role === 'endpoint') && {
          // That of an endpoint is a gateway's, through it.
          readyUrl: `${schemeOf(deployment)}://${at((role === 'endpoint' ? ports.writer : listens[0]) ?? 0)}/readyz`,
        }),
        // Agents ask for a certificate where processes have them: then that it listens has to do.
        ...(role === 'agent' &&
          headless &&
          deployment.secure !== true && { readyUrl: `http://${at(ports.agent)}/readyz` }),
      };
    };
    const storage = (name: string, file?: string): ProcessSpec =>
      spec('storage', name, [nodePortOf(deployment, region, name)], ['--node', name], file);
    const joins = deployment.replacing?.[region]?.in;
    return [
      ...nodesOfRegion(deployment, region).map((name) => storage(name)),
      ...(joins === undefined ? [] : [storage(joins, joiningFileOf(dataDir, region))]),
      spec('agent', 'agent', [ports.agent], []),
      ...gatewayNamesIn(deployment, region).map((name, nth) =>
        spec('gateway', gatewayDirectory(name), gatewayPorts(deployment, ports, nth), ['--name', name]),
      ),
      ...(hasEndpoint(deployment, region)
        ? [spec('endpoint', 'endpoint', endpointPorts(deployment, ports), [])]
        : []),
    ];
  });
}

/** What a gateway listens at: the first is asked whether it is ready. */
const gatewayPorts = (deployment: Deployment, ports: RegionPorts, nth: number): readonly number[] => [
  ports.gateways[nth] ?? 0,
  ...(isPostgres(deployment) ? [ports.postgres[nth] ?? 0] : []),
];

/** Where it tells how it is comes first. */
const endpointPorts = (deployment: Deployment, ports: RegionPorts): readonly number[] => {
  const { endpoint, writer, reader, postgresWriter, postgresReader } = ports;
  return [endpoint, writer, reader, ...(isPostgres(deployment) ? [postgresWriter, postgresReader] : [])];
};
