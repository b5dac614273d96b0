/** The door of telemetry: what the other folders may import. It loads no OpenTelemetry package. */
export type { AttributeValue, SpanFact, SpanKind } from './facts.ts';
export { createLogger, type Logger, type LoggerOptions, redactText, traceFields, withTrace } from './log.ts';
export { metrics } from './metric-definitions.ts';
export {
  type Counter,
  type CounterDefinition,
  type Gauge,
  type GaugeDefinition,
  type Histogram,
  type HistogramDefinition,
  type Metric,
  type MetricDefinition,
  MetricRegistry,
  type MetricUnit,
  metricsContentType,
} from './metrics.ts';
export {
  attributes,
  attributeValues,
  replicateSpanName,
  serverSpanName,
  serviceName,
  spanNames,
  traceparentHeader,
} from './names.ts';
export { createProcessMetrics } from './process-metrics.ts';
export {
  childContext,
  encodeTraceContext,
  formatTraceparent,
  newSpanId,
  newTraceId,
  parseTraceparent,
  readTraceContext,
  type TraceContext,
  traceContextBytes,
  writeTraceContext,
} from './propagation.ts';
export { queryText, queryTextMax } from './query-text.ts';
export {
  createSampler,
  defaultSampler,
  type Sampler,
  type SamplerName,
  type SamplerResult,
  samplerFromEnv,
} from './sampling.ts';
export type { AppendRow, CommitRow, ServerRow } from './span-rows.ts';
export { disabledTelemetry, startTelemetry, type Telemetry, type TelemetryOptions } from './tracer.ts';
