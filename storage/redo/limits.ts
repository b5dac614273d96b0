/** Every bound of the storage layer, with its unit, and the relations between them checked when they are loaded. */
import assert from 'node:assert/strict';

const KiB = 1024;
const MiB = 1024 * KiB;

export const quorumLimits = {
  /** Copies of every protection group in a region: two in each of three availability zones. */
  copies: 6,
  /** Copies that must persist a record before it is durable. */
  writeQuorum: 4,
  /** Copies that must answer for a read to see every durable record. */
  readQuorum: 3,
} as const;

export const redoLimits = {
  pageBytes: 4096,
  /** Span of one protection group unless the deployment sets another. */
  pgBytesDefault: 10 * 1024 * MiB,
  /** Smallest span a deployment may set, so that tests can have many groups. */
  pgBytesMin: MiB,
  /** Payload of one frame; a longer mini-transaction spans several. */
  framePayloadBytesMax: 256 * KiB,
  /** One record, hence one page image with its header, must fit a frame. */
  recordBytesMax: 8 * KiB,
} as const;

export const volumeLimits = {
  /** Redo sent and not yet durable at which the writer stops taking new transactions. */
  outstandingBytesMax: 32 * MiB,
  /**
   * One transaction's redo, unless an operator sets another limit. No window, buffer or limit on its way holds as much: each frees
   * what is stored and does not wait for the commit.
   */
  transactionBytesMax: 1024 * MiB,
  /** Frames bundled into one append message. */
  appendBytesMax: MiB,
  /**
   * Redo laid into frames in one go: some ten milliseconds of the writer's thread, which renews the lease, too. Two of these keep
   * every node's appends full; the rest of a large transaction waits as the engine made it.
   */
  batchBytesMax: 2 * MiB,
  /** Batches of frames without quorum at which further transactions are gathered into the next. */
  batchesInFlightMax: 2,
  /** A batch of so many transactions has a crowd behind it: the next one waits for all nodes that keep step, not for four. */
  crowdCommits: 4,
  /** How long a crowd's batch that could leave waits for transactions that are about to join it. */
  gatherMs: 4,
  /** A node that has not answered so long after its region's quorum no longer keeps step. */
  stepMs: 5,
  /** Append messages one node may have unanswered. */
  appendsInFlightMax: 2,
  /** Redo kept for resending to nodes that are behind the quorum, beyond what is outstanding. */
  resendBytesMax: 16 * MiB,
  /** Wait before sending again to a node whose link broke. */
  retryAfterMs: 20,
  /** Wait before sending again to a node that refused, such as one with a full disk. */
  refusedRetryMs: 500,
  /** An append tells the durable point, too: a node is told apart from one only when it has heard nothing for this long. */
  noticeEveryMs: 10,
  /** An idle node is told the durable point again this often, in case it was not ready for it. */
  reminderMs: 1_000,
  /** Between inquiries to an idle node that lacks something. */
  inquireEveryMs: 200,
  /** Inquiries to a node that stays behind, after which everything it lacks is sent again. */
  inquiriesPerResend: 5,
  /** A snapshot is not read for longer than this, as a rule: older page versions may be folded away. */
  readPointAgeMs: 60_000,
  /** Redo above the low-water mark: what nodes have to keep an index of. */
  unfoldedBytesMax: 256 * MiB,
  lowWaterEveryMs: 1_000,
  /**
   * How long records wait, without four nodes that have them or get on, before the writer gives its reign up. Progress counts
   * and not age: a large transaction takes as long as it takes.
   */
  quorumLostAfterMs: 3_000,
  /** A process that has not looked for so long did not run: nobody is blamed for that time. */
  tickGapMsMax: 500,
  /** Most of such an absence that is left out: after a longer one others have most likely gone on without it. */
  absenceMsMax: 5_000,
} as const;

/** The bounds between a transaction and its quorum; simulations scale them, to exceed every one with little redo. */
export interface QuorumBounds {
  readonly framePayloadBytesMax: number;
  readonly appendBytesMax: number;
  readonly batchBytesMax: number;
  readonly resendBytesMax: number;
  readonly outstandingBytesMax: number;
}

export const quorumBoundsDefault: QuorumBounds = {
  framePayloadBytesMax: redoLimits.framePayloadBytesMax,
  appendBytesMax: volumeLimits.appendBytesMax,
  batchBytesMax: volumeLimits.batchBytesMax,
  resendBytesMax: volumeLimits.resendBytesMax,
  outstandingBytesMax: volumeLimits.outstandingBytesMax,
};

export const recoveryLimits = {
  /** How long recovery waits for the fifth and sixth answer once it has four. */
  graceMs: 100,
  /** Wait before asking a silent or refusing node again. */
  retryAfterMs: 200,
  /** A follower whose nodes hold nothing of its path waits so long for those that are silent: one of them may have it all. */
  nothingHereMs: 2_000,
} as const;

export const segmentLimits = {
  /** Log that one entry of a node's index of frames may cover: an entry takes some 200 bytes of memory. */
  stretchBytes: 64 * KiB,
  /** Log looked through at once for where it ends. */
  walkBytes: 16 * MiB,
} as const;

export const nodeLimits = {
  /** Frames received and not yet persisted, in bytes, at which a node answers `overloaded`. */
  pendingBytesMax: 64 * MiB,
  /** Frames in one fetch answer. */
  fetchBytesMax: 2 * MiB,
  /** How long a fetch may wait for news. */
  fetchWaitMsMax: 5_000,
  /** Fetches waiting at one node. */
  fetchWaitersMax: 256,
  /** Pages in one read request. */
  readPagesMax: 256,
  /** How often the durable point is saved, so that recovery after a restart has little to list. */
  hintSaveMs: 5_000,
  /** A node that stays behind its region's VDL this long asks its peers. */
  repairAfterMs: 300,
  /** Wait before it asks again after the log of none of them reached down to what it lacks. */
  belowFloorRetryMs: 2_000,
} as const;

export const branchLimits = {
  /** How often a node of a region with branches asks its peers what they know of them. */
  askEveryMs: 2_000,
  /** The same for a node that came back empty and has yet to hear which branches there are. */
  askAtOnceMs: 250,
  /** Branches of one region that live at a time, `main` left out. */
  liveMax: 32,
  /** Records of all branches together that a node keeps an index of: 22 bytes each. */
  indexedRecordsMax: 8_000_000,
} as const;

export const refillLimits = {
  /** Pages in one request, in bytes. */
  batchBytes: MiB,
  /** Fetched by a node that is being refilled in a second, at most: its peers serve others, too. */
  bytesPerSecond: 20 * MiB,
  /** The same while a writer keeps it busy. */
  bytesPerSecondBusy: 5 * MiB,
  /** Wait before peers are asked again when none could give any. */
  retryMs: 500,
  /** A fill that another region pushes is left alone by this node's own refill for so long after the last batch. */
  pushedMs: 30_000,
} as const;

assert(
  quorumLimits.writeQuorum + quorumLimits.readQuorum > quorumLimits.copies,
  'S1: every read quorum meets every write quorum',
);
assert(2 * quorumLimits.writeQuorum > quorumLimits.copies, 'S1: two write quorums share a copy');
assert(redoLimits.recordBytesMax > redoLimits.pageBytes, 'a page image fits a record');
assert(redoLimits.framePayloadBytesMax > redoLimits.recordBytesMax, 'a record fits a frame');
assert(redoLimits.pgBytesMin % redoLimits.pageBytes === 0, 'a page lies in one protection group');
assert(volumeLimits.appendBytesMax > redoLimits.framePayloadBytesMax, 'a frame fits an append');
assert(
  volumeLimits.batchBytesMax >= volumeLimits.appendBytesMax,
  'a batch fills the appends under way, so that a large transaction is no slower than many small ones',
);
