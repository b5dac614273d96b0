/**
 * The branches of one node. `main` is always there; another one is made when a fork of it is learned, or when somebody seals it. A
 * request concerns the branch of the head that it names (S32).
 */
import { durableOn, type EpochTree, type Fork } from '../../history/epoch-tree.ts';
import type { Segment } from '../../log/core/segment.ts';
import { type BranchName, type Epoch, genesisEpoch, type Lsn, maxLsn, zeroLsn } from '../../redo/ids.ts';
import type { AppendRequest, DurablePoint, RetainRequest } from '../../wire/core/messages.ts';
import { Branch, type BranchState, type NamedBranchState, nothingTold } from './branch.ts';

export interface BranchesState extends BranchState {
  readonly branches?: readonly NamedBranchState[];
}

export class Branches {
  readonly main: Branch;
  private readonly tree: EpochTree;
  private readonly segment: Pick<Segment, 'volumeEnd'>;
  private readonly byName = new Map<BranchName, Branch>();
  /** By head: the other branches that its path leads through. A path never changes. */
  private readonly ancestors = new Map<Epoch, readonly Branch[]>();
  /** Where to begin the next look at what is lacking. */
  private turnsTaken = 0;

  constructor(
    main: BranchName,
    tree: EpochTree,
    segment: Pick<Segment, 'volumeEnd'>,
    { branches = [], ...state }: BranchesState,
  ) {
    this.tree = tree;
    this.segment = segment;
    this.main = new Branch(main, state);
    this.byName.set(main, this.main);
    for (const { branch, ...named } of branches) this.byName.set(branch, new Branch(branch, named));
    for (const { branch } of tree.all()) this.named(branch, false);
  }

  get all(): readonly Branch[] {
    return [...this.byName.values()];
  }

  /** Those that were not deleted; `main` is the first. */
  get live(): readonly Branch[] {
    return this.all.filter(({ isLive }) => isLive);
  }

  /** The live ones, each time beginning with another one. */
  turn(): readonly Branch[] {
    const { live } = this;
    if (live.length === 1) return live;
    const first = this.turnsTaken++ % live.length;
    return [...live.slice(first), ...live.slice(0, first)];
  }

  /** Of all but `main`, for the saved state. */
  get states(): readonly NamedBranchState[] {
    return this.all.flatMap((branch) =>
      branch === this.main ? [] : [{ branch: branch.name, ...branch.state }],
    );
  }

  /** The branch that an epoch belongs to; genesis, and an epoch that is not in the tree, count for `main`. */
  of(head: Epoch): Branch {
    const fork = this.tree.get(head);
    if (fork === undefined || fork.branch === this.main.name) return this.main;
    return this.named(fork.branch, false);
  }

  /** @param hydrated what to begin with when the name is new. */
  named(name: BranchName, hydrated: boolean): Branch {
    let branch = this.byName.get(name);
    if (branch === undefined) {
      branch = new Branch(name, { sealed: genesisEpoch, durable: nothingTold, hydrated });
      this.byName.set(name, branch);
    }
    return branch;
  }

  find(name: BranchName): Branch | undefined {
    return this.byName.get(name);
  }

  /**
   * The branch that an append is for. A recovery that copies frames says nothing of what is durable, and so names no head; it has
   * sealed its branch for an epoch that no other branch has. Null when that is not known here any more, or no more: no other
   * branch's seal has a say in it, and frames that are kept do no harm.
   */
  ofAppend({ durable: { head }, authority }: Pick<AppendRequest, 'durable' | 'authority'>): Branch | null {
    if (head !== genesisEpoch) return this.of(head);
    return this.all.find(({ sealed }) => sealed === authority) ?? null;
  }

  /** The branch that the head of these forks belongs to, or will. */
  ofForks(forks: readonly Fork[], head: Epoch | undefined = forks.at(-1)?.epoch): BranchName {
    const told = forks.find(({ epoch }) => epoch === head)?.branch;
    return told ?? (head === undefined ? this.main.name : this.of(head).name);
  }

  /** What is known to be durable on the path to `head`: what its own writers said, and those of the branches it came from. */
  durableOn(head: Epoch): Lsn {
    const { tree } = this;
    const own = durableOn(tree, this.of(head).durable, head);
    if (own >= tree.startOf(head)) return own;
    return this.ancestorsOf(head).reduce(
      (best, { durable }) => maxLsn(best, durableOn(tree, durable, head)),
      own,
    );
  }

  /** Where a branch stands as far as this node knows; what its parents have durable below its fork is durable on it, too. */
  standing(branch: Branch): DurablePoint {
    if (branch === this.main || branch.durable.head === genesisEpoch) return branch.durable;
    const { head, vdl } = branch.durable;
    const known = this.durableOn(head);
    if (known > vdl) branch.durable = { head, vdl: known };
    return branch.durable;
  }

  /**
   * Takes in what a writer says is durable. The first word of a new head may know less than what its path already had durable here.
   * @returns whether that was news.
   */
  learn(branch: Branch, request: Pick<AppendRequest, 'durable' | 'lowWater'>): boolean {
    const { head, vdl } = request.durable;
    if (head === genesisEpoch) return false;
    branch.lower(request);
    branch.isVouched = true;
    return this.know(branch, { head, vdl });
  }

  /** Takes in a durable point, from whomever. @returns whether it was news. */
  know(branch: Branch, point: DurablePoint): boolean {
    if (!branch.isNews(point)) return false;
    const { head, vdl } = point;
    branch.durable = { head, vdl: maxLsn(vdl, durableOn(this.tree, branch.durable, head)) };
    return true;
  }

  /**
   * Forks that are new in the tree: branches begin with them.
   * @param mayWitness whether this node could not have forgotten anything of a branch that it hears of only now (S34).
   */
  learned(forks: readonly Fork[], mayWitness: boolean): void {
    for (const { epoch, branch: name, parent } of forks) {
      if (name === this.main.name) continue;
      const branch = this.named(name, mayWitness);
      const isOrigin = this.tree.get(parent)?.branch !== name;
      if (!isOrigin || epoch <= branch.durable.head) continue;
      // A name that was used before begins anew. Its seal stays: epochs only grow.
      branch.durable = nothingTold;
      branch.durable = { head: epoch, vdl: this.durableOn(epoch) };
      branch.hydrated = mayWitness;
      branch.isVouched = false;
      branch.isLive = true;
      branch.lowWater = zeroLsn;
    }
  }

  /** Whether everything that is known to be durable on a branch is here. */
  isComplete(branch: Branch): boolean {
    const { head, vdl } = this.standing(branch);
    return head !== genesisEpoch && this.segment.volumeEnd(head) >= vdl;
  }

  /** What it may have held in an earlier life proves nothing any more, for no branch. @param forgets what was told goes, too (S30). */
  doubt(forgets: boolean): void {
    for (const branch of this.all) {
      branch.hydrated = false;
      branch.isVouched = false;
      if (forgets) branch.durable = nothingTold;
    }
  }

  /**
   * Takes in which branches there are, as the agent knows them. One that it cannot know yet is none of those that were deleted.
   * @returns whether this node knows the head of each: of one that it does not know it cannot tell what is needed.
   */
  listed({ branches }: Pick<RetainRequest, 'branches'>): boolean {
    if (branches === undefined) return true;
    const { live, knownTo } = branches;
    const names = new Set(live.map(({ head }) => this.tree.get(head)?.branch));
    for (const branch of this.all) {
      if (branch === this.main) continue;
      branch.isLive = names.has(branch.name) || this.tree.originOf(this.tree.headOf(branch.name)) > knownTo;
    }
    return live.every(({ head }) => this.tree.has(head));
  }

  /** The paths of live branches but `main`'s, of which the log has to stay as far as they lead. */
  get neededHeads(): readonly Epoch[] {
    const heads = this.live.flatMap((branch) =>
      branch === this.main ? [] : [branch.durable.head, this.tree.headOf(branch.name)],
    );
    return [...new Set(heads.filter((head) => head !== genesisEpoch))];
  }

  private ancestorsOf(head: Epoch): readonly Branch[] {
    let found = this.ancestors.get(head);
    if (found === undefined) {
      const own = this.of(head);
      const names = this.tree.forksOf(head).map(({ epoch }) => this.of(epoch));
      found = [...new Set(names)].filter((branch) => branch !== own);
      this.ancestors.set(head, found);
    }
    return found;
  }
}
