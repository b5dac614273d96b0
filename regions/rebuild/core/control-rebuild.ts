/**
 * Making a lost control record anew, out of what the storage nodes of all regions hold. A record that can be read is never
 * replaced, and a region that is not asked must be given up by name: it may know of a newer epoch.
 */
import { type Epoch, epoch, genesisEpoch, type RegionId } from '../../../storage/core.ts';
import type { Branch } from '../../control/core/branch-list.ts';
import { type ControlRecord, initialControlRecord } from '../../control/core/control-record.ts';
import { type Held, holdsMore } from '../../control/core/survivors.ts';

/** What one region's storage nodes say. */
export interface RegionFinding {
  readonly region: RegionId;
  /** Null when fewer than three of its nodes answer, or nobody of the region does. */
  readonly held: Held | null;
  /** The highest epoch any of its nodes has forked, followed or sealed for. */
  readonly highestEpoch: Epoch;
}

export interface RebuildQuestion {
  readonly findings: readonly RegionFinding[];
  /** The region to become primary; null for the one that holds most, and of equals the one that stands first. */
  readonly primary: RegionId | null;
  /** The branches that nodes know; left out where there are none. */
  readonly branches?: readonly Branch[];
  /** Branches that regions have told of. */
  readonly told?: readonly { readonly region: RegionId; readonly branch: string }[];
  /** Regions that may be left out although they do not answer. */
  readonly without: readonly RegionId[];
  /** How long the record has been seen to be lost, without a break. */
  readonly lostForMs: number;
  /** How long a gateway may go on acknowledging under a lease that can no longer be renewed. */
  readonly leaseMs: number;
}

export type RebuildPlan =
  | { readonly kind: 'plan'; readonly record: ControlRecord; readonly found: string }
  | {
      readonly kind: 'refused';
      readonly code:
        | 'WAIT_FOR_LEASE'
        | 'REGION_SILENT'
        | 'TARGET_BEHIND'
        | 'NOTHING_FOUND'
        | 'BRANCH_ELSEWHERE'
        | 'UNKNOWN_REGION';
      readonly reason: string;
      /** For `WAIT_FOR_LEASE`: ask again after this long. */
      readonly waitMs?: number;
    };

/**
 * Epochs left unused above the highest that any node knows: some may have been allotted by the lost record to gateways
 * that have reached no node yet, and no epoch is allotted twice (R20).
 */
export const epochsSkipped = 16;

/** Decides what record to write, or why none. */
export function planRebuild(question: RebuildQuestion): RebuildPlan {
  const { findings, without, lostForMs, leaseMs } = question;
  if (lostForMs < leaseMs) {
    return {
      ...refused(
        'WAIT_FOR_LEASE',
        `a gateway may still write under the lost record: it stops ${leaseMs} ms after it, and the record has been seen lost for ${Math.round(lostForMs)} ms`,
      ),
      waitMs: Math.ceil(leaseMs - lostForMs),
    };
  }
  const silent = findings.filter(({ held, region }) => held === null && !without.includes(region));
  if (silent.length > 0) {
    const names = silent.map(({ region }) => region).join(', ');
    return refused(
      'REGION_SILENT',
      `${names} does not say what its storage nodes hold, and may know of a newer epoch: start its agent and at least three of its ` +
        `nodes. If it is lost for good, leave it out by name: --without ${silent.map(({ region }) => region).join(',')}`,
    );
  }
  const { branches = [], told = [] } = question;
  const elsewhere = told.find(
    ({ region, branch }) => !without.includes(region) && !branches.some(({ name }) => name === branch),
  );
  if (elsewhere !== undefined) {
    const { region, branch } = elsewhere;
    return refused(
      'BRANCH_ELSEWHERE',
      `${region} has a branch ${branch} that the storage nodes here do not know, and a record without it would let it go: ask the ` +
        `agent of ${region} to make the record, or give the branch up by --without ${region}`,
    );
  }
  const known = findings.flatMap(({ region, held }) => (held === null ? [] : [{ region, held }]));
  const highest = findings.reduce(
    (most, { highestEpoch }) => (highestEpoch > most ? highestEpoch : most),
    genesisEpoch,
  );
  if (highest === genesisEpoch) {
    return refused(
      'NOTHING_FOUND',
      'the storage nodes know of no epoch: nothing is lost, and the agent of the first region makes the first record by itself',
    );
  }
  const best = known.reduce<(typeof known)[number] | null>(
    (most, next) => (most === null || holdsMore(next.held, most.held) ? next : most),
    null,
  );
  if (best === null) return refused('NOTHING_FOUND', 'no region says what its storage nodes hold');
  const chosen = question.primary === null ? best : known.find(({ region }) => region === question.primary);
  if (chosen === undefined)
    return refused(
      'UNKNOWN_REGION',
      `${question.primary} is none of the regions that say what they hold: ${known.map(({ region }) => region).join(', ')}`,
    );
  if (holdsMore(best.held, chosen.held)) {
    return refused(
      'TARGET_BEHIND',
      `${best.region} holds LSN ${best.held.vdl} of epoch ${best.held.epoch}, and ${chosen.region} only LSN ${chosen.held.vdl} of ` +
        `epoch ${chosen.held.epoch}: make ${best.region} primary and switch over afterwards`,
    );
  }
  return {
    kind: 'plan',
    record: initialControlRecord(chosen.region, epoch(highest + epochsSkipped), branches),
    found: [
      ...known.map(({ region, held }) => `${region} holds LSN ${held.vdl} of epoch ${held.epoch}`),
      ...branches.map(({ name }) => `there is a branch ${name}`),
    ].join('; '),
  };
}

function refused(
  code: Extract<RebuildPlan, { kind: 'refused' }>['code'],
  reason: string,
): Extract<RebuildPlan, { kind: 'refused' }> {
  return { kind: 'refused', code, reason };
}
