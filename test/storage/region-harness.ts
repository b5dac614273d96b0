/** Six storage nodes of one region for tests: as child processes that can be killed, or inside the test's own process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RegionClient, runRecovery, WriterDriver } from '../../storage/index.ts';
import {
  type RunningNode,
  type StorageNodeOptions,
  startStorageNode,
} from '../../storage/node/node-process.ts';
import type { StorageConfig } from '../../storage/process/config.ts';
import type { WriterDriverOptions } from '../../storage/quorum/writer-driver.ts';
import {
  type Epoch,
  epoch,
  type Lsn,
  mainBranch,
  type NodeId,
  nodeId,
  type PageNo,
  pageNo,
  regionId,
} from '../../storage/redo/ids.ts';
import { diffPage, encodeMtr, type Mtr, type PageChange, type Shrink } from '../../storage/redo/record.ts';
import { createLogger } from '../../telemetry/index.ts';
import { freePorts } from '../free-ports.ts';

export const cluster = 'test';
export const secret = 'a secret for tests';
export const region = regionId('us-east-1');
export const nodeIds: readonly NodeId[] = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'].map(nodeId);
export const silent = createLogger({ service: 'sextant-test', region, component: 'test', level: 'silent' });
const mainPath = fileURLToPath(new URL('../../storage/main.ts', import.meta.url));

export const azOf = (node: NodeId): string => `az${Math.ceil(Number(node.slice(1)) / 2)}`;

/** One node that can be started, stopped and killed again and again. */
export interface TestNode {
  readonly config: StorageConfig;
  /** The running node, when it runs inside the test. */
  readonly running: RunningNode | null;
  start(): Promise<void>;
  /** Kill -9 of a child process; of an in-process node, its graceful close. */
  kill(): Promise<void>;
  freeze(): void;
  thaw(): void;
  readonly output: string;
}

class ChildNode implements TestNode {
  readonly config: StorageConfig;
  readonly running = null;
  output = '';
  private child: ChildProcess | null = null;

  constructor(config: StorageConfig) {
    this.config = config;
  }

  async start(): Promise<void> {
    const file = `${this.config.dataDir}.json`;
    writeFileSync(file, JSON.stringify(this.config));
    const child = spawn(
      process.execPath,
      [
        ...(process.env.NODE_PROFILE === undefined
          ? []
          : ['--cpu-prof', `--cpu-prof-dir=${process.env.NODE_PROFILE}`]),
        mainPath,
        '--config',
        file,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.child = child;
    await new Promise<void>((resolve, reject) => {
      const hear = (text: Buffer): void => {
        this.output += text.toString();
        if (this.output.includes('the storage node is ready')) resolve();
      };
      child.stdout?.on('data', hear);
      child.stderr?.on('data', hear);
      child.once('exit', (code) =>
        reject(new Error(`${this.config.node} exited with ${code}: ${this.output}`)),
      );
    });
  }

  async kill(): Promise<void> {
    const { child } = this;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    this.output = '';
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  freeze(): void {
    this.child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.child?.kill('SIGCONT');
  }
}

class OwnNode implements TestNode {
  readonly config: StorageConfig;
  readonly output = '';
  running: RunningNode | null = null;
  private readonly options: StorageNodeOptions;

  constructor(config: StorageConfig, options: StorageNodeOptions) {
    this.config = config;
    this.options = options;
  }

  async start(): Promise<void> {
    this.running = await startStorageNode(this.config, { logger: silent, ...this.options });
  }

  async kill(): Promise<void> {
    await this.running?.close();
    this.running = null;
  }

  freeze(): void {
    throw new Error('only a child process can be frozen');
  }

  thaw(): void {
    throw new Error('only a child process can be thawed');
  }
}

export interface TestRegion {
  readonly directory: string;
  readonly nodes: readonly TestNode[];
  node(id: string): TestNode;
  client(overrides?: Partial<ConstructorParameters<typeof RegionClient>[0]>): RegionClient;
  close(): Promise<void>;
}

export interface TestRegionOptions {
  readonly children?: boolean;
  readonly node?: (node: NodeId, config: StorageConfig) => StorageNodeOptions;
  readonly dataDir?: (node: NodeId, directory: string) => string;
}

/** Makes and starts six nodes. */
export async function startRegion(options: TestRegionOptions = {}): Promise<TestRegion> {
  const directory = mkdtempSync(join(tmpdir(), 'sextant-region-'));
  const ports = await freePorts(nodeIds.length);
  const peers = nodeIds.map((node, at) => ({ node, az: azOf(node), address: `127.0.0.1:${ports[at]}` }));
  const nodes = peers.map(({ node, az, address }): TestNode => {
    const dataDir = options.dataDir?.(node, directory) ?? join(directory, node);
    const config: StorageConfig = { cluster, secret, region, node, az, listen: address, dataDir, peers };
    return options.children === true
      ? new ChildNode(config)
      : new OwnNode(config, options.node?.(node, config) ?? {});
  });
  const clients: RegionClient[] = [];
  await Promise.all(nodes.map((node) => node.start()));
  return {
    directory,
    nodes,
    node: (id) => {
      const found = nodes.find((node) => node.config.node === id);
      if (found === undefined) throw new Error(`no node ${id}`);
      return found;
    },
    client: (overrides = {}) => {
      const client = new RegionClient({ cluster, secret, region, nodes: peers, ...overrides });
      clients.push(client);
      return client;
    },
    close: async () => {
      for (const client of clients) client.close();
      await Promise.all(nodes.map((node) => node.kill()));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A writer over a region, with waits for what its callbacks say. */
export class TestWriter {
  readonly driver: WriterDriver;
  readonly epoch: Epoch;
  readonly durable: Lsn[] = [];
  fencedBy: Epoch | null = null;
  lost: string | null = null;
  private readonly waiting: (() => void)[] = [];

  private constructor(
    client: RegionClient,
    at: { readonly epoch: Epoch; readonly forks: WriterDriverOptions['forks']; readonly forkLsn: Lsn },
    more: Partial<WriterDriverOptions>,
  ) {
    this.epoch = at.epoch;
    this.driver = new WriterDriver({
      region: client,
      ...at,
      ...more,
      onDurable: (vdl, facts) => {
        this.durable.push(vdl);
        more.onDurable?.(vdl, facts);
        this.wake();
      },
      onFenced: (by) => {
        this.fencedBy = by;
        this.wake();
      },
      onQuorumLost: (reason) => {
        this.lost = reason;
        this.wake();
      },
    });
  }

  /** Recovers a branch of the region for `reign` and starts to write there. */
  static async open(
    client: RegionClient,
    reign: number,
    more: Partial<WriterDriverOptions> = {},
    branch = mainBranch,
  ): Promise<TestWriter> {
    const result = await runRecovery(
      client,
      { kind: 'fork', branch, epoch: epoch(reign) },
      { timeoutMs: 15_000 },
    );
    if (result.kind !== 'recovered') throw new Error(`recovery: ${JSON.stringify(result)}`);
    const { forks, vdl } = result.outcome;
    return new TestWriter(client, { epoch: epoch(reign), forks, forkLsn: vdl }, more);
  }

  /** Resolves when everything up to `lsn` is durable. */
  async untilDurable(lsn: Lsn): Promise<void> {
    await this.until(() => this.driver.vdl >= lsn || this.fencedBy !== null || this.lost !== null);
    if (this.driver.vdl < lsn) throw new Error(`not durable: fenced by ${this.fencedBy}, ${this.lost}`);
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

/** Pages as a reference: what a reader should see at each commit. */
export class ReferencePages {
  private readonly pages = new Map<PageNo, Uint8Array>();
  readonly versions: { readonly lsn: Lsn; readonly pages: ReadonlyMap<PageNo, Uint8Array> }[] = [];
  private readonly random: () => number;
  private readonly shrinks: number;

  /** @param shrinks share of the transactions that make the database shorter, by at least a page. */
  constructor(seed: number, shrinks = 0) {
    this.shrinks = shrinks;
    let state = seed;
    this.random = () => {
      state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
      return state / 2 ** 31;
    };
  }

  /** Changes one to three of `pageCount` pages and encodes that; call `committed` with the LSN it got. */
  change(pageCount: number): Mtr {
    const changes: PageChange[] = [];
    const shrink = this.shrinks > 0 && this.random() < this.shrinks ? this.shrink() : null;
    const touched = new Set(
      Array.from({ length: 1 + Math.floor(this.random() * 3) }, () =>
        pageNo(1 + Math.floor(this.random() * pageCount)),
      ),
    );
    for (const page of touched) {
      const before = this.pages.get(page) ?? null;
      const after = before === null ? new Uint8Array(4096) : before.slice();
      const at = Math.floor(this.random() * 4_000);
      for (let offset = 0; offset < 40; offset++) after[at + offset] = Math.floor(this.random() * 256);
      const change = diffPage(page, before, after);
      if (change !== null) changes.push(change);
      this.pages.set(page, after);
    }
    return encodeMtr(changes, [{ kind: 'commit', commitTimeUs: 1, trace: null }], 10 * 2 ** 30, shrink);
  }

  private shrink(): Shrink {
    const pages = Math.floor(this.random() * Math.max(...this.pages.keys(), 1));
    for (const page of this.pages.keys()) if (page > pages) this.pages.delete(page);
    return { kind: 'shrink', pages };
  }

  /** Another history that begins where this one was at a commit. */
  branchAt(lsn: Lsn, seed: number): ReferencePages {
    const branch = new ReferencePages(seed, this.shrinks);
    const at = this.versions.findLast((version) => version.lsn <= lsn);
    for (const [page, bytes] of at?.pages ?? []) branch.pages.set(page, bytes);
    return branch;
  }

  committed(lsn: Lsn): void {
    this.versions.push({ lsn, pages: new Map(this.pages) });
  }
}

/** A small transaction: one page delta of about `bytes` redo. */
export function smallMtr(page: number, seed: number, bytes = 160): Mtr {
  const run = { offset: (seed * 8) % 3_000, bytes: new Uint8Array(bytes).fill(1 + (seed % 250)) };
  return encodeMtr(
    [{ kind: 'pageDelta', page: pageNo(page), runs: [run] }],
    [{ kind: 'commit', commitTimeUs: seed, trace: null }],
    10 * 2 ** 30,
  );
}

/** Polls a condition that no event announces. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 15_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
