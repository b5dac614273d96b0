/** Ten minutes at 70 % of the maximum: memory, latency and backlog must not grow. */
import { measure } from '../cell.ts';
import { Histogram } from '../histogram.ts';
import { bytes, figure, msOfUs } from '../stats.ts';
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
  return {
    missing: [],
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
