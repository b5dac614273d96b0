/** One figure of the matrix: one system, one workload, one number of clients; in rounds. */

import { startLoad } from '../load/load-client.ts';
import type { LoadPlan, LoadResult } from '../load/plan.ts';
import type { RunningSystem } from '../systems/system.ts';
import { between, type Sample, sample } from './accounting.ts';
import { Histogram } from './histogram.ts';
import { median, spread } from './stats.ts';

export interface Round {
  readonly perSecond: number;
  readonly result: LoadResult;
  /** What was used between the begin and the end of the measuring. */
  readonly usage: Sample;
  /** What the system's own counters went up by, per transaction. */
  readonly counters: Readonly<Record<string, number>>;
  /** Successful transactions of the round, warm-up included. */
  readonly acknowledged: number;
}

/** @param sockets also counts network bytes by process. */
export async function measure(
  system: Pick<RunningSystem, 'roles' | 'counters'>,
  plan: LoadPlan,
  sockets = false,
): Promise<Round> {
  const countersBefore = await system.counters();
  const load = startLoad(plan);
  try {
    const roles = { ...system.roles(), load: [load.pid] };
    await load.measuring;
    const from = await sample(roles, { sockets });
    const result = await load.measured;
    const to = await sample(roles, { sockets, memory: true });
    const acknowledged = await load.finished;
    const countersAfter = await system.counters();
    const counters = Object.entries(countersAfter).map(([name, after]) => {
      const gone = after - (countersBefore[name] ?? 0);
      return [name, gone / Math.max(1, acknowledged)] as const;
    });
    return {
      perSecond: (result.transactions * 1_000) / result.elapsedMs,
      result,
      usage: between(from, to),
      counters: Object.fromEntries(counters),
      acknowledged,
    };
  } finally {
    load.close();
  }
}

/** Medians over the rounds of a cell. Per-transaction figures use the transactions of the same round. */
export interface Cell {
  readonly rounds: number;
  readonly perSecond: number;
  /** (largest − smallest) ÷ median of the rounds' throughputs. */
  readonly spread: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly errors: number;
  readonly firstError: string | null;
  /** Microseconds of CPU per transaction by process. */
  readonly cpuUs: Readonly<Record<string, number>>;
  readonly residentBytes: Readonly<Record<string, number>>;
  readonly writtenBytes: Readonly<Record<string, number>>;
  readonly writeCalls: Readonly<Record<string, number>>;
  /** Bytes sent over TCP per transaction by process; empty when not counted. */
  readonly sentBytes: Readonly<Record<string, number>>;
  /** Of the whole machine, per transaction. */
  readonly loopbackBytes: number;
  readonly diskBytes: number;
  readonly diskWrites: number;
  readonly diskFlushes: number;
  readonly counters: Readonly<Record<string, number>>;
}

const middle = (values: readonly number[]): number => median(values) ?? 0;

function medians(records: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const names = new Set(records.flatMap((record) => Object.keys(record)));
  return Object.fromEntries(
    [...names].map((name) => [name, middle(records.map((record) => record[name] ?? 0))]),
  );
}

export function summarize(rounds: readonly Round[]): Cell | null {
  if (rounds.length === 0) return null;
  const quantile = (wanted: number): number =>
    middle(rounds.map(({ result }) => Histogram.of([result.latency]).quantileUs(wanted)));
  const each = (round: Round): number => Math.max(1, round.result.transactions);
  const byRole = (
    figure: 'cpuMs' | 'writtenBytes' | 'writeCalls' | 'residentBytes',
    perTransaction: boolean,
  ) =>
    medians(
      rounds.map((round) =>
        Object.fromEntries(
          Object.entries(round.usage.roles).map(([role, usage]) => [
            role,
            usage[figure] / (perTransaction ? each(round) : 1),
          ]),
        ),
      ),
    );
  const machine = (figure: keyof Sample['machine']): number =>
    middle(rounds.map((round) => round.usage.machine[figure] / each(round)));
  const sent = rounds.flatMap((round) =>
    round.usage.sentBytes === null
      ? []
      : [
          Object.fromEntries(
            Object.entries(round.usage.sentBytes).map(([role, bytes]) => [role, bytes / each(round)]),
          ),
        ],
  );
  const throughputs = rounds.map(({ perSecond }) => perSecond);
  const cpuMs = byRole('cpuMs', true);
  return {
    rounds: rounds.length,
    perSecond: middle(throughputs),
    spread: spread(throughputs) ?? 0,
    p50Us: quantile(0.5),
    p99Us: quantile(0.99),
    p999Us: quantile(0.999),
    errors: rounds.reduce((sum, { result }) => sum + result.errors, 0),
    firstError: rounds.find(({ result }) => result.firstError !== null)?.result.firstError ?? null,
    cpuUs: Object.fromEntries(Object.entries(cpuMs).map(([role, ms]) => [role, ms * 1_000])),
    residentBytes: byRole('residentBytes', false),
    writtenBytes: byRole('writtenBytes', true),
    writeCalls: byRole('writeCalls', true),
    sentBytes: medians(sent),
    loopbackBytes: machine('loopbackBytes'),
    diskBytes: machine('diskBytes'),
    diskWrites: machine('diskWrites'),
    diskFlushes: machine('diskFlushes'),
    counters: medians(rounds.map(({ counters }) => counters)),
  };
}

/** Sum of a figure over all processes of a system, the generator's left out. */
export function total(byRole: Readonly<Record<string, number>>): number {
  return Object.entries(byRole).reduce((sum, [role, value]) => (role === 'load' ? sum : sum + value), 0);
}
