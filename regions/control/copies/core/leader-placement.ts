/**
 * Where the leader of the control stream should be: not in the primary region. When a region is lost with the leader, the
 * other servers elect one first (2.7 to 6.3 s), and a failover waits for that; with the leader elsewhere the next change takes
 * milliseconds. The agent of the primary region moves it, alone: without it there is nothing to be lost that it is for.
 *
 * R27 The leader of the control stream is only ever moved while the record is stable and has a holder, by the agent of the
 *     primary region, to a server of another region that has everything, and not more often than once in `againMs`.
 */
import type { RegionId } from '../../../../storage/core.ts';
import type { ControlRecord } from '../../core/control-record.ts';

/** The servers that keep the control stream, as NATS tells. */
export interface StreamGroup {
  /** Null during an election. */
  readonly leader: string | null;
  readonly replicas: readonly { readonly name: string; readonly isCurrent: boolean }[];
}

export const leaderPlacementLimits = {
  lookEveryMs: 2_000,
  /** A move, or a new writer, is left alone for so long. */
  settleMs: 2_000,
  /** Between two step-downs; twice as long each time that nothing came of it, up to `againMaxMs`. */
  againMs: 10_000,
  againMaxMs: 300_000,
  /** With fewer votes a step-down gains nothing: without the primary's server there is no majority. */
  votersMin: 3,
  /** A leader that has answered with an older record for so long will not catch up by itself. */
  staleMs: 5_000,
} as const;

/**
 * The region of a NATS server, by its name: the region's name, or anything that ends with `-` and the region's name. Null for
 * a server that is in none of them, such as a witness.
 */
export function regionOfServer(server: string, regions: readonly RegionId[]): RegionId | null {
  const named = regions.filter((region) => server === region || server.endsWith(`-${region}`));
  return named.sort((a, b) => b.length - a.length)[0] ?? null;
}

/** The server that should lead instead of the one that does; null when nothing is to be done. */
export function betterLeader(
  { leader, replicas }: StreamGroup,
  primary: RegionId,
  regions: readonly RegionId[],
): string | null {
  if (leader === null || replicas.length + 1 < leaderPlacementLimits.votersMin) return null;
  if (regionOfServer(leader, regions) !== primary) return null;
  const elsewhere = replicas.filter(
    ({ name, isCurrent }) => isCurrent && regionOfServer(name, regions) !== primary,
  );
  return elsewhere.map(({ name }) => name).sort()[0] ?? null;
}

/** When the agent of `region` looks at the stream and asks its leader to step down. Times are monotonic milliseconds. */
export class LeaderPlacement {
  private readonly region: RegionId;
  private readonly regions: readonly RegionId[];
  private reign: { readonly epoch: number; readonly sinceMs: number } | null = null;
  private notBeforeMs = Number.NEGATIVE_INFINITY;
  private againMs: number = leaderPlacementLimits.againMs;

  constructor(region: RegionId, regions: readonly RegionId[]) {
    this.region = region;
    this.regions = regions;
  }

  /** Whether to look now. `record` is the newest one known, null while it cannot be read. */
  isDue(record: ControlRecord | null, nowMs: number): boolean {
    const isOurs =
      record !== null &&
      record.primary === this.region &&
      record.state === 'stable' &&
      record.holder !== null;
    if (!isOurs) {
      this.reign = null;
      return false;
    }
    if (this.reign?.epoch !== record.epoch) this.reign = { epoch: record.epoch, sinceMs: nowMs };
    return nowMs - this.reign.sinceMs >= leaderPlacementLimits.settleMs && nowMs >= this.notBeforeMs;
  }

  /** @returns the server to which the leader is to give way now, or null. */
  looked(group: StreamGroup, nowMs: number): string | null {
    const to = betterLeader(group, this.region, this.regions);
    if (to === null) {
      this.againMs = leaderPlacementLimits.againMs;
      return null;
    }
    this.notBeforeMs = nowMs + this.againMs;
    this.againMs = Math.min(this.againMs * 2, leaderPlacementLimits.againMaxMs);
    return to;
  }
}

/** When a leader that answers with an older record than was seen is asked to step down, by whichever agent sees it. */
export class StaleLeader {
  private notBeforeMs = Number.NEGATIVE_INFINITY;
  private againMs: number = leaderPlacementLimits.againMs;

  /** @param staleForMs how long it has answered like that; 0 while it does not. @returns whether to ask it now. */
  looked(staleForMs: number, nowMs: number): boolean {
    const { againMs, againMaxMs, staleMs } = leaderPlacementLimits;
    if (staleForMs === 0) this.againMs = againMs;
    if (staleForMs < staleMs || nowMs < this.notBeforeMs) return false;
    this.notBeforeMs = nowMs + this.againMs;
    this.againMs = Math.min(this.againMs * 2, againMaxMs);
    return true;
  }
}
