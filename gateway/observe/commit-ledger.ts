/** Commits of this gateway from the engine to durable: counted, timed, and told to the tracer. */
import { type AppendFacts, type Epoch, type Lsn, wallUs } from '../../storage/index.ts';
import type { EngineCommitEvent } from '../engine/engine.ts';
import type { GatewayMetrics } from './gateway-metrics.ts';
import type { RequestTracer } from './request-tracer.ts';

export class CommitLedger {
  private readonly metrics: GatewayMetrics;
  private readonly tracer: RequestTracer;
  /** Not durable yet, in LSN order. */
  private readonly waiting: { readonly lsn: Lsn; readonly commitTimeUs: number }[] = [];

  constructor(metrics: GatewayMetrics, tracer: RequestTracer) {
    this.metrics = metrics;
    this.tracer = tracer;
  }

  /** Commits that are not durable yet. */
  get pending(): number {
    return this.waiting.length;
  }

  committed(commit: EngineCommitEvent, epoch: Epoch): void {
    this.metrics.committed(commit.mtr.byteLength);
    for (const { lsn, commitTimeUs } of commit.commits) this.waiting.push({ lsn, commitTimeUs });
    this.tracer.commitsMade(commit, epoch);
  }

  durable(vdl: Lsn, facts: readonly AppendFacts[]): void {
    const nowUs = wallUs();
    let settled = 0;
    for (const { lsn, commitTimeUs } of this.waiting) {
      if (lsn > vdl) break;
      this.metrics.durable((nowUs - commitTimeUs) / 1_000);
      settled += 1;
    }
    if (settled > 0) this.waiting.splice(0, settled);
    this.tracer.durableAt(vdl, facts);
  }

  /** What is not durable by now is unknown. */
  reignEnded(): void {
    this.metrics.unknown(this.waiting.length);
    this.waiting.length = 0;
    this.tracer.reignEnded();
  }
}
