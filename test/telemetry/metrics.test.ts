import { describe, expect, it } from 'vitest';
import { createProcessMetrics, MetricRegistry, metrics } from '../../telemetry/index.ts';

const requests = {
  kind: 'counter',
  name: 'sextant_test_requests_total',
  unit: '1',
  description: 'Requests, by outcome',
  labels: ['outcome'],
} as const;
const duration = {
  kind: 'histogram',
  name: 'sextant_test_duration_seconds',
  unit: 'seconds',
  description: 'Time taken',
  labels: [],
  buckets: [0.1, 1],
} as const;
const depth = {
  kind: 'gauge',
  name: 'sextant_test_depth',
  unit: '1',
  description: 'Depth',
  labels: [],
} as const;

describe('the metric registry', () => {
  it('renders the Prometheus text format', () => {
    const registry = new MetricRegistry({ region: 'us-east-1' });
    const counter = registry.counter(requests);
    counter.with({ outcome: 'ok' }).add();
    counter.with({ outcome: 'ok' }).add(2);
    counter.with({ outcome: 'a "b"\\\n' }).add();
    registry.gauge(depth).with({}).set(-1.5);
    const histogram = registry.histogram(duration).with({});
    for (const value of [0.0625, 0.1, 0.5, 7]) histogram.observe(value);
    expect(registry.render()).toBe(`# HELP sextant_test_requests_total Requests, by outcome
# TYPE sextant_test_requests_total counter
sextant_test_requests_total{region="us-east-1",outcome="ok"} 3
sextant_test_requests_total{region="us-east-1",outcome="a \\"b\\"\\\\\\n"} 1
# HELP sextant_test_depth Depth
# TYPE sextant_test_depth gauge
sextant_test_depth{region="us-east-1"} -1.5
# HELP sextant_test_duration_seconds Time taken (seconds)
# TYPE sextant_test_duration_seconds histogram
sextant_test_duration_seconds_bucket{region="us-east-1",le="0.1"} 2
sextant_test_duration_seconds_bucket{region="us-east-1",le="1"} 3
sextant_test_duration_seconds_bucket{region="us-east-1",le="+Inf"} 4
sextant_test_duration_seconds_sum{region="us-east-1"} 7.6625
sextant_test_duration_seconds_count{region="us-east-1"} 4
`);
  });

  it('writes bare names without labels, and what is not finite as Prometheus does', () => {
    const registry = new MetricRegistry();
    const gauge = registry.gauge(depth).with({});
    for (const [value, text] of [
      [Number.NaN, 'NaN'],
      [Infinity, '+Inf'],
      [-Infinity, '-Inf'],
      [3, '3'],
    ] as const) {
      gauge.set(value);
      expect(registry.render()).toContain(`\nsextant_test_depth ${text}\n`);
    }
  });

  it('gives the same series for the same definition and labels', () => {
    const registry = new MetricRegistry();
    expect(registry.counter(requests).with({ outcome: 'ok' })).toBe(
      registry.counter(requests).with({ outcome: 'ok' }),
    );
  });

  it('bounds the series of a metric and counts the surplus under other (T6)', () => {
    const registry = new MetricRegistry({}, metrics.droppedSeries);
    const counter = registry.counter(requests);
    for (let index = 0; index < 2000; index++) counter.with({ outcome: `o${index}` }).add();
    const lines = registry.render().split('\n');
    expect(lines.filter((line) => line.startsWith('sextant_test_requests_total{'))).toHaveLength(513);
    expect(lines).toContain('sextant_test_requests_total{outcome="other"} 1488');
    expect(lines).toContain(
      'sextant_metrics_series_refused_total{metric="sextant_test_requests_total"} 1488',
    );
  });

  it('forgets series that were cleared', () => {
    const registry = new MetricRegistry();
    registry.counter(requests).with({ outcome: 'ok' }).add();
    registry.counter(requests).clear();
    expect(registry.render()).toBe('');
  });

  it.each([
    [
      'another definition of a name',
      () => {
        const registry = new MetricRegistry();
        registry.counter(requests);
        registry.counter({ ...requests });
      },
    ],
    ['a counter that falls', () => new MetricRegistry().counter(requests).with({ outcome: 'ok' }).add(-1)],
    [
      'a counter without _total',
      () => new MetricRegistry().counter({ ...requests, name: 'sextant_requests' }),
    ],
    ['a name without its unit', () => new MetricRegistry().gauge({ ...depth, unit: 'bytes' })],
    ['a metric without a description', () => new MetricRegistry().gauge({ ...depth, description: '' })],
    ['buckets out of order', () => new MetricRegistry().histogram({ ...duration, buckets: [1, 0.1] })],
    [
      'a value that is no number',
      () => new MetricRegistry().histogram(duration).with({}).observe(Number.NaN),
    ],
  ])('refuses %s (T6)', (_name, act) => {
    expect(act).toThrow('T6');
  });
});

describe('the metrics of a process', () => {
  it('can all be registered together', () => {
    const registry = new MetricRegistry();
    for (const definition of Object.values(metrics)) {
      if (definition.kind === 'counter') registry.counter(definition);
      else if (definition.kind === 'gauge') registry.gauge(definition);
      else registry.histogram(definition);
    }
    expect(new Set(Object.values(metrics).map(({ name }) => name)).size).toBe(Object.keys(metrics).length);
  });

  it('include memory, CPU and event loop delay', async () => {
    const { registry, stop } = createProcessMetrics({ region: 'us-east-1', process: 'gateway' });
    const read = (name: string): number => {
      const line = registry
        .render()
        .split('\n')
        .find((one) => one.startsWith(name));
      return Number(line?.split(' ').at(-1));
    };
    try {
      // The probe needs two of its turns after a scrape before it measures; it then sees the loop held up for 150 ms.
      registry.render();
      await new Promise((resolve) => setTimeout(resolve, 100));
      const until = performance.now() + 150;
      while (performance.now() < until);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(
        read('sextant_event_loop_delay_seconds{region="us-east-1",process="gateway",quantile="1"}'),
      ).toBeGreaterThan(0.1);
      expect(read('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
      expect(read('process_cpu_seconds_total')).toBeGreaterThan(0.1);
      expect(read('process_start_time_seconds')).toBeGreaterThan(1_700_000_000);
    } finally {
      stop();
    }
  });
});
