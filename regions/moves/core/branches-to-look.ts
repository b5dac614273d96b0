/**
 * Whose lost writes a region has not looked for yet.
 *
 * R93 A region says that it knows of no more lost writes only once it has looked at all that its nodes hold of each branch, under the
 *     newest reign that the primary says there is.
 */
import type { BranchName, Epoch } from '../../../storage/core.ts';
import { saidOf } from '../../control/core/branch-list.ts';

interface Line {
  readonly name: BranchName;
  readonly origin: Epoch;
}

export interface LookQuestion {
  /** What the record names. */
  readonly branches: readonly Line[];
  /** What this region's nodes were seen to have; null before they were asked. */
  readonly sights: readonly (Line & { readonly head: Epoch })[] | null;
  /** The newest reign under which a branch has been looked at; null before. */
  readonly lookedUnder: (branch: Line) => Epoch | null;
  /** What the primary last said of branches. Nothing when it is not heard. */
  readonly ofPrimary: readonly { readonly name: string; readonly epoch: number }[];
}

export function branchesToLook({
  branches,
  sights,
  lookedUnder,
  ofPrimary,
}: LookQuestion): readonly BranchName[] {
  if (sights === null) return branches.map(({ name }) => name);
  return sights.flatMap((sight) => {
    const { name, head } = sight;
    const newest = saidOf(ofPrimary, sight)?.epoch ?? head;
    const looked = lookedUnder(sight);
    return looked !== null && looked >= Math.max(head, newest) ? [] : [name];
  });
}
