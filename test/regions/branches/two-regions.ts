/** Two regions with an agent and six storage nodes each, over a bus that a test can cut, and writers of main and of branches. */

import { RegionAgent } from '../../../regions/agent/region-agent.ts';
import type { NatsMessage } from '../../../regions/bus/nats-connection.ts';
import { changeControl } from '../../../regions/control/control-link.ts';
import { branchNamed } from '../../../regions/control/core/branch-list.ts';
import { reignOfBranch } from '../../../regions/control/core/branch-record.ts';
import type {
  ControlReading,
  ControlStore,
  ControlWrite,
} from '../../../regions/control/core/control-port.ts';
import {
  acquire,
  beginFailover,
  type ControlRecord,
  checkControlRecord,
  completeMove,
  type Holder,
  initialControlRecord,
} from '../../../regions/control/core/control-record.ts';
import { defaultLeaseLimits } from '../../../regions/control/core/lease.ts';
import type { LossReport } from '../../../regions/moves/core/loss-report.ts';
import type { AgentReply } from '../../../regions/moves/core/operations.ts';
import type { LossKeeper } from '../../../regions/moves/loss-store.ts';
import { noLagMemory } from '../../../regions/replication/core/lag-memory.ts';
import { openRegionReceiver } from '../../../regions/replication/receiving.ts';
import type { RegionClient } from '../../../storage/client/region-client.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { runRecovery } from '../../../storage/quorum/recovery-driver.ts';
import { WriterDriver } from '../../../storage/quorum/writer-driver.ts';
import {
  type BranchName,
  branchName,
  type Epoch,
  type Lsn,
  mainBranch,
  type NodeId,
  pageNo,
  type RegionId,
  regionId,
} from '../../../storage/redo/ids.ts';
import type { KnownBranches, RetainRequest } from '../../../storage/wire/core/messages.ts';
import { disabledTelemetry } from '../../../telemetry/index.ts';
import { eventually, silent, smallMtr, startRegion, type TestRegion } from '../../storage/region-harness.ts';
import { next } from '../control-records.ts';

export const [us, eu] = [regionId('us-east-1'), regionId('eu-west-1')];
export const holder: Holder = { gateway: 'g1', incarnation: 'a' };

/** What an agent keeps of lost writes, in memory. */
class Losses implements LossKeeper {
  all: LossReport[] = [];

  get epochs(): readonly number[] {
    return this.all.map(({ orphanEpoch }) => orphanEpoch);
  }

  reportedFrom(orphanEpoch: number): number | null {
    const starts = this.all.filter((report) => report.orphanEpoch === orphanEpoch).map((of) => of.fromLsn);
    return starts.length === 0 ? null : Math.min(...starts);
  }

  async save(report: LossReport): Promise<void> {
    this.all.push(report);
  }
}

/** One record in memory, and who watches it. */
class MemoryStore implements ControlStore {
  seq = 1;
  record: ControlRecord;
  private readonly watchers = new Set<(reading: ControlReading) => void>();

  constructor(record: ControlRecord) {
    this.record = record;
  }

  private get reading(): ControlReading {
    return { kind: 'record', view: { seq: this.seq, record: this.record } };
  }

  read(done: (reading: ControlReading) => void): void {
    const { reading } = this;
    queueMicrotask(() => done(reading));
  }

  compareAndSet(expectedSeq: number, record: ControlRecord, done: (write: ControlWrite) => void): void {
    checkControlRecord(record);
    const isWon = expectedSeq === this.seq;
    if (isWon) {
      this.seq += 1;
      this.record = record;
    }
    const write: ControlWrite = isWon ? { kind: 'won', seq: this.seq } : { kind: 'lost' };
    const { reading } = this;
    queueMicrotask(() => {
      done(write);
      if (isWon) for (const watcher of this.watchers) watcher(reading);
    });
  }

  watch(onReading: (reading: ControlReading) => void): () => void {
    this.watchers.add(onReading);
    const { reading } = this;
    queueMicrotask(() => onReading(reading));
    return () => void this.watchers.delete(onReading);
  }
}

interface Subscription {
  readonly subject: string;
  readonly by: RegionId;
  readonly deliver: (message: NatsMessage) => void;
}

/** Subjects between the regions; `isCut`: nothing crosses. */
class Bus {
  isCut = false;
  /** Messages of redo to secondaries, by connection. */
  readonly shipped = new Map<string, number>();
  private readonly subscriptions = new Set<Subscription>();

  publish(by: RegionId, subject: string, data: Uint8Array, connection = 'main'): 'sent' {
    if (subject.includes('.ship.')) this.shipped.set(connection, (this.shipped.get(connection) ?? 0) + 1);
    const copy = data.slice();
    for (const subscription of this.subscriptions) {
      const pattern = subscription.subject;
      const isMeant =
        pattern === subject || (pattern.endsWith('*') && subject.startsWith(pattern.slice(0, -1)));
      if (!isMeant || (this.isCut && subscription.by !== by)) continue;
      setImmediate(() => {
        if (this.subscriptions.has(subscription)) subscription.deliver(messageOf(subject, copy));
      });
    }
    return 'sent';
  }

  subscribe(by: RegionId, subject: string, deliver: (message: NatsMessage) => void): () => void {
    const subscription = { subject, by, deliver };
    this.subscriptions.add(subscription);
    return () => void this.subscriptions.delete(subscription);
  }
}

function messageOf(subject: string, data: Uint8Array): NatsMessage {
  return {
    subject,
    data,
    wantsAnswer: false,
    header: () => undefined,
    respond: () => 'sent',
    passOver: () => undefined,
  };
}

/** A reign of a line of history: what it has written, and up to where that is durable. */
export class LineWriter {
  readonly driver: WriterDriver;
  readonly name: BranchName;
  readonly epoch: Epoch;
  readonly begunAt: Lsn;
  /** Fencing, or a lost quorum. */
  over: string | null = null;
  private seed = 0;

  constructor(
    client: RegionClient,
    at: { readonly name: BranchName; readonly epoch: Epoch; readonly forkLsn: Lsn },
    forks: ConstructorParameters<typeof WriterDriver>[0]['forks'],
  ) {
    this.name = at.name;
    this.epoch = at.epoch;
    this.begunAt = at.forkLsn;
    this.driver = new WriterDriver({
      region: client,
      epoch: at.epoch,
      forks,
      forkLsn: at.forkLsn,
      onDurable: () => undefined,
      onFenced: (by) => {
        this.over = `fenced by ${by}`;
      },
      onQuorumLost: (reason) => {
        this.over = reason;
      },
    });
  }

  /** Commits so many transactions. @param page of all of them. @returns the LSN of the last, once it is durable. */
  async write(count: number, page = 1): Promise<Lsn> {
    let end = this.driver.lastLsn;
    for (let at = 0; at < count; at += 1) end = this.driver.commit(smallMtr(page, ++this.seed));
    await eventually(`${this.name} is durable at ${end}`, () => this.driver.vdl >= end || this.over !== null);
    if (this.over !== null) throw new Error(`${this.name}: ${this.over}`);
    return end;
  }
}

export class TwoRegions {
  readonly store = new MemoryStore(
    next(acquire(initialControlRecord(us), { region: us, holder, lapsed: false })),
  );
  readonly bus = new Bus();
  readonly nodes = new Map<RegionId, TestRegion>();
  readonly clients = new Map<RegionId, RegionClient>();
  readonly agents = new Map<RegionId, RegionAgent>();
  /** What each region has reported as lost. */
  readonly losses = { [us]: new Losses(), [eu]: new Losses() };
  /** What an agent last told its nodes to keep. */
  readonly retained = new Map<RegionId, RetainRequest>();
  /** The nodes of these regions say of themselves what they said before. */
  readonly outdated = new Set<RegionId>();
  private readonly writers: LineWriter[] = [];

  async start(): Promise<void> {
    for (const region of [us, eu]) {
      const nodes = await startRegion();
      this.nodes.set(region, nodes);
      const client = nodes.client();
      this.clients.set(region, client);
      const request = client.request.bind(client);
      const said = new Map<NodeId, Awaited<ReturnType<RegionClient['request']>>>();
      client.request = async (node, asked, timeoutMs) => {
        if (asked.kind === 'retain') this.retained.set(region, asked);
        if (asked.kind !== 'status' || asked.known === true) return request(node, asked, timeoutMs);
        const before = this.outdated.has(region) ? said.get(node) : undefined;
        const reply = before ?? (await request(node, asked, timeoutMs));
        said.set(node, reply);
        return reply;
      };
    }
    for (const region of [us, eu]) this.startAgent(region);
  }

  client(region: RegionId): RegionClient {
    const client = this.clients.get(region);
    if (client === undefined) throw new Error(`${region} is not started`);
    return client;
  }

  agent(region: RegionId): RegionAgent {
    const agent = this.agents.get(region);
    if (agent === undefined) throw new Error(`${region} has no agent`);
    return agent;
  }

  lossesOf(region: RegionId): Losses {
    const losses = this.losses[region];
    if (losses === undefined) throw new Error(`${region} keeps no losses`);
    return losses;
  }

  startAgent(region: RegionId): void {
    const links = this.client(region);
    const { bus } = this;
    const agent = new RegionAgent({
      cluster: 'test',
      region,
      regions: [us, eu],
      probe: async () => null,
      addresses: { agent: '127.0.0.1:1', gateway: '127.0.0.1:2' },
      lease: defaultLeaseLimits,
      links,
      store: this.store,
      nats: {
        connected: true,
        publish: (subject, data) => bus.publish(region, subject, data),
        subscribe: (subject, deliver) => bus.subscribe(region, subject, deliver),
        request: async () => ({ kind: 'no-responders' }),
      },
      replication: {
        region: links,
        connect: (purpose) => ({
          maxPayloadBytes: 1_048_576,
          publish: (subject, data) => bus.publish(region, subject, data, purpose),
          close: async () => undefined,
        }),
        openReceiver: (at, on) => openRegionReceiver(links, at, on),
        onStalled: () => undefined,
      },
      recover: (goal) => runRecovery(links, goal, { timeoutMs: 5_000 }),
      losses: this.lossesOf(region),
      operations: { kept: [], keep: () => undefined },
      lags: { memory: noLagMemory, note: () => undefined, keepOnly: () => undefined },
      retention: { hours: 1 },
      retentionEveryMs: 200,
      onReading: () => undefined,
      runtime: machine,
      telemetry: disabledTelemetry,
      log: silent,
    });
    this.agents.set(region, agent);
    agent.start();
  }

  async stopAgent(region: RegionId): Promise<void> {
    await this.agent(region).close();
    this.agents.delete(region);
  }

  /** Recovers a line of history under an epoch that the record has allotted, and begins to write it. */
  async open(name: BranchName, epoch: Epoch, region = us): Promise<LineWriter> {
    const client = this.client(region);
    const result = await runRecovery(client, { kind: 'fork', branch: name, epoch }, { timeoutMs: 10_000 });
    if (result.kind !== 'recovered') throw new Error(`recovery of ${name}: ${JSON.stringify(result)}`);
    const { forks, vdl } = result.outcome;
    const writer = new LineWriter(client, { name, epoch, forkLsn: vdl }, forks);
    this.writers.push(writer);
    return writer;
  }

  openMain(): Promise<LineWriter> {
    return this.open(mainBranch, this.store.record.epoch);
  }

  /** Takes the primary over with what is there, and begins to write `main`. */
  async failover(to: RegionId): Promise<LineWriter> {
    const id = `f${this.store.seq}`;
    const by = { gateway: 'g1', incarnation: `${to} ${id}` };
    for (const change of [
      (record: ControlRecord) =>
        beginFailover(record, { id, to, allowDataLoss: true, startedAtMs: 1, lapsed: true }),
      (record: ControlRecord) => completeMove(record, { id, region: to, holder: by }),
    ]) {
      const changed = await changeControl(this.store, ({ record }) => change(record));
      if (changed.kind !== 'changed') throw new Error(`failover to ${to}: ${JSON.stringify(changed)}`);
    }
    const writer = await this.open(mainBranch, this.store.record.epoch, to);
    await eventually(`${to} ships`, () => this.agent(to).isPrimary);
    return writer;
  }

  /** The holder of the lease takes a branch's next epoch and writes it. */
  async reign(name: string, region = us): Promise<LineWriter> {
    const branch = branchName(name);
    const by = this.store.record.holder ?? holder;
    const changed = await changeControl(this.store, ({ record }) =>
      reignOfBranch(record, { name: branch, holder: by }),
    );
    if (changed.kind !== 'changed') throw new Error(`reign of ${name}: ${JSON.stringify(changed)}`);
    const epoch = branchNamed(changed.view.record, name)?.epoch;
    if (epoch === undefined) throw new Error(`${name} has no epoch`);
    return this.open(branch, epoch, region);
  }

  async create(name: string, more: { at?: string | number; from?: string } = {}): Promise<AgentReply> {
    return this.agent(us).serve({ kind: 'create-branch', branch: { name, from: mainBranch, ...more } });
  }

  /** What the nodes of a region that answer know of branches, now. */
  async known(region: RegionId): Promise<readonly KnownBranches[]> {
    const client = this.client(region);
    const replies = await Promise.all(
      client.nodes.map((node) => client.request(node, { kind: 'status', known: true }, 1_000)),
    );
    return replies.flatMap((reply) => (reply.kind === 'status' && reply.known ? [reply.known] : []));
  }

  /** Resolves once all nodes of a region, which began empty, have heard of each other which branches there are. */
  async whole(region: RegionId): Promise<void> {
    await eventually(`the nodes of ${region} know all branches`, async () => {
      const known = await this.known(region);
      return known.length === this.client(region).nodes.length && known.every(({ isWhole }) => isWhole);
    });
  }

  /** Resolves once the nodes of a region have been told twice more what to keep. */
  async toldAnew(region: RegionId): Promise<void> {
    for (const time of ['once', 'twice']) {
      this.retained.delete(region);
      await eventually(`the nodes of ${region} are told ${time}`, () => this.retained.has(region));
    }
  }

  /** How far a region is with a branch, by its own report. */
  reported(region: RegionId, name: string): { readonly epoch: number; readonly vdl: number } | undefined {
    return this.agents.get(region)?.standing.branches?.find((branch) => branch.name === name);
  }

  /** Resolves once a region has all of what a line's writer has durable. */
  async level(region: RegionId, writer: LineWriter): Promise<void> {
    const at = () => {
      if (writer.name !== mainBranch) return this.reported(region, writer.name);
      const { held } = this.agent(region).survivor();
      return held === null ? undefined : { epoch: held.epoch, vdl: held.vdl };
    };
    await eventually(`${region} has ${writer.name} up to ${writer.driver.vdl}`, () => {
      const reached = at();
      return reached !== undefined && reached.epoch >= writer.epoch && reached.vdl >= writer.driver.vdl;
    });
  }

  /** One page as a reader of a region sees it. */
  async page(region: RegionId, head: Epoch, readPoint: Lsn, page = 1): Promise<string> {
    const outcome = await this.client(region).readPages(head, readPoint, [pageNo(page)]);
    if (outcome.kind !== 'pages') throw new Error(`page ${page} in ${region}: ${JSON.stringify(outcome)}`);
    const [bytes] = outcome.pages;
    return bytes === null || bytes === undefined ? 'none' : Buffer.from(bytes).toString('base64');
  }

  async close(): Promise<void> {
    for (const { driver } of this.writers) driver.close();
    for (const agent of this.agents.values()) await agent.close();
    for (const nodes of this.nodes.values()) await nodes.close();
  }
}
