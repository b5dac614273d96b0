/** What a gateway counts, and what is read from it at each scrape. */
import {
  type Counter,
  type Histogram,
  type MetricRegistry,
  metrics,
  serverSpanName,
} from '../../telemetry/index.ts';
import { type SqlOperation, verbOf } from '../sql/operation.ts';
import type { SqlError } from '../sql/sql.ts';
import { WriteLoad } from './core/write-load.ts';

interface VerbSeries {
  readonly duration: Histogram;
  readonly outcomes: Map<string, Counter>;
}

/** What is read at a scrape. */
export interface GatewayFigures {
  readonly sessions: number;
  readonly vdl: number;
  readonly epoch: number;
  readonly isPrimary: boolean;
  readonly leaseRemainingMs: number;
  readonly quorumNodes: number;
  readonly commitsPending: number;
  readonly answersHeld: number;
}

export class GatewayMetrics {
  /** The same of writes, for the report that consoles draw curves of. */
  readonly writes = new WriteLoad();
  private readonly registry: MetricRegistry;
  private readonly verbs = new Map<string, VerbSeries>();
  private readonly commitDuration: Histogram;
  private readonly durableCommits: Counter;
  private readonly unknownCommits: Counter;
  private readonly holdDuration: Histogram;
  private readonly redoBytes: Counter;
  private readonly forwardDuration: Histogram;
  private readonly suspensions: Counter;

  constructor(registry: MetricRegistry) {
    this.registry = registry;
    this.commitDuration = registry.histogram(metrics.commitDuration).with({});
    this.durableCommits = registry.counter(metrics.commits).with({ outcome: 'durable' });
    this.unknownCommits = registry.counter(metrics.commits).with({ outcome: 'unknown' });
    this.holdDuration = registry.histogram(metrics.rpoHoldDuration).with({});
    this.redoBytes = registry.counter(metrics.redoBytes).with({});
    this.forwardDuration = registry.histogram(metrics.forwardDuration).with({});
    this.suspensions = registry.counter(metrics.leaseSuspensions).with({});
  }

  answered(operation: SqlOperation, error: SqlError | null, tookMs: number): void {
    const verb = serverSpanName(verbOf(operation));
    let series = this.verbs.get(verb);
    if (series === undefined) {
      series = {
        duration: this.registry.histogram(metrics.sqlDuration).with({ operation: verb }),
        outcomes: new Map(),
      };
      this.verbs.set(verb, series);
    }
    series.duration.observe(tookMs / 1_000);
    const outcome = error?.code ?? 'ok';
    let counter = series.outcomes.get(outcome);
    if (counter === undefined) {
      counter = this.registry.counter(metrics.sqlRequests).with({ operation: verb, outcome });
      series.outcomes.set(outcome, counter);
    }
    counter.add();
  }

  committed(bytes: number): void {
    this.redoBytes.add(bytes);
    this.writes.committed(bytes);
  }

  /** @param tookMs from the engine's commit to durable, by the wall clock. */
  durable(tookMs: number): void {
    this.durableCommits.add();
    this.commitDuration.observe(Math.max(0, tookMs) / 1_000);
    this.writes.durable(tookMs);
  }

  /** @param tookMs from durable in this region to within the RPO, by the wall clock. */
  heldBack(tookMs: number): void {
    this.holdDuration.observe(Math.max(0, tookMs) / 1_000);
  }

  unknown(commits: number): void {
    this.unknownCommits.add(commits);
    this.writes.unknown(commits);
  }

  readWaited(consistency: string, tookMs: number): void {
    this.registry
      .histogram(metrics.readWaitDuration)
      .with({ consistency })
      .observe(tookMs / 1_000);
  }

  forwarded(outcome: string, tookMs: number): void {
    this.registry
      .counter(metrics.forwardedWrites)
      .with({ outcome: outcome === 'result' ? 'ok' : outcome })
      .add();
    this.forwardDuration.observe(tookMs / 1_000);
  }

  controlUpdate(outcome: 'won' | 'lost' | 'unknown'): void {
    this.registry
      .counter(metrics.controlUpdates)
      .with({ outcome: outcome === 'unknown' ? 'unanswered' : outcome })
      .add();
  }

  leaseSuspended(): void {
    this.suspensions.add();
  }

  stalled(cause: 'recovery' | 'lease', tookMs: number): void {
    this.registry
      .histogram(metrics.writeStallDuration)
      .with({ cause })
      .observe(tookMs / 1_000);
  }

  /** Registers what is read of answers at each scrape. */
  watchAnswers(read: () => { readonly answerBytesWaiting: number; readonly readersEnded: number }): void {
    const waiting = this.registry.gauge(metrics.answerBytesWaiting).with({});
    const ended = this.registry.counter(metrics.slowReadersEnded).with({});
    let counted = 0;
    this.registry.onScrape(() => {
      const { answerBytesWaiting, readersEnded } = read();
      waiting.set(answerBytesWaiting);
      ended.add(readersEnded - counted);
      counted = readersEnded;
    });
  }

  /** Registers what is read at each scrape. */
  watch(read: () => GatewayFigures): void {
    const gauges = {
      sessions: this.registry.gauge(metrics.sqlSessions).with({}),
      vdl: this.registry.gauge(metrics.volumeDurableLsn).with({}),
      epoch: this.registry.gauge(metrics.epoch).with({}),
      isPrimary: this.registry.gauge(metrics.isPrimary).with({}),
      lease: this.registry.gauge(metrics.leaseRemainingSeconds).with({}),
      quorum: this.registry.gauge(metrics.quorumNodes).with({}),
      pending: this.registry.gauge(metrics.commitsPending).with({}),
      held: this.registry.gauge(metrics.rpoHeldAnswers).with({}),
    };
    this.registry.onScrape(() => {
      const figures = read();
      gauges.sessions.set(figures.sessions);
      gauges.vdl.set(figures.vdl);
      gauges.epoch.set(figures.epoch);
      gauges.isPrimary.set(figures.isPrimary ? 1 : 0);
      gauges.lease.set(figures.leaseRemainingMs / 1_000);
      gauges.quorum.set(figures.quorumNodes);
      gauges.pending.set(figures.commitsPending);
      gauges.held.set(figures.answersHeld);
    });
  }
}
