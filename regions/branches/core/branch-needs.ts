/** What the branches of the control record need of a region's log (R73). */
import { type Epoch, epoch, type Fork } from '../../../storage/core.ts';
import type { Branch } from '../../control/core/branch-list.ts';
import type { BranchNeeds } from '../../retention/core/retention.ts';
import type { BranchSight } from './branch-sight.ts';

export interface NeedsQuestion {
  /** What the record names. */
  readonly branches: readonly Branch[];
  /** The newest epoch that the record has allotted. */
  readonly allotted: Epoch;
  /** What the nodes were last seen to have. */
  readonly sights: readonly BranchSight[];
  /** The path to a head; undefined while it is not known. */
  readonly pathTo: (head: Epoch) => readonly Fork[] | undefined;
  /** Whether the log of this region no longer reaches down to where a branch leaves: it is never here. */
  readonly cannotBegin: (branch: Branch) => boolean;
}

/**
 * A branch that no node was seen to have may have come to them since they were asked. So nodes are told of no branch from its
 * origin on that it was deleted, and the log is kept whole until it is seen.
 */
export function needsOf({ branches, allotted, sights, pathTo, cannotBegin }: NeedsQuestion): BranchNeeds {
  const sightOf = ({ name, origin }: Branch): BranchSight | undefined =>
    sights.find((sight) => sight.name === name && sight.origin === origin);
  const live = branches.flatMap((branch) => {
    const head = sightOf(branch)?.head;
    if (head === undefined) return [];
    return [{ name: branch.name, head, forks: pathTo(head) ?? [], keepFrom: branch.forkLsn }];
  });
  const awaited = branches.filter((branch) => sightOf(branch) === undefined && !cannotBegin(branch));
  return {
    knownTo: epoch(Math.min(allotted, ...awaited.map(({ origin }) => origin - 1))),
    live,
    awaited: awaited.map(({ name }) => name),
  };
}
