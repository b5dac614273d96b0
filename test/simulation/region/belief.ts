/** What one process on a cluster believes of the region's membership, and its requests in that belief (S29). */
import type { Membership } from '../../../storage/members/core/membership.ts';
import { MembershipSight } from '../../../storage/members/core/membership-sight.ts';
import { type QuorumSets, setsOf } from '../../../storage/members/core/quorum-sets.ts';
import type { NodeId } from '../../../storage/redo/ids.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import type { Caller } from './caller.ts';

export class Belief {
  private readonly caller: Caller;
  private readonly sight: MembershipSight;

  /** @param onNewer runs when a node has told of a newer membership. */
  constructor(caller: Caller, membership: Membership, onNewer: (membership: Membership) => void) {
    this.caller = caller;
    this.sight = new MembershipSight(membership, onNewer);
  }

  get membership(): Membership {
    return this.sight.current;
  }

  get sets(): QuorumSets {
    return setsOf(this.membership);
  }

  heard(membership: Membership): void {
    this.sight.heard(membership);
  }

  /** As a link does it: who believes in an older membership is told, and asks again. */
  call(id: NodeId, request: StorageRequest, done: (reply: StorageReply | null) => void): void {
    const { epoch } = this.sight;
    const answered = (reply: StorageReply | null): void => {
      if (reply?.kind !== 'refused' || reply.membership === undefined) {
        done(reply);
        return;
      }
      this.sight.heard(reply.membership);
      if (this.sight.epoch > epoch) this.call(id, request, done);
      else done(reply);
    };
    this.caller.call(id, request, answered, epoch);
  }

  notice(id: NodeId, request: StorageRequest): void {
    this.caller.notice(id, request, this.sight.epoch);
  }
}
