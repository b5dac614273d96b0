import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { WorkerLink } from '../../telemetry/export/worker-link.ts';
import type { Telemetry } from '../../telemetry/index.ts';
import { fact, patienceMs, receiver, run, start } from './tracer-harness.ts';

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
