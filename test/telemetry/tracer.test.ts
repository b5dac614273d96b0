import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { bufferedSpansMax, WorkerLink } from '../../telemetry/export/worker-link.ts';
import {
  attributes,
  type CommitRow,
  childContext,
  newSpanId,
  newTraceId,
  type SpanFact,
  startTelemetry,
  type Telemetry,
  type TelemetryOptions,
} from '../../telemetry/index.ts';
import { RateLimit } from '../../telemetry/log/rate-limit.ts';
import { mergeResourceAttributes, tracingSettings } from '../../telemetry/trace/settings.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from './otlp-receiver.ts';

const patienceMs = 15_000;
// Most tests start a thread that loads the SDK; a busy machine may take seconds for that.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function receiver(): Promise<OtlpReceiver> {
  const started = await startOtlpReceiver();
  cleanups.push(() => started.close());
  return started;
}

function start(env: NonNullable<TelemetryOptions['env']>): { telemetry: Telemetry; warnings: string[] } {
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
const startUs = 1_795_000_000_123_457;
function fact(over: Partial<SpanFact> = {}): SpanFact {
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

describe('telemetry with a collector', () => {
  it('exports facts as spans with the same ids, times, parents and attributes (T1)', async () => {
    const collector = await receiver();
    const { telemetry, warnings } = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=blue',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=staging,service.name=other,this is malformed',
      OTEL_SERVICE_NAME: 'other',
      OTEL_TRACES_SAMPLER: 'always_off',
      OTEL_LOG_LEVEL: 'debug',
    });
    const root = fact({
      name: 'INSERT',
      kind: 'server',
      attributes: { text: 'ü', whole: 7, real: 0.5, flag: true, list: ['a', 'b'] },
      error: { code: 'SQLITE_CONSTRAINT', message: 'UNIQUE failed' },
    });
    const child = fact({ context: childContext(root.context), parentSpanId: root.context.spanId });
    const remote = fact({
      kind: 'consumer',
      parentSpanId: newSpanId(),
      name: 'replicate us-east-1→eu-west-1',
    });
    telemetry.record(root);
    telemetry.recordMany([child, remote, fact({ context: { ...root.context, sampled: false } })]);
    const received = await collector.waitFor((spans) => spans.length >= 3, patienceMs);

    expect(received).toHaveLength(3);
    for (const recorded of [root, child, remote]) {
      const span = received.find(({ spanId }) => spanId === recorded.context.spanId);
      expect(span).toMatchObject({
        service: 'sextant-us-east-1',
        name: recorded.name,
        traceId: recorded.context.traceId,
        parentSpanId: recorded.parentSpanId,
        kind: recorded.kind,
        startUs: recorded.startUs,
        endUs: recorded.endUs,
        error: recorded.error?.message ?? null,
      });
    }
    const [first] = received;
    expect(first?.attributes).toEqual({
      text: 'ü',
      whole: 7,
      real: 0.5,
      flag: true,
      list: { values: [{ stringValue: 'a' }, { stringValue: 'b' }] },
      'error.type': 'SQLITE_CONSTRAINT',
    });
    expect(first?.resource).toMatchObject({
      'service.name': 'sextant-us-east-1',
      'service.namespace': 'sextant',
      'service.instance.id': 'us-east-1/g1',
      'cloud.region': 'us-east-1',
      'cloud.availability_zone': 'us-east-1a',
      'sextant.role': 'gateway',
      'deployment.environment.name': 'staging',
    });
    await telemetry.flush();
    expect([telemetry.exportedSpans, telemetry.droppedSpans]).toEqual([3, 0]);
    expect(collector.requests[0]?.headers).toMatchObject({
      'x-tenant': 'blue',
      'content-type': 'application/json',
    });
    // Nothing but traces: the SDK's own defaults would have started exporters of metrics and logs.
    await telemetry.shutdown();
    expect(new Set(collector.requests.map(({ path }) => path))).toEqual(new Set(['/v1/traces']));
    expect(warnings).toEqual([]);
  });

  it('writes rows as the SDK writes the same spans (T7)', async () => {
    const collector = await receiver();
    const { telemetry, warnings } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
    const context = { traceId: newTraceId(), spanId: newSpanId(), sampled: true };
    const parentSpanId = newSpanId();
    const error = { code: 'SQLITE_CONSTRAINT', message: 'UNIQUE "failed": é\n' };
    const server = {
      context,
      parentSpanId,
      startUs,
      endUs: startUs + 7,
      name: 'BATCH',
      namespace: 'demo',
      verb: 'BATCH',
      text: 'INSERT INTO "t" VALUES (?) -- ü\\',
      batchSize: 3,
      consistency: 'session',
      error,
    };
    const commit = {
      traceId: context.traceId,
      spanId: newSpanId(),
      parentSpanId: context.spanId,
      lsn: 4_711,
      epoch: 3,
      redoBytes: 26,
      startUs: startUs + 1,
      endUs: startUs + 5,
      durable: true,
    };
    const times = { startUs, endUs: startUs + 3 };
    const append = { node: 'n1', az: 'us-east-1a', ...times, quorum: true, acked: true, awaited: true };
    const silent = { ...append, node: 'n6', quorum: false, acked: false, awaited: false };
    telemetry.recordServer(server);
    telemetry.recordServer({
      ...server,
      parentSpanId: null,
      batchSize: null,
      consistency: null,
      error: null,
    });
    telemetry.recordCommit(commit, [append, silent]);
    telemetry.recordCommit({ ...commit, spanId: newSpanId(), durable: false }, []);
    await telemetry.flush();
    const rows = await collector.waitFor((spans) => spans.length >= 6, patienceMs);
    const [rowServer, rowRoot, rowCommit, rowAppend, rowSilent, rowUnknown] = rows;

    const attributesOfServer = {
      'db.system.name': 'sqlite',
      'db.namespace': 'demo',
      'db.operation.name': 'BATCH',
      'db.query.text': server.text,
    };
    const nodeOf = (node: string) => ({ 'sextant.node': node, 'cloud.availability_zone': 'us-east-1a' });
    const same: readonly SpanFact[] = [
      fact({
        name: 'BATCH',
        kind: 'server',
        context,
        parentSpanId,
        endUs: server.endUs,
        attributes: {
          ...attributesOfServer,
          'db.operation.batch.size': 3,
          'sextant.consistency': 'session',
          'db.response.status_code': error.code,
        },
        error,
      }),
      fact({ name: 'BATCH', kind: 'server', context, endUs: server.endUs, attributes: attributesOfServer }),
      fact({
        kind: 'producer',
        context: { ...context, spanId: commit.spanId },
        parentSpanId: context.spanId,
        startUs: commit.startUs,
        endUs: commit.endUs,
        attributes: {
          'sextant.lsn': 4_711,
          'sextant.epoch': 3,
          'sextant.branch': 'main',
          'sextant.redo_bytes': 26,
        },
      }),
      fact({
        name: 'append n1',
        kind: 'client',
        context: { ...context, spanId: rowAppend?.spanId ?? '' },
        parentSpanId: commit.spanId,
        endUs: append.endUs,
        attributes: { ...nodeOf('n1'), 'sextant.quorum': true },
      }),
      fact({
        name: 'append n6',
        kind: 'consumer',
        context: { ...context, spanId: rowSilent?.spanId ?? '' },
        parentSpanId: commit.spanId,
        endUs: append.endUs,
        attributes: nodeOf('n6'),
        error: {
          code: 'SEXTANT_NOT_ACKNOWLEDGED',
          message: 'n6 had not confirmed it when its span was made',
        },
      }),
    ];
    telemetry.recordMany(same);
    const all = await collector.waitFor((spans) => spans.length >= 11, patienceMs);
    expect([rowServer, rowRoot, rowCommit, rowAppend, rowSilent]).toEqual(all.slice(6));
    expect(rowUnknown).toMatchObject({
      name: 'commit',
      error: 'the reign ended before four storage nodes had confirmed the commit',
      attributes: { 'error.type': 'SEXTANT_COMMIT_UNKNOWN' },
    });
    expect(new Set(all.map(({ spanId }) => spanId)).size).toBe(5);
    await telemetry.flush();
    expect([telemetry.exportedSpans, telemetry.droppedSpans, warnings]).toEqual([11, 0, []]);
  });

  it('bounds its rows, and counts in spans what does not fit (T3)', async () => {
    const collector = await receiver();
    collector.behave({ kind: 'delay', delayMs: 60_000 });
    const { telemetry } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
    const append = {
      node: 'n1',
      az: 'a',
      startUs,
      endUs: startUs,
      quorum: false,
      acked: true,
      awaited: true,
    };
    const appends = Array.from({ length: 6 }, () => append);
    const commit = {
      traceId: newTraceId(),
      spanId: newSpanId(),
      parentSpanId: null,
      lsn: 1,
      epoch: 1,
      redoBytes: 1,
      startUs,
      endUs: startUs,
      durable: true,
    };
    const commits = Math.ceil(bufferedSpansMax.rows / 7) + 100;
    for (let at = 0; at < commits; at++) telemetry.recordCommit(commit, appends);
    expect(telemetry.droppedSpans).toBeGreaterThanOrEqual(99 * 7);
    expect(telemetry.droppedSpans % 7).toBe(0);
    await telemetry.shutdown();
    expect(telemetry.exportedSpans + telemetry.droppedSpans).toBe(commits * 7);
  });

  it('exports an end before its start as no duration, with the skew told', async () => {
    const collector = await receiver();
    const { telemetry } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
    telemetry.record(fact({ endUs: startUs - 2500 }));
    const [span] = await collector.waitFor((spans) => spans.length === 1, patienceMs);
    expect(span).toMatchObject({ startUs, endUs: startUs, attributes: { [attributes.clockSkewMs]: -2.5 } });
  });

  it('drops a malformed fact, says so, and keeps the rest', async () => {
    const collector = await receiver();
    const { telemetry, warnings } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
    const context = { traceId: 'nonsense', spanId: newSpanId(), sampled: true };
    telemetry.recordMany([fact({ context, name: 'bad ids' }), fact({ startUs: Number.NaN }), fact()]);
    await telemetry.flush(patienceMs);
    expect([telemetry.exportedSpans, telemetry.droppedSpans]).toEqual([1, 2]);
    expect(warnings).toEqual(['a malformed span fact was dropped: bad ids']);
  });

  it('sends what is still buffered when it shuts down, and counts what comes later', async () => {
    const collector = await receiver();
    const { telemetry } = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_BSP_SCHEDULE_DELAY: '60000',
    });
    telemetry.record(fact());
    await telemetry.flush(patienceMs);
    telemetry.recordMany(Array.from({ length: 3000 }, () => fact()));
    await telemetry.shutdown();
    expect(collector.spans).toHaveLength(3001);
    telemetry.record(fact());
    expect(telemetry.droppedSpans).toBe(1);
  });

  it('bounds its buffer, counts the overflow and warns once (T3)', async () => {
    const collector = await receiver();
    const { telemetry, warnings } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
    const one = fact();
    for (let index = 0; index < bufferedSpansMax.facts + 500; index++) telemetry.record(one);
    expect(telemetry.droppedSpans).toBe(500);
    expect(warnings).toEqual(['the span buffer is full']);
    await telemetry.flush(patienceMs);
    expect(telemetry.exportedSpans + telemetry.droppedSpans).toBe(bufferedSpansMax.facts + 500);
  });

  it('begins traces as the sampler says, and falls back loudly when the sampler is unknown', async () => {
    const collector = await receiver();
    const quiet = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_TRACES_SAMPLER: 'always_off',
    });
    expect(quiet.telemetry.begin(null)?.sampled).toBe(false);
    const unknown = start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_TRACES_SAMPLER: 'mostly' });
    expect(unknown.telemetry.begin(null)?.sampled).toBe(true);
    expect(unknown.warnings[0]).toMatch(/^OTEL_TRACES_SAMPLER is "mostly".*using parentbased_always_on$/);
  });
});

/** A port that nothing listens on. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe('telemetry with a collector in trouble (T4)', () => {
  async function shutdownMs(telemetry: Telemetry): Promise<number> {
    const before = performance.now();
    await telemetry.shutdown();
    return performance.now() - before;
  }

  it('shuts down within two seconds when nobody listens', async () => {
    const { telemetry } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await closedPort()}` });
    telemetry.recordMany([fact(), fact()]);
    await telemetry.flush(200);
    expect(await shutdownMs(telemetry)).toBeLessThan(2000);
    expect([telemetry.exportedSpans, telemetry.droppedSpans]).toEqual([0, 2]);
  });

  it('shuts down within two seconds when the collector answers 503', async () => {
    const collector = await receiver();
    collector.behave({ kind: 'status', status: 503 });
    const { telemetry } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
    telemetry.record(fact());
    await collector.waitFor(() => collector.requests.length > 0, patienceMs);
    expect(await shutdownMs(telemetry)).toBeLessThan(2000);
    expect(telemetry.droppedSpans).toBe(1);
  });

  it('shuts down within two seconds when the collector does not answer', async () => {
    const collector = await receiver();
    collector.behave({ kind: 'delay', delayMs: 60_000 });
    const { telemetry } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
    telemetry.record(fact());
    await collector.waitFor((spans) => spans.length === 1, patienceMs);
    expect(await shutdownMs(telemetry)).toBeLessThan(2000);
    expect(telemetry.droppedSpans).toBe(1);
  });

  it('gives every span a fate, warns once however often it fails, and recovers', async () => {
    const collector = await receiver();
    collector.behave({ kind: 'status', status: 400 });
    const { telemetry, warnings } = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_BSP_MAX_QUEUE_SIZE: '100',
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '50',
    });
    for (let round = 0; round < 5; round++) {
      telemetry.recordMany([fact(), fact()]);
      await telemetry.flush(patienceMs);
    }
    expect([telemetry.exportedSpans, telemetry.droppedSpans]).toEqual([0, 10]);
    expect(warnings).toEqual([expect.stringMatching(/^the collector took none of 2 spans: .*\(400\)$/)]);
    // The worker's queue is bounded as OTEL_BSP_MAX_QUEUE_SIZE says: 100 of a message of 256 stay.
    telemetry.recordMany(Array.from({ length: 256 }, () => fact()));
    await telemetry.flush(patienceMs);
    expect(telemetry.droppedSpans).toBe(266);

    collector.behave({ kind: 'accept' });
    telemetry.record(fact());
    await telemetry.flush(patienceMs);
    expect([telemetry.exportedSpans, telemetry.droppedSpans]).toEqual([1, 266]);
  });

  it.each([
    ['answers 503', { kind: 'status', status: 503 }],
    ['is silent', { kind: 'delay', delayMs: 60_000 }],
  ] as const)(
    'keeps its spans while the collector %s, and delivers them within ten seconds of its return, with nothing new to send',
    async (_, behaviour) => {
      const collector = await receiver();
      const { telemetry } = start({
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
        OTEL_EXPORTER_OTLP_TIMEOUT: '5000',
        OTEL_BSP_SCHEDULE_DELAY: '10',
      });
      telemetry.record(fact());
      await telemetry.flush(patienceMs);
      collector.behave(behaviour);
      const append = {
        node: 'n1',
        az: 'a',
        startUs,
        endUs: startUs,
        quorum: true,
        acked: true,
        awaited: true,
      };
      const commit = (): CommitRow => ({
        traceId: newTraceId(),
        spanId: newSpanId(),
        parentSpanId: null,
        lsn: 1,
        epoch: 1,
        redoBytes: 1,
        startUs,
        endUs: startUs,
        durable: true,
      });
      // Far more requests than a transport takes at once.
      const recorded: string[] = [];
      for (let turn = 0; turn < 50; turn++) {
        const one = commit();
        recorded.push(one.traceId);
        telemetry.recordCommit(one, [append]);
        telemetry.record(fact({ context: { traceId: one.traceId, spanId: newSpanId(), sampled: true } }));
        await delay(120);
      }
      expect([telemetry.exportedSpans, telemetry.droppedSpans]).toEqual([1, 0]);
      collector.behave({ kind: 'accept' });
      // What it was sent and did not answer it may have, too: only an answer counts.
      await vi.waitFor(() => expect(telemetry.exportedSpans).toBe(151), { timeout: 10_000, interval: 50 });
      expect(new Set(collector.spans.map(({ spanId }) => spanId)).size).toBe(151);
      expect(telemetry.droppedSpans).toBe(0);
    },
  );

  it('delivers to a collector that was dead and is started again, and gives the oldest spans up when they are too many (T3)', async () => {
    const first = await startOtlpReceiver();
    await first.close();
    const { telemetry, warnings } = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: first.endpoint,
      OTEL_BSP_SCHEDULE_DELAY: '10',
      OTEL_BSP_MAX_QUEUE_SIZE: '100',
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '10',
    });
    for (let turn = 0; turn < 30; turn++) {
      telemetry.recordMany(Array.from({ length: 10 }, (_, at) => fact({ attributes: { turn, at } })));
      await delay(120);
    }
    const again = await startOtlpReceiver(Number(new URL(first.endpoint).port));
    cleanups.push(() => again.close());
    const last = (spans: readonly ReceivedSpan[]) =>
      spans.some(({ attributes: { turn, at } }) => turn === 29 && at === 9);
    await again.waitFor(last, 10_000);
    await telemetry.flush(patienceMs);
    expect(telemetry.exportedSpans).toBeGreaterThanOrEqual(90);
    expect(telemetry.exportedSpans + telemetry.droppedSpans).toBe(300);
    expect(again.spans.length).toBe(telemetry.exportedSpans);
    expect(warnings.length).toBe(1);
  });

  it('counts what a worker held that died, says so, and still shuts down', async () => {
    const warnings: string[] = [];
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const link = new WorkerLink({
      // Without its settings the worker throws as it starts.
      settings: JSON.parse('{}'),
      env: {},
      warn: (message) => {
        warnings.push(message);
        resolve();
      },
    });
    link.push(fact());
    await link.flush(patienceMs);
    await ended;
    link.push(fact());
    await link.shutdown();
    expect(link.droppedSpans).toBe(2);
    expect(warnings[0]).toMatch(/^the telemetry worker ended and starts again in a minute: /);
  });

  it('lets a process without a collector end by itself, without noise on standard error', async () => {
    const script = `
      const { startTelemetry, newTraceId, newSpanId } = await import(${JSON.stringify(new URL('../../telemetry/index.ts', import.meta.url).href)});
      const t = startTelemetry({ serviceName: 'sextant-r', region: 'r', instanceId: 'r/g1', role: 'gateway' });
      t.record({ name: 'commit', kind: 'internal', context: { traceId: newTraceId(), spanId: newSpanId(), sampled: true },
        parentSpanId: null, startUs: 1795000000000000, endUs: 1795000000000001, attributes: {} });
      await t.flush(1500);
      await t.shutdown();
      process.exitCode = t.droppedSpans === 1 ? 0 : 3;`;
    const result = await run(script, {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await closedPort()}`,
    });
    expect(result).toMatchObject({ code: 0, stderr: '' });
    const lines = result.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toEqual([expect.objectContaining({ level: 'warn', component: 'telemetry' })]);
  });
});

async function run(script: string, env: Record<string, string>) {
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

describe('telemetry without a collector', () => {
  it('loads no OpenTelemetry package, starts no thread and writes nothing', async () => {
    const script = `
      import { registerHooks } from 'node:module';
      const loaded = [];
      registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
      const { startTelemetry } = await import(${JSON.stringify(new URL('../../telemetry/index.ts', import.meta.url).href)});
      const t = startTelemetry({ serviceName: 'sextant-r', region: 'r', instanceId: 'r/g1', role: 'gateway' });
      t.record({});
      await t.flush();
      await t.shutdown();
      const wrong = loaded.filter((url) => /@opentelemetry|otel-worker/.test(url));
      const resources = process.getActiveResourcesInfo().filter((name) => /Worker|MessagePort/.test(name));
      const seen = loaded.some((url) => url.endsWith('/telemetry/tracer.ts'));
      process.exitCode = !t.enabled && seen && wrong.length === 0 && resources.length === 0 ? 0 : 3;`;
    expect(await run(script, {})).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it.each([
    [{}],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_SDK_DISABLED: 'TRUE' }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_TRACES_EXPORTER: 'none' }],
  ])('is off in silence with %o', (env) => {
    const { telemetry, warnings } = start(env);
    expect([telemetry.enabled, warnings]).toEqual([false, []]);
    expect(telemetry.begin(null)).toBeNull();
    const { context } = fact();
    expect(telemetry.begin(context)).toBe(context);
  });

  it('is off with a warning, which does not repeat the value, when the endpoint is no URL', () => {
    const { telemetry, warnings } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: 'hunter2@collector:4318' });
    expect(telemetry.enabled).toBe(false);
    expect(warnings).toEqual(['OTEL_EXPORTER_OTLP_ENDPOINT is not an http or https URL; traces are off']);
  });
});

describe('settings', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };

  it('send a span within half a second by default, and follow OTEL_BSP_*', () => {
    expect(tracingSettings(endpoint)).toMatchObject({
      kind: 'on',
      batch: { scheduleDelayMs: 300 },
      warnings: [],
    });
    const tuned = {
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_BSP_MAX_QUEUE_SIZE: '10',
      OTEL_BSP_EXPORT_TIMEOUT: '900',
    };
    expect(tracingSettings({ ...endpoint, ...tuned })).toEqual({
      kind: 'on',
      batch: { scheduleDelayMs: 50, exportBatchMax: 10, queueMax: 10, exportTimeoutMs: 900 },
      warnings: [],
    });
  });

  it.each([
    [
      { OTEL_BSP_MAX_QUEUE_SIZE: 'many' },
      'OTEL_BSP_MAX_QUEUE_SIZE must be a whole number from 1; using 65536',
    ],
    [
      { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
      'OTEL_EXPORTER_OTLP_PROTOCOL is not followed: spans of requests and commits leave as http/protobuf, all others as http/json',
    ],
    [{ OTEL_TRACES_EXPORTER: 'zipkin' }, 'OTEL_TRACES_EXPORTER: only otlp and none are supported'],
  ])('warn about %o', (env, warning) => {
    expect(tracingSettings({ ...endpoint, ...env })).toMatchObject({ kind: 'on', warnings: [warning] });
  });

  it('merge resource attributes: user over defaults, identity over all, malformed entries alone are lost', () => {
    const merged = mergeResourceAttributes(
      'a=user,b=x%2Cy,=z,c,d=1=2,e=%ZZ',
      { a: 'default', f: '=,' },
      { b: 'mine' },
    );
    expect(merged).toBe('a=user,f=%3D%2C,b=mine');
  });

  it('limit the rate of warnings and count those held back', () => {
    let now = 0;
    const limit = new RateLimit(60_000, () => now);
    expect(limit.pass()).toEqual({ suppressed: 0 });
    expect([limit.pass(), limit.pass()]).toEqual([null, null]);
    now = 59_999;
    expect(limit.pass()).toBeNull();
    now = 60_000;
    expect(limit.pass()).toEqual({ suppressed: 3 });
  });
});
