/** Jaeger's HTTP API as its own pages use it. Times are microseconds. */
import { z } from 'zod';

const spanSchema = z.object({
  spanID: z.string(),
  operationName: z.string(),
  startTime: z.number(),
  duration: z.number(),
  references: z.array(z.object({ refType: z.string(), traceID: z.string(), spanID: z.string() })).nullish(),
  tags: z.array(z.object({ key: z.string(), value: z.unknown() })).nullish(),
  processID: z.string(),
  warnings: z.array(z.string()).nullish(),
});
const traceSchema = z.object({
  traceID: z.string(),
  spans: z.array(spanSchema),
  processes: z.record(z.string(), z.object({ serviceName: z.string() })),
});
export type JaegerSpan = z.infer<typeof spanSchema>;
export type JaegerTrace = z.infer<typeof traceSchema>;

const tracesSchema = z.object({ data: z.array(traceSchema).nullable() });
const metricsSchema = z.object({
  metrics: z.array(
    z.object({
      labels: z.array(z.object({ name: z.string(), value: z.string() })),
      metricPoints: z.array(
        z.object({
          timestamp: z.string(),
          // A rate of nothing is not a number, which JSON has no word for but this.
          gaugeValue: z.object({ doubleValue: z.union([z.number(), z.literal('NaN')]) }).nullish(),
        }),
      ),
    }),
  ),
});

const timeoutMs = 20_000;
/** An answer with as many traces may lack some: its time is asked for in halves. */
const answerMax = 400;

export class JaegerApi {
  readonly #ui: string;

  constructor(ui: string) {
    this.#ui = ui;
  }

  async #get(path: string): Promise<unknown> {
    const response = await fetch(`${this.#ui}${path}`, { signal: AbortSignal.timeout(timeoutMs) });
    if (!response.ok && response.status !== 404) throw new Error(`${path} answers ${response.status}`);
    return response.json();
  }

  /** Every trace with a span of that name in the service that begins in [fromUs, toUs). */
  async all(
    service: string,
    operation: string,
    fromUs: number,
    toUs: number,
  ): Promise<readonly JaegerTrace[]> {
    const found = new Map<string, JaegerTrace>();
    const ask = async (from: number, to: number): Promise<void> => {
      const query = new URLSearchParams({
        service,
        operation,
        limit: `${answerMax}`,
        start: `${from}`,
        end: `${to}`,
      });
      const data = tracesSchema.parse(await this.#get(`/api/traces?${query}`)).data ?? [];
      if (data.length >= answerMax && to - from > 1_000) {
        const middle = Math.floor((from + to) / 2);
        await ask(from, middle);
        await ask(middle, to);
        return;
      }
      for (const trace of data) found.set(trace.traceID, trace);
    };
    await ask(Math.floor(fromUs), Math.ceil(toUs));
    return [...found.values()];
  }

  async trace(id: string): Promise<JaegerTrace | null> {
    return tracesSchema.parse(await this.#get(`/api/traces/${id}`)).data?.[0] ?? null;
  }

  /** What a search page with this address shows. */
  async searchedBy(link: string): Promise<readonly JaegerTrace[]> {
    const { searchParams } = new URL(link);
    const nowUs = Date.now() * 1_000;
    const days = Number(/^(\d+)d$/.exec(searchParams.get('lookback') ?? '')?.[1]);
    searchParams.set('start', `${nowUs - days * 86_400_000_000}`);
    searchParams.set('end', `${nowUs}`);
    return tracesSchema.parse(await this.#get(`/api/traces?${searchParams}`)).data ?? [];
  }

  /** The last point of the P95 that the Monitor tab draws for a pair of regions, in milliseconds; null when it has none. */
  async lagNowMs(operation: string): Promise<number | null> {
    // The parameters of the tab itself, with the time it shows at first.
    const query = new URLSearchParams({
      service: 'sextant-lag',
      quantile: '0.95',
      groupByOperation: 'true',
      spanKind: 'server',
      endTs: `${Date.now()}`,
      lookback: '3600000',
      step: '60000',
      ratePer: '600000',
    });
    const { metrics } = metricsSchema.parse(await this.#get(`/api/metrics/latencies?${query}`));
    const pair = metrics.find(({ labels }) => labels.some(({ value }) => value === operation));
    const value = pair?.metricPoints.at(-1)?.gaugeValue?.doubleValue;
    return typeof value === 'number' ? value : null;
  }
}
