/**
 * Exports rows: gathers them, writes them as OTLP protobuf and sends them with the transport of the SDK's own exporter, which
 * reads the same `OTEL_*` variables. Runs in the telemetry worker.
 */
import {
  convertLegacyHttpOptions,
  createOtlpHttpExportDelegate,
} from '@opentelemetry/otlp-exporter-base/node-http';
import type { BatchSettings } from '../trace/settings.ts';
import { Delivery, type TransmitResult } from './delivery.ts';
import { closeFrame, type RequestFrame } from './otlp-messages.ts';
import { type RowBatch, RowWriter } from './row-writer.ts';
import { SpanBytes } from './span-bytes.ts';

/** About what a span takes. */
const spanBytes = 200;
const sparesMax = 3;

export interface RowExporterOptions {
  readonly batch: BatchSettings;
  /** What surrounds the spans of a request; asked for when the first one is sent. */
  readonly frame: () => RequestFrame;
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
      convertLegacyHttpOptions({}, 'TRACES', 'v1/traces', { 'Content-Type': 'application/x-protobuf' }),
      {
        serializeRequest: (batches) => {
          const around = frame();
          const bytes = around.before.length + spansOf(batches) * spanBytes;
          const out = new SpanBytes(this.spare.pop() ?? Buffer.allocUnsafeSlow(bytes));
          out.copy(around.before);
          for (const one of batches) writer.write(one, out);
          closeFrame(around, out);
          this.lastWritten = out.memory;
          return out.written;
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
