/**
 * A move as one trace: the root is the move, below it a span for each phase, all of the times that its operation keeps.
 *
 * R42 A move is one trace, whoever drives it and however often it is taken up: ids follow from the operation's id, and spans
 *     are made once it has ended.
 */
import {
  attributes,
  movePhaseSpanName,
  namedChild,
  namedTrace,
  type SpanFact,
  spanNames,
  type TraceContext,
} from '../../../telemetry/core.ts';
import type { Operation } from './operations.ts';

const usPerMs = 1_000;

/** The root of an operation's trace: whoever knows its id can put a span below it, or a link to it. */
export const operationTrace = (cluster: string, id: string): TraceContext =>
  namedTrace('operation', cluster, id);

/** The spans of a move that has ended; none before. */
export function moveSpans(operation: Operation, context: TraceContext): readonly SpanFact[] {
  const { id, kind, from, target, state, phases, error, result } = operation;
  const [first] = phases;
  if (state === 'running' || first === undefined) return [];
  const atRiskBytes = result?.loss?.atRiskBytes ?? null;
  const root: SpanFact = {
    name: spanNames[kind],
    kind: 'internal',
    context,
    parentSpanId: null,
    startUs: first.startedAtMs * usPerMs,
    endUs: Math.max(...phases.map(({ startedAtMs, endedAtMs }) => endedAtMs ?? startedAtMs)) * usPerMs,
    attributes: {
      [attributes.operationId]: id,
      [attributes.sourceRegion]: from,
      [attributes.targetRegion]: target,
      ...(result !== undefined && { [attributes.epoch]: result.epoch }),
      ...(atRiskBytes !== null && { [attributes.atRiskBytes]: atRiskBytes }),
    },
    ...(error !== undefined && { error }),
  };
  const children = phases.map(
    ({ name, startedAtMs, endedAtMs }, index): SpanFact => ({
      name: movePhaseSpanName(kind, name),
      kind: 'internal',
      context: namedChild(context, `${index} ${name}`),
      parentSpanId: context.spanId,
      startUs: startedAtMs * usPerMs,
      endUs: (endedAtMs ?? startedAtMs) * usPerMs,
      attributes: { [attributes.operationId]: id },
      // The phase in which it failed.
      ...(index === phases.length - 1 && error !== undefined && { error }),
    }),
  );
  return [root, ...children];
}
