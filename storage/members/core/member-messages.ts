/** What is asked of a node about its region's membership, and what it answers. */
import { z } from 'zod';
import { type Epoch, epoch, type Lsn, lsn } from '../../redo/ids.ts';
import { type MemberState, type MembersAct, memberStateSchema, membersActSchema } from './member-state.ts';

export interface MembersRequest {
  readonly kind: 'members';
  readonly act: MembersAct;
}

/** Where a node stands; sent when everything in it is on its disk. */
export interface MembersReply {
  readonly kind: 'members';
  /** Whether it did what it was asked. */
  readonly granted: boolean;
  readonly state: MemberState;
  /** True on a node that came back empty, or joins, and has not caught up since: it neither votes nor is a witness. */
  readonly fresh: boolean;
  /** The newest epoch that it is sealed for. */
  readonly sealed: Epoch;
  /** What it was told is durable: `vdl` along the path to `head`. */
  readonly head: Epoch;
  readonly vdl: Lsn;
  /** Up to here it is complete along that path. */
  readonly end: Lsn;
}

export const membersRequestSchema = z.object({ kind: z.literal('members'), act: membersActSchema });

const epochSchema = z.int().min(0).transform(epoch);
const lsnSchema = z.int().min(0).transform(lsn);

export const membersReplySchema = z.object({
  kind: z.literal('members'),
  granted: z.boolean(),
  state: memberStateSchema,
  fresh: z.boolean(),
  sealed: epochSchema,
  head: epochSchema,
  vdl: lsnSchema,
  end: lsnSchema,
});
