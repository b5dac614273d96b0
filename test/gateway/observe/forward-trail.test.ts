import { describe, expect, it } from 'vitest';
import { ForwardTrail } from '../../../gateway/observe/forward-trail.ts';
import { GatewayMetrics } from '../../../gateway/observe/gateway-metrics.ts';
import { RequestTracer } from '../../../gateway/observe/request-tracer.ts';
import { defaultServiceLimits } from '../../../gateway/session/core/service-limits.ts';
import {
  disabledTelemetry,
  MetricRegistry,
  newSpanId,
  newTraceId,
  type SpanFact,
} from '../../../telemetry/index.ts';

const refusal = { code: 'notRun', message: 'nobody' };

/** A trail of one request, and what has been told of it. */
function world() {
  const registry = new MetricRegistry({ region: 'eu-west-1', process: 'gateway/g2' });
  const spans: SpanFact[] = [];
  const telemetry = { ...disabledTelemetry, enabled: true, record: (fact: SpanFact) => spans.push(fact) };
  const limits = defaultServiceLimits;
  const tracer = new RequestTracer({ telemetry, system: 'sqlite', namespace: 'test', nodes: [], limits });
  const context = { traceId: newTraceId(), spanId: newSpanId(), sampled: true };
  const trail = new ForwardTrail(tracer, new GatewayMetrics(registry), {
    context,
    parentSpanId: null,
    startUs: 0,
  });
  const outcomes = () => [...registry.render().matchAll(/writes_total\{.*outcome="(\w+)"\} (\d+)/g)];
  return {
    trail,
    tracer,
    spans,
    context,
    /** Those that have been counted; every word is there at 0 from the start. */
    outcomes: () => outcomes().flatMap(([, name, count]) => (count === '0' ? [] : [[name, count]])),
  };
}

describe('the trail of a forwarded statement (T11)', () => {
  it('is one span with its attempts, each with the same trace context', () => {
    const { trail, tracer, spans, context, outcomes } = world();
    const sent = [trail.sent('us-east-1')];
    trail.heard('notRun', refusal);
    sent.push(trail.sent('ap-northeast-1'));
    trail.heard('result', null);
    expect([spans, outcomes()]).toEqual([[], []]);
    trail.ended();
    tracer.close();
    const [span] = spans;
    expect(spans).toHaveLength(1);
    expect(span).toMatchObject({ name: 'forward', kind: 'client', parentSpanId: context.spanId });
    expect(span?.attributes).toMatchObject({
      'sextant.attempts': 2,
      'sextant.target.region': 'ap-northeast-1',
    });
    expect(span).not.toHaveProperty('error');
    const traceparent = `00-${context.traceId}-${span?.context.spanId}-01`;
    expect(sent).toEqual([traceparent, traceparent]);
    expect(outcomes()).toEqual([['ok', '1']]);
  });

  it.each([
    ['unknown', false, 'unknown'],
    ['tooLarge', false, 'tooLarge'],
    ['notRun', false, 'notRun'],
    ['notRun', true, 'here'],
    ['result', true, 'ok'],
  ] as const)('that ended with %s, run here %s, is counted as %s', (end, isHere, counted) => {
    const { trail, tracer, spans, outcomes } = world();
    trail.sent('us-east-1');
    trail.heard(end, end === 'result' ? null : refusal);
    if (isHere) trail.ranHere();
    trail.ended();
    tracer.close();
    expect(outcomes()).toEqual([[counted, '1']]);
    expect(spans.map(({ error }) => error ?? null)).toEqual([
      counted === 'ok' || counted === 'here' ? null : refusal,
    ]);
  });
});
