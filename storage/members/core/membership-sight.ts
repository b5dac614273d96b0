/** The newest membership that a process has heard of: what its links to a region's nodes say with each request. */
import type { Membership } from './membership.ts';

export class MembershipSight {
  private newest: Membership;
  private readonly onNewer: (membership: Membership) => void;

  /** @param onNewer runs when a newer one is heard of, before anything else is sent. */
  constructor(configured: Membership, onNewer: (membership: Membership) => void) {
    this.newest = configured;
    this.onNewer = onNewer;
  }

  get current(): Membership {
    return this.newest;
  }

  get epoch(): number {
    return this.newest.epoch;
  }

  /** A node, or whoever decided it, tells of a membership. Older ones are passed over. */
  heard(membership: Membership): void {
    if (membership.epoch <= this.newest.epoch) return;
    this.newest = membership;
    this.onNewer(membership);
  }
}
