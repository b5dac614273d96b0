/**
 * How much of each reign is history still. What a region holds of a reign beyond that was left behind, and is lost unless somebody
 * left it on purpose. Pure.
 */
import { type Epoch, type EpochTree, type Lsn, maxLsn, zeroLsn } from '../../../storage/core.ts';

/** R77: heads that a rewind has left. What lies on the way to them was given up by somebody's word, and can be gone back to: it is not lost. */
const leftOnPurpose = (tree: EpochTree): readonly Epoch[] =>
  tree.all().flatMap(({ left }) => (left !== undefined && tree.has(left) ? [left] : []));

/**
 * @returns for each reign of `tree` the LSN up to which its records are on the path to `head`, or to a head that was left on
 * purpose; the reign's start where none is.
 */
export function keptUnder(tree: EpochTree, head: Epoch): (reign: Epoch) => Lsn {
  const kept = new Map<Epoch, Lsn>();
  for (const end of [head, ...leftOnPurpose(tree)])
    for (const { epoch, until } of tree.path(end)) kept.set(epoch, maxLsn(kept.get(epoch) ?? zeroLsn, until));
  return (reign) => maxLsn(tree.startOf(reign), kept.get(reign) ?? zeroLsn);
}
