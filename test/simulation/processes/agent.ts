/**
 * The agent of a region: ships when its region is primary, receives when it is not, looks for what a failover left
 * behind, and runs moves. Shipping and receiving are the production shells; the rest drives the production cores as the
 * agent's shell drives them.
 */

import { parseJson, subjectsOf } from '../../../regions/bus/core/messages.ts';
import type { ControlView } from '../../../regions/control/core/control-port.ts';
import { type ControlRecord, setPolicy } from '../../../regions/control/core/control-record.ts';
import { ChallengerTimer, type LeaseLimits } from '../../../regions/control/core/lease.ts';
import { LossCollector, type LossReport, lossReportSchema } from '../../../regions/moves/core/loss-report.ts';
import type { Receiving } from '../../../regions/replication/receiving.ts';
import { findReign } from '../../../regions/replication/reign.ts';
import type { Shipping } from '../../../regions/replication/shipping.ts';
import { RegionNodes } from '../../../regions/status/region-nodes.ts';
import { RegionFetch } from '../../../storage/client/region-fetch.ts';
import { commonPoint, EpochTree } from '../../../storage/history/epoch-tree.ts';
import type { Recovered } from '../../../storage/quorum/core/recovery.ts';
import { splitFrames } from '../../../storage/redo/frame.ts';
import {
  type Epoch,
  genesisEpoch,
  type Lsn,
  mainBranch,
  maxLsn,
  regionId,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import {
  azOf,
  type BusPayload,
  type LinkMessage,
  nodeAddress,
  nodeIds,
  type SimContext,
  type SimProcess,
  type SimRuntime,
} from '../deployment/sim-types.ts';
import { type Address, regionOf } from '../deployment/topology.ts';
import { logTwin } from '../ports/log.ts';
import { type NatsPart, NatsTwins } from '../ports/nats.ts';
import { RuntimeTwin } from '../ports/runtime.ts';
import type { BusMessage } from '../twins/bus.ts';
import type { ControlEvent } from '../twins/control-bucket.ts';
import type { DiskCompletion } from '../twins/disk.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';
import { changeControl, SimControlStore } from './control-store.ts';
import { RecoveryRun } from './drivers.ts';
import { type MoveKind, SimMoves } from './moves.ts';
import { RegionLinks } from './region-links.ts';
import { type ReplicationHost, startReceiving, startShipping } from './replication.ts';

const tickUs = 50_000;
const statusEveryMs = 500;
const lossFile = /^loss-(\d+)-(\d+)$/;

type Orphan = { readonly reign: Epoch; readonly from: Lsn; readonly to: Lsn; readonly foundUnder: Epoch };

export class SimAgent implements SimProcess {
  private readonly runtime: SimRuntime;
  private readonly context: SimContext;
  private readonly region: string;
  private readonly time: RuntimeTwin;
  private readonly links: RegionLinks;
  private readonly store: SimControlStore;
  private readonly nodes: RegionNodes;
  private readonly nats: NatsTwins;
  private readonly connection: NatsPart;
  private readonly replication: ReplicationHost;
  private readonly challenger: ChallengerTimer;
  private readonly moves: SimMoves;
  private current: ControlView | undefined;
  private shipping: { readonly epoch: Epoch; readonly run: Shipping } | undefined;
  private receiving: Receiving | undefined;
  private reignSought: Epoch | undefined;
  private readonly losses = new Map<string, LossReport>();
  private readonly unsaved = new Map<string, LossReport>();
  /** What is left to look at since the region joined last. */
  private search:
    | { readonly joined: Recovered; readonly reigns: Epoch[]; run: RecoveryRun | undefined }
    | undefined;
  private retries: (() => void)[] = [];

  constructor(runtime: SimRuntime, context: SimContext, limits: LeaseLimits) {
    this.runtime = runtime;
    this.context = context;
    this.region = regionOf(runtime.address);
    this.time = new RuntimeTwin(runtime);
    this.links = new RegionLinks(runtime, this.time, this.region);
    this.store = new SimControlStore(runtime.connectControl('control'), () => this.nowMs);
    this.nodes = new RegionNodes(
      nodeIds.map((node) => ({ node, az: azOf(node), address: nodeAddress(this.region, node) })),
      this.links,
    );
    this.nats = new NatsTwins(runtime);
    this.connection = this.nats.open('main');
    this.replication = {
      region: this.region,
      context,
      time: this.time,
      links: this.links,
      nats: this.nats,
      connection: this.connection,
      log: logTwin(this.region, 'agent', runtime.note),
    };
    this.challenger = new ChallengerTimer(limits);
    this.moves = new SimMoves({
      region: this.region,
      store: this.store,
      challenger: this.challenger,
      current: () => this.current,
      following: () => this.receiving?.following ?? false,
      nowMs: () => this.nowMs,
      wallMs: () => Math.floor(runtime.wallUs() / 1000),
      newId: () => `${this.region}.${runtime.incarnation}.${runtime.random.below(1_000_000)}`,
      note: runtime.note,
      hasty: context.defects.has('hasty-failover'),
    });
  }

  /** An operator's command. False when it is refused at once. */
  move(kind: MoveKind): boolean {
    return this.moves.begin(kind);
  }

  /** An operator's decision; it is lost with this agent. */
  decide(rpoMs: number | null): void {
    changeControl(
      this.store,
      ({ record }) => setPolicy(record, { rpoMs }),
      () => undefined,
    );
  }

  /** What is durable in this region as a secondary; undefined when it follows nobody. */
  get durable(): { readonly epoch: Epoch; readonly vdl: Lsn } | undefined {
    const position = this.receiving?.position;
    return position === undefined || position.head === genesisEpoch
      ? undefined
      : { epoch: position.head, vdl: position.vdl };
  }

  onStart(): void {
    for (const name of this.runtime.disk.files()) {
      if (!lossFile.test(name)) continue;
      const parsed = parseJson(lossReportSchema, Buffer.from(this.runtime.disk.read(name)).toString('utf8'));
      if (parsed.kind === 'ok') this.losses.set(name, parsed.value);
    }
    const subjects = subjectsOf(this.context.cluster);
    this.store.watch((reading) => {
      if (reading.kind === 'record') this.saw(reading.view);
    });
    this.connection.subscribe(subjects.ack(regionId(this.region)), (message) =>
      this.shipping?.run.acked(message.data),
    );
    this.time.every(statusEveryMs, () => void this.pollNodes());
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

  onControl(_client: string, event: ControlEvent<ControlRecord>): void {
    this.store.heard(event);
  }

  onDisk(completion: DiskCompletion): void {
    const report = this.unsaved.get(completion.file);
    if (report === undefined) return;
    this.unsaved.delete(completion.file);
    this.losses.set(completion.file, report);
    this.context.witness.lossReported(report);
  }

  onTimer(name: string): void {
    if (this.time.rang(name)) return;
    if (name === 'tick') this.tick();
  }

  private get nowMs(): number {
    return this.runtime.nowUs() / 1000;
  }

  private tick(): void {
    this.runtime.setTimer('tick', tickUs);
    this.store.tick();
    this.moves.tick();
    for (const retry of this.retries.splice(0)) retry();
  }

  private saw(view: ControlView): void {
    this.context.witness.controlRecord(this.runtime.address, view.seq, view.record.epoch);
    if (this.current !== undefined && view.seq <= this.current.seq) return;
    const before = this.current?.record;
    this.current = view;
    this.challenger.saw(view.seq, this.nowMs);
    const { epoch, primary } = view.record;
    if (before?.epoch === epoch && before.primary === primary) return;
    if (primary === this.region) void this.becomePrimary(epoch);
    else this.becomeSecondary();
  }

  /** Ships the reign's path once this region's nodes know it: its writer has recovered by then. */
  private async becomePrimary(reign: Epoch): Promise<void> {
    this.reignSought = reign;
    this.receiving?.close();
    this.receiving = undefined;
    // Before the first writer there is nothing to ship.
    if (reign === genesisEpoch) return;
    const isOver = (): boolean => this.reignSought !== reign;
    const found = await findReign(this.links, reign, isOver, this.time);
    if (found === null) return;
    await this.shipping?.run.close();
    if (!isOver()) this.shipping = { epoch: reign, run: startShipping(this.replication, found) };
  }

  private becomeSecondary(): void {
    this.reignSought = undefined;
    void this.shipping?.run.close();
    this.shipping = undefined;
    this.receiving ??= startReceiving(this.replication, (outcome) => this.findOrphans(outcome));
  }

  /** What the nodes call durable goes to the lanes whose window is full. */
  private async pollNodes(): Promise<void> {
    const { head, vdl } = await this.nodes.poll();
    if (this.shipping?.epoch === head) this.shipping.run.durable(vdl);
  }

  /** Looks, reign by reign, for what was durable here and is not part of history any more. */
  private findOrphans(joined: Recovered): void {
    this.search?.run?.close();
    const reigns = joined.tree.map((fork) => fork.epoch).filter((reign) => reign !== joined.head);
    this.search = { joined, reigns, run: undefined };
    this.inspectNext(this.search);
  }

  private inspectNext(search: NonNullable<typeof this.search>): void {
    const reign = search.reigns.shift();
    if (reign === undefined || this.search !== search) return;
    const { joined } = search;
    const { fetchBytesMax } = this.context.bounds;
    const goal = { kind: 'inspect', branch: mainBranch, epoch: joined.head, head: reign } as const;
    search.run = new RecoveryRun(
      this.links,
      this.time,
      goal,
      { skipsReplication: false, fetchBytesMax },
      (result) => {
        if (this.search !== search) return;
        if (result.kind === 'recovered') {
          const { vdl } = result.outcome;
          const tree = new EpochTree(joined.tree);
          const from = maxLsn(tree.startOf(reign), commonPoint(tree, { head: reign, lsn: vdl }, joined.head));
          if (from < vdl) this.listOrphan({ reign, from, to: vdl, foundUnder: joined.head });
        } else if (result.kind === 'timeout') search.reigns.push(reign);
        this.inspectNext(search);
      },
    );
  }

  private listOrphan(orphan: Orphan): void {
    const name = `loss-${orphan.reign}-${orphan.foundUnder}`;
    if (this.losses.has(name)) return;
    const { from, to } = orphan;
    this.collect({
      orphan,
      name,
      collector: new LossCollector({ from, to }),
      log: new RegionFetch(this.links, 0),
      at: from,
    });
  }

  private collect(work: {
    readonly orphan: Orphan;
    readonly name: string;
    readonly collector: LossCollector;
    readonly log: RegionFetch;
    at: Lsn;
  }): void {
    const { orphan, collector } = work;
    if (work.at >= orphan.to) {
      this.reportOrphan(orphan, work.name, collector);
      return;
    }
    const request = {
      kind: 'fetch',
      branch: mainBranch,
      head: orphan.reign,
      from: work.at,
      bytesMax: this.context.bounds.fetchBytesMax,
      waitMs: 0,
      durableOnly: false,
      known: { head: orphan.reign, vdl: zeroLsn },
    } as const;
    void work.log.fetch(request).then((reply) => {
      const split = reply === null ? null : splitFrames(reply.frames);
      if (reply === null || split === null || split.kind === 'bad' || reply.next === work.at) {
        this.retries.push(() => this.collect(work));
        return;
      }
      for (const frame of split.frames) collector.add(frame);
      work.at = reply.next;
      this.collect(work);
    });
  }

  private reportOrphan({ reign, foundUnder }: Orphan, name: string, collector: LossCollector): void {
    const foundAtMs = Math.floor(this.runtime.wallUs() / 1000);
    const report = collector.report({
      epoch: foundUnder,
      orphanEpoch: reign,
      region: regionId(this.region),
      foundAtMs,
    });
    if (report.count === 0 || this.context.defects.has('hide-losses')) return;
    this.unsaved.set(name, report);
    this.runtime.disk.replace(name, Buffer.from(JSON.stringify(report)), 'loss');
  }
}
