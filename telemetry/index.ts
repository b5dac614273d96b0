/** The door of telemetry: what the other layers may import. It loads no OpenTelemetry package. */
export * from './core.ts';
export {
  createLogger,
  type Logger,
  type LoggerOptions,
  redactText,
  traceFields,
  withTrace,
} from './log/log.ts';
export type {
  CounterDefinition,
  GaugeDefinition,
  HistogramDefinition,
  MetricDefinition,
  MetricUnit,
} from './metrics/definitions/definition.ts';
export { metricSections, metrics } from './metrics/metric-definitions.ts';
export {
  type Counter,
  type Gauge,
  type Histogram,
  type Metric,
  MetricRegistry,
  metricsContentType,
} from './metrics/metrics.ts';
export { createProcessMetrics, follow } from './metrics/process-metrics.ts';
export { queryText, queryTextMax } from './trace/query-text.ts';
export {
  createSampler,
  defaultSampler,
  type Sampler,
  type SamplerName,
  type SamplerResult,
  samplerFromEnv,
} from './trace/sampling.ts';
export type { AppendRow, CommitRow, ServerRow, SpanRow, SpanShape } from './trace/span-rows.ts';
export { disabledTelemetry, startTelemetry, type Telemetry, type TelemetryOptions } from './tracer.ts';
