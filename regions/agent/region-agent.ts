/**
 * What the agent of one region does, whatever it runs on: ships when its region is primary, receives when it is not, tells
 * everybody how the region is, runs the moves that make it primary, and looks for what a failover left behind. It is given
 * time, links, NATS, the control store and what is kept on disk, so that production (`agent.ts`) and the simulator run it alike.
 */
import { type Epoch, genesisEpoch, lsn, type RegionId, type Timer, zeroLsn } from '../../storage/index.ts';
import { decodePull, subjectsOf } from '../bus/core/messages.ts';
import type { ControlReading, ControlView } from '../control/core/control-port.ts';
import { isMember } from '../control/core/control-record.ts';
import { ControlSight } from '../control/core/control-sight.ts';
import { ChallengerTimer } from '../control/core/lease.ts';
import {
  describeReading,
  type Neighbours,
  noRecord,
  notMemberReason,
} from '../control/core/record-claims.ts';
import type { Survivor } from '../control/core/survivors.ts';
import { ControlHealth } from '../control/writer/core/control-health.ts';
import { FailoverWatch } from '../failover/failover-watch.ts';
import { Replacement } from '../members/replacement.ts';
import type { AgentReply, AgentRequest } from '../moves/core/operations.ts';
import { lastCommitUs } from '../moves/last-write.ts';
import { MoveTraces } from '../moves/move-traces.ts';
import { Moves } from '../moves/moves.ts';
import { OrphanSearch, type OrphanSearchOptions } from '../moves/orphan-search.ts';
import { sealOldRegion, serveSeals } from '../moves/seal-old-region.ts';
import { MoveStopwatch } from '../readiness/core/move-stopwatch.ts';
import { type Readiness, readinessOf } from '../readiness/core/readiness.ts';
import { ageOf, noLagMemory, positionsOf } from '../replication/core/lag-memory.ts';
import { noteLags } from '../replication/lag-store.ts';
import { Lending } from '../replication/lending.ts';
import { PullWishes } from '../replication/pull-wishes.ts';
import type { Receiving } from '../replication/receiving.ts';
import { findReign, type Reign } from '../replication/reign.ts';
import type { LaneWindow, Shipping } from '../replication/shipping.ts';
import { Retention } from '../retention/retention.ts';
import { RewindDesk } from '../rewind/rewind-desk.ts';
import { ClusterView } from '../status/core/cluster-view.ts';
import type { RegionReport, Report } from '../status/core/report.ts';
import { reportLimits } from '../status/core/report-limits.ts';
import { ReportPace } from '../status/core/report-pace.ts';
import { ReportReader } from '../status/core/report-reader.ts';
import { RegionNodes } from '../status/region-nodes.ts';
import { answerParts } from './answer-parts.ts';
import { type AnswerParts, answerRequest } from './answer-request.ts';
import { Heartbeats } from './heartbeats.ts';
import { Lanes } from './lanes.ts';
import { agentTimes, type RegionAgentOptions } from './region-agent-options.ts';
import { RegionBranches } from './region-branches.ts';
import { repairSpan } from './repair-span.ts';
import { neighboursOf, standingOf, survivorOf } from './standing.ts';

export class RegionAgent {
  readonly view: ClusterView;
  readonly sight = new ControlSight(agentTimes.lookMs);
  readonly nodes: RegionNodes;
  readonly moves: Moves;
  readonly watch: FailoverWatch;
  readonly retention: Retention;
  private readonly heartbeats: Heartbeats;
  private readonly replacement: Replacement;
  private readonly rewinds: RewindDesk;
  private readonly options: RegionAgentOptions;
  private readonly orphans: OrphanSearch;
  private readonly control: ControlHealth;
  private readonly challenger: ChallengerTimer;
  private readonly lanes: Lanes;
  private readonly lending: Lending;
  private readonly branches: RegionBranches;
  private readonly stopwatch: MoveStopwatch;
  private readonly pace = new ReportPace();
  private readonly reader = new ReportReader();
  private readonly stops: (() => void)[] = [];
  private shipping: { readonly epoch: Epoch; readonly run: Shipping } | null = null;
  private receiving: Receiving | null = null;
  private reignSought: Epoch | null = null;
  private primaryVdl = zeroLsn;
  /** By how much the clock of the region followed last was ahead; 0 before one was. */
  private primaryAheadUs = 0;
  private closed = false;

  constructor(options: RegionAgentOptions) {
    const { cluster, region, regions, links, runtime, log, lease } = options;
    this.options = options;
    this.view = new ClusterView(cluster, regions);
    this.control = new ControlHealth(runtime.nowMs());
    this.challenger = new ChallengerTimer(lease);
    this.replacement = new Replacement({ ...options });
    this.rewinds = new RewindDesk({ ...options, agent: this });
    this.nodes = new RegionNodes(links, (node, report) =>
      options.telemetry.record(repairSpan({ cluster, region, node }, report)),
    );
    this.stopwatch = new MoveStopwatch(region);
    const pulls = new PullWishes(options);
    const traces = new MoveTraces(cluster, options.telemetry);
    const onReport: OrphanSearchOptions['onReport'] = (report, lost, lookedAtUs) => {
      const { orphanEpoch, epoch } = report;
      traces.lost(report, lost, lookedAtUs, this.view.failoverAfter(orphanEpoch, epoch));
    };
    this.lanes = new Lanes(options);
    this.orphans = new OrphanSearch({ ...options, onReport });
    this.branches = new RegionBranches({
      ...options,
      onReport,
      nodes: this.nodes,
      view: this.view,
      ship: (lanes, reign) => this.lanes.ship({ ...lanes, from: region, remembered: noLagMemory }, reign),
      receive: (own) => this.lanes.receive({ ...own, onJoined: () => undefined }),
      poll: () => void this.pollNodes(),
    });
    this.lending = new Lending({
      path: () => this.path(),
      ship: (to, { from, reign }) =>
        this.lanes.ship({ from, via: region, secondaries: [to], remembered: noLagMemory }, reign),
      runtime,
      log,
    });
    this.moves = new Moves({
      ...options,
      traces,
      view: this.view,
      challenger: this.challenger,
      sight: this.sight,
      looked: (reading) => this.looked(reading),
      me: () => this.survivor(),
      tellView: () => this.view.heard({ kind: 'region', ...this.standing }, runtime.nowMs()),
      neighbours: () => this.neighbours(),
      highestEpoch: () => this.nodes.highestEpoch,
      forkOf: (reign) => this.nodes.forksTo(reign).at(-1)?.forkLsn ?? null,
      lastCommit: async (reign, forkLsn) => {
        const atUs = await lastCommitUs(links, reign, forkLsn, runtime);
        return atUs === null ? null : { atUs, aheadUs: this.primaryAheadUs };
      },
      lackedOf: (of) => this.branches.lackedOf(this.view.lastReport(of)?.branches ?? []),
      pull: (from) => pulls.say(from),
      seal: (of, reign) => sealOldRegion({ connection: options.nats, cluster, region: of, reign }),
    });
    this.watch = new FailoverWatch({
      region,
      lease,
      view: this.view,
      sight: this.sight,
      challenger: this.challenger,
      moves: this.moves,
      me: () => this.survivor(),
      redoHeardMsAgo: () => this.receiving?.heardMsAgo ?? null,
      isConnected: () => options.nats.connected,
      runtime,
      log,
    });
    this.retention = new Retention({
      ...options,
      config: options.retention,
      view: this.view,
      me: () => this.survivor().held,
      lags: () => this.shipping?.run.lag() ?? [],
      branches: () => this.branches.needs,
      looked: (reading) => this.looked(reading),
      // Before a secondary has joined nobody has looked.
      isSearching: () =>
        this.orphans.isLooking || (this.shipping === null && this.orphans.lookedUnder === null),
    });
    this.heartbeats = new Heartbeats({
      ...options,
      sight: this.sight,
      lags: () => this.shipping?.run.lag() ?? null,
      ageMs: () => this.replicaAgeMs,
    });
  }

  start(): void {
    const { cluster, region, store, nats, links, runtime, log } = this.options;
    const subjects = subjectsOf(cluster);
    const timers: readonly Timer[] = [
      runtime.every(reportLimits.reportMs, () => this.report()),
      runtime.every(agentTimes.nodesEveryMs, () => void this.pollNodes()),
      runtime.every(agentTimes.lagSaveMs, () => noteLags(this.options, this.shipping?.run, this.receiving)),
    ];
    this.stops.push(
      ...timers.map((timer) => () => timer.stop()),
      store.watch((reading) => {
        const nowMs = runtime.nowMs();
        if (reading.kind === 'record') this.control.read(reading.view.seq, nowMs);
        else if (reading.kind === 'absent') this.control.read(0, nowMs);
        else this.control.unreadable(reading.reason, nowMs);
        this.looked(reading);
      }),
      nats.subscribe(subjects.allReports, (message) => {
        const report = this.reader.read(Buffer.from(message.data).toString('utf8'));
        if (report !== null) this.heard(report);
      }),
      nats.subscribe(subjects.ack(region), (message) => {
        if (this.branches.acked(message.data)) return;
        this.shipping?.run.acked(message.data);
        this.lending.acked(message.data);
      }),
      nats.subscribe(subjects.pull(region), (message) => {
        const wish = decodePull(message.data);
        if (wish.kind === 'ok') this.lending.asked(wish.value);
      }),
    );
    this.stops.push(
      serveSeals({
        connection: nats,
        cluster,
        region,
        nodes: links,
        onSealed: (reign, outcome) =>
          log.warn({ reign, outcome }, 'another region has asked to seal the nodes here against a reign'),
        runtime,
      }),
    );
    this.watch.start();
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const stop of this.stops) stop();
    this.watch.close();
    this.heartbeats.close();
    this.retention.close();
    this.moves.close();
    this.lending.close();
    this.replacement.close();
    this.rewinds.close();
    this.receiving?.close();
    this.branches.close();
    this.orphans.close();
    await this.shipping?.run.close();
  }

  /** How often the lane to each secondary has stood still since this process started. */
  get stalls(): ReadonlyMap<RegionId, number> {
    return this.lanes.stalls;
  }

  /** Lanes to the secondaries; none elsewhere than in the primary. */
  get windows(): readonly LaneWindow[] {
    return this.shipping?.run.windows() ?? [];
  }

  /** What keeps this agent from doing its work, in words for an operator; null when nothing does. */
  get unready(): string | null {
    const { view, problem } = this.sight;
    if (problem !== null && (view === null || problem.kind !== 'unavailable'))
      return describeReading(problem, this.nodes.highestEpoch).reason;
    if (this.trouble !== null) return this.trouble;
    if (view === null) return 'the control record has not been read yet';
    if (!isMember(view.record, this.options.region)) return notMemberReason(this.options.region);
    return this.view.stallReason(this.options.region, this.options.runtime.nowMs());
  }

  /** Which region could take over now, as far as this agent knows. */
  get readiness(): Readiness {
    const { view, options } = this;
    const [{ problem }, { highestEpoch }] = [this.sight, this.nodes];
    return readinessOf({ view, regions: view.regions, problem, highestEpoch }, options.runtime.nowMs());
  }

  /** What is wrong with NATS as this agent sees it; null while nothing is. */
  get trouble(): string | null {
    return this.control.trouble(this.options.runtime.nowMs());
  }

  /** How the region stands, as this agent tells everybody. */
  get standing(): RegionReport {
    const { region, addresses, losses, runtime } = this.options;
    return standingOf({
      region,
      addresses,
      survivor: this.survivor(),
      nodes: this.nodes,
      receiving: this.receiving,
      lags: this.shipping?.run.lag() ?? [],
      retention: this.retention.report,
      branches: this.branches.report,
      backup: this.options.backup?.report ?? null,
      lossEpochs: losses.epochs,
      failovers: this.moves.failovers,
      trouble: this.trouble ?? this.options.natsTrouble?.() ?? null,
      took: this.stopwatch.took,
      watch: this.watch,
      sentAtMs: Math.floor(runtime.wallUs() / 1_000),
    });
  }

  /** Whether this region's agent ships, as the primary's does. */
  get isPrimary(): boolean {
    return this.shipping !== null;
  }

  /** See `ageOf`; null in the primary. */
  get replicaAgeMs(): number | null {
    const { region, lags, runtime } = this.options;
    if (this.receiving === null) return null;
    return ageOf(this.receiving.levelMsAgo, lags.memory[region], runtime.wallUs());
  }

  /** See `survivorOf`. */
  survivor(): Survivor {
    const { shipping, receiving, nodes, primaryVdl } = this;
    const ships = shipping === null ? null : { epoch: shipping.epoch, vdl: primaryVdl };
    return survivorOf({ region: this.options.region, ships, receiving, nodes });
  }

  /** Every other region of the deployment, as the control record has it. */
  private get others(): readonly RegionId[] {
    return this.view.regions.filter((name) => name !== this.options.region);
  }

  /** Whose agents are heard: their NATS servers are joined with this region's. */
  neighbours(): Neighbours {
    return neighboursOf(this.view, this.others, this.options.runtime.nowMs());
  }

  /** Takes in what a look at the control record brought, whoever looked. */
  looked(reading: ControlReading): void {
    if (this.closed) return;
    const { runtime, log, onReading } = this.options;
    const before = this.sight.view?.record;
    const problem = this.sight.problem;
    if (this.sight.saw(reading, runtime.nowMs()) && reading.kind === 'record') this.saw(reading.view, before);
    else if (reading.kind !== 'record' && JSON.stringify(problem) !== JSON.stringify(reading)) {
      const { code, reason } = describeReading(reading, this.nodes.highestEpoch);
      log.warn({ code, reason }, 'the control record cannot be read');
    }
    onReading(reading);
  }

  /** Answers a request from a gateway, or from the agent's own HTTP. */
  serve(request: AgentRequest): Promise<AgentReply> {
    const { options, view, sight, nodes, branches, moves, lookedFor, replacement, rewinds } = this;
    const known = { options, view, sight, nodes, branches, moves, lookedFor, replacement, rewinds };
    const parts = answerParts({
      ...known,
      me: () => this.survivor(),
      poll: () => this.pollNodes(),
      looked: (reading) => this.looked(reading),
      noRecord: (reason) => this.noRecord(reason),
    });
    return answerRequest(request, { ...options, ...parts });
  }

  /** Says that the control record cannot be read or changed, and what to do. */
  noRecord(reason: string): string {
    return noRecord(reason, this.sight.lastSeen(this.options.runtime.nowMs()), this.neighbours());
  }

  private heard(report: Report): void {
    const { region, runtime } = this.options;
    const nowMs = runtime.nowMs();
    if (!this.view.knows(report, nowMs)) this.pace.greet();
    this.view.heard(report, nowMs);
    if (report.kind === 'region') this.heartbeats.heard(report);
    if (report.kind !== 'gateway') return;
    const { phase, epoch } = report;
    this.control.heard(phase, nowMs);
    if (report.region === region && phase === 'writing' && epoch !== null) this.stopwatch.wrote(epoch, nowMs);
    if (this.moves.isMoving) this.moves.look();
  }

  private saw(view: ControlView, before: ControlView['record'] | undefined): void {
    const { region, runtime, log } = this.options;
    this.challenger.saw(view.seq, runtime.nowMs());
    this.view.saw(view.record);
    this.stopwatch.saw(view.record, runtime.nowMs());
    const { epoch, primary } = view.record;
    if (this.moves.isMoving) this.moves.look();
    const wasMember = before !== undefined && isMember(before, region);
    if (!isMember(view.record, region)) {
      if (wasMember) this.leave();
      return;
    }
    this.shipping?.run.shipTo(this.others);
    this.branches.saw(view.record);
    if (before?.epoch === epoch && before.primary === primary && wasMember) return;
    log.info({ epoch, primary }, 'a new reign');
    if (primary === region) void this.becomePrimary(epoch);
    else this.becomeSecondary();
  }

  /** R55: this region has gone, or has yet to come. It does nothing until the record names it. */
  private leave(): void {
    const { region, log } = this.options;
    log.warn({ region }, 'this region is none of the deployment: it neither ships nor receives');
    this.reignSought = null;
    void this.shipping?.run.close();
    this.shipping = null;
    this.receiving?.close();
    this.receiving = null;
    this.branches.close();
  }

  /** Ships the reign's path once this region's nodes know it: its writer has recovered by then. */
  private async becomePrimary(reign: Epoch): Promise<void> {
    const { region, links, lags, runtime, log } = this.options;
    this.reignSought = reign;
    this.primaryAheadUs = this.receiving?.clockAheadUs ?? this.primaryAheadUs;
    this.receiving?.close();
    this.receiving = null;
    lags.keepOnly(this.others);
    // Before the first writer there is nothing to ship.
    if (reign === genesisEpoch) return;
    const isOver = (): boolean => this.closed || this.reignSought !== reign;
    const found = await findReign(links, reign, isOver, runtime);
    if (found === null) return;
    await this.shipping?.run.close();
    // Closing takes a moment, in which the region may have been deposed.
    if (isOver()) return;
    const { vdl, forks } = found;
    this.primaryVdl = vdl;
    this.nodes.follows(reign, forks);
    const heard = this.view.survivors(runtime.nowMs(), Number.POSITIVE_INFINITY);
    const held = { epoch: reign, vdl, forks };
    const remembered = positionsOf(lags.memory, held, heard, runtime.wallUs());
    this.shipping = {
      epoch: reign,
      run: this.lanes.ship({ from: region, secondaries: this.others, remembered }, found),
    };
    log.info({ epoch: reign, vdl }, 'ships');
  }

  private becomeSecondary(): void {
    const { region, nats, lags } = this.options;
    this.reignSought = null;
    void this.shipping?.run.close();
    this.shipping = null;
    lags.keepOnly([region]);
    this.receiving ??= this.lanes.receive({
      connection: nats,
      onOther: (branch, bytes) => this.branches.arrived(branch, bytes),
      onJoined: (outcome) => {
        this.nodes.follows(outcome.head, outcome.forks);
        return this.orphans.search(outcome);
      },
    });
  }

  /** What may be lent: the path that this region follows. */
  private path(): { readonly from: RegionId; readonly reign: Reign } | null {
    const { held, followed } = this.survivor();
    if (this.shipping !== null || held === null || held.forks.length === 0) return null;
    const from = followed ?? this.sight.view?.record.primary;
    const reign = { head: held.epoch, forks: held.forks, vdl: held.vdl };
    return from === undefined ? null : { from, reign };
  }

  /**
   * The newest epoch this agent knows of, and that under which it has looked for lost writes. A primary holds the newest
   * history of `main` itself and has nothing left behind of that but what it found when it joined an older path.
   */
  private get lookedFor(): AnswerParts['lookedFor'] {
    const record = this.sight.view?.record;
    const epoch = Math.max(record?.epoch ?? 0, this.receiving?.position.head ?? 0);
    const done = record?.primary === this.options.region && !this.orphans.isLooking;
    const lookedUnder = done ? epoch : (this.orphans.lookedUnder ?? 0);
    return { epoch, lookedUnder, branchesToLook: [...this.branches.toLook] };
  }

  private report(): void {
    const { cluster, region, nats, runtime } = this.options;
    const report: Report = { kind: 'region', ...this.standing };
    const nowMs = runtime.nowMs();
    this.view.heard(report, nowMs);
    const text = this.pace.next(report, nowMs);
    if (text !== null) nats.publish(subjectsOf(cluster).report(region), Buffer.from(text));
  }

  private async pollNodes(): Promise<void> {
    const { head, vdl } = await this.nodes.poll();
    if (this.closed) return;
    this.replacement.look(this.nodes.behind);
    this.branches.look();
    const { position } = this.receiving ?? {};
    if (position !== undefined) this.lending.durable(position.head, position.vdl);
    if (this.shipping === null || this.shipping.epoch !== head) return;
    this.primaryVdl = lsn(Math.max(this.primaryVdl, vdl));
    this.shipping.run.durable(this.primaryVdl);
  }
}
