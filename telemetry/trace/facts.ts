/**
 * What a process records about one span: plain data, complete when recorded. No span object lives while a write is in
 * flight; spans are built from facts later, in another thread. Facts cross threads by structured clone, so they hold
 * nothing but strings, numbers, booleans and arrays of strings.
 */
import type { AttributeKey, SpanName } from './names.ts';
import type { TraceContext } from './propagation.ts';

export type SpanKind = 'server' | 'internal' | 'client' | 'producer' | 'consumer';

export type AttributeValue = string | number | boolean | readonly string[];

/** A span in whatever trace, which need not have arrived yet. */
export type SpanLink = Pick<TraceContext, 'traceId' | 'spanId'>;

/** From `serviceName`, or one that is not a region's. */
export type ServiceName = `sextant-${string}`;

export interface SpanFact {
  readonly name: SpanName;
  readonly kind: SpanKind;
  /** The span's own ids, exported exactly as they are (T1). A fact that is not sampled is ignored. */
  readonly context: TraceContext;
  /** Span id of the parent, in the same trace, in whichever process it is; null for a root. */
  readonly parentSpanId: string | null;
  /** Whole microseconds since the Unix epoch; exact until the year 2255. */
  readonly startUs: number;
  /** As `startUs`. An end before the start is exported as a span of no duration with `sextant.clock_skew_ms`. */
  readonly endUs: number;
  readonly attributes: Readonly<Partial<Record<AttributeKey, AttributeValue>>>;
  /** Spans of other traces that have to do with this one; see `SpanLink`. */
  readonly links?: readonly SpanLink[];
  /** Whose span it is, when not that of the service this process belongs to. A few fixed names: each is a resource. */
  readonly service?: ServiceName;
  /** Present when the work failed: the code goes to `error.type`, the message to the span status. No secrets. */
  readonly error?: { readonly code: string; readonly message: string };
}
