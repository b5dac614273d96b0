/**
 * S4: a frame is written to the log only after every fork learned before it is in the state file, so that after a crash at any
 * moment no frame in the log is of an epoch that the state does not know.
 */
import type { NodeEffect } from './node-events.ts';

export type PersistFrames = Extract<NodeEffect, { kind: 'persistFrames' }>;

export class ForkGate {
  private readonly unsaved = new Set<number>();
  private held: PersistFrames[] = [];

  /** The state saved under this ticket is the first that knows of a fork. */
  learned(ticket: number): void {
    this.unsaved.add(ticket);
  }

  /** @returns whether the frames may be written now; otherwise `saved` returns them. */
  admits(write: PersistFrames): boolean {
    if (this.unsaved.size === 0) return true;
    this.held.push(write);
    return false;
  }

  /** The state of this ticket is on the disk. @returns the writes that may begin now, in their order. */
  saved(ticket: number): readonly PersistFrames[] {
    if (!this.unsaved.delete(ticket) || this.unsaved.size > 0) return [];
    const { held } = this;
    this.held = [];
    return held;
  }
}
