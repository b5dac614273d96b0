/** What the benchmark tells its load generator, and what comes back. Both are of one program: nothing here comes from outside. */
import type { HistogramData } from '../measure/histogram.ts';
import type { WorkloadName } from './workload.ts';

export type Protocol = 'hrana-ws' | 'hrana-http' | 'postgres' | 'mysql' | 'etcd' | 'rqlite';

export interface Target {
  readonly protocol: Protocol;
  readonly host: string;
  readonly port: number;
  /** The authority (PEM) whose certificate the server shows; the connection is encrypted then. */
  readonly ca?: string;
}

export interface LoadPlan {
  readonly target: Target;
  readonly workload: WorkloadName;
  readonly connections: number;
  /** Streams on each connection, one statement in flight on each. More than one only with hrana-ws. */
  readonly streams: number;
  readonly warmMs: number;
  readonly measureMs: number;
  readonly seed: number;
  /** Transactions a second, whatever the answers do; latency then counts from when each was due. Null: as fast as answers come. */
  readonly perSecond: number | null;
}

export interface LoadResult {
  readonly transactions: number;
  readonly elapsedMs: number;
  readonly latency: HistogramData;
  readonly errors: number;
  readonly firstError: string | null;
  /** Longest time without an answer that was not an error, milliseconds. */
  readonly longestGapMs: number;
  /** Successful transactions from connecting to the end, those outside the measured time included. */
  readonly acknowledged: number;
  /** CPU the generator itself used in the measured time, milliseconds. */
  readonly cpuMs: number;
}

export type FromLoad =
  | { readonly kind: 'measuring' }
  | { readonly kind: 'measured'; readonly result: LoadResult }
  | { readonly kind: 'finished'; readonly acknowledged: number }
  | { readonly kind: 'failed'; readonly message: string };

/** `stop` ends the measuring early; `rest` closes the connections, after which another plan may come. The process ends when the benchmark lets go of it. */
export type ToLoad =
  | { readonly kind: 'plan'; readonly plan: LoadPlan }
  | { readonly kind: 'stop' }
  | { readonly kind: 'rest' };
