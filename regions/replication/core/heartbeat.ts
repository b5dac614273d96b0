/**
 * Who tells each second how far a region lags, so that a region that stands still is seen while it does (R41).
 *
 * R41 A pair of regions has one source of heartbeats at a time, as far as agents can know: the agent that ships. While nobody
 *     is heard to say how far a secondary lags, the secondary tells its own age. An agent says nothing that has been deposed,
 *     or has heard of a newer reign than the record it saw, or sees neither the record nor any other agent: others may reign,
 *     and tell, by then.
 *
 * A primary that is cut off falls silent when the secondaries that lost it begin. A secondary that hears no agent at all may
 * be cut off itself, and then the primary tells: it waits until it would have noticed that it cannot read the record.
 */
import type { Epoch, RegionId } from '../../../storage/core.ts';

export const heartbeatLimits = {
  everyMs: 1_000,
  /** Nobody tells for so long, or nobody is seen for so long. */
  silentMs: 5_000,
  /** The same for a secondary that hears nobody. Cut off, an agent was seen to read an old record for 11 s. */
  aloneMs: 15_000,
} as const;

/** What one agent knows of who reigns and who tells. Times are by its own monotonic clock. */
export interface LagSight {
  readonly region: RegionId;
  /** By the newest record seen, and how long ago that was known to be the newest; null before the first. */
  readonly reign: { readonly primary: RegionId; readonly epoch: Epoch; readonly ageMs: number } | null;
  /** Since the agent of any other region was heard, or since this one started. */
  readonly heardMsAgo: number;
  /** The newest epoch that any of them follows; 0 before one was heard. */
  readonly heardEpoch: number;
  /** Since the primary's agent said how far this region lags, or since it may be expected to. */
  readonly toldMsAgo: number;
  /** Another region receives from the primary: its agent lives. */
  readonly isFollowedElsewhere: boolean;
  /** Of the secondaries, as `/v1/status` shows it; null when this agent does not ship. */
  readonly lags: readonly PairLag[] | null;
  /** How long ago this region last had everything its primary had; null while that is unknown. */
  readonly ageMs: number | null;
}

export interface PairLag {
  readonly region: RegionId;
  readonly lagMs: number | null;
  readonly lagBytes: number;
  readonly lagCommits: number | null;
  readonly stalledMs: number;
}

/** What is told of one pair. */
export interface Heartbeat {
  readonly source: RegionId;
  readonly target: RegionId;
  readonly epoch: Epoch;
  readonly lagMs: number;
  /** Null while unknown. */
  readonly lagBytes: number | null;
  readonly lagCommits: number | null;
  /** Why an operator should look; null while the target gets on. */
  readonly trouble: { readonly code: 'STALLED' | 'PRIMARY_SILENT'; readonly message: string } | null;
}

/** The heartbeats that are this agent's to send now. A lag that nobody knows is not told: any number would be taken for it. */
export function heartbeatsOf(sight: LagSight): readonly Heartbeat[] {
  const { region, reign, heardMsAgo, toldMsAgo, lags, ageMs } = sight;
  const { silentMs, aloneMs } = heartbeatLimits;
  if (reign === null || sight.heardEpoch > reign.epoch) return [];
  const { primary, epoch, ageMs: recordAgeMs } = reign;
  const isAlone = heardMsAgo >= silentMs;
  if (recordAgeMs >= silentMs && isAlone) return [];
  if (primary === region) {
    return (lags ?? []).flatMap(({ region: target, lagMs, lagBytes, lagCommits, stalledMs }) =>
      lagMs === null
        ? []
        : [{ source: region, target, epoch, lagMs, lagBytes, lagCommits, trouble: stalled(stalledMs) }],
    );
  }
  if (toldMsAgo < (isAlone ? aloneMs : silentMs) || sight.isFollowedElsewhere || ageMs === null) return [];
  const message = `nobody says how far ${region} is behind ${primary}; this is since ${region} last had everything`;
  const trouble = { code: 'PRIMARY_SILENT', message } as const;
  return [
    { source: primary, target: region, epoch, lagMs: ageMs, lagBytes: null, lagCommits: null, trouble },
  ];
}

function stalled(stalledMs: number): Heartbeat['trouble'] {
  if (stalledMs === 0) return null;
  const message = `has stored nothing for ${Math.round(stalledMs / 1_000)} s and lacks redo that is durable in the primary`;
  return { code: 'STALLED', message };
}
