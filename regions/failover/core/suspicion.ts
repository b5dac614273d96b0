/**
 * Whether one region's agent holds the primary for lost, by what it sees itself. One sign of life is enough to trust it: a
 * primary that is slow, overloaded or frozen for a moment is not suspected. Others are asked in `decision.ts`.
 */
import { quorumLimits, type RegionId } from '../../../storage/core.ts';
import type { ControlRecord } from '../../control/core/control-record.ts';
import { formatAge } from '../../control/core/record-claims.ts';

export const suspicionLimits = {
  /** All signs of life have been absent for so long. */
  silentMs: 2_000,
  /** Its own agent says that too few of its storage nodes take writes, and nobody has written there for so long. */
  quorumlessMs: 5_000,
  /** The region lives, and nobody has written there for so long: longer than a gateway takes to start and recover. */
  writerlessMs: 15_000,
} as const;

/** What an agent sees of the primary. Ages in milliseconds; null when it was never seen. */
export interface Sight {
  readonly record: ControlRecord;
  /** Since the newest revision of the control record was first seen: the writer renews it. */
  readonly stillMs: number;
  /** Since its agent spoke. */
  readonly agentMsAgo: number | null;
  /** Since any of its gateways spoke. */
  readonly gatewayMsAgo: number | null;
  /** Since redo or a heartbeat of it arrived. */
  readonly redoMsAgo: number | null;
  /** Storage nodes of it that take writes, by the word of its own agent; null when that was not heard lately. */
  readonly writableNodes: number | null;
  /** How long this agent itself has been awake and connected: what it missed before says nothing. */
  readonly awakeMs: number;
}

export interface Suspicion {
  readonly primary: RegionId;
  readonly epoch: number;
  /** In words for an operator. */
  readonly reason: string;
}

/** @returns null while there is a sign of life, or while this agent has not watched for long enough. */
export function suspicionOf(sight: Sight): Suspicion | null {
  const { record, stillMs, awakeMs } = sight;
  const { silentMs, quorumlessMs, writerlessMs } = suspicionLimits;
  const suspect = (reason: string): Suspicion => ({ primary: record.primary, epoch: record.epoch, reason });
  const quietMs = Math.min(stillMs, awakeMs, ...ages(sight));
  if (quietMs >= silentMs) {
    return suspect(
      `nothing of ${record.primary} has been seen for ${formatAge(quietMs)}: no renewal of its lease, no word of its agent or its gateways, no redo`,
    );
  }
  const unwrittenMs = Math.min(stillMs, awakeMs);
  const { writableNodes } = sight;
  if (writableNodes !== null && writableNodes < quorumLimits.writeQuorum && unwrittenMs >= quorumlessMs) {
    return suspect(
      `${record.primary} says that ${writableNodes} of its six storage nodes take writes, of which ${quorumLimits.writeQuorum} are needed, and its lease has not been renewed for ${formatAge(stillMs)}`,
    );
  }
  // A switchover holds writes on purpose, and somebody drives it.
  if (record.state !== 'switching' && unwrittenMs >= writerlessMs) {
    return suspect(
      `${record.primary} is heard and nobody has written there for ${formatAge(stillMs)}: its lease is not renewed`,
    );
  }
  return null;
}

function ages({ agentMsAgo, gatewayMsAgo, redoMsAgo }: Sight): readonly number[] {
  return [agentMsAgo, gatewayMsAgo, redoMsAgo].map((age) => age ?? Number.POSITIVE_INFINITY);
}
