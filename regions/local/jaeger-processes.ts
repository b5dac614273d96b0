/**
 * What `--jaeger` adds to a local deployment: Jaeger with its storage, Prometheus for span metrics and for the metrics of all
 * processes, and between the two the window that keeps the Monitor tab current. They belong to no region. Their configuration
 * is that of `telemetry/jaeger/`, with this deployment's ports.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';
import type { IdentityFiles } from '../../storage/index.ts';
import { type Deployment, telemetryGroup } from './layout/local-layout.ts';
import { type ProcessSpec, type Programs, sextantProcesses } from './layout/local-processes.ts';
import type { JaegerPrograms } from './programs/jaeger-programs.ts';
import { identityFilesOf, operatorOf } from './secure/local-certificates.ts';

const host = '127.0.0.1';
/** One past the last possible region, in the block whose NATS ports the witness has. */
const portBlock = 6 * 20;
const mebibyte = 1024 * 1024;

/** Where people and processes find it. */
export type JaegerAddresses = {
  readonly ui: string;
  readonly otlp: string;
  readonly prometheus: string;
};

function portsOf(basePort: number) {
  const first = basePort + portBlock;
  return {
    ui: first,
    otlp: first + 1,
    grpc: first + 2,
    spanMetrics: first + 3,
    prometheus: first + 4,
    window: first + 5,
  };
}

/** Where it is, or would be. */
export function addressesOf({ basePort }: Deployment): JaegerAddresses {
  const { ui, otlp, prometheus } = portsOf(basePort);
  return {
    ui: `http://${host}:${ui}`,
    otlp: `http://${host}:${otlp}`,
    prometheus: `http://${host}:${prometheus}`,
  };
}

/** Where the deployment's own Jaeger is; undefined when it was started without one. */
export function runningJaeger(
  deployment: Deployment,
  supervisor: { readonly processes: readonly { readonly id: string }[] } | undefined,
): JaegerAddresses | undefined {
  const runs = supervisor?.processes.some(({ id }) => id === `${telemetryGroup}/jaeger`) === true;
  return runs ? addressesOf(deployment) : undefined;
}

const fileOf = (name: string): string =>
  fileURLToPath(new URL(`../../telemetry/jaeger/${name}`, import.meta.url));

/** `${env:NAME:-default}` as Jaeger reads it, with `values` instead of the operator's environment. */
export function fillIn(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(
    /\$\{env:(\w+):-([^}]*)\}/g,
    (_, name: string, fallback: string) => values[name] ?? fallback,
  );
}

const prometheusSchema = z.looseObject({
  scrape_configs: z.array(z.looseObject({ job_name: z.string() })),
});

type PrometheusConfig = z.output<typeof prometheusSchema>;

/** The Prometheus configuration of the template, with the targets of each job replaced. */
export function withTargets(
  template: string,
  targets: Readonly<Record<string, readonly string[]>>,
): PrometheusConfig {
  const config = prometheusSchema.parse(parse(template));
  return {
    ...config,
    scrape_configs: config.scrape_configs.map((job) => ({
      ...job,
      static_configs: [{ targets: targets[job.job_name] ?? [] }],
    })),
  };
}

/** The same with one job more, under the name of the other, for processes that ask for a certificate. */
export function withSecured(
  config: PrometheusConfig,
  targets: readonly string[],
  { caFile, certFile, keyFile }: IdentityFiles,
): PrometheusConfig {
  if (targets.length === 0) return config;
  const job = {
    job_name: 'sextant_secured',
    scheme: 'https',
    tls_config: { ca_file: caFile, cert_file: certFile, key_file: keyFile },
    relabel_configs: [{ target_label: 'job', replacement: 'sextant' }],
    static_configs: [{ targets }],
  };
  return { ...config, scrape_configs: [...config.scrape_configs, job] };
}

/** Sextant's processes, and with `jaeger` those that run beside them and take what they tell. */
export function processesWith(
  jaeger: JaegerPrograms | undefined,
  deployment: Deployment,
  dataDir: string,
  programs: Programs,
): readonly ProcessSpec[] {
  if (jaeger === undefined) return sextantProcesses(deployment, dataDir, programs);
  const own = sextantProcesses(deployment, dataDir, programs, addressesOf(deployment).otlp);
  return [...jaegerProcesses(deployment, dataDir, jaeger, own), ...own];
}

/** The three processes. `scraped` are the deployment's others, each serving /metrics at its first port. */
function jaegerProcesses(
  deployment: Deployment,
  dataDir: string,
  programs: JaegerPrograms,
  scraped: readonly ProcessSpec[],
): readonly ProcessSpec[] {
  const ports = portsOf(deployment.basePort);
  const at = (port: number) => `${host}:${port}`;
  const dirOf = (name: string) => resolve(dataDir, telemetryGroup, name);
  const dataOf = (name: string) => join(dirOf(name), 'data');
  const configOf = (name: string) => join(dirOf(name), 'config.json');
  const spec = (
    role: 'jaeger' | 'prometheus' | 'window',
    rest: Omit<ProcessSpec, 'id' | 'region' | 'role' | 'dir' | 'dataDir'>,
  ) => ({
    id: `${telemetryGroup}/${role}`,
    region: telemetryGroup,
    role,
    dir: dirOf(role),
    dataDir: dataOf(role),
    ...rest,
  });
  const jaegerConfig = fillIn(readFileSync(fileOf('jaeger.yaml'), 'utf8'), {
    SEXTANT_JAEGER_UI: at(ports.ui),
    SEXTANT_JAEGER_GRPC: at(ports.grpc),
    SEXTANT_JAEGER_OTLP: at(ports.otlp),
    SEXTANT_JAEGER_SPAN_METRICS: at(ports.spanMetrics),
    SEXTANT_JAEGER_METRICS: `http://${at(ports.window)}`,
    SEXTANT_JAEGER_DATA: dataOf('jaeger'),
  });
  const isSecured = deployment.secure === true;
  const addressesIn = (some: readonly ProcessSpec[]) => some.map((process) => at(process.ports[0] ?? 0));
  const prometheusConfig = withSecured(
    withTargets(readFileSync(fileOf('prometheus.yml'), 'utf8'), {
      span_metrics: [at(ports.spanMetrics)],
      sextant: isSecured ? [] : addressesIn(scraped),
    }),
    isSecured ? addressesIn(scraped) : [],
    identityFilesOf(dataDir, operatorOf(deployment.regions[0] ?? '')),
  );
  return [
    spec('prometheus', {
      command: programs.prometheus,
      args: [
        `--config.file=${configOf('prometheus')}`,
        `--storage.tsdb.path=${dataOf('prometheus')}`,
        '--storage.tsdb.retention.time=7d',
        '--storage.tsdb.retention.size=512MB',
        `--web.listen-address=${at(ports.prometheus)}`,
        '--log.level=warn',
      ],
      config: { file: configOf('prometheus'), content: JSON.stringify(prometheusConfig, null, 2) },
      ports: [ports.prometheus],
      readyUrl: `http://${at(ports.prometheus)}/-/ready`,
    }),
    spec('window', {
      command: process.execPath,
      args: [
        fileOf('main.ts'),
        '--listen',
        at(ports.window),
        '--prometheus',
        `http://${at(ports.prometheus)}`,
      ],
      ports: [ports.window],
      readyUrl: `http://${at(ports.window)}/healthz`,
    }),
    spec('jaeger', {
      command: programs.jaeger,
      args: ['--config', configOf('jaeger')],
      config: { file: configOf('jaeger'), content: JSON.stringify(parse(jaegerConfig), null, 2) },
      ports: [ports.ui, ports.otlp, ports.grpc, ports.spanMetrics],
      readyUrl: `http://${at(ports.ui)}/`,
      env: { GOMEMLIMIT: '1GiB' },
      // Badger has a limit in time and none in space, and a full disk would stop the storage nodes beside it.
      dataBytesMax: 2_048 * mebibyte,
    }),
  ];
}
