/** What a storage node's state machine takes in and asks for, and what it must remember. */
import type { CareState, Lacking } from '../../branches/core/branch-care.ts';
import type { PeerTold } from '../../branches/core/branch-peers.ts';
import type { Fork } from '../../history/epoch-tree.ts';
import { type Floor, noFloor } from '../../history/floor.ts';
import type { FillStanding } from '../../images/core/fill.ts';
import type { FoldPoint } from '../../images/core/manifest.ts';
import type { FramePosition, HeldFrame } from '../../log/core/held-frames.ts';
import type { MemberState } from '../../members/core/member-state.ts';
import type { Membership } from '../../members/core/membership.ts';
import type { ReceivedFrame } from '../../redo/frame.ts';
import { type Epoch, genesisEpoch, type Lsn, type NodeId, type PageNo, zeroLsn } from '../../redo/ids.ts';
import type { DropLog } from '../../retention/core/log-keeping.ts';
import type { Holdings } from '../../retention/core/retention.ts';
import type { Caller } from '../../waiting/core/caller.ts';
import type { RefusalCode, RetainRequest, StorageReply, StorageRequest } from '../../wire/core/messages.ts';
import type { ImageBase, RefillEffect } from './refill.ts';

/** What a node must remember beside its frames. Replaced as a whole, and never goes backwards. */
export interface NodeState extends CareState {
  readonly forks: readonly Fork[];
  /** From where on the log is kept; durable images are held there. At or below `durable`. */
  readonly floor: Floor;
  /** Which nodes the region has, and its vote on the next membership; left out before it has heard of any change. */
  readonly members?: MemberState;
  /** There was data here that could not be believed: the node is empty, and its region is not a new one. Left out once it is hydrated. */
  readonly setAside?: true;
}

export const emptyNodeState: NodeState = {
  sealed: genesisEpoch,
  forks: [],
  hydrated: false,
  durable: { head: genesisEpoch, vdl: zeroLsn },
  floor: noFloor,
};

export type { Caller } from '../../waiting/core/caller.ts';

/** What a node has on the disk besides its log. */
export interface ImagesFacts {
  readonly base: ImageBase | null;
  /** Everything up to here is in the images. */
  readonly point: FoldPoint;
  /** Images that it is being refilled with. */
  readonly standing: FillStanding | null;
}

export type NodeEvent =
  | {
      readonly kind: 'request';
      readonly caller: Caller | null;
      readonly request: StorageRequest;
      /** Membership epoch in which the caller believes; left out, the configured one. */
      readonly members?: number;
    }
  | { readonly kind: 'persisted'; readonly ticket: number; readonly positions: readonly FramePosition[] }
  | {
      readonly kind: 'persistFailed';
      readonly ticket: number;
      readonly code: RefusalCode;
      readonly reason: string;
    }
  | { readonly kind: 'statePersisted'; readonly ticket: number }
  | { readonly kind: 'repaired'; readonly frames: Uint8Array; readonly forks: readonly Fork[] }
  /** `floor` is the lowest of all peers that can be reached, when what is asked lies below that of each. */
  | { readonly kind: 'repairFailed'; readonly floor?: Floor }
  /** A `retain`, with what the node's disk holds at this moment. */
  | {
      readonly kind: 'retain';
      readonly caller: Caller | null;
      readonly request: RetainRequest;
      readonly holdings: Holdings;
      /** As in a request. */
      readonly members?: number;
    }
  /** The bytes of these frames are not what was written. */
  | { readonly kind: 'rotten'; readonly frames: readonly HeldFrame[] }
  /** A peer has told of a membership that was decided. */
  | { readonly kind: 'membersHeard'; readonly membership: Membership }
  /** Pages were stored, or given up, on the way to new images. `total` is about how many there are in all, where that was said. */
  | {
      readonly kind: 'filled';
      readonly caller: Caller | null;
      readonly head: Epoch;
      readonly standing: FillStanding | null;
      readonly total: number | null;
    }
  | {
      readonly kind: 'fillFailed';
      readonly caller: Caller | null;
      readonly code: RefusalCode;
      readonly reason: string;
    }
  /** The pages that the node was filled with are its images. */
  | {
      readonly kind: 'adopted';
      readonly caller: Caller | null;
      readonly head: Epoch;
      readonly base: ImageBase;
    }
  /** The node's own images begin or end elsewhere than they did: after a merge, when more were stored, or when they went back to a fork. */
  | ({ readonly kind: 'imagesChanged' } & Omit<ImagesFacts, 'standing'>)
  /** A peer has told what it knows of branches. `peers`: how many others the region has. */
  | {
      readonly kind: 'peerTold';
      readonly node: NodeId;
      readonly told: PeerTold;
      readonly peers: number;
    }
  | { readonly kind: 'callerGone'; readonly caller: Caller }
  | { readonly kind: 'tick' };

export type NodeEffect =
  | { readonly kind: 'persistFrames'; readonly ticket: number; readonly frames: readonly ReceivedFrame[] }
  | { readonly kind: 'persistState'; readonly ticket: number; readonly state: NodeState }
  | { readonly kind: 'reply'; readonly caller: Caller; readonly reply: StorageReply }
  /** Answer a fetch with the bytes of these frames. */
  | { readonly kind: 'replyFrames'; readonly caller: Caller; readonly answer: FetchAnswer }
  /** Answer a page read; the node is complete for it. */
  | {
      readonly kind: 'replyPages';
      readonly caller: Caller;
      readonly head: Epoch;
      readonly readPoint: Lsn;
      readonly pages: readonly PageNo[];
    }
  /** These frames are persisted and may be indexed by page; `bytes` are those of each. */
  | { readonly kind: 'held'; readonly frames: readonly HeldFrame[]; readonly bytes: readonly Uint8Array[] }
  /** A fork below what is already folded: page images above it are of no use on the new path. */
  | { readonly kind: 'forked'; readonly fork: Fork }
  | DropLog
  | RefillEffect
  /** S15: these entries are not held any more: the index files that claim them have to go. */
  | { readonly kind: 'unclaimed'; readonly entries: readonly HeldFrame[] }
  /** What was unclaimed is held again. */
  | { readonly kind: 'healed'; readonly entries: readonly HeldFrame[] }
  /** The nodes of the region are these from now on: repair asks them. */
  | { readonly kind: 'members'; readonly membership: Membership }
  /** Ask the peers what they know of branches. */
  | { readonly kind: 'askPeers' }
  /** Ask a peer for frames along `head` from `from`. */
  | ({ readonly kind: 'repair' } & Lacking);

export interface FetchAnswer {
  readonly head: Epoch;
  readonly vdl: Lsn;
  readonly next: Lsn;
  readonly forks: readonly Fork[];
  readonly frames: readonly HeldFrame[];
}
