/**
 * The low-water mark: page versions below it may be folded away. It follows the VDL at a distance in time, longer than
 * readers keep a snapshot; one that does keep it longer is served all the same, by reading the log again.
 */
import { type Lsn, zeroLsn } from '../../redo/ids.ts';
import { volumeLimits } from '../../redo/limits.ts';

export interface LowWaterBounds {
  /** A snapshot is not read for longer than this, as a rule. */
  readonly readPointAgeMs: number;
  readonly unfoldedBytesMax: number;
  readonly lowWaterEveryMs: number;
}

export class LowWater {
  private readonly bounds: LowWaterBounds;
  private readonly past: { readonly atMs: number; readonly vdl: Lsn }[] = [];
  private mark: Lsn = zeroLsn;

  constructor(bounds: LowWaterBounds = volumeLimits) {
    this.bounds = bounds;
  }

  /** Notes what is durable now. @returns what was durable `readPointAgeMs` ago, or `unfoldedBytesMax` before now. */
  at(vdl: Lsn, nowMs: number): Lsn {
    const { readPointAgeMs, unfoldedBytesMax, lowWaterEveryMs } = this.bounds;
    const last = this.past.at(-1);
    if (last === undefined || nowMs - last.atMs >= lowWaterEveryMs) this.past.push({ atMs: nowMs, vdl });
    for (let first = this.past[0]; first !== undefined; first = this.past[0]) {
      const isOld = nowMs - first.atMs >= readPointAgeMs;
      if (!isOld && vdl - first.vdl <= unfoldedBytesMax) break;
      this.mark = first.vdl;
      this.past.shift();
    }
    return this.mark;
  }
}
