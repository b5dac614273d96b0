/**
 * Nothing that somebody needs is collected.
 *
 * 1. A node drops log only where four disks of its region hold images, whatever its agent says (S19), and only below the floor that
 *    its state file holds by then (S20).
 * 2. A snapshot that is younger than the time for which snapshots are served is below the floor of no four nodes.
 * 3. A region is filled with images only when it lacks more log than is kept for one that is away (R60).
 */
import { commonPoint, EpochTree, type Fork } from '../../../../storage/history/epoch-tree.ts';
import type { Epoch, Lsn } from '../../../../storage/redo/ids.ts';
import { quorumLimits } from '../../../../storage/redo/limits.ts';
import type { Judge } from '../judge.ts';

/** A node drops a log file. */
export type Dropped = {
  readonly at: string;
  readonly atUs: number;
  /** So far reaches what the file says. */
  readonly end: Lsn;
  /** The floor in the node's state file; null where its path leaves below. */
  readonly floor: Lsn | null;
  /** Disks of the region with images at or above `end`, and disks that a fault has destroyed. */
  readonly holding: number;
  readonly destroyed: number;
};

/** So many nodes of a region refused a read for their floor. */
export type RefusedSnapshot = {
  readonly region: string;
  readonly atUs: number;
  readonly head: Epoch;
  readonly readPoint: Lsn;
  readonly nodes: number;
};

/** What its primary is known to have and a region that is filled with images to hold. */
export type Filling = {
  readonly to: string;
  readonly atUs: number;
  readonly primary: { readonly epoch: Epoch; readonly vdl: Lsn };
  readonly holds: { readonly epoch: Epoch; readonly vdl: Lsn } | undefined;
};

/** A region is told of its images a moment before its gateways know of it. */
const filledUs = 20_000_000;

export class RetentionJudge implements Judge {
  readonly name = 'retention';
  readonly verdict = 'correctness';
  readonly counts = { drops: 0, fillings: 0 };
  private readonly tree = new EpochTree();
  private readonly awayBytes: number | null;
  private readonly filledAtUs = new Map<string, number>();
  private readonly found: string[] = [];

  /**
   * @param awayBytes the least that a region has to lack to be let go; null where time lets it go, too, or regions come and go:
   *   how long a region has lacked something is told by clocks that drift, and by whoever is heard.
   */
  constructor(awayBytes: number | null) {
    this.awayBytes = awayBytes;
  }

  forks(forks: readonly Fork[]): void {
    this.tree.addAll(forks);
  }

  dropped({ at, atUs, end, floor, holding, destroyed }: Dropped): void {
    this.counts.drops += 1;
    if (floor !== null && floor < end)
      this.found.push(`${at} drops log up to ${end} (${atUs} us), and its state file says ${floor}`);
    if (holding + destroyed >= quorumLimits.writeQuorum) return;
    this.found.push(
      `${at} drops log up to ${end} (${atUs} us); ${holding} of six disks have images there, ${destroyed} were destroyed`,
    );
  }

  refusedSnapshot({ region, atUs, head, readPoint, nodes }: RefusedSnapshot): void {
    const filled = this.filledAtUs.get(region) ?? Number.NEGATIVE_INFINITY;
    if (nodes < quorumLimits.writeQuorum || atUs - filled < filledUs) return;
    this.found.push(
      `${nodes} nodes of ${region} keep too little for a snapshot at (${head}, ${readPoint}), which is young (${atUs} us)`,
    );
  }

  filling({ to, atUs, primary, holds }: Filling): void {
    this.counts.fillings += 1;
    this.filledAtUs.set(to, atUs);
    if (this.awayBytes === null || holds === undefined) return;
    if (!this.tree.has(holds.epoch) || !this.tree.has(primary.epoch)) return;
    const shared = commonPoint(this.tree, { head: holds.epoch, lsn: holds.vdl }, primary.epoch);
    const lacks = primary.vdl - shared;
    if (lacks >= this.awayBytes) return;
    this.found.push(
      `${to} is filled with images at ${atUs} us and lacks ${lacks} bytes only: ${this.awayBytes} are kept for it`,
    );
  }

  violations(): readonly string[] {
    return this.found;
  }
}
