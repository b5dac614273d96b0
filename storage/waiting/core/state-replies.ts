/** Replies that wait until a change of the node's state is on the disk: they may hold the promise that it records. */
import type { StorageReply } from '../../wire/core/messages.ts';
import type { Caller } from './caller.ts';

export interface LateReply {
  readonly caller: Caller;
  readonly reply: () => StorageReply;
}

export class StateReplies {
  private readonly byTicket = new Map<number, readonly LateReply[]>();

  /** The state is being saved under this ticket; these wait for it. */
  saving(ticket: number, replies: readonly LateReply[]): void {
    this.byTicket.set(ticket, replies);
  }

  /** @returns whether it waits now, for the newest state that is on its way; false when none is. */
  add(late: LateReply): boolean {
    const newest = [...this.byTicket.keys()].at(-1);
    if (newest === undefined) return false;
    this.byTicket.set(newest, [...(this.byTicket.get(newest) ?? []), late]);
    return true;
  }

  /** @returns what may be said now. */
  saved(ticket: number): readonly LateReply[] {
    const replies = this.byTicket.get(ticket) ?? [];
    this.byTicket.delete(ticket);
    return replies;
  }
}
