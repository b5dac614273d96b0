/** Makes a lost control record anew on an operator's word; what may be written is decided in `core/control-rebuild.ts`. */
import { epoch, genesisEpoch, monotonicMs, type RegionId } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { foundBranches } from '../branches/core/found-branches.ts';
import { readControl } from '../control/control-link.ts';
import type { JetStreamControlStore } from '../control/control-store.ts';
import type { ControlReading } from '../control/core/control-port.ts';
import type { ControlSight } from '../control/core/control-sight.ts';
import { defaultLeaseLimits } from '../control/core/lease.ts';
import { describeRecord, type Neighbours, noRecord } from '../control/core/record-claims.ts';
import type { Survivor } from '../control/core/survivors.ts';
import type { ClusterView } from '../status/core/cluster-view.ts';
import { reportLimits } from '../status/core/report-limits.ts';
import { planRebuild, type RegionFinding } from './core/control-rebuild.ts';
import type { RebuildReply, RebuildRequest } from './core/rebuild-request.ts';

export type RebuildRefused = {
  readonly code: string;
  readonly message: string;
  /** Ask again after this long, in ms. */
  readonly waitMs?: number;
};

type Found = ReturnType<typeof foundBranches>;

export interface RebuildOptions {
  readonly regions: readonly RegionId[];
  readonly replicas: number;
  readonly store: JetStreamControlStore;
  readonly sight: ControlSight;
  readonly view: ClusterView;
  readonly me: () => Survivor;
  readonly highestEpoch: () => number;
  /** The branches that this region's nodes know, and the highest epoch of any line of history. */
  readonly found: () => Promise<Found>;
  readonly neighbours: () => Neighbours;
  readonly looked: (reading: ControlReading) => void;
  readonly log: Logger;
}

/** Looks, decides, and writes the record unless it is readable or may not be written yet. */
export async function rebuildControl(
  request: RebuildRequest,
  options: RebuildOptions,
): Promise<RebuildReply | RebuildRefused> {
  const { store, sight, looked, neighbours, log, replicas, regions } = options;
  const strange = [request.primary, ...request.without].find(
    (name) => name !== undefined && !regions.some((region) => region === name),
  );
  if (strange !== undefined)
    return {
      code: 'UNKNOWN_REGION',
      message: `there is no region ${strange}; there are ${regions.join(', ')}`,
    };
  const reading = await readControl(store);
  looked(reading);
  if (reading.kind === 'record') {
    return {
      code: 'RECORD_READABLE',
      message: `the control record can be read, and nothing was changed: ${describeRecord(reading.view.record)}`,
    };
  }
  if (reading.kind === 'unavailable') {
    return {
      code: 'CONTROL_UNAVAILABLE',
      message: `whether the record is lost cannot be told: ${noRecord(reading.reason, sight.lastSeen(monotonicMs()), neighbours())}`,
    };
  }
  const { ttlMs, marginMs } = defaultLeaseLimits;
  const found = await options.found();
  const plan = planRebuild({
    findings: findingsOf(options, found.highestEpoch),
    branches: found.branches,
    told: options.view.lastReports.flatMap(({ region, branches = [] }) =>
      regions.flatMap((name) =>
        name === region ? branches.map((one) => ({ region: name, branch: one.name })) : [],
      ),
    ),
    primary: regions.find((region) => region === request.primary) ?? null,
    without: regions.filter((region) => request.without.includes(region)),
    lostForMs: sight.lostForMs(monotonicMs()),
    leaseMs: ttlMs + marginMs,
  });
  if (plan.kind === 'refused') {
    const { code, reason, waitMs } = plan;
    return { code, message: reason, ...(waitMs !== undefined && { waitMs }) };
  }
  const { primary, epoch: reign, branches = [] } = plan.record;
  const answer = { primary, epoch: reign, found: plan.found, restart: false };
  if (request.dryRun) return { ...answer, written: false };
  const outcome = await store.bootstrap({
    primary,
    replicas,
    highestLocalEpoch: reign,
    rebuild: true,
    branches,
  });
  if (outcome.kind === 'refused' || outcome.kind === 'unavailable')
    return { code: 'CONTROL_UNAVAILABLE', message: `the record could not be written: ${outcome.reason}` };
  if (outcome.kind === 'exists')
    return {
      code: 'RECORD_READABLE',
      message: `somebody else made it: ${describeRecord(outcome.view.record)}`,
    };
  log.warn({ primary, epoch: reign, found: plan.found }, 'the control record was made anew');
  // Revisions that go on are believed by everybody; those of a new bucket begin anew, below what some have seen.
  const restart = outcome.view.seq === 1;
  looked({ kind: 'record', view: outcome.view });
  return { ...answer, written: true, restart };
}

/** What each region says; the one that ships first, so that of equals it is chosen. */
function findingsOf(
  { regions, view, me, highestEpoch }: RebuildOptions,
  recorded: number,
): readonly RegionFinding[] {
  const mine = me();
  const nowMs = monotonicMs();
  const heard = view.survivors(nowMs, reportLimits.offlineAfterMs);
  const findings = regions.map((region): RegionFinding & { readonly ships: boolean } => {
    const survivor = region === mine.region ? mine : heard.find((other) => other.region === region);
    const known = region === mine.region ? Math.max(highestEpoch(), recorded) : view.highestEpochOf(region);
    return {
      region,
      held: survivor?.held ?? null,
      highestEpoch: epoch(Math.max(genesisEpoch, known, survivor?.held?.epoch ?? 0)),
      ships: survivor?.followed === region,
    };
  });
  return findings.sort((a, b) => Number(b.ships) - Number(a.ships));
}
