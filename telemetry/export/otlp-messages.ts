/**
 * Messages of OTLP (`opentelemetry/proto/trace/v1/trace.proto`, `common/v1`, `resource/v1`) as Protocol Buffers: what is made
 * once and copied often. Fields that have their default value are left out.
 */
import type { AttributeValue, SpanKind } from '../trace/facts.ts';
import type { SpanShape } from '../trace/span-rows.ts';
import { paddedBytes, type SpanBytes } from './span-bytes.ts';

const wire = { varint: 0, fixed64: 1, delimited: 2, fixed32: 5 } as const;
const idBytes = { trace: 16, span: 8 } as const;
/** Bytes of the lengths of what is not known until a request is complete. */
const openLengthBytes = 5;

/** Kinds of spans, as they are numbered. */
const kinds: Readonly<Record<SpanKind, number>> = {
  internal: 1,
  server: 2,
  client: 3,
  producer: 4,
  consumer: 5,
};
/** Sampled; and whether its parent, if any, may be in another process. */
const flags = { root: 0x101, child: 0x301 } as const;
const statusError = 2;

function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

const tag = (field: number, type: number): Buffer => varint(field * 8 + type);

function delimited(field: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([tag(field, wire.delimited), varint(length), ...parts]);
}

const text = (field: number, value: string): Buffer => delimited(field, Buffer.from(value));

function anyValue(value: AttributeValue): Buffer {
  switch (typeof value) {
    case 'string':
      return text(1, value);
    case 'boolean':
      return Buffer.concat([tag(2, wire.varint), varint(value ? 1 : 0)]);
    case 'number': {
      if (Number.isInteger(value)) return Buffer.concat([tag(3, wire.varint), varint(value)]);
      const double = Buffer.alloc(8);
      double.writeDoubleLE(value);
      return Buffer.concat([tag(4, wire.fixed64), double]);
    }
    default:
      return delimited(5, ...value.map((one) => delimited(1, anyValue(one))));
  }
}

/** One attribute, in the field that attributes have in the message around it. */
function attribute(field: number, key: string, value: Uint8Array): Buffer {
  return delimited(field, text(1, key), delimited(2, value));
}

/** A span with empty places for what differs, as a field of its scope. Places are offsets into `bytes`. */
export interface SpanTemplate {
  readonly bytes: Buffer;
  readonly traceId: number;
  readonly spanId: number;
  /** 0 without a parent. */
  readonly parentSpanId: number;
  readonly start: number;
  readonly end: number;
  /** Of the shape's `numbers`, in their order: an `AnyValue` of `1 + paddedBytes` each. */
  readonly numbers: readonly number[];
}

export function spanTemplate(shape: SpanShape, hasParent: boolean): SpanTemplate {
  const parts: Buffer[] = [];
  let size = 0;
  /** @returns where the last `place` bytes of what is added lie. */
  const add = (part: Buffer, place = 0): number => {
    parts.push(part);
    size += part.length;
    return size - place;
  };
  const time = (field: number): Buffer => Buffer.concat([tag(field, wire.fixed64), Buffer.alloc(8)]);
  const flag = Buffer.alloc(4);
  flag.writeUInt32LE(hasParent ? flags.child : flags.root);

  const traceId = add(delimited(1, Buffer.alloc(idBytes.trace)), idBytes.trace);
  const spanId = add(delimited(2, Buffer.alloc(idBytes.span)), idBytes.span);
  const parent = hasParent ? add(delimited(4, Buffer.alloc(idBytes.span)), idBytes.span) : null;
  add(text(5, shape.name));
  add(Buffer.concat([tag(6, wire.varint), varint(kinds[shape.kind])]));
  const start = add(time(7), 8);
  const end = add(time(8), 8);
  for (const [key, value] of shape.attributes) add(attribute(9, key, anyValue(value)));
  const numbers = shape.numbers.map((key) =>
    add(attribute(9, key, Buffer.alloc(1 + paddedBytes)), 1 + paddedBytes),
  );
  if (shape.failure !== null)
    add(delimited(15, text(2, shape.failure), tag(3, wire.varint), varint(statusError)));
  add(Buffer.concat([tag(16, wire.fixed32), flag]));

  const bytes = delimited(2, ...parts);
  const before = bytes.length - size;
  return {
    bytes,
    traceId: before + traceId,
    spanId: before + spanId,
    parentSpanId: parent === null ? 0 : before + parent,
    start: before + start,
    end: before + end,
    numbers: numbers.map((at) => before + at),
  };
}

/** What stands before the spans of a request. */
export interface RequestFrame {
  readonly before: Buffer;
  /** Places of lengths that reach to the end of the request, `openLengthBytes` each. */
  readonly lengths: readonly number[];
}

export function requestFrame(
  resource: Readonly<Record<string, AttributeValue>>,
  scope: { readonly name: string; readonly version: string },
): RequestFrame {
  const own = Object.entries(resource).map(([key, value]) => attribute(1, key, anyValue(value)));
  const open = (field: number): Buffer =>
    Buffer.concat([tag(field, wire.delimited), Buffer.alloc(openLengthBytes)]);
  const request = open(1);
  const resourceSpans = Buffer.concat([request, delimited(1, ...own), open(2)]);
  return {
    before: Buffer.concat([resourceSpans, delimited(1, text(1, scope.name), text(2, scope.version))]),
    lengths: [request.length - openLengthBytes, resourceSpans.length - openLengthBytes],
  };
}

/** Fills the lengths of a frame in that `out` began with. */
export function closeFrame(frame: RequestFrame, out: SpanBytes): void {
  for (const at of frame.lengths) out.padded(at, out.size - at - openLengthBytes, openLengthBytes);
}
