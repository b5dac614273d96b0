/** What a gateway of PostgreSQL databases counts of their clients and engines. */
import { follow, type MetricRegistry, metrics } from '../../telemetry/index.ts';
import type { EngineNews } from '../engine/core/engine-protocol.ts';

/** What is read of the PostgreSQL front end at each scrape: connections by what they do, and totals. */
export interface PostgresFigures {
  readonly login: number;
  readonly idle: number;
  readonly active: number;
  readonly idleInTransaction: number;
  readonly loginsOk: number;
  readonly loginsRefused: number;
  readonly cancelsMet: number;
  readonly cancelsMissed: number;
}

export class PostgresMetrics {
  private readonly registry: MetricRegistry;

  constructor(registry: MetricRegistry) {
    this.registry = registry;
    // What is known beforehand is at 0 before its first event (T14).
    registry.counter(metrics.postgresStopped);
    registry.counter(metrics.postgresIdleEnded).with({});
    registry.counter(metrics.postgresStarts);
    registry.counter(metrics.postgresStartFailures);
    registry.histogram(metrics.postgresStartDuration);
    registry.histogram(metrics.postgresCheckpointDuration).with({});
    registry.counter(metrics.postgresCheckpointBytes).with({});
  }

  heard(engine: 'writer' | 'reader', news: EngineNews): void {
    const { registry } = this;
    switch (news.kind) {
      case 'started':
        registry.counter(metrics.postgresStarts).with({ engine, why: news.why }).add();
        registry
          .histogram(metrics.postgresStartDuration)
          .with({ engine })
          .observe(news.tookMs / 1_000);
        break;
      case 'notStarted':
        registry.counter(metrics.postgresStartFailures).with({ engine }).add();
        break;
      case 'checkpoint':
        registry
          .histogram(metrics.postgresCheckpointDuration)
          .with({})
          .observe(news.tookMs / 1_000);
        registry.counter(metrics.postgresCheckpointBytes).with({}).add(news.bytes);
        break;
      case 'stopped':
        registry.counter(metrics.postgresStopped).with({ why: news.why }).add();
        break;
      case 'idleEnded':
        registry.counter(metrics.postgresIdleEnded).with({}).add();
        break;
    }
  }

  /** Registers what is read at each scrape. */
  watch(read: () => PostgresFigures): void {
    const connections = this.registry.gauge(metrics.postgresConnections);
    const logins = this.registry.counter(metrics.postgresLogins);
    const cancels = this.registry.counter(metrics.postgresCancels);
    const counters = {
      loginsOk: follow(logins.with({ outcome: 'ok' })),
      loginsRefused: follow(logins.with({ outcome: 'refused' })),
      cancelsMet: follow(cancels.with({ met: 'statement' })),
      cancelsMissed: follow(cancels.with({ met: 'nothing' })),
    };
    this.registry.onScrape(() => {
      const figures = read();
      connections.with({ state: 'login' }).set(figures.login);
      connections.with({ state: 'idle' }).set(figures.idle);
      connections.with({ state: 'active' }).set(figures.active);
      connections.with({ state: 'idle_in_transaction' }).set(figures.idleInTransaction);
      counters.loginsOk(figures.loginsOk);
      counters.loginsRefused(figures.loginsRefused);
      counters.cancelsMet(figures.cancelsMet);
      counters.cancelsMissed(figures.cancelsMissed);
    });
  }
}
