/**
 * The telemetry worker thread, and the only file that imports the OpenTelemetry SDK. It turns facts into spans with the
 * ids and times they were recorded with, and exports them as OTLP/HTTP JSON. Whatever happens to the collector happens
 * here, away from the event loop that serves writes.
 */
import assert from 'node:assert/strict';
import { parentPort, workerData } from 'node:worker_threads';
import {
  type DiagLogger,
  DiagLogLevel,
  diag,
  isValidSpanId,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  type IdGenerator,
  type ReadableSpan,
  type SpanExporter,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { z } from 'zod';
import { sextantVersion } from '../metrics/version.ts';
import type { AttributeValue, ServiceName, SpanFact } from '../trace/facts.ts';
import { attributes } from '../trace/names.ts';
import { Delivery } from './delivery.ts';
import { requestFrame } from './otlp-messages.ts';
import { RowExporter } from './row-exporter.ts';
import { TemplateTable } from './template-table.ts';
import type { FromWorker, RowsMessage, ToWorker, WorkerSettings } from './worker-protocol.ts';

assert(parentPort !== null, 'otel-worker.ts runs only as a worker thread');
const port = parentPort;
const settings: WorkerSettings = workerData;
const send = (message: FromWorker): void => port.postMessage(message);

const spanKinds: Readonly<Record<SpanFact['kind'], SpanKind>> = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

/** Gives the SDK the ids of the fact being converted instead of new ones (T1). */
class PresetIds implements IdGenerator {
  #traceId = '';
  #spanId = '';
  use(traceId: string, spanId: string): void {
    this.#traceId = traceId;
    this.#spanId = spanId;
  }
  generateTraceId(): string {
    return this.#traceId;
  }
  generateSpanId(): string {
    return this.#spanId;
  }
}

/** Spans converted and not yet exported or given up. Kept at or below `queueMax`, so the SDK never drops in silence. */
let unsettled = 0;

function settle(exported: number, dropped: number): void {
  unsettled -= exported + dropped;
  assert(unsettled >= 0, 'T3: a span has one fate');
  send({ kind: 'settled', exported, dropped });
}

/** Takes the spans of the SDK for a delivery of its own, which keeps them while the collector is away; the SDK would not. */
class QueuedExporter implements SpanExporter {
  readonly #inner = new OTLPTraceExporter();
  readonly delivery = new Delivery<ReadableSpan[]>({
    spansOf: (spans) => spans.length,
    transmit: (batches, done) => this.#inner.export(batches.flat(), done),
    requestSpansMax: settings.batch.exportBatchMax,
    // They have waited in the SDK.
    delayMs: 0,
    settled: fate,
    failed: waits,
  });

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.delivery.add(spans);
    // 0 is ExportResultCode.SUCCESS of @opentelemetry/core, which is not a dependency of its own here.
    done({ code: 0 });
  }
  forceFlush(): Promise<void> {
    return this.#inner.forceFlush();
  }
  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }
}

function fate(exported: number, dropped: number, error: unknown): void {
  if (dropped > 0)
    send({ kind: 'warning', message: `the collector took none of ${dropped} spans: ${reason(error)}` });
  settle(exported, dropped);
}

function waits(spans: number, error: unknown): void {
  send({ kind: 'warning', message: `the collector takes no spans now, and ${spans} wait: ${reason(error)}` });
}

/** Name, code and message only: the data of an exporter error is the collector's answer, which may hold anything. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const code = 'code' in error && error.code !== undefined ? ` (${String(error.code)})` : '';
  // Refused connections come as an AggregateError without a message of its own.
  const message =
    error.message === '' && error instanceof AggregateError
      ? error.errors.map(String).join('; ')
      : error.message;
  return `${message.slice(0, 300)}${code}`;
}

const forward = (message: string): void =>
  send({ kind: 'warning', message: `opentelemetry: ${message.slice(0, 300)}` });
const silent = (): void => undefined;
// Errors of the exporter reach the operator through `fate` and `waits`; here they would only repeat themselves.
const diagLogger: DiagLogger = { error: silent, warn: forward, info: silent, debug: silent, verbose: silent };
diag.setLogger(diagLogger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });

const ids = new PresetIds();
const { batch } = settings;
const exporter = new QueuedExporter();
const processor = new BatchSpanProcessor({
  exporter,
  scheduledDelayMillis: batch.scheduleDelayMs,
  maxExportBatchSize: batch.exportBatchMax,
  maxQueueSize: batch.queueMax,
  exportTimeoutMillis: batch.exportTimeoutMs,
});
const sdk = new NodeSDK({
  serviceName: settings.serviceName,
  spanProcessors: [processor],
  // Left out, these two would start OTLP exporters for metrics and logs, which Jaeger refuses.
  metricReaders: [],
  logRecordProcessors: [],
  textMapPropagator: null,
  idGenerator: ids,
  // The decision was taken at the head of the trace: every fact that arrives here is to be kept.
  sampler: new AlwaysOnSampler(),
});
sdk.start();
const scopeName = 'sextant';
const tracer = trace.getTracer(scopeName, sextantVersion);
/** Of services that are not this process's own: their spans have its resource, but for the name. */
const otherTracers = new Map<ServiceName, Tracer>();

function tracerOf(service: ServiceName | undefined): Tracer {
  if (service === undefined || service === settings.serviceName) return tracer;
  const known = otherTracers.get(service);
  if (known !== undefined) return known;
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ ...resourceOfSdk(), [attributes.serviceName]: service }),
    // The same queue, the same exporter: whose spans they are makes no difference to their fate (T3).
    spanProcessors: [processor],
    idGenerator: ids,
    sampler: new AlwaysOnSampler(),
  });
  const made = provider.getTracer(scopeName, sextantVersion);
  otherTracers.set(service, made);
  return made;
}

const resourceSchema = z.looseObject({
  resource: z.looseObject({
    attributes: z.record(
      z.string(),
      z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]).optional(),
    ),
  }),
});

/** Exact: a microsecond count below 2^53 splits into seconds and nanoseconds without rounding. */
function hrTime(us: number): [seconds: number, nanoseconds: number] {
  const seconds = Math.floor(us / 1e6);
  return [seconds, Math.round((us - seconds * 1e6) * 1000)];
}

/**
 * A collector refuses a whole batch for one number that OTLP's JSON does not have: an infinity, not a number, or a whole number beyond
 * 64 bits. Beyond 53 bits it would not be the number that was meant.
 */
function isJsonNumber(value: number): boolean {
  return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
}

function exportFact(fact: SpanFact): void {
  const { context, parentSpanId, startUs, endUs, error, links = [] } = fact;
  const own = tracerOf(fact.service);
  ids.use(context.traceId, context.spanId);
  const parent =
    parentSpanId === null
      ? ROOT_CONTEXT
      : trace.setSpanContext(ROOT_CONTEXT, {
          traceId: context.traceId,
          spanId: parentSpanId,
          traceFlags: TraceFlags.SAMPLED,
          isRemote: true,
        });
  const spanAttributes: Record<string, string | number | boolean | string[]> = {};
  for (const [key, value] of Object.entries(fact.attributes)) {
    if (typeof value === 'number' && !isJsonNumber(value)) continue;
    spanAttributes[key] = typeof value === 'object' ? [...value] : value;
  }
  if (error !== undefined) spanAttributes[attributes.errorType] = error.code;
  if (endUs < startUs) spanAttributes[attributes.clockSkewMs] ??= (endUs - startUs) / 1000;
  const span = own.startSpan(
    fact.name,
    {
      kind: spanKinds[fact.kind],
      startTime: hrTime(startUs),
      attributes: spanAttributes,
      links: links.map((link) => ({
        context: { ...link, traceFlags: TraceFlags.SAMPLED, isRemote: true },
      })),
    },
    parent,
  );
  if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
  span.end(hrTime(Math.max(startUs, endUs)));
}

/** The SDK would take a malformed fact and fail later, with the whole batch it is in. */
function wellFormed({ context, parentSpanId, startUs, endUs, links = [] }: SpanFact): boolean {
  return (
    [context, ...links].every((ids) =>
      trace.isSpanContextValid({ ...ids, traceFlags: TraceFlags.SAMPLED }),
    ) &&
    (parentSpanId === null || isValidSpanId(parentSpanId)) &&
    Number.isSafeInteger(Math.trunc(startUs)) &&
    Number.isSafeInteger(Math.trunc(endUs)) &&
    startUs >= 0
  );
}

function accept(facts: readonly SpanFact[]): void {
  makeRoom(facts.length);
  const room = Math.max(0, batch.queueMax - unsettled);
  unsettled += facts.length;
  let dropped = 0;
  for (const [index, fact] of facts.entries()) {
    if (index >= room) {
      dropped++;
    } else if (wellFormed(fact)) {
      exportFact(fact);
    } else {
      dropped++;
      send({ kind: 'warning', message: `a malformed span fact was dropped: ${fact.name}` });
    }
  }
  if (dropped > 0) settle(0, dropped);
  send({ kind: 'taken', spans: facts.length });
}

const rows = new RowExporter({
  batch,
  frame: () => (frame ??= requestFrame(resourceOfSdk(), { name: scopeName, version: sextantVersion })),
  settled: fate,
  failed: waits,
});
let frame: ReturnType<typeof requestFrame> | undefined;

/** The attributes the SDK would put on every span, whatever detectors it was told to use. */
function resourceOfSdk(): Readonly<Record<string, AttributeValue>> {
  const probe: unknown = tracer.startSpan('probe');
  const found: Record<string, AttributeValue> = {};
  const parsed = resourceSchema.parse(probe).resource.attributes;
  for (const [key, value] of Object.entries(parsed)) if (value !== undefined) found[key] = value;
  return found;
}

/** What is oldest gives way, so that a collector that was away long hears of now (T3); rare spans outlast common ones. */
function makeRoom(spans: number): void {
  while (unsettled + spans > batch.queueMax)
    if (!rows.delivery.dropOldest() && !exporter.delivery.dropOldest()) return;
}

/** Of the shapes that rows name. What waits for the collector may still be of an earlier one. */
let templates = new TemplateTable();

function acceptRows({ bytes, spans, beginsTable, shapes }: RowsMessage): void {
  makeRoom(spans);
  unsettled += spans;
  if (beginsTable) templates = new TemplateTable();
  templates.add(shapes);
  if (unsettled > batch.queueMax) settle(0, spans);
  else rows.delivery.add({ bytes, spans, templates });
  send({ kind: 'taken', spans });
}

/** Everything converted before is exported or given up. */
async function drain(): Promise<void> {
  await processor.forceFlush();
  await Promise.all([exporter.delivery.drain(), rows.delivery.drain()]);
}

async function stop(): Promise<void> {
  await drain();
  await Promise.allSettled([sdk.shutdown(), rows.shutdown()]);
}

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'facts':
      accept(message.facts);
      return;
    case 'rows':
      acceptRows(message);
      return;
    case 'flush':
      void drain().then(() => send({ kind: 'flushed', id: message.id }));
      return;
    case 'shutdown':
      void stop().then(() => send({ kind: 'stopped' }));
      return;
  }
});
