/** Why a gateway does not serve SQL as it should, in words for an operator. Pure. */
import {
  type ControlProblem,
  type ControlRecord,
  describeReading,
  notMemberReason,
} from '../../../regions/core.ts';
import type { Epoch, RegionId } from '../../../storage/core.ts';

export interface ReadinessFacts {
  readonly region: RegionId;
  /** A point to read at was found. */
  readonly isAttached: boolean;
  readonly record: ControlRecord | null;
  /** The record leaves this region among those of the deployment. */
  readonly isMember: boolean;
  /** Why the last look at the record brought none; null when it did. */
  readonly recordProblem: ControlProblem | null;
  /** The epoch whose path is read or written. */
  readonly head: Epoch;
  /** A writer is known, here or elsewhere. */
  readonly hasWriter: boolean;
  /** How long the lease of this gateway's reign has been suspended; null while it is valid, or there is no reign. */
  readonly suspendedMs: number | null;
  /** How long the thread that writes has given no sign of life. */
  readonly writerSilentMs: number;
  /** How much of that it computed, or slept: not waited for a CPU. */
  readonly writerStuckMs: number;
  /** How long no reading thread has been free. */
  readonly readersWaitedMs: number;
  /** From so long on a thread is doubted. */
  readonly doubtMs: number;
  /** Why news of the primary, or reads of what is here, stand still; null while they get on. */
  readonly stall: string | null;
  /** Why an engine of main cannot start; null when none has failed lately. */
  readonly trouble: string | null;
  /** Why answers have waited for other regions for long; null while none has. */
  readonly hold: string | null;
}

/** @returns no reasons when the gateway is ready. */
export function whyNotReady(facts: ReadinessFacts): readonly string[] {
  const reasons = [
    facts.isAttached ? null : 'no point to read at: fewer than three storage nodes of this region answer',
    recordReason(facts),
    writerThreadReason(facts),
    readersReason(facts),
    facts.trouble,
    facts.stall,
    facts.hold,
  ];
  return reasons.filter((reason) => reason !== null);
}

function recordReason(facts: ReadinessFacts): string | null {
  const { region, record, recordProblem, head, hasWriter, suspendedMs } = facts;
  // A secondary reads on without a record; its primary cannot write on.
  const needed = record === null || (record.primary === region && recordProblem?.kind !== 'unavailable');
  if (recordProblem !== null && needed) return describeReading(recordProblem, head).reason;
  if (record === null) return 'the control record has not been read yet';
  if (!facts.isMember) return notMemberReason(region);
  if (suspendedMs !== null)
    return `the lease of this gateway is suspended since ${Math.round(suspendedMs)} ms: it cannot renew it, and writes wait`;
  return record.primary === region && !hasWriter ? 'this region is primary and has no writer' : null;
}

function writerThreadReason({ writerSilentMs, writerStuckMs, doubtMs }: ReadinessFacts): string | null {
  const silentMs = Math.round(writerSilentMs);
  const stuckMs = Math.round(writerStuckMs);
  if (silentMs <= doubtMs) return null;
  const silence = `the thread that writes has given no sign of life for ${silentMs} ms`;
  return stuckMs * 2 >= silentMs
    ? `${silence}: a statement keeps it that cannot be interrupted`
    : `${silence}: it waited for a CPU for all but ${stuckMs} ms of them, since this machine has more to do than it can`;
}

function readersReason({ readersWaitedMs, doubtMs }: ReadinessFacts): string | null {
  const waitedMs = Math.round(readersWaitedMs);
  if (waitedMs <= doubtMs) return null;
  return `no reading thread has been free for ${waitedMs} ms: all are busy with slow statements`;
}
