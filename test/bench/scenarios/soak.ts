/** Ten minutes at 70 % of the maximum: memory, latency and backlog must not grow. */

import { runLoad } from '../load/load-client.ts';
import { measure } from '../measure/cell.ts';
import { Histogram } from '../measure/histogram.ts';
import { bytes, figure, msOfUs, ratio } from '../measure/stats.ts';
import { startSextant } from '../systems/sextant.ts';
import { isMissing, nothing, type Outcome, planOf, type Scenario } from './scenario.ts';

const clients = 128;
const share = 0.7;
const segments = 10;

export const soak: Scenario = async ({ bench, options }): Promise<Outcome> => {
  const system = await startSextant(bench);
  if (isMissing(system)) return nothing(system.missing);
  await system.prepare();
  const target = system.target(system.regions[0] ?? '');
  await runLoad({ ...planOf(options, target, 'update', clients), warmMs: 0, measureMs: 4 * options.heatMs });
  const maximum = await measure(system, planOf(options, target, 'update', clients));
  const perSecond = Math.round(maximum.perSecond * share);
  const segmentMs = options.quick ? 6_000 : 60_000;
  const rows: {
    perSecond: number;
    p50Us: number;
    p99Us: number;
    memory: Readonly<Record<string, number>>;
  }[] = [];
  for (let segment = 1; segment <= segments; segment++) {
    const plan = planOf(options, target, 'update', clients, { perSecond, measureMs: segmentMs });
    const round = await measure(system, plan);
    const latency = Histogram.of([round.result.latency]);
    const memory = Object.fromEntries(
      Object.entries(round.usage.roles)
        .filter(([role]) => role !== 'load')
        .map(([role, usage]) => [role, usage.residentBytes]),
    );
    rows.push({
      perSecond: round.perSecond,
      p50Us: latency.quantileUs(0.5),
      p99Us: latency.quantileUs(0.99),
      memory,
    });
    bench.say(`  soak ${segment} of ${segments}: ${Math.round(round.perSecond)}/s`);
  }
  await system.stop();
  const growth = (of: (row: (typeof rows)[number]) => number): number | null =>
    ratio(mean(rows.slice(-3).map(of)), mean(rows.slice(2, 5).map(of)));
  const memory = (row: (typeof rows)[number]): number =>
    Object.values(row.memory).reduce((sum, size) => sum + size, 0);
  return {
    missing: [],
    goals: [
      {
        text: 'soak: p99 of the last three parts ÷ that of the third to fifth',
        value: growth((row) => row.p99Us),
        bound: 1.5,
        better: 'atMost',
      },
      {
        text: 'soak: memory of all processes, last three parts ÷ third to fifth',
        value: growth(memory),
        bound: 1.1,
        better: 'atMost',
      },
      {
        text: 'soak: throughput of the last part ÷ what was asked for',
        value: ratio(rows.at(-1)?.perSecond, perSecond),
        bound: 0.98,
        better: 'atLeast',
      },
    ],
    sections: [
      {
        name: 'soak',
        title: 'Soak',
        notes: [
          `single-row UPDATEs on ${clients} connections at ${perSecond} a second, 70 % of the maximum found just before`,
        ],
        tables: [
          {
            title: `${segments} parts of ${segmentMs / 1_000} s`,
            head: ['part', 'tx/s', 'p50 ms', 'p99 ms', 'memory by process'],
            rows: rows.map((row, at) => [
              String(at + 1),
              figure(row.perSecond),
              msOfUs(row.p50Us),
              msOfUs(row.p99Us),
              Object.entries(row.memory)
                .map(([role, size]) => `${role} ${bytes(size)}`)
                .join(', '),
            ]),
          },
        ],
        panels: [],
        data: { maximum: maximum.perSecond, rows },
      },
    ],
  };
};

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
