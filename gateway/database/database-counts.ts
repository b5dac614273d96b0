/** What is counted of one database, and how long the operation that woke it took to be answered. */
import { monotonicMs } from '../../storage/index.ts';
import { type Counter, type MetricRegistry, metrics } from '../../telemetry/index.ts';
import type { Engine } from '../engine/engine.ts';
import type { GatewayVolume } from '../reign/gateway-volume.ts';

export class DatabaseCounts {
  readonly commits: Counter;
  private readonly registry: MetricRegistry;
  private readonly namespace: string;
  private readonly operations: Counter;
  private usesNow = 0;
  private lastMs = monotonicMs();
  private wokenAtMs: number | null = null;
  private quickReadsTold = 0;

  /** @param namespace as spans name it. */
  constructor(registry: MetricRegistry, namespace: string) {
    this.registry = registry;
    this.namespace = namespace;
    this.operations = registry.counter(metrics.databaseOperations).with({ db_namespace: namespace });
    this.commits = registry.counter(metrics.databaseCommits).with({ db_namespace: namespace });
    registry.histogram(metrics.databaseWakeDuration).with({});
    registry.counter(metrics.databaseRests).with({});
  }

  /** Operations under way. */
  get uses(): number {
    return this.usesNow;
  }

  /** When the last operation was answered, or the database came to be. */
  get lastUsedMs(): number {
    return this.lastMs;
  }

  begun(): void {
    this.usesNow += 1;
    this.operations.add();
  }

  /** The operation that has just begun found it at rest. */
  woken(): void {
    this.wokenAtMs = monotonicMs();
  }

  rested(): void {
    this.wokenAtMs = null;
    this.registry.counter(metrics.databaseRests).with({}).add();
  }

  ended(): void {
    this.usesNow -= 1;
    this.lastMs = monotonicMs();
    if (this.wokenAtMs === null) return;
    this.registry
      .histogram(metrics.databaseWakeDuration)
      .with({})
      .observe((this.lastMs - this.wokenAtMs) / 1_000);
    this.wokenAtMs = null;
  }

  /** At each scrape. */
  tell({
    isAwake,
    vdl,
    readers,
    engines,
  }: Pick<GatewayVolume, 'isAwake' | 'vdl' | 'readers' | 'engines'>): void {
    const labels = { db_namespace: this.namespace };
    this.registry
      .gauge(metrics.databaseAwake)
      .with(labels)
      .set(isAwake ? 1 : 0);
    this.registry.gauge(metrics.databaseDurableLsn).with(labels).set(vdl);
    const { threads, busy, most } = readers.counts;
    const counts = this.registry.gauge(metrics.readerThreads);
    counts.with({ ...labels, state: 'running' }).set(threads);
    counts.with({ ...labels, state: 'busy' }).set(busy);
    counts.with({ ...labels, state: 'most' }).set(most);
    const quickReads = this.registry.counter(metrics.quickReads).with(labels);
    quickReads.add(readers.answeredAtOnce - this.quickReadsTold);
    this.quickReadsTold = readers.answeredAtOnce;
    const memory = this.registry.gauge(metrics.engineMemory);
    const scratch = this.registry.gauge(metrics.scratch);
    for (const kind of ['writer', 'reader'] as const) {
      const ofKind = engines.filter((one) => one.kind === kind);
      const sum = (bytesOf: (engine: Engine) => number): number =>
        ofKind.reduce((bytes, { engine }) => bytes + bytesOf(engine), 0);
      memory.with({ ...labels, engine: kind }).set(sum(({ heapBytes }) => heapBytes));
      scratch.with({ ...labels, engine: kind }).set(sum(({ scratchBytes }) => scratchBytes));
    }
  }
}
