/**
 * The agent of one region: ships when its region is primary, receives when it is not, tells everybody how the region
 * is, and runs the moves that make it primary. It needs no gateway to do so.
 */
import { type Epoch, genesisEpoch, lsn, mainBranch, type RegionId, zeroLsn } from '../../storage/core/ids.ts';
import type { StatusReply } from '../../storage/core/messages.ts';
import type { Recovered, RecoveryGoal } from '../../storage/core/recovery.ts';
import { type DirectoryLock, heldMessage, lockDirectory } from '../../storage/shell/directory-lock.ts';
import { ReceiverDriver, RegionClient, runRecovery } from '../../storage/shell/index.ts';
import type { Logger, Telemetry } from '../../telemetry/index.ts';
import { RateLimit } from '../../telemetry/rate-limit.ts';
import { ControlHealth } from '../core/control-health.ts';
import type { ControlView } from '../core/control-port.ts';
import { ChallengerTimer, defaultLeaseLimits } from '../core/lease.ts';
import { shippingLimits } from '../core/limits.ts';
import { parseJson, subjectsOf } from '../core/messages.ts';
import { type AgentReply, type AgentRequest, agentRequestSchema } from '../core/operations.ts';
import { ClusterView, type NodeReport, type RegionReport, reportSchema } from '../core/report.ts';
import { monotonicMs } from './clock.ts';
import type { AgentConfig } from './config.ts';
import { type JetStreamControlStore, openControlStore } from './control-store.ts';
import { LossStore } from './loss-store.ts';
import { Moves } from './moves.ts';
import { type NatsConnection, openNatsConnection } from './nats-connection.ts';
import { OrphanSearch } from './orphan-search.ts';
import { Receiving } from './receiving.ts';
import { RegionFetch } from './region-fetch.ts';
import { Shipping } from './shipping.ts';

const statusEveryMs = 500;
const statusTimeoutMs = 400;
const reignRetryMs = 100;
const recoverTimeoutMs = 15_000;
const troubleEveryMs = 60_000;
const readWarnEveryMs = 10_000;

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
  private readonly orphans: OrphanSearch;
  private readonly moves: Moves;
  private readonly control = new ControlHealth(monotonicMs());
  private readonly readLimit = new RateLimit(readWarnEveryMs, monotonicMs);
  private readonly troubleLimit = new RateLimit(troubleEveryMs, monotonicMs);
  private readonly challenger = new ChallengerTimer(defaultLeaseLimits);
  private readonly stops: (() => void)[] = [];
  /** How often the lane to each secondary has stood still since this process started. */
  readonly stalls = new Map<RegionId, number>();
  private current: ControlView | null = null;
  private shipping: { readonly epoch: Epoch; readonly run: Shipping } | null = null;
  private receiving: Receiving | null = null;
  private reignSought: Epoch | null = null;
  private nodes: readonly NodeReport[] = [];
  private primaryVdl = zeroLsn;
  private bootstrapping = false;
  private troubled = false;
  private closed = false;

  private constructor(options: AgentOptions, losses: LossStore, lock: DirectoryLock) {
    const { config, log, telemetry } = options;
    this.lock = lock;
    this.config = config;
    this.log = log;
    this.telemetry = telemetry;
    this.losses = losses;
    this.view = new ClusterView(config.cluster, config.regions);
    this.nats = this.connect('control');
    this.store = openControlStore({
      connection: this.nats,
      cluster: config.cluster,
      replicas: config.nats.replicas ?? null,
    });
    this.region = new RegionClient({ ...config, log });
    this.orphans = new OrphanSearch({ region: this.region, losses, log });
    this.moves = new Moves({
      region: config.region,
      store: this.store,
      view: this.view,
      challenger: this.challenger,
      current: () => this.current,
      position: () => this.position(),
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
    const agent = new Agent(options, losses, locked.lock);
    agent.run();
    return agent;
  }

  /** What keeps this agent from doing its work, in words for an operator; null when nothing does. */
  get unready(): string | null {
    if (!this.nats.connected) return 'there is no connection to NATS';
    if (this.trouble !== null) return this.trouble;
    if (this.current === null) return 'the control record has not been read yet';
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
        if (reading.kind === 'record') this.saw(reading.view);
        else if (reading.kind === 'absent') void this.bootstrap();
        else if (this.readLimit.pass() !== null)
          this.log.warn({ reading }, 'the control record cannot be read');
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
        const reply = this.answer(Buffer.from(message.data).toString('utf8'));
        message.respond(Buffer.from(JSON.stringify(reply)));
      }),
      every(shippingLimits.reportMs, () => this.report()),
      every(statusEveryMs, () => void this.pollNodes()),
    );
  }

  /**
   * Creates the control record of a new deployment. Only the first region's agent does, and only while all six of its
   * nodes are there and empty: an absent record beside existing data is a lost one, and must not start again at nothing.
   */
  private async bootstrap(): Promise<void> {
    const { config, log } = this;
    if (config.region !== config.regions[0] || this.bootstrapping) return;
    this.bootstrapping = true;
    while (!this.closed && this.current === null) {
      const heads = await Promise.all(
        config.nodes.map((node) => this.region.request(node.node, { kind: 'status' }, statusTimeoutMs)),
      );
      const known = heads.flatMap((reply) => (reply.kind === 'status' ? [reply.head] : []));
      if (known.length === config.nodes.length) {
        const replicas = config.nats.replicas ?? (config.regions.length === 1 ? 1 : 3);
        const highestLocalEpoch = known.reduce(
          (highest, head) => (head > highest ? head : highest),
          genesisEpoch,
        );
        const outcome = await this.store.bootstrap({ primary: config.region, replicas, highestLocalEpoch });
        if (outcome.kind === 'created' || outcome.kind === 'exists') this.saw(outcome.view);
        else log.error({ outcome }, 'the control record could not be created');
        if (outcome.kind === 'refused') break;
      }
      await new Promise((resolve) => setTimeout(resolve, statusEveryMs));
    }
    this.bootstrapping = false;
  }

  private saw(view: ControlView): void {
    if (this.closed || (this.current !== null && view.seq <= this.current.seq)) return;
    const before = this.current?.record;
    this.current = view;
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
    // Until the new writer's VDL is known, this region has what it had.
    if (this.receiving !== null) this.primaryVdl = this.receiving.position.vdl;
    this.receiving?.close();
    this.receiving = null;
    // Before the first writer there is nothing to ship.
    if (reign === genesisEpoch) return;
    const log = new RegionFetch(this.region, 0);
    while (!this.closed && this.reignSought === reign) {
      const reply = await log.fetch({
        kind: 'fetch',
        branch: mainBranch,
        head: reign,
        from: zeroLsn,
        bytesMax: 1,
        waitMs: 0,
        durableOnly: true,
        known: { head: genesisEpoch, vdl: zeroLsn },
      });
      if (reply === null) {
        await new Promise((resolve) => setTimeout(resolve, reignRetryMs));
        continue;
      }
      if (this.closed || this.reignSought !== reign) return;
      await this.shipping?.run.close();
      // Closing takes a moment, in which the region may have been deposed.
      if (this.closed || this.reignSought !== reign) return;
      this.primaryVdl = reply.vdl;
      const { cluster, region, regions } = this.config;
      const run = new Shipping(
        {
          cluster,
          from: region,
          secondaries: regions.filter((name) => name !== region),
          region: this.region,
          connect: (purpose) => this.connect(purpose),
          onStalled: (to) => this.stalls.set(to, (this.stalls.get(to) ?? 0) + 1),
          log: this.log,
        },
        { head: reign, forks: reply.forks, vdl: reply.vdl },
      );
      this.shipping = { epoch: reign, run };
      this.log.info({ epoch: reign, vdl: reply.vdl }, 'ships');
      return;
    }
  }

  private becomeSecondary(): void {
    this.reignSought = null;
    void this.shipping?.run.close();
    this.shipping = null;
    if (this.receiving !== null) return;
    const { cluster, region } = this.config;
    this.receiving = new Receiving({
      cluster,
      region,
      connection: this.nats,
      recover: (goal) => this.recover(goal),
      openReceiver: (at, on) =>
        new ReceiverDriver({
          region: this.region,
          authority: at.head,
          head: at.head,
          forks: at.forks,
          start: at.vdl,
          onDurable: on.durable,
          onFenced: (by) => on.lost(`epoch ${by} has sealed the nodes`),
          onQuorumLost: (reason) => on.lost(reason),
        }),
      onJoined: (outcome) => this.orphans.search(outcome),
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

  private position(): { readonly vdl: number; readonly primaryVdl: number; readonly following: boolean } {
    const { receiving } = this;
    if (receiving === null) return { vdl: this.primaryVdl, primaryVdl: this.primaryVdl, following: false };
    return { vdl: receiving.position.vdl, primaryVdl: receiving.primaryVdl, following: receiving.following };
  }

  private answer(text: string): AgentReply {
    const request = parseJson(agentRequestSchema, text);
    if (request.kind === 'malformed')
      return { kind: 'refused', code: 'BAD_REQUEST', message: request.reason };
    return this.serve(request.value);
  }

  /** Answers a request from a gateway, or from this agent's own HTTP. */
  serve(request: AgentRequest): AgentReply {
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
            ? this.moves.switchover()
            : this.moves.failover(request.allowDataLoss);
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
        return { kind: 'losses', reports: [...this.losses.all] };
    }
  }

  /** How the region stands, as this agent tells everybody. */
  get standing(): RegionReport {
    const { config, receiving, shipping, trouble } = this;
    const position = this.position();
    return {
      v: 1,
      region: config.region,
      agent: config.listen,
      gateway: config.gateways[0] ?? null,
      epoch: shipping?.epoch ?? receiving?.position.head ?? 0,
      vdl: position.vdl,
      following: position.following,
      primaryVdl: position.primaryVdl,
      nodes: [...this.nodes],
      stalledMs: Math.round(receiving?.stalledMs ?? 0),
      lag: (shipping?.run.lag() ?? []).map(({ region, lagBytes, lagMs, vdl, online, stalledMs }) => ({
        region,
        lagBytes,
        lagMs: Math.round(lagMs),
        vdl,
        online,
        stalledMs: Math.round(stalledMs),
      })),
      lossEpochs: [...this.losses.epochs],
      sentAtMs: Date.now(),
      ...(trouble !== null && { trouble }),
    };
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
    const answers = await Promise.all(
      this.config.nodes.map(async (node) => {
        const reply = await this.region.request(node.node, { kind: 'status' }, statusTimeoutMs);
        return { node, status: reply.kind === 'status' ? reply : null };
      }),
    );
    // A node that missed a reign may know of redo of an older one, far above where that was left.
    const head = answers.reduce((newest, { status }) => Math.max(newest, status?.head ?? 0), 0);
    const vdl = answers.reduce(
      (highest, { status }) => (status?.head === head ? Math.max(highest, status.vdl) : highest),
      0,
    );
    if (this.shipping !== null && this.shipping.epoch === head) {
      this.primaryVdl = lsn(Math.max(this.primaryVdl, vdl));
      this.shipping.run.durable(this.primaryVdl);
    }
    this.nodes = answers.map(({ node, status }) => nodeReport(node, status, vdl));
  }
}

function nodeReport(node: AgentConfig['nodes'][number], status: StatusReply | null, vdl: number): NodeReport {
  const state = status === null ? 'down' : status.scl < vdl ? 'behind' : 'up';
  return {
    id: node.node,
    az: node.az,
    state,
    scl: status?.scl ?? 0,
    pid: status?.pid ?? null,
    address: node.address,
    ...(status?.trouble !== undefined && { trouble: status.trouble }),
  };
}

function every(ms: number, run: () => void): () => void {
  const timer = setInterval(run, ms);
  return () => clearInterval(timer);
}
