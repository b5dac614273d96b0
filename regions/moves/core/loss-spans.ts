/**
 * Lost writes in traces: one `lost` span, an error, in the trace of every write that a loss report names, linked to the
 * failover that left it behind, and one `losses` span for the report.
 */
import { attributes, namedChild, namedTrace, type SpanFact, spanNames } from '../../../telemetry/core.ts';
import { branchOfLoss, type LossReport, type LostTrace } from './loss-report.ts';
import { operationTrace } from './move-spans.ts';

export interface LossTold {
  readonly cluster: string;
  readonly report: Omit<LossReport, 'commits'>;
  readonly traces: readonly LostTrace[];
  /** The failover that left the writes behind; null when no region that was heard knows it. */
  readonly operation: string | null;
  /** When the region began to look. Unix microseconds. */
  readonly lookedAtUs: number;
}

export function lossSpans({ cluster, report, traces, operation, lookedAtUs }: LossTold): readonly SpanFact[] {
  const { epoch, orphanEpoch, region, count, toLsn, foundAtMs } = report;
  const own = namedTrace('losses', cluster, region, `${orphanEpoch}`, `${epoch}`);
  const failover = operation === null ? null : operationTrace(cluster, operation);
  const about = {
    [attributes.branch]: branchOfLoss(report),
    [attributes.epoch]: orphanEpoch,
    [attributes.sourceRegion]: region,
    ...(operation !== null && { [attributes.operationId]: operation }),
  };
  const whole: SpanFact = {
    name: spanNames.losses,
    kind: 'internal',
    context: own,
    parentSpanId: null,
    startUs: lookedAtUs,
    endUs: Math.max(lookedAtUs, foundAtMs * 1_000),
    attributes: {
      ...about,
      [attributes.lsn]: toLsn,
      [attributes.lostWrites]: count,
      [attributes.lostWritesMarked]: traces.length,
    },
    ...(failover !== null && { links: [failover] }),
    error: {
      code: 'WRITES_LOST',
      message: `${count} writes that were durable in ${region} are not part of history any more`,
    },
  };
  const lost = traces.map(
    ({ lsn, commitTimeUs, context }): SpanFact => ({
      name: spanNames.lost,
      kind: 'internal',
      context: namedChild(context, `lost ${region} ${lsn}`),
      parentSpanId: context.spanId,
      // An instant within its commit: a span as long as it took to find out would hide the write's own.
      startUs: commitTimeUs,
      endUs: commitTimeUs,
      attributes: { ...about, [attributes.lsn]: lsn },
      links: [failover ?? own],
      error: {
        code: 'WRITE_LOST',
        message: `was durable in ${region} and is not part of history any more; \`sextant losses ${orphanEpoch}\``,
      },
    }),
  );
  return [whole, ...lost];
}
