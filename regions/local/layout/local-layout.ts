/**
 * Where everything of a local deployment lies: names, ports, directories, routes. Computed from `deployment.json` alone, so that
 * `up`, `down`, `status` and the tests agree without asking a running supervisor.
 */
import { join, resolve } from 'node:path';
import { z } from 'zod';
import {
  clusterSchema,
  nodesPerRegion,
  regionSchema,
  secretSchema,
  strictShape,
} from '../../../storage/index.ts';
import { backupSchema } from '../../backup/core/backup-config.ts';
import { natsSchema, regionsSchema } from '../../deploy/agent-config.ts';
import { engineKinds } from '../../deploy/core/engine-kinds.ts';
import { natsTopology, witness } from '../../deploy/core/nats-topology.ts';
import { retentionSchema } from '../../retention/core/retention-limits.ts';
import type { RouteEnds } from '../cables/route-proxy.ts';
import type { ProcessNames } from '../secure/local-certificates.ts';
import { gatewayCount, gatewayDirectories, gatewayNamesIn, localGatewaysMax } from './core/gateway-places.ts';
import { portsOf, portsPerRegion, type RegionPorts } from './core/local-ports.ts';
import { ownDirectories, slotOf } from './core/region-slots.ts';

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

/** Where a version before this one kept the configuration of each process. */
export const formerConfigFile = (dir: string): string => join(dir, 'config.json');
/** The file of a region, from which all its processes run; its secrets lie beside it. */
export const regionFileOf = (dataDir: string, region: string): string =>
  resolve(dataDir, region, 'region.yaml');
/** The file of a server that only votes: the witness of two regions, or one whose region has left. */
export const voterFileOf = (dataDir: string, name: string): string => resolve(dataDir, name, 'witness.yaml');
/** Where gateways keep what is too much for memory; nothing there outlasts the process that made it. */
export const temporaryDir = (dataDir: string): string => resolve(dataDir, ownDirectories.temporary);
export const logFile = (dir: string): string => join(dir, 'process.log');
export const pidFile = (dir: string): string => join(dir, 'pid');
export const deploymentFile = (dataDir: string): string => join(dataDir, 'deployment.json');
export const supervisorDir = (dataDir: string): string => join(dataDir, ownDirectories.supervisor);

export const controlSocket = (dataDir: string): string => join(supervisorDir(dataDir), 'control.sock');

/** Names of the six storage nodes of a region, two in each zone. */
export const nodesOfRegion = (deployment: Deployment, region: string): readonly string[] =>
  deployment.nodes?.[region] ?? nodeNames.slice(0, nodesPerRegion);

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

/** Names of the directories in which a region keeps its processes. */
export const processNames: readonly string[] = [
  ...nodeNames,
  ...gatewayDirectories,
  'agent',
  'endpoint',
  'nats',
];

/** What `--jaeger` adds stands beside the regions: this directory, and the processes in it. */
export const telemetryGroup = ownDirectories.telemetry;
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

/** Where something of this machine listens. */
export const addressAt = (port: number): string => `${host}:${port}`;

/** Whether its databases are kept by PostgreSQL. */
export const isPostgres = ({ engine }: Deployment): boolean => engine === 'postgres';

/** Whether a region has no gateway. */
export const isHeadless = (deployment: Deployment, region: string): boolean =>
  gatewayCount(deployment, region) === 0;

/** Whether a region has endpoints: where there is one gateway, clients connect to that. */
export const hasEndpoint = (deployment: Deployment, region: string): boolean =>
  gatewayCount(deployment, region) > 1;

/** What the ports of an encrypted deployment speak, clients' included (R58). */
export const schemeOf = ({ secure }: Deployment): 'http' | 'https' => (secure === true ? 'https' : 'http');
