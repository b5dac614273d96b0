/** A real local deployment, started by `sextant up --detach` as a user would start it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { trustAuthority } from '../../../regions/certs/trust-authority.ts';
import { portsOf } from '../../../regions/local/layout/core/local-ports.ts';
import { freeBasePort } from '../../free-ports.ts';
import type { Target } from '../load/plan.ts';
import { schema } from '../load/workload.ts';
import type { Roles } from '../measure/accounting.ts';
import type { Workbench } from '../workbench.ts';
import { countUpdates, type Missing, querySql, type RunningSystem } from './system.ts';

const fromRoot = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const cliPath = 'regions/cli/sextant.ts';
export const gatewayFile = fromRoot('gateway/main.ts');
const upTimeoutMs = 120_000;
const commandTimeoutMs = 90_000;
const portsPerRegion = 20;
const gatewayOffset = 11;
const agentOffset = 10;
const nodeNames = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'] as const;

export interface SextantOptions {
  readonly regions?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** More of what `sextant up` takes. */
  readonly flags?: readonly string[];
  /** Another checkout, whose deployment is started instead of this one's. */
  readonly root?: string;
}

export interface RunningSextant extends RunningSystem {
  readonly regions: readonly string[];
  readonly dataDir: string;
  /** The gateway of a region. */
  target(region: string, protocol?: 'hrana-ws' | 'hrana-http'): Target;
  /** Runs one command of the CLI against this deployment. @throws Error with what it said */
  cli(args: readonly string[], timeoutMs?: number): Promise<string>;
  /** Answer of `/v1/status` at the first region's gateway. */
  status(): Promise<unknown>;
  /** The metrics of the first region's agent, as text. */
  agentMetrics(): Promise<string>;
  pidOf(region: string, process: string): number;
  /** Where a region's gateway takes PostgreSQL clients, with `--engine postgres`. */
  postgresPort(region: string): number;
  /** Its processes by what they are, the gateway that writes apart. */
  kinds(): Roles;
}

export function sextantMissing(): Missing | null {
  return existsSync(gatewayFile) ? null : { missing: 'Sextant: gateway/main.ts does not exist' };
}

/** Sum of all series of a Prometheus metric; 0 when there is none. */
export function sumOfSeries(text: string, name: string): number {
  let sum = 0;
  for (const match of text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm')))
    sum += Number(match[1]);
  return sum;
}

let started = 0;

export async function startSextant(
  bench: Workbench,
  options: SextantOptions = {},
): Promise<RunningSextant | Missing> {
  const missing = sextantMissing();
  if (missing !== null) return missing;
  const cliFile = options.root === undefined ? fromRoot(cliPath) : join(options.root, cliPath);
  const regions = options.regions ?? ['us-east-1'];
  const [first = ''] = regions;
  const dataDir = join(bench.directory, `sextant-${++started}`);
  const basePort = await freeBasePort();
  const env = { ...process.env, ...options.env };
  const commands = new Set<Command>();
  const cli = async (args: readonly string[], timeoutMs = commandTimeoutMs): Promise<string> => {
    const command = new Command([cliFile, ...args, '--data', dataDir], env, timeoutMs);
    commands.add(command);
    try {
      return await command.output;
    } finally {
      commands.delete(command);
    }
  };
  let stopped: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      // An `up` in the middle of its work: its supervisor stops everything when the command ends, and `down` waits for that.
      for (const command of commands) command.kill();
      await Promise.allSettled([...commands].map(({ output }) => output));
      if (existsSync(dataDir)) await cli(['down']);
    })();
    return stopped;
  };
  bench.assertOpen();
  bench.onClose(stop);
  const flags = options.flags ?? [];
  await cli(
    ['up', '--detach', '--regions', regions.join(','), '--base-port', String(basePort), ...flags],
    upTimeoutMs,
  );
  const isSecure = flags.includes('--secure');
  const ca = isSecure ? readFileSync(join(dataDir, 'supervisor/certs/ca.pem'), 'utf8') : undefined;
  if (ca !== undefined) trustAuthority(ca);
  const scheme = isSecure ? 'https' : 'http';
  const gatewayPort = (region: string): number =>
    basePort + portsPerRegion * regions.indexOf(region) + gatewayOffset;
  const target = (region: string, protocol: 'hrana-ws' | 'hrana-http' = 'hrana-ws'): Target => ({
    protocol,
    host: '127.0.0.1',
    port: gatewayPort(region),
    ...(ca !== undefined && { ca }),
  });
  const pidOf = (region: string, process: string): number => {
    const file = join(dataDir, region, process, 'pid');
    return existsSync(file) ? Number.parseInt(readFileSync(file, 'utf8'), 10) : 0;
  };
  const pids = (...names: readonly string[]): number[] =>
    regions.flatMap((region) => names.map((name) => pidOf(region, name))).filter((pid) => pid > 0);
  const metricsOf = async (port: number): Promise<string> =>
    (await fetch(`${scheme}://127.0.0.1:${port}/metrics`)).text();
  return {
    name: 'sextant',
    title: 'Sextant',
    durability: 'four of six copies: fdatasync on four of six storage nodes',
    version: sextantVersion(),
    targets: { 'hrana-ws': target(first), 'hrana-http': target(first, 'hrana-http') },
    workloads: ['update', 'insert', 'select', 'tpcb', 'tpcb-interactive'],
    copies: 6,
    regions,
    dataDir,
    target,
    cli,
    status: async () => (await fetch(`${scheme}://127.0.0.1:${gatewayPort(first)}/v1/status`)).json(),
    agentMetrics: () => metricsOf(basePort + agentOffset),
    pidOf,
    postgresPort: (region) => portsOf(basePort, regions.indexOf(region)).postgres[0] ?? 0,
    kinds: (): Roles => ({
      writer: [pidOf(first, 'gateway')],
      'other gateways': regions.slice(1).map((region) => pidOf(region, 'gateway')),
      'storage nodes': pids(...nodeNames),
      agents: pids('agent'),
      nats: pids('nats'),
    }),
    roles: (): Roles => ({
      gateway: pids('gateway'),
      storage: pids(...nodeNames),
      agent: pids('agent'),
      nats: pids('nats'),
    }),
    prepare: async () => {
      await querySql(target(first), schema({ serial: 'INTEGER PRIMARY KEY', text: 'TEXT' }));
    },
    updates: () => countUpdates(target(first)),
    counters: async () => {
      const gateway = await metricsOf(gatewayPort(first));
      const nodes = await Promise.all(nodeNames.map((_, at) => metricsOf(basePort + 1 + at)));
      const ofNodes = (name: string): number => nodes.reduce((sum, text) => sum + sumOfSeries(text, name), 0);
      return {
        commits: sumOfSeries(gateway, 'sextant_commits_total'),
        redoBytes: sumOfSeries(gateway, 'sextant_redo_bytes_total'),
        storageBytes: ofNodes('sextant_storage_appended_bytes_total'),
        storageSyncs: ofNodes('sextant_storage_sync_duration_seconds_count'),
      };
    },
    stop,
  };
}

function sextantVersion(): string {
  const match = /"version": "([^"]+)"/.exec(readFileSync(fromRoot('package.json'), 'utf8'));
  return match?.[1] ?? 'unknown';
}

/** One command of the CLI. */
class Command {
  /** What it printed. Rejects with that when it does not succeed. */
  readonly output: Promise<string>;
  private readonly child: ChildProcess;

  constructor(args: readonly string[], env: NodeJS.ProcessEnv, timeoutMs: number) {
    // A group of its own, so that Ctrl-C reaches the benchmark alone.
    const child = spawn(process.execPath, [...args], { env, timeout: timeoutMs, detached: true });
    this.child = child;
    this.output = new Promise((resolve, reject) => {
      let output = '';
      let errors = '';
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
      child.stderr.on('data', (chunk: Buffer) => {
        errors += chunk.toString();
      });
      child.once('error', reject);
      child.once('close', (code) => {
        if (code === 0) resolve(output);
        else reject(new Error(`sextant ${args.slice(1).join(' ')} exited ${code}:\n${output}${errors}`));
      });
    });
  }

  kill(): void {
    this.child.kill('SIGTERM');
  }
}
