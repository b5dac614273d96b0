/**
 * The recording side of tracing. `record` appends to a bounded buffer and returns; a timer hands batches to the worker
 * thread, which owns the OpenTelemetry SDK. Nothing here waits for a collector, and nothing grows without bound.
 */
import { hostname } from 'node:os';
import { messageShare, WorkerLink } from './export/worker-link.ts';
import { createLogger, type Logger } from './log/log.ts';
import { RateLimit } from './log/rate-limit.ts';
import type { ServiceName, SpanFact } from './trace/facts.ts';
import { attributes, attributeValues } from './trace/names.ts';
import type { TraceContext } from './trace/propagation.ts';
import { ServerShapes } from './trace/row-shapes.ts';
import { defaultSampler, samplerFromEnv } from './trace/sampling.ts';
import { mergeResourceAttributes, tracingSettings } from './trace/settings.ts';
import type { AppendRow, CommitRow, ServerRow, SpanRow, SpanShape } from './trace/span-rows.ts';

export interface TelemetryOptions {
  /** `sextant-<region>`, from `serviceName(region)`. */
  readonly serviceName: ServiceName;
  readonly region: string;
  /** Unique among the processes of a deployment, such as `us-east-1/g1`. */
  readonly instanceId: string;
  /** Kind of process: `gateway`, `agent` or `storage`. */
  readonly role: string;
  /** Further resource attributes, such as `cloud.availability_zone`. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where warnings go, at most one a minute. Default: a logger of component `telemetry`. */
  readonly log?: Pick<Logger, 'warn'>;
}

export interface Telemetry {
  /** False when no collector is configured. `record` then does nothing; skip building facts for it. */
  readonly enabled: boolean;
  /**
   * Context of the first span here. Enabled: as `OTEL_TRACES_SAMPLER` decides, a child of `parent` if there is one.
   * Disabled: `parent` itself, so that what other processes export still hangs on a span that exists, or null.
   */
  begin(parent: TraceContext | null): TraceContext | null;
  /** Takes a finished span. Never blocks, never throws; unsampled facts are ignored, surplus ones counted. */
  record(fact: SpanFact): void;
  recordMany(facts: readonly SpanFact[]): void;
  /** As `record`, for one of many spans of a shape. @param numbers of the shape's `numbers`, in their order. */
  recordRow(shape: SpanShape, row: SpanRow, numbers: readonly number[]): void;
  /** As `record`, for a request of a client. */
  recordServer(row: ServerRow): void;
  /**
   * As `record`, for commits and their appends: seven spans each with six nodes. `batch` is shared by the commits of a batch
   * and told from another one by its identity.
   */
  recordCommit(row: CommitRow, batch: readonly AppendRow[]): void;
  /**
   * Resolves when everything recorded before has been exported or given up, or after `timeoutMs` (default 5000).
   * Never rejects. For tests and for the end of a drill.
   */
  flush(timeoutMs?: number): Promise<void>;
  /** Exports what it can and stops the worker, within 2 s whatever the collector does. Never rejects; idempotent. */
  shutdown(): Promise<void>;
  /** Spans a collector has accepted so far. */
  readonly exportedSpans: number;
  /** Sampled spans given up so far: buffer full, collector away, or still unsent at shutdown (T3). */
  readonly droppedSpans: number;
}

const warningIntervalMs = 60_000;
const noNumbers: readonly number[] = [];

/** Starts tracing as the standard `OTEL_*` variables say. Without an OTLP endpoint: nothing at all, and no cost. */
export function startTelemetry(options: TelemetryOptions): Telemetry {
  const env = options.env ?? process.env;
  const settings = tracingSettings(env);
  if (settings.kind === 'off' && settings.warnings.length === 0) return disabledTelemetry;

  const log =
    options.log ??
    createLogger({ service: options.serviceName, region: options.region, component: 'telemetry' });
  for (const warning of settings.warnings) log.warn(warning);
  if (settings.kind === 'off') return disabledTelemetry;

  const sampling = samplerFromEnv(env);
  if (sampling.kind === 'invalid') log.warn(`${sampling.message}; using ${defaultSampler.name}`);
  const sampler = sampling.kind === 'sampler' ? sampling.sampler : defaultSampler;

  const limit = new RateLimit(warningIntervalMs, () => performance.now());
  const link = new WorkerLink({
    settings: { serviceName: options.serviceName, batch: settings.batch },
    env: workerEnvironment(options, env),
    rowSpansMax: settings.batch.queueMax * messageShare,
    warn(message, droppedSpans) {
      const passed = limit.pass();
      if (passed !== null)
        log.warn({ dropped_spans: droppedSpans, suppressed_warnings: passed.suppressed }, message);
    },
  });
  const servers = new ServerShapes();
  return {
    enabled: true,
    begin: (parent) => sampler.start(parent),
    record(fact) {
      if (fact.context.sampled) link.push(fact);
    },
    recordMany(facts) {
      for (const fact of facts) if (fact.context.sampled) link.push(fact);
    },
    recordRow: (shape, row, numbers) => link.pushRow(1, (page) => page.span(shape, row, numbers)),
    recordServer: (row) =>
      link.pushRow(1, (page) => {
        const { traceId, spanId } = row.context;
        const { parentSpanId, startUs, endUs } = row;
        return page.span(servers.of(row), { traceId, spanId, parentSpanId, startUs, endUs }, noNumbers);
      }),
    recordCommit: (row, batch) => link.pushRow(1 + batch.length, (page) => page.commit(row, batch)),
    flush: (timeoutMs = 5000) => link.flush(timeoutMs),
    shutdown: () => link.shutdown(),
    get exportedSpans() {
      return link.exportedSpans;
    },
    get droppedSpans() {
      return link.droppedSpans;
    },
  };
}

/** What `startTelemetry` returns without a collector; also for tests and tools that need a `Telemetry`. */
export const disabledTelemetry: Telemetry = {
  enabled: false,
  begin: (parent) => parent,
  record: () => undefined,
  recordMany: () => undefined,
  recordRow: () => undefined,
  recordServer: () => undefined,
  recordCommit: () => undefined,
  flush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
  exportedSpans: 0,
  droppedSpans: 0,
};

/** The environment the SDK sees: the user's, without what would contradict the choices made here. */
function workerEnvironment(
  options: TelemetryOptions,
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const defaults = {
    [attributes.serviceNamespace]: attributeValues.serviceNamespace,
    [attributes.serviceInstanceId]: options.instanceId,
    [attributes.hostName]: hostname(),
    [attributes.cloudRegion]: options.region,
    [attributes.role]: options.role,
    ...options.attributes,
  };
  const identity = { [attributes.serviceName]: options.serviceName };
  // The worker thread needs no other variables, and so is not given any secret of the process. With OTEL_LOG_LEVEL the
  // SDK would write plain text to the console, between the lines of JSON.
  const kept = Object.entries(env).filter(
    ([name]) => name !== 'OTEL_LOG_LEVEL' && /^(OTEL_|NODE_EXTRA_CA_CERTS$|SSL_CERT_|TZ$)/.test(name),
  );
  const detectors = (env.OTEL_NODE_RESOURCE_DETECTORS ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'none' && name !== 'env' && name !== 'serviceinstance');
  return {
    ...Object.fromEntries(kept),
    OTEL_RESOURCE_ATTRIBUTES: mergeResourceAttributes(env.OTEL_RESOURCE_ATTRIBUTES, defaults, identity),
    OTEL_SERVICE_NAME: options.serviceName,
    // `env` reads the lines above. Others only when asked for: `process` would put the command line on every batch.
    OTEL_NODE_RESOURCE_DETECTORS: [...detectors, 'env'].join(','),
  };
}
