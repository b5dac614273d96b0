/**
 * The branches that storage nodes know, for a control record that was lost: a branch that no record names would be taken for one
 * that was deleted, and what it holds be let go.
 */
import {
  type BranchName,
  type Epoch,
  EpochTree,
  type Fork,
  genesisEpoch,
  mainBranch,
} from '../../../storage/core.ts';
import type { Branch } from '../../control/core/branch-list.ts';
import type { Holder } from '../../control/core/control-record.ts';

/** What one node says. */
export interface NodeKnows {
  /** Those that were not deleted, as far as it was told. */
  readonly live: readonly { readonly branch: BranchName }[];
  /** Every fork that it has recorded. */
  readonly forks: readonly Fork[];
}

/** Who had the newest epoch of a branch is known to nobody any more. */
const unknownHolder: Holder = { gateway: 'unknown', incarnation: 'of the record that was lost' };

/** The branches that any node holds for alive, oldest first, and the highest epoch that one has recorded. */
export function foundBranches(
  nodes: readonly NodeKnows[],
  createdAtMs: number,
): { readonly branches: readonly Branch[]; readonly highestEpoch: Epoch } {
  const all = nodes.flatMap(({ forks }) => forks).toSorted((a, b) => a.epoch - b.epoch);
  const tree = new EpochTree();
  for (const fork of all) tree.add(fork);
  const names = new Set(nodes.flatMap(({ live }) => live.map(({ branch }) => branch)));
  const branches = [...names].flatMap((name) => branchOf(name, tree, createdAtMs));
  return {
    branches: branches.sort((a, b) => a.origin - b.origin),
    highestEpoch: all.at(-1)?.epoch ?? genesisEpoch,
  };
}

function branchOf(name: BranchName, tree: EpochTree, createdAtMs: number): readonly Branch[] {
  const head = tree.headOf(name);
  if (name === mainBranch || head === genesisEpoch) return [];
  let first = tree.get(head);
  for (let at = first; at !== undefined && at.branch === name; at = tree.get(at.parent)) first = at;
  if (first === undefined) return [];
  const { epoch: origin, parent, forkLsn } = first;
  const by = head === origin ? null : unknownHolder;
  return [{ name, epoch: head, origin, parent, forkLsn, createdAtMs, by }];
}
