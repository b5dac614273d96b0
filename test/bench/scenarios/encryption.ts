/** What encrypting everything costs, between processes and towards clients: two deployments side by side, one with certificates, measured in turn. */
import { runLoad } from '../load/load-client.ts';
import { type Cell, measure, type Round, summarize } from '../measure/cell.ts';
import { figure, msOfUs, ratio } from '../measure/stats.ts';
import { startSextant } from '../systems/sextant.ts';
import { isMissing, nothing, type Outcome, planOf, type Scenario } from './scenario.ts';

const counts = [1, 128] as const;
const untraced = { OTEL_SDK_DISABLED: 'true' };

export const encryption: Scenario = async ({ bench, options }): Promise<Outcome> => {
  const plain = await startSextant(bench, { env: untraced });
  if (isMissing(plain)) return nothing(plain.missing);
  const encrypted = await startSextant(bench, { env: untraced, flags: ['--secure'] });
  if (isMissing(encrypted)) return nothing(encrypted.missing);
  const systems = [
    ['plain', plain],
    ['encrypted', encrypted],
  ] as const;
  for (const [, system] of systems) {
    await system.prepare();
    const plan = planOf(options, system.target(system.regions[0] ?? ''), 'update', 128);
    await runLoad({ ...plan, warmMs: 0, measureMs: 2 * options.heatMs });
  }
  const rounds = new Map<string, Round[]>();
  for (let round = 1; round <= options.rounds; round++) {
    // The order changes from round to round: whoever comes second finds the machine warmer.
    const order = round % 2 === 0 ? systems.toReversed() : systems;
    for (const clients of counts) {
      for (const [name, system] of order) {
        const plan = planOf(options, system.target(system.regions[0] ?? ''), 'update', clients);
        const measured = await measure(system, plan);
        const key = `${name} ${clients}`;
        rounds.set(key, [...(rounds.get(key) ?? []), measured]);
        bench.say(`  ${name}, ${clients} clients: ${Math.round(measured.perSecond)}/s`);
      }
    }
  }
  for (const [, system] of systems) await system.stop();
  const cell = (name: 'plain' | 'encrypted', clients: number): Cell | null =>
    summarize(rounds.get(`${name} ${clients}`) ?? []);
  const rows = counts.flatMap((clients) =>
    (['plain', 'encrypted'] as const).map((name) => ({ name, clients, cell: cell(name, clients) })),
  );
  const kept = ratio(cell('encrypted', 128)?.perSecond, cell('plain', 128)?.perSecond);
  return {
    missing: [],
    ratios: kept === null ? {} : { encrypted128: kept },
    goals: [
      {
        text: 'UPDATE, 128 connections: throughput with everything encrypted ÷ without',
        value: kept,
        bound: 0.85,
        better: 'atLeast',
      },
    ],
    sections: [
      {
        name: 'encryption',
        title: 'Encryption',
        notes: ['encrypted: storage links, agents, NATS and the connections of clients'],
        tables: [
          {
            title: 'Single-row UPDATE with and without encryption',
            head: [
              'links and clients',
              'clients',
              'tx/s',
              'p50 ms',
              'p99 ms',
              'CPU of the gateway µs',
              'of the nodes',
            ],
            rows: rows.map(({ name, clients, cell: found }) => [
              name,
              String(clients),
              figure(found?.perSecond),
              msOfUs(found?.p50Us),
              msOfUs(found?.p99Us),
              figure(found?.cpuUs.gateway),
              figure(found?.cpuUs.storage),
            ]),
          },
        ],
        panels: [],
        data: { rows },
      },
    ],
  };
};
