/** `--beside DIR`: this checkout and another one, such as the one before a change, in turns and in one run. */
import { resolve } from 'node:path';
import { runLoad } from './load/load-client.ts';
import { measure } from './measure/cell.ts';
import { median, ratio } from './measure/stats.ts';
import type { BenchOptions } from './options.ts';
import { plainTable } from './report/report.ts';
import { isMissing, planOf } from './scenarios/scenario.ts';
import { type RunningSextant, startSextant } from './systems/sextant.ts';
import type { Workbench } from './workbench.ts';

const workloads = ['update', 'select'] as const;
const clientCounts = [128, 1] as const;
const names = ['here', 'there'] as const;

type Name = (typeof names)[number];

/**
 * Both deployments are up all the time; whose turn comes first changes with each round, and a ratio is the median of the
 * rounds' ratios, so that a machine that slows down costs both the same.
 * @throws Error when a deployment cannot be started
 */
export async function beside(bench: Workbench, directory: string, options: BenchOptions): Promise<void> {
  const env = { OTEL_SDK_DISABLED: 'true' };
  const start = async (root?: string): Promise<RunningSextant> => {
    const system = await startSextant(bench, { env, ...(root !== undefined && { root }) });
    if (isMissing(system)) throw new Error(system.missing);
    await system.prepare();
    return system;
  };
  const systems: Readonly<Record<Name, RunningSextant>> = {
    here: await start(),
    there: await start(resolve(directory)),
  };
  for (const name of names)
    await runLoad({
      ...planOf(options, systems[name].target('us-east-1'), 'update', 128),
      warmMs: 0,
      measureMs: options.heatMs,
    });
  const rows: string[][] = [];
  for (const workload of workloads) {
    for (const clients of clientCounts) {
      const found: Record<Name, number[]> = { here: [], there: [] };
      for (let round = 0; round < options.rounds; round++) {
        for (const name of round % 2 === 0 ? names : [...names].reverse()) {
          const plan = planOf(options, systems[name].target('us-east-1'), workload, clients);
          found[name].push((await measure(systems[name], plan)).perSecond);
        }
        bench.say(
          `  ${workload}, ${clients} clients: ${found.here.at(-1)?.toFixed(0)} : ${found.there.at(-1)?.toFixed(0)}`,
        );
      }
      const ratios = found.here.map((here, at) => ratio(here, found.there[at]) ?? 0);
      const shown = [
        median(found.here),
        median(found.there),
        median(ratios),
        Math.min(...ratios),
        Math.max(...ratios),
      ];
      rows.push([
        workload,
        String(clients),
        ...shown.slice(0, 2).map((value) => (value ?? 0).toFixed(0)),
        ...shown.slice(2).map((value) => (value ?? 0).toFixed(3)),
      ]);
    }
  }
  const head = ['workload', 'clients', 'here /s', 'there /s', 'ratio', 'least', 'most'];
  console.log(plainTable({ title: `This checkout beside ${directory}`, head, rows }));
}
