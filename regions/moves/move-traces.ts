/** Where the moves of an agent, and what they lost, become spans; nothing here can fail a move or hold it up. */
import type { Telemetry } from '../../telemetry/index.ts';
import type { LossReport, LostTrace } from './core/loss-report.ts';
import { lossSpans } from './core/loss-spans.ts';
import { moveSpans, operationTrace } from './core/move-spans.ts';
import type { Operation } from './core/operations.ts';

export class MoveTraces {
  private readonly cluster: string;
  private readonly telemetry: Pick<Telemetry, 'enabled' | 'recordMany'>;

  constructor(cluster: string, telemetry: Pick<Telemetry, 'enabled' | 'recordMany'>) {
    this.cluster = cluster;
    this.telemetry = telemetry;
  }

  /** The trace of an operation, as it tells; nothing while no collector is set. */
  named(id: string): Pick<Operation, 'traceId'> {
    return this.telemetry.enabled ? { traceId: operationTrace(this.cluster, id).traceId } : {};
  }

  /** Told of every change of an operation: it is recorded with the one that ends it. */
  kept(operation: Operation): void {
    if (operation.state === 'running' || !this.telemetry.enabled) return;
    this.telemetry.recordMany(moveSpans(operation, operationTrace(this.cluster, operation.id)));
  }

  /** @param operation the failover that left the writes behind, as far as is known. */
  lost(report: LossReport, traces: readonly LostTrace[], lookedAtUs: number, operation: string | null): void {
    if (!this.telemetry.enabled) return;
    this.telemetry.recordMany(lossSpans({ cluster: this.cluster, report, traces, operation, lookedAtUs }));
  }
}
