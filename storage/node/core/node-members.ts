/** What a node says about its region's membership: to whoever believes in an older one, and to coordinators. */
import type { MembersReply } from '../../members/core/member-messages.ts';
import { MemberKeeper } from '../../members/core/member-state.ts';
import type { Epoch, Lsn } from '../../redo/ids.ts';
import type { DurablePoint, RefusedReply } from '../../wire/core/messages.ts';

/** Where a node stands, as a coordinator has to know it. */
export interface Standing {
  readonly hydrated: boolean;
  readonly sealed: Epoch;
  readonly durable: DurablePoint;
  /** Up to here it is complete along the path of `durable`. */
  readonly end: Lsn;
}

export class NodeMembers extends MemberKeeper {
  /** S29: what a caller hears that believes in an older membership than is installed here; null when it does not. */
  stale(members: number, sealed: Epoch): RefusedReply | null {
    const membership = this.newerThan(members);
    if (membership === null) return null;
    const reason = `membership epoch ${members} is over: epoch ${membership.epoch} is installed here`;
    return { kind: 'refused', code: 'STALE_MEMBERS', reason, sealed, membership };
  }

  reply(granted: boolean, { hydrated, sealed, durable, end }: Standing): MembersReply {
    return { kind: 'members', granted, state: this.state, fresh: !hydrated, sealed, ...durable, end };
  }
}
