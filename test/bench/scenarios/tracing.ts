/** What tracing every write costs: two deployments side by side, one that exports spans, measured in turn. */
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { freePorts } from '../../free-ports.ts';
import { runLoad } from '../load/load-client.ts';
import { type Cell, measure, type Round, summarize, total } from '../measure/cell.ts';
import { figure, msOfUs, ratio } from '../measure/stats.ts';
import { startSextant } from '../systems/sextant.ts';
import { isMissing, nothing, type Outcome, planOf, type Scenario } from './scenario.ts';

const sinkFile = fileURLToPath(new URL('../load/otlp-sink.ts', import.meta.url));
const counts = [1, 128] as const;
const countSchema = z.object({ spans: z.number(), bytes: z.number() });

export const tracing: Scenario = async ({ bench, options }): Promise<Outcome> => {
  const [port = 0] = await freePorts(1);
  const endpoint = `http://127.0.0.1:${port}`;
  const sink = bench.start({ name: 'otlp-sink', command: process.execPath, args: [sinkFile, String(port)] });
  const received = async () => countSchema.parse(await (await fetch(endpoint)).json());
  await sink.until(received, 10_000);
  const off = await startSextant(bench, { env: { OTEL_SDK_DISABLED: 'true' } });
  if (isMissing(off)) return nothing(off.missing);
  const on = await startSextant(bench, { env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } });
  if (isMissing(on)) return nothing(on.missing);
  await off.prepare();
  await on.prepare();
  const rounds = new Map<string, Round[]>();
  const before = await received();
  let traced = 0;
  for (const system of [off, on]) {
    const plan = planOf(options, system.target(system.regions[0] ?? ''), 'update', 128);
    const heat = await runLoad({ ...plan, warmMs: 0, measureMs: 2 * options.heatMs });
    if (system === on) traced += heat.acknowledged;
  }
  for (let round = 1; round <= options.rounds; round++) {
    for (const clients of counts) {
      for (const [name, system] of [
        ['off', off],
        ['on', on],
      ] as const) {
        const plan = planOf(options, system.target(system.regions[0] ?? ''), 'update', clients);
        const collector = name === 'on' ? { collector: [sink.pid] } : {};
        const roles = () => ({ ...system.roles(), ...collector });
        const measured = await measure({ roles, counters: () => system.counters() }, plan);
        if (name === 'on') traced += measured.acknowledged;
        const key = `${name} ${clients}`;
        rounds.set(key, [...(rounds.get(key) ?? []), measured]);
        bench.say(`  tracing ${name}, ${clients} clients: ${Math.round(measured.perSecond)}/s`);
      }
    }
  }
  // What is still on its way leaves when the deployment stops.
  for (const system of [on, off]) await system.stop();
  const after = await received();
  await sink.stop();
  const cell = (name: 'off' | 'on', clients: number): Cell | null =>
    summarize(rounds.get(`${name} ${clients}`) ?? []);
  const rows = counts.flatMap((clients) =>
    (['off', 'on'] as const).map((name) => ({ name, clients, cell: cell(name, clients) })),
  );
  const kept = ratio(cell('on', 128)?.perSecond, cell('off', 128)?.perSecond);
  const cpuKept = ratio(withoutCollector(cell('off', 128)), withoutCollector(cell('on', 128)));
  const spansEach = (after.spans - before.spans) / Math.max(1, traced);
  return {
    missing: [],
    ratios: kept === null ? {} : { tracingOn128: kept },
    goals: [
      {
        text: 'UPDATE, 128 connections: throughput with every write traced ÷ without',
        value: kept,
        bound: 0.9,
        better: 'atLeast',
      },
    ],
    sections: [
      {
        name: 'tracing',
        title: 'Tracing',
        notes: [
          `spans exported per write: ${figure(spansEach)} (to a process that counts spans and does nothing else; writes still under way when a generator stops have spans and are not counted)`,
          `UPDATE, 128 connections: CPU a write without tracing ÷ with it, the generator's included and the collector's left out, as a collector runs elsewhere: ${figure(cpuKept)}`,
        ],
        tables: [
          {
            title: 'Single-row UPDATE with and without tracing',
            head: [
              'tracing',
              'clients',
              'tx/s',
              'p50 ms',
              'p99 ms',
              'CPU of the gateway µs',
              'of all but the collector µs',
              'of the collector µs',
            ],
            rows: rows.map(({ name, clients, cell: found }) => [
              name,
              String(clients),
              figure(found?.perSecond),
              msOfUs(found?.p50Us),
              msOfUs(found?.p99Us),
              figure(found?.cpuUs.gateway),
              figure(withoutCollector(found)),
              figure(found?.cpuUs.collector),
            ]),
          },
        ],
        panels: [],
        data: { spansEach, rows },
      },
    ],
  };
};

/** Microseconds a write, the generator's own included. */
function withoutCollector(cell: Cell | null): number | undefined {
  return cell === null ? undefined : total(cell.cpuUs) + (cell.cpuUs.load ?? 0) - (cell.cpuUs.collector ?? 0);
}
