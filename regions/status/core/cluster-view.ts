/** One view of the whole deployment, made of what regions and gateways report and of the control record. */
import { ascending, epoch, lsn, quorumLimits, type RegionId } from '../../../storage/core.ts';
import type { BranchStatus } from '../../branches/core/branch-request.ts';
import { type ControlRecord, policyOf, regionsOf } from '../../control/core/control-record.ts';
import { whyNotAutomatic } from '../../control/core/policy.ts';
import type { Survivor } from '../../control/core/survivors.ts';
import { lagsBehind, type SwitchoverQuestion } from '../../control/core/switchover-rules.ts';
import type { Backups } from './backup-report.ts';
import { branchStatuses, mainStatus } from './branch-status.ts';
import type { ClusterStatus, FailoverStatus, HoldStatus, RegionStatus } from './cluster-status.ts';
import { openBranches } from './database-report.ts';
import { newsOf, writerAmong } from './gateway-news.ts';
import { followsReign } from './reign-following.ts';
import type { GatewayReport, NodeReport, RegionReport, Report } from './report.ts';
import { reportLimits } from './report-limits.ts';
import { versionsOf } from './versions.ts';

/** As a report carries it. */
type Suspicion = { readonly epoch: number; readonly reason: string };
/** What a region lacks. */
export interface Missing {
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
  readonly commits: number | null;
  /** False: at least so many. */
  readonly commitsExact: boolean;
}

/** Why a writer acknowledges nothing, in words; undefined while its lease is valid. */
function suspension(writer: GatewayReport | null): string | undefined {
  if (writer?.suspendedMs === undefined) return undefined;
  return `the lease of ${writer.gateway} is suspended since ${Math.round(writer.suspendedMs / 1_000)} s, since the control record takes no renewal: writes wait`;
}

interface Heard<T> {
  readonly report: T;
  readonly atMs: number;
}

export class ClusterView {
  private readonly cluster: string;
  private readonly configured: readonly RegionId[];
  private readonly regionReports = new Map<string, Heard<RegionReport>>();
  private readonly gatewayReports = new Map<string, Heard<GatewayReport>>();
  private recordNow: ControlRecord | null = null;
  /** As gateways say it; it never changes, so that it is known when none is heard any more. */
  private engine: ClusterStatus['engine'] = null;

  /** @param configured the regions of the process's own file, which count until the control record names some. */
  constructor(cluster: string, configured: readonly RegionId[]) {
    this.cluster = cluster;
    this.configured = configured;
  }

  /** Every region of the deployment, by the newest record that was seen (R54). */
  get regions(): readonly RegionId[] {
    return regionsOf(this.recordNow, this.configured);
  }

  get record(): ControlRecord | null {
    return this.recordNow;
  }

  saw(record: ControlRecord): void {
    if (this.recordNow !== null && record.n <= this.recordNow.n) return;
    this.recordNow = record;
    // What a region said that has gone is forgotten with it: R55.
    const isGone = (region: string): boolean => !this.regions.some((name) => name === region);
    for (const region of [...this.regionReports.keys()])
      if (isGone(region)) this.regionReports.delete(region);
    for (const [name, { report }] of [...this.gatewayReports])
      if (isGone(report.region)) this.gatewayReports.delete(name);
  }

  /** Reports of regions that are not part of the deployment are passed over. */
  heard(report: Report, nowMs: number): void {
    if (!this.regions.some((name) => name === report.region)) return;
    if (report.kind === 'region') {
      this.regionReports.set(report.region, { report, atMs: nowMs });
      return;
    }
    this.engine = report.engine ?? (report.postgres !== undefined ? 'postgres' : this.engine);
    for (const [name, heard] of this.gatewayReports)
      if (recent(heard, nowMs) === null) this.gatewayReports.delete(name);
    this.gatewayReports.set(`${report.region}/${report.gateway}`, { report, atMs: nowMs });
  }

  /** Whether the sender of a report was heard lately, before this one. */
  knows(report: Report, nowMs: number): boolean {
    if (report.kind === 'region') return this.region(report.region, nowMs) !== null;
    return recent(this.gatewayReports.get(`${report.region}/${report.gateway}`), nowMs) !== null;
  }

  /** The last report of a region, if it is recent. */
  region(name: string, nowMs: number): RegionReport | null {
    return recent(this.regionReports.get(name), nowMs);
  }

  /** The last report of every region that is heard. */
  recentReports(nowMs: number): readonly RegionReport[] {
    return this.regions.flatMap((name) => this.region(name, nowMs) ?? []);
  }

  /** The last report of a region, however old; null when it was never heard. */
  lastReport(name: string): RegionReport | null {
    return this.regionReports.get(name)?.report ?? null;
  }

  /** How old the region's own word is; null when it was never heard. */
  ageMs(name: string, nowMs: number): number | null {
    const heard = this.regionReports.get(name);
    return heard === undefined ? null : Math.max(0, Math.round(nowMs - heard.atMs));
  }

  /** What a region lacks of what is durable in its primary, as the primary says; null where unknown. */
  missing(name: string, nowMs: number): Missing {
    const lag = this.lag(name, this.regionReports.get(name)?.report ?? null, nowMs);
    const heard = this.regionReports.get(this.recordNow?.primary ?? '');
    const entry = heard?.report.lag.find(({ region }) => region === name);
    const isNow = heard !== undefined && recent(heard, nowMs) !== null;
    const commits = entry?.lagCommits ?? null;
    return { ...lag, commits, commitsExact: isNow && commits !== null && entry?.lagCommitsExact === true };
  }

  /** Every region that is heard, as a failover judges it; `withinMs` is how old its last word may be. */
  survivors(nowMs: number, withinMs: number): readonly Survivor[] {
    return this.regions.flatMap((name) => {
      const heard = this.regionReports.get(name);
      if (heard === undefined || nowMs - heard.atMs >= withinMs) return [];
      const { vdl, forks = [], followed = null, primaryVdl, levelMsAgo = null } = heard.report;
      return [
        {
          region: name,
          held: vdl === null ? null : { epoch: epoch(heard.report.epoch), vdl: lsn(vdl), forks },
          followed: this.regions.find((region) => region === followed) ?? null,
          heardMsAgo: nowMs - heard.atMs,
          primaryVdl: primaryVdl === null ? null : lsn(primaryVdl),
          levelMsAgo,
        },
      ];
    });
  }

  /** What is heard that decides whether a switchover to `target` may begin, as of `record`. */
  switchoverQuestion(target: RegionId, record: ControlRecord, nowMs: number): SwitchoverQuestion {
    const report = this.region(target, nowMs);
    const writer = writerAmong(this.gateways(record.primary, nowMs));
    return {
      target,
      record,
      writer: writer?.gateway ?? null,
      primaryHeard: this.region(record.primary, nowMs) !== null,
      following: this.follows(report, record, writer),
      lagMs: this.lag(target, this.regionReports.get(target)?.report ?? null, nowMs).lagMs,
      stalledMs: this.stalledMs(target, nowMs),
      writableNodes: this.writableNodes(target, nowMs) ?? 0,
      gateways: this.gateways(target, nowMs).length,
      headless: isHeadless(report, this.gateways(target, nowMs)),
    };
  }

  /** See `followsReign`. */
  private follows(
    report: RegionReport | null,
    record: ControlRecord | null,
    writer: GatewayReport | null,
  ): boolean {
    const primary = record?.primary ?? null;
    const ships = primary === null ? null : this.lastReport(primary);
    return report !== null && followsReign(report, primary, ships, writer);
  }

  /** What the gateway that writes in the primary region said last, and when; null while none does. */
  writer(nowMs: number): Heard<GatewayReport> | null {
    const writes = ({ phase, region }: GatewayReport): boolean =>
      region === this.recordNow?.primary && (phase === 'writing' || phase === 'draining');
    const all = [...this.gatewayReports.values()].filter(
      (heard) => writes(heard.report) && recent(heard, nowMs) !== null,
    );
    return all.sort((a, b) => (b.report.epoch ?? 0) - (a.report.epoch ?? 0))[0] ?? null;
  }

  /** The last report of every region that was ever heard. */
  get lastReports(): readonly RegionReport[] {
    return [...this.regionReports.values()].map(({ report }) => report);
  }

  /** How long ago a region's agent and any of its gateways spoke, in ms; null when they did not lately. */
  heardMsAgo(
    name: string,
    nowMs: number,
  ): { readonly agentMsAgo: number | null; readonly gatewayMsAgo: number | null } {
    const agent = this.regionReports.get(name);
    const gateways = [...this.gatewayReports.values()].filter(({ report }) => report.region === name);
    return {
      agentMsAgo: agent === undefined ? null : nowMs - agent.atMs,
      gatewayMsAgo: gateways.length === 0 ? null : nowMs - Math.max(...gateways.map(({ atMs }) => atMs)),
    };
  }

  /** The primary that a region holds for lost, as it said lately. */
  suspicionOf(name: RegionId, nowMs: number): (Suspicion & { readonly primary: RegionId }) | null {
    const suspects = this.region(name, nowMs)?.suspects;
    const primary = this.regions.find((region) => region === suspects?.primary);
    return suspects === undefined || primary === undefined ? null : { ...suspects, primary };
  }

  /** Whether a region has a gateway, and enough storage nodes that take writes, as far as it said lately. */
  canWrite(name: RegionId, nowMs: number): boolean {
    const writable = this.writableNodes(name, nowMs) ?? 0;
    return writable >= quorumLimits.writeQuorum && this.gateways(name, nowMs).length > 0;
  }

  /**
   * How many storage nodes of a region take writes, as its agent said lately; null when it did not. While one of them is being
   * replaced: of the set of six of which the fewest do.
   */
  writableNodes(name: RegionId, nowMs: number): number | null {
    const nodes = this.region(name, nowMs)?.nodes;
    if (nodes === undefined) return null;
    const writable = nodes.filter(({ state, trouble }) => state !== 'down' && trouble === undefined);
    const without = (role: NodeReport['role']): number =>
      writable.filter((node) => node.role !== role).length;
    const isReplacing = nodes.some(({ role }) => role !== undefined);
    return isReplacing ? Math.min(without('joining'), without('leaving')) : writable.length;
  }

  /** Recent reports of a region's gateways, by name. */
  gateways(name: string, nowMs: number): readonly GatewayReport[] {
    const found: GatewayReport[] = [];
    for (const heard of this.gatewayReports.values()) {
      const report = recent(heard, nowMs);
      if (report?.region === name) found.push(report);
    }
    return found.sort((a, b) => (a.gateway < b.gateway ? -1 : 1));
  }

  status(nowMs: number): ClusterStatus {
    const record = this.recordNow;
    const regions = this.regions.map((name) => this.regionStatus(name, nowMs));
    return {
      cluster: this.cluster,
      engine: this.engine,
      epoch: record?.epoch ?? 0,
      primary: record?.primary ?? null,
      state: this.state(regions),
      holder:
        record?.holder === null || record === null ? null : `${record.primary}/${record.holder.gateway}`,
      policy: record === null ? null : policyOf(record),
      failover: this.failover(nowMs),
      hold: this.hold(nowMs),
      branches: branchStatuses(record, this.lastReports),
      ...rewindIn(record),
      regions,
    };
  }

  /** Every branch, `main` first. */
  branches(nowMs: number): readonly BranchStatus[] {
    const { branches, regions } = this.status(nowMs);
    return [mainStatus(this.recordNow, regions), ...branches];
  }

  private failover(nowMs: number): FailoverStatus {
    const record = this.recordNow;
    const heard = this.regions.flatMap((name) => this.region(name, nowMs) ?? []);
    const off = record === null ? null : whyNotAutomatic(policyOf(record), this.regions.length);
    const refusals = heard.flatMap(({ noFailover }) => noFailover ?? []);
    const suspecting = heard.filter(
      ({ suspects }) => suspects?.primary === record?.primary && suspects?.epoch === record?.epoch,
    );
    return {
      automatic: record !== null && off === null,
      reason: off ?? refusals[0] ?? null,
      suspectedBy: record === null ? [] : suspecting.map(({ region }) => region),
    };
  }

  /** What the writer said last of answers that wait for other regions. */
  private hold(nowMs: number): HoldStatus | null {
    const primary = this.recordNow?.primary ?? '';
    const said = writerAmong(this.gateways(primary, nowMs))?.hold;
    if (said === undefined) return null;
    const waitsFor = this.regions.filter((name) => name !== primary);
    return { ...said, forMs: Math.round(said.forMs), waitsFor };
  }

  private state(regions: readonly RegionStatus[]): ClusterStatus['state'] {
    const record = this.recordNow;
    if (record !== null && record.state !== 'stable') return record.state;
    const whole = regions.every(
      (region) =>
        region.role !== 'offline' && region.ready && region.nodes.every((node) => node.state !== 'down'),
    );
    return record !== null && record.holder !== null && whole ? 'stable' : 'degraded';
  }

  private regionStatus(name: RegionId, nowMs: number): RegionStatus {
    const primary = this.recordNow?.primary === name;
    const last = this.regionReports.get(name)?.report ?? null;
    const report = this.region(name, nowMs);
    const gateways = this.gateways(name, nowMs);
    const writer = writerAmong(gateways);
    const shown = writer ?? gateways.find(({ ready: is }) => is) ?? gateways.at(0);
    const lag = primary ? { lagBytes: 0, lagMs: 0 } : this.lag(name, last, nowMs);
    const stalledMs = Math.round(this.stalledMs(name, nowMs));
    const trouble = report?.trouble ?? suspension(writer);
    const needsImages = primary ? undefined : this.laneTo(name, nowMs)?.needsImages;
    const reigns = writerAmong(this.gateways(this.recordNow?.primary ?? '', nowMs));
    const following = this.follows(report, this.recordNow, reigns);
    const role = report === null ? 'offline' : primary ? 'primary' : 'secondary';
    const ready =
      role === 'offline'
        ? false
        : primary
          ? writer !== null &&
            writer.suspendedMs === undefined &&
            (this.hold(nowMs)?.forMs ?? 0) < reportLimits.heldMs
          : needsImages === undefined && !lagsBehind({ following, stalledMs, lagMs: lag.lagMs });
    return {
      name,
      role,
      epoch: last?.epoch ?? 0,
      vdl: primary ? this.primaryVdl(last, writer) : (last?.vdl ?? null),
      ...lag,
      rpoMs: lag.lagMs,
      stalledMs,
      holdsMs: primary ? 0 : (this.hold(nowMs)?.forMs ?? 0),
      ageMs: this.ageMs(name, nowMs),
      ready,
      headless: isHeadless(last, gateways),
      gateway: shown?.address ?? last?.gateway ?? null,
      ...(shown?.postgres !== undefined && { postgres: shown.postgres }),
      gateways: gateways.map(newsOf),
      agent: last?.agent ?? null,
      writer: writer === null ? null : writer.gateway,
      ...(trouble !== undefined && { trouble }),
      ...openBranches(gateways),
      versions: versionsOf(report, gateways),
      ...(last?.retention !== undefined && { retention: last.retention }),
      ...(last?.backup !== undefined && { backup: last.backup }),
      ...(needsImages !== undefined && { needsImages }),
      ...(last?.membershipEpoch !== undefined && { membershipEpoch: last.membershipEpoch }),
      nodes: (last?.nodes ?? []).map((node) =>
        report === null ? { ...node, state: 'down' as const, scl: null } : timed(node, writer),
      ),
    };
  }

  /** The backups of all regions that have one, as they last told. */
  backups(nowMs: number): Backups {
    return {
      backups: this.status(nowMs).regions.flatMap(({ name, ageMs, backup }) =>
        backup === undefined ? [] : [{ ...backup, region: name, reportAgeMs: ageMs }],
      ),
    };
  }

  /** How long a region has stood still, as its primary says, or as it says itself; 0 while it gets on. */
  stalledMs(name: string, nowMs: number): number {
    if (name === this.recordNow?.primary) return 0;
    const lane = this.laneTo(name, nowMs);
    return Math.max(lane?.stalledMs ?? 0, this.region(name, nowMs)?.stalledMs ?? 0);
  }

  /** What the primary said lately of the way to a secondary. */
  private laneTo(name: string, nowMs: number): RegionReport['lag'][number] | undefined {
    return this.region(this.recordNow?.primary ?? '', nowMs)?.lag.find((entry) => entry.region === name);
  }

  /** Why a region that stands still is not ready, in words for an operator; null while it gets on. */
  stallReason(name: string, nowMs: number): string | null {
    const forMs = this.stalledMs(name, nowMs);
    const { needsImages } = this.laneTo(name, nowMs) ?? {};
    if (needsImages !== undefined) return `${name} ${needsImages}`;
    if (forMs === 0) return null;
    const primary = this.recordNow?.primary ?? 'its primary';
    return `${name} has received nothing from ${primary} for ${Math.round(forMs / 1_000)} s and lacks redo that is durable there: the lane begins anew by itself; see the log of both agents`;
  }

  /**
   * What the primary has durable, by the newest word of anybody: reports arrive at different times, and what a secondary
   * of the same reign holds was durable at the primary before (R2).
   */
  private primaryVdl(last: RegionReport | null, writer: GatewayReport | null): number | null {
    const reign = Math.max(last?.epoch ?? 0, writer?.epoch ?? 0);
    const secondaries = [...this.regionReports.values()]
      .filter(({ report }) => report.epoch === reign && report.region !== this.recordNow?.primary)
      .map(({ report }) => report.vdl);
    const known = [last?.vdl, writer?.vdl, ...secondaries].filter((vdl) => typeof vdl === 'number');
    return known.length === 0 ? null : Math.max(...known);
  }

  /**
   * Lag as the primary says. While the primary is silent, what it last said and the time since; of a region that had
   * everything then, still 0: nothing is known that it lacks. Unknown while the primary has not said.
   */
  private lag(
    name: string,
    last: RegionReport | null,
    nowMs: number,
  ): { readonly lagBytes: number | null; readonly lagMs: number | null } {
    const heard = this.regionReports.get(this.recordNow?.primary ?? '');
    const entry = heard?.report.lag.find((candidate) => candidate.region === name);
    if (heard === undefined || entry === undefined) {
      const { primaryVdl = null, vdl = null } = last ?? {};
      const known = primaryVdl !== null && vdl !== null;
      return { lagBytes: known ? Math.max(0, primaryVdl - vdl) : null, lagMs: null };
    }
    if (entry.lagMs === null) return { lagBytes: entry.lagBytes, lagMs: null };
    const silentMs = nowMs - heard.atMs;
    const growing = entry.lagMs > 0 && silentMs > reportLimits.offlineAfterMs ? silentMs : 0;
    return { lagBytes: entry.lagBytes, lagMs: Math.round(entry.lagMs + growing) };
  }

  /** The highest epoch that any region has said its nodes know of. */
  highestEpoch(): number {
    return Math.max(0, ...this.regions.map((name) => this.highestEpochOf(name)));
  }

  /** The same of one region, however long ago it was said; 0 when it never was. */
  highestEpochOf(name: string): number {
    return this.regionReports.get(name)?.report.highestEpoch ?? 0;
  }

  /** The failover that ended a reign, as far as was ever heard: the first one after it, up to `until`. Null when none was. */
  failoverAfter(reign: number, until: number): string | null {
    const known = [...this.regionReports.values()].flatMap(({ report }) => report.failovers ?? []);
    const after = known.filter(({ epoch: began }) => began > reign && began <= until);
    return after.sort((a, b) => a.epoch - b.epoch)[0]?.id ?? null;
  }

  /** Epochs some region has found lost writes of. */
  lossEpochs(): readonly number[] {
    const epochs = new Set<number>();
    for (const { report } of this.regionReports.values())
      for (const epoch of report.lossEpochs) epochs.add(epoch);
    return [...epochs].sort(ascending);
  }
}

/** Whether a region's agent knows of no gateway beside it, and none is heard either. */
function isHeadless(report: RegionReport | null, gateways: readonly GatewayReport[]): boolean {
  return report !== null && report.gateway === null && gateways.length === 0;
}

function recent<T>(heard: Heard<T> | undefined, nowMs: number): T | null {
  return heard !== undefined && nowMs - heard.atMs < reportLimits.offlineAfterMs ? heard.report : null;
}

/** A node with what the writer knows of it. */
function timed(node: NodeReport, writer: GatewayReport | null): NodeReport {
  const times = writer?.appends?.find((time) => time.node === node.id);
  if (times === undefined) return node;
  const { p50Ms, p99Ms, slowMs } = times;
  return { ...node, append: { p50Ms, p99Ms, slowMs } };
}

function rewindIn(record: ControlRecord | null): Pick<ClusterStatus, 'rewind'> {
  if (record?.rewind === undefined) return {};
  const { branch: _, ...rewind } = record.rewind;
  return { rewind };
}
