/** What reading threads are worth, and what memory every process takes, at rest and under load. */
import { runLoad } from '../load/load-client.ts';
import type { Target } from '../load/plan.ts';
import type { WorkloadName } from '../load/workload.ts';
import { type Cell, measure, type Round, summarize } from '../measure/cell.ts';
import { largest, type Memory, together } from '../measure/peaks.ts';
import { bytes, figure, msOfUs, ratio, times } from '../measure/stats.ts';
import { type ExtraGateway, startGateway } from '../systems/extra-gateway.ts';
import { type RunningSextant, startSextant } from '../systems/sextant.ts';
import { querySql } from '../systems/system.ts';
import { type Context, isMissing, nothing, type Outcome, pause, planOf, type Scenario } from './scenario.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const threadCounts = [1, 2] as const;
const clientCounts = [16, 1] as const;
const readyMs = 60_000;
const restMs = { quick: 3_000, whole: 20_000 } as const;

interface ReaderRun {
  readonly threads: number;
  readonly clients: number;
  readonly cell: Cell;
}

interface MemoryRow {
  readonly when: string;
  readonly largest: Memory;
  readonly together: Memory;
}

async function answering(gateway: ExtraGateway): Promise<void> {
  await gateway.process.until(
    () => querySql(gateway.target('hrana-ws'), ['SELECT v FROM bench WHERE id = 1']),
    readyMs,
  );
}

const memoryNow = async (when: string, system: RunningSextant): Promise<MemoryRow> => ({
  when,
  largest: largest(system.kinds()),
  together: await together(system.kinds()),
});

/** Memory of a deployment that has just started, and after each of two loads. */
async function memoryOf({ bench, options }: Context, system: RunningSextant): Promise<readonly MemoryRow[]> {
  await pause(options.quick ? restMs.quick : restMs.whole);
  const rows = [await memoryNow('at rest', system)];
  const loads: readonly (readonly [string, WorkloadName, Target])[] = [
    ['UPDATE, 128 clients', 'update', system.target(regions[0])],
    ['point SELECT through a secondary, 128 clients', 'select', system.target(regions[1])],
  ];
  for (const [title, workload, target] of loads) {
    const plan = planOf(options, target, workload, 128);
    const load = runLoad({ ...plan, warmMs: 0, measureMs: options.heatMs });
    await pause(options.heatMs);
    rows.push(await memoryNow(title, system));
    await load;
  }
  for (const row of rows)
    bench.say(
      `  ${row.when}: ${bytes(Object.values(row.together).reduce((sum, size) => sum + size, 0))} in all`,
    );
  return rows;
}

async function readersOf({ bench, options }: Context, system: RunningSextant): Promise<readonly ReaderRun[]> {
  const gateways: { readonly threads: number; readonly gateway: ExtraGateway }[] = [];
  for (const threads of threadCounts) {
    const gateway = await startGateway(bench, system, { readerThreads: threads });
    await answering(gateway);
    gateways.push({ threads, gateway });
  }
  const planFor = (gateway: ExtraGateway, clients: number) =>
    planOf(options, gateway.target('hrana-ws'), 'select', clients);
  for (const { gateway } of gateways)
    await runLoad({ ...planFor(gateway, clientCounts[0]), warmMs: 0, measureMs: options.heatMs });
  const runs: ReaderRun[] = [];
  for (const clients of clientCounts) {
    const rounds = new Map<number, Round[]>(threadCounts.map((threads) => [threads, []]));
    for (let round = 0; round < options.rounds; round++)
      for (const { threads, gateway } of round % 2 === 0 ? gateways : gateways.toReversed()) {
        const roles = { gateway: [gateway.process.pid] };
        const measured = await measure(
          { roles: () => roles, counters: async () => ({}) },
          planFor(gateway, clients),
        );
        rounds.get(threads)?.push(measured);
        bench.say(`  ${threads} reading threads, ${clients} clients: ${Math.round(measured.perSecond)}/s`);
      }
    for (const [threads, of] of rounds) {
      const cell = summarize(of);
      if (cell !== null) runs.push({ threads, clients, cell });
    }
  }
  for (const { gateway } of gateways) await gateway.process.stop();
  return runs;
}

const kindsIn = (rows: readonly MemoryRow[]): readonly string[] => [
  ...new Set(rows.flatMap((row) => Object.keys(row.together))),
];

export const readers: Scenario = async (context): Promise<Outcome> => {
  const { bench, options } = context;
  const system = await startSextant(bench, { regions, env: { OTEL_SDK_DISABLED: 'true' } });
  if (isMissing(system)) return nothing(system.missing);
  await system.prepare();
  const memory = await memoryOf(context, system);
  const runs = await readersOf(context, system);
  await system.stop();
  const at = (threads: number, clients: number) =>
    runs.find((run) => run.threads === threads && run.clients === clients)?.cell;
  const kinds = kindsIn(memory);
  const sum = (sizes: Memory): number => Object.values(sizes).reduce((all, size) => all + size, 0);
  return {
    missing: [],
    sections: [
      {
        name: 'readers',
        title: 'Reading threads, and memory',
        notes: [
          `gateways beside the deployment's own in the primary region, with \`limits.readerThreads\` 1 and 2; in turns, median of ${options.rounds} rounds`,
          'memory of three regions on this machine, PSS: what processes share is divided among them. Each cell: the largest process of the kind; all of them',
        ],
        tables: [
          {
            title: 'Point SELECT by reading threads',
            head: ['clients', 'threads', 'tx/s', '÷ one thread', 'p50 ms', 'p99 ms', 'CPU of the gateway µs'],
            rows: runs.map(({ threads, clients, cell }) => [
              String(clients),
              String(threads),
              figure(cell.perSecond),
              times(ratio(cell.perSecond, at(1, clients)?.perSecond)),
              msOfUs(cell.p50Us),
              msOfUs(cell.p99Us),
              figure(cell.cpuUs.gateway),
            ]),
          },
          {
            title: 'Memory by kind of process (PSS)',
            head: ['when', ...kinds, 'in all'],
            rows: memory.map((row) => [
              row.when,
              ...kinds.map((kind) => `${bytes(row.largest[kind])}; ${bytes(row.together[kind])}`),
              bytes(sum(row.together)),
            ]),
          },
        ],
        panels: [
          {
            title: 'Memory of three regions',
            unit: 'MiB',
            series: kinds,
            groups: memory.map((row) => ({
              label: row.when,
              values: kinds.map((kind) => (row.together[kind] ?? 0) / 2 ** 20),
            })),
          },
        ],
        data: { runs, memory },
      },
    ],
  };
};
