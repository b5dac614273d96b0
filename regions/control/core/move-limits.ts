/** Bounds of moves of the primary and of what is told about them, with their units. */
import { defaultLeaseLimits } from './lease.ts';

export const moveLimits = {
  /** A switchover that has not drained and caught up by then is given up and the old primary continues. */
  switchoverMs: 30_000,
  /** So long a switchover waits for a target that is about to be ready, before anything is changed: longer than joining takes. */
  switchoverTargetMs: 10_000,
  /** How far a target may lag for a switchover to begin: it has to catch up while writes are held. */
  switchoverLagMsMax: 5_000,
  /**
   * A survivor whose word is younger than this keeps a failover to a lesser one from beginning. Regions report every
   * `reportMs`; one that was lost this moment must not stand in the way of the command that follows.
   */
  survivorHeardMs: 1_000,
  /** How long a failover waits for the lease to lapse and the target's gateway to take over. */
  failoverMs: 60_000,
  /** A target that took over at the last moment has this long for its gateway to write. */
  promoteMs: 10_000,
  /** A holder that has not renewed for so long may have its storage sealed: longer than two renewals take. */
  sealAfterMs: 2 * defaultLeaseLimits.renewMs + defaultLeaseLimits.retryMs,
  /** Redo fetched from a better survivor has to get on within this time. */
  pullStillMs: 5_000,
  /** How long a writer waits for open transactions when it drains; what is open then is rolled back. */
  drainMs: 400,
  /** Redo in (fork, VDL] that a loss report names commit by commit. */
  lossCommitsMax: 50_000,
  /** Lost writes of a report that get a span in their traces: more than half of what a process keeps for its collector. */
  lossSpansMax: 10_000,
  /** Finished operations an agent remembers. */
  operationsMax: 256,
} as const;
