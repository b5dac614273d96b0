/**
 * A gateway without SQL: the production writer role, recovery and volume under a workload whose transactions are page
 * changes. A write is executed here when this is the writer, sent to the writer over NATS when it is not, and
 * held while a move or a recovery is under way. A response leaves when VDL covers it and the lease is valid.
 */
import type { RemoteWriter } from '../../../gateway/forward/core/writer-standing.ts';
import type { Reign } from '../../../gateway/reign/reign.ts';
import { RoleDriver } from '../../../gateway/reign/role-driver.ts';
import { subjectsOf } from '../../../regions/bus/core/messages.ts';
import type { ControlRecord } from '../../../regions/control/core/control-record.ts';
import type { LeaseLimits } from '../../../regions/control/core/lease.ts';
import type { Report } from '../../../regions/status/core/report.ts';
import { defaultGeometry } from '../../../storage/history/geometry.ts';
import type { RecoveryResult } from '../../../storage/quorum/recovery-driver.ts';
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
  type BusPayload,
  type LinkMessage,
  pgBytes,
  type SimContext,
  type SimProcess,
  type SimRuntime,
  type WriteOutcome,
} from '../deployment/sim-types.ts';
import { type WrittenParts, workloadPages } from '../deployment/sim-workload.ts';
import { type Address, regionOf } from '../deployment/topology.ts';
import { silentLog } from '../ports/log.ts';
import { type NatsPart, NatsTwins } from '../ports/nats.ts';
import { RuntimeTwin } from '../ports/runtime.ts';
import type { BusMessage } from '../twins/bus.ts';
import type { ControlEvent } from '../twins/control-bucket.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';
import type { Prng } from '../world/prng.ts';
import { SimBranches } from './branches.ts';
import { SimControlStore } from './control-store.ts';
import { recoveryNodes } from './drivers.ts';
import { SimForwarding } from './forwarding.ts';
import { ProofWatch, proofsClient } from './proofs.ts';
import { LogFetch, RegionLinks } from './region-links.ts';
import { SimTakeover } from './takeover.ts';
import { SimVolume } from './volume.ts';

const tickUs = 50_000;
const reportEveryMs = 500;
/** How long a write may wait for a writer. */
const holdMs = 8_000;
/** How long an answer may wait for other regions or for the lease: some are given up, and some are not. */
const answerWaitMs = 3_000;
const retryMs = 100;
const heldMax = 10_000;
const readEveryMs = 700;
/** Of the time for which snapshots are served, a reader takes this much: its clock and the writer's differ. */
const snapshotShare = 0.6;
/** And this much may pass until nodes have answered. */
const answerShare = 0.15;
const roleTickMs = 100;

type Answerer = (outcome: WriteOutcome) => void;
type Held = {
  readonly write: WrittenParts;
  readonly answer: Answerer;
  readonly deadlineMs: number;
  nextTryMs: number;
};

export class SimGateway implements SimProcess {
  private readonly runtime: SimRuntime;
  private readonly context: SimContext;
  private readonly region: string;
  private readonly name: string;
  private readonly incarnation: string;
  private readonly limits: LeaseLimits;
  private readonly writer: string;
  private readonly time: RuntimeTwin;
  private readonly links: RegionLinks;
  private readonly log: LogFetch;
  private readonly volume: SimVolume;
  private readonly role: RoleDriver;
  private readonly takeover: SimTakeover;
  private readonly store: SimControlStore;
  private readonly connections: NatsTwins;
  private readonly nats: NatsPart;
  private readonly forwarding: SimForwarding;
  private readonly proofs: ProofWatch;
  private readonly branches: SimBranches;
  private held: Held[] = [];
  private head: Epoch = genesisEpoch;
  private vdl: Lsn = zeroLsn;
  private readAtMs = 0;
  private past: { readonly head: Epoch; readonly vdl: Lsn; readonly atMs: number }[] = [];
  private readonly patience: Prng;

  constructor(runtime: SimRuntime, context: SimContext, name: string, limits: LeaseLimits) {
    this.runtime = runtime;
    this.context = context;
    this.region = regionOf(runtime.address);
    this.name = name;
    // Unique in the deployment, as the random one of a real gateway is: the record tells holders apart by nothing else.
    this.incarnation = `${this.region}.${name}.${runtime.incarnation}`;
    this.limits = limits;
    const { incarnation } = this;
    this.writer = writerName(incarnation);
    this.time = new RuntimeTwin(runtime);
    this.links = new RegionLinks(runtime, this.time, this.region);
    this.log = new LogFetch(this.links, runtime.incarnation);
    this.store = new SimControlStore(runtime.connectControl('control'), () => this.nowMs);
    this.connections = new NatsTwins(runtime, this.time);
    this.nats = this.connections.open('sql');
    this.patience = runtime.random.stream('recovery');
    this.volume = new SimVolume(runtime, context, this.time, this.links, this.region);
    const { recoveryMs, bounds, witness } = context;
    this.proofs = new ProofWatch(runtime, subjectsOf(context.cluster).ack(regionId(this.region)));
    this.role = new RoleDriver({
      region: regionId(this.region),
      me: { gateway: name, incarnation },
      leaseLimits: limits,
      tickMs: roleTickMs,
      store: this.store,
      nodes: recoveryNodes(this.links, this.time, context, this.region, this.patience),
      upNodes: () => this.links.upNodes.length,
      volume: this.volume,
      geometry: { ...defaultGeometry, pgBytes },
      sessions: { writing: [] },
      settledBeside: (to) => this.branches.haveArrivedIn(to),
      watchProofs: (onProof) => this.proofs.watch(onProof),
      answerWaitMs,
      metrics: {
        controlUpdate: () => undefined,
        stalled: () => undefined,
        leaseSuspended: () => witness.leaseSuspended(),
      },
      log: silentLog,
      runtime: this.time,
      // Often sooner than a real gateway gives up: what the role makes of it is to be seen.
      recovery: () => ({ timeoutMs: this.patience.within(recoveryMs), fetchBytesMax: bounds.fetchBytesMax }),
      onRecoveryEnd: (reign, result) => {
        runtime.note(`recovery of epoch ${reign}: ${describeEnd(result)}`);
        if (result.kind === 'timeout') witness.recoveryTimedOut(result.phase === 'forking');
      },
    });
    const { time, links, store, role, proofs, region, writer, nats } = this;
    const me = { gateway: name, incarnation };
    const chance = runtime.random.stream('forwarding');
    this.forwarding = new SimForwarding({
      ...{ context, time, chance, nats, me },
      region: regionId(region),
      record: () => role.record,
      execute: (write) => this.executed(write),
    });
    this.branches = new SimBranches({
      ...{ runtime, context, time, links, store, role, proofs, region, me, writer },
    });
    this.takeover = new SimTakeover({
      ...{ runtime, context, time, links, region, role, me },
      isConnected: () => nats.connected,
      ask: (holder, waitMs) => this.forwarding.ping(holder, waitMs),
    });
  }

  onStart(): void {
    this.store.watch((reading) => {
      if (reading.kind !== 'record') return;
      const { view } = reading;
      this.context.witness.controlRecord(this.runtime.address, view.seq, view.record.epoch);
      if (view.record.holder?.incarnation === this.incarnation)
        this.volume.namedUntil(this.nowMs + this.limits.ttlMs - this.limits.marginMs);
    });
    this.role.start();
    this.takeover.start();
    this.branches.start();
    this.role.watch(() => {
      this.forwarding.writerChanged();
      this.place();
      this.report();
    });
    this.time.every(reportEveryMs, () => this.report());
    this.tail();
    this.runtime.setTimer('tick', tickUs);
  }

  onLink(event: LinkEvent): void {
    this.links.onLink(event);
  }

  onMessage(from: Address, message: LinkMessage, connection: ConnectionId): void {
    if (message.kind !== 'write') {
      this.links.onMessage(from, message, connection);
      return;
    }
    const { writeId } = message.write;
    this.take(message.write, (outcome) => {
      this.runtime.send(from, { kind: 'outcome', writeId, outcome }, connection);
    });
  }

  onBus(client: string, message: BusMessage<BusPayload>): void {
    if (client === proofsClient) {
      this.proofs.heard(message.payload);
      return;
    }
    this.connections.arrived(client, message);
  }

  onBusNobody(client: string, reply: string): void {
    this.connections.nobody(client, reply);
  }

  onControl(_client: string, event: ControlEvent<ControlRecord>): void {
    this.store.heard(event);
  }

  onTimer(name: string): void {
    if (this.time.rang(name)) return;
    if (name === 'tail') this.tail();
    else this.tick();
  }

  private get nowMs(): number {
    return this.runtime.nowUs() / 1000;
  }

  private tick(): void {
    this.runtime.setTimer('tick', tickUs);
    this.store.tick();
    this.volume.endByAge();
    this.place();
    this.readPage();
  }

  /** Tells everybody how this gateway is. */
  private report(): void {
    const { phase } = this.role;
    const report: Report = {
      kind: 'gateway',
      v: 1,
      region: this.region,
      gateway: this.name,
      address: this.runtime.address,
      pid: 1,
      phase,
      epoch: this.volume.reign?.epoch ?? null,
      ready: true,
      vdl: this.vdl,
    };
    this.nats.publish(
      subjectsOf(this.context.cluster).report(regionId(this.region)),
      Buffer.from(JSON.stringify(report)),
    );
  }

  /** The reign that takes writes now. */
  private get writable(): Reign | null {
    const { phase, suspendedMs } = this.role;
    const { defects } = this.context;
    // A defect takes writes while the lease is suspended; another leaves a reign open after its end, too.
    const isBlind = defects.has('gate-stays-open') || defects.has('reopen-unproved');
    const isOpen = (phase === 'writing' && (suspendedMs === null || isBlind)) || defects.has('ignore-lease');
    return isOpen ? this.volume.reign : null;
  }

  private take(write: WrittenParts, answer: Answerer): void {
    if (this.held.length >= heldMax) {
      answer({ kind: 'refused' });
      return;
    }
    this.held.push({ write, answer, deadlineMs: this.nowMs + holdMs, nextTryMs: 0 });
    this.place();
  }

  /** Executes, forwards, keeps or refuses what waits. */
  private place(): void {
    const waiting = this.held;
    this.held = [];
    for (const held of waiting) {
      const { writable, writerElsewhere } = this;
      if (writable?.hasRoom === true) this.execute(writable, held.write, held.answer);
      else if (this.nowMs >= held.deadlineMs) held.answer({ kind: 'refused' });
      else if (writerElsewhere !== null && this.nowMs >= held.nextTryMs)
        void this.forward(held, writerElsewhere);
      else this.held.push(held);
    }
  }

  private get writerElsewhere(): RemoteWriter | null {
    const { record } = this.role;
    if (this.volume.reign !== null || record === null || record.holder === null || record.move !== null)
      return null;
    const isHere = record.primary === this.region && record.holder.gateway === this.name;
    return isHere ? null : this.forwarding.writer;
  }

  private execute(reign: Reign, write: WrittenParts, answer: Answerer): void {
    const { region, writer } = this;
    this.volume.execute(reign, write, (executed) => {
      if (executed.kind === 'committed')
        this.context.witness.acknowledged({ writer, region, writeId: write.writeId, ...executed });
      answer(executed.kind === 'committed' ? { ...executed, region } : executed);
    });
  }

  /** As the writer that another gateway has sent a write to. */
  private executed(write: WrittenParts): Promise<WriteOutcome> {
    const { writable } = this;
    if (writable === null) return Promise.resolve({ kind: 'retry' });
    return new Promise((resolve) => this.execute(writable, write, resolve));
  }

  private async forward(held: Held, to: RemoteWriter): Promise<void> {
    const outcome = await this.forwarding.send(to, held.write);
    if (outcome.kind === 'retry') this.held.push({ ...held, nextTryMs: this.nowMs + retryMs });
    else held.answer(outcome);
  }

  /** Follows what is durable in this region, as a reader does and as the target of a switchover must. */
  private tail(): void {
    const known = { head: this.head, vdl: this.vdl };
    const request = {
      kind: 'fetch',
      branch: mainBranch,
      head: null,
      from: this.vdl,
      bytesMax: 1,
      waitMs: 1_000,
      durableOnly: true,
      known,
    } as const;
    // A region that stood still hears late of what was durable before.
    const askedAtMs = this.nowMs;
    this.log.fetch(request, (reply) => {
      if (reply === null || reply.head < this.head) {
        this.runtime.setTimer('tail', tickUs);
        return;
      }
      if (reply.head > this.head || reply.vdl > this.vdl) {
        // S7: below where the last fork of a path leaves all is durable, though the node that tells of it was told less before.
        const { forkLsn = zeroLsn } = reply.forks.find(({ epoch }) => epoch === reply.head) ?? {};
        this.head = reply.head;
        this.vdl = maxLsn(reply.vdl, forkLsn);
        this.past.push({ head: this.head, vdl: this.vdl, atMs: askedAtMs });
        this.volume.regionVdl(this.head, this.vdl);
      }
      this.tail();
    });
  }

  /** What is durable now, or was when a snapshot began that nobody has to give up yet. */
  private somePoint(): Lsn {
    const { readPointAgeMs } = this.context.bounds.lowWater;
    const since = this.nowMs - readPointAgeMs * snapshotShare;
    this.past = this.past.filter(({ head, atMs }) => head === this.head && atMs >= since);
    return this.runtime.random.pick([...this.past.map(({ vdl }) => vdl), this.vdl, this.vdl, this.vdl]);
  }

  /** Reads one page where a reader of this region would, as a gateway does and from two nodes: all have to agree. */
  private readPage(): void {
    if (this.nowMs < this.readAtMs || this.head === genesisEpoch) return;
    this.readAtMs = this.nowMs + readEveryMs;
    const { nodes } = this.links;
    const first = this.runtime.random.below(nodes.length);
    const second = (first + 1 + this.runtime.random.below(nodes.length - 1)) % nodes.length;
    const page = this.runtime.random.pick(workloadPages);
    const { head } = this;
    const readPoint = this.somePoint();
    void this.links.readPages(head, readPoint, [page]).then((read) => {
      if (read.kind === 'pages')
        this.context.witness.pageRead(this.region, head, readPoint, page, read.pages[0] ?? null);
    });
    // A young snapshot is asked of all: no four of them may have let go of it. One whose answers come late was young once: the region
    // may have stood still meanwhile.
    const isOld = readPoint < this.vdl;
    const askedAtMs = this.nowMs;
    const { readPointAgeMs } = this.context.bounds.lowWater;
    const isYoung = (): boolean => this.nowMs - askedAtMs < readPointAgeMs * answerShare;
    let refusals = 0;
    for (const node of isOld ? nodes : [nodes[first], nodes[second]]) {
      if (node === undefined) continue;
      this.links.ask(node, { kind: 'readPages', head, readPoint, pages: [page] }, 2_000, (reply) => {
        if (reply.kind === 'refused' && reply.code === 'BELOW_FLOOR' && head === this.head && isYoung()) {
          refusals += 1;
          this.context.witness.snapshotRefused(this.region, head, readPoint, refusals);
        }
        if (reply.kind !== 'pages') return;
        const content = reply.pages[0] ?? null;
        this.context.witness.pageRead(`${this.region}/${node}`, head, readPoint, page, content);
      });
    }
  }
}

/** How the judges name a start of a gateway. */
export const writerName = (incarnation: string): string => `writer ${incarnation}`;

const describeEnd = (end: RecoveryResult): string =>
  end.kind === 'timeout'
    ? `timeout ${end.phase}`
    : end.kind === 'failed'
      ? `failed: ${end.reason}`
      : end.kind;
