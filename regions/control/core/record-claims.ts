/**
 * What may be said of the control record. An answer out of a record that was not read just now says how old it is, and
 * claims nothing that another region may have changed since.
 */
import { genesisEpoch, type RegionId, unreachable } from '../../../storage/core.ts';
import { sameBranches } from './branch-list.ts';
import type { ControlReading, ControlView } from './control-port.ts';
import { type ControlRecord, type MoveKind, policyOf, sameRegions } from './control-record.ts';
import { samePolicy } from './policy.ts';
import { samePromise } from './promised-record.ts';
import { sameRewind } from './rewind-record.ts';

/** Where the control record can be looked for, as far as a process hears others over NATS. */
export interface Neighbours {
  readonly heard: readonly RegionId[];
  readonly silent: readonly RegionId[];
}

/** The record a process saw last, and how long ago it knew that record to be the newest. */
export interface LastSeen {
  readonly view: ControlView;
  readonly ageMs: number;
}

/** In seconds and minutes, as people say them. */
export function formatAge(ms: number): string {
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms < 120_000 ? `${Math.round(ms / 1_000)} s` : `${Math.round(ms / 60_000)} min`;
}

/**
 * Why a record that was read may be an old one all the same, in words; null when nothing speaks against it. No read of
 * NATS is linearizable; a region that follows a newer epoch has seen a newer record.
 * @param epochsHeard the epochs that regions heard just now follow.
 */
export function staleness(
  record: ControlRecord,
  epochsHeard: readonly { readonly region: RegionId; readonly epoch: number }[],
): string | null {
  const newer = epochsHeard.find(({ epoch }) => epoch > record.epoch);
  if (newer === undefined) return null;
  return `what was read is an old record (ask again in a second): it says epoch ${record.epoch}, and ${newer.region} follows epoch ${newer.epoch} already`;
}

/** The way to make a record anew, named wherever one is missing. */
export const rebuildCommand = 'sextant control rebuild';

/**
 * What a missing record means, in words for an operator. `lost` is true when it cannot come back by itself.
 * @param highestEpoch the newest epoch the region's own storage nodes know of.
 */
export function describeReading(
  reading: Exclude<ControlReading, { kind: 'record' }>,
  highestEpoch: number,
): {
  readonly code: 'record-lost' | 'record-unusable' | 'not-set-up' | 'unavailable';
  readonly reason: string;
} {
  switch (reading.kind) {
    case 'absent':
      if (highestEpoch === genesisEpoch) {
        return {
          code: 'not-set-up',
          reason: 'there is no control record yet: the first region makes it once all six of its nodes run',
        };
      }
      return {
        code: 'record-lost',
        reason:
          `record-lost: NATS answers and has no control record, but storage nodes know epoch ${highestEpoch}. ` +
          `The data is intact; \`${rebuildCommand}\` makes the record anew`,
      };
    case 'unusable':
      return {
        code: 'record-unusable',
        reason: `record-unusable: ${reading.reason}. If it is damaged, \`${rebuildCommand}\` makes the record anew`,
      };
    case 'unavailable':
      return { code: 'unavailable', reason: `NATS gives no control record: ${reading.reason}` };
    default:
      return unreachable(reading);
  }
}

/** Says that no record can be read, how old the last one is, who is heard, and what to do. Claims nothing else. */
export function noRecord(reason: string, last: LastSeen | null, neighbours: Neighbours): string {
  const seen =
    last === null
      ? 'none has been seen since this agent started'
      : `the last one seen here (epoch ${last.view.record.epoch}, primary ${last.view.record.primary}) was current ${formatAge(last.ageMs)} ago and may not hold any more`;
  return `the control record cannot be read: ${reason}; ${seen}. ${quorumAdvice(neighbours)}`;
}

/** Says that the record cannot be changed, who is heard, and what to do. */
export function noChange(reason: string, neighbours: Neighbours): string {
  return `the control record cannot be changed: ${reason}. ${quorumAdvice(neighbours)}`;
}

/**
 * What the voices that are heard say about the control stream's quorum, and what to do. A region's agent speaks through
 * the NATS server of its region, so whoever is heard has a server that is joined with ours.
 */
export function quorumAdvice({ heard, silent }: Neighbours): string {
  const regions = heard.length + silent.length + 1;
  if (regions === 1) return 'Look whether the NATS server of this region runs and what its log says';
  if (silent.length === 0) {
    return (
      `All ${regions} regions are heard, so their NATS servers are joined: the control stream elects its leader within about 10 s. ` +
      'If it lasts longer, look into the logs of nats-server'
    );
  }
  const joined = `${heard.length + 1} of ${regions} regions are heard over NATS, and not ${silent.join(', ')}`;
  // Two regions share a third server, the witness, which has no agent that could be heard.
  if (regions === 2) {
    return (
      `${joined}: the control stream has a quorum as long as this region's NATS server reaches the witness, and elects its ` +
      'leader within about 10 s. If it lasts longer, see that the witness runs'
    );
  }
  if (2 * (heard.length + 1) > regions) {
    return (
      `${joined}: that is a majority, so the control stream elects its leader within about 10 s. If it lasts longer, its ` +
      'servers are joined and the stream has no quorum all the same, as was seen for minutes with nats-server 2.9.10 after a ' +
      'region had come back, and not with 2.12: bring back one more region, or use a newer nats-server'
    );
  }
  return (
    `${joined}: without a majority of its NATS servers the control stream has no quorum, and no region can become primary. ` +
    'Bring back the NATS server of one more region, or ask an agent on the side of the majority'
  );
}

/** A record just read, in words: who is primary, and what is under way. */
export function describeRecord({ primary, epoch, holder, move }: ControlRecord): string {
  const writes = holder === null ? 'no gateway writes there yet' : `its gateway ${holder.gateway} writes`;
  const under = move === null ? '' : `; a ${move.kind} to ${move.to} is under way`;
  return `${primary} is the primary region in epoch ${epoch}, ${writes}${under}`;
}

/** What became of a move that is not in the record any more, nor completed, out of the record that shows it. */
export function moveGone(
  move: { readonly kind: MoveKind; readonly from: string; readonly to: RegionId },
  record: ControlRecord,
): string {
  const { primary } = record;
  if (primary !== move.from)
    return `the ${move.kind} to ${move.to} was overtaken by another move: ${describeRecord(record)}`;
  if (record.move !== null)
    return `the ${move.kind} to ${move.to} gave way to another move: ${describeRecord(record)}`;
  if (record.holder === null)
    return `the ${move.kind} to ${move.to} was given up: ${primary} stays the primary region, and none of its gateways writes yet`;
  return `the ${move.kind} to ${move.to} was given up: the old primary ${primary} continues`;
}

/** How often one holder was seen to renew while somebody waited for its lease to lapse. */
export interface Renewals {
  readonly seq: number;
  readonly incarnation: string | null;
  readonly count: number;
  readonly record: ControlRecord;
}

/**
 * Takes the newest record seen. A first record may be old, so a leap of its revision proves a single renewal whenever that
 * was.
 */
export function renewalsSeen(before: Renewals | null, { seq, record }: ControlView): Renewals {
  const incarnation = record.holder?.incarnation ?? null;
  if (before === null || incarnation !== before.incarnation) return { seq, incarnation, count: 0, record };
  if (seq <= before.seq) return before;
  // An operator who changes the policy, the regions or the branches, or rewinds, meanwhile says nothing of the holder; nor does what an agent promises.
  const last = before.record;
  const isRenewal =
    samePolicy(policyOf(record), policyOf(last)) &&
    sameRegions(record.regions, last.regions) &&
    sameBranches(record, last) &&
    samePromise(record, last) &&
    sameRewind(record, last);
  return { seq, incarnation, count: before.count + (isRenewal ? 1 : 0), record };
}

/** Whether the holder is alive for certain: two renewals that were seen one after another prove it. */
export const isAlive = ({ incarnation, count }: Renewals): boolean => incarnation !== null && count >= 2;

/** Why a process of a region that the control record does not name does nothing (R55). */
export function notMemberReason(region: string): string {
  return (
    `${region} is none of the regions of this deployment: it was removed, or has not been taken in yet. ` +
    `\`sextant region add ${region}\` takes it in; what it holds stays on its disks`
  );
}
