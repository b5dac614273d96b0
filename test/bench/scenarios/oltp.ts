/** Sextant beside its peers: every workload at 1, 16 and 128 clients, in rounds that visit all systems in turn. */

import { runLoad } from '../load/load-client.ts';
import type { Protocol } from '../load/plan.ts';
import { type WorkloadName, workloads } from '../load/workload.ts';
import { cpuShare } from '../measure/accounting.ts';
import { type Cell, measure, type Round, summarize } from '../measure/cell.ts';
import { measureFdatasync } from '../measure/fdatasync.ts';
import { Histogram, type HistogramData } from '../measure/histogram.ts';
import { peers } from '../systems/index.ts';
import { startSextant } from '../systems/sextant.ts';
import type { PeerName, RunningSystem, StartSystem } from '../systems/system.ts';
import { goalsOf, ratiosOf } from './oltp-goals.ts';
import { chartPanels, oltpAnswers, oltpTables } from './oltp-tables.ts';
import { type Context, isMissing, type Outcome, planOf, type Scenario } from './scenario.ts';

export const clientCounts = [1, 16, 128] as const;
const idleMs = 2_000;
const fdatasyncMs = 400;

/** One way of driving one system: a row of the tables. */
export interface Contender {
  readonly id: 'sextant' | 'sextant-http' | 'sextant-streams' | PeerName;
  readonly title: string;
  readonly system: RunningSystem;
  readonly protocol: Protocol;
  /** How `clients` statements in flight are spread; null when it makes no sense for so few. */
  shape(clients: number): { readonly connections: number; readonly streams: number } | null;
}

export interface Measured {
  readonly contender: Contender;
  readonly workload: WorkloadName;
  readonly clients: number;
  readonly cell: Cell;
}

const oneEach = (clients: number) => ({ connections: clients, streams: 1 });
const fewConnections = (clients: number) =>
  clients >= 16 ? { connections: Math.ceil(clients / 32), streams: Math.min(32, clients) } : null;

function contendersOf(system: RunningSystem): readonly Contender[] {
  const { name, title } = system;
  switch (name) {
    case 'sextant':
      return [
        { id: 'sextant', title: 'Sextant, WebSocket', system, protocol: 'hrana-ws', shape: oneEach },
        { id: 'sextant-http', title: 'Sextant, HTTP', system, protocol: 'hrana-http', shape: oneEach },
        {
          id: 'sextant-streams',
          title: 'Sextant, few connections',
          system,
          protocol: 'hrana-ws',
          shape: fewConnections,
        },
      ];
    case 'postgres':
      return [{ id: name, title, system, protocol: 'postgres', shape: oneEach }];
    case 'mariadb':
      return [{ id: name, title, system, protocol: 'mysql', shape: oneEach }];
    case 'etcd':
      return [{ id: name, title, system, protocol: 'etcd', shape: oneEach }];
    case 'rqlite':
      return [{ id: name, title, system, protocol: 'rqlite', shape: oneEach }];
    case 'baseline':
      return [];
  }
}

/** What a cell of the matrix stands for; null when this contender has no such cell. */
function cellPlan(contender: Contender, workload: WorkloadName, clients: number, context: Context) {
  const { system, protocol } = contender;
  const target = system.targets[protocol];
  const shape = contender.shape(clients);
  if (target === undefined || shape === null || !system.workloads.includes(workload)) return null;
  if (workloads[workload].kind === 'interactive' && protocol === 'hrana-http') return null;
  return planOf(context.options, target, workload, clients, shape);
}

async function startAll(
  context: Context,
): Promise<{ systems: readonly RunningSystem[]; missing: readonly string[] }> {
  const { bench, options } = context;
  const starts: readonly StartSystem[] = [
    (at) => startSextant(at),
    ...options.peers.map((name) => peers[name]),
  ];
  const systems: RunningSystem[] = [];
  const missing: string[] = [];
  for (const start of starts) {
    try {
      const system = await start(bench);
      if (isMissing(system)) {
        missing.push(system.missing);
        continue;
      }
      await system.prepare();
      bench.say(`${system.title} ${system.version} runs`);
      systems.push(system);
    } catch (error) {
      missing.push(`a system did not start: ${String(error)}`);
    }
  }
  for (const line of missing) bench.say(`not measured: ${line}`);
  return { systems, missing };
}

class Matrix {
  readonly rounds = new Map<
    string,
    {
      readonly contender: Contender;
      readonly workload: WorkloadName;
      readonly clients: number;
      readonly rounds: Round[];
    }
  >();
  readonly failures: string[] = [];
  readonly syncs: HistogramData[] = [];
  /** UPDATEs acknowledged, by system, for the check that all are there. */
  readonly acknowledged = new Map<RunningSystem, number>();
  private readonly context: Context;

  constructor(context: Context) {
    this.context = context;
  }

  async run(contenders: readonly Contender[], workload: WorkloadName): Promise<void> {
    const { bench } = this.context;
    this.syncs.push(measureFdatasync(bench.directory, fdatasyncMs));
    // The crowd first: a lone client right after seconds in which a system slept would measure caches that have gone cold.
    for (const contender of contenders) {
      for (const clients of clientCounts.toReversed()) await this.cell(contender, workload, clients);
    }
  }

  /** Uses every system before anything is measured, by a crowd and by one: what runs once a batch runs oftener for one. */
  async heat(contender: Contender, workload: WorkloadName): Promise<void> {
    for (const clients of [128, 1]) {
      const plan = cellPlan(contender, workload, clients, this.context);
      if (plan === null) continue;
      const load = await runLoad({ ...plan, warmMs: 0, measureMs: this.context.options.heatMs });
      if (workload === 'update') this.acknowledge(contender.system, load.acknowledged);
    }
  }

  private acknowledge(system: RunningSystem, updates: number): void {
    this.acknowledged.set(system, (this.acknowledged.get(system) ?? 0) + updates);
  }

  cells(): readonly Measured[] {
    return [...this.rounds.values()].flatMap(({ contender, workload, clients, rounds }) => {
      const cell = summarize(rounds);
      return cell === null ? [] : [{ contender, workload, clients, cell }];
    });
  }

  private async cell(contender: Contender, workload: WorkloadName, clients: number): Promise<void> {
    const plan = cellPlan(contender, workload, clients, this.context);
    if (plan === null) return;
    const what = `${contender.title}, ${workload}, ${clients} client${clients === 1 ? '' : 's'}`;
    try {
      const round = await measure(contender.system, plan, workload === 'update');
      const key = `${contender.id} ${workload} ${clients}`;
      const known = this.rounds.get(key);
      if (known === undefined) this.rounds.set(key, { contender, workload, clients, rounds: [round] });
      else known.rounds.push(round);
      if (workload === 'update') this.acknowledge(contender.system, round.acknowledged);
      const errors =
        round.result.errors > 0 ? `, ${round.result.errors} errors: ${round.result.firstError}` : '';
      this.context.bench.say(`  ${what}: ${Math.round(round.perSecond)}/s${errors}`);
    } catch (error) {
      this.failures.push(`${what}: ${String(error)}`);
      this.context.bench.say(`  ${what}: ${String(error)}`);
    }
  }
}

/** Every acknowledged UPDATE must be in the table: a fast answer that was not kept would not be a figure. */
async function lostUpdates(acknowledged: ReadonlyMap<RunningSystem, number>): Promise<readonly string[]> {
  const lost: string[] = [];
  for (const [system, expected] of acknowledged) {
    const found = await system.updates();
    if (found !== null && found < expected)
      lost.push(`${system.title} has ${found} of ${expected} acknowledged UPDATEs: its figures mean nothing`);
  }
  return lost;
}

export const oltp: Scenario = async (context): Promise<Outcome> => {
  const { bench, options } = context;
  const { systems, missing } = await startAll(context);
  const contenders = systems.flatMap(contendersOf);
  const shares = await Promise.all(systems.map((system) => cpuShare(system.roles(), idleMs)));
  const idle = new Map(systems.map((system, at) => [system, shares[at] ?? 0]));
  const matrix = new Matrix(context);
  const wanted: readonly WorkloadName[] = [
    'update',
    'insert',
    'select',
    'tpcb',
    ...(options.quick ? [] : (['tpcb-interactive'] as const)),
  ];
  bench.say('every workload once on every system, not measured');
  for (const workload of wanted) for (const contender of contenders) await matrix.heat(contender, workload);
  for (let round = 1; round <= options.rounds; round++) {
    for (const workload of wanted) {
      bench.say(`round ${round} of ${options.rounds}: ${workloads[workload].title}`);
      await matrix.run(contenders, workload);
    }
  }
  const lost = await lostUpdates(matrix.acknowledged);
  for (const system of systems.toReversed()) await system.stop();
  const cells = matrix.cells();
  const sync = Histogram.of(matrix.syncs);
  const ratios = ratiosOf(cells);
  return {
    sections: [
      {
        name: 'oltp',
        title: 'Transactions, beside other systems',
        notes: [
          `median of ${options.rounds} rounds of ${options.measureMs / 1_000} s, ${options.warmMs / 1_000} s of warm-up before each; rounds visit the systems in turn, after ${options.heatMs / 1_000} s of every workload on each, by 128 clients and by one`,
          `CPU of all processes of a system while idle: ${systems.map((system) => `${system.title} ${((idle.get(system) ?? 0) * 100).toFixed(1)} %`).join(', ')} of one core`,
          'every UPDATE that was acknowledged is counted and compared with the sum in the table afterwards',
        ],
        tables: oltpTables(cells, sync, ratios),
        answers: oltpAnswers(cells, sync),
        panels: chartPanels(cells),
        data: {
          fdatasync: { p50Us: sync.quantileUs(0.5), p99Us: sync.quantileUs(0.99), count: sync.count },
          cells: cells.map(({ contender, workload, clients, cell }) => ({
            system: contender.id,
            workload,
            clients,
            ...cell,
          })),
        },
      },
    ],
    systems,
    missing: [...missing, ...matrix.failures, ...lost],
    ratios,
    goals: goalsOf(cells),
  };
};
