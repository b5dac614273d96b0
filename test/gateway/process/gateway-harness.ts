/** One region for tests of whole gateways: six storage nodes, a NATS server, and gateways inside the test or as processes. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, createClient } from '@libsql/client';
import { z } from 'zod';
import type { GatewayConfig } from '../../../gateway/process/config.ts';
import { type GatewayOptions, type RunningGateway, startGateway } from '../../../gateway/process/gateway.ts';
import { type NatsConnection, openNatsConnection } from '../../../regions/bus/nats-connection.ts';
import { readControl } from '../../../regions/control/control-link.ts';
import { openControlStore } from '../../../regions/control/control-store.ts';
import { findNatsServer } from '../../../regions/nats/nats-server.ts';
import { genesisEpoch, nodeId, regionId } from '../../../storage/redo/ids.ts';
import { freePorts } from '../../free-ports.ts';
import {
  cluster,
  eventually,
  region,
  secret,
  silent,
  startRegion,
  type TestRegion,
} from '../../storage/region-harness.ts';

export const natsToken = 'a token for tests';
const mainPath = fileURLToPath(new URL('../../../gateway/main.ts', import.meta.url));
export interface GatewayProcess {
  readonly url: string;
  readonly child: ChildProcess;
  output(): string;
  kill(): Promise<void>;
}

export class GatewayWorld {
  readonly storage: TestRegion;
  readonly nats: NatsConnection;
  private readonly natsUrl: string;
  private readonly natsProcess: ChildProcess;
  private readonly directory: string;
  private readonly gateways: RunningGateway[] = [];
  private readonly processes: GatewayProcess[] = [];
  private readonly clients: Client[] = [];
  private closing = false;

  private constructor(storage: TestRegion, natsUrl: string, natsProcess: ChildProcess, directory: string) {
    this.storage = storage;
    this.natsUrl = natsUrl;
    this.natsProcess = natsProcess;
    this.directory = directory;
    natsProcess.once('exit', (code, signal) => {
      if (!this.closing)
        console.error(
          `the NATS server of this test ended with ${code ?? signal}: what follows is no fault of the gateway`,
        );
    });
    this.nats = openNatsConnection({ servers: [natsUrl], token: natsToken, name: 'test' });
  }

  static async start(options: { readonly children?: boolean } = {}): Promise<GatewayWorld> {
    const directory = mkdtempSync(join(tmpdir(), 'sextant-gateway-'));
    const server = await findNatsServer();
    if ('error' in server) throw new Error(server.error);
    const [port] = await freePorts(1);
    const natsProcess = spawn(
      server.path,
      ['-a', '127.0.0.1', '-p', String(port), '--auth', natsToken, '-js', '-sd', directory],
      { stdio: 'ignore' },
    );
    const storage = await startRegion({ children: options.children ?? false });
    const world = new GatewayWorld(storage, `nats://127.0.0.1:${port}`, natsProcess, directory);
    const store = world.store();
    const made = await store.bootstrap({ primary: region, replicas: 1, highestLocalEpoch: genesisEpoch });
    if (made.kind !== 'created') throw new Error(`bootstrap: ${JSON.stringify(made)}`);
    store.close();
    return world;
  }

  store() {
    return openControlStore({ connection: this.nats, cluster, replicas: 1 });
  }

  async record() {
    const store = this.store();
    const reading = await readControl(store);
    store.close();
    if (reading.kind !== 'record') throw new Error(`no record: ${JSON.stringify(reading)}`);
    return reading.view;
  }

  config(name: string, extra: Partial<GatewayConfig> = {}): GatewayConfig {
    return {
      cluster,
      secret,
      region,
      gateway: nodeId(name),
      listen: '127.0.0.1:0',
      agent: '127.0.0.1:1',
      nodes: this.storage.nodes.map(({ config }) => ({
        node: config.node,
        az: config.az,
        address: config.listen,
      })),
      nats: { servers: [this.natsUrl], token: natsToken, replicas: 1 },
      regions: [region, regionId('eu-west-1')],
      ...extra,
    };
  }

  /** A gateway inside the test's process. */
  async gateway(
    name: string,
    options: Partial<GatewayOptions> = {},
    extra: Partial<GatewayConfig> = {},
  ): Promise<RunningGateway> {
    const gateway = await startGateway(this.config(name, extra), {
      log: silent,
      version: '0.0.0-test',
      onFatal: (error) => {
        throw error;
      },
      ...options,
    });
    this.gateways.push(gateway);
    return gateway;
  }

  /** A gateway as a process of its own. */
  async process(name: string, env: NodeJS.ProcessEnv = {}): Promise<GatewayProcess> {
    const [port] = await freePorts(1);
    const file = join(this.directory, `${name}-${port}.json`);
    writeFileSync(file, JSON.stringify({ ...this.config(name), listen: `127.0.0.1:${port}` }));
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', mainPath, '--config', file],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, ...env },
      },
    );
    let output = '';
    const hear = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    const started: GatewayProcess = {
      url: `http://127.0.0.1:${port}`,
      child,
      output: () => output,
      kill: async () => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.kill('SIGKILL');
        await once(child, 'exit');
      },
    };
    this.processes.push(started);
    await ready(started.url);
    return started;
  }

  /** A stock client, closed with the world. */
  client(gateway: RunningGateway | string, scheme: 'http' | 'ws' = 'http'): Client {
    const address = typeof gateway === 'string' ? gateway.replace(/^\w+:\/\//, '') : gateway.address;
    const client = createClient({ url: `${scheme}://${address}`, intMode: 'bigint' });
    this.clients.push(client);
    return client;
  }

  /** Stops the NATS server where it stands, and lets it go on. */
  freezeNats(): void {
    this.natsProcess.kill('SIGSTOP');
  }

  thawNats(): void {
    this.natsProcess.kill('SIGCONT');
  }

  async close(): Promise<void> {
    this.closing = true;
    this.thawNats();
    for (const client of this.clients) client.close();
    await Promise.all(this.gateways.map((gateway) => gateway.close()));
    await Promise.all(this.processes.map((process) => process.kill()));
    await this.nats.close();
    await this.storage.close();
    this.natsProcess.kill('SIGKILL');
    if (this.natsProcess.exitCode === null && this.natsProcess.signalCode === null)
      await once(this.natsProcess, 'exit');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Resolves when a gateway says that it serves. */
export async function ready(url: string, timeoutMs = 20_000): Promise<void> {
  await eventually(
    `${url} is ready`,
    async () => {
      const answer = await fetch(`${url}/readyz`).catch(() => null);
      return answer?.status === 200;
    },
    timeoutMs,
  );
}

/** The code of a client's error, or all of it when it has none. */
export const codeOf = (error: unknown): string =>
  z.object({ code: z.string() }).safeParse(error).data?.code ?? String(error);

export const urlOf = (gateway: RunningGateway): string => `http://${gateway.address}`;

/** Resolves when a gateway inside the test is the writer. */
export function writes(gateway: RunningGateway, timeoutMs = 20_000): Promise<void> {
  return eventually('the gateway writes', () => gateway.report().phase === 'writing', timeoutMs);
}
