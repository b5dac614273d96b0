/**
 * Exports rows: gathers them, writes them as OTLP JSON and sends them with the transport of the SDK's own exporter, which
 * reads the same `OTEL_*` variables. Runs in the telemetry worker.
 */
import {
  convertLegacyHttpOptions,
  createOtlpHttpExportDelegate,
} from '@opentelemetry/otlp-exporter-base/node-http';
import type { BatchSettings } from '../trace/settings.ts';
import { JsonBytes } from './json-bytes.ts';
import { RowWriter } from './otlp-json.ts';

/** About what a span takes as JSON. */
const spanBytes = 520;
const sparesMax = 3;

export interface RowBatch {
  readonly values: readonly unknown[];
  readonly spans: number;
}

export interface RowExporterOptions {
  readonly batch: BatchSettings;
  /** What surrounds the spans of a request; asked for when the first one is sent. */
  readonly frame: () => { readonly before: string; readonly after: string };
  /** Takes the fate of spans: accepted by the collector, or given up and why. */
  readonly settled: (exported: number, dropped: number, error: unknown) => void;
}

export class RowExporter {
  private readonly options: RowExporterOptions;
  private readonly delegate;
  private waiting: RowBatch[] = [];
  private waitingSpans = 0;
  private timer: NodeJS.Timeout | null = null;
  private readonly inFlight = new Set<Promise<void>>();
  /** Memory of requests that have been answered: a megabyte or two each, thirty times a second. */
  private readonly spare: Buffer[] = [];
  private lastWritten: Buffer | null = null;

  constructor(options: RowExporterOptions) {
    this.options = options;
    const writer = new RowWriter();
    this.delegate = createOtlpHttpExportDelegate<readonly RowBatch[], null>(
      convertLegacyHttpOptions({}, 'TRACES', 'v1/traces', { 'Content-Type': 'application/json' }),
      {
        serializeRequest: (batches) => {
          const { before, after } = options.frame();
          const bytes = before.length + spansOf(batches) * spanBytes;
          const out = new JsonBytes(this.spare.pop() ?? Buffer.allocUnsafeSlow(bytes));
          out.add(before);
          for (const { values } of batches) writer.write(values, out);
          const written = out.finish(after);
          this.lastWritten = out.memory;
          return written;
        },
        deserializeResponse: () => null,
      },
      'otlp_http_span_exporter',
      { name: 'span', countItems: spansOf },
      undefined,
    );
  }

  /** Takes rows; they leave when enough are together, or soon. */
  add(batch: RowBatch): void {
    this.waiting.push(batch);
    this.waitingSpans += batch.spans;
    if (this.waitingSpans >= this.options.batch.exportBatchMax) this.send();
    else this.timer ??= setTimeout(() => this.send(), this.options.batch.scheduleDelayMs);
  }

  /** Resolves when everything taken before has been exported or given up. */
  async drain(): Promise<void> {
    this.send();
    await Promise.all(this.inFlight);
  }

  async shutdown(): Promise<void> {
    await this.drain();
    await this.delegate.shutdown();
  }

  private send(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const batches = this.waiting;
    if (batches.length === 0) return;
    this.waiting = [];
    this.waitingSpans = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.inFlight.add(promise);
    this.lastWritten = null;
    this.delegate.export(batches, (result) => {
      this.inFlight.delete(promise);
      resolve();
      if (memory !== null && this.spare.length < sparesMax) this.spare.push(memory);
      const spans = spansOf(batches);
      // 0 is ExportResultCode.SUCCESS of @opentelemetry/core, which is not a dependency of its own here.
      if (result.code === 0) this.options.settled(spans, 0, undefined);
      else this.options.settled(0, spans, result.error);
    });
    const memory = this.lastWritten;
  }
}

function spansOf(batches: readonly RowBatch[]): number {
  return batches.reduce((sum, { spans }) => sum + spans, 0);
}
