/** What a gateway counts, and what is read from it at each scrape. */
import { AppendTimes, monotonicMs } from '../../storage/index.ts';
import {
  type Counter,
  follow,
  type Histogram,
  type MetricRegistry,
  metrics,
  serverSpanName,
} from '../../telemetry/index.ts';
import { type SqlOperation, verbOf } from '../sql/operation.ts';
import type { SqlError } from '../sql/sql.ts';
import type { ReadPreference } from '../sql/stream-state.ts';
import { WriteLoad } from './core/write-load.ts';
import type { ForwardFate } from './forward-trail.ts';

interface NodeAppends {
  readonly duration: Histogram;
  readonly refused: Counter;
  readonly unanswered: Counter;
}

interface VerbSeries {
  readonly duration: Histogram;
  readonly outcomes: Map<string, Counter>;
}

/** What is read at a scrape. */
export interface GatewayFigures {
  readonly sessions: number;
  readonly vdl: number;
  readonly epoch: number;
  /** This gateway may acknowledge writes now: of all gateways of a deployment one may, in health (R24). */
  readonly mayAcknowledge: boolean;
  readonly leaseRemainingMs: number;
  /** Storage nodes, and whether this gateway is linked to each. */
  /** Of the set of six of which the fewest can be reached, while a node is being replaced. */
  readonly writableNodes: number;
  readonly nodes: ReadonlyMap<string, boolean>;
  /** Of this gateway's reign: what each node has not acknowledged; empty without a reign. */
  readonly backlogBytes: ReadonlyMap<string, number>;
  /** Of all engines, since each was started. */
  readonly pageCaches: readonly PageCacheCounts[];
  readonly natsConnected: boolean;
  /** Null before the first read. */
  readonly controlReadMsAgo: number | null;
  readonly commitsPending: number;
  readonly commitRemainingBytes: number;
  readonly answersHeld: number;
}

/** What one engine has counted since it was started, modulo 2^32; another engine is another object. */
export interface PageCacheCounts {
  readonly engine: 'writer' | 'reader';
  readonly hits: number;
  readonly misses: number;
  /** Whose counts these are. */
  readonly of: object;
}

export class GatewayMetrics {
  /** The same of writes, for the report that consoles draw curves of. */
  readonly writes = new WriteLoad();
  /** How long storage nodes take, for the report that says which is slow. */
  readonly appendTimes = new AppendTimes();
  private readonly registry: MetricRegistry;
  private readonly verbs = new Map<string, VerbSeries>();
  private readonly commitDuration: Histogram;
  private readonly durableCommits: Counter;
  private readonly unknownCommits: Counter;
  private readonly holdDuration: Histogram;
  private readonly redoBytes: Counter;
  private readonly forwardDuration: Histogram;
  private readonly forwardAttempts: Counter;
  private readonly suspensions: Counter;
  private readonly pageReadDuration: Histogram;
  private readonly appends = new Map<string, NodeAppends>();

  constructor(registry: MetricRegistry) {
    this.registry = registry;
    this.pageReadDuration = registry.histogram(metrics.pageReadDuration).with({});
    // Words that are known beforehand are at 0 before their first event (T14).
    registry.histogram(metrics.readWaitDuration);
    registry.counter(metrics.forwardedWrites);
    registry.counter(metrics.controlUpdates);
    registry.histogram(metrics.writeStallDuration);
    registry.counter(metrics.writerTakeovers);
    this.commitDuration = registry.histogram(metrics.commitDuration).with({});
    this.durableCommits = registry.counter(metrics.commits).with({ outcome: 'durable' });
    this.unknownCommits = registry.counter(metrics.commits).with({ outcome: 'unknown' });
    this.holdDuration = registry.histogram(metrics.rpoHoldDuration).with({});
    this.redoBytes = registry.counter(metrics.redoBytes).with({});
    this.forwardDuration = registry.histogram(metrics.forwardDuration).with({});
    this.forwardAttempts = registry.counter(metrics.forwardAttempts).with({});
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

  readWaited(consistency: ReadPreference, tookMs: number): void {
    this.registry
      .histogram(metrics.readWaitDuration)
      .with({ consistency })
      .observe(tookMs / 1_000);
  }

  forwardSent(): void {
    this.forwardAttempts.add();
  }

  /** @param tookMs from sending it first to the answer of the client. */
  forwarded(outcome: ForwardFate, tookMs: number): void {
    this.registry.counter(metrics.forwardedWrites).with({ outcome }).add();
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

  takenOver(why: 'gone' | 'silent'): void {
    this.registry.counter(metrics.writerTakeovers).with({ why }).add();
  }

  stalled(cause: 'recovery' | 'lease', tookMs: number): void {
    this.registry
      .histogram(metrics.writeStallDuration)
      .with({ cause })
      .observe(tookMs / 1_000);
  }

  /** A page that no engine here had has come from the storage nodes. */
  pageRead(tookMs: number): void {
    this.pageReadDuration.observe(tookMs / 1_000);
  }

  /** A storage node has acknowledged redo of this gateway's reign. */
  appended(node: string, tookMs: number): void {
    this.appendsOf(node).duration.observe(tookMs / 1_000);
    this.appendTimes.acked(node, tookMs, monotonicMs());
  }

  appendFailed(node: string, how: 'refused' | 'unanswered'): void {
    this.appendsOf(node)[how].add();
  }

  private appendsOf(node: string): NodeAppends {
    const found = this.appends.get(node);
    if (found !== undefined) return found;
    const failures = this.registry.counter(metrics.appendFailures);
    const made = {
      duration: this.registry.histogram(metrics.appendDuration).with({ node }),
      refused: failures.with({ node, how: 'refused' }),
      unanswered: failures.with({ node, how: 'unanswered' }),
    };
    this.appends.set(node, made);
    return made;
  }

  /** Registers what is read of answers at each scrape. */
  watchAnswers(read: () => { readonly answerBytesWaiting: number; readonly readersEnded: number }): void {
    const waiting = this.registry.gauge(metrics.answerBytesWaiting).with({});
    const ended = this.registry.counter(metrics.slowReadersEnded).with({});
    const countEnded = follow(ended);
    this.registry.onScrape(() => {
      const { answerBytesWaiting, readersEnded } = read();
      waiting.set(answerBytesWaiting);
      countEnded(readersEnded);
    });
  }

  /** Registers what is read at each scrape. @param nodes of this region, by name. */
  watch(nodes: readonly string[], read: () => GatewayFigures): void {
    // What is known of each node is there from the start.
    for (const node of nodes) this.appendsOf(node);
    const gauges = {
      sessions: this.registry.gauge(metrics.sqlSessions).with({}),
      vdl: this.registry.gauge(metrics.volumeDurableLsn).with({}),
      epoch: this.registry.gauge(metrics.epoch).with({}),
      isPrimary: this.registry.gauge(metrics.isPrimary).with({}),
      lease: this.registry.gauge(metrics.leaseRemainingSeconds).with({}),
      quorum: this.registry.gauge(metrics.quorumNodes).with({}),
      pending: this.registry.gauge(metrics.commitsPending).with({}),
      remaining: this.registry.gauge(metrics.commitRemainingBytes).with({}),
      held: this.registry.gauge(metrics.rpoHeldAnswers).with({}),
      nats: this.registry.gauge(metrics.natsConnected).with({}),
    };
    const nodeUp = this.registry.gauge(metrics.storageNodeUp);
    const backlog = this.registry.gauge(metrics.appendBacklog);
    const recordAge = this.registry.gauge(metrics.controlRecordAge);
    const countPages = this.pageCacheCounter();
    this.registry.onScrape(() => {
      const figures = read();
      gauges.sessions.set(figures.sessions);
      gauges.vdl.set(figures.vdl);
      gauges.epoch.set(figures.epoch);
      gauges.isPrimary.set(figures.mayAcknowledge ? 1 : 0);
      gauges.lease.set(figures.leaseRemainingMs / 1_000);
      gauges.quorum.set(figures.writableNodes);
      gauges.pending.set(figures.commitsPending);
      gauges.remaining.set(figures.commitRemainingBytes);
      gauges.held.set(figures.answersHeld);
      gauges.nats.set(figures.natsConnected ? 1 : 0);
      if (figures.controlReadMsAgo !== null) recordAge.with({}).set(figures.controlReadMsAgo / 1_000);
      nodeUp.clear();
      for (const [node, up] of figures.nodes) nodeUp.with({ node }).set(up ? 1 : 0);
      backlog.clear();
      for (const [node, bytes] of figures.backlogBytes) backlog.with({ node }).set(bytes);
      countPages(figures.pageCaches);
    });
  }

  /** Engines come and go, and each counts from 0. */
  private pageCacheCounter(): (counts: readonly PageCacheCounts[]) => void {
    const hits = this.registry.counter(metrics.pageCacheHits);
    const misses = this.registry.counter(metrics.pageCacheMisses);
    const seen = new WeakMap<object, PageCacheCounts>();
    return (counts) => {
      for (const count of counts) {
        const { engine, of } = count;
        const before = seen.get(of);
        hits.with({ engine }).add(moduloWord(count.hits - (before?.hits ?? 0)));
        misses.with({ engine }).add(moduloWord(count.misses - (before?.misses ?? 0)));
        seen.set(of, count);
      }
    };
  }
}

const wordMax = 2 ** 32;
const moduloWord = (difference: number): number => (difference + wordMax) % wordMax;
