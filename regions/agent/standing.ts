/** How a region stands, put together for everybody from what its agent knows. */
import type { Survivor } from '../control/core/survivors.ts';
import type { Took } from '../readiness/core/move-stopwatch.ts';
import type { Receiving } from '../replication/receiving.ts';
import type { Shipping } from '../replication/shipping.ts';
import type { RegionReport } from '../status/core/report.ts';
import { reportLimits } from '../status/core/report-limits.ts';
import type { RegionNodes } from '../status/region-nodes.ts';
import type { AgentConfig } from './config.ts';

export interface StandingParts {
  readonly config: AgentConfig;
  readonly survivor: Survivor;
  readonly nodes: Pick<RegionNodes, 'highestEpoch' | 'reports'>;
  /** Null in the primary. */
  readonly receiving: Pick<Receiving, 'following' | 'stalledMs'> | null;
  /** Of the secondaries, as the primary sees them. */
  readonly lags: ReturnType<Shipping['lag']>;
  /** Reigns whose lost writes are known here. */
  readonly lossEpochs: readonly number[];
  readonly trouble: string | null;
  readonly took: Took;
}

export function standingOf(parts: StandingParts): RegionReport {
  const { config, survivor, nodes, receiving, lags, lossEpochs, trouble, took } = parts;
  const { held, followed, primaryVdl } = survivor;
  return {
    v: 1,
    region: config.region,
    agent: config.listen,
    gateway: config.gateways[0] ?? null,
    epoch: held?.epoch ?? 0,
    vdl: held?.vdl ?? null,
    forks: (held?.forks ?? []).slice(-reportLimits.reportForksMax),
    highestEpoch: nodes.highestEpoch,
    following: receiving?.following ?? false,
    followed,
    primaryVdl,
    nodes: [...nodes.reports],
    stalledMs: Math.round(receiving?.stalledMs ?? 0),
    lag: lags.map(({ region, lagBytes, lagMs, lagCommits, lagCommitsExact, vdl, online, stalledMs }) => ({
      region,
      lagBytes,
      lagMs: lagMs === null ? null : Math.round(lagMs),
      lagCommits,
      lagCommitsExact,
      vdl,
      online,
      stalledMs: Math.round(stalledMs),
    })),
    lossEpochs: [...lossEpochs],
    took,
    sentAtMs: Date.now(),
    ...(trouble !== null && { trouble }),
  };
}
