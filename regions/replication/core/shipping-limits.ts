/** Bounds of shipping redo to other regions, with their units. */
import assert from 'node:assert/strict';
import { redoLimits, volumeLimits } from '../../../storage/core.ts';

const MiB = 1024 * 1024;

export const shippingLimits = {
  /**
   * Redo sent to one secondary and not yet stored there, committed or not: a transaction may be far larger. Well under what a
   * NATS server buffers per connection.
   */
  windowBytes: 8 * MiB,
  /** Frames in one message, before compression. Under the server's `max_payload` of 1 MiB with the header. */
  messageBytes: 512 * 1024,
  /** On a narrow line a message carries less, down to this part of it: one frame, whatever its size, is never parted. */
  messageParts: 8,
  /** Redo may wait so long for a line that is full, on top of what a message takes on an empty one (R98). */
  queueMs: 200,
  /** The shortest delay of a line is the shortest of the last one or two periods of this length: routes change. */
  lineDelayForMs: 30_000,
  /** What leaves within so long is timed as one. */
  lineEveryMs: 10,
  /** So many of those are under way at most; what leaves then counts to the last. */
  lineTimedMax: 512,
  /** Frames smaller than this are sent as they are: compressing them costs more than it saves. */
  compressFromBytes: 16 * 1024,
  /**
   * Redo for a secondary that has been sent everything leaves at most this often: what a message and a batch cost is the
   * same whatever is in them, at the primary, on the way and at the six nodes that keep it. A lone write leaves at once.
   */
  shipEveryMs: 20,
  /** A secondary hears from its shipper at least this often, and acknowledges as often. */
  heartbeatMs: 200,
  /** A tick that comes so much before a heartbeat is due sends it: the next tick would be far too late. */
  heartbeatEarlyMs: 25,
  /** So often a secondary acknowledges the same in turn before it does it half as often. */
  ackRepeats: 5,
  /** Without progress for this long, a shipper starts again from what was acknowledged. */
  resendAfterMs: 1_000,
  /** The pause between such starts doubles while nothing gets on, up to this. */
  resendMsMax: 8_000,
  /** Behind and without progress for this long, a secondary stands still: it is not ready. After as long again its lane begins anew. */
  stallAfterMs: 3_000,
  /** Until a lane that still stands begins anew once more; doubles from `stallAfterMs` up to this. */
  rebuildMsMax: 60_000,
  /** Wait before the log is asked again below the floor of every node. */
  belowFloorRetryMs: 2_000,
  /** Commit times kept per secondary to tell its lag; more than this are thinned. */
  commitMarksMax: 4_096,
} as const;

/** Bounds of the way to a secondary; simulations scale them, to exceed every one with little redo. */
export interface ShippingBounds {
  readonly windowBytes: number;
  readonly messageBytes: number;
  /** How long redo may wait for its line; see R98. */
  readonly queueMs: number;
}

/** Since the last word, when a tick says the next. */
export const heartbeatDueMs = shippingLimits.heartbeatMs - shippingLimits.heartbeatEarlyMs;

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
