/** What the storage nodes of a region say of the branches that the control record names. */
import type { BranchName, Epoch, Lsn, NodeId } from '../../../storage/core.ts';
import type { Branch } from '../../control/core/branch-list.ts';

/** One branch, as one node says. */
export interface NodeBranch {
  readonly branch: BranchName;
  readonly head: Epoch;
  readonly vdl: Lsn;
}

/** One branch in this region. */
export interface BranchSight {
  readonly name: BranchName;
  readonly origin: Epoch;
  /** The newest epoch that any node knows; the nodes that know it, or one before it. */
  readonly head: Epoch;
  readonly vdl: Lsn;
  readonly nodes: readonly NodeId[];
}

/** Of each branch that at least one node knows. What nodes know under the name of one that was deleted is none of it. */
export function sightsOf(
  branches: readonly Branch[],
  told: ReadonlyMap<NodeId, readonly NodeBranch[]>,
): readonly BranchSight[] {
  return branches.flatMap(({ name, origin }) => {
    const known = [...told].flatMap(([node, list]) => {
      const found = list.find(({ branch, head }) => branch === name && head >= origin);
      return found === undefined ? [] : [{ ...found, node }];
    });
    const [first] = known.toSorted((a, b) => b.head - a.head || b.vdl - a.vdl);
    if (first === undefined) return [];
    return [{ name, origin, head: first.head, vdl: first.vdl, nodes: known.map(({ node }) => node) }];
  });
}
