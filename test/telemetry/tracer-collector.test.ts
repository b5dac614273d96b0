import { describe, expect, it } from 'vitest';
import { bufferedSpansMax } from '../../telemetry/export/worker-link.ts';
import {
  attributes,
  childContext,
  keptTrace,
  lagServiceName,
  lagSpanName,
  newSpanId,
  newTraceId,
  type SpanFact,
} from '../../telemetry/index.ts';
import { fact, patienceMs, receiver, start, startUs } from './tracer-harness.ts';

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
      attributes: {
        [attributes.dbQueryText]: 'ü',
        [attributes.lsn]: 7,
        [attributes.clockSkewMs]: 0.5,
        [attributes.quorum]: true,
        [attributes.consistency]: ['a', 'b'],
      },
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
      'db.query.text': 'ü',
      'sextant.lsn': 7,
      'sextant.clock_skew_ms': 0.5,
      'sextant.quorum': true,
      'sextant.consistency': { values: [{ stringValue: 'a' }, { stringValue: 'b' }] },
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

  it('leaves out a number that a collector would refuse the whole batch for, and nothing else (T15)', async () => {
    const collector = await receiver();
    const { telemetry } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
    const numbers = [Number.NaN, Number.POSITIVE_INFINITY, 2 ** 64, -(2 ** 63), 1e300, -3, 0.1, 2 ** 53 - 1];
    telemetry.recordMany(
      numbers.map((number) => fact({ attributes: { [attributes.lsn]: number, [attributes.epoch]: 1 } })),
    );
    const received = await collector.waitFor((spans) => spans.length === numbers.length, patienceMs);
    expect(received.map((span) => span.attributes['sextant.lsn'])).toEqual([
      ...Array.from({ length: 5 }, () => undefined),
      ...[-3, 0.1, 2 ** 53 - 1],
    ]);
    expect(received.every((span) => span.attributes['sextant.epoch'] === 1)).toBe(true);
    await telemetry.shutdown();
  });

  it('gives spans of another service a resource of their own, in the same export, and keeps links', async () => {
    const collector = await receiver();
    const { telemetry, warnings } = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=staging',
      OTEL_SERVICE_NAME: 'other',
      OTEL_TRACES_SAMPLER: 'always_off',
    });
    const links = [{ traceId: newTraceId(), spanId: newSpanId() }];
    const own = fact({ context: keptTrace(), links });
    const beat = fact({
      service: lagServiceName,
      name: lagSpanName('us-east-1', 'eu-west-1'),
      kind: 'server',
      context: keptTrace(),
    });
    telemetry.recordMany([own, beat, { ...beat, context: keptTrace() }]);
    const received = await collector.waitFor((spans) => spans.length === 3, patienceMs);
    expect(received.map(({ service }) => service).sort()).toEqual([
      'sextant-lag',
      'sextant-lag',
      'sextant-us-east-1',
    ]);
    const [mine] = received.filter(({ spanId }) => spanId === own.context.spanId);
    const [theirs] = received.filter(({ spanId }) => spanId === beat.context.spanId);
    expect(mine?.links).toEqual(links);
    expect(theirs).toMatchObject({
      name: 'us-east-1→eu-west-1',
      kind: 'server',
      startUs: beat.startUs,
      endUs: beat.endUs,
      links: [],
    });
    expect(theirs?.resource).toEqual({ ...mine?.resource, 'service.name': 'sextant-lag' });
    telemetry.record(fact({ links: [{ traceId: 'nonsense', spanId: newSpanId() }] }));
    await telemetry.flush(patienceMs);
    expect([telemetry.exportedSpans, telemetry.droppedSpans]).toEqual([3, 1]);
    expect(warnings).toEqual(['a malformed span fact was dropped: commit']);
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
      name: 'BATCH' as const,
      system: 'sqlite' as const,
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
      system: 'postgresql',
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
    const attributesOfRoot = { ...attributesOfServer, 'db.system.name': 'postgresql' };
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
      fact({ name: 'BATCH', kind: 'server', context, endUs: server.endUs, attributes: attributesOfRoot }),
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

  it('hands rows over in parts that a small queue of the worker can hold (T3)', async () => {
    const collector = await receiver();
    const { telemetry, warnings } = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_BSP_MAX_QUEUE_SIZE: '160',
    });
    const shape = {
      name: 'rpo.wait' as const,
      kind: 'internal' as const,
      attributes: [],
      numbers: [attributes.lsn],
      failure: null,
    };
    for (let lsn = 0; lsn < 150; lsn++) {
      const row = { traceId: newTraceId(), spanId: newSpanId(), parentSpanId: null, startUs, endUs: startUs };
      telemetry.recordRow(shape, row, [lsn]);
    }
    await telemetry.flush(patienceMs);
    const lsns = collector.spans.map(({ attributes: of }) => of[attributes.lsn]);
    expect(lsns.sort((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 150 }, (_, at) => at));
    expect([telemetry.exportedSpans, telemetry.droppedSpans, warnings]).toEqual([150, 0, []]);
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
    telemetry.recordMany([fact({ context, name: 'append n1' }), fact({ startUs: Number.NaN }), fact()]);
    await telemetry.flush(patienceMs);
    expect([telemetry.exportedSpans, telemetry.droppedSpans]).toEqual([1, 2]);
    expect(warnings).toEqual(['a malformed span fact was dropped: append n1']);
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
