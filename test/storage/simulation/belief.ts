/** What one process on a cluster believes of the region's membership, and its requests in that belief (S29). */
import type { Membership } from '../../../storage/members/core/membership.ts';
import { MembershipSight } from '../../../storage/members/core/membership-sight.ts';
import { type QuorumSets, setsOf } from '../../../storage/members/core/quorum-sets.ts';
import type { NodeId } from '../../../storage/redo/ids.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import type { Cluster } from './cluster.ts';

export class Belief {
  private readonly cluster: Cluster;
  private readonly sight: MembershipSight;

  /** @param onNewer runs when a node has told of a newer membership. */
  constructor(cluster: Cluster, membership: Membership, onNewer: (membership: Membership) => void) {
    this.cluster = cluster;
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
  rpc(
    id: NodeId,
    request: StorageRequest,
    done: (reply: StorageReply | null) => void,
    cut?: ReadonlySet<NodeId>,
  ): void {
    const { epoch } = this.sight;
    const answered = (reply: StorageReply | null): void => {
      if (reply?.kind !== 'refused' || reply.membership === undefined) {
        done(reply);
        return;
      }
      this.sight.heard(reply.membership);
      if (this.sight.epoch > epoch) this.rpc(id, request, done, cut);
      else done(reply);
    };
    this.cluster.rpc(id, request, answered, cut, epoch);
  }

  notice(id: NodeId, request: StorageRequest): void {
    this.cluster.notice(id, request, this.sight.epoch);
  }
}
