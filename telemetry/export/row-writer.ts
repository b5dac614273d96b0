/**
 * Rows as spans of an OTLP request (`ExportTraceServiceRequest`), written in one pass: a span is a copy of bytes made once for
 * its shape, with ids, times and numbers put in their places. An object for each span and attribute, as the SDK makes them, cost
 * more than the write that was traced.
 */
import assert from 'node:assert/strict';
import {
  appendBytes,
  appendPlaces,
  batchPlaces,
  idBytes,
  numberBytes,
  rowKinds,
  spanPlaces,
} from '../trace/row-layout.ts';
import type { SpanTemplate } from './otlp-messages.ts';
import { SpanBytes } from './span-bytes.ts';
import type { TemplateTable } from './template-table.ts';

const firstBlockBytes = 4_096;

/** Rows, and the table of their shapes. */
export interface RowBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How many the rows stand for. */
  readonly spans: number;
  readonly templates: TemplateTable;
}

/** Writes rows into bytes. One writer for many requests: it keeps the memory it works in. */
export class RowWriter {
  private readonly appends = new AppendBlock();

  /** Adds the spans of some rows to `out`. */
  write({ bytes, templates }: RowBatch, out: SpanBytes): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const { appends } = this;
    for (let at = 0; at < bytes.length; ) {
      const kind = view.getUint8(at);
      if (kind === rowKinds.batch) {
        at = appends.use(view, at, templates);
      } else {
        assert(kind === rowKinds.span || kind === rowKinds.commit, 'T7: a row of a known kind');
        const hasParent = view.getUint8(at + spanPlaces.hasParent) !== 0;
        const template = templates.of(view.getUint16(at + spanPlaces.shape, true), hasParent);
        writeSpan(view, at, template, hasParent, out);
        if (kind === rowKinds.commit) appends.write(view, at, out);
        at += spanPlaces.numbers + numberBytes * template.numbers.length;
      }
    }
  }
}

function writeSpan(
  view: DataView,
  at: number,
  template: SpanTemplate,
  hasParent: boolean,
  out: SpanBytes,
): void {
  const start = out.copy(template.bytes);
  out.put(start + template.traceId, view, at + spanPlaces.traceId, idBytes.trace);
  out.put(start + template.spanId, view, at + spanPlaces.spanId, idBytes.span);
  if (hasParent) out.put(start + template.parentSpanId, view, at + spanPlaces.parentSpanId, idBytes.span);
  const startUs = view.getFloat64(at + spanPlaces.start, true);
  writeTimes(out, start, template, startUs, view.getFloat64(at + spanPlaces.end, true));
  const { numbers } = template;
  for (let index = 0; index < numbers.length; index++)
    out.anyNumber(
      start + (numbers[index] ?? 0),
      view.getFloat64(at + spanPlaces.numbers + numberBytes * index, true),
    );
}

/** A span never ends before it begins: the clocks of two processes may say so. */
function writeTimes(
  out: SpanBytes,
  at: number,
  template: SpanTemplate,
  startUs: number,
  endUs: number,
): void {
  out.nanoseconds(at + template.start, startUs);
  out.nanoseconds(at + template.end, Math.max(startUs, endUs));
}

/**
 * The `append` spans of one batch. They are the same for each of its commits but for ids, so a commit's are a copy with
 * those filled in: six of the eight spans of a write, for a tenth of what they cost one by one. What write they belong to,
 * its LSN and epoch, their parent says.
 */
class AppendBlock {
  private readonly block = new SpanBytes(Buffer.alloc(firstBlockBytes));
  private count = 0;
  private readonly traceIds: number[] = [];
  private readonly spanIds: number[] = [];
  private readonly parents: number[] = [];

  /** Takes the batch whose row begins at `row`. @returns where the next row begins. */
  use(view: DataView, row: number, templates: TemplateTable): number {
    const { block } = this;
    block.clear();
    this.count = view.getUint8(row + batchPlaces.count);
    let at = row + batchPlaces.appends;
    for (let index = 0; index < this.count; index++) {
      const template = templates.of(view.getUint16(at + appendPlaces.shape, true), true);
      const start = block.copy(template.bytes);
      const startUs = view.getFloat64(at + appendPlaces.start, true);
      writeTimes(block, start, template, startUs, view.getFloat64(at + appendPlaces.end, true));
      this.traceIds[index] = start + template.traceId;
      this.spanIds[index] = start + template.spanId;
      this.parents[index] = start + template.parentSpanId;
      at += appendBytes;
    }
    return at;
  }

  /** Writes them for the commit whose row begins at `row`. */
  write(view: DataView, row: number, out: SpanBytes): void {
    const start = out.copy(this.block.written);
    const { count, traceIds, spanIds, parents } = this;
    const traceId = row + spanPlaces.traceId;
    const spanId = row + spanPlaces.spanId;
    for (let index = 0; index < count; index++) {
      out.put(start + (traceIds[index] ?? 0), view, traceId, idBytes.trace);
      out.put(start + (parents[index] ?? 0), view, spanId, idBytes.span);
      // Not drawn anew: rows that are sent again, since a collector did not answer, must be the same spans.
      const at = start + (spanIds[index] ?? 0);
      out.put(at, view, spanId, idBytes.span);
      out.change(at, index + 1);
    }
  }
}
