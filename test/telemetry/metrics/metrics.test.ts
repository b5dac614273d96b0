import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  createProcessMetrics,
  type MetricDefinition,
  MetricRegistry,
  metrics,
} from '../../../telemetry/index.ts';
import { metricsPage } from '../../../telemetry/metrics/metrics-page.ts';
import { checkMetrics, promtool } from './promtool.ts';

const requests = {
  kind: 'counter',
  name: 'sextant_test_requests_total',
  unit: '1',
  description: 'Requests, by outcome',
  worry: 'rises',
  labels: ['outcome'],
} as const;
const duration = {
  kind: 'histogram',
  name: 'sextant_test_duration_seconds',
  unit: 'seconds',
  description: 'Time taken',
  worry: 'rises',
  labels: [],
  buckets: [0.1, 1],
} as const;
const depth = {
  kind: 'gauge',
  name: 'sextant_test_depth',
  unit: '1',
  description: 'Depth',
  worry: 'rises',
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

const results = {
  kind: 'counter',
  name: 'sextant_test_results_total',
  unit: '1',
  description: 'Results',
  worry: 'rises',
  labels: ['kind', 'result'],
  words: { kind: ['a', 'b'], result: ['done', 'failed'] },
} as const;

describe('labels with fixed words', () => {
  it('are there at 0 before the first event, or nobody would see it happen (T14)', () => {
    const registry = new MetricRegistry();
    registry.counter(results);
    expect(registry.render().split('\n').slice(2, -1)).toEqual([
      'sextant_test_results_total{kind="a",result="done"} 0',
      'sextant_test_results_total{kind="a",result="failed"} 0',
      'sextant_test_results_total{kind="b",result="done"} 0',
      'sextant_test_results_total{kind="b",result="failed"} 0',
    ]);
  });

  it('are not made up where one of several labels takes names', () => {
    const registry = new MetricRegistry();
    registry.counter({ ...results, words: { kind: ['a', 'b'] } });
    expect(registry.render()).toBe('');
  });

  it('take no other word (T14)', () => {
    const counter = new MetricRegistry().counter<MetricDefinition & { kind: 'counter' }>(results);
    expect(() => counter.with({ kind: 'c', result: 'done' })).toThrow('T14');
  });

  it('belong to labels that the metric has (T14)', () => {
    expect(() => new MetricRegistry().counter({ ...requests, words: { nothing: ['a'] } })).toThrow('T14');
  });
});

function registerAll(): MetricRegistry {
  const registry = new MetricRegistry({ region: 'us-east-1', process: 'all' }, metrics.droppedSeries);
  for (const definition of Object.values(metrics) as readonly MetricDefinition[]) {
    const labels = Object.fromEntries(
      definition.labels.map((label) => [label, definition.words?.[label]?.[0] ?? 'x']),
    );
    if (definition.kind === 'counter') registry.counter(definition).with(labels).add();
    else if (definition.kind === 'gauge') registry.gauge(definition).with(labels).set(1);
    else registry.histogram(definition).with(labels).observe(1);
  }
  return registry;
}

describe('the table of metrics', () => {
  it('names each metric once', () => {
    const all = Object.values(metrics);
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  });

  it('holds only what production files keep (T14)', () => {
    const root = fileURLToPath(new URL('../../..', import.meta.url));
    const files = ['telemetry', 'storage', 'regions', 'gateway'].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.ts') && !path.includes('definitions/'))
        .map((path) => readFileSync(join(root, folder, path), 'utf8')),
    );
    const text = files.join('\n');
    const kept = (key: string): boolean => new RegExp(`\\bmetric(?:s|Names)\\.${key}\\b`).test(text);
    expect(Object.keys(metrics).filter((key) => !kept(key))).toEqual([]);
  });

  it('is the page that operators read (T14)', () => {
    const page = readFileSync(new URL('../../../telemetry/METRICS.md', import.meta.url), 'utf8');
    expect(page, 'run `npx node telemetry/metrics/metrics-page.ts`').toBe(metricsPage());
  });

  it.skipIf(promtool === null)('passes `promtool check metrics` (skipped where there is no promtool)', () => {
    expect(checkMetrics(registerAll().render())).toBe('');
  });
});

describe('the metrics of a process', () => {
  const lineOf = (text: string, start: string): string =>
    text.split('\n').find((line) => line.startsWith(start)) ?? '';
  const sampleOf = (text: string, start: string): number => Number(lineOf(text, start).split(' ').at(-1));

  it('tell version, memory, CPU, files, and how late the event loop is', async () => {
    const { registry, stop } = createProcessMetrics({
      region: 'us-east-1',
      process: 'storage/n1',
      zone: 'a',
    });
    try {
      await sleep(100);
      const until = performance.now() + 150;
      while (performance.now() < until);
      await sleep(50);
      const text = registry.render();
      const read = (name: string): number => sampleOf(text, name);
      expect(read('sextant_event_loop_delay_seconds_sum')).toBeGreaterThan(0.09);
      expect(lineOf(text, 'sextant_build_info')).toMatch(
        /^sextant_build_info\{region="us-east-1",process="storage\/n1",zone="a",version="[\d.]+",node="[\d.]+"\} 1$/,
      );
      expect(read('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
      expect(read('nodejs_heap_size_total_bytes')).toBeGreaterThanOrEqual(
        read('nodejs_heap_size_used_bytes'),
      );
      expect(read('process_cpu_seconds_total')).toBeGreaterThan(0.1);
      expect(read('process_start_time_seconds')).toBeGreaterThan(1_700_000_000);
      if (process.platform === 'linux') {
        expect(read('process_open_fds')).toBeGreaterThan(2);
        expect(read('process_max_fds')).toBeGreaterThan(read('process_open_fds'));
      }
    } finally {
      stop();
    }
  });

  it('are the same for a second scraper: a scrape resets nothing (T13)', async () => {
    const { registry, stop } = createProcessMetrics({ region: 'us-east-1', process: 'agent' });
    const probes = (): number => sampleOf(registry.render(), 'sextant_event_loop_delay_seconds_count');
    while (probes() < 2) await sleep(10);
    stop();
    const counted = (): readonly string[] =>
      registry
        .render()
        .split('\n')
        .filter((line) => /^sextant_event_loop_delay_seconds|^sextant_build_info/.test(line));
    const first = counted();
    expect(counted()).toEqual(first);
    expect(probes()).toBeGreaterThan(1);
  });
});
