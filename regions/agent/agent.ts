/**
 * The agent of one region: ships when its region is primary, receives when it is not, tells everybody how the region
 * is, and runs the moves that make it primary. It needs no gateway to do so.
 */

import {
  type DirectoryLock,
  type Epoch,
  every,
  genesisEpoch,
  heldMessage,
  lockDirectory,
  lsn,
  monotonicMs,
  type Recovered,
  type RecoveryGoal,
  RegionClient,
  type RegionId,
  runRecovery,
  wallUs,
  zeroLsn,
} from '../../storage/index.ts';
import { type Logger, RateLimit, type Telemetry } from '../../telemetry/index.ts';
import { parseJson, subjectsOf } from '../bus/core/messages.ts';
import { type NatsConnection, openNatsConnection } from '../bus/nats-connection.ts';
import { ControlLeader } from '../control/control-leader.ts';
import { type JetStreamControlStore, openControlStore } from '../control/control-store.ts';
import { ControlHealth } from '../control/core/control-health.ts';
import type { ControlReading, ControlView } from '../control/core/control-port.ts';
import { ControlSight } from '../control/core/control-sight.ts';
import { leaderPlacementLimits } from '../control/core/leader-placement.ts';
import { ChallengerTimer, defaultLeaseLimits } from '../control/core/lease.ts';
import { describeReading, type Neighbours } from '../control/core/record-claims.ts';
import type { Survivor } from '../control/core/survivors.ts';
import { type AgentReply, type AgentRequest, agentRequestSchema } from '../moves/core/operations.ts';
import { LossStore } from '../moves/loss-store.ts';
import { Moves } from '../moves/moves.ts';
import { OrphanSearch } from '../moves/orphan-search.ts';
import { serveSeals } from '../moves/seal-old-region.ts';
import type { RebuildReply, RebuildRequest } from '../rebuild/core/rebuild-request.ts';
import { makeFirstRecord } from '../rebuild/first-record.ts';
import { type RebuildRefused, rebuildControl } from '../rebuild/rebuild.ts';
import { LagStore } from '../replication/lag-store.ts';
import { openRegionReceiver, Receiving } from '../replication/receiving.ts';
import { findReign } from '../replication/reign.ts';
import { Shipping } from '../replication/shipping.ts';
import { ClusterView, type RegionReport, reportSchema } from '../status/core/report.ts';
import { reportLimits } from '../status/core/report-limits.ts';
import { RegionNodes } from '../status/region-nodes.ts';
import type { AgentConfig } from './config.ts';
import { standingOf } from './standing.ts';

const statusEveryMs = 500;
const lagSaveMs = 1_000;
/** Within this time a look at the control record that failed is told: a poll and a read. */
const lookMs = 2_500;
const recoverTimeoutMs = 15_000;
const troubleEveryMs = 60_000;

export interface AgentOptions {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly telemetry: Telemetry;
}

/** An agent that cannot start; the message says what to do about it. */
export class AgentStartError extends Error {
  override readonly name = 'AgentStartError';
}

/** One region's agent, running. */
export class Agent {
  readonly view: ClusterView;
  private readonly config: AgentConfig;
  private readonly log: Logger;
  private readonly telemetry: Telemetry;
  private readonly nats: NatsConnection;
  private readonly store: JetStreamControlStore;
  private readonly region: RegionClient;
  private readonly losses: LossStore;
  private readonly lock: DirectoryLock;
  private readonly lags: LagStore;
  private readonly nodes: RegionNodes;
  private readonly sight = new ControlSight(lookMs);
  private readonly orphans: OrphanSearch;
  private readonly moves: Moves;
  private readonly controlLeader: ControlLeader;
  private readonly control = new ControlHealth(monotonicMs());
  private readonly troubleLimit = new RateLimit(troubleEveryMs, monotonicMs);
  private readonly challenger = new ChallengerTimer(defaultLeaseLimits);
  private readonly stops: (() => void)[] = [];
  /** How often the lane to each secondary has stood still since this process started. */
  readonly stalls = new Map<RegionId, number>();
  private shipping: { readonly epoch: Epoch; readonly run: Shipping } | null = null;
  private receiving: Receiving | null = null;
  private reignSought: Epoch | null = null;
  private primaryVdl = zeroLsn;
  private bootstrapping = false;
  private troubled = false;
  private closed = false;

  private constructor(options: AgentOptions, losses: LossStore, lags: LagStore, lock: DirectoryLock) {
    const { config, log, telemetry } = options;
    this.lock = lock;
    this.config = config;
    this.log = log;
    this.telemetry = telemetry;
    this.losses = losses;
    this.lags = lags;
    this.view = new ClusterView(config.cluster, config.regions);
    this.nats = this.connect('control');
    this.store = openControlStore({
      connection: this.nats,
      cluster: config.cluster,
      replicas: config.nats.replicas ?? null,
    });
    this.region = new RegionClient({ ...config, log });
    this.nodes = new RegionNodes(config.nodes, this.region);
    this.orphans = new OrphanSearch({ region: this.region, losses, log });
    this.controlLeader = new ControlLeader({
      connection: this.nats,
      cluster: config.cluster,
      region: config.region,
      regions: config.regions,
      record: () => (this.sight.problem === null ? (this.sight.view?.record ?? null) : null),
      log,
    });
    this.moves = new Moves({
      region: config.region,
      store: this.store,
      view: this.view,
      challenger: this.challenger,
      sight: this.sight,
      looked: (reading) => this.looked(reading),
      me: () => this.survivor(),
      following: () => this.receiving?.following ?? false,
      neighbours: () => this.neighbours(),
      highestEpoch: () => this.nodes.highestEpoch,
      forkOf: (reign) => this.nodes.forksTo(reign).at(-1)?.forkLsn ?? null,
      log,
    });
  }

  /** @throws AgentStartError when the data directory is another process's, or cannot be used. */
  static async start(options: AgentOptions): Promise<Agent> {
    const { dataDir, region } = options.config;
    const locked = await lockDirectory(dataDir, `agent of ${region}`);
    if (locked.kind === 'failed')
      throw new AgentStartError(`dataDir ${dataDir} cannot be locked: ${locked.reason}`);
    if (locked.kind === 'held') throw new AgentStartError(`dataDir ${heldMessage(dataDir, locked.holder)}`);
    const losses = await LossStore.open(dataDir, options.log);
    const lags = await LagStore.open(dataDir, options.log);
    const agent = new Agent(options, losses, lags, locked.lock);
    agent.run();
    return agent;
  }

  /** What keeps this agent from doing its work, in words for an operator; null when nothing does. */
  get unready(): string | null {
    const { view, problem } = this.sight;
    if (!this.nats.connected) return `not connected to NATS (${this.config.nats.servers.join(', ')})`;
    if (problem !== null && (view === null || problem.kind !== 'unavailable'))
      return describeReading(problem, this.nodes.highestEpoch).reason;
    if (this.trouble !== null) return this.trouble;
    if (view === null) return 'the control record has not been read yet';
    return this.view.stallReason(this.config.region, monotonicMs());
  }

  private get trouble(): string | null {
    return this.control.trouble(monotonicMs());
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const stop of this.stops) stop();
    this.receiving?.close();
    this.orphans.close();
    await this.shipping?.run.close();
    this.store.close();
    this.region.close();
    await this.nats.close();
    this.lock.release();
  }

  private connect(purpose: string): NatsConnection {
    const { nats, region } = this.config;
    return openNatsConnection({
      servers: nats.servers,
      token: nats.token,
      name: `agent-${region}-${purpose}`,
      onStatus: (status) => {
        if (status.kind === 'unanswerable')
          this.log.warn(status, 'passed over a NATS message that names no subject for its answer');
      },
    });
  }

  private run(): void {
    const subjects = subjectsOf(this.config.cluster);
    this.stops.push(
      this.store.watch((reading) => {
        const nowMs = monotonicMs();
        if (reading.kind === 'record') this.control.read(reading.view.seq, nowMs);
        else if (reading.kind === 'absent') this.control.read(0, nowMs);
        else this.control.unreadable(reading.reason, nowMs);
        this.looked(reading);
        if (reading.kind === 'absent') void this.bootstrap();
      }),
      this.nats.subscribe(subjects.allReports, (message) => {
        const report = parseJson(reportSchema, Buffer.from(message.data).toString('utf8'));
        if (report.kind !== 'ok') return;
        this.view.heard(report.value, monotonicMs());
        if (report.value.kind === 'gateway') this.control.heard(report.value.phase, monotonicMs());
      }),
      this.nats.subscribe(subjects.ack(this.config.region), (message) =>
        this.shipping?.run.acked(message.data),
      ),
      this.nats.subscribe(subjects.agent(this.config.region), (message) => {
        // Asking for a move and not for its outcome is a mistake: nobody would learn that it was refused.
        if (!message.wantsAnswer) return message.passOver();
        void this.answer(Buffer.from(message.data).toString('utf8')).then((reply) =>
          message.respond(Buffer.from(JSON.stringify(reply))),
        );
      }),
      serveSeals({
        connection: this.nats,
        cluster: this.config.cluster,
        region: this.config.region,
        nodes: this.region,
        onSealed: (reign, outcome) =>
          this.log.warn(
            { reign, outcome },
            'another region has asked to seal the nodes here against a reign',
          ),
      }),
      every(reportLimits.reportMs, () => this.report()),
      every(statusEveryMs, () => void this.pollNodes()),
      every(leaderPlacementLimits.lookEveryMs, () => void this.controlLeader.look()),
      every(lagSaveMs, () => {
        if (this.shipping !== null) this.lags.note(this.shipping.run.lag(), wallUs());
      }),
    );
  }

  private async bootstrap(): Promise<void> {
    const { config, nodes, view, store, replicas, log } = this;
    if (config.region !== config.regions[0] || this.bootstrapping) return;
    this.bootstrapping = true;
    await makeFirstRecord({
      region: config.region,
      replicas,
      nodes,
      view,
      store,
      isOver: () => this.closed || this.sight.view !== null,
      looked: (reading) => this.looked(reading),
      log,
    });
    this.bootstrapping = false;
  }

  /** Takes in what a look at the control record brought, whoever looked. */
  private looked(reading: ControlReading): void {
    if (this.closed) return;
    const before = this.sight.view?.record;
    const problem = this.sight.problem;
    if (this.sight.saw(reading, monotonicMs()) && reading.kind === 'record') this.saw(reading.view, before);
    else if (reading.kind !== 'record' && JSON.stringify(problem) !== JSON.stringify(reading)) {
      const { code, reason } = describeReading(reading, this.nodes.highestEpoch);
      this.log.warn({ code, reason }, 'the control record cannot be read');
    }
  }

  private saw(view: ControlView, before: ControlView['record'] | undefined): void {
    this.challenger.saw(view.seq, monotonicMs());
    this.view.saw(view.record);
    const { epoch, primary } = view.record;
    if (before?.epoch === epoch && before.primary === primary) return;
    this.log.info({ epoch, primary }, 'a new reign');
    if (primary === this.config.region) void this.becomePrimary(epoch);
    else this.becomeSecondary();
  }

  /** Ships the reign's path once this region's nodes know it: its writer has recovered by then. */
  private async becomePrimary(reign: Epoch): Promise<void> {
    this.reignSought = reign;
    this.receiving?.close();
    this.receiving = null;
    // Before the first writer there is nothing to ship.
    if (reign === genesisEpoch) return;
    const isOver = (): boolean => this.closed || this.reignSought !== reign;
    const found = await findReign(this.region, reign, isOver);
    if (found === null) return;
    await this.shipping?.run.close();
    // Closing takes a moment, in which the region may have been deposed.
    if (isOver()) return;
    const { vdl, forks } = found;
    this.primaryVdl = vdl;
    this.nodes.follows(reign, forks);
    const { cluster, region, regions } = this.config;
    const run = new Shipping(
      {
        cluster,
        from: region,
        secondaries: regions.filter((name) => name !== region),
        region: this.region,
        connect: (purpose) => this.connect(purpose),
        onStalled: (to) => this.stalls.set(to, (this.stalls.get(to) ?? 0) + 1),
        remembered: this.lags.memory,
        log: this.log,
      },
      found,
    );
    this.shipping = { epoch: reign, run };
    this.log.info({ epoch: reign, vdl }, 'ships');
  }

  private becomeSecondary(): void {
    this.reignSought = null;
    void this.shipping?.run.close();
    this.shipping = null;
    this.lags.forget();
    if (this.receiving !== null) return;
    const { cluster, region } = this.config;
    this.receiving = new Receiving({
      cluster,
      region,
      connection: this.nats,
      recover: (goal) => this.recover(goal),
      openReceiver: (at, on) => openRegionReceiver(this.region, at, on),
      onJoined: (outcome) => {
        this.nodes.follows(outcome.head, outcome.forks);
        this.orphans.search(outcome);
      },
      telemetry: this.telemetry,
      log: this.log,
    });
  }

  private async recover(goal: RecoveryGoal): Promise<Recovered | null> {
    const outcome = await runRecovery(this.region, goal, { timeoutMs: recoverTimeoutMs });
    if (outcome.kind === 'recovered') return outcome.outcome;
    this.log.warn({ outcome, epoch: goal.epoch }, 'could not join the path of the primary; tries again');
    return null;
  }

  /** Where this region stands: by its shipping or its receiving, and while it does neither by what its nodes say. */
  private survivor(): Survivor {
    const { receiving, shipping, nodes } = this;
    const region = this.config.region;
    const at = receiving?.position;
    const primaryVdl = receiving !== null && receiving.primary !== null ? receiving.primaryVdl : null;
    const found = { region, heardMsAgo: 0, followed: receiving?.primary ?? null, primaryVdl };
    if (shipping !== null) {
      const { epoch } = shipping;
      const held = { epoch, vdl: this.primaryVdl, forks: nodes.forksTo(epoch) };
      return { ...found, held, followed: region, primaryVdl: this.primaryVdl };
    }
    if (at === undefined || at.head === genesisEpoch) return { ...found, held: nodes.held };
    return { ...found, held: { epoch: at.head, vdl: at.vdl, forks: nodes.forksTo(at.head) } };
  }

  /** Whose agents are heard: their NATS servers are joined with this region's. */
  private neighbours(): Neighbours {
    const others = this.config.regions.filter((name) => name !== this.config.region);
    const heard = (name: RegionId): boolean => this.view.region(name, monotonicMs()) !== null;
    return { heard: others.filter(heard), silent: others.filter((name) => !heard(name)) };
  }

  private async answer(text: string): Promise<AgentReply> {
    const request = parseJson(agentRequestSchema, text);
    if (request.kind === 'malformed')
      return { kind: 'refused', code: 'BAD_REQUEST', message: request.reason };
    return this.serve(request.value);
  }

  /** Answers a request from a gateway, or from this agent's own HTTP. */
  async serve(request: AgentRequest): Promise<AgentReply> {
    switch (request.kind) {
      case 'switchover':
      case 'failover': {
        const { region } = this.config;
        if (request.target !== region) {
          return {
            kind: 'refused',
            code: 'OTHER_REGION',
            message: `a move to ${request.target} is run by the agent of ${request.target}; this is ${region}`,
          };
        }
        const begun =
          request.kind === 'switchover'
            ? await this.moves.switchover()
            : await this.moves.failover({
                allowDataLoss: request.allowDataLoss,
                sacrifice: this.config.regions.filter((name) => request.sacrifice?.includes(name) ?? false),
              });
        return 'id' in begun ? { kind: 'operation', operation: begun } : { kind: 'refused', ...begun };
      }
      case 'operation': {
        const operation = this.moves.get(request.id);
        if (operation !== null) return { kind: 'operation', operation };
        return {
          kind: 'refused',
          code: 'UNKNOWN_OPERATION',
          message: `no operation ${request.id} since this agent started`,
        };
      }
      case 'losses':
        return { kind: 'losses', reports: [...this.losses.all], ...this.lookedFor };
    }
  }

  /** Makes a lost control record anew, on an operator's word; refused while it can be read. */
  rebuild(request: RebuildRequest): Promise<RebuildReply | RebuildRefused> {
    const { regions } = this.config;
    const { store, sight, view, log } = this;
    return rebuildControl(request, {
      regions,
      replicas: this.replicas,
      store,
      sight,
      view,
      me: () => this.survivor(),
      highestEpoch: () => this.nodes.highestEpoch,
      neighbours: () => this.neighbours(),
      looked: (reading) => this.looked(reading),
      log,
    });
  }

  /** Copies of the bucket in which the control record lies. */
  private get replicas(): number {
    const { nats, regions } = this.config;
    return nats.replicas ?? (regions.length === 1 ? 1 : 3);
  }

  /**
   * The newest epoch this agent knows of, and that under which it has looked for lost writes. A primary holds the newest
   * history itself and has nothing left behind but what it found when it joined an older path.
   */
  private get lookedFor(): { readonly epoch: number; readonly lookedUnder: number } {
    const record = this.sight.view?.record;
    const epoch = Math.max(record?.epoch ?? 0, this.receiving?.position.head ?? 0);
    const done = record?.primary === this.config.region && !this.orphans.isLooking;
    return { epoch, lookedUnder: done ? epoch : (this.orphans.lookedUnder ?? 0) };
  }

  /** How the region stands, as this agent tells everybody. */
  get standing(): RegionReport {
    const { config, receiving, nodes, trouble } = this;
    return standingOf({
      config,
      survivor: this.survivor(),
      nodes,
      receiving,
      lags: this.shipping?.run.lag() ?? [],
      lossEpochs: this.losses.epochs,
      trouble,
    });
  }

  /** Whether this region's agent ships, as the primary's does. */
  get isPrimary(): boolean {
    return this.shipping !== null;
  }

  private report(): void {
    const report = this.standing;
    this.tellTrouble(report.trouble);
    this.view.heard({ kind: 'region', ...report }, monotonicMs());
    this.nats.publish(
      subjectsOf(this.config.cluster).report(this.config.region),
      Buffer.from(JSON.stringify({ kind: 'region', ...report })),
    );
  }

  private tellTrouble(trouble: string | undefined): void {
    if (trouble !== undefined && this.troubleLimit.pass() !== null)
      this.log.error({ trouble }, 'NATS does not keep the control record');
    if (trouble === undefined && this.troubled) this.log.info('NATS keeps the control record again');
    this.troubled = trouble !== undefined;
  }

  private async pollNodes(): Promise<void> {
    const { head, vdl } = await this.nodes.poll();
    if (this.shipping === null || this.shipping.epoch !== head) return;
    this.primaryVdl = lsn(Math.max(this.primaryVdl, vdl));
    this.shipping.run.durable(this.primaryVdl);
  }
}
