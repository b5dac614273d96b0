/** Every bound of the regions layer, with its unit. */
import assert from 'node:assert/strict';
import { redoLimits, volumeLimits } from '../../storage/core/limits.ts';

const MiB = 1024 * 1024;

export const shippingLimits = {
  /**
   * Redo sent to one secondary and not yet stored there, committed or not: a transaction may be far larger. Well under what a
   * NATS server buffers per connection.
   */
  windowBytes: 8 * MiB,
  /** Frames in one message, before compression. Under the server's `max_payload` of 1 MiB with the header. */
  messageBytes: 512 * 1024,
  /** Frames smaller than this are sent as they are: compressing them costs more than it saves. */
  compressFromBytes: 16 * 1024,
  /**
   * Redo for a secondary that has been sent everything leaves at most this often: what a message and a batch cost is the
   * same whatever is in them, at the primary, on the way and at the six nodes that keep it. A lone write leaves at once.
   */
  shipEveryMs: 20,
  /** A secondary hears from its shipper at least this often. */
  heartbeatMs: 200,
  /** Without progress for this long, a shipper starts again from what was acknowledged. */
  resendAfterMs: 1_000,
  /** The pause between such starts doubles while nothing gets on, up to this. */
  resendMsMax: 8_000,
  /** Behind and without progress for this long, a secondary stands still: it is not ready. After as long again its lane begins anew. */
  stallAfterMs: 3_000,
  /** Until a lane that still stands begins anew once more; doubles from `stallAfterMs` up to this. */
  rebuildMsMax: 60_000,
  /** A secondary that has not been heard for this long is offline. */
  offlineAfterMs: 3_000,
  /** A secondary that lags more than this is not ready to serve or to take over. */
  readyLagMs: 5_000,
  /** How often agents and gateways tell everybody how they are. */
  reportMs: 250,
  /** Commit times kept per secondary to tell its lag; more than this are thinned. */
  commitMarksMax: 4_096,
  /** Forks of its path that a region tells everybody in each report; the newest ones. */
  reportForksMax: 32,
  /** Redo in (fork, VDL] that a loss report names commit by commit. */
  lossCommitsMax: 50_000,
} as const;

export const moveLimits = {
  /** A switchover that has not drained and caught up by then is given up and the old primary continues. */
  switchoverMs: 30_000,
  /** How far a target may lag for a switchover to begin: it has to catch up while writes are held. */
  switchoverLagMsMax: 5_000,
  /**
   * A survivor whose word is younger than this keeps a failover to a lesser one from beginning. Regions report every
   * `reportMs`; one that was lost this moment must not stand in the way of the command that follows.
   */
  survivorHeardMs: 1_000,
  /** How long a failover waits for the lease to lapse and the target's gateway to take over. */
  failoverMs: 60_000,
  /** How long a writer waits for open transactions when it drains; what is open then is rolled back. */
  drainMs: 400,
  /** Finished operations an agent remembers. */
  operationsMax: 256,
} as const;

assert(
  shippingLimits.windowBytes > 4 * shippingLimits.messageBytes,
  'several messages fit the credit window',
);
assert(
  shippingLimits.messageBytes > redoLimits.framePayloadBytesMax,
  'whatever transaction is cut into frames, one frame fits a message',
);
assert(
  shippingLimits.windowBytes + shippingLimits.messageBytes <= volumeLimits.outstandingBytesMax,
  'a receiver takes all that its primary may send it',
);
