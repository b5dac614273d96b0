/** What every scenario is given. */

import type { LoadPlan, Target } from '../load/plan.ts';
import type { WorkloadName } from '../load/workload.ts';
import type { BenchOptions } from '../options.ts';
import type { Goal, Section } from '../report/report.ts';
import type { Missing } from '../systems/system.ts';
import type { Workbench } from '../workbench.ts';

export interface Context {
  readonly bench: Workbench;
  readonly options: BenchOptions;
}

export interface Outcome {
  readonly sections: readonly Section[];
  readonly systems?: readonly {
    readonly title: string;
    readonly version: string;
    readonly durability: string;
  }[];
  readonly missing: readonly string[];
  readonly ratios?: Readonly<Record<string, number>>;
  readonly goals?: readonly Goal[];
}

export type Scenario = (context: Context) => Promise<Outcome>;

export const isMissing = (system: object): system is Missing => 'missing' in system;

/** A scenario that could not begin. */
export const nothing = (missing: string): Outcome => ({ sections: [], missing: [missing] });

let seed = 0;

/** A plan with the run's own lengths; `more` overrides. */
export function planOf(
  options: Pick<BenchOptions, 'warmMs' | 'measureMs'>,
  target: Target,
  workload: WorkloadName,
  clients: number,
  more: Partial<LoadPlan> = {},
): LoadPlan {
  seed += 1;
  return {
    target,
    workload,
    connections: clients,
    streams: 1,
    warmMs: options.warmMs,
    measureMs: options.measureMs,
    seed,
    perSecond: null,
    ...more,
  };
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
