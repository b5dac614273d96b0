import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { natsTopology } from '../../../regions/deploy/core/nats-topology.ts';
import { RouteProxies, RouteProxy } from '../../../regions/local/cables/route-proxy.ts';
import { portsOf } from '../../../regions/local/layout/core/local-ports.ts';
import {
  type Deployment,
  deploymentSchema,
  routePortOf,
  routesOf,
} from '../../../regions/local/layout/local-layout.ts';
import { natsProcesses } from '../../../regions/local/layout/local-processes.ts';
import { ManagedProcess } from '../../../regions/local/managed-process.ts';
import {
  findNatsServer,
  isAtLeast,
  type Machine,
  natsServerConfig,
} from '../../../regions/nats/nats-server.ts';

/** A machine with some executables, where `apt-get install` may put one more. */
function machineWith(options: {
  readonly binaries?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly isRoot?: boolean;
  readonly osRelease?: string;
  /** Exit codes of successive apt-get calls; an `install` that succeeds puts the binary in place. */
  readonly apt?: readonly number[];
}): Machine & { readonly calls: string[] } {
  const binaries = { ...options.binaries };
  const apt = [...(options.apt ?? [])];
  const calls: string[] = [];
  return {
    calls,
    // A home of its own: what a user of this machine has in the cache is not looked at.
    environment: { PATH: '/bin:/usr/games', HOME: '/home/of-nobody', ...options.environment },
    isRoot: options.isRoot ?? false,
    isExecutable: (path) => binaries[path] !== undefined,
    read: (path) => (path === '/etc/os-release' ? options.osRelease : undefined),
    async run(command, args) {
      if (command !== 'apt-get') return { code: 0, output: binaries[command] ?? '' };
      calls.push(`apt-get ${args[0]}`);
      const code = apt.shift() ?? 100;
      if (code === 0 && args[0] === 'install') binaries['/usr/sbin/nats-server'] = 'nats-server: v2.9.10';
      return { code, output: code === 0 ? '' : 'Reading lists\nE: Unable to locate package nats-server' };
    },
  };
}

const debian = 'PRETTY_NAME="Debian"\nID=debian\n';

describe('finding nats-server', () => {
  test('prefers $NATS_SERVER, then the PATH, then the usual directories', async () => {
    const binaries = {
      '/opt/nats': 'nats-server: v2.12.1',
      '/usr/games/nats-server': 'nats-server: v2.10.0',
      '/usr/sbin/nats-server': 'nats-server: v2.9.10',
    };
    const found = (environment: Record<string, string>) =>
      findNatsServer(machineWith({ binaries, environment }));
    expect(await found({ NATS_SERVER: '/opt/nats' })).toEqual({ path: '/opt/nats', version: '2.12.1' });
    expect(await found({})).toEqual({ path: '/usr/games/nats-server', version: '2.10.0' });
    expect(await found({ PATH: '' })).toEqual({ path: '/usr/sbin/nats-server', version: '2.9.10' });
  });

  test('never passes over a $NATS_SERVER that does not work', async () => {
    const binaries = { '/usr/sbin/nats-server': 'nats-server: v2.9.10' };
    const result = await findNatsServer(machineWith({ binaries, environment: { NATS_SERVER: '/opt/none' } }));
    expect(result).toEqual({
      error: expect.stringMatching(/^\$NATS_SERVER is \/opt\/none, which is not a working/),
    });
  });

  test('installs the package on Debian and Ubuntu as root, with fresh lists when needed, and says so', async () => {
    const lines: string[] = [];
    const machine = machineWith({ isRoot: true, osRelease: debian, apt: [100, 0, 0] });
    expect(await findNatsServer(machine, { onProgress: (line) => lines.push(line), install: true })).toEqual({
      path: '/usr/sbin/nats-server',
      version: '2.9.10',
    });
    expect(machine.calls).toEqual(['apt-get install', 'apt-get update', 'apt-get install']);
    expect(lines[0]).toMatch(/installing the package/);
    const ubuntu = machineWith({ isRoot: true, osRelease: 'ID=pop\nID_LIKE="ubuntu debian"', apt: [0] });
    expect(await findNatsServer(ubuntu, { install: true })).toMatchObject({ version: '2.9.10' });
    expect(ubuntu.calls).toEqual(['apt-get install']);
  });

  test.each([
    ['without root', { osRelease: debian }],
    ['on another system', { isRoot: true, osRelease: 'ID=alpine\n' }],
    ['when the installation fails', { isRoot: true, osRelease: debian, apt: [100, 0, 100] }],
  ])('%s names the three ways', async (_name, options) => {
    const machine = machineWith(options);
    expect(await findNatsServer(machine, { install: true })).toEqual({
      error: expect.stringMatching(/\$NATS_SERVER.*on the PATH.*--nats URL/),
    });
  });

  test('orders versions by number', () => {
    expect(isAtLeast('2.9.10', '2.10.0')).toBe(false);
    expect(isAtLeast('2.10.0', '2.10.0')).toBe(true);
    expect(isAtLeast('2.14.5', '2.10.0')).toBe(true);
    expect(isAtLeast('3.0.0', '2.10.0')).toBe(true);
    expect(isAtLeast('1.99.99', '2.10.0')).toBe(false);
  });
});

const deploymentFields = {
  version: 1,
  cluster: 'test',
  secret: 'secret',
  natsToken: 'token-of-clients',
  basePort: 20_000 + Math.floor(Math.random() * 10_000),
  nats: null,
};

describe('the NATS servers of a deployment', () => {
  test.each([
    [['a'], ['a'], ['a'], 1],
    [['a', 'b'], ['a', 'b', 'witness'], ['a', 'b', 'witness'], 3],
    [['a', 'b', 'c'], ['a', 'b', 'c'], ['a', 'b', 'c'], 3],
    [['a', 'b', 'c', 'd'], ['a', 'b', 'c', 'd'], ['a', 'b', 'c'], 3],
    [['a', 'b', 'c', 'd', 'e', 'f'], ['a', 'b', 'c', 'd', 'e', 'f'], ['a', 'b', 'c'], 3],
  ])('of %j are %j, of which %j vote on %i copies', (regions, servers, voters, replicas) => {
    expect(natsTopology(regions)).toEqual({ servers, voters, replicas });
  });

  test.each([2, 3, 4, 5, 6])(
    'of %i regions have one route for each pair, and every server one to dial',
    (count) => {
      const regions = ['a', 'b', 'c', 'd', 'e', 'f'].slice(0, count);
      const { servers } = natsTopology(regions);
      const routes = routesOf(deploymentSchema.parse({ ...deploymentFields, regions }));
      const pairs = new Set(routes.map(({ from, to }) => [from, to].toSorted().join()));
      expect(pairs.size).toBe((servers.length * (servers.length - 1)) / 2);
      expect(routes).toHaveLength(pairs.size);
      expect(new Set(routes.map(({ from }) => from))).toEqual(new Set(servers));
    },
  );

  test('sync to disk before they answer, where the version knows the word', () => {
    const plan = {
      region: 'a',
      address: '127.0.0.1:1',
      routeAddress: '10.0.0.1:2',
      routes: ['10.0.0.2:3'],
      storeDir: '/s',
    };
    const secrets = { cluster: 'c', token: 't', routePassword: 'r' };
    const config = (version: string) => JSON.parse(natsServerConfig(plan, secrets, version));
    expect(config('2.10.0').jetstream.sync_interval).toBe('always');
    expect(config('2.9.10').jetstream).not.toHaveProperty('sync_interval');
    expect(config('2.9.10')).toMatchObject({
      server_name: 'c-a',
      server_tags: ['region:a'],
      write_deadline: '1s',
      host: '127.0.0.1',
      port: 1,
      authorization: { token: 't' },
      cluster: { name: 'c', host: '10.0.0.1', port: 2, routes: ['nats-route://route:r@10.0.0.2:3'] },
    });
    expect(config('2.9.10').cluster.authorization).toMatchObject({ user: 'route', password: 'r' });
  });
});

/** Resolves when the check passes; each attempt has its own time limit. */
async function retry<T>(check: () => Promise<T>, timeoutMs: number): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

describe('a real cluster', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'sx-nats-'));
  const deployment: Deployment = deploymentSchema.parse({
    ...deploymentFields,
    regions: ['a', 'b', 'c', 'd'],
  });
  let cables: RouteProxies;
  let servers: ManagedProcess[] = [];
  const clients = new Map<string, NatsConnection>();
  const clientOf = (region: string): NatsConnection => {
    const client = clients.get(region);
    if (client === undefined) throw new Error(`no client in ${region}`);
    return client;
  };

  beforeAll(async () => {
    const server = await findNatsServer();
    if ('error' in server) throw new Error(server.error);
    const proxies = await Promise.all(
      routesOf(deployment).map((ends) => RouteProxy.open(ends, routePortOf(deployment, ends.to))),
    );
    cables = new RouteProxies(proxies);
    servers = natsProcesses(deployment, dataDir, server, proxies).map((spec) => new ManagedProcess(spec));
    for (const process of servers) process.start();
    await Promise.all(
      deployment.regions.map(async (region, index) => {
        const port = portsOf(deployment.basePort, index).nats;
        const client = await retry(
          () =>
            connect({ servers: `127.0.0.1:${port}`, token: 'token-of-clients', maxReconnectAttempts: -1 }),
          10_000,
        );
        clients.set(region, client);
      }),
    );
  }, 20_000);

  afterAll(async () => {
    await Promise.all([...clients.values()].map((client) => client.close()));
    await Promise.all(servers.map((process) => process.kill()));
    await cables.close();
    rmSync(dataDir, { recursive: true, force: true });
  });

  test('refuses clients without the token', async () => {
    const port = portsOf(deployment.basePort, 0).nats;
    await expect(connect({ servers: `127.0.0.1:${port}`, reconnect: false })).rejects.toThrow(
      /Authorization/i,
    );
  });

  test('keeps a bucket of three copies, reachable from a server that does not vote', async () => {
    const js = clientOf('d').jetstream({ timeout: 1_000 });
    const bucket = await retry(() => js.views.kv('control', { replicas: 3, timeout: 2_000 }), 25_000);
    const status = await retry(async () => {
      const current = await bucket.status();
      if (current.streamInfo.cluster?.replicas?.every(({ current: caughtUp }) => caughtUp) !== true)
        throw new Error('lagging');
      return current;
    }, 10_000);
    const { cluster } = status.streamInfo;
    const copies = [cluster?.leader, ...(cluster?.replicas ?? []).map(({ name }) => name)];
    expect(copies.toSorted()).toEqual(['test-a', 'test-b', 'test-c']);
    await retry(() => bucket.put('record', 'one'), 5_000);
    expect((await bucket.get('record'))?.string()).toBe('one');
  }, 45_000);

  test('loses an isolated region, which no route reaches around its proxies, and gets it back when healed', async () => {
    const server = clientOf('a').subscribe('question', {
      callback: (_error, message) => message.respond('answer'),
    });
    await clientOf('a').flush();
    const askFrom = (region: string) => clientOf(region).request('question', '', { timeout: 400 });
    for (const region of ['b', 'c', 'd'])
      expect((await retry(() => askFrom(region), 10_000)).string()).toBe('answer');

    cables.isolate('a');
    expect(cables.isolated).toEqual(['a']);
    for (const region of ['b', 'c', 'd']) {
      await expect(askFrom(region)).rejects.toThrow();
    }
    // Longer than a server waits between dials, so a way around would have been found.
    await new Promise((done) => setTimeout(done, 2_500));
    for (const region of ['b', 'c', 'd']) await expect(askFrom(region)).rejects.toThrow();
    // The region itself is whole: its own clients still reach each other.
    expect((await askFrom('a')).string()).toBe('answer');

    cables.heal('a');
    expect(cables.isolated).toEqual([]);
    for (const region of ['b', 'c', 'd'])
      expect((await retry(() => askFrom(region), 10_000)).string()).toBe('answer');
    server.unsubscribe();
  }, 45_000);
});
