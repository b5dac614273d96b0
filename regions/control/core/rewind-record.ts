/**
 * The rewind that the control record asks for: what it says, what every change of it keeps, and its two
 * transitions, as pure as the others.
 *
 * R75 A rewind is begun under a holder of the lease, while nothing moves and no other is under way. It takes the next epoch of
 *     `main` under the same holder, and changes nothing else. Only the holder takes it out of the record, and nothing else then.
 *     Every other change keeps it: whoever writes next finds it, and recovers to its place (S41).
 */
import assert from 'node:assert/strict';
import { type BranchName, type Epoch, type Floor, mainBranch } from '../../../storage/core.ts';
import { allottedIn } from './branch-list.ts';
import {
  type ControlRecord,
  type Holder,
  moveUnderWay,
  newReign,
  next,
  notHolder,
  refused,
  rewindUnderWay,
  sameHolder,
  type Transition,
} from './control-record.ts';

/** A branch is to go back, or forward again, to a place in its history. */
export interface Rewind {
  /** Chosen by whoever began it. */
  readonly id: string;
  readonly branch: BranchName;
  /** A consistency point on the path to `to.epoch`: the branch goes on from there. */
  readonly to: Floor;
  /** Allotted to it. A reign of the branch from here on has made it, or makes it as it begins. */
  readonly epoch: Epoch;
  /** Wall clock of whoever began it, in milliseconds. For people; nothing is decided by it. */
  readonly startedAtMs: number;
}

/** Begins a rewind of `main`. The holder drains when it sees this record, and recovers to the place under the next epoch. */
export function beginRewind(
  record: ControlRecord,
  by: { readonly id: string; readonly to: Floor; readonly startedAtMs: number },
): Transition {
  if (record.move !== null) return moveUnderWay(record.move);
  if (record.rewind !== undefined) return rewindUnderWay(record.rewind);
  if (record.holder === null)
    return refused(
      'no-writer',
      'nobody writes now, so nobody can carry a rewind out: try again when a gateway writes',
    );
  if (by.to.epoch > allottedIn(record))
    return refused(
      'no-epoch',
      `epoch ${by.to.epoch} was never allotted: the newest is ${allottedIn(record)}`,
    );
  return newReign(record, (taken) => ({ rewind: { ...by, branch: mainBranch, epoch: taken } }));
}

/** The holder has made it, or found that it cannot be made. */
export function endRewind(
  record: ControlRecord,
  by: { readonly id: string; readonly holder: Holder },
): Transition {
  if (!sameHolder(record.holder, by.holder)) return notHolder(record);
  if (record.rewind?.id !== by.id) return refused('no-rewind', `rewind ${by.id} is not under way`);
  const { rewind: _, ...kept } = record;
  return next(record, {}, kept);
}

/** @throws AssertionError when no sequence of transitions leads to such a rewind (R75). */
export function checkRewind(record: ControlRecord): void {
  const { rewind, epoch, state } = record;
  if (rewind === undefined) return;
  assert(rewind.branch === mainBranch, `R75: a rewind of ${rewind.branch}`);
  assert(rewind.epoch <= epoch, `R75: a rewind by epoch ${rewind.epoch}, above ${epoch}`);
  assert(
    rewind.to.epoch < rewind.epoch,
    `R75: a rewind by epoch ${rewind.epoch} to epoch ${rewind.to.epoch}`,
  );
  assert(state !== 'switching', 'R75: a switchover during a rewind');
}

/** Whether the change begins a rewind; one that has ended counts as none. */
export const beginsRewind = (before: ControlRecord, after: ControlRecord): boolean =>
  after.rewind !== undefined && after.rewind.id !== before.rewind?.id;

export const sameRewind = (a: Pick<ControlRecord, 'rewind'>, b: Pick<ControlRecord, 'rewind'>): boolean =>
  a.rewind?.id === b.rewind?.id;

/** @throws AssertionError when a change of the rewind is none of the two above (R75). */
export function checkRewindStep(before: ControlRecord, after: ControlRecord): void {
  if (!beginsRewind(before, after)) {
    assert(before.holder !== null, 'R75: a rewind ended by no holder');
    return;
  }
  assert(before.rewind === undefined, 'R75: a rewind took the place of another');
  assert(before.holder !== null && before.move === null, 'R75: a rewind without a holder, or during a move');
  assert(after.rewind?.epoch === after.epoch, 'R75: a rewind took an epoch that is not its own');
}
