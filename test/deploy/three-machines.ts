/**
 * Deploys three regions on three machines by the commands of `regions/DEPLOY.md`, and carries out its procedures: write, lose a
 * region and fail over, fail back, replace a node. `npm run test:deploy`; not part of `npm test`. Machines are network namespaces.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { forget, type Machine, Machines, machinesProblem, type Ran } from './machines.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
type Region = (typeof regions)[number];
const nodes = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'] as const;
const readyMs = 180_000;

const startedMs = performance.now();
const say = (line: string): void =>
  console.log(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s  ${line}`);

class Deployment {
  readonly machines: Machines;
  readonly dir: string;
  token = '';

  constructor(dir: string) {
    this.dir = dir;
    const logs = join(dir, 'logs');
    mkdirSync(logs, { recursive: true });
    this.machines = new Machines(regions.length, logs);
  }

  machineOf(region: Region): Machine {
    const machine = this.machines.all[regions.indexOf(region)];
    assert(machine !== undefined, `${region} has a machine`);
    return machine;
  }

  folder = (region: Region): string => join(this.dir, 'shop', region);

  /** A command on a machine that has to succeed. */
  async must(region: Region, ...args: readonly string[]): Promise<string> {
    const ran = await this.ask(region, ...args);
    assert.equal(ran.code, 0, `sextant ${args.join(' ')} on the machine of ${region}:\n${ran.out}`);
    return ran.out;
  }

  ask(region: Region, ...args: readonly string[]): Promise<Ran> {
    const authority = join(this.dir, 'shop', 'authority');
    return this.machines.run(this.machineOf(region), args, {
      SEXTANT_URL: `https://${this.machineOf(region).address}:7011`,
      SEXTANT_TOKEN: this.token,
      NODE_EXTRA_CA_CERTS: join(authority, 'ca.pem'),
    });
  }

  sql = (region: Region, statement: string): Promise<string> => this.must(region, 'sql', region, statement);

  startNode(region: Region, node: (typeof nodes)[number]): void {
    const config = join(this.folder(region), 'region.yaml');
    this.machines.start(this.machineOf(region), `${region}/${node}`, [
      'storage',
      '--config',
      config,
      '--node',
      node,
    ]);
  }

  startRegion(region: Region): void {
    const config = ['--config', join(this.folder(region), 'region.yaml')];
    const machine = this.machineOf(region);
    this.machines.start(machine, `${region}/nats`, ['nats', ...config]);
    for (const node of nodes) this.startNode(region, node);
    this.machines.start(machine, `${region}/agent`, ['agent', ...config]);
    this.machines.start(machine, `${region}/g1`, ['gateway', ...config, '--name', 'g1']);
  }

  /** Waits until a node is reported as wanted; it is complete when it has everything durable. */
  async untilNode(
    region: Region,
    node: string,
    wanted: (state: string, isComplete: boolean) => boolean,
  ): Promise<void> {
    const deadline = performance.now() + readyMs;
    for (;;) {
      const status = statusSchema.parse(JSON.parse(await this.must(region, 'status', '--json')));
      const own = status.regions.find(({ name }) => name === region);
      const found = own?.nodes.find(({ id }) => id === node);
      if (found !== undefined && wanted(found.state, (found.scl ?? 0) >= (own?.vdl ?? 0))) return;
      assert(
        performance.now() < deadline,
        `${region}/${node} is still ${found?.state}, ${found?.scl} of ${own?.vdl}`,
      );
      await sleep(500);
    }
  }

  /** Asks until it succeeds and says what is wanted. */
  async until(region: Region, wanted: RegExp, ...args: readonly string[]): Promise<string> {
    const deadline = performance.now() + readyMs;
    for (;;) {
      const ran = await this.ask(region, ...args);
      if (ran.code === 0 && wanted.test(ran.out)) return ran.out;
      assert(
        performance.now() < deadline,
        `sextant ${args.join(' ')} still says:\n${ran.out}\nlogs: ${this.dir}/logs`,
      );
      await sleep(1_000);
    }
  }
}

const statusSchema = z.object({
  regions: z.array(
    z.object({
      name: z.string(),
      vdl: z.number().nullable(),
      nodes: z.array(z.object({ id: z.string(), state: z.string(), scl: z.number().nullish() })),
    }),
  ),
});

async function procedures(shop: Deployment): Promise<void> {
  const [first, second, third] = regions;
  const hosts = regions.flatMap((region) => ['--host', `${region}=${shop.machineOf(region).address}`]);
  const folder = join(shop.dir, 'shop');
  const places = ['--dir', folder, '--data-dir', 'data'];
  await shop.must(first, 'init', '--cluster', 'shop', '--regions', regions.join(), ...hosts, ...places);
  const files = regions.map((region) => join(shop.folder(region), 'region.yaml'));
  await shop.must(first, 'config', 'check', ...files);
  const key = join(folder, 'authority', 'token-key.pem');
  const made = await shop.must(
    first,
    'token',
    'create',
    '--scope',
    'admin',
    '--ttl',
    '1h',
    '--subject',
    'test',
    '--key',
    key,
    '--json',
  );
  shop.token = JSON.parse(made.slice(made.indexOf('{'))).token;
  say('three folders written and checked');

  for (const region of regions) shop.startRegion(region);
  for (const region of regions) await shop.until(region, /1/, 'sql', region, 'SELECT 1');
  say('three regions serve');

  await shop.sql(second, 'CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)');
  await shop.sql(second, "INSERT INTO note (text) VALUES ('from the second region')");
  await shop.until(third, /from the second region/, 'sql', third, 'SELECT text FROM note');
  say('written through one region, read in another');

  await shop.machines.lose(shop.machineOf(first));
  await shop.must(second, 'failover', '--to', second, '--allow-data-loss');
  await shop.sql(second, "INSERT INTO note (text) VALUES ('after the failover')");
  say('the first machine is lost, the second region writes');

  shop.startRegion(first);
  await shop.until(first, /after the failover/, 'sql', first, 'SELECT text FROM note');
  await shop.until(second, /done/, 'switchover', '--to', first);
  await shop.sql(third, "INSERT INTO note (text) VALUES ('failed back')");
  await shop.until(first, /failed back/, 'sql', first, 'SELECT text FROM note');
  say('failed back, and the third region writes through it');

  await shop.machines.stop(`${first}/n3`, 'SIGTERM');
  await shop.untilNode(first, 'n3', (state) => state !== 'up');
  rmSync(join(shop.folder(first), 'data', 'n3'), { recursive: true });
  await shop.sql(first, "INSERT INTO note (text) VALUES ('while a node is away')");
  shop.startNode(first, 'n3');
  await shop.untilNode(first, 'n3', (state, isComplete) => state === 'up' && isComplete);
  say('an emptied node has rebuilt itself');
}

const problem = machinesProblem();
if (problem !== undefined) {
  console.log(`skipped: ${problem}`);
} else {
  const shop = new Deployment(mkdtempSync(join(tmpdir(), 'sx-machines-')));
  try {
    await procedures(shop);
    await shop.machines.close();
    forget(shop.dir);
    say('done');
  } catch (error) {
    await shop.machines.close();
    console.error(error instanceof Error ? error.message : error);
    console.error(`kept: ${shop.dir}`);
    process.exitCode = 1;
  }
}
