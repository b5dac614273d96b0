/** Messages between a process and its telemetry worker thread. */
import type { SpanFact } from '../trace/facts.ts';
import type { BatchSettings } from '../trace/settings.ts';
import type { SpanShape } from '../trace/span-rows.ts';

/** What the worker is started with. Everything else it reads from its environment. */
export interface WorkerSettings {
  readonly serviceName: string;
  readonly batch: BatchSettings;
}

/** Rows as row-layout.ts has them; `spans` is how many they stand for. */
export interface RowsMessage {
  readonly kind: 'rows';
  /** Handed over, not copied. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly spans: number;
  /** These shapes begin a table; else they go on with the one before. */
  readonly beginsTable: boolean;
  readonly shapes: readonly SpanShape[];
}

export type ToWorker =
  | { readonly kind: 'facts'; readonly facts: readonly SpanFact[] }
  | RowsMessage
  | { readonly kind: 'flush'; readonly id: number }
  | { readonly kind: 'shutdown' };

/** Each counter is a difference since the previous message that carried it, so that none is counted twice. */
export type FromWorker =
  /** The worker took so many spans off its port and is ready for as many more. */
  | { readonly kind: 'taken'; readonly spans: number }
  /** Fates of spans: accepted by the collector, or given up. */
  | { readonly kind: 'settled'; readonly exported: number; readonly dropped: number }
  /** Something an operator should know; already free of secrets and bodies. */
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'flushed'; readonly id: number }
  | { readonly kind: 'stopped' };
