/** Metrics every process has: version, memory, CPU, files, event loop, spans. Read at each scrape; only the event loop is watched in between. */
import { readdirSync, readFileSync } from 'node:fs';
import { watchLoop } from './loop-probe.ts';
import { metrics } from './metric-definitions.ts';
import { type Counter, type Gauge, MetricRegistry } from './metrics.ts';
import { sextantVersion } from './version.ts';

/** What has become of the process's spans, ever; a `Telemetry` is one. */
export interface SpanCounts {
  readonly exportedSpans: number;
  readonly droppedSpans: number;
}

const noSpans: SpanCounts = { exportedSpans: 0, droppedSpans: 0 };

/** Labels of every series of a process. */
export interface ProcessLabels {
  /** Of all but a supervisor, which is of no region. */
  readonly region?: string;
  /** The kind of process and, where there are several in a region, its name: `agent`, `gateway/g1`, `storage/n1`. */
  readonly process: string;
  /** Availability zone, of a storage node. */
  readonly zone?: string;
}

/**
 * The registry of one process, with the process metrics in it. `stop` ends the event loop probe; it keeps no process
 * alive meanwhile. Nothing is reset by a scrape, so that any number of scrapers see the same (T13).
 */
export function createProcessMetrics(
  labels: ProcessLabels,
  spans: SpanCounts = noSpans,
): { readonly registry: MetricRegistry; stop(): void } {
  const registry = new MetricRegistry({ ...labels }, metrics.droppedSeries);
  registry.gauge(metrics.buildInfo).with({ version: sextantVersion, node: process.versions.node }).set(1);
  const delay = registry.histogram(metrics.eventLoopDelay).with({});
  const stop = watchLoop((seconds) => delay.observe(seconds));
  const resident = registry.gauge(metrics.residentMemory).with({});
  const heapUsed = registry.gauge(metrics.heapUsed).with({});
  const heapTotal = registry.gauge(metrics.heapTotal).with({});
  const external = registry.gauge(metrics.externalMemory).with({});
  const cpu = follow(registry.counter(metrics.cpuSeconds).with({}));
  const exported = follow(registry.counter(metrics.spansExported).with({}));
  const dropped = follow(registry.counter(metrics.spansDropped).with({}));
  const readFiles = watchFiles(registry);
  registry
    .gauge(metrics.startTime)
    .with({})
    .set(Math.round(Date.now() / 1000 - process.uptime()));
  registry.onScrape(() => {
    const memory = process.memoryUsage();
    resident.set(memory.rss);
    heapUsed.set(memory.heapUsed);
    heapTotal.set(memory.heapTotal);
    external.set(memory.external);
    const { user, system } = process.cpuUsage();
    cpu((user + system) / 1e6);
    exported(spans.exportedSpans);
    dropped(spans.droppedSpans);
    readFiles();
  });
  return { registry, stop };
}

/** Open files and their bound, where the system tells them (Linux); elsewhere there are no samples. @returns what reads them. */
function watchFiles(registry: MetricRegistry): () => void {
  const max = maxFiles();
  if (max === null) return () => undefined;
  const open: Gauge = registry.gauge(metrics.openFds).with({});
  registry.gauge(metrics.maxFds).with({}).set(max);
  return () => open.set(readdirSync('/proc/self/fd').length);
}

function maxFiles(): number | null {
  try {
    const soft = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    if (soft === undefined) return null;
    return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return null;
  }
}

/** Keeps `counter` equal to a total that is counted elsewhere and only rises. */
export function follow(counter: Counter): (total: number) => void {
  let seen = 0;
  return (total) => {
    counter.add(Math.max(0, total - seen));
    seen = Math.max(seen, total);
  };
}
