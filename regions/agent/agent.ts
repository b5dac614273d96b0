/**
 * The agent of one region as a process: its data directory, its NATS connection, the control store in JetStream, the first
 * control record and a lost one made anew. What it does with them is `region-agent.ts`.
 */

import {
  type Credentials,
  type DirectoryLock,
  every,
  heldMessage,
  lockDirectory,
  machine,
  monotonicMs,
  probeNode,
  RegionClient,
  type RegionId,
  runRecovery,
} from '../../storage/index.ts';
import { type Logger, RateLimit, type Telemetry } from '../../telemetry/index.ts';
import { Backup } from '../backup/backup.ts';
import { openStore, storeBelow } from '../backup/object-store.ts';
import { type RestoredMarker, readMarker } from '../backup/restored-marker.ts';
import { findBranches } from '../branches/find-branches.ts';
import { parseJson, subjectsOf } from '../bus/core/messages.ts';
import { payloadProblem } from '../bus/core/payload-room.ts';
import { type NatsConnection, openNatsConnection } from '../bus/nats-connection.ts';
import { natsSecurity } from '../bus/nats-security.ts';
import { type JetStreamControlStore, openControlStore } from '../control/control-store.ts';
import { ControlCopiesWatch } from '../control/copies/control-copies-watch.ts';
import { ControlLeader } from '../control/copies/control-leader.ts';
import type { ControlCopies } from '../control/copies/core/control-copies.ts';
import { leaderPlacementLimits } from '../control/copies/core/leader-placement.ts';
import type { ControlReading } from '../control/core/control-port.ts';
import { policyOf } from '../control/core/control-record.ts';
import { defaultLeaseLimits } from '../control/core/lease.ts';
import type { Policy } from '../control/core/policy.ts';
import type { AgentConfig } from '../deploy/agent-config.ts';
import { type DetachedMark, readDetachedMark, removeDetachedMark } from '../membership/detached-mark.ts';
import {
  type AgentReply,
  type AgentRequest,
  agentRequestSchema,
  type Operation,
} from '../moves/core/operations.ts';
import { EndedMoves } from '../moves/ended-moves.ts';
import { LossStore } from '../moves/loss-store.ts';
import { OperationStore } from '../moves/operation-store.ts';
import type { Readiness } from '../readiness/core/readiness.ts';
import type { RebuildReply, RebuildRequest } from '../rebuild/core/rebuild-request.ts';
import { makeFirstRecord } from '../rebuild/first-record.ts';
import { type RebuildRefused, rebuildControl } from '../rebuild/rebuild.ts';
import { LagStore } from '../replication/lag-store.ts';
import { openRegionReceiver } from '../replication/receiving.ts';
import { retentionDefault } from '../retention/core/retention-limits.ts';
import type { ClusterView } from '../status/core/cluster-view.ts';
import type { RegionReport } from '../status/core/report.ts';
import { RegionAgent } from './region-agent.ts';

const recoverTimeoutMs = 15_000;
/** No lease hangs on an agent's changes of the record. From far each takes a round trip, and another one to see who was first. */
const writeTimeoutMs = 2_000;
const detachedAgainMs = 500;
const troubleLookMs = 500;
const troubleEveryMs = 60_000;

export interface AgentOptions {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  /** What it proves itself with, where the deployment is encrypted. Not owned. */
  readonly credentials?: Credentials | undefined;
}

/** An agent that cannot start; the message says what to do about it. */
export class AgentStartError extends Error {
  override readonly name = 'AgentStartError';
}

/** What only metrics tell of an agent. */
export interface AgentFigures extends Pick<RegionAgent, 'stalls' | 'windows'> {
  /** What was sent to each secondary since this process started, and the part of it that had been sent before; in bytes. */
  readonly shipped: ReadonlyMap<RegionId, { readonly bytes: number; readonly again: number }>;
  /** Null before the control record was read. */
  readonly policy: Policy | null;
  /** In the reports of this region. */
  readonly lostWrites: number;
  readonly regionsHeard: number;
  readonly natsConnected: boolean;
  readonly controlReadMsAgo: number | null;
  readonly copies: ControlCopies;
}

/** What it keeps on disk. */
interface Kept {
  readonly lock: DirectoryLock;
  readonly losses: LossStore;
  readonly lags: LagStore;
  readonly operations: OperationStore;
}

/** One region's agent, running. */
export class Agent {
  private readonly config: AgentConfig;
  private readonly log: Logger;
  private readonly credentials: Credentials | undefined;
  private readonly nats: NatsConnection;
  private readonly store: JetStreamControlStore;
  private readonly links: RegionClient;
  private readonly agent: RegionAgent;
  private readonly backup: Backup | null;
  private readonly controlLeader: ControlLeader;
  private readonly copies: ControlCopiesWatch;
  private readonly restored: RestoredMarker | null;
  private readonly lock: DirectoryLock;
  private readonly losses: LossStore;
  private readonly moves: EndedMoves;
  private replicated: ((to: RegionId, afterMs: readonly number[]) => void) | null = null;
  private readonly shipped = new Map<RegionId, { readonly bytes: number; readonly again: number }>();
  private readonly troubleLimit = new RateLimit(troubleEveryMs, monotonicMs);
  private readonly stops: (() => void)[] = [];
  private detached: DetachedMark | null;
  private bootstrapping = false;
  private troubled = false;
  private closed = false;

  private constructor(
    { config, log, telemetry, credentials }: AgentOptions,
    { lock, losses, lags, operations }: Kept,
  ) {
    const { cluster, region, regions, nats, backup, secret } = config;
    this.detached = readDetachedMark(config.dataDir);
    this.restored = readMarker(config.dataDir);
    this.lock = lock;
    this.losses = losses;
    this.moves = new EndedMoves(operations);
    this.config = config;
    this.log = log;
    this.credentials = credentials;
    this.nats = this.connect('control');
    this.store = openControlStore({
      connection: this.nats,
      cluster,
      replicas: nats.replicas ?? null,
      writeTimeoutMs,
    });
    const place = credentials === undefined ? {} : { credentials };
    this.links = new RegionClient({ ...config, log, place });
    this.copies = new ControlCopiesWatch({ connection: this.nats, cluster });
    this.backup =
      backup === undefined
        ? null
        : new Backup({
            config: backup,
            store: storeBelow(openStore(backup), `${cluster}/${region}`),
            identity: { cluster, region, regions, secret, restoredFrom: this.restored?.backup ?? null },
            links: this.links,
            me: () => this.agent.survivor().held,
            runtime: machine,
            log,
          });
    this.agent = new RegionAgent({
      cluster,
      region,
      regions,
      addresses: { agent: config.listen, gateway: config.gateways[0] ?? null },
      lease: defaultLeaseLimits,
      links: this.links,
      store: this.store,
      nats: this.nats,
      replication: {
        region: this.links,
        connect: (purpose) => this.connect(purpose),
        openReceiver: (at, on) => openRegionReceiver(this.links, at, on),
        onStalled: () => undefined,
        onReplicated: (to, afterMs) => this.replicated?.(to, afterMs),
        onShipped: (to, bytes, again) => {
          const before = this.shipped.get(to) ?? { bytes: 0, again: 0 };
          this.shipped.set(to, { bytes: before.bytes + bytes, again: before.again + again });
        },
      },
      probe: (target) => probeNode({ ...config, target, place }),
      recover: (goal) =>
        runRecovery(this.links, goal, {
          timeoutMs: recoverTimeoutMs,
          onWaiting: (what) =>
            log.warn({ epoch: goal.epoch, what }, 'a recovery waits for nodes to be refilled from images'),
        }),
      losses,
      operations: this.moves,
      lags,
      retention: config.retention ?? retentionDefault,
      ...(this.backup !== null && { backup: this.backup }),
      onReading: (reading) => {
        if (reading.kind === 'absent') void this.bootstrap();
        if (reading.kind === 'record') this.forgetDetachment();
      },
      runtime: machine,
      natsTrouble: () => {
        const where = { region, regions: this.agent.view.regions, isPrimary: this.agent.isPrimary };
        return this.copies.seen.trouble(where, monotonicMs()) ?? payloadProblem(this.nats.maxPayloadBytes);
      },
      telemetry,
      log,
    });
    const { sight } = this.agent;
    this.controlLeader = new ControlLeader({
      connection: this.nats,
      cluster,
      region,
      regions,
      staleForMs: () => this.store.staleForMs,
      record: () => (sight.problem === null ? (sight.view?.record ?? null) : null),
      log,
    });
  }

  /** @throws AgentStartError when the data directory is another process's, or cannot be used. */
  static async start(options: AgentOptions): Promise<Agent> {
    const { config, log } = options;
    const { dataDir, region } = config;
    const locked = await lockDirectory(dataDir, `agent of ${region}`);
    if (locked.kind === 'failed')
      throw new AgentStartError(`dataDir ${dataDir} cannot be locked: ${locked.reason}`);
    if (locked.kind === 'held') throw new AgentStartError(`dataDir ${heldMessage(dataDir, locked.holder)}`);
    const agent = new Agent(options, {
      lock: locked.lock,
      losses: await LossStore.open(dataDir, log),
      lags: await LagStore.open(dataDir, log),
      operations: await OperationStore.open(dataDir, log),
    });
    agent.run();
    return agent;
  }

  get view(): ClusterView {
    return this.agent.view;
  }

  get standing(): RegionReport {
    return this.agent.standing;
  }

  get isPrimary(): boolean {
    return this.agent.isPrimary;
  }

  get readiness(): Readiness {
    return this.agent.readiness;
  }

  /** See `RegionAgent`. */
  get replicaAgeMs(): number | null {
    return this.agent.replicaAgeMs;
  }

  /** What only metrics tell of it. */
  get figures(): AgentFigures {
    const { stalls, windows, sight } = this.agent;
    return {
      stalls,
      shipped: this.shipped,
      windows,
      policy: sight.view === null ? null : policyOf(sight.view.record),
      lostWrites: this.losses.all.reduce((sum, { count }) => sum + count, 0),
      regionsHeard: this.agent.neighbours().heard.length + 1,
      natsConnected: this.nats.connected,
      controlReadMsAgo: this.store.readMsAgo,
      copies: this.copies.seen,
    };
  }

  /** Tells `watcher` of commits of main that are known to be durable in a secondary, and how long after they were made. */
  watchReplicated(watcher: (to: RegionId, afterMs: readonly number[]) => void): void {
    this.replicated = watcher;
  }

  /** Tells `watcher` of every move to this region that ends. */
  watchMoves(watcher: (operation: Operation) => void): void {
    this.moves.watch(watcher);
  }

  /** What keeps this agent from doing its work, in words for an operator; null when nothing does. */
  get unready(): string | null {
    if (!this.nats.connected) return `not connected to NATS (${this.config.nats.servers.join(', ')})`;
    return this.agent.unready;
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const stop of this.stops) stop();
    this.copies.close();
    this.backup?.close();
    await this.agent.close();
    this.store.close();
    this.links.close();
    await this.nats.close();
    this.lock.release();
  }

  private connect(purpose: string): NatsConnection {
    const { cluster, nats, region } = this.config;
    const connection = openNatsConnection({
      servers: nats.servers,
      ...(nats.token !== undefined && { token: nats.token }),
      name: `agent-${region}-${purpose}`,
      ...natsSecurity(this.credentials, { cluster, region, role: 'agent' }),
      onStatus: (status) => {
        if (status.kind === 'unanswerable')
          this.log.warn(status, 'passed over a NATS message that names no subject for its answer');
        const problem = status.kind === 'connected' ? payloadProblem(connection.maxPayloadBytes) : null;
        if (problem !== null) this.log.error({ problem }, 'the NATS server does not do');
      },
    });
    return connection;
  }

  private run(): void {
    const subjects = subjectsOf(this.config.cluster);
    this.agent.start();
    this.backup?.start();
    this.stops.push(
      this.nats.subscribe(subjects.agent(this.config.region), (message) => {
        // Asking for a move and not for its outcome is a mistake: nobody would learn that it was refused.
        if (!message.wantsAnswer) return message.passOver();
        void this.answer(Buffer.from(message.data).toString('utf8')).then((reply) =>
          message.respond(Buffer.from(JSON.stringify(reply))),
        );
      }),
      every(leaderPlacementLimits.lookEveryMs, () => void this.controlLeader.look()),
      every(troubleLookMs, () => this.tellTrouble(this.agent.trouble)),
    );
  }

  private async bootstrap(): Promise<void> {
    const { config, agent, store, replicas, log } = this;
    if (config.region !== config.regions[0] || this.bootstrapping) return;
    this.bootstrapping = true;
    if (this.detached !== null) await this.makeDetachedRecord(this.detached);
    await makeFirstRecord({
      region: config.region,
      replicas,
      nodes: agent.nodes,
      view: agent.view,
      store,
      restoredEpoch: this.restored?.epoch ?? null,
      isOver: () => this.closed || agent.sight.view !== null,
      looked: (reading: ControlReading) => agent.looked(reading),
      log,
    });
    this.bootstrapping = false;
  }

  private async answer(text: string): Promise<AgentReply> {
    const request = parseJson(agentRequestSchema, text);
    if (request.kind === 'malformed')
      return { kind: 'refused', code: 'BAD_REQUEST', message: request.reason };
    return this.serve(request.value);
  }

  /** Answers a request from a gateway, or from this agent's own HTTP. */
  serve(request: AgentRequest): Promise<AgentReply> {
    return this.agent.serve(request);
  }

  /** Makes a lost control record anew, on an operator's word; refused while it can be read. */
  rebuild(request: RebuildRequest): Promise<RebuildReply | RebuildRefused> {
    const { agent, store, links, log } = this;
    return rebuildControl(request, {
      regions: agent.view.regions,
      replicas: this.replicas,
      store,
      sight: agent.sight,
      view: agent.view,
      me: () => agent.survivor(),
      highestEpoch: () => agent.nodes.highestEpoch,
      found: () => findBranches(links),
      neighbours: () => agent.neighbours(),
      looked: (reading) => agent.looked(reading),
      log,
    });
  }

  /**
   * A region that was detached has epochs and no record: it makes one above them (R56). What says that it may is removed with
   * the first record that is seen, so that one that is lost later is not made anew by itself.
   */
  private async makeDetachedRecord({ from }: DetachedMark): Promise<void> {
    const { agent, log } = this;
    log.warn(
      { from, cluster: this.config.cluster },
      'this region was detached: it makes a control record of its own',
    );
    let told = '';
    while (!this.closed && agent.sight.view === null) {
      await agent.nodes.poll();
      const outcome = await this.rebuild({ without: [], dryRun: false });
      if (!('code' in outcome) || outcome.code === 'NOTHING_FOUND') return;
      const { code, message, waitMs = detachedAgainMs } = outcome;
      if (code !== told && code !== 'WAIT_FOR_LEASE')
        log.warn({ code, message }, 'the control record of the detached region is not made yet');
      told = code;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  private forgetDetachment(): void {
    if (this.detached === null) return;
    removeDetachedMark(this.config.dataDir);
    this.detached = null;
  }

  /** Copies of the bucket in which the control record lies. */
  private get replicas(): number {
    const { nats, regions } = this.config;
    return nats.replicas ?? (regions.length === 1 ? 1 : 3);
  }

  private tellTrouble(trouble: string | null): void {
    if (trouble !== null && this.troubleLimit.pass() !== null)
      this.log.error({ trouble }, 'NATS does not keep the control record');
    if (trouble === null && this.troubled) this.log.info('NATS keeps the control record again');
    this.troubled = trouble !== null;
  }
}
