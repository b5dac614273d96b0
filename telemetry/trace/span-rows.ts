/**
 * Rows: what is recorded of the spans there are thousands of a second, such as a request, the commit it made, and its way to
 * another region. What many of them have in common is a shape, told once to whoever makes spans of them; a row names its shape and adds
 * what differs: ids, times, a few numbers. A commit's row stands for seven spans: `commit`, and one `append` for each of six
 * storage nodes, whose times lie in the row of their batch, shared by all its commits.
 */
import type { AttributeValue, SpanKind } from './facts.ts';
import type { AttributeKey, DbSystem, SpanName } from './names.ts';
import type { TraceContext } from './propagation.ts';

/** What spans have in common. Known by its identity: whoever records many like it keeps it. */
export interface SpanShape {
  readonly name: SpanName;
  readonly kind: SpanKind;
  readonly attributes: readonly (readonly [key: AttributeKey, value: AttributeValue])[];
  /** Attributes whose value is a number, another one on each span. */
  readonly numbers: readonly AttributeKey[];
  /** Message of the failure; null when it is none. */
  readonly failure: string | null;
}

/** What differs. It is sampled. Times are whole microseconds since the Unix epoch. */
export interface SpanRow {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly startUs: number;
  readonly endUs: number;
}

/** A client's request. Times are whole microseconds since the Unix epoch. */
export interface ServerRow {
  /** Of the span; it is sampled. */
  readonly context: TraceContext;
  readonly parentSpanId: string | null;
  readonly startUs: number;
  readonly endUs: number;
  /** From `serverSpanName`. */
  readonly name: SpanName;
  readonly system: DbSystem;
  /** Cluster, or database, the client spoke to. */
  readonly namespace: string;
  readonly verb: string;
  /** From `queryText`. */
  readonly text: string;
  /** Statements in a batch; null when it was none. */
  readonly batchSize: number | null;
  readonly consistency: string | null;
  /** @param status what the client was told, where that is another code. */
  readonly error: { readonly code: string; readonly message: string; readonly status?: string } | null;
}

/** What one storage node did with a batch. */
export interface AppendRow {
  readonly node: string;
  readonly az: string;
  readonly startUs: number;
  readonly endUs: number;
  /** Its acknowledgement made the quorum. */
  readonly quorum: boolean;
  readonly acked: boolean;
  /** False when the commit was durable without it: nothing waited for this node (T12). */
  readonly awaited: boolean;
}

/** A commit and what it was. */
export interface CommitRow extends SpanRow {
  readonly lsn: number;
  readonly epoch: number;
  readonly redoBytes: number;
  /** False when its reign ended before: whether it exists is unknown. */
  readonly durable: boolean;
}
