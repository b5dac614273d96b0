/**
 * The low-water mark: page versions below it may be folded away. It follows the VDL at a distance in time, longer than
 * readers keep a snapshot; one that does keep it longer is served all the same, by reading the log again.
 */
import { type Lsn, zeroLsn } from '../../redo/ids.ts';
import { volumeLimits } from '../../redo/limits.ts';

export class LowWater {
  private readonly past: { readonly atMs: number; readonly vdl: Lsn }[] = [];
  private mark: Lsn = zeroLsn;

  /** Notes what is durable now. @returns what was durable `readPointAgeMs` ago, or `unfoldedBytesMax` before now. */
  at(vdl: Lsn, nowMs: number): Lsn {
    const last = this.past.at(-1);
    if (last === undefined || nowMs - last.atMs >= volumeLimits.lowWaterEveryMs)
      this.past.push({ atMs: nowMs, vdl });
    for (let first = this.past[0]; first !== undefined; first = this.past[0]) {
      const isOld = nowMs - first.atMs >= volumeLimits.readPointAgeMs;
      if (!isOld && vdl - first.vdl <= volumeLimits.unfoldedBytesMax) break;
      this.mark = first.vdl;
      this.past.shift();
    }
    return this.mark;
  }
}
