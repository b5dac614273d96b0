/**
 * S15: frames that a node held, acknowledged and found rotten. It claims them no longer, so it is behind like any node that
 * misses something, and the ordinary repair brings them back. A writer counted four copies, not this one: what was durable stays
 * so as long as fewer copies are lost than the quorum bears, as with a disk that was lost.
 */
import type { HeldFrame } from '../../log/core/held-frames.ts';
import type { Segment } from '../../log/core/segment.ts';

export class LostFrames {
  private readonly segment: Segment;
  private lost: readonly HeldFrame[] = [];

  constructor(segment: Segment) {
    this.segment = segment;
  }

  /** Takes the entries of these frames out of the index. @returns those that were held where the frames lie. */
  takeOut(frames: readonly HeldFrame[]): readonly HeldFrame[] {
    const entries = frames.flatMap((frame) => this.segment.takeOut(frame) ?? []);
    this.lost = [...this.lost, ...entries];
    return entries;
  }

  /** @returns the entries that are whole again since the last call. */
  healed(): readonly HeldFrame[] {
    if (this.lost.length === 0) return [];
    // Below the floor images hold it, and nobody brings it back.
    const isHealed = (entry: HeldFrame): boolean =>
      this.segment.isBelowFloor(entry) || this.segment.coverOf(entry) === 'whole';
    const healed = this.lost.filter(isHealed);
    if (healed.length > 0) this.lost = this.lost.filter((entry) => !isHealed(entry));
    return healed;
  }
}
