/**
 * Decides when a node asks its peers for what it lacks. One that is merely slow moves on by itself; only one that
 * stands still before a hole asks, and then goes on, fetch after fetch, until it is level.
 */
import type { Floor } from '../../history/floor.ts';
import { type Lsn, zeroLsn } from '../../redo/ids.ts';
import { nodeLimits } from '../../redo/limits.ts';

export class RepairWatch {
  private standingSinceMs: number | null = null;
  private standsAt: Lsn = zeroLsn;
  private asking = false;
  private catchingUp = false;
  private peersFloor: Floor | null = null;
  private notBeforeMs = 0;

  /** The floor below which every peer has images only, when the node lacks what lies there; else null. */
  get needsImages(): Floor | null {
    return this.peersFloor;
  }

  /**
   * The answer to the last question has come, or none will.
   * @param peersFloor the lowest floor of all peers that can be reached, when what was asked lies below it: asking again at once
   *   would bring the same.
   */
  ended(peersFloor: Floor | null, nowMs: number): void {
    this.asking = false;
    this.peersFloor = peersFloor;
    this.notBeforeMs = peersFloor === null ? 0 : nowMs + nodeLimits.belowFloorRetryMs;
  }

  /**
   * @param end up to where the node is complete.
   * @param vdl up to where its region is durable.
   * @returns whether to ask a peer for what follows `end`, now; one question at a time.
   */
  due(end: Lsn, vdl: Lsn, nowMs: number): boolean {
    if (end >= vdl) {
      this.standingSinceMs = null;
      this.catchingUp = false;
      this.peersFloor = null;
      this.notBeforeMs = 0;
      return false;
    }
    if (this.standingSinceMs === null || end > this.standsAt) {
      this.standingSinceMs = nowMs;
      this.standsAt = end;
      if (!this.catchingUp) return false;
    }
    if (this.asking || nowMs < this.notBeforeMs) return false;
    if (!this.catchingUp && nowMs - this.standingSinceMs < nodeLimits.repairAfterMs) return false;
    this.catchingUp = true;
    this.asking = true;
    return true;
  }
}
