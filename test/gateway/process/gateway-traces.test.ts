import { afterEach, describe, expect, it } from 'vitest';
import { startTelemetry } from '../../../telemetry/index.ts';
import { criticalPath } from '../../telemetry/critical-path.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../../telemetry/otlp-receiver.ts';
import { GatewayWorld, ready, urlOf, writes } from './gateway-harness.ts';
import { acknowledge, demand } from './rpo-harness.ts';

let world: GatewayWorld | null = null;
let receiver: OtlpReceiver | null = null;

afterEach(async () => {
  await world?.close();
  await receiver?.close();
  world = null;
  receiver = null;
});

async function traced() {
  const one = await GatewayWorld.start();
  const collector = await startOtlpReceiver();
  world = one;
  receiver = collector;
  const telemetry = (gateway: string) =>
    startTelemetry({
      serviceName: 'sextant-us-east-1',
      region: 'us-east-1',
      instanceId: `us-east-1/${gateway}`,
      role: 'gateway',
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint },
    });
  const writer = await one.gateway('g1', { telemetry: telemetry('g1') });
  await writes(writer);
  await ready(urlOf(writer));
  const client = one.client(writer, 'ws');
  await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  return { one, collector, writer, client, telemetry };
}

const appendNames = [1, 2, 3, 4, 5, 6].map((node) => `append n${node}`);
const isAppend = ({ name }: ReceivedSpan): boolean => name.startsWith('append ');

function byTrace(spans: readonly ReceivedSpan[]): Map<string, ReceivedSpan[]> {
  const traces = new Map<string, ReceivedSpan[]>();
  for (const span of spans) traces.set(span.traceId, [...(traces.get(span.traceId) ?? []), span]);
  return traces;
}

describe('traces of a gateway', () => {
  it('hold for each of two hundred inserts one server span, one commit and six appends, one of which made the quorum', async () => {
    const { collector, client } = await traced();
    const inserts = Array.from({ length: 200 }, (_, id) => id);
    const lanes = [0, 1, 2, 3].map(async (lane) => {
      for (const id of inserts)
        if (id % 4 === lane)
          await client.execute({ sql: 'INSERT INTO t VALUES (?, ?)', args: [id, 'secret'] });
    });
    await Promise.all(lanes);
    const spans = await collector.waitFor((all) => all.filter(isAppend).length >= 201 * 6, 20_000);
    const traces = [...byTrace(spans).values()].filter((trace) =>
      trace.some((span) => span.name === 'INSERT'),
    );
    expect(traces.length).toBe(200);
    for (const trace of traces) {
      const [server, ...otherServers] = trace.filter((span) => span.kind === 'server');
      const [commit, ...otherCommits] = trace.filter((span) => span.name === 'commit');
      const appends = trace.filter(isAppend);
      expect([otherServers.length, otherCommits.length, appends.length, trace.length]).toEqual([0, 0, 6, 8]);
      expect(server?.service).toBe('sextant-us-east-1');
      expect(server?.attributes['db.query.text']).toBe('INSERT INTO t VALUES (?, ?)');
      expect(commit?.parentSpanId).toBe(server?.spanId);
      expect(appends.every((append) => append.parentSpanId === commit?.spanId)).toBe(true);
      expect(appends.map(({ name }) => name).sort()).toEqual(appendNames);
      expect(appends.every(({ name, attributes }) => name === `append ${attributes['sextant.node']}`)).toBe(
        true,
      );
      expect(appends.filter((append) => append.attributes['sextant.quorum'] === true).length).toBe(1);
      expect(
        (server?.startUs ?? 0) <= (commit?.startUs ?? 0) && (commit?.endUs ?? 0) <= (server?.endUs ?? 0),
      ).toBe(true);
      // Two nodes of six, and any region behind, may be as slow as they like: nobody waited for them (T12).
      expect(appends.filter(({ kind }) => kind === 'client').length).toBe(4);
      if (commit === undefined) continue;
      const decisive = appends.find(({ attributes }) => attributes['sextant.quorum'] === true);
      const late = { ...commit, spanId: 'late', parentSpanId: commit.spanId, endUs: commit.endUs + 5_000 };
      const waitedFor = (more: ReceivedSpan) =>
        criticalPath([...trace, more]).find(({ span }) => span.parentSpanId === commit.spanId)?.span;
      expect(waitedFor({ ...late, kind: 'consumer' })).toMatchObject({
        kind: 'client',
        endUs: decisive?.endUs,
      });
      expect(waitedFor({ ...late, kind: 'client' })?.spanId).toBe('late');
    }
  });

  it('hold below a commit how long it waited for another region under an RPO, and nothing of that without one', async () => {
    const { collector, client, one, writer: gateway } = await traced();
    await client.execute('INSERT INTO t VALUES (1, 1)');
    await demand({ one, gateway }, 0);
    await acknowledge({ one, gateway });
    const held = client.execute('INSERT INTO t VALUES (2, 2)');
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    await acknowledge({ one, gateway });
    await held;
    const spans = await collector.waitFor(
      (all) =>
        all.some((span) => span.name === 'rpo.wait') &&
        all.filter(({ name }) => name === 'commit').length > 2,
      20_000,
    );
    const waits = spans.filter((span) => span.name === 'rpo.wait');
    expect(waits).toHaveLength(1);
    const [wait] = waits;
    const commit = spans.find((span) => span.spanId === wait?.parentSpanId);
    expect([commit?.name, commit?.traceId]).toEqual(['commit', wait?.traceId]);
    expect(spans.find((span) => span.spanId === commit?.parentSpanId)?.name).toBe('INSERT');
    expect((wait?.endUs ?? 0) - (wait?.startUs ?? 0)).toBeGreaterThan(200_000);
  });

  it('continue the trace of the client, follow a forwarded write through the server span of its writer to its commit, and give a read its server span only (G39)', async () => {
    const { collector, one, telemetry } = await traced();
    const reader = await one.gateway('g2', { telemetry: telemetry('g2') });
    await ready(urlOf(reader));
    const write = '0af7651916cd43dd8448eb211c80319c';
    const read = '0af7651916cd43dd8448eb211c80319d';
    const run = async (sql: string, traceId: string): Promise<void> => {
      await fetch(`${urlOf(reader)}/v2/pipeline`, {
        method: 'POST',
        headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` },
        body: JSON.stringify({
          baton: null,
          requests: [{ type: 'execute', stmt: { sql } }, { type: 'close' }],
        }),
      });
    };
    await run("INSERT INTO t VALUES (1, 'x')", write);
    await run('SELECT count(*) FROM t', read);
    const spans = await collector.waitFor(
      (all) =>
        all.filter((span) => span.traceId === write).length >= 10 &&
        all.some((span) => span.traceId === read && span.kind === 'server'),
      20_000,
    );
    const trace = spans.filter((span) => span.traceId === write);
    const named = (name: string) => trace.find((span) => span.name === name);
    expect(trace.map((span) => span.name).sort()).toEqual([
      'INSERT',
      'INSERT',
      ...appendNames,
      'commit',
      'forward',
    ]);
    const entered = trace.find(({ parentSpanId }) => parentSpanId === 'b7ad6b7169203331');
    expect([entered?.name, entered?.kind, named('forward')?.attributes['sextant.attempts']]).toEqual([
      'INSERT',
      'server',
      1,
    ]);
    expect(named('forward')?.parentSpanId).toBe(entered?.spanId);
    const served = trace.find(({ parentSpanId }) => parentSpanId === named('forward')?.spanId);
    expect([served?.name, served?.kind, served?.resource['service.instance.id']]).toEqual([
      'INSERT',
      'server',
      'us-east-1/g1',
    ]);
    expect(named('commit')?.parentSpanId).toBe(served?.spanId);
    expect(criticalPath(trace).map(({ span }) => span.spanId)).toContain(
      trace.find(({ attributes }) => attributes['sextant.quorum'] === true)?.spanId,
    );
    const reads = spans.filter((span) => span.traceId === read && span.name !== 'read.wait');
    expect(reads.map((span) => span.name)).toEqual(['SELECT']);
  });
});
