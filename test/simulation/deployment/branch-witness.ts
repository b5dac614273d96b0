/** The judges of branches: each branch is a line of history with judges of its own, like those of `main`. */
import type { Branch } from '../../../regions/control/core/branch-list.ts';
import { EpochTree, type Fork } from '../../../storage/history/epoch-tree.ts';
import { type Epoch, type Lsn, mainBranch } from '../../../storage/redo/ids.ts';
import { HeldJudge } from '../judges/branches/held.ts';
import { SealsJudge } from '../judges/branches/seals.ts';
import type { CopiesJudge } from '../judges/copies.ts';
import type { Judge } from '../judges/judge.ts';
import type { Committed, PagesJudge } from '../judges/storage/pages.ts';
import type { World } from '../world/world.ts';
import { LineJudges } from './line-judges.ts';
import type { BranchWitness } from './sim-types.ts';

type Ack = Parameters<BranchWitness['acknowledged']>[0];

/** What all branches of a run share. */
export type BranchParts = {
  readonly world: World;
  readonly pages: PagesJudge;
  readonly copies: CopiesJudge;
  readonly driftPpmMax: number;
  readonly countCopies: (
    region: string,
    forks: readonly Fork[],
    head: Epoch,
    vdl: Lsn,
  ) => { readonly complete: number; readonly destroyed: number };
};

type LineParts = BranchParts & { readonly forking: (forks: readonly Fork[]) => void };

/** A branch from its creation on, also after it was deleted. */
export class SimLine extends LineJudges implements BranchWitness {
  readonly branch: Branch;
  /** The path to its newest reign that is known to be forked, or to where it began. */
  forks: readonly Fork[];
  /** Durable there, as its writer said. */
  vdl: Lsn;
  /** Which region wrote which reign. */
  readonly writers = new Map<Epoch, string>();
  /** Regions that were seen not to have what lies below it when they first heard of it, or lost that for a filling: they never have it. */
  readonly without = new Set<string>();
  /** A failover left behind what lies below it: it is nowhere any more. */
  isUprooted = false;
  /** Its final history was read. */
  isJudged = false;
  acked = 0;
  private readonly parts: LineParts;
  /** Writes that were issued after healing; undefined before. */
  private late: Set<string> | undefined;
  private lateAcked = 0;

  /** @param forks the path to its first epoch. */
  constructor(branch: Branch, forks: readonly Fork[], rpoMs: number | null, parts: LineParts) {
    super(parts.world, parts.driftPpmMax);
    this.branch = branch;
    this.forks = forks;
    this.vdl = branch.forkLsn;
    this.parts = parts;
    this.rpo.policy(rpoMs);
    this.monotonic.recovered(branch.origin, branch.forkLsn);
  }

  get name(): string {
    return `${this.branch.name} of epoch ${this.branch.origin}`;
  }

  protected get ofLine(): string {
    return ` of ${this.name}`;
  }

  get head(): Epoch {
    return this.forks.at(-1)?.epoch ?? this.branch.origin;
  }

  /** A write that was sent after healing was acknowledged. */
  get hasProgressed(): boolean {
    return this.lateAcked > 0;
  }

  get judges(): readonly Judge[] {
    const { durability, singleWriter, monotonic, quorum, rpo } = this;
    const all: readonly Judge[] = [
      monotonic,
      quorum,
      rpo,
      ...(this.isJudged ? [singleWriter, durability] : []),
    ];
    return all.map((judge) => ({
      name: judge.name,
      verdict: judge.verdict,
      violations: () => judge.violations().map((text) => `${this.name}: ${text}`),
    }));
  }

  healed(): void {
    this.late = new Set();
  }

  issued(writeId: string, parts: number): void {
    this.durability.issued(writeId, parts);
    this.late?.add(writeId);
  }

  acknowledged(ack: Ack): void {
    const atUs = this.parts.world.nowUs;
    this.acked += 1;
    this.singleWriter.acknowledged({ ...ack, atUs });
    this.rpo.acknowledged(ack.epoch, ack.lsn);
    this.durability.acknowledged({ ...ack, atUs });
    if (this.late?.has(ack.writeId) === true) this.lateAcked += 1;
  }

  committed(commit: Committed): void {
    this.rpo.committed(commit.epoch, commit.lsn, this.parts.world.nowUs);
    this.parts.pages.committed(commit);
  }

  forking(region: string, epoch: Epoch, forks: readonly Fork[]): void {
    const { parent, forkLsn: vdl } = lastOf(forks);
    const { pages, copies, countCopies, world } = this.parts;
    this.rpo.forking(region, epoch);
    pages.forks(forks);
    this.parts.forking(forks);
    this.monotonic.recovered(parent, vdl);
    this.monotonic.recovered(epoch, vdl);
    const counted = countCopies(region, forks, epoch, vdl);
    copies.counted({ region, atUs: world.nowUs, when: 'recovered', head: epoch, vdl, ...counted });
  }

  forked(region: string, epoch: Epoch, forks: readonly Fork[]): void {
    const { parent, forkLsn } = lastOf(forks);
    this.parts.world.note(`${region} forked epoch ${epoch} of ${this.name} from (${parent}, ${forkLsn})`);
    this.singleWriter.forked(epoch, parent, forkLsn);
    this.rpo.forked(region, epoch, parent, forkLsn);
    this.writers.set(epoch, region);
    if (epoch <= this.head) return;
    this.forks = forks;
    this.vdl = forkLsn;
  }

  override primaryDurable(region: string, epoch: Epoch, vdl: Lsn): void {
    if (epoch === this.head && vdl > this.vdl) this.vdl = vdl;
    super.primaryDurable(region, epoch, vdl);
  }
}

/** All branches that there were. */
export class BranchJudges {
  readonly seals = new SealsJudge();
  readonly held = new HeldJudge();
  /** Regions that were filled with images: of the log below those they have nothing. */
  readonly filled = new Set<string>();
  private readonly lines = new Map<Epoch, SimLine>();
  private readonly tree = new EpochTree();
  private isHealed = false;
  private readonly parts: LineParts;

  constructor(parts: BranchParts) {
    this.parts = { ...parts, forking: (forks) => this.forking(forks) };
  }

  get judges(): readonly Judge[] {
    return [this.seals, this.held, ...this.all.flatMap((line) => line.judges)];
  }

  get all(): readonly SimLine[] {
    return [...this.lines.values()];
  }

  /** Faults are over: what is written from now on has to be answered. */
  healed(): void {
    this.isHealed = true;
    for (const line of this.all) line.healed();
  }

  /** A region is filled with images: it has no branch that leaves below those. */
  filling(region: string): void {
    this.filled.add(region);
    for (const line of this.all) line.without.add(region);
  }

  /** Somebody begins to fork the last of these. */
  forking(forks: readonly Fork[]): void {
    this.tree.addAll(forks);
  }

  /** The control record names a branch that is new. */
  began(branch: Branch, rpoMs: number | null): void {
    const { name, origin, parent, forkLsn } = branch;
    this.tree.addAll([{ epoch: origin, branch: name, parent, forkLsn }]);
    const forks = this.tree.forksOf(origin);
    this.parts.pages.forks(forks);
    const line = new SimLine(branch, forks, rpoMs, this.parts);
    if (this.isHealed) line.healed();
    this.lines.set(origin, line);
  }

  of(origin: Epoch): SimLine {
    const line = this.lines.get(origin);
    if (line === undefined) throw new Error(`the control record never named a branch of epoch ${origin}`);
    return line;
  }

  /** The branch that a path leads to; null for `main`. */
  byPath(forks: readonly Fork[]): SimLine | null {
    const branch = forks.at(-1)?.branch ?? mainBranch;
    if (branch === mainBranch) return null;
    const other = forks.findLastIndex((fork) => fork.branch !== branch);
    return this.of(forks[other + 1]?.epoch ?? lastOf(forks).epoch);
  }
}

function lastOf(forks: readonly Fork[]): Fork {
  const last = forks.at(-1);
  if (last === undefined) throw new Error('a fork has a path');
  return last;
}
