/** Metrics every process has: event loop, memory, CPU, spans. Read at each scrape, free in between. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { metrics } from './metric-definitions.ts';
import { type Counter, MetricRegistry } from './metrics.ts';

/** Milliseconds between the probes of the event loop: 20 wake-ups a second, also of a process that has nothing to do. */
const probeIntervalMs = 50;

/** What has become of the process's spans, ever; a `Telemetry` is one. */
export interface SpanCounts {
  readonly exportedSpans: number;
  readonly droppedSpans: number;
}

const noSpans: SpanCounts = { exportedSpans: 0, droppedSpans: 0 };

/**
 * The registry of one process, with the process metrics in it. `stop` ends the event loop probe; it keeps no process
 * alive meanwhile. Event loop figures cover the time since the previous scrape.
 */
export function createProcessMetrics(
  labels: { readonly region: string; readonly process: string },
  spans: SpanCounts = noSpans,
): { readonly registry: MetricRegistry; stop(): void } {
  const registry = new MetricRegistry(labels, metrics.droppedSeries);
  const delay = monitorEventLoopDelay({ resolution: probeIntervalMs });
  delay.enable();
  const loop = registry.gauge(metrics.eventLoopDelay);
  const median = loop.with({ quantile: '0.5' });
  const high = loop.with({ quantile: '0.99' });
  const max = loop.with({ quantile: '1' });
  const memory = registry.gauge(metrics.residentMemory).with({});
  const cpu = follow(registry.counter(metrics.cpuSeconds).with({}));
  const exported = follow(registry.counter(metrics.spansExported).with({}));
  const dropped = follow(registry.counter(metrics.spansDropped).with({}));
  registry
    .gauge(metrics.startTime)
    .with({})
    .set(Math.round(Date.now() / 1000 - process.uptime()));
  registry.onScrape(() => {
    // A probe measures its whole interval; what exceeds the interval is the delay. Without probes yet, 0.
    const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - probeIntervalMs) / 1000;
    median.set(delay.count === 0 ? 0 : late(delay.percentile(50)));
    high.set(delay.count === 0 ? 0 : late(delay.percentile(99)));
    max.set(delay.count === 0 ? 0 : late(delay.max));
    delay.reset();
    memory.set(process.memoryUsage.rss());
    const { user, system } = process.cpuUsage();
    cpu((user + system) / 1e6);
    exported(spans.exportedSpans);
    dropped(spans.droppedSpans);
  });
  return { registry, stop: () => void delay.disable() };
}

/** Keeps `counter` equal to a total that is counted elsewhere and only rises. */
function follow(counter: Counter): (total: number) => void {
  let seen = 0;
  return (total) => {
    counter.add(Math.max(0, total - seen));
    seen = total;
  };
}
