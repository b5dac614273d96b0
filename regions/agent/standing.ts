/** How a region stands, put together for everybody from what its agent knows. */

import { type Epoch, genesisEpoch, type Lsn, type RegionId } from '../../storage/index.ts';
import { sextantVersion } from '../../telemetry/core.ts';
import type { Backup } from '../backup/backup.ts';
import type { Neighbours } from '../control/core/record-claims.ts';
import type { Survivor } from '../control/core/survivors.ts';
import type { FailoverWatch } from '../failover/failover-watch.ts';
import type { Moves } from '../moves/moves.ts';
import type { Took } from '../readiness/core/move-stopwatch.ts';
import type { Receiving } from '../replication/receiving.ts';
import type { Shipping } from '../replication/shipping.ts';
import type { RetentionReport } from '../retention/core/retention-report.ts';
import type { BackupReport } from '../status/core/backup-report.ts';
import type { ClusterView } from '../status/core/cluster-view.ts';
import type { BranchReport, RegionReport } from '../status/core/report.ts';
import { reportLimits } from '../status/core/report-limits.ts';
import { toldLevelMs } from '../status/core/report-pace.ts';
import type { RegionNodes } from '../status/region-nodes.ts';

/** Where a region's agent and its first gateway are found. */
export interface Addresses {
  readonly agent: string;
  readonly gateway: string | null;
}

/** A backup as the rest of an agent sees it. */
export type BackupPart = Pick<Backup, 'needs' | 'report'>;

export interface StandingParts {
  readonly region: RegionId;
  readonly addresses: Addresses;
  readonly survivor: Survivor;
  readonly nodes: Pick<RegionNodes, 'highestEpoch' | 'membership' | 'reports'>;
  /** Null in the primary. */
  readonly receiving: Pick<Receiving, 'following' | 'stalledMs'> | null;
  /** Of the secondaries, as the primary sees them. */
  readonly lags: ReturnType<Shipping['lag']>;
  readonly retention: RetentionReport;
  /** Null without a backup. */
  readonly backup: BackupReport | null;
  readonly branches: readonly BranchReport[];
  /** Reigns whose lost writes are known here. */
  readonly lossEpochs: readonly number[];
  readonly failovers: Moves['failovers'];
  readonly trouble: string | null;
  readonly took: Took;
  readonly watch: Pick<FailoverWatch, 'suspicion' | 'refusal'>;
  readonly sentAtMs: number;
}

export function standingOf(parts: StandingParts): RegionReport {
  const { region, addresses, survivor, nodes, receiving, lags, lossEpochs, failovers } = parts;
  const { trouble, took, watch, sentAtMs, retention, backup, branches } = parts;
  const { held, followed, primaryVdl, levelMsAgo } = survivor;
  const { suspicion, refusal } = watch;
  return {
    v: 1,
    region,
    agent: addresses.agent,
    gateway: addresses.gateway,
    version: sextantVersion,
    epoch: held?.epoch ?? 0,
    vdl: held?.vdl ?? null,
    forks: (held?.forks ?? []).slice(-reportLimits.reportForksMax),
    highestEpoch: nodes.highestEpoch,
    following: receiving?.following ?? false,
    followed,
    primaryVdl,
    nodes: [...nodes.reports],
    membershipEpoch: nodes.membership.epoch,
    stalledMs: Math.round(receiving?.stalledMs ?? 0),
    lag: lags.map(
      ({
        region: to,
        lagBytes,
        lagMs,
        lagCommits,
        lagCommitsExact,
        vdl,
        online,
        stalledMs,
        needsImages,
      }) => ({
        region: to,
        lagBytes,
        lagMs: lagMs === null ? null : Math.round(lagMs),
        lagCommits,
        lagCommitsExact,
        vdl,
        online,
        stalledMs: Math.round(stalledMs),
        ...(needsImages !== null && { needsImages }),
      }),
    ),
    retention,
    ...(backup !== null && { backup }),
    ...(branches.length > 0 && { branches: [...branches] }),
    lossEpochs: [...lossEpochs],
    failovers: failovers.slice(-reportLimits.reportFailoversMax).map(({ id, epoch }) => ({ id, epoch })),
    took,
    sentAtMs,
    levelMsAgo: levelMsAgo === null ? null : toldLevelMs(levelMsAgo),
    ...(trouble !== null && { trouble }),
    ...(suspicion !== null && { suspects: { ...suspicion } }),
    ...(refusal !== null && { noFailover: refusal }),
  };
}

/** Where a region stands: by its shipping or its receiving, and while it does neither by what its nodes say. */
export function survivorOf({
  region,
  ships,
  receiving,
  nodes,
}: {
  readonly region: RegionId;
  /** The reign that is shipped, and what is durable of it; null where none is. */
  readonly ships: { readonly epoch: Epoch; readonly vdl: Lsn } | null;
  readonly receiving: Pick<Receiving, 'position' | 'primary' | 'primaryVdl' | 'levelMsAgo'> | null;
  readonly nodes: Pick<RegionNodes, 'forksTo' | 'held'>;
}): Survivor {
  const at = receiving?.position;
  const primaryVdl = receiving !== null && receiving.primary !== null ? receiving.primaryVdl : null;
  const levelMsAgo = receiving?.levelMsAgo ?? null;
  const found = { region, heardMsAgo: 0, followed: receiving?.primary ?? null, primaryVdl, levelMsAgo };
  if (ships !== null) {
    const held = { ...ships, forks: nodes.forksTo(ships.epoch) };
    return { ...found, held, followed: region, primaryVdl: ships.vdl };
  }
  if (at === undefined || at.head === genesisEpoch) return { ...found, held: nodes.held };
  return { ...found, held: { epoch: at.head, vdl: at.vdl, forks: nodes.forksTo(at.head) } };
}

/** Which of the other regions are heard. */
export function neighboursOf(
  view: Pick<ClusterView, 'region'>,
  others: readonly RegionId[],
  nowMs: number,
): Neighbours {
  const heard = (name: RegionId): boolean => view.region(name, nowMs) !== null;
  return { heard: others.filter(heard), silent: others.filter((name) => !heard(name)) };
}
