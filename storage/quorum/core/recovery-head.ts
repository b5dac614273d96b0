/** Which path a recovery is about, once enough nodes have told their forks. Pure. */
import type { EpochTree } from '../../history/epoch-tree.ts';
import { geometryOf, geometryProblem } from '../../history/geometry.ts';
import { type Epoch, genesisEpoch, mainBranch } from '../../redo/ids.ts';
import type { RecoveryEffect, RecoveryGoal } from './recovery-types.ts';

/** @param tree takes in the forks of the path that a follower was given. @returns the head, or how the recovery ends without one. */
export function headFor(
  goal: RecoveryGoal,
  tree: EpochTree,
): { readonly kind: 'head'; readonly head: Epoch } | RecoveryEffect {
  const failed = (reason: string): RecoveryEffect => ({ kind: 'failed', reason });
  // A writer continues what this region has; a follower takes the path it was given, whatever it had before.
  if (goal.kind === 'follow') {
    const { conflict } = tree.addAll(goal.forks);
    if (conflict !== null)
      return failed(`the primary's epoch ${conflict.epoch} contradicts what this region recorded`);
  }
  const head = goal.kind === 'fork' ? tree.headOf(goal.branch) : goal.head;
  if (!tree.has(head)) return failed(`no storage node knows epoch ${head}`);
  const strange = geometryProblem(geometryOf(tree.forksOf(head)));
  if (strange !== null) return failed(strange);
  if (goal.kind !== 'fork') return { kind: 'head', head };
  if (head === genesisEpoch && goal.branch !== mainBranch)
    return failed(`no storage node knows a branch ${goal.branch}`);
  if (head > goal.epoch) return { kind: 'fenced', by: head };
  // Where it was forked is known, but not whether whoever did it still writes under this number.
  if (tree.has(goal.epoch))
    return failed(`epoch ${goal.epoch} was forked by an earlier attempt; take a new one`);
  return { kind: 'head', head };
}
