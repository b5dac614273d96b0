/** What a database's engines do: commits from the engine to durable, pages, starts; counted, timed, and told to the tracer. */
import {
  type AppendEnd,
  type AppendFacts,
  type Epoch,
  type Lsn,
  monotonicMs,
  type NodeId,
  wallUs,
} from '../../storage/index.ts';
import type { Counter } from '../../telemetry/index.ts';
import type { EngineCommitEvent } from '../engine/commit-events.ts';
import type { EngineNews } from '../engine/core/engine-protocol.ts';
import { EngineTrouble } from '../engine/core/engine-trouble.ts';
import type { GatewayMetrics } from './gateway-metrics.ts';
import type { PostgresMetrics } from './postgres-metrics.ts';
import type { RequestTracer } from './request-tracer.ts';

export class CommitLedger {
  private readonly metrics: GatewayMetrics;
  private readonly tracer: RequestTracer;
  private readonly counted: Counter;
  private readonly postgres: PostgresMetrics | null;
  /** Whether its engines can start. */
  readonly trouble = new EngineTrouble();
  /** Not durable yet, in LSN order. */
  private readonly waiting: { readonly lsn: Lsn; readonly commitTimeUs: number }[] = [];
  /** Durable here, while answers wait for another region, in LSN order. */
  private readonly held: { readonly lsn: Lsn; readonly durableUs: number }[] = [];

  /** @param counted the commits of this database. @param postgres null where SQLite keeps it. */
  constructor(
    metrics: GatewayMetrics,
    tracer: RequestTracer,
    counted: Counter,
    postgres: PostgresMetrics | null,
  ) {
    this.counted = counted;
    this.postgres = postgres;
    this.metrics = metrics;
    this.tracer = tracer;
  }

  /** Commits that are not durable yet. */
  get pending(): number {
    return this.waiting.length;
  }

  committed(commit: EngineCommitEvent, epoch: Epoch): void {
    this.metrics.committed(commit.mtr.byteLength);
    this.counted.add(commit.commits.length);
    for (const { lsn, commitTimeUs } of commit.commits) this.waiting.push({ lsn, commitTimeUs });
    this.tracer.commitsMade(commit, epoch);
  }

  /** @param free answers that saw no more may leave: commits beyond wait for another region. */
  durable(vdl: Lsn, facts: readonly AppendFacts[], free: Lsn): void {
    const nowUs = wallUs();
    let settled = 0;
    for (const { lsn, commitTimeUs } of this.waiting) {
      if (lsn > vdl) break;
      this.metrics.durable((nowUs - commitTimeUs) / 1_000);
      if (lsn > free) this.held.push({ lsn, durableUs: nowUs });
      settled += 1;
    }
    if (settled > 0) this.waiting.splice(0, settled);
    this.tracer.durableAt(vdl, facts, free);
  }

  freed(free: Lsn): void {
    if (this.held.length === 0) return;
    const nowUs = wallUs();
    let left = 0;
    for (const { lsn, durableUs } of this.held) {
      if (lsn > free) break;
      this.metrics.heldBack((nowUs - durableUs) / 1_000);
      left += 1;
    }
    this.held.splice(0, left);
    this.tracer.freedAt(free);
  }

  appended(node: NodeId, how: AppendEnd, tookMs: number): void {
    if (how === 'acked') this.metrics.appended(node, tookMs);
    else this.metrics.appendFailed(node, how);
  }

  pageRead(tookMs: number): void {
    this.metrics.pageRead(tookMs);
  }

  engineDid(engine: 'writer' | 'reader', news: EngineNews): void {
    this.postgres?.heard(engine, news);
    this.trouble.heard(engine, news, monotonicMs());
  }

  /** What is not durable by now is unknown. */
  reignEnded(): void {
    this.metrics.unknown(this.waiting.length);
    this.waiting.length = 0;
    this.held.length = 0;
    this.tracer.reignEnded();
  }
}
