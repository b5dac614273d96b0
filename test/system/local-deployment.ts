/** A real deployment for tests: `sextant up --detach` in a directory of its own, driven by the command line as a user would. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient } from '@libsql/client';
import { z } from 'zod';
import { trustAuthority } from '../../regions/certs/trust-authority.ts';
import { processOf } from '../../regions/local/layout/core/gateway-places.ts';
import { portsOf } from '../../regions/local/layout/core/local-ports.ts';
import { freeBasePort } from '../free-ports.ts';
import { type Sample, samplesOf } from '../telemetry/metrics/exposition.ts';

const ownRoot = join(import.meta.dirname, '../..');
const upTimeoutMs = 300_000;
const startPatienceMs = 280_000;

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const nodeSchema = z.object({
  id: z.string(),
  az: z.string(),
  state: z.string(),
  scl: z.number().nullable(),
  pid: z.number().nullable(),
  address: z.string(),
});
const statusSchema = z.object({
  epoch: z.number(),
  primary: z.string().nullable(),
  state: z.string(),
  hold: z.object({ rpoMs: z.number(), answers: z.number(), waitsFor: z.array(z.string()) }).nullish(),
  regions: z.array(
    z.object({
      name: z.string(),
      role: z.string(),
      vdl: z.number().nullable(),
      lagBytes: z.number().nullable(),
      lagMs: z.number().nullable(),
      rpoMs: z.number().nullable(),
      stalledMs: z.number().optional(),
      ready: z.boolean(),
      nodes: z.array(nodeSchema),
    }),
  ),
});
export type Status = z.infer<typeof statusSchema>;

export class TestDeployment {
  readonly regions: readonly string[];
  readonly dataDir: string;
  readonly basePort: number;
  private readonly env: NodeJS.ProcessEnv;
  private readonly cliFile: string;
  private readonly clients: Client[] = [];
  /** `https` once it is up with `--secure`; `ws` and `wss` follow. */
  private scheme: 'http' | 'https' = 'http';

  private constructor(
    root: string,
    dataDir: string,
    regions: readonly string[],
    basePort: number,
    env: NodeJS.ProcessEnv,
  ) {
    this.cliFile = join(root, 'regions/cli/sextant.ts');
    this.dataDir = dataDir;
    this.regions = regions;
    this.basePort = basePort;
    this.env = env;
  }

  static async start(options: {
    readonly regions: readonly string[];
    readonly env?: NodeJS.ProcessEnv;
    /** Default: somewhere from 20000 up. */
    readonly basePort?: number;
    /** More of what `sextant up` takes. */
    readonly flags?: readonly string[];
    /** Another checkout than this one. */
    readonly root?: string;
  }): Promise<TestDeployment> {
    const dataDir = await mkdtemp(join(tmpdir(), 'sextant-system-'));
    const basePort = options.basePort ?? (await freeBasePort());
    const deployment = new TestDeployment(options.root ?? ownRoot, dataDir, options.regions, basePort, {
      ...process.env,
      ...options.env,
    });
    await deployment.up(options.flags);
    return deployment;
  }

  /** One that is in `dataDir` already, and does not run. */
  static async reopen(
    dataDir: string,
    regions: readonly string[],
    basePort: number,
  ): Promise<TestDeployment> {
    const deployment = new TestDeployment(ownRoot, dataDir, regions, basePort, { ...process.env });
    await deployment.up();
    return deployment;
  }

  async up(flags: readonly string[] = []): Promise<void> {
    const regions = ['--regions', this.regions.join(',')];
    // A machine that is busy with others takes its time, which no test is about.
    const patience = flags.includes('--timeout') ? [] : ['--timeout', `${startPatienceMs / 1_000}`];
    const args = ['up', '--detach', ...regions, '--base-port', `${this.basePort}`, ...patience, ...flags];
    const up = await this.cli(args, upTimeoutMs);
    if (up.code !== 0) throw new Error(`sextant up failed:\n${up.stdout}\n${up.stderr}`);
    if (flags.includes('--secure')) this.scheme = 'https';
    await this.trust();
  }

  /** Has this process trust the authority of an encrypted deployment, as it is now. */
  async trust(): Promise<void> {
    if (this.scheme === 'https')
      trustAuthority(await readFile(join(this.dataDir, 'supervisor/certs/ca.pem'), 'utf8'));
  }

  /** Runs one command of the CLI against this deployment. */
  cli(args: readonly string[], timeoutMs = 90_000): Promise<CliResult> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [this.cliFile, ...args, '--data', this.dataDir], {
        env: this.env,
        timeout: timeoutMs,
      });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString();
      });
      child.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      child.on('error', reject);
      child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
    });
  }

  /** As `cli`, and fails the test when the command did. */
  async run(...args: readonly string[]): Promise<string> {
    const result = await this.cli(args);
    if (result.code !== 0)
      throw new Error(`sextant ${args.join(' ')} exited ${result.code}:\n${result.stdout}${result.stderr}`);
    return result.stdout;
  }

  /** Kills a region's agent and starts it again. */
  async killAgent(region: string): Promise<void> {
    await this.run('node', 'kill', `${region}/agent`);
    await this.run('node', 'start', `${region}/agent`);
  }

  /** Kills the NATS servers of regions at one moment; the supervisor starts them again. */
  async killNats(regions: readonly string[]): Promise<void> {
    const files = regions.map((region) => readFile(join(this.dataDir, region, 'nats', 'pid'), 'utf8'));
    for (const pid of await Promise.all(files)) process.kill(Number.parseInt(pid, 10), 'SIGKILL');
  }

  url(region: string): string {
    return `${this.scheme}://${this.gateway(region)}`;
  }

  gateway(region: string, name = 'g1'): string {
    const { gateways } = portsOf(this.basePort, this.regions.indexOf(region));
    return `127.0.0.1:${gateways[Number(name.slice(1)) - 1]}`;
  }

  /** Where clients connect for the gateway that writes, or for those of a region; with more than one gateway. */
  endpoint(region: string, kind: 'writer' | 'reader'): string {
    return `127.0.0.1:${portsOf(this.basePort, this.regions.indexOf(region))[kind]}`;
  }

  /** A stock client of an address. */
  clientAt(address: string, transport: 'http' | 'ws' = 'http'): Client {
    const url = `${this.scheme}://${address}`.replace(/^http/, transport);
    const client = createClient({ url, intMode: 'number' });
    this.clients.push(client);
    return client;
  }

  /** Where PostgreSQL clients of a region's gateway connect, of a deployment with `--engine postgres`. */
  postgres(region: string, database = 'main', name = 'g1'): string {
    const { postgres } = portsOf(this.basePort, this.regions.indexOf(region));
    return `postgres://somebody@127.0.0.1:${postgres[Number(name.slice(1)) - 1]}/${database}`;
  }

  /** Sends a signal to one process, such as `us-east-1/g2`. */
  async signal(id: string, signal: NodeJS.Signals): Promise<void> {
    const [region = '', name = ''] = processOf(id).split('/');
    const text = await readFile(join(this.dataDir, region, name, 'pid'), 'utf8');
    process.kill(Number.parseInt(text, 10), signal);
  }

  /** What every process tells Prometheus, the supervisor first; of those that answer. */
  async scrape(): Promise<readonly string[]> {
    const offsets = this.regions.flatMap((_, index) =>
      [1, 2, 3, 4, 5, 6, 10, 11].map((port) => 20 * index + port),
    );
    const texts = await Promise.all(
      [0, ...offsets].map((offset) =>
        fetch(`http://127.0.0.1:${this.basePort + offset}/metrics`)
          .then((response) => response.text())
          .catch(() => null),
      ),
    );
    return texts.filter((text) => text !== null);
  }

  /** The same as samples. */
  async samples(): Promise<readonly Sample[]> {
    return (await this.scrape()).flatMap(samplesOf);
  }

  /** Up to where the primary's gateway knows its volume durable, at this moment. */
  async durableAt(primary: string): Promise<number> {
    const answer = await fetch(`${this.url(primary)}/readyz`);
    return z.object({ vdl: z.number() }).parse(await answer.json()).vdl;
  }

  client(region: string, transport: 'http' | 'ws' = 'http'): Client {
    return this.clientAt(this.gateway(region), transport);
  }

  async status(region?: string): Promise<Status> {
    for (const name of region === undefined ? this.regions : [region]) {
      try {
        const response = await fetch(`${this.url(name)}/v1/status`, {
          signal: AbortSignal.timeout(2_000),
        });
        if (response.ok) return statusSchema.parse(await response.json());
      } catch {
        // That gateway is down; the next one answers for the whole deployment.
      }
    }
    throw new Error('no gateway answers /v1/status');
  }

  /** Resolves once `holds` does; fails with the last status after `timeoutMs`. */
  async until(what: string, holds: (status: Status) => boolean, timeoutMs = 30_000): Promise<Status> {
    const deadline = performance.now() + timeoutMs;
    let last: Status | null = null;
    while (performance.now() < deadline) {
      last = await this.status().catch(() => null);
      if (last !== null && holds(last)) return last;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`not within ${timeoutMs} ms: ${what}\n${JSON.stringify(last, null, 1)}`);
  }

  /** Every region up, following and level with the primary. */
  settled(timeoutMs = 45_000): Promise<Status> {
    return this.until(
      'every region ready and level',
      (status) =>
        status.state === 'stable' && status.regions.every((region) => region.ready && region.lagBytes === 0),
      timeoutMs,
    );
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.close();
    await this.cli(['down']);
    await rm(this.dataDir, { recursive: true, force: true });
  }
}
