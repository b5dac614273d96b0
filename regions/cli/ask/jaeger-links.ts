/** Pages of the deployment's own Jaeger that answer what one asks after a bad day, found by asking it. */
import { z } from 'zod';
import { type JaegerPages, jaegerPages, spanNames } from '../../../telemetry/core.ts';
import type { SupervisorStatus } from '../../local/control-socket.ts';
import { runningJaeger } from '../../local/jaeger-processes.ts';
import type { Deployment } from '../../local/layout/local-layout.ts';
import { paint, table } from './output.ts';

/** Addresses of pages. What has not happened, or Jaeger cannot say, is null. */
export type JaegerLinks = {
  readonly ui: string;
  /** Lag of every pair of regions, now and in the last hour. */
  readonly lag: string;
  readonly prometheus: string;
  /** False when Jaeger did not answer in time: then what follows is null. */
  readonly answers: boolean;
  readonly slowestWrite: string | null;
  readonly lastFailover: string | null;
  readonly lastDrill: string | null;
  readonly lostWrites: string | null;
};

const patienceMs = 5_000;
const lookbackMs = 2 * 24 * 3_600_000;
/** Traces in one answer. */
const tracesMax = 20;
/** The same where the slowest one is looked for. */
const peakTracesMax = 1_000;
/** A commit is told with the one after it, or later on a busy machine; so it was that much earlier, at most, than it was counted. */
const peakSlackSeconds = 30;
const servicePrefix = 'sextant-';

const servicesSchema = z.object({ data: z.array(z.string()).nullable() });
const tracesSchema = z.object({
  data: z
    .array(
      z.object({
        traceID: z.string(),
        spans: z.array(z.object({ operationName: z.string(), startTime: z.number(), duration: z.number() })),
      }),
    )
    .nullable(),
});

const rangeSchema = z.object({
  data: z.object({
    result: z.array(z.object({ values: z.array(z.tuple([z.number(), z.string().transform(Number)])) })),
  }),
});

/** A span that was looked for. Times are microseconds. */
type Found = {
  readonly service: string;
  readonly traceId: string;
  readonly startUs: number;
  readonly durationUs: number;
};

class JaegerSearch {
  readonly #ui: string;
  readonly #prometheus: string;
  readonly #signal: AbortSignal;
  readonly #endUs: number;

  constructor({ ui, prometheus }: { readonly ui: string; readonly prometheus: string }, nowMs: number) {
    this.#ui = ui;
    this.#prometheus = prometheus;
    this.#signal = AbortSignal.timeout(patienceMs);
    this.#endUs = nowMs * 1_000;
  }

  async #ask(path: string, values: Readonly<Record<string, string>>): Promise<unknown> {
    const response = await fetch(`${this.#ui}/api/${path}?${new URLSearchParams(values)}`, {
      signal: this.#signal,
    });
    return response.json();
  }

  async services(): Promise<readonly string[]> {
    const { data } = servicesSchema.parse(await this.#ask('services', {}));
    return (data ?? []).filter((name) => name.startsWith(servicePrefix));
  }

  /** Spans of that name in the newest traces that have one. `leastUs` is the shortest that counts. */
  async #spans(
    service: string,
    operation: string,
    { startUs = this.#endUs - lookbackMs * 1_000, endUs = this.#endUs, leastUs = 0, limit = tracesMax } = {},
  ): Promise<readonly Found[]> {
    const answer = await this.#ask('traces', {
      service,
      operation,
      limit: `${limit}`,
      start: `${startUs}`,
      end: `${endUs}`,
      ...(leastUs > 0 && { minDuration: `${leastUs}us` }),
    });
    return (tracesSchema.parse(answer).data ?? []).flatMap(({ traceID, spans }) =>
      spans
        .filter(({ operationName, duration }) => operationName === operation && duration >= leastUs)
        .map(({ startTime, duration }) => ({
          service,
          traceId: traceID,
          startUs: startTime,
          durationUs: duration,
        })),
    );
  }

  async newest(services: readonly string[], operation: string): Promise<Found | null> {
    const found = await Promise.all(services.map((service) => this.#spans(service, operation)));
    return best(found.flat(), ({ startUs }) => startUs);
  }

  /**
   * The slowest span of that name. Jaeger's storage finds the newest traces in which anything took long, and cannot sort; so
   * Prometheus is asked when the slowest one was counted, to the minute and then to ten seconds, and Jaeger what there was
   * then. Where more than `peakTracesMax` writes were as slow at that time, it is one of them.
   */
  async slowest(services: readonly string[], operation: string): Promise<Found | null> {
    const endSeconds = this.#endUs / 1e6;
    const coarse = await this.#peak(operation, endSeconds - lookbackMs / 1_000, endSeconds, 60, 60);
    if (coarse === null) return null;
    const fine = await this.#peak(operation, coarse.atSeconds - 60, coarse.atSeconds + 10, 5, 10);
    // A pause between two scrapes may be longer than the finer window; the coarse one has seen more then.
    const isFine = fine !== null && fine.boundMs >= coarse.boundMs;
    const { atSeconds, boundMs } = isFine ? fine : coarse;
    const backSeconds = (isFine ? 10 : 60) + peakSlackSeconds + boundMs / 1_000;
    const between = {
      startUs: Math.round((atSeconds - backSeconds) * 1e6),
      endUs: Math.round((atSeconds + 1) * 1e6),
    };
    // No bucket is wider than its lower bound.
    const least = Math.floor(boundMs * 500);
    const found = await Promise.all(
      services.map((service) =>
        this.#spans(service, operation, { ...between, leastUs: least, limit: peakTracesMax }),
      ),
    );
    return best(found.flat(), ({ durationUs }) => durationUs);
  }

  /** When the largest bucket in which a span of that name ended was reached last, and its upper bound. */
  async #peak(operation: string, start: number, end: number, step: number, windowSeconds: number) {
    const bucket = `traces_span_metrics_duration_milliseconds_bucket{span_name="${operation}"}`;
    const query = `histogram_quantile(1, sum by (le) (increase(${bucket}[${windowSeconds}s])))`;
    const form = new URLSearchParams({ query, start: `${start}`, end: `${end}`, step: `${step}` });
    const response = await fetch(`${this.#prometheus}/api/v1/query_range?${form}`, { signal: this.#signal });
    const points = rangeSchema.parse(await response.json()).data.result.flatMap(({ values }) => values);
    return points.reduce<{ readonly atSeconds: number; readonly boundMs: number } | null>(
      (most, [atSeconds, boundMs]) =>
        Number.isFinite(boundMs) && boundMs >= (most?.boundMs ?? 0) ? { atSeconds, boundMs } : most,
      null,
    );
  }
}

function best(found: readonly Found[], by: (span: Found) => number): Found | null {
  return found.reduce<Found | null>(
    (most, span) => (most === null || by(span) > by(most) ? span : most),
    null,
  );
}

/** @returns undefined when no Jaeger was started with the deployment. */
export async function jaegerLinks(
  deployment: Deployment,
  supervisor: SupervisorStatus | undefined,
): Promise<JaegerLinks | undefined> {
  const addresses = runningJaeger(deployment, supervisor);
  if (addresses === undefined) return undefined;
  const { ui, prometheus } = addresses;
  const pages = jaegerPages(ui);
  const fixed = { ui, lag: pages.monitor, prometheus };
  const nothing = { slowestWrite: null, lastFailover: null, lastDrill: null, lostWrites: null };
  try {
    return {
      ...fixed,
      ...nothing,
      ...(await foundBy(pages, new JaegerSearch(addresses, Date.now()))),
      answers: true,
    };
  } catch {
    return { ...fixed, ...nothing, answers: false };
  }
}

async function foundBy(pages: JaegerPages, search: JaegerSearch) {
  const services = await search.services();
  const [write, failover, drill, lost] = await Promise.all([
    search.slowest(services, spanNames.commit),
    search.newest(services, spanNames.failover),
    search.newest(services, spanNames.drill),
    search.newest(services, spanNames.lost),
  ]);
  const trace = (found: Found | null) => (found === null ? null : pages.trace(found.traceId));
  return {
    slowestWrite: trace(write),
    lastFailover: trace(failover),
    lastDrill: trace(drill),
    lostWrites: lost === null ? null : pages.search({ service: lost.service, operation: spanNames.lost }),
  };
}

/** What `up` and `status` print; null without a Jaeger. */
export function jaegerTable(links: JaegerLinks | undefined): string | null {
  if (links === undefined) return null;
  const said = (link: string | null) =>
    link ?? (links.answers ? 'none yet' : paint('yellow', 'Jaeger does not answer'));
  return table(
    ['JAEGER', links.ui],
    [
      ['lag now', links.lag],
      ['slowest write', said(links.slowestWrite)],
      ['last failover', said(links.lastFailover)],
      ['last drill', said(links.lastDrill)],
      ['lost writes', said(links.lostWrites)],
    ],
  );
}
