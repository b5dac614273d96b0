/**
 * What crosses a storage link, version 1: requests to a storage node and its replies. How they become bytes is in
 * `message-codec.ts`.
 *
 * History of versions: 1 (2026-11-21); since 2026-11-29 with `retain`, floors, `fetchImages`, `putImages`, the code BELOW_FLOOR,
 * `locate`, and branches in `status` and `retain`. Fields that were added
 * later are optional, so that what an older process says is still read.
 */
import type { Fork } from '../../history/epoch-tree.ts';
import type { Floor } from '../../history/floor.ts';
import type { MembersReply, MembersRequest } from '../../members/core/member-messages.ts';
import type { Membership } from '../../members/core/membership.ts';
import type { BranchName, Epoch, Lsn, PageNo, PgId } from '../../redo/ids.ts';

export const linkVersion = 1;

/** What is durable in this region, as its one writer says: the only point anyone may read at. */
export interface DurablePoint {
  readonly head: Epoch;
  readonly vdl: Lsn;
}

/** Redo for a node, or only news of the durable point when it carries no frames. */
export interface AppendRequest {
  readonly kind: 'append';
  /** The reign under which it is sent; a node refuses an authority older than its seal (S2). */
  readonly authority: Epoch;
  readonly durable: DurablePoint;
  /** No reader needs a page version older than this. */
  readonly lowWater: Lsn;
  /** Frames back to back. */
  readonly frames: Uint8Array;
}

export interface SealRequest {
  readonly kind: 'seal';
  readonly branch: BranchName;
  readonly epoch: Epoch;
}

/** Asks what a node holds along the path to `head`, and teaches it that path. */
export interface SurveyRequest {
  readonly kind: 'survey';
  readonly authority: Epoch;
  readonly head: Epoch;
  readonly forks: readonly Fork[];
  /** All nodes of the region were empty a moment ago: it is new, and nobody has forgotten anything (S34). Left out elsewhere. */
  readonly isNew?: true | undefined;
}

export interface ForkRequest {
  readonly kind: 'fork';
  readonly authority: Epoch;
  readonly forks: readonly Fork[];
}

/** Frames along a path from an LSN on; waits for news when there are none (shipping, tailing, repair, recovery). */
export interface FetchRequest {
  readonly kind: 'fetch';
  readonly branch: BranchName;
  /** Path to follow; null for the node's newest of the branch. */
  readonly head: Epoch | null;
  readonly from: Lsn;
  readonly bytesMax: number;
  readonly waitMs: number;
  /** Only frames the region's writer has called durable: what a shipper may send on (R2). */
  readonly durableOnly: boolean;
  /** What the caller has seen; an answer leaves early when there is news against it. */
  readonly known: DurablePoint;
}

export interface ReadPagesRequest {
  readonly kind: 'readPages';
  readonly head: Epoch;
  readonly readPoint: Lsn;
  readonly pages: readonly PageNo[];
}

export interface StatusRequest {
  readonly kind: 'status';
  /** Asks for `known` as well, which other nodes want; a node of an older version leaves it out. */
  readonly known?: true;
}

/** Where a branch stands at one node. */
export interface BranchStatus {
  readonly branch: BranchName;
  /** Its newest epoch; genesis on a node that is sealed for the branch and knows no more of it. */
  readonly head: Epoch;
  readonly sealed: Epoch;
  /** What is known to be durable on the path to `head`. */
  readonly vdl: Lsn;
  /** Up to here the node is complete on that path. */
  readonly scl: Lsn;
  /** Where the newest frame ends that it holds there, behind a hole or not. */
  readonly last: Lsn;
  /** True while it is no witness of this branch (S6, S34). */
  readonly fresh: boolean;
}

/** Which branches a node knows. */
export interface KnownBranches {
  /** Every fork that it has recorded. */
  readonly forks: readonly Fork[];
  /** It has never come back empty, or has heard since of all branches that there were (S34). */
  readonly isWhole: boolean;
  /** It would be a witness of a branch that began now (S34). Left out by older versions, and where `isWhole` says the same. */
  readonly mayWitness?: boolean;
}

/** Says what nobody needs any more of the log: the node may raise its floor and drop log files. Sent every few seconds. */
export interface RetainRequest {
  readonly kind: 'retain';
  /** The reign under which it is sent, where there is one; a node refuses one older than its seal. */
  readonly authority?: Epoch;
  /** The path that `keepFrom` and `copies` lie on. */
  readonly head: Epoch;
  /** Somebody needs the log above this. */
  readonly keepFrom: Lsn;
  /** The log is kept as far as it holds commits since this time, Unix microseconds. */
  readonly sinceUs: number;
  /** Of the log older than that nothing is kept, and of a longer log neither; null for no such limit. */
  readonly bytesMax: number | null;
  /** Four nodes of the region hold durable images at or above this. */
  readonly copies: Lsn;
  /**
   * The branches that there are besides `main`: what a node needs of others it may let go. Left out by who does not know: then
   * everything that the node knows of is kept.
   */
  readonly branches?: {
    /** The newest epoch that was allotted when this was worked out: a branch that began later is none that was deleted. */
    readonly knownTo: Epoch;
    readonly live: readonly {
      readonly head: Epoch;
      /** Somebody needs the log of this path above this. */
      readonly keepFrom: Lsn;
    }[];
  };
}

/** Pages out of a node's durable images, by number: for a node, or a region, that lacks what no log says any more (S24). */
export interface FetchImagesRequest {
  readonly kind: 'fetchImages';
  /** The path that the images have to lie on. */
  readonly head: Epoch;
  readonly fromPage: PageNo;
  readonly bytesMax: number;
}

/**
 * Pages for a node's images, to take the place of those it has once all are there. A request without pages only asks how far it
 * is. The node answers when they are flushed.
 */
export interface PutImagesRequest {
  readonly kind: 'putImages';
  readonly authority: Epoch;
  readonly head: Epoch;
  /** The pages are as of this place. */
  readonly at: Floor;
  /** Where these begin: 1 gives up what was put before, any other has to be where the last ones ended. */
  readonly fromPage: PageNo;
  /** Where the next ones begin; null when these are the last. */
  readonly next: PageNo | null;
  /** Numbers, ascending. */
  readonly pages: readonly PageNo[];
  /** The pages back to back. */
  readonly bytes: Uint8Array;
}

/**
 * Asks for the last consistency point on the path to `head` that lies at or before an LSN, or a time. The node has to be complete
 * up to `upTo`, which the caller knows to be durable; `endOfTime` asks for the last one up to where the node is complete.
 */
export interface LocateRequest {
  readonly kind: 'locate';
  readonly head: Epoch;
  readonly upTo: Lsn;
  /** No commit later than this counts, Unix microseconds; null for any time. */
  readonly atUs: number | null;
}

export type StorageRequest =
  | AppendRequest
  | SealRequest
  | SurveyRequest
  | ForkRequest
  | FetchRequest
  | ReadPagesRequest
  | StatusRequest
  | RetainRequest
  | FetchImagesRequest
  | PutImagesRequest
  | LocateRequest
  | MembersRequest;

/** The frames of an append are persisted; `scls` are this node's SCLs along the path to `head`. */
export interface AckedReply {
  readonly kind: 'acked';
  readonly head: Epoch;
  readonly scls: readonly (readonly [PgId, Lsn])[];
}

export interface SealedReply {
  readonly kind: 'sealed';
  readonly forks: readonly Fork[];
  /** True on a node that came back empty and has not caught up since: it does not count as a witness. */
  readonly fresh: boolean;
  /** True on a node that holds no frame and was never told of anything durable. */
  readonly empty: boolean;
}

/** One frame of a survey, clipped to the path: `[base, end, pg, lastCpl]`; lastCpl is -1 when it holds no commit. */
export type SurveyFrame = readonly [base: number, end: number, pg: number, lastCpl: number];

export interface SurveyedReply {
  readonly kind: 'surveyed';
  readonly volumeEnd: Lsn;
  readonly scls: readonly (readonly [PgId, Lsn])[];
  /** What this node was told is durable, as far as it lies on the path; the chain starts there. */
  readonly vdl: Lsn;
  readonly chain: readonly SurveyFrame[];
  /** From where on this node has the log; left out while it has all of it. */
  readonly floor?: Floor;
  /** S24: no page can be told below this; left out where all can. */
  readonly readableFrom?: Lsn;
  /** Images that it has been refilled with so far, in bytes; left out while it is not being refilled. */
  readonly refilledBytes?: number;
}

export interface ForkedReply {
  readonly kind: 'forked';
}

export interface FetchedReply {
  readonly kind: 'fetched';
  readonly head: Epoch;
  readonly vdl: Lsn;
  /** Where the next fetch continues. */
  readonly next: Lsn;
  /** The path to `head`, when the caller did not know that head. */
  readonly forks: readonly Fork[];
  readonly frames: Uint8Array;
}

/** Pages in the order asked; null for a page that does not exist at the read point. */
export interface PagesReply {
  readonly kind: 'pages';
  readonly pages: readonly (Uint8Array | null)[];
}

/** A repair of a node that has ended: what it fetched from its peers until it was level. Times by its own clock, Unix microseconds. */
export interface RepairReport {
  readonly fromLsn: Lsn;
  readonly toLsn: Lsn;
  /** It held nothing when it began. */
  readonly wasEmpty: boolean;
  readonly beganAtUs: number;
  readonly endedAtUs: number;
  readonly bytes: number;
}

export interface RefillProgress {
  readonly bytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
}

export interface StatusReply {
  readonly kind: 'status';
  readonly region: string;
  readonly node: string;
  readonly az: string;
  readonly head: Epoch;
  readonly sealed: Epoch;
  readonly scl: Lsn;
  readonly vdl: Lsn;
  readonly pid: number;
  readonly startedAtMs: number;
  readonly logBytes: number;
  /** Of Sextant. A node from before it was told leaves it out. */
  readonly version?: string;
  /** Files of its log, and how many of them are sealed; left out by a node of an older version. */
  readonly logFiles?: number;
  readonly sealedFiles?: number;
  /** Why the node's disk takes no writes, in words; left out while it does. */
  readonly trouble?: string;
  /** The last one that ended since its process started; left out before one has. */
  readonly repaired?: RepairReport;
  /** From where on it has the log; left out while it has all of it. */
  readonly floor?: Floor;
  /** While it is being refilled from images: bytes so far, of about so many, and bytes a second. */
  readonly refill?: RefillProgress;
  /** Bytes of its page images on the disk. */
  readonly imageBytes?: number;
  /** Why the log of its peers does not help it, in words: it lacks what they hold as images only. Left out while that is not so. */
  readonly needsImages?: string;
  /** Installed here; left out while that is what the configuration says. */
  readonly membership?: Membership;
  /** Of the branches besides `main`; left out where there are none. */
  readonly branches?: readonly BranchStatus[];
  /** Only where it was asked for. */
  readonly known?: KnownBranches;
}

/** What a node holds after a `retain`. */
export interface RetainedReply {
  readonly kind: 'retained';
  readonly head: Epoch;
  /** The newest durable images it holds along the path to `head`; zero without any. */
  readonly images: Lsn;
  readonly floor: Floor;
  /** Where its log would begin if nobody needed more of it than the window asks for, along the path to `head`. */
  readonly window: Lsn;
  /** No reader needs a page version older than this. */
  readonly lowWater: Lsn;
  readonly logBytes: number;
  readonly imageBytes: number;
}

/** Pages, by number; at least one. */
export interface ImagesReply {
  readonly kind: 'images';
  /** They are as of this place, a CPL on the path that was asked for. */
  readonly at: Floor;
  readonly pages: readonly PageNo[];
  readonly next: PageNo | null;
  /** About so many pages there are in all. */
  readonly total: number;
  readonly bytes: Uint8Array;
}

/** How far a node is with pages that were put. */
export interface ImagesPutReply {
  readonly kind: 'imagesPut';
  /** Where it goes on; 1 when it has none, null when it has all. */
  readonly next: PageNo | null;
  /** Pages that it has, and the lowest place that one of them is as of; null without any. */
  readonly pages: number;
  readonly low: Lsn | null;
  /** They are its images now: from here on it needs the log. Null until then. */
  readonly floor: Floor | null;
}

/** A consistency point (S40): of a group of commits its end, which may lie above the LSN that was asked for. */
export interface LocatedReply {
  readonly kind: 'located';
  /** Zero where nothing had been written yet. */
  readonly lsn: Lsn;
  /** Unix microseconds; null at a floor whose commit is not in the log any more, and at LSN 0. */
  readonly commitTimeUs: number | null;
}

export type RefusalCode =
  | 'SEALED'
  | 'UNKNOWN_EPOCH'
  | 'BAD_FRAME'
  | 'BAD_REQUEST'
  | 'EPOCH_CONFLICT'
  | 'NOT_COMPLETE'
  /** What was asked lies below the node's floor: its log no longer reaches there. */
  | 'BELOW_FLOOR'
  | 'DISK_FULL'
  | 'DISK_FAILED'
  | 'OVERLOADED'
  | 'STALE_MEMBERS';

/** The node did nothing; `sealed` is its seal where that is the reason. */
export interface RefusedReply {
  readonly kind: 'refused';
  readonly code: RefusalCode;
  readonly reason: string;
  readonly sealed: Epoch;
  /** With BELOW_FLOOR: from where on the node has the log. */
  readonly floor?: Floor;
  /** With `STALE_MEMBERS`: the membership to go on with (S29). */
  readonly membership?: Membership;
}

export type StorageReply =
  | AckedReply
  | SealedReply
  | SurveyedReply
  | ForkedReply
  | FetchedReply
  | PagesReply
  | StatusReply
  | RetainedReply
  | ImagesReply
  | ImagesPutReply
  | LocatedReply
  | MembersReply
  | RefusedReply;
