/** Pages of the deployment's own Jaeger that answer what one asks after a bad day, found by asking it. */
import { z } from 'zod';
import { type JaegerPages, jaegerPages } from '../../../telemetry/core.ts';
import type { SupervisorStatus } from '../../local/control-socket.ts';
import { runningJaeger } from '../../local/jaeger-processes.ts';
import type { Deployment } from '../../local/local-layout.ts';
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

const patienceMs = 3_000;
const lookbackMs = 2 * 24 * 3_600_000;
/** Traces in one answer. */
const tracesMax = 20;
/** Each round of the search for the slowest write leaves one in twenty of those that were slower, or fewer. */
const roundsMax = 8;
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

/** A span that was looked for. Times are microseconds. */
type Found = {
  readonly service: string;
  readonly traceId: string;
  readonly startUs: number;
  readonly durationUs: number;
};

class JaegerSearch {
  readonly #ui: string;
  readonly #signal: AbortSignal;
  readonly #endUs: number;

  constructor(ui: string, nowMs: number) {
    this.#ui = ui;
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

  /** Spans of that name in the traces of one answer, at least `minDurationUs` long. */
  async #spans(service: string, operation: string, minDurationUs: number): Promise<readonly Found[]> {
    const answer = await this.#ask('traces', {
      service,
      operation,
      limit: `${tracesMax}`,
      start: `${this.#endUs - lookbackMs * 1_000}`,
      end: `${this.#endUs}`,
      ...(minDurationUs > 0 && { minDuration: `${minDurationUs}us` }),
    });
    return (tracesSchema.parse(answer).data ?? []).flatMap(({ traceID, spans }) =>
      spans
        .filter(({ operationName, duration }) => operationName === operation && duration >= minDurationUs)
        .map(({ startTime, duration }) => ({
          service,
          traceId: traceID,
          startUs: startTime,
          durationUs: duration,
        })),
    );
  }

  async newest(services: readonly string[], operation: string): Promise<Found | null> {
    const found = await Promise.all(services.map((service) => this.#spans(service, operation, 0)));
    return best(found.flat(), ({ startUs }) => startUs);
  }

  async slowest(services: readonly string[], operation: string): Promise<Found | null> {
    const found = await Promise.all(services.map((service) => this.#slowestOf(service, operation)));
    return best(
      found.filter((span) => span !== null),
      ({ durationUs }) => durationUs,
    );
  }

  /** Jaeger answers with the newest; so it is asked for slower ones until there are none. */
  async #slowestOf(service: string, operation: string): Promise<Found | null> {
    let slowest: Found | null = null;
    for (let round = 0; round < roundsMax; round++) {
      const least: number = slowest === null ? 0 : slowest.durationUs + 1;
      const found = await this.#spans(service, operation, least);
      const next: Found | null = best(found, ({ durationUs }) => durationUs);
      if (next === null) return slowest;
      slowest = next;
    }
    return slowest;
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
      ...(await foundBy(pages, new JaegerSearch(ui, Date.now()))),
      answers: true,
    };
  } catch {
    return { ...fixed, ...nothing, answers: false };
  }
}

async function foundBy(pages: JaegerPages, search: JaegerSearch) {
  const services = await search.services();
  const [write, failover, drill, lost] = await Promise.all([
    search.slowest(services, 'commit'),
    search.newest(services, 'failover'),
    search.newest(services, 'drill'),
    search.newest(services, 'lost'),
  ]);
  const trace = (found: Found | null) => (found === null ? null : pages.trace(found.traceId));
  return {
    slowestWrite: trace(write),
    lastFailover: trace(failover),
    lastDrill: trace(drill),
    lostWrites: lost === null ? null : pages.search({ service: lost.service, operation: 'lost' }),
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
