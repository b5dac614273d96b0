/** Sees to the branches of a node: what it lacks of each is fetched from peers, and of which it is a witness. */
import type { EpochTree, Fork } from '../../history/epoch-tree.ts';
import type { Floor } from '../../history/floor.ts';
import type { Segment } from '../../log/core/segment.ts';
import type { BranchName, Epoch, Lsn, NodeId } from '../../redo/ids.ts';
import type { BranchStatus, DurablePoint, KnownBranches } from '../../wire/core/messages.ts';
import type { Branch } from './branch.ts';
import { BranchPeers, type PeerTold } from './branch-peers.ts';
import { Branches, type BranchesState } from './branches.ts';

/** What a node remembers of its branches: of `main` as ever, of the others beside it. */
export interface CareState extends BranchesState {
  /** It has heard of all branches there were since it began (S34). Left out where `hydrated` says the same. */
  readonly knowsBranches?: boolean;
}

/** A question to a peer: frames along `head` from `from` on. */
export interface Lacking {
  readonly head: Epoch;
  readonly from: Lsn;
  readonly durable: DurablePoint;
}

export class BranchCare {
  readonly branches: Branches;
  private readonly tree: EpochTree;
  private readonly segment: Segment;
  private readonly peers: BranchPeers;
  /** The branch that a peer was asked to fill; one question at a time. */
  private asking: Branch | null = null;

  constructor(main: BranchName, tree: EpochTree, segment: Segment, state: CareState) {
    this.tree = tree;
    this.segment = segment;
    this.branches = new Branches(main, tree, segment, state);
    this.peers = new BranchPeers(this.branches, tree, segment, state.knowsBranches ?? state.hydrated);
  }

  get state(): CareState {
    const { main, states: branches } = this.branches;
    const { knowsAll } = this.peers;
    return {
      ...main.state,
      ...(branches.length > 0 && { branches }),
      ...(knowsAll !== main.hydrated && { knowsBranches: knowsAll }),
    };
  }

  /** Whether it may be counted as a copy of everything there is: of a branch that it does not know it has nothing. */
  get isWhole(): boolean {
    return this.peers.knowsAll && this.branches.live.every(({ hydrated }) => hydrated);
  }

  /** The durable point of each branch: the same object as long as it stands. */
  get points(): readonly DurablePoint[] {
    return this.branches.all.map(({ durable }) => durable);
  }

  /** What it tells of the branches besides `main`. */
  get status(): readonly BranchStatus[] {
    const { live, main } = this.branches;
    return live.filter((branch) => branch !== main).map((branch) => this.peers.statusOf(branch));
  }

  /** What its peers want to hear beside that. */
  get known(): KnownBranches {
    const { knowsAll: isWhole, mayWitness } = this.peers;
    return { forks: this.tree.all(), isWhole, ...(mayWitness !== isWhole && { mayWitness }) };
  }

  /** Somebody seals a branch, which this node may never have heard of. */
  sealing(name: BranchName): Branch {
    return this.branches.named(name, this.peers.mayWitness);
  }

  /** Forks that are new in the tree. */
  learned(forks: readonly Fork[]): void {
    this.branches.learned(forks, this.peers.mayWitness);
  }

  /** What the node held in an earlier life proves nothing any more; see `Branches.doubt`. */
  doubt(forgets: boolean): void {
    this.branches.doubt(forgets);
    if (forgets) this.peers.forget();
  }

  /** The region is new: there are no branches. @returns whether anything has to be saved. */
  beginsAnew(): boolean {
    return this.peers.beginsAnew();
  }

  /** Whether a peer's answer is awaited. */
  get isAsking(): boolean {
    return this.asking !== null;
  }

  /** Whether to ask the peers what they know of branches. */
  asksPeers(nowMs: number): boolean {
    return this.peers.due(nowMs);
  }

  /**
   * A peer has told, and its forks are in the tree. @returns whether anything has to be saved now: that it has heard of all branches
   * it may forget with its process, and asks again.
   */
  heard(node: NodeId, told: PeerTold, peers: number, members: number): boolean {
    this.peers.heard(node, told, peers);
    return this.branches.live.filter((branch) => this.hydrate(branch, members)).length > 0;
  }

  /**
   * Looks at one branch. @param logFrom what the node needs first of the log of this path, when it is complete up to `end`.
   * @returns the question to put to a peer; null when nothing is missing, or another question is open.
   */
  look(branch: Branch, logFrom: (head: Epoch, end: Lsn) => Lsn, nowMs: number): Lacking | null {
    const durable = this.branches.standing(branch);
    const { head, vdl } = durable;
    const from = logFrom(head, this.segment.volumeEnd(head));
    if (this.asking !== null || !branch.repairs.due(from, vdl, nowMs)) return null;
    this.asking = branch;
    return { head, from, durable };
  }

  /** A peer has answered, or none will. @param floor see `RepairWatch.ended`. */
  ended(floor: Floor | null, nowMs: number): void {
    (this.asking ?? this.branches.main).repairs.ended(floor, nowMs);
    this.asking = null;
  }

  /**
   * S6: a node that came back empty is a witness again once it holds everything its region's writer calls durable; of a branch
   * without a writer, once it holds what three witnesses hold (S34). @returns whether it is from now on.
   */
  hydrate(branch: Branch, members: number): boolean {
    if (branch.hydrated || !this.branches.isComplete(branch)) return false;
    const { main } = this.branches;
    branch.hydrated = branch === main || branch.isVouched || this.peers.isWitnessed(branch, members);
    return branch.hydrated;
  }
}
