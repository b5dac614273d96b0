/**
 * What a bookmark means to a gateway that reads or writes one path. Pure.
 *
 * G59. A read that was given a bookmark sees everything up to it, or is refused: with the path that its history took when the
 *      bookmark is of one that was left, and else because this region has not got so far in time.
 */
import { type Epoch, type EpochTree, genesisEpoch, type Lsn, zeroLsn } from '../../../storage/core.ts';
import type { Bookmark } from '../../sql/bookmark.ts';

export type BookmarkPlace =
  /** A read has to see this much of the path. */
  | { readonly kind: 'at'; readonly lsn: Lsn }
  /** Of a reign that this gateway has not heard of yet. */
  | { readonly kind: 'ahead' }
  /** Of a history that was left: what lies beyond `until` is no part of the path. */
  | { readonly kind: 'left'; readonly until: Lsn };

/** @param tree has the path of `head`. */
export function placeOf({ epoch, lsn }: Bookmark, head: Epoch, tree: EpochTree): BookmarkPlace {
  if (epoch > head) return { kind: 'ahead' };
  if (epoch === head) return { kind: 'at', lsn };
  // Before the first reign there is nothing to have seen.
  if (epoch === genesisEpoch && lsn === zeroLsn) return { kind: 'at', lsn };
  const until = tree.has(head) ? tree.visibleUntil(head, epoch) : zeroLsn;
  if (lsn <= until) return { kind: 'at', lsn };
  // An epoch in which nothing was written may be left out of the path: where the next began it has been seen whole.
  const start = tree.has(epoch) ? tree.startOf(epoch) : zeroLsn;
  return until === zeroLsn && lsn <= start && isBelow(tree, head, epoch)
    ? { kind: 'at', lsn }
    : { kind: 'left', until };
}

/** Whether an epoch is an ancestor of the head. */
function isBelow(tree: EpochTree, head: Epoch, epoch: Epoch): boolean {
  return tree.has(head) && tree.forksOf(head).some((fork) => fork.epoch === epoch);
}
