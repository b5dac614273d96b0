/** A drill as one trace: the root `drill`, and below it a span for each phase and each phase of its move. */
import {
  attributes,
  drillPhaseSpanName,
  newSpanId,
  type SpanFact,
  spanNames,
  type TraceContext,
} from '../../../telemetry/index.ts';
import type { DrillReport } from '../core/drill-report.ts';

const usPerMs = 1_000;

/** The spans of a drill that has ended. @param beganAtMs its beginning, Unix milliseconds. */
export function drillSpans(
  report: DrillReport,
  context: TraceContext,
  beganAtMs: number,
): readonly SpanFact[] {
  const at = (ms: number): number => Math.round((beganAtMs + ms) * usPerMs);
  const endMs = Math.max(0, ...report.phases.map(({ endedAtMs }) => endedAtMs));
  const failure = report.checks.find(({ held }) => !held);
  const missed = report.objectives.find(({ held }) => !held);
  const why =
    failure?.name ?? (missed === undefined ? 'it did not pass' : `${missed.name} above ${missed.limit}`);
  const root: SpanFact = {
    name: spanNames.drill,
    kind: 'internal',
    context,
    parentSpanId: null,
    startUs: at(0),
    endUs: at(endMs),
    attributes: {
      [attributes.operationId]: report.id,
      [attributes.drillKind]: report.kind,
      [attributes.drillPassed]: report.passed,
      [attributes.drillRegion]: report.region,
      [attributes.drillRtoMs]: report.rtoMs ?? -1,
      [attributes.drillStallMs]: report.writeStallMs,
      [attributes.lostWrites]: report.lostWrites,
    },
    ...(!report.passed && { error: { code: 'DRILL_RED', message: why } }),
  };
  const phases = report.phases.map(
    ({ name, startedAtMs, endedAtMs, outcome }): SpanFact => ({
      name: drillPhaseSpanName(name),
      kind: 'internal',
      context: { ...context, spanId: newSpanId() },
      parentSpanId: context.spanId,
      startUs: at(startedAtMs),
      endUs: at(endedAtMs),
      attributes: { [attributes.drillKind]: report.kind, [attributes.drillRegion]: report.region },
      ...(outcome !== 'passed' && { error: { code: 'PHASE_FAILED', message: outcome } }),
    }),
  );
  return [root, ...phases];
}
