/** The processes that run from the files of a local deployment's regions, and the order in which they start. */
import { join, resolve } from 'node:path';
import { witness } from '../../deploy/core/nats-topology.ts';
import type { ServerFile } from '../../deploy/core/region-rules.ts';
import { natsConfigFile, natsConfigOf } from '../../deploy/nats-config.ts';
import type { NatsServer } from '../../nats/nats-server.ts';
import { identityFilesOf, natsIdentity } from '../secure/local-certificates.ts';
import { gatewayDirectory, gatewayNamesIn } from './core/gateway-places.ts';
import type { RegionPorts } from './core/local-ports.ts';
import {
  addressAt,
  type Deployment,
  hasEndpoint,
  isHeadless,
  isPostgres,
  joiningFileOf,
  nodePortOf,
  nodesOfRegion,
  portsIn,
  regionFileOf,
  schemeOf,
  supervisorDir,
} from './local-layout.ts';
import { type DialledRoute, regionPlans, voterPlans } from './region-plans.ts';

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

/** Compiled code of all processes: a restart takes half as long with it. Safe to delete; as private as the data beside it. */
const compileCacheDir = (dataDir: string): string => resolve(supervisorDir(dataDir), 'compile-cache');

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
          readyUrl: `${schemeOf(deployment)}://${addressAt((role === 'endpoint' ? ports.writer : listens[0]) ?? 0)}/readyz`,
        }),
        // Agents ask for a certificate where processes have them: then that it listens has to do.
        ...(role === 'agent' &&
          headless &&
          deployment.secure !== true && { readyUrl: `http://${addressAt(ports.agent)}/readyz` }),
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
