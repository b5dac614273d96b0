/** The light half of the door: what cores, engine threads and the CLI import without loading the rest. */
export { type JaegerPages, jaegerPages, type TraceSearch } from './jaeger/core/links.ts';
export { brokenPipeExitCode, endOnBrokenPipe, onBrokenPipe } from './log/broken-pipe.ts';
export { RateLimit } from './log/rate-limit.ts';
export { sextantVersion } from './metrics/version.ts';
export type { AttributeValue, ServiceName, SpanFact, SpanKind, SpanLink } from './trace/facts.ts';
export {
  appendSpanName,
  attributes,
  attributeValues,
  type DbSystem,
  drillPhaseSpanName,
  lagServiceName,
  lagSpanName,
  movePhaseSpanName,
  recoveryPhaseSpanName,
  replicateSpanName,
  serverSpanName,
  serviceName,
  spanNames,
  traceparentHeader,
} from './trace/names.ts';
export {
  childContext,
  encodeTraceContext,
  formatTraceparent,
  keptTrace,
  namedChild,
  namedTrace,
  newSpanId,
  newTraceId,
  parseTraceparent,
  readTraceContext,
  type TraceContext,
  traceContextBytes,
  writeTraceContext,
} from './trace/propagation.ts';
