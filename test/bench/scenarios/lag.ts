/** How far secondaries lie behind, at full and at half write rate, and what they cost the primary. */
import { z } from 'zod';
import { runLoad, startLoad } from '../load/load-client.ts';
import type { LoadPlan, LoadResult } from '../load/plan.ts';
import { bucketsOf, quantileBetween } from '../measure/buckets.ts';
import { Histogram } from '../measure/histogram.ts';
import { bytes, figure, msOfUs, quantile } from '../measure/stats.ts';
import type { Goal } from '../report/report.ts';
import { type RunningSextant, startSextant } from '../systems/sextant.ts';
import { isMissing, nothing, type Outcome, pause, planOf, type Scenario } from './scenario.ts';

const names = ['us-east-1', 'eu-west-1', 'ap-northeast-1', 'us-west-2', 'sa-east-1', 'af-south-1'] as const;
const secondaryCounts = [1, 2, 5] as const;
const quickCounts = [1, 5] as const;
const clients = 128;
const sampleMs = 50;
/** The nodes of a secondary see few batches a second, so their code takes this many times as long to be compiled well. */
const heats = 4;

const statusSchema = z.looseObject({
  regions: z.array(
    z.looseObject({ role: z.string(), lagMs: z.number().nullish(), lagBytes: z.number().nullish() }),
  ),
});

interface LagRun {
  readonly secondaries: number;
  readonly rate: 'full' | 'half';
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Of all samples of all secondaries. */
  readonly lagMs: readonly number[];
  readonly lagBytesMax: number;
  /** From a commit to word that it is durable in a secondary. */
  readonly durableThereMs: { readonly p50: number | null; readonly p99: number | null };
}

type Sampled = Pick<LagRun, 'lagBytesMax' | 'durableThereMs'> & {
  readonly result: LoadResult;
  readonly lagMs: number[];
};

/** Samples the lag of every secondary while a load runs. */
async function underLoad(system: RunningSextant, plan: LoadPlan): Promise<Sampled> {
  const buckets = async () => bucketsOf(await system.agentMetrics(), 'sextant_replication_duration_seconds');
  const load = startLoad(plan);
  try {
    await load.measuring;
    const before = await buckets();
    const lagMs: number[] = [];
    let lagBytesMax = 0;
    const state = { measuring: true };
    const sampling = (async () => {
      while (state.measuring) {
        const status = statusSchema.parse(await system.status());
        for (const region of status.regions.filter(({ role }) => role !== 'primary')) {
          if (typeof region.lagMs === 'number') lagMs.push(region.lagMs);
          lagBytesMax = Math.max(lagBytesMax, region.lagBytes ?? 0);
        }
        await pause(sampleMs);
      }
    })();
    const result = await load.measured;
    state.measuring = false;
    await sampling;
    await load.finished;
    const after = await buckets();
    const ms = (wanted: number): number | null => {
      const seconds = quantileBetween(before, after, wanted);
      return seconds === null ? null : seconds * 1_000;
    };
    return { result, lagMs, lagBytesMax, durableThereMs: { p50: ms(0.5), p99: ms(0.99) } };
  } finally {
    load.close();
  }
}

export const lag: Scenario = async ({ bench, options }): Promise<Outcome> => {
  const runs: LagRun[] = [];
  const counts = options.quick ? quickCounts : secondaryCounts;
  for (const secondaries of counts) {
    const regions = names.slice(0, secondaries + 1);
    const system = await startSextant(bench, { regions });
    if (isMissing(system)) return nothing(system.missing);
    await system.prepare();
    const measureMs = options.measureMs * 2;
    const heat = planOf(options, system.target(names[0]), 'update', clients);
    await runLoad({ ...heat, warmMs: 0, measureMs: heats * options.heatMs });
    let fullRate = 0;
    for (const rate of ['full', 'half'] as const) {
      const perSecond = rate === 'full' ? null : Math.max(1, Math.round(fullRate / 2));
      const plan = planOf(options, system.target(names[0]), 'update', clients, { measureMs, perSecond });
      const { result, lagMs, lagBytesMax, durableThereMs } = await underLoad(system, plan);
      const reached = (result.transactions * 1_000) / result.elapsedMs;
      if (rate === 'full') fullRate = reached;
      const latency = Histogram.of([result.latency]);
      const [p50Us, p99Us] = [latency.quantileUs(0.5), latency.quantileUs(0.99)];
      runs.push({ secondaries, rate, perSecond: reached, p50Us, p99Us, lagMs, lagBytesMax, durableThereMs });
      bench.say(
        `  ${secondaries} secondaries, ${rate} rate: ${Math.round(reached)}/s, lag p99 ${figure(quantile(lagMs, 0.99))} ms`,
      );
      await pause(1_000);
    }
    await system.stop();
  }
  const five = runs.find((run) => run.secondaries === 5 && run.rate === 'half');
  const goal: Goal = {
    text: 'p99 lag at half the maximum write rate with five secondaries, ms',
    value: five === undefined ? null : quantile(five.lagMs, 0.99),
    bound: 1_000,
    better: 'atMost',
  };
  return {
    missing: [],
    goals: [goal],
    sections: [
      {
        name: 'lag',
        title: 'Lag of the secondaries',
        notes: [
          `single-row UPDATEs on ${clients} connections, after ${(heats * options.heatMs) / 1_000} s of them; lag of every secondary read from /v1/status every ${sampleMs} ms`,
          'durable there: from each commit to word from a secondary that it is durable in that region (`sextant_replication_duration_seconds`); lag: the age of what is missing at the moment of a sample, 0 between two batches',
          'all regions share this machine: with five secondaries, 36 storage processes',
        ],
        tables: [
          {
            title: 'Lag, ms',
            head: [
              'secondaries',
              'write rate',
              'tx/s at the primary',
              'commit p50 ms',
              'commit p99 ms',
              'durable there after p50',
              'after p99',
              'lag p99',
              'lag max',
              'lag max, bytes',
            ],
            rows: runs.map((run) => [
              String(run.secondaries),
              run.rate,
              figure(run.perSecond),
              msOfUs(run.p50Us),
              msOfUs(run.p99Us),
              figure(run.durableThereMs.p50),
              figure(run.durableThereMs.p99),
              figure(quantile(run.lagMs, 0.99)),
              figure(quantile(run.lagMs, 1)),
              bytes(run.lagBytesMax),
            ]),
          },
        ],
        panels: [
          {
            title: 'Lag p99 of the secondaries',
            unit: 'ms',
            series: ['full rate', 'half rate'],
            groups: counts.map((secondaries) => ({
              label: `${secondaries} secondaries`,
              values: (['full', 'half'] as const).map((rate) => {
                const run = runs.find((one) => one.secondaries === secondaries && one.rate === rate);
                return run === undefined ? null : quantile(run.lagMs, 0.99);
              }),
            })),
          },
        ],
        data: runs.map(({ lagMs, ...run }) => ({
          ...run,
          lag: {
            p50Ms: quantile(lagMs, 0.5),
            p99Ms: quantile(lagMs, 0.99),
            maxMs: quantile(lagMs, 1),
            samples: lagMs.length,
          },
        })),
      },
    ],
  };
};
