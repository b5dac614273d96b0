/**
 * Exports rows: gathers them, writes them as OTLP JSON and sends them with the transport of the SDK's own exporter, which
 * reads the same `OTEL_*` variables. Runs in the telemetry worker.
 */
import {
  convertLegacyHttpOptions,
  createOtlpHttpExportDelegate,
} from '@opentelemetry/otlp-exporter-base/node-http';
import type { BatchSettings } from '../trace/settings.ts';
import { Delivery, type TransmitResult } from './delivery.ts';
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
  /** See `DeliveryOptions`. */
  readonly settled: (exported: number, dropped: number, error: unknown) => void;
  readonly failed: (spans: number, error: unknown) => void;
}

export class RowExporter {
  readonly delivery: Delivery<RowBatch>;
  private readonly transport;
  /** Memory of requests that have been answered: a megabyte or two each, thirty times a second. */
  private readonly spare: Buffer[] = [];
  private lastWritten: Buffer | null = null;

  constructor({ batch, frame, settled, failed }: RowExporterOptions) {
    const writer = new RowWriter();
    this.transport = createOtlpHttpExportDelegate<readonly RowBatch[], null>(
      convertLegacyHttpOptions({}, 'TRACES', 'v1/traces', { 'Content-Type': 'application/json' }),
      {
        serializeRequest: (batches) => {
          const { before, after } = frame();
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
    this.delivery = new Delivery({
      spansOf: ({ spans }) => spans,
      transmit: (batches, done) => this.transmit(batches, done),
      requestSpansMax: batch.exportBatchMax,
      delayMs: batch.scheduleDelayMs,
      settled,
      failed,
    });
  }

  shutdown(): Promise<void> {
    return this.transport.shutdown();
  }

  private transmit(batches: readonly RowBatch[], done: (result: TransmitResult) => void): void {
    let memory: Buffer | null = null;
    this.transport.export(batches, (result) => {
      if (memory !== null && this.spare.length < sparesMax) this.spare.push(memory);
      done(result);
    });
    memory = this.lastWritten;
    this.lastWritten = null;
  }
}

function spansOf(batches: readonly RowBatch[]): number {
  return batches.reduce((sum, { spans }) => sum + spans, 0);
}
