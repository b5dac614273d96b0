import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { directoryBytes } from '../../../regions/local/data/directory-bytes.ts';
import {
  addressesOf,
  fillIn,
  processesWith,
  runningJaeger,
  withSecured,
  withTargets,
} from '../../../regions/local/jaeger-processes.ts';
import { portsOf } from '../../../regions/local/layout/core/local-ports.ts';
import { type Deployment, deploymentSchema } from '../../../regions/local/layout/local-layout.ts';
import type { ProcessSpec } from '../../../regions/local/layout/local-processes.ts';
import { regionPlans } from '../../../regions/local/layout/region-plans.ts';
import { bringUp } from '../../../regions/local/local-deployment.ts';
import { findJaegerPrograms } from '../../../regions/local/programs/jaeger-programs.ts';
import { Supervisor } from '../../../regions/local/supervisor.ts';
import type { Machine } from '../../../regions/nats/nats-server.ts';
import { freePorts } from '../../free-ports.ts';

const said = {
  jaeger: '{"gitCommit":"","gitVersion":"v2.20.0","buildDate":""}',
  prometheus: 'prometheus, version 2.42.0+ds (branch: debian/sid)',
};

/** A machine with some executables, by path, and what each says of its version. */
function machineWith(
  binaries: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string>> = {},
): Machine {
  return {
    environment: { PATH: '/bin:/opt/x', ...environment },
    isRoot: false,
    isExecutable: (path) => binaries[path] !== undefined,
    read: () => undefined,
    run: async (command) => ({ code: 0, output: binaries[command] ?? '' }),
  };
}

const deploymentAt = (basePort: number): Deployment =>
  deploymentSchema.parse({
    version: 1,
    cluster: 'c',
    secret: 's',
    natsToken: 't',
    regions: ['a1', 'b1', 'c1', 'd1', 'e1', 'f1'],
    basePort,
    nats: null,
  });
const programs = { storage: ['s.ts'], agent: ['a.ts'], gateway: ['g.ts'], endpoint: ['e.ts'] };
const found = { jaeger: '/bin/jaeger', prometheus: '/bin/prometheus' };

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'sx-jaeger-'));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

describe('finding Jaeger and Prometheus', () => {
  test('each is looked for by its variable, then on the PATH', async () => {
    expect(
      await findJaegerPrograms(
        machineWith({ '/opt/x/jaeger': said.jaeger, '/bin/prometheus': said.prometheus }),
      ),
    ).toEqual({ jaeger: '/opt/x/jaeger', prometheus: '/bin/prometheus' });
    expect(
      await findJaegerPrograms(
        machineWith(
          { '/bin/jaeger': said.jaeger, '/mine': said.jaeger, '/bin/prometheus': said.prometheus },
          { JAEGER: '/mine' },
        ),
      ),
    ).toEqual({ jaeger: '/mine', prometheus: '/bin/prometheus' });
  });

  test('without them the three ways to get them are named, and which of the two is missing', async () => {
    const nothing = await findJaegerPrograms(machineWith({}));
    const words = 'error' in nothing ? nothing.error : '';
    for (const word of ['$JAEGER', '$PROMETHEUS', 'the PATH', '$OTEL_EXPORTER_OTLP_ENDPOINT', 'three ways'])
      expect(words).toContain(word);
    const half = await findJaegerPrograms(machineWith({ '/bin/jaeger': said.jaeger }));
    expect('error' in half && half.error).toMatch(
      /^--jaeger needs Jaeger and Prometheus: Prometheus .* is not on/,
    );
  });

  test.each([
    ['Jaeger 1', 'application version: git-commit=6b5, git-version=v1.76.0, build-date=x'],
    ['another program', 'git version 2.39.5'],
    ['one that says nothing', ''],
  ])('%s is not taken for Jaeger 2', async (_, output) => {
    const result = await findJaegerPrograms(
      machineWith({ '/mine': output, '/bin/prometheus': said.prometheus }, { JAEGER: '/mine' }),
    );
    expect('error' in result && result.error).toContain('$JAEGER is /mine, which is not a working Jaeger 2');
  });

  test('a collector that the environment names already is not overruled', async () => {
    const result = await findJaegerPrograms(
      machineWith(
        { '/bin/jaeger': said.jaeger, '/bin/prometheus': said.prometheus },
        { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' },
      ),
    );
    expect('error' in result && result.error).toContain('both say where spans go');
  });

  test('a deployment that cannot have them is refused before anything is made in its directory', async () => {
    const before = { ...process.env };
    process.env.JAEGER = '/nowhere/jaeger';
    delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
    try {
      await expect(
        bringUp(
          { dataDir: join(dataDir, 'new'), jaeger: true },
          { programs, onProgress: () => undefined, timeoutMs: 1_000 },
        ),
      ).rejects.toThrow('$JAEGER is /nowhere/jaeger, which is not a working Jaeger 2');
    } finally {
      process.env = before;
    }
    expect(existsSync(join(dataDir, 'new'))).toBe(false);
  });
});

describe('the processes beside a deployment', () => {
  const all = () => processesWith(found, deploymentAt(7000), dataDir, programs);
  const named = (id: string): ProcessSpec => {
    const spec = all().find((process) => process.id === id);
    if (spec === undefined) throw new Error(`no ${id}`);
    return spec;
  };

  test('there are none without --jaeger, and no process is told of a collector', () => {
    const own = processesWith(undefined, deploymentAt(7000), dataDir, programs);
    expect(own.filter(({ region }) => region === 'telemetry')).toEqual([]);
    expect(own.filter(({ env }) => env?.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined)).toEqual([]);
  });

  test('every process of every region sends its spans to Jaeger, and is scraped by Prometheus', () => {
    const own = all().filter(({ region }) => region !== 'telemetry');
    expect(own).toHaveLength(6 * 8);
    expect(new Set(own.map(({ env }) => env?.OTEL_EXPORTER_OTLP_ENDPOINT))).toEqual(
      new Set(['http://127.0.0.1:7121']),
    );
    const { scrape_configs: jobs } = JSON.parse(named('telemetry/prometheus').config?.content ?? '');
    const targets = Object.fromEntries(
      jobs.map((job: { job_name: string; static_configs: [{ targets: string[] }] }) => [
        job.job_name,
        job.static_configs[0].targets,
      ]),
    );
    expect(targets.span_metrics).toEqual(['127.0.0.1:7123']);
    expect(targets.sextant).toEqual(own.map(({ ports }) => `127.0.0.1:${ports[0]}`));
  });

  test('every gateway is told where Jaeger is, for the links of its console, and without --jaeger nothing', () => {
    const ui = addressesOf(deploymentAt(7000)).ui;
    const urls = (jaegerUrl?: string) =>
      regionPlans(deploymentAt(7000), dataDir, [], jaegerUrl).map(({ gateways }) => gateways[0]?.jaegerUrl);
    expect(urls(ui)).toEqual(Array.from({ length: 6 }, () => 'http://127.0.0.1:7120'));
    expect(urls()).toEqual(Array.from({ length: 6 }, () => undefined));
  });

  test('everything listens on the loopback alone, on ports that nothing else of this deployment or the next one has', () => {
    const ports = all().flatMap((process) => process.ports);
    const regions = Array.from({ length: 7 }, (_, index) => portsOf(7000, index)).flatMap(
      ({ nats, natsRoute, postgres }) => [nats, natsRoute, ...postgres],
    );
    expect(new Set([...ports, ...regions]).size).toBe(ports.length + regions.length);
    expect(Math.max(...ports, ...regions)).toBeLessThan(7200);
    const addresses = JSON.stringify([named('telemetry/jaeger').config, named('telemetry/prometheus').args]);
    expect(addresses.match(/\d+\.\d+\.\d+\.\d+/g)?.filter((address) => address !== '127.0.0.1')).toEqual([]);
    expect(addresses).not.toContain('${env');
  });

  test('their configuration is the one that is checked in, and Jaeger asks the window instead of Prometheus', () => {
    const config = JSON.parse(named('telemetry/jaeger').config?.content ?? '');
    const template = parse(readFileSync('telemetry/jaeger/jaeger.yaml', 'utf8'));
    expect(config.connectors).toEqual(template.connectors);
    expect(config.service).toEqual(template.service);
    expect(config.extensions.jaeger_storage.metric_backends.span_metrics.prometheus.endpoint).toBe(
      'http://127.0.0.1:7125',
    );
    expect(named('telemetry/window').ports).toEqual([7125]);
    expect(config.extensions.jaeger_storage.backends.traces.badger.directories.keys).toBe(
      join(dataDir, 'telemetry/jaeger/data/keys'),
    );
  });

  test('one that was started with Jaeger says where it is', () => {
    const deployment = deploymentAt(7000);
    expect(runningJaeger(deployment, { processes: [{ id: 'telemetry/jaeger' }] })?.ui).toBe(
      'http://127.0.0.1:7120',
    );
    expect(runningJaeger(deployment, { processes: [{ id: 'a1/gateway' }] })).toBeUndefined();
    expect(runningJaeger(deployment, undefined)).toBeUndefined();
  });
});

describe('the templates', () => {
  test('a value takes the place of its default, and what has none keeps it', () => {
    const variable = (name: string, fallback: string) => `$\{env:${name}:-${fallback}}`;
    const template = `a: "${variable('X', '1.2.3.4:5')}" b: ${variable('Y', './d')}/k`;
    expect(fillIn(template, { X: 'here' })).toBe('a: "here" b: ./d/k');
  });

  test('a job without targets scrapes nothing', () => {
    const template = 'scrape_configs: [{job_name: a, static_configs: [{targets: [x]}]}, {job_name: b}]';
    expect(withTargets(template, { b: ['y'] })).toEqual({
      scrape_configs: [
        { job_name: 'a', static_configs: [{ targets: [] }] },
        { job_name: 'b', static_configs: [{ targets: ['y'] }] },
      ],
    });
  });
});

describe('an encrypted deployment', () => {
  test('is scraped with a certificate where processes ask for one, under the name of the same job', () => {
    const plain = withTargets('scrape_configs: [{job_name: sextant}]', { sextant: ['gateway'] });
    const files = { caFile: 'ca', certFile: 'cert', keyFile: 'key' };
    expect(withSecured(plain, [], files)).toBe(plain);
    expect(withSecured(plain, ['node'], files).scrape_configs).toEqual([
      { job_name: 'sextant', static_configs: [{ targets: ['gateway'] }] },
      expect.objectContaining({
        scheme: 'https',
        tls_config: { ca_file: 'ca', cert_file: 'cert', key_file: 'key' },
        relabel_configs: [{ target_label: 'job', replacement: 'sextant' }],
        static_configs: [{ targets: ['node'] }],
      }),
    ]);
  });
});

describe('data that has a limit', () => {
  test('a directory is as large as the files below it, and a hole in one takes no space', () => {
    expect(directoryBytes(join(dataDir, 'none'))).toBe(0);
    mkdirSync(join(dataDir, 'a/b'), { recursive: true });
    writeFileSync(join(dataDir, 'a/b/c'), Buffer.alloc(100_000, 1));
    const bytes = directoryBytes(dataDir);
    expect(bytes).toBeGreaterThanOrEqual(100_000);
    expect(bytes).toBeLessThan(200_000);
  });

  test('a process that passes its limit is started again empty, and another one is left alone', async () => {
    const told: string[] = [];
    const [metricsPort = 0] = await freePorts(1);
    const spec = (name: string, dataBytesMax?: number): ProcessSpec => ({
      id: `telemetry/${name}`,
      region: 'telemetry',
      role: 'jaeger',
      dir: join(dataDir, name),
      dataDir: join(dataDir, name, 'data'),
      command: process.execPath,
      args: ['-e', 'setInterval(() => {}, 1000)'],
      ports: [],
      ...(dataBytesMax !== undefined && { dataBytesMax }),
    });
    const supervisor = new Supervisor({
      processes: [spec('large', 50_000), spec('free')],
      proxies: undefined,
      controlSocket: join(dataDir, 'control.sock'),
      onProgress: (line) => told.push(line),
      metricsPort,
      dataLookMs: 50,
    });
    try {
      await supervisor.start(5_000);
      for (const name of ['large', 'free']) {
        mkdirSync(join(dataDir, name, 'data'), { recursive: true });
        writeFileSync(join(dataDir, name, 'data/spans'), Buffer.alloc(100_000, 1));
      }
      await expect.poll(() => existsSync(join(dataDir, 'large/data/spans')), { timeout: 5_000 }).toBe(false);
      await expect
        .poll(() => supervisor.status.processes.find(({ id }) => id === 'telemetry/large')?.state)
        .toBe('running');
      expect(existsSync(join(dataDir, 'free/data/spans'))).toBe(true);
      expect(told.filter((line) => line.startsWith('telemetry/large: its data takes'))).toHaveLength(1);
    } finally {
      await supervisor.stop();
    }
  });
});
