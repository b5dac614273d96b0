/**
 * The history tree. Crash recovery, switchover, failover, rewind and clone are all one act: fork a new epoch
 * from (parent epoch, LSN). Nothing is truncated; what a fork leaves behind becomes an orphan that stays readable.
 */
import assert from 'node:assert/strict';
import { z } from 'zod';
import {
  ascending,
  type BranchName,
  branchName,
  type Epoch,
  epoch,
  genesisEpoch,
  type Lsn,
  lsn,
  minLsn,
  zeroLsn,
} from '../redo/ids.ts';
import { type Geometry, geometryOf, geometrySchema, sameGeometry } from './geometry.ts';

/** One node of the tree: `epoch` continues `parent` from `forkLsn` on. */
export interface Fork {
  readonly epoch: Epoch;
  readonly branch: BranchName;
  readonly parent: Epoch;
  readonly forkLsn: Lsn;
  /** Of the volume: only in a fork from genesis, and left out where it is the default. */
  readonly geometry?: Geometry;
  /** The head of the branch that a rewind left on purpose (S41); left out of every other fork. */
  readonly left?: Epoch;
}

/** A stretch of one epoch on the way from the root to a head: LSNs in (from, until] are read from it. */
export interface PathStep {
  readonly epoch: Epoch;
  readonly from: Lsn;
  /** LSN where the path leaves this epoch; for the head, the end of all LSNs. */
  readonly until: Lsn;
}

/** Beyond every LSN that can exist. */
export const endOfTime: Lsn = lsn(Number.MAX_SAFE_INTEGER);

/** Forks as they cross a wire or a disk, checked and branded. */
export const forkSchema = z
  .strictObject({
    epoch: z.int().min(1),
    branch: z.string(),
    parent: z.int().min(0),
    forkLsn: z.int().min(0),
    geometry: geometrySchema.optional(),
    left: z.int().min(0).optional(),
  })
  .transform(
    (raw): Fork => ({
      epoch: epoch(raw.epoch),
      branch: branchName(raw.branch),
      parent: epoch(raw.parent),
      forkLsn: lsn(raw.forkLsn),
      ...(raw.geometry !== undefined && { geometry: raw.geometry }),
      ...(raw.left !== undefined && { left: epoch(raw.left) }),
    }),
  );

export class EpochTree {
  private readonly forks = new Map<Epoch, Fork>();
  private readonly paths = new Map<Epoch, readonly PathStep[]>();
  private readonly origins = new Map<Epoch, Epoch>();

  constructor(forks: readonly Fork[] = []) {
    for (const fork of [...forks].sort((a, b) => ascending(a.epoch, b.epoch))) {
      const outcome = this.add(fork);
      assert(outcome !== 'conflict', `S3: the tree holds two forks of epoch ${fork.epoch}`);
      assert(
        outcome !== 'orphan',
        `S3: the tree holds epoch ${fork.epoch} without its parent ${fork.parent}`,
      );
    }
  }

  /**
   * Adds a fork. Its parent must be known and older, since epochs are numbered by one compare-and-set.
   * @returns `conflict` when this epoch is already forked from elsewhere or with another geometry (S3), `orphan` when its parent is unknown.
   */
  add(fork: Fork): 'added' | 'known' | 'conflict' | 'orphan' {
    const known = this.forks.get(fork.epoch);
    if (known !== undefined) {
      return sameFork(known, fork) ? 'known' : 'conflict';
    }
    if (fork.epoch <= fork.parent) return 'conflict';
    if (!this.has(fork.parent)) return 'orphan';
    this.forks.set(fork.epoch, fork);
    return 'added';
  }

  /** Adds forks up to the first that contradicts the tree or whose parent it does not know. @returns that one, and those that were new. */
  addAll(forks: readonly Fork[]): { readonly added: readonly Fork[]; readonly conflict: Fork | null } {
    const added: Fork[] = [];
    for (const fork of forks) {
      const outcome = this.add(fork);
      if (outcome === 'conflict' || outcome === 'orphan') return { added, conflict: fork };
      if (outcome === 'added') added.push(fork);
    }
    return { added, conflict: null };
  }

  has(candidate: Epoch): boolean {
    return candidate === genesisEpoch || this.forks.has(candidate);
  }

  get(candidate: Epoch): Fork | undefined {
    return this.forks.get(candidate);
  }

  /** LSN at which an epoch's own records start. */
  startOf(candidate: Epoch): Lsn {
    return this.forks.get(candidate)?.forkLsn ?? zeroLsn;
  }

  /** The newest epoch of a branch; genesis when the branch has none. */
  headOf(branch: BranchName): Epoch {
    let head = genesisEpoch;
    for (const fork of this.forks.values())
      if (fork.branch === branch && fork.epoch > head) head = fork.epoch;
    return head;
  }

  /**
   * The epoch with which the line of history of `candidate` began. One line is what a branch writes from when it is made until it is
   * deleted: its name may be used again, also for a branch that comes from it.
   */
  originOf(candidate: Epoch): Epoch {
    const known = this.origins.get(candidate);
    if (known !== undefined) return known;
    let origin = candidate;
    for (let fork = this.forks.get(candidate); fork !== undefined; ) {
      const parent = this.forks.get(fork.parent);
      if (parent?.branch !== fork.branch) break;
      fork = parent;
      origin = fork.epoch;
    }
    if (this.has(candidate)) this.origins.set(candidate, origin);
    return origin;
  }

  /**
   * The way from the root to `head`, oldest first, empty stretches left out, except that the head is always last.
   * An ancestor ends at the lowest fork below it: a rewind past a fork hides everything above it.
   */
  path(head: Epoch): readonly PathStep[] {
    const cached = this.paths.get(head);
    if (cached !== undefined) return cached;
    if (!this.has(head)) assert.fail(`epoch ${head} is not in the tree`);
    const steps: PathStep[] = [];
    let until = endOfTime;
    for (let at = head; at !== genesisEpoch; ) {
      const fork = this.forks.get(at);
      if (fork === undefined) assert.fail(`epoch ${at} is not in the tree`);
      if (at === head || fork.forkLsn < until)
        steps.push({ epoch: at, from: minLsn(fork.forkLsn, until), until });
      until = minLsn(until, fork.forkLsn);
      at = fork.parent;
    }
    steps.reverse();
    this.paths.set(head, steps);
    return steps;
  }

  /** The forks on the way from the root to `head`, oldest first: what another process needs to know the path. */
  forksOf(head: Epoch): readonly Fork[] {
    const forks: Fork[] = [];
    for (let at = head; at !== genesisEpoch; ) {
      const fork = this.forks.get(at);
      if (fork === undefined) assert.fail(`epoch ${at} is not in the tree`);
      forks.push(fork);
      at = fork.parent;
    }
    return forks.reverse();
  }

  /** LSN up to which records of `candidate` are visible from `head`; zero when it is not on the path. */
  visibleUntil(head: Epoch, candidate: Epoch): Lsn {
    for (const step of this.path(head)) if (step.epoch === candidate) return step.until;
    return zeroLsn;
  }

  /** Whether a record is visible on a branch at a read point (design section 4). */
  visible(head: Epoch, readPoint: Lsn, record: { readonly epoch: Epoch; readonly lsn: Lsn }): boolean {
    return record.lsn <= readPoint && record.lsn <= this.visibleUntil(head, record.epoch);
  }

  /** Every fork, in order of epoch. */
  all(): readonly Fork[] {
    return [...this.forks.values()].sort((a, b) => ascending(a.epoch, b.epoch));
  }
}

function sameFork(one: Fork, other: Fork): boolean {
  return (
    one.parent === other.parent &&
    one.forkLsn === other.forkLsn &&
    one.branch === other.branch &&
    sameGeometry(geometryOf([one]), geometryOf([other]))
  );
}

/**
 * Where two positions part: the highest LSN at or below `position` that lies on both paths.
 * A follower at (its head, its LSN) resumes from here on the path of another head.
 */
export function commonPoint(
  tree: EpochTree,
  from: { readonly head: Epoch; readonly lsn: Lsn },
  head: Epoch,
): Lsn {
  let common = zeroLsn;
  const theirs = new Map(tree.path(head).map((step) => [step.epoch, step]));
  for (const step of tree.path(from.head)) {
    const other = theirs.get(step.epoch);
    if (other === undefined) break;
    common = minLsn(minLsn(step.until, other.until), from.lsn);
    if (step.until !== other.until || common === from.lsn) break;
  }
  return common;
}

/** What is durable on one path, as far as it lies on the path to `head`; zero when the tree does not know the former. */
export function durableOn(
  tree: EpochTree,
  durable: { readonly head: Epoch; readonly vdl: Lsn },
  head: Epoch,
): Lsn {
  if (durable.head === head) return durable.vdl;
  return tree.has(durable.head) ? commonPoint(tree, { head: durable.head, lsn: durable.vdl }, head) : zeroLsn;
}
