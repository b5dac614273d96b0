/** Telemetry as a process starts it, on a collector of the tests; ended after each test. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, vi } from 'vitest';
import {
  attributes,
  newSpanId,
  newTraceId,
  type SpanFact,
  startTelemetry,
  type Telemetry,
  type TelemetryOptions,
} from '../../telemetry/index.ts';
import { type OtlpReceiver, startOtlpReceiver } from './otlp-receiver.ts';

export const patienceMs = 15_000;
// Most tests start a thread that loads the SDK; a busy machine may take seconds for that.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export async function receiver(): Promise<OtlpReceiver> {
  const started = await startOtlpReceiver();
  cleanups.push(() => started.close());
  return started;
}

export function start(env: NonNullable<TelemetryOptions['env']>): {
  telemetry: Telemetry;
  warnings: string[];
} {
  const warnings: string[] = [];
  const log = {
    warn: (first: unknown, message?: string) => void warnings.push(message ?? String(first)),
  };
  const telemetry = startTelemetry({
    serviceName: 'sextant-us-east-1',
    region: 'us-east-1',
    instanceId: 'us-east-1/g1',
    role: 'gateway',
    attributes: { 'cloud.availability_zone': 'us-east-1a' },
    env,
    log,
  });
  cleanups.push(() => telemetry.shutdown());
  return { telemetry, warnings };
}

// An odd microsecond count shows any rounding through milliseconds or floating point.
export const startUs = 1_795_000_000_123_457;
export function fact(over: Partial<SpanFact> = {}): SpanFact {
  return {
    name: 'commit',
    kind: 'internal',
    context: { traceId: newTraceId(), spanId: newSpanId(), sampled: true },
    parentSpanId: null,
    startUs,
    endUs: startUs + 1_000_001,
    attributes: { [attributes.lsn]: 4711 },
    ...over,
  };
}

export async function run(script: string, env: Record<string, string>) {
  const child = spawn(
    process.execPath,
    ['--unhandled-rejections=strict', '--input-type=module', '-e', script],
    {
      env: { PATH: process.env.PATH ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  cleanups.push(async () => void child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data) => (stdout += data));
  child.stderr.on('data', (data) => (stderr += data));
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}
