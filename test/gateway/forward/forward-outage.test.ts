import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { regionId } from '../../../storage/redo/ids.ts';
import { startTelemetry } from '../../../telemetry/index.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../../telemetry/otlp-receiver.ts';
import { codeOf, GatewayWorld, urlOf } from '../process/gateway-harness.ts';

let world: GatewayWorld | null = null;
let receiver: OtlpReceiver | null = null;

afterEach(async () => {
  await world?.close();
  await receiver?.close();
  world = null;
  receiver = null;
});

/** Values of a counter by the value of its first label that is not the process. */
async function counts(url: string, metric: string): Promise<Readonly<Record<string, number>>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`${metric}{`));
  return Object.fromEntries(
    lines.map((line) => [/outcome="(\w+)"/.exec(line)?.[1] ?? '', Number(line.split(' ').at(-1))]),
  );
}

it('a forwarded write that waits for a writer is one span and one count, however often it is sent (T11, G38)', async () => {
  const one = await GatewayWorld.start();
  const collector = await startOtlpReceiver();
  world = one;
  receiver = collector;
  const writer = await one.process('g1');
  const telemetry = startTelemetry({
    serviceName: 'sextant-eu-west-1',
    region: 'eu-west-1',
    instanceId: 'eu-west-1/g2',
    role: 'gateway',
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint },
  });
  const limits = { writeWaitMs: 3_000, quorumWaitMs: 2_000 };
  const far = await one.gateway('g2', { telemetry, limits }, { region: regionId('eu-west-1') });
  const client = one.client(far, 'ws');
  await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  await client.execute('INSERT INTO t VALUES (0, 0)');
  await writer.kill();

  const writes = 40;
  const codes: Promise<unknown>[] = [];
  for (let id = 1; id <= writes; id++) {
    codes.push(client.execute({ sql: 'INSERT INTO t VALUES (?, ?)', args: [id, id] }).catch(codeOf));
    await delay(50);
  }
  expect(new Set(await Promise.all(codes))).toEqual(new Set(['SEXTANT_NO_WRITER']));

  const isInsert = (span: ReceivedSpan) => span.name === 'INSERT' && span.error !== null;
  const spans = await collector.waitFor((all) => all.filter(isInsert).length >= writes, 10_000);
  await telemetry.flush();
  const refused = new Set(spans.filter(isInsert).map(({ traceId }) => traceId));
  const ofThem = spans.filter(({ traceId }) => refused.has(traceId));
  const forwards = ofThem.filter(({ name }) => name === 'forward');
  expect([refused.size, forwards.length, ofThem.length]).toEqual([writes, writes, 2 * writes]);
  for (const { startUs, endUs, error, attributes } of forwards) {
    expect(error).not.toBeNull();
    expect(endUs - startUs).toBeGreaterThan(2_000_000);
    // At once, then after 15, 30, 60, 120, 240, 480 ms and each second; and at each change of the record.
    expect(Number(attributes['sextant.attempts'])).toBeGreaterThanOrEqual(6);
    expect(Number(attributes['sextant.attempts'])).toBeLessThanOrEqual(20);
  }
  const url = urlOf(far);
  expect(await counts(url, 'sextant_forwarded_writes_total')).toEqual({
    ok: 2,
    here: 0,
    notRun: writes,
    unknown: 0,
    tooLarge: 0,
  });
  const sent = Object.values(await counts(url, 'sextant_forward_attempts_total'))[0];
  const told = forwards.map(({ attributes }) => Number(attributes['sextant.attempts']));
  expect(sent).toBe(2 + told.reduce((sum, attempts) => sum + attempts, 0));
});
