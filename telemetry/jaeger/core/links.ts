/** Pages of Jaeger's user interface that answer one question each. */
import { lagServiceName } from '../../trace/names.ts';

const hourMs = 3_600_000;

/** What a search page shows. */
export interface TraceSearch {
  readonly service: string;
  readonly operation: string;
}

export interface JaegerPages {
  /** Lag of every pair of regions over the last hour. */
  readonly monitor: string;
  /** One trace. */
  trace(traceId: string): string;
  /** The newest traces in which the service has a span of that name, of the last two days. */
  search(search: TraceSearch): string;
}

/** Pages of the Jaeger whose user interface is at `ui` (a URL without a slash at its end). */
export function jaegerPages(ui: string): JaegerPages {
  const page = (path: string, values: Readonly<Record<string, string>>): string =>
    `${ui}/${path}?${new URLSearchParams(values)}`;
  return {
    // A service without server spans shows nothing until another kind is chosen, and the browser remembers the last choice.
    monitor: page('monitor', { service: lagServiceName, spanKind: 'server', timeframe: `${hourMs}` }),
    trace: (traceId) => `${ui}/trace/${traceId}`,
    search: ({ service, operation }) => page('search', { service, operation, lookback: '2d', limit: '20' }),
  };
}
