/** Messages between a process and its telemetry worker thread. */
import type { SpanFact } from '../trace/facts.ts';
import type { BatchSettings } from '../trace/settings.ts';

/** What the worker is started with. Everything else it reads from its environment. */
export interface WorkerSettings {
  readonly serviceName: string;
  readonly batch: BatchSettings;
}

export type ToWorker =
  | { readonly kind: 'facts'; readonly facts: readonly SpanFact[] }
  /** See span-rows.ts; `spans` is how many they stand for. */
  | { readonly kind: 'rows'; readonly values: readonly unknown[]; readonly spans: number }
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
