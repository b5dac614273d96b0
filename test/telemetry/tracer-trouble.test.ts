import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { WorkerLink } from '../../telemetry/export/worker-link.ts';
import { type CommitRow, newSpanId, newTraceId, type Telemetry } from '../../telemetry/index.ts';
import { type ReceivedSpan, startOtlpReceiver } from './otlp-receiver.ts';
import { fact, patienceMs, receiver, run, start, startUs } from './tracer-harness.ts';

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
      telemetry.recordMany(
        Array.from({ length: 10 }, (_, at) =>
          fact({ attributes: { 'sextant.lsn': turn, 'sextant.epoch': at } }),
        ),
      );
      await delay(120);
    }
    const again = await startOtlpReceiver(Number(new URL(first.endpoint).port));
    onTestFinished(() => again.close());
    const last = (spans: readonly ReceivedSpan[]) =>
      spans.some(({ attributes: of }) => of['sextant.lsn'] === 29 && of['sextant.epoch'] === 9);
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
