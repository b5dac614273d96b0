/**
 * The branches that the control record names, and which epochs it has allotted to them. Pure facts about the list; the
 * transitions that change it are in `branch-record.ts`.
 *
 * R69 The branches change by `createBranch`, `deleteBranch` and `reignOfBranch` alone, one branch at a time, and these
 *     change nothing else. A branch's name, its origin and the place where it left never change.
 * R70 Epochs of branches are allotted by the record like those of `main`: each is the next above all allotted before, so
 *     that no two lines of history ever share one. The epoch of a reign of a branch goes to the holder of the lease alone.
 */
import assert from 'node:assert/strict';
import { type BranchName, type Epoch, epoch, type Lsn, mainBranch } from '../../../storage/core.ts';
import type { Holder } from './control-record.ts';

/** A line of history beside `main`: a database of its own that shares with its parent what lies below `forkLsn`. */
export interface Branch {
  readonly name: BranchName;
  /** The newest epoch allotted to it: its head. */
  readonly epoch: Epoch;
  /** The epoch that it was made with, and which forks (`parent`, `forkLsn`). Later ones fork the one before. */
  readonly origin: Epoch;
  /** The epoch that holds the last record below the branch; genesis for a branch that begins empty. */
  readonly parent: Epoch;
  /** Where it left: what its parent's path holds up to here is the branch's, too. */
  readonly forkLsn: Lsn;
  /** The origin of the branch that holds what lies just below it; left out where that is `main`. */
  readonly leaves?: Epoch;
  /** Wall clock of whoever made it, in milliseconds. For people; nothing is decided by it. */
  readonly createdAtMs: number;
  /** The start of a gateway that `epoch` was allotted to; null until somebody has written to the branch. */
  readonly by: Holder | null;
}

export const branchLimits = {
  /** Each branch is a name in the record, a seal and a durable point on each node, and a lane to each secondary. */
  branchesMax: 32,
} as const;

/** The part of the control record that says which epochs and branches there are. */
export interface Lines {
  readonly epoch: Epoch;
  readonly allotted?: Epoch;
  readonly branches?: readonly Branch[];
}

const highestEpoch = 0xffff_ffff;

/** The highest epoch that has been allotted to any line of history. */
export const allottedIn = ({ epoch: ofMain, allotted }: Lines): Epoch => allotted ?? ofMain;

/** The epoch that is allotted next (R20, R70). @throws AssertionError when there is none left. */
export function nextEpoch(lines: Lines): Epoch {
  const highest = allottedIn(lines);
  assert(highest < highestEpoch, 'R20: the epochs of this cluster are used up');
  return epoch(highest + 1);
}

/** The branches beside `main`, oldest first. */
export const branchesOf = (lines: Pick<Lines, 'branches'> | null): readonly Branch[] => lines?.branches ?? [];

/** What somebody says of a branch. What is said under the name of one that was deleted is about that one. */
export const saidOf = <T extends { readonly name: string; readonly epoch: number }>(
  said: readonly T[],
  { name, origin }: Pick<Branch, 'name' | 'origin'>,
): T | undefined => said.find((one) => one.name === name && one.epoch >= origin);

/** The branch of that name; undefined where there is none, and for `main`. */
export const branchNamed = (lines: Pick<Lines, 'branches'> | null, name: string): Branch | undefined =>
  branchesOf(lines).find((branch) => branch.name === name);

/** Branches that leave a branch: what lies below them is part of it, so that it stays as long as they do. */
export const branchesOn = (
  lines: Pick<Lines, 'branches'>,
  { origin }: Pick<Branch, 'origin'>,
): readonly Branch[] => branchesOf(lines).filter(({ leaves }) => leaves === origin);

/** The branch that a place on the path of `from` belongs to; undefined where that is `main`. */
export function branchAt(lines: Pick<Lines, 'branches'>, from: string, at: Lsn): Branch | undefined {
  const branch = branchNamed(lines, from);
  if (branch === undefined || at > branch.forkLsn) return branch;
  const below = branchesOf(lines).find(({ origin }) => origin === branch.leaves);
  return below === undefined ? undefined : branchAt(lines, below.name, at);
}

/** The epoch whose reign writes `name` now; null where there is no such branch. */
export function headOfBranch(lines: Lines, name: BranchName): Epoch | null {
  return name === mainBranch ? lines.epoch : (branchNamed(lines, name)?.epoch ?? null);
}

const sameBranch = (a: Branch | undefined, b: Branch): boolean =>
  a !== undefined &&
  a.name === b.name &&
  a.epoch === b.epoch &&
  a.origin === b.origin &&
  a.parent === b.parent &&
  a.forkLsn === b.forkLsn &&
  a.leaves === b.leaves &&
  a.createdAtMs === b.createdAtMs &&
  a.by?.gateway === b.by?.gateway &&
  a.by?.incarnation === b.by?.incarnation;

/** True when both records name the same branches with the same epochs. */
export function sameBranches(a: Pick<Lines, 'branches'>, b: Pick<Lines, 'branches'>): boolean {
  const left = branchesOf(a);
  const right = branchesOf(b);
  return left.length === right.length && right.every((branch, at) => sameBranch(left[at], branch));
}

/** @throws AssertionError when no sequence of transitions leads to such branches (R69, R70). */
export function checkBranches(lines: Lines): void {
  const { allotted, branches } = lines;
  if (allotted !== undefined)
    assert(allotted > lines.epoch, `R70: ${allotted} is said to be allotted beside epoch ${lines.epoch}`);
  if (branches === undefined) return;
  assert(branches.length > 0, 'R69: a list of no branches is left out');
  assert(branches.length <= branchLimits.branchesMax, `R69: ${branches.length} branches`);
  const names = new Set<string>(branches.map(({ name }) => name));
  assert(names.size === branches.length, 'R69: a branch is named twice');
  assert(!names.has(mainBranch), 'R69: main is no branch of the list');
  const epochs = new Set<number>([lines.epoch, ...branches.map((branch) => branch.epoch)]);
  assert(epochs.size === branches.length + 1, 'R70: two lines of history share an epoch');
  for (const { name, epoch: head, origin, parent, by } of branches) {
    assert(head <= allottedIn(lines), `R70: epoch ${head} of ${name} was never allotted`);
    assert(parent < origin, `R70: ${name} has epoch ${origin} and leaves the later epoch ${parent}`);
    assert(origin <= head, `R70: ${name} was made with epoch ${origin} and has the earlier epoch ${head}`);
    assert((by === null) === (head === origin), `R70: epoch ${head} of ${name} and who it was allotted to`);
  }
}

/**
 * Checks a change of the branches and of nothing else. `holder`: who held the lease.
 * @throws AssertionError when `after` cannot follow `before` directly (R69, R70).
 */
export function checkBranchStep(before: Lines & { readonly holder: Holder | null }, after: Lines): void {
  const old = branchesOf(before);
  const now = branchesOf(after);
  const gone = old.filter(({ name }) => branchNamed(after, name) === undefined);
  const changed = now.filter((branch) => !sameBranch(branchNamed(before, branch.name), branch));
  assert(gone.length + changed.length === 1, 'R69: one branch changes at a time');
  assert(after.epoch === before.epoch, 'R69: a change of the branches took an epoch for main');
  const [branch] = changed;
  const allotted = branch === undefined ? allottedIn(before) : nextEpoch(before);
  assert(allottedIn(after) === allotted, `R70: ${allottedIn(after)} is said to be allotted, not ${allotted}`);
  for (const one of gone)
    assert(branchesOn(after, one).length === 0, `R69: ${one.name} went, and branches leave it`);
  if (branch === undefined) return;
  assert(branch.epoch === allotted, `R70: ${branch.name} took epoch ${branch.epoch}, not ${allotted}`);
  const was = branchNamed(before, branch.name);
  if (was === undefined) {
    assert(branch.origin === branch.epoch && branch.by === null, `R69: ${branch.name} begins with a reign`);
    return;
  }
  assert(
    sameBranch({ ...was, epoch: branch.epoch, by: branch.by }, branch),
    `R69: a reign of ${branch.name} changed where it left`,
  );
  assert(
    before.holder !== null &&
      branch.by?.gateway === before.holder.gateway &&
      branch.by.incarnation === before.holder.incarnation,
    `R70: the epoch of ${branch.name} went to somebody who does not hold the lease`,
  );
}
