/** Sends this agent's heartbeats as spans: each lasts as long as the lag that it tells. */
import type { RegionId, Runtime, Timer } from '../../storage/index.ts';
import {
  attributes,
  keptTrace,
  lagServiceName,
  lagSpanName,
  type SpanFact,
  type Telemetry,
} from '../../telemetry/index.ts';
import type { ControlSight } from '../control/core/control-sight.ts';
import {
  type Heartbeat,
  heartbeatLimits,
  heartbeatsOf,
  type PairLag,
} from '../replication/core/heartbeat.ts';
import type { RegionReport } from '../status/core/report.ts';
import { reportLimits } from '../status/core/report-limits.ts';

export interface HeartbeatOptions {
  readonly region: RegionId;
  readonly sight: ControlSight;
  /** The lag of the secondaries; null while this agent does not ship. */
  readonly lags: () => readonly PairLag[] | null;
  /** See `LagSight`. */
  readonly ageMs: () => number | null;
  readonly telemetry: Pick<Telemetry, 'enabled' | 'record'>;
  readonly runtime: Runtime;
}

export class Heartbeats {
  private readonly options: HeartbeatOptions;
  private readonly timer: Timer | null;
  private heardAtMs: number;
  private heardEpoch = 0;
  private toldAtMs: number;
  /** Of whom it is expected. */
  private primary: RegionId | null = null;
  /** When each region was last heard to receive from the primary. */
  private readonly followedAtMs = new Map<string, number>();

  constructor(options: HeartbeatOptions) {
    const { runtime, telemetry } = options;
    this.options = options;
    this.heardAtMs = runtime.nowMs();
    this.toldAtMs = runtime.nowMs();
    this.timer = telemetry.enabled ? runtime.every(heartbeatLimits.everyMs, () => this.beat()) : null;
  }

  close(): void {
    this.timer?.stop();
  }

  /** The agent of a region has spoken. */
  heard(report: Pick<RegionReport, 'region' | 'epoch' | 'lag' | 'following' | 'followed'>): void {
    const { region, sight, runtime } = this.options;
    if (report.region === region) return;
    const nowMs = runtime.nowMs();
    const primary = sight.view?.record.primary;
    this.heardAtMs = nowMs;
    this.heardEpoch = Math.max(this.heardEpoch, report.epoch);
    if (report.region === primary && report.lag.some((lag) => lag.region === region)) this.toldAtMs = nowMs;
    if (report.following && report.followed === primary) this.followedAtMs.set(report.region, nowMs);
    else this.followedAtMs.delete(report.region);
  }

  private beat(): void {
    const { region, sight, lags, ageMs, telemetry, runtime } = this.options;
    const nowMs = runtime.nowMs();
    const seen = sight.lastSeen(nowMs);
    const primary = seen?.view.record.primary ?? null;
    if (primary !== this.primary) {
      this.primary = primary;
      this.toldAtMs = nowMs;
      this.followedAtMs.clear();
    }
    const followed = [...this.followedAtMs.values()];
    const beats = heartbeatsOf({
      region,
      reign:
        seen === null || primary === null
          ? null
          : { primary, epoch: seen.view.record.epoch, ageMs: seen.ageMs },
      heardMsAgo: nowMs - this.heardAtMs,
      heardEpoch: this.heardEpoch,
      toldMsAgo: nowMs - this.toldAtMs,
      isFollowedElsewhere: followed.some((atMs) => nowMs - atMs < reportLimits.offlineAfterMs),
      lags: lags(),
      ageMs: ageMs(),
    });
    for (const beat of beats) telemetry.record(heartbeatSpan(beat, Math.round(runtime.wallUs())));
  }
}

/** Both ends are by the clock of whoever tells, and their difference is the lag (T8). @param endUs now. */
export function heartbeatSpan(beat: Heartbeat, endUs: number): SpanFact {
  const { source, target, epoch, lagMs, lagBytes, lagCommits, trouble } = beat;
  return {
    name: lagSpanName(source, target),
    service: lagServiceName,
    kind: 'server',
    context: keptTrace(),
    parentSpanId: null,
    startUs: endUs - Math.round(lagMs * 1_000),
    endUs,
    attributes: {
      [attributes.sourceRegion]: source,
      [attributes.targetRegion]: target,
      [attributes.epoch]: epoch,
      ...(lagBytes !== null && { [attributes.lagBytes]: lagBytes }),
      ...(lagCommits !== null && { [attributes.lagCommits]: lagCommits }),
    },
    ...(trouble !== null && { error: trouble }),
  };
}
