import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkFiles } from '../../../regions/deploy/check-files.ts';
import { type DeploymentRequest, planDeployment } from '../../../regions/deploy/core/deployment-plan.ts';
import { clashes, listenersOf } from '../../../regions/deploy/core/region-rules.ts';
import { type InitRequest, initialize } from '../../../regions/deploy/initialize.ts';
import { readVerifier } from '../../../regions/postgres/core/verifier.ts';
import { makeVerifier } from '../../../regions/postgres/make-verifier.ts';

const dir = mkdtempSync(join(tmpdir(), 'sextant-init-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const gateway = [join(import.meta.dirname, '../../../gateway/main.ts')];

const request: InitRequest = {
  cluster: 'shop',
  regions: ['us-east-1', 'eu-west-1', 'ap-northeast-1'],
  hosts: {
    'us-east-1': '10.0.0.1',
    'us-east-1b': '10.0.0.11',
    'eu-west-1': 'db.eu.example',
    'ap-northeast-1': 'fd00::3',
  },
  dataDir: '/var/lib/sextant',
  basePort: 7000,
  gateways: 2,
  endpoints: true,
  engine: 'sqlite',
  dir,
  force: false,
};
const plan = (changes: Partial<DeploymentRequest>) =>
  planDeployment({
    ...request,
    secrets: { clusterFile: 'secrets/cluster' },
    certificatesDir: 'certs',
    gatewayKeys: () => ({}),
    ...changes,
  });

describe('the plan of a deployment', () => {
  test('puts zones on their machines, and everything else on that of the region', () => {
    const planned = plan({});
    if (planned.kind === 'refused') throw new Error(planned.reason);
    const [first, second, third] = planned.regions;
    expect(first?.nodes.map(({ node, az, address }) => `${node} ${az} ${address}`)).toEqual([
      'n1 us-east-1a 10.0.0.1:7001',
      'n2 us-east-1a 10.0.0.1:7002',
      'n3 us-east-1b 10.0.0.11:7003',
      'n4 us-east-1b 10.0.0.11:7004',
      'n5 us-east-1c 10.0.0.1:7005',
      'n6 us-east-1c 10.0.0.1:7006',
    ]);
    expect(first?.gateways.map(({ address }) => address)).toEqual(['10.0.0.1:7011', '10.0.0.1:7014']);
    expect(second?.agent.address).toBe('db.eu.example:7010');
    expect(third?.nats).toEqual({
      address: '[fd00::3]:7012',
      routeAddress: '[fd00::3]:7013',
      routes: [
        { region: 'us-east-1', address: '10.0.0.1:7013' },
        { region: 'eu-west-1', address: 'db.eu.example:7013' },
      ],
    });
    expect(planned.witness).toBeUndefined();
  });

  test('gives each region endpoints, with an address of their own to be watched at, unless nobody wants them', () => {
    const planned = plan({ postgresUsers: [] });
    if (planned.kind === 'refused') throw new Error(planned.reason);
    expect(planned.regions[0]?.endpoint).toEqual({
      address: '10.0.0.1:7000',
      writer: '10.0.0.1:7018',
      reader: '10.0.0.1:7019',
      postgres: { writer: '10.0.0.1:7025', reader: '10.0.0.1:7026' },
    });
    for (const changes of [{ endpoints: false }, { gateways: 0 }]) {
      const without = plan(changes);
      if (without.kind === 'refused') throw new Error(without.reason);
      expect(without.regions.map(({ endpoint }) => endpoint)).toEqual([undefined, undefined, undefined]);
    }
  });

  test('regions that share a machine keep their data apart there, and others where they were told', () => {
    const shared = plan({
      hosts: { 'us-east-1': 'a', 'eu-west-1': 'b', 'eu-west-1c': 'a', 'ap-northeast-1': 'c' },
    });
    if (shared.kind === 'refused') throw new Error(shared.reason);
    expect(shared.regions.map(({ dataDir }) => dataDir)).toEqual([
      '/var/lib/sextant/us-east-1',
      '/var/lib/sextant/eu-west-1',
      '/var/lib/sextant',
    ]);
  });

  test('gives regions on one machine ports of their own', () => {
    const hosts = { 'us-east-1': '127.0.0.1', 'eu-west-1': '127.0.0.1', 'ap-northeast-1': '127.0.0.2' };
    const planned = plan({ hosts });
    if (planned.kind === 'refused') throw new Error(planned.reason);
    expect(planned.regions.map(({ agent }) => agent.address)).toEqual([
      '127.0.0.1:7010',
      '127.0.0.1:7030',
      '127.0.0.2:7010',
    ]);
  });

  test.each([
    [
      'a machine is missing',
      { hosts: { 'us-east-1': 'a', 'eu-west-1': 'b' } },
      /no machine for ap-northeast-1a: .*--host ap-northeast-1=ADDRESS/,
    ],
    [
      'a name is of nothing',
      { hosts: { ...request.hosts, mars: 'a' } },
      /mars is no region, zone or witness/,
    ],
    [
      'two regions have no third vote',
      { regions: ['us-east-1', 'eu-west-1'], hosts: { 'us-east-1': 'a', 'eu-west-1': 'b' } },
      /--host witness=ADDRESS/,
    ],
    ['the ports do not fit', { basePort: 65_530 }, /do not fit below 65535/],
  ])('is refused when %s', (_name, changes, reason) => {
    expect(plan(changes)).toMatchObject({ kind: 'refused', reason: expect.stringMatching(reason) });
  });
});

describe('what is written', () => {
  const files: string[] = [];
  const read = (file: string) => readFileSync(join(dir, file), 'utf8');
  beforeAll(async () => {
    const made = await initialize(request);
    if (made.kind === 'refused') throw new Error(made.reason);
    files.push(...made.files.map(({ file }) => file));
  }, 60_000);

  test('passes the check that every process starts with (R53), off loopback, with certificates and tokens', async () => {
    expect(await checkFiles(files, gateway)).toEqual({ problems: [], absent: [] });
  }, 120_000);

  test('holds secrets in files of their own, the same on all machines, and no key of the authority', () => {
    const secret = read('us-east-1/secrets/cluster');
    expect(read('ap-northeast-1/secrets/cluster')).toBe(secret);
    expect(statSync(join(dir, 'us-east-1/secrets/cluster')).mode & 0o777).toBe(0o600);
    expect(statSync(join(dir, 'authority/token-key.pem')).mode & 0o777).toBe(0o600);
    for (const file of files) expect(readFileSync(file, 'utf8')).not.toContain(secret.trim());
    expect(existsSync(join(dir, 'us-east-1/certs/us-east-1/storage/n6/key.pem'))).toBe(true);
    expect(existsSync(join(dir, 'us-east-1/certs/eu-west-1'))).toBe(false);
    expect(existsSync(join(dir, 'us-east-1/certs/ca-key.pem'))).toBe(false);
  });

  test('is not overwritten, and with --force keeps secrets and the authority', async () => {
    const kept = [
      'us-east-1/secrets/cluster',
      'us-east-1/secrets/nats-route',
      'authority/ca.pem',
      'authority/token-key.pem',
    ];
    const before = kept.map(read);
    expect(await initialize(request)).toMatchObject({ kind: 'refused', reason: /is there already.*--force/ });
    expect(await initialize({ ...request, force: true })).toMatchObject({ kind: 'made' });
    expect(kept.map(read)).toEqual(before);
  }, 60_000);

  const broken: readonly [string, string, (text: string) => string, RegExp][] = [
    [
      'another cluster',
      'eu-west-1/region.yaml',
      (text) => text.replace('cluster: shop', 'cluster: stop'),
      /:\d+:10: cluster: is shop in .*us-east-1/,
    ],
    [
      'another order of regions',
      'eu-west-1/region.yaml',
      (text) => text.replace('[us-east-1, eu-west-1,', '[eu-west-1, us-east-1,'),
      /regions: is us-east-1, eu-west-1, ap-northeast-1 in/,
    ],
    [
      'a route to elsewhere',
      'eu-west-1/region.yaml',
      (text) => text.replace('10.0.0.1:7013', '10.0.0.1:7099'),
      /nats\.routes\.0\.address: us-east-1 takes routes at 10\.0\.0\.1:7013/,
    ],
    [
      'an address that is taken',
      'eu-west-1/region.yaml',
      (text) => text.replace('db.eu.example:7010', '10.0.0.1:7010'),
      /agent\.address: 10\.0\.0\.1:7010 is taken by agent\.address of/,
    ],
    [
      'another secret',
      'eu-west-1/secrets/cluster',
      () => 'another secret of some length',
      /secrets\.clusterFile: holds another secret than that of/,
    ],
    [
      'no certificates',
      'eu-west-1/region.yaml',
      (text) => text.replace('certificatesDir: certs\n', ''),
      /certificatesDir: needed because .* is not on this machine/,
    ],
    [
      'certificates that are not there',
      'eu-west-1/region.yaml',
      (text) => text.replace('certificatesDir: certs\n', 'certificatesDir: none\n'),
      /certificatesDir: .*cannot be read/,
    ],
    [
      'a limit that no gateway knows',
      'eu-west-1/region.yaml',
      (text) => text.replace('gateway: g2,', 'gateway: g2, limits: { sofas: 1 },'),
      /gateways\.1\.limits\.sofas: unknown limit/,
    ],
    [
      'an endpoint on a host that the certificates of gateways do not name',
      'eu-west-1/region.yaml',
      (text) => text.replace('writer: db.eu.example:7018', 'writer: lb.eu.example:7018'),
      /:\d{2,}:\d{2,}: gateways\.1\.tls\.certFile: the certificate is not for lb\.eu\.example, where the endpoint of eu-west-1/,
    ],
    [
      'the key of another certificate, and keys of tokens that are not there',
      'eu-west-1/region.yaml',
      (text) => text.replace('gateway/g1/key.pem', 'gateway/g2/key.pem').replace('jwks.json', 'none.json'),
      /:\d{2,}:\d{2,}: gateways\.0\.tls\.certFile: the key is that of another[\s\S]*gateways\.0\.auth\.jwksFile: .*ENOENT/,
    ],
  ];
  test.each(broken)(
    'with %s is refused, at its line',
    async (_name, file, change, message) => {
      const path = join(dir, file);
      const text = readFileSync(path, 'utf8');
      expect(change(text)).not.toBe(text);
      writeFileSync(path, change(text));
      try {
        const { problems } = await checkFiles(files, gateway);
        const shown = problems.map(
          ({ file: at, line, column, key, message: what }) => `${at}:${line}:${column}: ${key}: ${what}`,
        );
        expect(shown.join('\n')).toMatch(message);
        for (const problem of problems) expect(problem.line).toBeGreaterThan(0);
      } finally {
        writeFileSync(path, text);
      }
    },
    120_000,
  );

  test('says which regions no file is of', async () => {
    expect(await checkFiles(files.slice(0, 1), gateway)).toEqual({
      problems: [],
      absent: ['eu-west-1', 'ap-northeast-1'],
    });
  }, 120_000);
});

describe('where PostgreSQL keeps the databases', { timeout: 120_000 }, () => {
  const own = mkdtempSync(join(tmpdir(), 'sextant-init-postgres-'));
  afterAll(() => rmSync(own, { recursive: true, force: true }));
  const postgresRequest: InitRequest = { ...request, engine: 'postgres', dir: own };
  const made = async (changes: Partial<InitRequest> = {}) => {
    const result = await initialize({ ...postgresRequest, ...changes });
    if (result.kind === 'refused' || result.postgres === null) throw new Error('not made');
    return { files: result.files.map(({ file }) => file), postgres: result.postgres };
  };
  const verifierIn = (file: string): string =>
    /SCRAM-SHA-256[^"]+/.exec(readFileSync(file, 'utf8'))?.[0] ?? '';

  test('each gateway has an address and a user whose password is in one private file, and nowhere else', async () => {
    const { files, postgres } = await made();
    expect(await checkFiles(files, gateway)).toEqual({ problems: [], absent: [] });
    expect(postgres.addresses).toEqual([
      '10.0.0.1:7025',
      '10.0.0.1:7026',
      '10.0.0.1:7020',
      '10.0.0.1:7021',
      'db.eu.example:7025',
      'db.eu.example:7026',
      'db.eu.example:7020',
      'db.eu.example:7021',
      '[fd00::3]:7025',
      '[fd00::3]:7026',
      '[fd00::3]:7020',
      '[fd00::3]:7021',
    ]);
    const password = readFileSync(postgres.passwordFile, 'utf8').trim();
    expect(statSync(postgres.passwordFile).mode & 0o777).toBe(0o600);
    for (const file of files) {
      const verifier = verifierIn(file);
      const salt = readVerifier(verifier)?.salt ?? new Uint8Array();
      expect(makeVerifier(password, salt)).toBe(verifier);
      expect(readFileSync(file, 'utf8')).not.toContain(password);
    }
  });

  test('files that are written anew keep the password', async () => {
    const before = readFileSync(join(own, 'authority/postgres-password'), 'utf8');
    const { postgres } = await made({ force: true });
    expect(readFileSync(postgres.passwordFile, 'utf8')).toBe(before);
  });

  test('regions on one machine have ports of their own', () => {
    const hosts = { 'us-east-1': '127.0.0.1', 'eu-west-1': '127.0.0.1', 'ap-northeast-1': '127.0.0.1' };
    const planned = plan({ hosts, postgresUsers: [{ name: 'app', verifier: 'v' }] });
    if (planned.kind === 'refused') throw new Error(planned.reason);
    const listeners = planned.regions.flatMap((region) => listenersOf({ ...region, name: region.region }));
    expect(clashes(listeners)).toEqual([]);
    // Two gateways and two endpoints in each.
    expect(listeners.filter(({ path }) => path.includes('postgres'))).toHaveLength(12);
  });
});
