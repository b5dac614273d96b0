/**
 * Trace contexts: the W3C `traceparent` header, and the 25 bytes in which a commit record carries the same thing to
 * every region. `tracestate` and baggage are not carried: a log record has no room for what clients may put there.
 */
import assert from 'node:assert/strict';
import { createHash, randomFillSync } from 'node:crypto';

/** Identity of one span. Ids are lower-case hex and never all zero (T2). */
export interface TraceContext {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** Decided once, at the head of the trace, and obeyed by every region. */
  readonly sampled: boolean;
}

/** Size of a trace context in a commit record: trace id 16, span id 8, flags 1. */
export const traceContextBytes = 25;

const traceIdBytes = 16;
const spanIdBytes = 8;
const sampledFlag = 0x01;
const zeroTraceId = '0'.repeat(traceIdBytes * 2);
const zeroSpanId = '0'.repeat(spanIdBytes * 2);
const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/**
 * Reads a `traceparent` header as W3C Trace Context asks: version 00 is exactly four fields, a later version may have
 * more, `ff` and zero ids are invalid. Anything else, including a header sent twice, is null: never an error, since a
 * client's broken tracing must not break its queries.
 */
export function parseTraceparent(header: unknown): TraceContext | null {
  // 512 bounds the work for a hostile header; the specification wants no particular limit.
  if (typeof header !== 'string' || header.length > 512) return null;
  const match = pattern.exec(header.trim());
  if (match === null) return null;
  const [, version, traceId, spanId, flags, rest] = match;
  if (traceId === undefined || spanId === undefined || flags === undefined) return null;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null;
  if (traceId === zeroTraceId || spanId === zeroSpanId) return null;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & sampledFlag) !== 0 };
}

/** The version 00 header for `context`. */
export function formatTraceparent(context: TraceContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? '01' : '00'}`;
}

/**
 * Writes `context` as 25 bytes at `offset` of `target`.
 * @throws AssertionError when there is no room or an id is not hex (T2).
 */
export function writeTraceContext(context: TraceContext, target: Uint8Array, offset: number): void {
  assert(offset >= 0 && offset + traceContextBytes <= target.length, 'T2: no room for a trace context');
  assert(writeHex(context.traceId, traceIdBytes, target, offset), 'T2: bad trace id');
  assert(writeHex(context.spanId, spanIdBytes, target, offset + traceIdBytes), 'T2: bad span id');
  target[offset + traceIdBytes + spanIdBytes] = context.sampled ? sampledFlag : 0;
}

const notHex = 0xff;
/** By character code. */
const hexValues = new Uint8Array(0x80).fill(notHex);
for (let value = 0; value < 16; value++) hexValues[value.toString(16).charCodeAt(0)] = value;

/**
 * Writes lower-case hex as bytes: a third of what a view of the target and two calls of its own cost.
 * @returns false when `hex` is not that, and what was written then means nothing.
 */
export function writeHex(hex: string, byteCount: number, target: Uint8Array, offset: number): boolean {
  if (hex.length !== 2 * byteCount) return false;
  let all = 0;
  for (let at = 0; at < byteCount; at++) {
    const high = hexValues[hex.charCodeAt(2 * at)] ?? notHex;
    const low = hexValues[hex.charCodeAt(2 * at + 1)] ?? notHex;
    all |= high | low;
    target[offset + at] = (high << 4) | low;
  }
  return all <= 0x0f;
}

/** The 25 bytes of `context`. */
export function encodeTraceContext(context: TraceContext): Uint8Array {
  const bytes = new Uint8Array(traceContextBytes);
  writeTraceContext(context, bytes, 0);
  return bytes;
}

/** Reads 25 bytes at `offset`. Null when they are cut short or an id is all zero. */
export function readTraceContext(source: Uint8Array, offset = 0): TraceContext | null {
  if (offset < 0 || offset + traceContextBytes > source.length) return null;
  const bytes = Buffer.from(source.buffer, source.byteOffset + offset, traceContextBytes);
  const traceId = bytes.toString('hex', 0, traceIdBytes);
  const spanId = bytes.toString('hex', traceIdBytes, traceIdBytes + spanIdBytes);
  if (traceId === zeroTraceId || spanId === zeroSpanId) return null;
  return { traceId, spanId, sampled: ((bytes[traceIdBytes + spanIdBytes] ?? 0) & sampledFlag) !== 0 };
}

// Random digits are drawn in bulk: one call for the bytes and one to write them as hex serve some hundreds of ids.
const pool = Buffer.alloc(4096);
let digits = '';
let digitsUsed = 0;

function randomHex(byteCount: number): string {
  for (;;) {
    if (digitsUsed + 2 * byteCount > digits.length) {
      digits = randomFillSync(pool).toString('hex');
      digitsUsed = 0;
    }
    const hex = digits.slice(digitsUsed, digitsUsed + 2 * byteCount);
    digitsUsed += 2 * byteCount;
    // All zero is the one value the specification forbids.
    if (hex !== zeroTraceId && hex !== zeroSpanId) return hex;
  }
}

/** A random trace id: 32 hex digits, never all zero. */
export function newTraceId(): string {
  return randomHex(traceIdBytes);
}

/** A random span id: 16 hex digits, never all zero. */
export function newSpanId(): string {
  return randomHex(spanIdBytes);
}

/** The root of a new trace that no sampler drops: of what operators look for there is little (T9). */
export function keptTrace(): TraceContext {
  return { traceId: newTraceId(), spanId: newSpanId(), sampled: true };
}

/**
 * The span that these names always give, for work that another process may take up: whoever knows the names goes on in the
 * same trace. Like `keptTrace`, no sampler drops it.
 */
export function namedTrace(...names: readonly string[]): TraceContext {
  const digest = createHash('sha256').update(JSON.stringify(names)).digest('hex');
  const traceId = digest.slice(0, traceIdBytes * 2);
  const spanId = digest.slice(traceIdBytes * 2, (traceIdBytes + spanIdBytes) * 2);
  assert(traceId !== zeroTraceId && spanId !== zeroSpanId, 'T2: ids are not zero');
  return { traceId, spanId, sampled: true };
}

/** The child of `parent` that this name always gives: recorded twice, it is the same span. */
export function namedChild(parent: TraceContext, name: string): TraceContext {
  const { traceId, spanId, sampled } = parent;
  return { traceId, spanId: namedTrace(traceId, spanId, name).spanId, sampled };
}

/** A new span in the trace of `parent`, sampled as it is. Its `parentSpanId` is `parent.spanId`. */
export function childContext(parent: TraceContext): TraceContext {
  return { traceId: parent.traceId, spanId: newSpanId(), sampled: parent.sampled };
}
