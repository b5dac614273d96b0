/** The production agent of a region on a simulated process: what it is given, and what a defect makes of it. */
import { z } from 'zod';
import { RegionAgent } from '../../../regions/agent/region-agent.ts';
import { decodeShipped, parseJson, subjectsOf } from '../../../regions/bus/core/messages.ts';
import type { NatsMessage } from '../../../regions/bus/nats-connection.ts';
import { allottedIn } from '../../../regions/control/core/branch-list.ts';
import type { ControlRecord } from '../../../regions/control/core/control-record.ts';
import type { LeaseLimits } from '../../../regions/control/core/lease.ts';
import type { Suspicion } from '../../../regions/failover/core/suspicion.ts';
import { type LossReport, lossReportSchema } from '../../../regions/moves/core/loss-report.ts';
import { type KeptOperation, keptOperationSchema } from '../../../regions/moves/core/operation-log.ts';
import type { AgentReply, AgentRequest } from '../../../regions/moves/core/operations.ts';
import type { LossKeeper } from '../../../regions/moves/loss-store.ts';
import type { OperationKeeper } from '../../../regions/moves/operation-store.ts';
import { noLagMemory } from '../../../regions/replication/core/lag-memory.ts';
import type { LagKeeper } from '../../../regions/replication/lag-store.ts';
import { endOfTime } from '../../../storage/history/epoch-tree.ts';
import { type Epoch, genesisEpoch, type Lsn, maxLsn, regionId } from '../../../storage/redo/ids.ts';
import { quorumLimits } from '../../../storage/redo/limits.ts';
import type { RetainRequest } from '../../../storage/wire/core/messages.ts';
import { disabledTelemetry } from '../../../telemetry/index.ts';
import type { BusPayload, LinkMessage, SimContext, SimProcess, SimRuntime } from '../deployment/sim-types.ts';
import { type Address, regionOf } from '../deployment/topology.ts';
import { logTwin } from '../ports/log.ts';
import { type NatsPart, NatsTwins } from '../ports/nats.ts';
import { RuntimeTwin } from '../ports/runtime.ts';
import type { BusMessage } from '../twins/bus.ts';
import type { ControlEvent } from '../twins/control-bucket.ts';
import type { DiskCompletion } from '../twins/disk.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';
import { SimControlStore } from './control-store.ts';
import { sealing } from './drivers.ts';
import { RegionLinks } from './region-links.ts';
import { replicationParts, runRecovery } from './replication.ts';

const tickUs = 50_000;
/** As the failover watch says it. */
const beginsByPolicy = 'a failover begins by the policy';
/** The defect: a lease that counts as lapsed at once. */
const hastyLease: LeaseLimits = { renewMs: 1, ttlMs: 4, marginMs: 1, retryMs: 0.5, attemptMs: 0.5 };

export class SimAgent implements SimProcess {
  private readonly runtime: SimRuntime;
  private readonly time: RuntimeTwin;
  private readonly links: RegionLinks;
  private readonly store: SimControlStore;
  private readonly nats: NatsTwins;
  private readonly losses: SimLosses;
  private readonly agent: RegionAgent;
  private readonly context: SimContext;
  private readonly region: string;
  private seqSeen = 0;
  private allotted: Epoch = genesisEpoch;

  constructor(runtime: SimRuntime, context: SimContext, lease: LeaseLimits) {
    const region = regionId(regionOf(runtime.address));
    const { cluster, defects, witness, bounds } = context;
    this.runtime = runtime;
    this.context = context;
    this.region = region;
    this.time = new RuntimeTwin(runtime);
    this.links = new RegionLinks(runtime, this.time, region);
    this.store = new SimControlStore(runtime.connectControl('control'), () => this.time.nowMs());
    this.nats = new NatsTwins(runtime, this.time);
    this.losses = new SimLosses(runtime, context);
    const log = logTwin(region, 'agent', (line) => {
      runtime.note(line);
      const { primary } = this.agent.watch.suspicion ?? {};
      if (primary !== undefined && line.startsWith(beginsByPolicy)) witness.beganFailover(region, primary);
    });
    const host = { region, context, time: this.time, links: this.links, nats: this.nats, log };
    this.agent = new RegionAgent({
      cluster,
      region,
      regions: context.regions.map(regionId),
      probe: async () => null,
      addresses: { agent: runtime.address, gateway: null },
      lease: defects.has('hasty-failover') ? hastyLease : lease,
      links: this.retaining(),
      store: this.store,
      nats: this.observed(this.nats.open('main')),
      replication: replicationParts(host),
      recover: (goal) => runRecovery(host, goal),
      fetchBytesMax: bounds.fetchBytesMax,
      losses: this.losses,
      operations: new SimOperations(runtime),
      lags: noLags,
      retention: bounds.retention,
      retentionEveryMs: bounds.retentionEveryMs,
      onReading: (reading) => {
        if (reading.kind !== 'record') return;
        const { seq, record } = reading.view;
        witness.controlRecord(runtime.address, seq, record.epoch);
        if (seq > this.seqSeen && record.holder !== null) witness.sawLife(region, record.primary, true);
        this.seqSeen = Math.max(this.seqSeen, seq);
        this.allotted = allottedIn(record);
      },
      runtime: this.time,
      telemetry: disabledTelemetry,
      log,
    });
  }

  /** The witness sees what arrives of other regions. The defect: what this agent suspects it hears from all others, too. */
  private observed(connection: NatsPart): NatsPart {
    const { witness, defects, cluster } = this.context;
    const { allReports, fence } = subjectsOf(cluster);
    const subscribe: NatsPart['subscribe'] = (subject, onMessage) =>
      connection.subscribe(subject, (message) => {
        const from = regionIn(message.data);
        if (from !== null && from !== this.region) {
          witness.sawLife(this.region, from, false);
          if (subject === allReports && isShort(message.data)) witness.heardShort(this.region, from);
        }
        const suspicion = this.agent.watch.suspicion;
        const isForged = defects.has('one-observer') && subject === allReports && suspicion !== null;
        if (isForged) onMessage({ ...message, data: withSuspicion(message.data, suspicion) });
        else if (subject === fence(regionId(this.region)))
          onMessage({ ...message, respond: this.fencing(message) });
        else onMessage(message);
      });
    return Object.assign(Object.create(connection) as NatsPart, { subscribe });
  }

  /** The witness hears that this region is called fenced. */
  private fencing({ respond }: NatsMessage): NatsMessage['respond'] {
    return (data, headers) => {
      const { reign, fenced } = JSON.parse(Buffer.from(data).toString('utf8'));
      if (fenced) this.context.witness.fenced(this.region, reign);
      return respond(data, headers);
    };
  }

  /** The defects: what others need of the log, where four nodes have images, or since when nodes were asked, does not matter. */
  private retaining(): RegionLinks {
    const { links, time, region, context } = this;
    const sealed = sealing(links, time, context, region);
    const request: RegionLinks['request'] = (node, asked, timeoutMs) =>
      links.request(node, asked.kind === 'retain' ? this.carelessly(asked) : asked, timeoutMs);
    return Object.assign(sealed, { request });
  }

  private carelessly(asked: RetainRequest): RetainRequest {
    const { defects } = this.context;
    const { branches } = asked;
    return {
      ...asked,
      ...(defects.has('collects-needed') && { keepFrom: endOfTime }),
      ...(defects.has('lets-go-unpromised') && { keepFrom: maxLsn(asked.keepFrom, asked.copies) }),
      ...(defects.has('drops-before-four') && { copies: endOfTime, keepFrom: endOfTime }),
      ...(defects.has('stale-branch-list') &&
        branches !== undefined && { branches: { ...branches, knownTo: this.allotted } }),
    };
  }

  /** An operator's command, as a gateway or the CLI brings it. */
  serve(request: AgentRequest): Promise<AgentReply> {
    return this.agent.serve(request);
  }

  /** What is durable in this region as a secondary; undefined when it follows nobody. */
  get durable(): { readonly epoch: Epoch; readonly vdl: Lsn } | undefined {
    const { held } = this.agent.survivor();
    return held === null || held.epoch === genesisEpoch || this.agent.isPrimary
      ? undefined
      : { epoch: held.epoch, vdl: held.vdl };
  }

  onStart(): void {
    this.agent.start();
    this.runtime.setTimer('tick', tickUs);
  }

  onLink(event: LinkEvent): void {
    this.links.onLink(event);
  }

  onMessage(from: Address, message: LinkMessage, connection: ConnectionId): void {
    this.links.onMessage(from, message, connection);
  }

  onBus(connection: string, message: BusMessage<BusPayload>): void {
    this.nats.arrived(connection, message);
  }

  onBusNobody(connection: string, reply: string): void {
    this.nats.nobody(connection, reply);
  }

  onControl(_client: string, event: ControlEvent<ControlRecord>): void {
    this.store.heard(event);
  }

  onDisk(completion: DiskCompletion): void {
    this.losses.onDisk(completion);
  }

  onTimer(name: string): void {
    if (this.time.rang(name)) return;
    this.runtime.setTimer('tick', tickUs);
    this.store.tick();
  }
}

/** The region that speaks in a report, or whose redo this is; null when neither. */
function regionIn(data: Uint8Array): string | null {
  const shipped = decodeShipped(data);
  if (shipped.kind === 'ok') return shipped.value.via === undefined ? shipped.value.from : null;
  return /"region":"([^"]+)"/.exec(Buffer.from(data).toString('latin1'))?.[1] ?? null;
}

/** Whether a report says that too few of its region's nodes take writes. */
function isShort(report: Uint8Array): boolean {
  const parsed = parseJson(nodesSchema, Buffer.from(report).toString('utf8'));
  if (parsed.kind !== 'ok') return false;
  const writable = parsed.value.nodes.filter(
    ({ state, trouble }) => state !== 'down' && trouble === undefined,
  );
  return writable.length < quorumLimits.writeQuorum;
}

const nodesSchema = z.object({
  nodes: z.array(z.object({ state: z.string(), trouble: z.unknown().optional() })),
});

function withSuspicion(data: Uint8Array, suspects: Suspicion): Uint8Array {
  const report: object = JSON.parse(Buffer.from(data).toString('utf8'));
  return Buffer.from(JSON.stringify({ ...report, suspects }));
}

/** The lag that an earlier start saw is not judged, and not kept. */
const noLags: LagKeeper = { memory: noLagMemory, note: () => undefined, keepOnly: () => undefined };

const lossFile = /^loss-(\d+)-(\d+)$/;

/** Loss reports on a simulated disk: a report is known to others once it is durable. */
class SimLosses implements LossKeeper {
  private readonly runtime: SimRuntime;
  private readonly context: SimContext;
  private readonly reports = new Map<string, LossReport>();
  private readonly unsaved = new Map<string, { readonly report: LossReport; readonly saved: () => void }>();

  constructor(runtime: SimRuntime, context: SimContext) {
    this.runtime = runtime;
    this.context = context;
    for (const name of runtime.disk.files()) {
      if (!lossFile.test(name)) continue;
      const parsed = parseJson(lossReportSchema, Buffer.from(runtime.disk.read(name)).toString('utf8'));
      if (parsed.kind === 'ok') this.reports.set(name, parsed.value);
    }
  }

  get all(): readonly LossReport[] {
    return [...this.reports.values()];
  }

  get epochs(): readonly number[] {
    return [...new Set(this.all.map(({ orphanEpoch }) => orphanEpoch))];
  }

  reportedFrom(orphanEpoch: number): number | null {
    const starts = this.all
      .filter((report) => report.orphanEpoch === orphanEpoch)
      .map((report) => report.fromLsn);
    return starts.length === 0 ? null : Math.min(...starts);
  }

  /** The defect forgets what was lost. */
  save(report: LossReport): Promise<void> {
    if (this.context.defects.has('hide-losses')) return Promise.resolve();
    const name = `loss-${report.orphanEpoch}-${report.epoch}`;
    return new Promise((saved) => {
      this.unsaved.set(name, { report, saved });
      this.runtime.disk.replace(name, Buffer.from(JSON.stringify(report)), 'loss');
    });
  }

  onDisk({ file }: DiskCompletion): void {
    const found = this.unsaved.get(file);
    if (found === undefined) return;
    this.unsaved.delete(file);
    this.reports.set(file, found.report);
    this.context.witness.lossReported(found.report);
    found.saved();
  }
}

const operationsFile = 'operations';

/** Operations on a simulated disk; what is not durable yet may be gone after a crash, as in production. */
class SimOperations implements OperationKeeper {
  readonly kept: readonly KeptOperation[];
  private readonly runtime: SimRuntime;

  constructor(runtime: SimRuntime) {
    this.runtime = runtime;
    const isThere = runtime.disk.files().includes(operationsFile);
    const text = isThere ? Buffer.from(runtime.disk.read(operationsFile)).toString('utf8') : '[]';
    const parsed = parseJson(keptOperationSchema.array(), text);
    this.kept = parsed.kind === 'ok' ? parsed.value : [];
  }

  keep(operations: readonly KeptOperation[]): void {
    this.runtime.disk.replace(operationsFile, Buffer.from(JSON.stringify(operations)), 'operations');
  }
}
