/**
 * What secondaries lend of branches. A failover forks `main` at once; a branch goes on in the new primary when somebody writes it, and
 * until then nothing of it is lost: what another region holds beyond the new primary, also one that comes back later, is the
 * continuation of what the primary has, and is sent to it.
 *
 * R92 A branch that nobody has written since the primary moved goes on from the most that any region which is heard holds of it: the
 *     one that holds most sends the primary what it lacks. Once the primary writes the branch nobody sends it anything of it.
 */
import { epoch, lsn, type RegionId } from '../../../storage/core.ts';
import { type Branch, saidOf } from '../../control/core/branch-list.ts';
import { type ControlRecord, sameHolder } from '../../control/core/control-record.ts';
import type { RegionReport } from '../../status/core/report.ts';
import { type BranchPlace, isLevel } from './branch-lanes.ts';

export const branchLoanLimits = {
  /** The primary has to have lacked something for so long: what it reports of itself is older than what it has. */
  afterMs: 1_000,
} as const;

/** Whether the branch's newest reign belongs to whoever holds the lease: then it alone knows how far the branch is. */
export const isWritten = (record: ControlRecord, { by }: Branch): boolean =>
  record.holder !== null && sameHolder(by, record.holder);

export interface LoanQuestion {
  readonly record: ControlRecord;
  readonly branch: Branch;
  readonly me: RegionId;
  readonly mine: BranchPlace;
  /** The other regions that are heard; null while one does not have the branch. */
  readonly others: ReadonlyMap<RegionId, BranchPlace | null>;
}

/** Whether this region sends the primary what that lacks of the branch. */
export function mayLend({ record, branch, me, mine, others }: LoanQuestion): boolean {
  const { primary, holder, move } = record;
  if (me === primary || holder === null || move !== null || isWritten(record, branch)) return false;
  // Without the fork it lacks what lies below, and that is none of the branch's (R71).
  const theirs = others.get(primary) ?? null;
  if (theirs === null || isLevel(theirs, mine)) return false;
  const better = [...others].some(
    ([region, place]) => region !== primary && place !== null && isBefore(mine, me, place, region),
  );
  return !better;
}

/** How far a region says that it is with a branch; null when it does not have it. */
export function placeIn(
  { branches = [] }: Pick<RegionReport, 'branches'>,
  branch: Pick<Branch, 'name' | 'origin'>,
): BranchPlace | null {
  const found = saidOf(branches, branch);
  return found === undefined ? null : { head: epoch(found.epoch), vdl: lsn(found.vdl) };
}

/**
 * Bytes of a branch that the primary is to be sent by the region that holds most of it; at least 1 while there is anything, and 0 when
 * there is nothing, or nobody knows.
 * @param reports the regions that are heard.
 */
export function owedBytes(record: ControlRecord, branch: Branch, reports: readonly RegionReport[]): number {
  const own = reports.find(({ region }) => region === record.primary);
  const mine = own === undefined ? null : placeIn(own, branch);
  if (mine === null || record.move !== null || isWritten(record, branch)) return 0;
  const more = reports.flatMap((report) => {
    const theirs = placeIn(report, branch);
    return theirs === null || isLevel(mine, theirs) ? [] : [Math.max(1, theirs.vdl - mine.vdl)];
  });
  return Math.max(0, ...more);
}

/** Of two that hold the same, the first by name counts as the one with more. */
function isBefore(mine: BranchPlace, me: RegionId, theirs: BranchPlace, region: RegionId): boolean {
  return isLevel(theirs, mine) && (!isLevel(mine, theirs) || region < me);
}
