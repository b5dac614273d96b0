/** Whether a region's storage nodes can make a write quorum, as one of its gateways sees its links to them. */
import { quorumLimits } from '../../../../storage/core.ts';

/** A reign that has lacked a write quorum for so long is given up: a node that restarts is back sooner. */
export const quorumlessMs = 5_000;

export class QuorumSight {
  private lacksSinceMs: number | null = null;

  /** @param up how many nodes answer now. */
  saw(up: number, nowMs: number): void {
    if (up >= quorumLimits.writeQuorum) this.lacksSinceMs = null;
    else this.lacksSinceMs ??= nowMs;
  }

  /** True until it was seen otherwise. */
  get canWrite(): boolean {
    return this.lacksSinceMs === null;
  }

  /** Too few nodes have answered for longer than a restart of one takes. */
  hasLackedLong(nowMs: number): boolean {
    return this.lacksSinceMs !== null && nowMs - this.lacksSinceMs >= quorumlessMs;
  }
}
