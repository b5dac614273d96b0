import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { gatewayConfigSchema } from '../../../gateway/process/config.ts';
import { agentConfigSchema } from '../../../regions/deploy/agent-config.ts';
import { meaningOf, regionKeys } from '../../../regions/deploy/core/region-keys.ts';
import { type RegionPlan, regionText, witnessText } from '../../../regions/deploy/core/region-text.ts';
import { natsConfigOfFile } from '../../../regions/deploy/nats-config.ts';
import {
  agentPart,
  gatewayPart,
  loadMachineFile,
  regionFileSchema,
  witnessFileSchema,
} from '../../../regions/deploy/region-file.ts';
import { secretNames, writeMachineFile } from '../../../regions/deploy/write-files.ts';
import { storageConfigSchema } from '../../../storage/process/config.ts';
import { loadProcessConfig } from '../../../storage/process/config-file.ts';
import { storagePart } from '../../../storage/region/region-file.ts';

const root = mkdtempSync(join(tmpdir(), 'sextant-region-'));
const file = join(root, 'us-east-1', 'region.yaml');
const secrets = {
  clusterFile: 'the secret of the cluster',
  natsTokenFile: 'the token of nats',
  natsRouteFile: 'the password of routes',
};
afterAll(() => rmSync(root, { recursive: true, force: true }));

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'];
const plan: RegionPlan = {
  cluster: 'shop',
  region: 'us-east-1',
  regions,
  dataDir: 'data',
  secrets: secretNames(false),
  nodes: [1, 2, 3, 4, 5, 6].map((n) => ({
    node: `n${n}`,
    az: `us-east-1${'abc'[Math.floor((n - 1) / 2)]}`,
    address: `127.0.0.1:${7000 + n}`,
  })),
  agent: { address: '127.0.0.1:7010' },
  gateways: [
    { gateway: 'g1', address: '127.0.0.1:7011', limits: { connections: 50 } },
    { gateway: 'g2', address: '127.0.0.1:7014', auth: { jwtPublicKey: 'key' } },
  ],
  nats: {
    address: '127.0.0.1:7012',
    routeAddress: '127.0.0.1:7013',
    routes: [
      { region: 'eu-west-1', address: '127.0.0.2:7013' },
      { region: 'ap-northeast-1', address: '127.0.0.3:7013' },
    ],
  },
};

const write = (given: RegionPlan = plan) => writeMachineFile(file, regionText(given, 'A test.'), secrets);
/** The file with a piece of its text replaced; the piece has to be there. */
function edit(from: string | RegExp, to: string): void {
  const text = readFileSync(file, 'utf8');
  expect(text).toMatch(from);
  writeFileSync(file, text.replace(from, to));
}
const lineOf = (piece: string): number =>
  readFileSync(file, 'utf8')
    .split('\n')
    .findIndex((line) => !/^ *#/.test(line) && line.includes(piece)) + 1;

beforeEach(() => write());

const storage = (node?: string) => loadProcessConfig(file, storageConfigSchema, storagePart(node), {});
const agent = () => loadProcessConfig(file, agentConfigSchema, agentPart, {});
const gateway = (name?: string) => loadProcessConfig(file, gatewayConfigSchema, gatewayPart(name), {});

describe('the file of a region', () => {
  test('is what was planned, with a comment on every key', () => {
    const text = readFileSync(file, 'utf8');
    expect(parse(text)).toEqual({ version: 1, ...plan });
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(120);
    for (const key of ['cluster', 'dataDir', 'secrets.clusterFile', 'nats.routes', 'agent.address'])
      expect(text.replace(/\n *# /g, ' ')).toContain(meaningOf(key));
  });

  test('and its secrets are their owner’s alone, and no secret stands in it', () => {
    for (const path of [
      file,
      join(root, 'us-east-1/secrets/cluster'),
      join(root, 'us-east-1/secrets/nats-token'),
    ])
      expect(statSync(path).mode & 0o777).toBe(0o600);
    for (const secret of Object.values(secrets)) expect(readFileSync(file, 'utf8')).not.toContain(secret);
  });

  test('configures each storage node', () => {
    expect(storage('n3')).toEqual({
      kind: 'ok',
      value: {
        cluster: 'shop',
        secret: secrets.clusterFile,
        region: 'us-east-1',
        node: 'n3',
        az: 'us-east-1b',
        listen: '127.0.0.1:7003',
        dataDir: join(root, 'us-east-1/data/n3/data'),
        peers: plan.nodes.filter(({ node }) => node !== 'n3'),
      },
    });
  });

  test('tells a gateway, and others by its agent, where it is reached', () => {
    const [first, second] = plan.gateways;
    if (first === undefined || second === undefined) throw new Error('the plan has two gateways');
    write({ ...plan, gateways: [{ ...first, advertise: 'https://db.example' }, second] });
    expect(gateway('g1')).toMatchObject({
      kind: 'ok',
      value: { listen: '127.0.0.1:7011', advertise: 'https://db.example' },
    });
    expect(agent()).toMatchObject({
      kind: 'ok',
      value: { gateways: ['https://db.example', '127.0.0.1:7014'] },
    });
    write();
  });

  test('configures the agent and each gateway, with the gateway’s own keys', () => {
    const shared = {
      cluster: 'shop',
      secret: secrets.clusterFile,
      region: 'us-east-1',
      nodes: plan.nodes,
      nats: { servers: ['nats://127.0.0.1:7012'], token: secrets.natsTokenFile, replicas: 3 },
      regions,
    };
    expect(agent()).toEqual({
      kind: 'ok',
      value: {
        ...shared,
        listen: '127.0.0.1:7010',
        dataDir: join(root, 'us-east-1/data/agent/data'),
        gateways: ['127.0.0.1:7011', '127.0.0.1:7014'],
      },
    });
    const g1 = { ...shared, gateway: 'g1', listen: '127.0.0.1:7011', agent: '127.0.0.1:7010' };
    expect(gateway('g1')).toMatchObject({ kind: 'ok', value: { ...g1, limits: { connections: 50 } } });
    expect(gateway('g2')).toMatchObject({
      kind: 'ok',
      value: { gateway: 'g2', auth: { jwtPublicKey: 'key' } },
    });
  });

  test('asks which process it is for, where it holds several', () => {
    expect(storage()).toMatchObject({ message: expect.stringMatching(/--node: n1, n2, n3, n4, n5, n6$/) });
    expect(storage('n7')).toMatchObject({ kind: 'invalid' });
    expect(gateway()).toMatchObject({ message: expect.stringMatching(/--name: g1, g2$/) });
    write({ ...plan, gateways: plan.gateways.slice(0, 1) });
    expect(gateway()).toMatchObject({ kind: 'ok', value: { gateway: 'g1' } });
  });

  test('configures the NATS server, which keeps the control record in the first three regions', () => {
    const loaded = loadMachineFile(file);
    if (loaded.kind === 'invalid') throw new Error(loaded.message);
    const nats = natsConfigOfFile(loaded.value, '2.12.0', {});
    if (nats.kind === 'invalid') throw new Error('invalid');
    expect(nats.dir).toBe(join(root, 'us-east-1/data/nats'));
    expect(JSON.parse(nats.config)).toMatchObject({
      server_name: 'shop-us-east-1',
      port: 7012,
      authorization: { token: secrets.natsTokenFile },
      jetstream: { store_dir: join(root, 'us-east-1/data/nats/data'), sync_interval: 'always' },
      cluster: {
        port: 7013,
        routes: [
          `nats-route://route:${secrets.natsRouteFile}@127.0.0.2:7013`,
          `nats-route://route:${secrets.natsRouteFile}@127.0.0.3:7013`,
        ],
      },
    });
  });

  test('may leave secrets to the environment, and is refused where nobody has them', () => {
    write();
    edit(/ {2}clusterFile: .*\n/, '');
    expect(storage('n1')).toMatchObject({
      message: expect.stringMatching(/secret.*\(or set SEXTANT_SECRET\)/),
    });
    const loaded = loadProcessConfig(file, storageConfigSchema, storagePart('n1'), {
      SEXTANT_SECRET: 'from there',
    });
    expect(loaded).toMatchObject({ kind: 'ok', value: { secret: 'from there' } });
  });

  test('is refused when everybody may read a secret', () => {
    chmodSync(join(root, 'us-east-1/secrets/cluster'), 0o644);
    expect(storage('n1')).toMatchObject({
      message: expect.stringMatching(
        new RegExp(
          `region\\.yaml:${lineOf('clusterFile')}:16: secrets\\.clusterFile: everybody .* may read .*chmod 600`,
        ),
      ),
    });
  });

  const wrong: readonly [string, string | RegExp, string, string, RegExp][] = [
    [
      'an unknown key',
      'cluster: shop',
      'cluster: shop\ncolour: red',
      'colour',
      /unknown key colour; allowed here: version, cluster/,
    ],
    [
      'an unknown key inside',
      'agent:\n',
      'agent:\n  sofa: 1\n',
      'sofa',
      /unknown key agent\.sofa; allowed here: address, dataDir/,
    ],
    [
      'a wrong type',
      'regions: [us-east-1, eu-west-1, ap-northeast-1]',
      'regions: none',
      'regions: none',
      /regions: expected array/,
    ],
    [
      'another version',
      'version: 1',
      'version: 2',
      'version: 2',
      /version: the version of region files that this program reads: 1/,
    ],
    [
      'a port taken twice',
      '127.0.0.1:7004 }',
      '127.0.0.1:7010 }',
      'agent-at',
      /agent\.address: 127\.0\.0\.1:7010 is taken by nodes\.3\.address already/,
    ],
    [
      'a port taken twice under two names',
      'address: 127.0.0.1:7010',
      'address: localhost:7012',
      'address: 127.0.0.1:7012',
      /nats\.address: 127\.0\.0\.1:7012 is taken by agent\.address/,
    ],
    [
      'a port of PostgreSQL clients taken twice',
      'gateway: g1, address: 127.0.0.1:7011',
      "gateway: g1, address: 127.0.0.1:7011, postgres: { listen: '127.0.0.1:7010' }",
      'postgres',
      /gateways\.0\.postgres\.listen: 127\.0\.0\.1:7010 is taken by agent\.address/,
    ],
    [
      'a port of an endpoint for PostgreSQL clients taken twice',
      '\nagent:',
      `\nendpoint: { writer: '127.0.0.1:7018', reader: '127.0.0.1:7019', postgres: { writer: '127.0.0.1:7045', reader: '127.0.0.1:7019' } }\nagent:`,
      'postgres:',
      /endpoint\.postgres\.reader: 127\.0\.0\.1:7019 is taken by endpoint\.reader/,
    ],
    [
      'an endpoint for PostgreSQL clients where no gateway takes any',
      '\nagent:',
      `\nendpoint: { writer: '127.0.0.1:7018', reader: '127.0.0.1:7019', postgres: { writer: '127.0.0.1:7045', reader: '127.0.0.1:7046' } }\nagent:`,
      'postgres:',
      /endpoint\.postgres: leads to where the gateways of this region take PostgreSQL clients/,
    ],
    [
      'a zone of three',
      'az: us-east-1b',
      'az: us-east-1a',
      'n1',
      /nodes: two nodes belong in each of three zones \(az\), and here are 3 in us-east-1a, 1 in us-east-1b/,
    ],
    ['five nodes', /.*node: n6.*\n/, '', 'n1', /nodes: a region has 6 storage nodes, and here are 5/],
    [
      'a node named twice',
      'node: n6',
      'node: n5',
      'n5, az: us-east-1c, address: 127.0.0.1:7006',
      /nodes\.5\.node: n5 is named twice/,
    ],
    [
      'a bad address',
      'address: 127.0.0.1:7010',
      'address: 7010',
      'address: 7010',
      /agent\.address: expected string/,
    ],
    [
      'a region that it is not of',
      'region: us-east-1',
      'region: mars-1',
      'region: mars-1',
      /region: one of us-east-1, eu-west-1/,
    ],
    [
      'a gateway named twice',
      'gateway: g2',
      'gateway: g1',
      'gateway: g1, address: 127.0.0.1:7014',
      /gateways\.1\.gateway: g1 is named twice/,
    ],
    [
      'a key of the region at a gateway',
      'gateway: g1,',
      'gateway: g1, nats: 1,',
      'nats: 1',
      /gateways\.0\.nats: stands once for the region/,
    ],
    [
      'a route to nowhere',
      'region: eu-west-1,',
      'region: mars-1,',
      'mars-1',
      /nats\.routes\.0\.region: one of eu-west-1, ap-northeast-1/,
    ],
    [
      'two kinds of NATS',
      'nats:\n',
      'nats:\n  servers: [nats://x:1]\n',
      'address: 127.0.0.1:7012',
      /nats\.address: either a server of its own/,
    ],
  ];
  test.each(wrong)('with %s is refused, at its line', (_name, from, to, piece, message) => {
    edit(from, to);
    const loaded = agent();
    expect(loaded.kind).toBe('invalid');
    if (loaded.kind !== 'invalid') return;
    expect(loaded.message).toMatch(message);
    const line = piece === 'agent-at' ? lineOf('agent:') + 2 : lineOf(piece);
    expect(loaded.found.map((problem) => problem.line)).toContain(line);
    expect(loaded.message).toMatch(new RegExp(`^${file}:${line}:\\d+: `, 'm'));
  });

  test('with a key that only a gateway knows to be wrong is refused by that gateway, at its line', () => {
    edit('connections: 50', 'sofas: 50');
    expect(gateway('g2').kind).toBe('ok');
    const refused = gateway('g1');
    expect(refused).toMatchObject({
      found: [
        { line: lineOf('sofas'), key: 'gateways.0.limits.sofas', message: /unknown limit; allowed here/ },
      ],
    });
    edit('limits:', 'colour:');
    expect(gateway('g1')).toMatchObject({
      problems: [expect.stringMatching(/^unknown key gateways\.0\.colour; allowed here: cluster/)],
    });
  });

  test('of a witness holds a NATS server and nothing else', () => {
    const { cluster, dataDir } = plan;
    const nats = { ...plan.nats, routes: [{ region: 'eu-west-1', address: '127.0.0.2:7013' }] };
    const alone = {
      cluster,
      dataDir,
      witness: 'witness',
      regions: ['us-east-1', 'eu-west-1'],
      secrets: secretNames(false),
      nats,
    };
    const path = join(root, 'witness', 'witness.yaml');
    mkdirSync(join(root, 'witness'), { recursive: true });
    writeMachineFile(path, witnessText(alone, 'A test.'), secrets);
    const loaded = loadMachineFile(path);
    if (loaded.kind === 'invalid') throw new Error(loaded.message);
    const config = natsConfigOfFile(loaded.value, '2.9.10', {});
    expect(config).toMatchObject({ kind: 'ok', dir: join(root, 'witness/data') });
    writeMachineFile(path, witnessText({ ...alone, regions }, 'A test.'), secrets);
    expect(loadMachineFile(path)).toMatchObject({
      message: expect.stringMatching(/witness: no server of this deployment only votes/),
    });
  });

  test('of a server that only votes takes the name of a region that has left', () => {
    const { cluster } = plan;
    const nats = { ...plan.nats, routes: [{ region: 'eu-west-1', address: '127.0.0.2:7013' }] };
    const left = {
      cluster,
      dataDir: 'nats',
      witness: 'ap-northeast-1',
      regions: ['us-east-1', 'eu-west-1'],
      voters: ['us-east-1', 'eu-west-1', 'ap-northeast-1'],
      secrets: secretNames(false),
      nats,
    };
    const path = join(root, 'left', 'witness.yaml');
    mkdirSync(join(root, 'left'), { recursive: true });
    writeMachineFile(path, witnessText(left, 'A test.'), secrets);
    const loaded = loadMachineFile(path);
    if (loaded.kind === 'invalid') throw new Error(loaded.message);
    const made = natsConfigOfFile(loaded.value, '2.9.10', {});
    expect(made).toMatchObject({ kind: 'ok', dir: join(root, 'left/nats') });
    expect(made.kind === 'ok' && JSON.parse(made.config)).toMatchObject({
      server_name: `${cluster}-ap-northeast-1`,
      jetstream: { store_dir: join(root, 'left/nats/data') },
    });
    writeMachineFile(path, witnessText({ ...left, witness: 'nobody' }, 'A test.'), secrets);
    expect(loadMachineFile(path)).toMatchObject({
      message: expect.stringMatching(/witness: of the servers of this deployment, ap-northeast-1 only votes/),
    });
    writeMachineFile(path, witnessText({ ...left, voters: ['us-east-1', 'ap-northeast-1'] }, 'A.'), secrets);
    expect(loadMachineFile(path)).toMatchObject({
      message: expect.stringMatching(/voters: one server or three/),
    });
  });

  test('has no key without a meaning, and no meaning without its key', () => {
    interface Shape {
      readonly def?: { readonly type: string; readonly innerType?: Shape; readonly element?: Shape };
      readonly shape?: Readonly<Record<string, Shape>>;
    }
    const keysOf = (shape: Shape, path: string): readonly string[] => {
      const { def } = shape;
      if (def?.innerType !== undefined) return keysOf(def.innerType, path);
      if (def?.element !== undefined) return keysOf(def.element, `${path}[]`);
      return Object.entries(shape.shape ?? {}).flatMap(([key, inner]) => {
        const own = path === '' ? key : `${path}.${key}`;
        return [own, ...keysOf(inner, own)];
      });
    };
    const all = [regionFileSchema, witnessFileSchema].flatMap((schema) =>
      keysOf(schema as unknown as Shape, ''),
    );
    expect([...new Set(all)].toSorted()).toEqual(regionKeys.map(({ key }) => key).toSorted());
  });
});
