/**
 * The transitions of the control record that change its branches (`branch-list.ts`: R69, R70), as pure as the others.
 *
 * There is one lease for all lines of history: who holds it writes `main` and every branch, and nobody else does. A reign of
 * a branch may acknowledge while that lease is valid and the record names the reign's epoch as the branch's.
 */
import { type BranchName, type Epoch, type Lsn, mainBranch } from '../../../storage/core.ts';
import {
  type Branch,
  branchAt,
  branchesOf,
  branchesOn,
  branchLimits,
  branchNamed,
  nextEpoch,
} from './branch-list.ts';
import {
  type ControlRecord,
  type Holder,
  moveUnderWay,
  next,
  notHolder,
  refused,
  sameHolder,
  type Transition,
} from './control-record.ts';

/**
 * Makes a branch that leaves (`parent`, `forkLsn`), with the next epoch. Whoever calls has made sure that the place lies on
 * the path of a line of history, and is neither above what is durable there nor below the floor. Not while something moves:
 * the place might be part of what a failover leaves behind.
 */
export function createBranch(
  record: ControlRecord,
  by: {
    readonly name: BranchName;
    /** The line of history on whose path the place lies. */
    readonly from: BranchName;
    readonly parent: Epoch;
    readonly forkLsn: Lsn;
    readonly createdAtMs: number;
  },
): Transition {
  const { from, ...place } = by;
  const { name } = place;
  if (name === mainBranch || branchNamed(record, name) !== undefined) return exists(name);
  if (record.move !== null) return moveUnderWay(record.move);
  if (from !== mainBranch && branchNamed(record, from) === undefined) return noBranch(record, from);
  const branches = branchesOf(record);
  if (branches.length >= branchLimits.branchesMax) {
    return refused(
      'too-many-branches',
      `there are ${branches.length} branches, and ${branchLimits.branchesMax} is the most a deployment has: ` +
        'delete one first (sextant branch delete NAME)',
    );
  }
  const allotted = nextEpoch(record);
  const below = branchAt(record, from, place.forkLsn);
  const branch: Branch = {
    ...place,
    ...(below !== undefined && { leaves: below.origin }),
    epoch: allotted,
    origin: allotted,
    by: null,
  };
  return next(record, { allotted, branches: [...branches, branch] });
}

/**
 * Takes a branch's name out of the record. What it alone holds is collected once nothing in retention needs it. Not while another
 * branch leaves it: a region that does not have it yet would never get what lies below that one (R72).
 */
export function deleteBranch(record: ControlRecord, by: { readonly name: BranchName }): Transition {
  const { name } = by;
  if (name === mainBranch) return refused('main-branch', 'main is the database itself: it cannot be deleted');
  const branch = branchNamed(record, name);
  if (branch === undefined) return noBranch(record, name);
  const above = branchesOn(record, branch).map((one) => one.name);
  if (above.length > 0)
    return refused(
      'has-branches',
      `${above.join(', ')} ${above.length === 1 ? 'leaves' : 'leave'} ${name} and cannot be without it: delete ` +
        `${above.length === 1 ? 'that one' : 'those'} first (sextant branch delete ${above[0]})`,
    );
  const branches = branchesOf(record).filter((one) => one.name !== name);
  if (branches.length > 0) return next(record, { branches });
  const { branches: _, ...without } = record;
  return next(record, {}, without);
}

/**
 * The holder of the lease takes the next epoch of a branch, to write there: a new one each time, so that what an earlier
 * reign still sends is fenced. Not while something moves: it is drained then, or was deposed.
 */
export function reignOfBranch(
  record: ControlRecord,
  by: { readonly name: BranchName; readonly holder: Holder },
): Transition {
  const { name, holder } = by;
  const branch = branchNamed(record, name);
  if (branch === undefined) return noBranch(record, name);
  if (!sameHolder(record.holder, holder)) return notHolder(record);
  if (record.move !== null) return moveUnderWay(record.move);
  const allotted = nextEpoch(record);
  const branches = branchesOf(record).map((other) =>
    other === branch ? { ...branch, epoch: allotted, by: holder } : other,
  );
  return next(record, { allotted, branches });
}

function exists(name: BranchName): Transition {
  const way =
    name === mainBranch
      ? 'main is the database itself; choose another name'
      : `there is a branch ${name} already: choose another name, or delete that one first (sextant branch delete ${name})`;
  return refused('branch-exists', way);
}

function noBranch(record: ControlRecord, name: string): Transition {
  return refused('no-branch', noBranchReason(record, name));
}

/** Why a branch is not there, and which are. */
export function noBranchReason(record: Pick<ControlRecord, 'branches'> | null, name: string): string {
  const names = branchesOf(record).map((branch) => branch.name);
  return `there is no branch ${name}; there ${names.length === 0 ? 'is main alone' : `are main, ${names.join(', ')}`}`;
}
