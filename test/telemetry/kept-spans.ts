/** Telemetry for tests that keeps what is recorded. */
import { disabledTelemetry, type SpanFact, type Telemetry } from '../../telemetry/index.ts';

/** Adds every span to `spans`, those of a shape as the fact they would be. Requests and commits are left out. */
export function keepSpans(spans: SpanFact[]): Telemetry {
  return {
    ...disabledTelemetry,
    enabled: true,
    record: (fact) => void spans.push(fact),
    recordMany: (facts) => void spans.push(...facts),
    recordRow: ({ name, kind, attributes, numbers: keys }, row, numbers) => {
      const { traceId, spanId, parentSpanId, startUs, endUs } = row;
      spans.push({
        name,
        kind,
        context: { traceId, spanId, sampled: true },
        parentSpanId,
        startUs,
        endUs,
        attributes: Object.fromEntries([...attributes, ...keys.map((key, at) => [key, numbers[at] ?? 0])]),
      });
    },
  };
}
