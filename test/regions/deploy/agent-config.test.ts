import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { gatewayConfigSchema } from '../../../gateway/process/config.ts';
import { agentConfigSchema } from '../../../regions/deploy/agent-config.ts';
import { isLoopback, parseAddress, storageConfigSchema } from '../../../storage/process/config.ts';
import { loadConfig, parseConfig } from '../../../storage/process/config-file.ts';

const dir = mkdtempSync(join(tmpdir(), 'sextant-config-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const nodes = [{ node: 'n1', az: 'us-east-1a', address: '127.0.0.1:7001' }];
const identity = { caFile: 'ca.pem', certFile: 'cert.pem', keyFile: 'key.pem' };
const nats = { servers: ['nats://127.0.0.1:7012'], token: 'token' };
const storage = {
  cluster: 'c',
  secret: 's',
  region: 'us-east-1',
  node: 'n1',
  az: 'us-east-1a',
  listen: '127.0.0.1:7001',
  dataDir: 'data',
  peers: nodes,
};
const agent = {
  cluster: 'c',
  secret: 's',
  region: 'us-east-1',
  listen: '127.0.0.1:7010',
  dataDir: 'data',
  gateways: ['127.0.0.1:7011'],
  nodes,
  nats,
  regions: ['us-east-1'],
};
const gateway = {
  cluster: 'c',
  secret: 's',
  region: 'us-east-1',
  gateway: 'g1',
  listen: '127.0.0.1:7011',
  agent: '127.0.0.1:7010',
  nodes,
  nats,
  regions: ['us-east-1', 'eu-west-1'],
};

const schemas = { storage: storageConfigSchema, agent: agentConfigSchema, gateway: gatewayConfigSchema };
const valid = { storage, agent, gateway };

describe('a configuration', () => {
  test.each(['storage', 'agent', 'gateway'] as const)(
    'of a %s is read from YAML and from JSON alike',
    (kind) => {
      const yaml = join(dir, `${kind}.yaml`);
      const json = join(dir, `${kind}.json`);
      writeFileSync(yaml, stringify(valid[kind]));
      writeFileSync(json, JSON.stringify(valid[kind]));
      expect(loadConfig(yaml, schemas[kind], {})).toEqual({ kind: 'ok', value: valid[kind] });
      expect(loadConfig(json, schemas[kind], {})).toEqual({ kind: 'ok', value: valid[kind] });
    },
  );

  const wrong: readonly [string, 'storage' | 'agent' | 'gateway', object, RegExp][] = [
    [
      'an unknown key',
      'storage',
      { ...storage, colour: 'red' },
      /unknown key colour; allowed here: cluster, secret/,
    ],
    [
      'an unknown nested key',
      'agent',
      { ...agent, nats: { ...nats, tls: 1 } },
      /unknown key nats\.tls; allowed here: servers/,
    ],
    ['a missing key', 'storage', { ...storage, node: undefined }, /node: missing; expected string/],
    [
      'a missing secret',
      'storage',
      { ...storage, secret: undefined },
      /secret: missing.*\(or set SEXTANT_SECRET\)/,
    ],
    [
      'a missing token',
      'gateway',
      { ...gateway, nats: { servers: nats.servers } },
      /nats\.token: .*SEXTANT_NATS_TOKEN/,
    ],
    ['a bad address', 'storage', { ...storage, listen: '7001' }, /listen: host:port, such as/],
    [
      'a port out of range',
      'agent',
      { ...agent, gateways: ['a:70000'] },
      /gateways\.0: host:port with a port from 1 to/,
    ],
    ['a wrong type', 'storage', { ...storage, peers: 'none' }, /peers: expected array/],
    [
      'a name with capitals',
      'agent',
      { ...agent, regions: ['us-east-1', 'EU'] },
      /regions\.1: a region name is 1 to 63 of a-z/,
    ],
    [
      'a region that is not of the deployment',
      'agent',
      { ...agent, region: 'eu' },
      /region: one of us-east-1/,
    ],
    [
      'a region named twice',
      'agent',
      { ...agent, regions: ['us-east-1', 'us-east-1'] },
      /regions: every region is named once/,
    ],
    [
      'a seventh region',
      'agent',
      { ...agent, regions: ['us-east-1', ...'abcdef'] },
      /regions: at most 6 regions/,
    ],
    [
      'a node named twice',
      'gateway',
      { ...gateway, nodes: [...nodes, ...nodes] },
      /nodes: every node is named once/,
    ],
    ['a tiny protection group', 'gateway', { ...gateway, pgBytes: 4096 }, /pgBytes: at least 1048576/],
    [
      'a crooked protection group',
      'gateway',
      { ...gateway, pgBytes: 1048577 },
      /pgBytes: a multiple of the page size/,
    ],
    [
      'an unknown limit',
      'gateway',
      { ...gateway, limits: { sofas: 1 } },
      /limits\.sofas: unknown limit; allowed here: connections/,
    ],
    [
      'two copies of the control record',
      'agent',
      { ...agent, nats: { ...nats, replicas: 2 } },
      /nats\.replicas: 1, 3 or 5/,
    ],
    [
      'a short secret off loopback',
      'storage',
      { ...storage, listen: '0.0.0.0:1', identity },
      /secret: at least 16 characters/,
    ],
    [
      'a short secret of an agent off loopback',
      'agent',
      { ...agent, listen: '10.0.0.1:1', identity },
      /secret: at least 16 characters/,
    ],
    [
      'a short secret of a gateway off loopback',
      'gateway',
      { ...gateway, listen: '10.0.0.1:1', insecure: ['no-auth', 'no-tls'], identity },
      /secret: at least 16 characters/,
    ],
    [
      'no client authentication off loopback',
      'gateway',
      { ...gateway, listen: '[::]:1', secret: 'a secret of some length', insecure: ['no-tls'], identity },
      /auth: needed to listen on .*insecure: \[no-auth\]/,
    ],
    [
      'plain text off loopback',
      'gateway',
      {
        ...gateway,
        listen: '[::]:1',
        secret: 'a secret of some length',
        auth: { jwtPublicKey: 'k' },
        identity,
      },
      /tls: needed to listen on .*insecure: \[no-tls\]/,
    ],
    [
      'a monotonous secret off loopback',
      'storage',
      { ...storage, listen: '10.0.0.1:1', secret: 'abababababababababab', identity },
      /secret: at least 16 characters, 8 of them different/,
    ],
    [
      'no key in auth',
      'gateway',
      { ...gateway, auth: { audience: 'x' } },
      /auth: jwtPublicKey, jwksFile or both/,
    ],
    [
      'an origin with a path',
      'gateway',
      { ...gateway, origins: ['https://app.example/'] },
      /origins\.0: an origin in lower case without path/,
    ],
    [
      'no certificate off loopback',
      'storage',
      { ...storage, listen: '0.0.0.0:1', secret: 'a secret of some length' },
      /identity: needed because 0\.0\.0\.0:1 is not on this machine/,
    ],
    [
      'no certificate and a node elsewhere',
      'storage',
      { ...storage, peers: [{ node: 'n2', az: 'b', address: '10.0.0.2:7001' }] },
      /identity: needed because 10\.0\.0\.2:7001/,
    ],
    [
      'no certificate and NATS elsewhere',
      'agent',
      { ...agent, nats: { ...nats, servers: ['nats://127.0.0.1:1', 'nats://db.example'] } },
      /identity: needed because nats:\/\/db\.example/,
    ],
    [
      'no certificate and an agent elsewhere',
      'gateway',
      { ...gateway, agent: '10.0.0.2:7010' },
      /identity: needed because 10\.0\.0\.2:7010/,
    ],
    [
      'neither certificate nor token for NATS',
      'agent',
      { ...agent, nats: { servers: nats.servers } },
      /nats\.token: missing; needed by a process without `identity` \(or set SEXTANT_NATS_TOKEN\)/,
    ],
    [
      'half a certificate',
      'storage',
      { ...storage, identity: { caFile: 'ca.pem', certFile: 'cert.pem' } },
      /identity\.keyFile: missing/,
    ],
  ];
  test.each(wrong)(
    'with %s is refused, and the error says where and what is allowed',
    (_name, kind, value, message) => {
      const file = join(dir, 'wrong.json');
      writeFileSync(file, JSON.stringify(value));
      const result = loadConfig(file, schemas[kind], {});
      expect(result.kind).toBe('invalid');
      if (result.kind === 'invalid') {
        expect(result.message).toMatch(message);
        expect(result.message).toMatch(/^\S+wrong\.json:1:\d+: /);
        expect(result.problems).toHaveLength(1);
      }
    },
  );

  test('that is damaged is told with its place and without a word of what stands in it', () => {
    const secret = 'Zq7xK-vWj2_pT9';
    const file = join(dir, 'damaged');
    const texts = [
      stringify({ ...storage, secret }),
      JSON.stringify({ ...storage, secret }, null, 2),
      JSON.stringify({ ...storage, secret }),
    ];
    const damaged = texts.flatMap((text) => [
      ...Array.from({ length: text.length }, (_, cut) => text.slice(0, cut)),
      ...['"', '{', ':', '*', '!', '&', '\t', '\n', '% ', '- ', '\0', '? '].flatMap((char) =>
        [0, 1].map((after) => {
          const at = text.indexOf(secret) + after * secret.length;
          return text.slice(0, at) + char + text.slice(at);
        }),
      ),
      text.replaceAll('secret', secret),
      text.replace('secret', `${secret}: 1, secret`),
      text.replace(/"?secret"?: /, '').replace(secret, `*${secret}`),
    ]);
    const places: string[] = [];
    for (const text of [...damaged, `${secret}\n`, `*${secret}`, `!!${secret} a: b`, `${secret}: 1`]) {
      writeFileSync(file, text);
      const loaded = loadConfig(file, storageConfigSchema, {});
      if (loaded.kind === 'ok') continue;
      for (let at = 0; at + 5 <= secret.length; at++)
        expect(loaded.message).not.toContain(secret.slice(at, at + 5));
      if (/:\d+:\d+: is neither/.test(loaded.message)) places.push(text);
    }
    expect(places.length).toBeGreaterThan(300);
  });

  test('that cannot be read, or is neither YAML nor JSON, is an answer and not an exception', () => {
    expect(loadConfig(join(dir, 'absent'), storageConfigSchema, {})).toMatchObject({
      kind: 'invalid',
      message: /cannot be read/,
    });
    const file = join(dir, 'broken.yaml');
    writeFileSync(file, 'a: [1,');
    expect(loadConfig(file, storageConfigSchema, {})).toMatchObject({
      kind: 'invalid',
      message: /neither YAML nor JSON/,
    });
  });

  test('takes its secrets from the environment when the file has none', () => {
    const environment = { SEXTANT_SECRET: 'from-environment', SEXTANT_NATS_TOKEN: 'token-from-environment' };
    const bare = { ...agent, secret: undefined, nats: { servers: nats.servers } };
    expect(parseConfig(bare, 'f', agentConfigSchema, environment)).toMatchObject({
      value: { secret: 'from-environment', nats: { token: 'token-from-environment' } },
    });
    expect(parseConfig(agent, 'f', agentConfigSchema, environment)).toMatchObject({
      value: { secret: 's', nats: { token: 'token' } },
    });
    expect(parseConfig(storage, 'f', storageConfigSchema, environment).kind).toBe('ok');
  });

  test('needs no NATS token where it has a certificate', () => {
    const certified = { ...agent, identity, nats: { servers: nats.servers } };
    expect(parseConfig(certified, 'f', agentConfigSchema, {}).kind).toBe('ok');
  });

  test('may listen off loopback once it is secured, or says what it does without', () => {
    const open = { listen: '0.0.0.0:7011', secret: 'sixteen letters!', identity };
    expect(parseConfig({ ...storage, ...open }, 'f', storageConfigSchema, {}).kind).toBe('ok');
    expect(parseConfig({ ...agent, ...open }, 'f', agentConfigSchema, {}).kind).toBe('ok');
    const key = { auth: { jwtPublicKey: 'key' } };
    const tls = { tls: { certFile: 'c', keyFile: 'k' } };
    const kind = (more: object) =>
      parseConfig({ ...gateway, ...open, ...more }, 'f', gatewayConfigSchema, {}).kind;
    expect(kind({ ...key, ...tls })).toBe('ok');
    expect(kind({ ...key, insecure: ['no-tls'] })).toBe('ok');
    expect(kind({ ...tls, insecure: ['no-auth'] })).toBe('ok');
    expect(kind({ ...key, insecure: ['no-auth'] })).toBe('invalid');
  });
});

describe('an address', () => {
  test.each([
    ['127.0.0.1:80', { host: '127.0.0.1', port: 80 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    ['db.example:65535', { host: 'db.example', port: 65_535 }],
    ['db.example:65536', undefined],
    ['db.example', undefined],
    [':80', undefined],
    ['::1:80', undefined],
  ])('%s is %o', (text, address) => expect(parseAddress(text)).toEqual(address));

  test.each([
    ['localhost', true],
    ['127.9.0.1', true],
    ['::1', true],
    ['0.0.0.0', false],
    ['::', false],
    ['127.evil.example', false],
  ])('on %s is on loopback: %s', (host, loopback) => expect(isLoopback(host)).toBe(loopback));
});
