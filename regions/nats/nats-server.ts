/**
 * The NATS servers of a local deployment: finding (or, on Debian and Ubuntu as root, installing) the `nats-server` binary, and
 * the configuration of one cluster with a server per region.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { NatsServerSecurity } from '../bus/core/nats-server-security.ts';

/** A usable server binary. */
export type NatsServer = { readonly path: string; readonly version: string };
export type NatsServerResult = NatsServer | { readonly error: string };

/** The machine as the search sees it; tests hand in their own. */
export type Machine = {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isRoot: boolean;
  isExecutable(path: string): boolean;
  /** Contents of a file, or undefined when it cannot be read. */
  read(path: string): string | undefined;
  /** Runs a program to its end. Answers its exit code (-1 when it could not start or ran out of time) and output. */
  run(command: string, args: readonly string[], timeoutMs: number): Promise<{ code: number; output: string }>;
};

const commonDirectories = ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin', '/opt/homebrew/bin', '/sbin'];
const versionTimeoutMs = 10_000;
const installTimeoutMs = 180_000;
const outputMax = 64 * 1024;

/** This machine. */
export const thisMachine: Machine = {
  environment: process.env,
  isRoot: process.getuid?.() === 0,
  isExecutable(path) {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  },
  read(path) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  },
  run(command, args, timeoutMs) {
    return new Promise((resolve) => {
      let output = '';
      const child = spawn(command, args, {
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: timeoutMs,
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      });
      const collect = (chunk: Buffer) => {
        output = (output + chunk.toString()).slice(-outputMax);
      };
      child.stdout.on('data', collect);
      child.stderr.on('data', collect);
      child.once('error', (error) => resolve({ code: -1, output: error.message }));
      child.once('close', (code) => resolve({ code: code ?? -1, output }));
    });
  },
};

const threeWays =
  'There are three ways: set $NATS_SERVER to the binary, install nats-server somewhere on the PATH, ' +
  'or use servers that already run with `--nats URL`.';

async function versionOf(machine: Machine, path: string): Promise<string | undefined> {
  const { code, output } = await machine.run(path, ['--version'], versionTimeoutMs);
  return code === 0 ? /v?(\d+\.\d+\.\d+)/.exec(output)?.[1] : undefined;
}

async function search(machine: Machine): Promise<NatsServer | undefined> {
  const onPath = (machine.environment.PATH ?? '').split(delimiter).filter((directory) => directory !== '');
  for (const directory of [...onPath, ...commonDirectories]) {
    const path = join(directory, 'nats-server');
    if (!machine.isExecutable(path)) continue;
    const version = await versionOf(machine, path);
    if (version !== undefined) return { path, version };
  }
  return undefined;
}

/** True on Debian, Ubuntu and what derives from them. */
function isDebian(machine: Machine): boolean {
  return /^ID(?:_LIKE)?=.*\b(?:debian|ubuntu)\b/m.test(machine.read('/etc/os-release') ?? '');
}

async function install(machine: Machine, onProgress: (line: string) => void): Promise<string | undefined> {
  onProgress('nats-server is not installed: installing the package with apt-get');
  const args = ['install', '-y', '--no-install-recommends', 'nats-server'];
  const first = await machine.run('apt-get', args, installTimeoutMs);
  if (first.code === 0) return undefined;
  onProgress('the package lists may be out of date: apt-get update');
  const update = await machine.run('apt-get', ['update'], installTimeoutMs);
  const second = update.code === 0 ? await machine.run('apt-get', args, installTimeoutMs) : update;
  return second.code === 0 ? undefined : (second.output.trim().split('\n').at(-1) ?? 'apt-get failed');
}

/**
 * Finds `nats-server`: `$NATS_SERVER`, then the PATH, then the usual directories; installs the package where that can be done
 * without asking anyone. A `$NATS_SERVER` that does not work is an error, never passed over.
 */
export async function findNatsServer(
  machine: Machine = thisMachine,
  onProgress: (line: string) => void = () => undefined,
): Promise<NatsServerResult> {
  const named = machine.environment.NATS_SERVER;
  if (named !== undefined && named !== '') {
    const version = machine.isExecutable(named) ? await versionOf(machine, named) : undefined;
    if (version !== undefined) return { path: named, version };
    return { error: `$NATS_SERVER is ${named}, which is not a working nats-server. ${threeWays}` };
  }
  const found = await search(machine);
  if (found !== undefined) return found;
  if (!machine.isRoot || !isDebian(machine)) return { error: `nats-server is not installed. ${threeWays}` };
  const failure = await install(machine, onProgress);
  if (failure !== undefined) return { error: `nats-server could not be installed: ${failure}. ${threeWays}` };
  return (await search(machine)) ?? { error: `apt-get installed no working nats-server. ${threeWays}` };
}

/** True when `version` is `wanted` or newer, both like `2.9.10`. */
export function isAtLeast(version: string, wanted: string): boolean {
  const parts = (text: string) => text.split('.').map((part) => Number.parseInt(part, 10));
  const [have, need] = [parts(version), parts(wanted)];
  for (const [index, part] of need.entries()) {
    const difference = (have[index] ?? 0) - part;
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** One server of the cluster. `routes` are the ports it dials (each a proxy, or the other server itself). */
export type NatsServerPlan = {
  readonly region: string;
  readonly clientPort: number;
  readonly routePort: number;
  readonly routes: readonly number[];
  /** Directory of JetStream's files; left out on servers that carry messages but do not vote. */
  readonly storeDir?: string;
  /** How it knows clients and other servers where the deployment is encrypted; left out, clients show the token. */
  readonly security?: NatsServerSecurity;
  /** False for a server that stands alone: without a cluster JetStream needs no election to start. */
  readonly clustered: boolean;
};

/** The name of the third vote of a two-region deployment. */
export const witness = 'witness';
/** The witness takes the ports of this region index, one past the last possible region. */
export const witnessIndex = 6;
const votersMax = 3;

/** Which servers there are and which of them keep the control record: an odd number, never half of them in one region. */
export function natsTopology(regions: readonly string[]): {
  readonly servers: readonly string[];
  readonly voters: readonly string[];
  readonly replicas: 1 | 3;
} {
  const servers = regions.length === 2 ? [...regions, witness] : regions;
  if (servers.length === 1) return { servers, voters: servers, replicas: 1 };
  return { servers, voters: servers.slice(0, votersMax), replicas: 3 };
}

const mebibyte = 1024 * 1024;
/** No process answers here. What gossip says about a server's route leads nowhere, so that no route can go around its proxy. */
const nowhere = '127.0.0.1:1';

/**
 * Configuration of one server, as JSON, which nats-server reads as it is.
 * With `write_deadline` of a second a frozen receiver delays publishers by that much, instead of the ten and more of the
 * default; redo travels in messages of up to 8 MiB.
 */
export function natsServerConfig(
  plan: NatsServerPlan,
  secrets: { readonly cluster: string; readonly token: string; readonly routePassword: string },
  version: string,
): string {
  const jetstream = plan.storeDir !== undefined && {
    jetstream: {
      store_dir: plan.storeDir,
      max_memory_store: 16 * mebibyte,
      max_file_store: 256 * mebibyte,
      // Without it an acknowledged control record may be up to two minutes from the disk. 2.9 refuses the word.
      ...(isAtLeast(version, '2.10.0') && { sync_interval: 'always' }),
    },
  };
  const cluster = plan.clustered && {
    cluster: {
      name: secrets.cluster,
      host: '127.0.0.1',
      port: plan.routePort,
      advertise: nowhere,
      no_advertise: true,
      authorization: { user: 'route', password: secrets.routePassword, timeout: 5 },
      ...(plan.security !== undefined && { tls: plan.security.clusterTls }),
      routes: plan.routes.map((port) => `nats-route://route:${secrets.routePassword}@127.0.0.1:${port}`),
    },
  };
  return JSON.stringify(
    {
      server_name: `${secrets.cluster}-${plan.region}`,
      host: '127.0.0.1',
      port: plan.clientPort,
      server_tags: [`region:${plan.region}`],
      max_payload: 8 * mebibyte,
      write_deadline: '1s',
      ...(plan.security === undefined
        ? { authorization: { token: secrets.token } }
        : { tls: plan.security.tls, authorization: plan.security.authorization }),
      ...jetstream,
      ...cluster,
    },
    null,
    2,
  );
}
