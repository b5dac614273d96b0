/**
 * A short run for continuous integration. Machines differ, so figures are compared with a raw `fdatasync` and with a process that
 * does as little as one can, both measured in the same run; the bounds are wide, and a breach means that something broke.
 */

import { runLoad } from './load/load-client.ts';
import type { Target } from './load/plan.ts';
import { type Cell, measure, type Round, summarize } from './measure/cell.ts';
import { measureFdatasync } from './measure/fdatasync.ts';
import { Histogram, type HistogramData } from './measure/histogram.ts';
import { ratio } from './measure/stats.ts';
import { type Goal, goalHolds, goalTable, plainTable } from './report/report.ts';
import { isMissing, planOf } from './scenarios/scenario.ts';
import { startBaseline } from './systems/baseline.ts';
import { startSextant } from './systems/sextant.ts';
import type { RunningSystem } from './systems/system.ts';
import type { Workbench } from './workbench.ts';

const lengths = { warmMs: 700, measureMs: 1_500 } as const;
/** The crowd first: a lone client after it finds code that was compiled, and caches that are warm. */
const clientCounts = [64, 1] as const;
/** Before the first round, by the crowd. */
const heatMs = 3_000;
const rounds = 3;
const fdatasyncMs = 300;

export interface CheckFigures {
  readonly fdatasyncP50Us: number;
  readonly baseline: Readonly<Record<number, Cell | null>>;
  readonly sextant: Readonly<Record<number, Cell | null>>;
}

/** What must hold on any machine. */
export function checkGoals({ fdatasyncP50Us, baseline, sextant }: CheckFigures): readonly Goal[] {
  const busy = sextant[64];
  return [
    {
      text: 'UPDATE, 1 client: p50 ÷ raw fdatasync',
      value: ratio(sextant[1]?.p50Us, fdatasyncP50Us),
      bound: 30,
      better: 'atMost',
    },
    {
      text: 'UPDATE, 1 client: p50 ÷ one process with one copy',
      value: ratio(sextant[1]?.p50Us, baseline[1]?.p50Us),
      bound: 15,
      better: 'atMost',
    },
    {
      text: 'UPDATE, 64 clients: throughput ÷ one process with one copy',
      value: ratio(busy?.perSecond, baseline[64]?.perSecond),
      bound: 0.15,
      better: 'atLeast',
    },
    {
      text: 'UPDATE, 64 clients: throughput ÷ that at 1 client (group commit)',
      value: ratio(busy?.perSecond, sextant[1]?.perSecond),
      bound: 4,
      better: 'atLeast',
    },
    {
      text: 'redo of an UPDATE per copy, bytes',
      value: busy?.counters.redoBytes ?? null,
      bound: 250,
      better: 'atMost',
    },
    { text: 'errors', value: (sextant[1]?.errors ?? 0) + (busy?.errors ?? 0), bound: 0, better: 'atMost' },
  ];
}

/** @returns whether every ratio lies within its bound. @throws Error when Sextant cannot be started */
export async function check(bench: Workbench): Promise<boolean> {
  const sextant = await startSextant(bench, { env: { OTEL_SDK_DISABLED: 'true' } });
  if (isMissing(sextant)) throw new Error(sextant.missing);
  const baseline = await startBaseline(bench);
  const systems: readonly RunningSystem[] = [baseline, sextant];
  const found = new Map<string, Round[]>();
  const syncs: HistogramData[] = [];
  let acknowledged = 0;
  for (const system of systems) {
    await system.prepare();
    const heat = await runLoad({
      ...planOf(lengths, target(system), 'update', clientCounts[0]),
      warmMs: 0,
      measureMs: heatMs,
    });
    if (system === sextant) acknowledged += heat.acknowledged;
  }
  for (let round = 0; round < rounds; round++) {
    syncs.push(measureFdatasync(bench.directory, fdatasyncMs));
    for (const clients of clientCounts) {
      for (const system of systems) {
        const measured = await measure(system, planOf(lengths, target(system), 'update', clients));
        if (system === sextant) acknowledged += measured.acknowledged;
        const key = `${system.name} ${clients}`;
        found.set(key, [...(found.get(key) ?? []), measured]);
        bench.say(`  ${system.title}, ${clients} clients: ${Math.round(measured.perSecond)}/s`);
      }
    }
  }
  const kept = await sextant.updates();
  const cellsOf = (name: string): Readonly<Record<number, Cell | null>> =>
    Object.fromEntries(
      clientCounts.map((clients) => [clients, summarize(found.get(`${name} ${clients}`) ?? [])]),
    );
  const figures = {
    fdatasyncP50Us: Histogram.of(syncs).quantileUs(0.5),
    baseline: cellsOf('baseline'),
    sextant: cellsOf('sextant'),
  };
  const missingUpdates: Goal = {
    text: 'acknowledged UPDATEs that are not in the table',
    value: kept === null ? null : Math.max(0, acknowledged - kept),
    bound: 0,
    better: 'atMost',
  };
  const goals = [...checkGoals(figures), missingUpdates];
  console.log(plainTable({ ...goalTable(goals), title: 'Ratios of a short run' }));
  return goals.every((goal) => goalHolds(goal) === true);
}

function target(system: RunningSystem): Target {
  const found = system.targets['hrana-ws'];
  if (found === undefined) throw new Error(`${system.title} does not speak Hrana`);
  return found;
}
