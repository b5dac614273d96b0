/** Rows being gathered for one message: bytes that are used again for the next one, and the table of their shapes. */
import assert from 'node:assert/strict';
import { writeHex } from './propagation.ts';
import {
  appendBytes,
  appendPlaces,
  appendsMax,
  batchPlaces,
  idBytes,
  numberBytes,
  rowKinds,
  spanPlaces,
} from './row-layout.ts';
import { AppendShapes, commitShapes } from './row-shapes.ts';
import { ShapeTable } from './shape-table.ts';
import type { AppendRow, CommitRow, SpanRow, SpanShape } from './span-rows.ts';

/** Holds a thousand commits with their requests, or half as many of which each has a batch of its own. */
const pageBytes = 131_072;

/** Rows of one message. Their shapes are those of a table as it stood then, or later. */
export interface SealedRows {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How many they stand for. */
  readonly spans: number;
  readonly table: ShapeTable;
}

export class RowPage {
  /** Spans that the rows on it stand for. */
  spans = 0;
  private size = 0;
  private readonly bytes = new Uint8Array(pageBytes);
  private readonly view = new DataView(this.bytes.buffer);
  private table = new ShapeTable();
  private readonly appendShapes = new AppendShapes();
  /** Of the row of a batch that came last. */
  private batch: readonly AppendRow[] | null = null;

  /** @returns false when there is no room for it. @param numbers as many as the shape has. */
  span(shape: SpanShape, row: SpanRow, numbers: readonly number[]): boolean {
    const size = spanPlaces.numbers + numberBytes * numbers.length;
    if (this.size + size > pageBytes) return false;
    assert(numbers.length === shape.numbers.length, 'T7: a number for each place');
    const at = this.put(rowKinds.span, shape, row);
    for (let index = 0; index < numbers.length; index++)
      this.view.setFloat64(at + spanPlaces.numbers + numberBytes * index, numbers[index] ?? 0, true);
    this.size = at + size;
    this.spans += 1;
    return true;
  }

  /** As `span`, with its appends. @param appends of its batch, which is told from another one by its identity. */
  commit(row: CommitRow, appends: readonly AppendRow[]): boolean {
    const isOther = this.batch !== appends;
    const batchBytes = isOther ? batchPlaces.appends + appendBytes * appends.length : 0;
    const size = spanPlaces.numbers + 3 * numberBytes;
    if (this.size + batchBytes + size > pageBytes) return false;
    if (isOther) this.putBatch(appends);
    const at = this.put(rowKinds.commit, row.durable ? commitShapes.durable : commitShapes.unknown, row);
    const { view } = this;
    view.setFloat64(at + spanPlaces.numbers, row.lsn, true);
    view.setFloat64(at + spanPlaces.numbers + numberBytes, row.epoch, true);
    view.setFloat64(at + spanPlaces.numbers + 2 * numberBytes, row.redoBytes, true);
    this.size = at + size;
    this.spans += 1 + appends.length;
    return true;
  }

  /** What is on it; it is empty then. */
  take(): SealedRows {
    const { spans, table } = this;
    const bytes = this.bytes.slice(0, this.size);
    this.size = 0;
    this.spans = 0;
    this.batch = null;
    if (table.isFull) this.table = new ShapeTable();
    return { bytes, spans, table };
  }

  private put(kind: number, shape: SpanShape, row: SpanRow): number {
    const { bytes, view, size: at } = this;
    const { parentSpanId } = row;
    bytes[at] = kind;
    bytes[at + spanPlaces.hasParent] = parentSpanId === null ? 0 : 1;
    view.setUint16(at + spanPlaces.shape, this.table.numberOf(shape), true);
    writeHex(row.traceId, idBytes.trace, bytes, at + spanPlaces.traceId);
    writeHex(row.spanId, idBytes.span, bytes, at + spanPlaces.spanId);
    if (parentSpanId === null) bytes.fill(0, at + spanPlaces.parentSpanId, at + spanPlaces.start);
    else writeHex(parentSpanId, idBytes.span, bytes, at + spanPlaces.parentSpanId);
    view.setFloat64(at + spanPlaces.start, row.startUs, true);
    view.setFloat64(at + spanPlaces.end, row.endUs, true);
    return at;
  }

  private putBatch(appends: readonly AppendRow[]): void {
    assert(appends.length <= appendsMax, 'T1: the ids of the appends of a commit differ in one byte');
    const { bytes, view, table } = this;
    bytes[this.size] = rowKinds.batch;
    bytes[this.size + batchPlaces.count] = appends.length;
    let at = this.size + batchPlaces.appends;
    for (const append of appends) {
      view.setUint16(at + appendPlaces.shape, table.numberOf(this.appendShapes.of(append)), true);
      view.setFloat64(at + appendPlaces.start, append.startUs, true);
      view.setFloat64(at + appendPlaces.end, append.endUs, true);
      at += appendBytes;
    }
    this.size = at;
    this.batch = appends;
  }
}
