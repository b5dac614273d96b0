/**
 * What a node hears of branches from the other nodes of its region. A branch may have no writer for months: what was durable there,
 * and that the branch exists at all, a node that was away or came back empty can only hear from its peers.
 *
 * S34: a node is a witness of a branch that it hears of when it cannot have forgotten any of it: it has once heard of all branches
 * there were from three nodes that had not come back empty, or from all others, or the region was new. Every branch is on four nodes before anybody writes
 * there, so three of them cannot all lack it. Of a branch that it heard of before that, it is a witness again when a writer
 * says so (S6), or when it holds whatever three witnesses hold of it: every write quorum meets them (S1).
 */
import type { EpochTree } from '../../history/epoch-tree.ts';
import type { Segment } from '../../log/core/segment.ts';
import { genesisEpoch, type Lsn, maxLsn, minLsn, type NodeId } from '../../redo/ids.ts';
import { branchLimits, quorumLimits } from '../../redo/limits.ts';
import type { BranchStatus, KnownBranches } from '../../wire/core/messages.ts';
import type { Branch } from './branch.ts';
import type { Branches } from './branches.ts';

/** What one peer has told. */
export interface PeerTold extends KnownBranches {
  readonly branches: readonly BranchStatus[];
  /** The membership that is installed there. */
  readonly members: number;
}

export class BranchPeers {
  private readonly branches: Branches;
  private readonly tree: EpochTree;
  private readonly segment: Pick<Segment, 'volumeEnd' | 'framesAbove'>;
  private readonly told = new Map<NodeId, PeerTold>();
  private knowsAllNow: boolean;
  private notBeforeMs = 0;

  /** @param knowsAll whether this node has heard of all branches there were, since it came back empty if it ever did. */
  constructor(
    branches: Branches,
    tree: EpochTree,
    segment: Pick<Segment, 'volumeEnd' | 'framesAbove'>,
    knowsAll: boolean,
  ) {
    this.branches = branches;
    this.tree = tree;
    this.segment = segment;
    this.knowsAllNow = knowsAll;
  }

  get knowsAll(): boolean {
    return this.knowsAllNow;
  }

  /** Whether this node is a witness of a branch that it hears of now for the first time. */
  get mayWitness(): boolean {
    return this.knowsAllNow && this.branches.main.hydrated;
  }

  /** Whether to ask the peers now. A region without branches is left in peace. */
  due(nowMs: number): boolean {
    if (nowMs < this.notBeforeMs) return false;
    if (this.knowsAllNow && this.branches.live.length === 1) return false;
    this.notBeforeMs = nowMs + (this.knowsAllNow ? branchLimits.askEveryMs : branchLimits.askAtOnceMs);
    return true;
  }

  /** All nodes of the region were empty when its first recovery began: there is no branch that any could have forgotten. */
  beginsAnew(): boolean {
    const changed = !this.knowsAllNow;
    this.knowsAllNow = true;
    return changed;
  }

  /** What it may have known in an earlier life does not count any more. */
  forget(): void {
    this.knowsAllNow = false;
    this.told.clear();
    this.notBeforeMs = 0;
  }

  /**
   * Takes in what a peer tells, whose forks are in the tree already.
   * @param peers how many others the region has.
   */
  heard(node: NodeId, told: PeerTold, peers: number): void {
    this.told.set(node, told);
    for (const { branch: name, head, vdl } of told.branches) {
      const branch = this.branches.find(name);
      if (branch !== undefined && head !== genesisEpoch && this.tree.get(head)?.branch === name)
        this.branches.know(branch, { head, vdl });
    }
    if (this.knowsAllNow) return;
    const whole = [...this.told.values()].filter(({ isWhole }) => isWhole).length;
    this.knowsAllNow = whole >= quorumLimits.readQuorum || (peers > 0 && this.told.size >= peers);
  }

  /**
   * Whether this node holds whatever three witnesses of the branch hold. @param members what is installed here: who has not heard of
   * it may have acknowledged something since it answered.
   */
  isWitnessed(branch: Branch, members: number): boolean {
    const head = this.tree.headOf(branch.name);
    let witnesses = 0;
    let last = 0;
    for (const told of this.told.values()) {
      const theirs = told.branches.find(({ branch: name }) => name === branch.name);
      if (theirs === undefined || theirs.fresh || theirs.head !== head || told.members < members) continue;
      witnesses += 1;
      last = Math.max(last, theirs.last);
    }
    return witnesses >= quorumLimits.readQuorum && this.segment.volumeEnd(head) >= last;
  }

  /** What this node tells of a branch. */
  statusOf(branch: Branch): BranchStatus {
    const { tree, segment, branches } = this;
    const head = tree.headOf(branch.name);
    const scl = segment.volumeEnd(head);
    return {
      branch: branch.name,
      head,
      sealed: branch.sealed,
      vdl: branches.durableOn(head),
      scl,
      last: this.lastOn(head, scl),
      fresh: !branch.hydrated,
    };
  }

  /** Where the newest frame ends that is held on a path, behind a hole or not. */
  private lastOn(head: BranchStatus['head'], end: Lsn): Lsn {
    let last = end;
    for (const { epoch, until } of this.tree.path(head))
      for (const frame of this.segment.framesAbove(epoch, end))
        if (frame.base < until) last = maxLsn(last, minLsn(frame.end, until));
    return last;
  }
}
