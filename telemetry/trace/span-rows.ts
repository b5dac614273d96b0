/**
 * Rows: what is recorded of the spans there are thousands of a second, a request and the commit it made. A row is a few
 * plain values in a flat list, which is cheap to make and to hand to another thread; spans are written from it there.
 * A commit's row stands for seven spans: `commit`, and one `append` for each of six storage nodes, whose times lie in the
 * row of their batch, shared by all its commits.
 */
import type { DbSystem } from './names.ts';
import type { TraceContext } from './propagation.ts';

export const rowKinds = { server: 0, batch: 1, commit: 2 } as const;

/** A client's request. Times are whole microseconds since the Unix epoch. */
export interface ServerRow {
  /** Of the span; it is sampled. */
  readonly context: TraceContext;
  readonly parentSpanId: string | null;
  readonly startUs: number;
  readonly endUs: number;
  /** From `serverSpanName`. */
  readonly name: string;
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

/** A commit, of the batch whose row came last. */
export interface CommitRow {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly lsn: number;
  readonly epoch: number;
  readonly redoBytes: number;
  readonly startUs: number;
  readonly endUs: number;
  /** False when its reign ended before: whether it exists is unknown. */
  readonly durable: boolean;
}

/** Values of a row, the kind first. */
export const serverWidth = 16;
export const commitWidth = 10;
export const appendWidth = 7;

export function packServer(out: unknown[], row: ServerRow): void {
  const { context, error } = row;
  out.push(
    rowKinds.server,
    context.traceId,
    context.spanId,
    row.parentSpanId,
    row.startUs,
    row.endUs,
    row.name,
    row.namespace,
    row.verb,
    row.text,
    row.batchSize,
    row.consistency,
    error === null ? null : error.code,
    error === null ? null : error.message,
    row.system,
    error === null ? null : (error.status ?? error.code),
  );
}

export function packBatch(out: unknown[], appends: readonly AppendRow[]): void {
  out.push(rowKinds.batch, appends.length);
  for (const { node, az, startUs, endUs, quorum, acked, awaited } of appends)
    out.push(node, az, startUs, endUs, quorum, acked, awaited);
}

export function packCommit(out: unknown[], row: CommitRow): void {
  out.push(
    rowKinds.commit,
    row.traceId,
    row.spanId,
    row.parentSpanId,
    row.lsn,
    row.epoch,
    row.redoBytes,
    row.startUs,
    row.endUs,
    row.durable,
  );
}
