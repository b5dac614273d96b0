/**
 * A gateway without SQL: the production writer role, recovery and volume under a workload whose transactions are page
 * changes. A write is executed here when this is the writer, sent to the writer over NATS when it is not, and
 * held while a move or a recovery is under way. A response leaves when VDL covers it and the lease is valid.
 */
import { z } from 'zod';
import { Drain } from '../../../gateway/reign/core/drain.ts';
import { type RecoveryEnd, roleEventOf } from '../../../gateway/reign/core/recovery-end.ts';
import { parseJson, subjectsOf } from '../../../regions/bus/core/messages.ts';
import type { ControlRecord } from '../../../regions/control/core/control-record.ts';
import type { LeaseLimits } from '../../../regions/control/core/lease.ts';
import { type RoleEffect, type RoleEvent, WriterRole } from '../../../regions/control/core/writer-role.ts';
import type { NodeLinks } from '../../../storage/client/node-links.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import type { Recovered } from '../../../storage/quorum/core/recovery.ts';
import { WriterDriver } from '../../../storage/quorum/writer-driver.ts';
import {
  type Epoch,
  epoch,
  genesisEpoch,
  type Lsn,
  lsn,
  mainBranch,
  regionId,
  unreachable,
  zeroLsn,
} from '../../../storage/redo/ids.ts';
import { volumeLimits } from '../../../storage/redo/limits.ts';
import type {
  BusPayload,
  LinkMessage,
  SimContext,
  SimProcess,
  SimRuntime,
  WriteOutcome,
} from '../deployment/sim-types.ts';
import { encodeWrite, type WrittenParts, workloadPages } from '../deployment/sim-workload.ts';
import { type Address, regionOf } from '../deployment/topology.ts';
import { RuntimeTwin } from '../ports/runtime.ts';
import type { BusClient, BusMessage } from '../twins/bus.ts';
import type { ControlEvent } from '../twins/control-bucket.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';
import type { Prng } from '../world/prng.ts';
import { SimControlStore } from './control-store.ts';
import { placeOf, RecoveryRun } from './drivers.ts';
import { LogFetch, RegionLinks } from './region-links.ts';

const tickUs = 50_000;
/** How long a write may wait for a writer. */
const holdMs = 8_000;
const retryMs = 100;
const heldMax = 10_000;
const readEveryMs = 700;
const gatherMs = 3;
/** A run whose recoveries are given up sooner than this is about that: requests to fork get lost in it. */
const hastyMs = 1_000;

type Answerer = (outcome: WriteOutcome) => void;
type Held = {
  readonly write: WrittenParts;
  readonly answer: Answerer;
  readonly deadlineMs: number;
  nextTryMs: number;
};
type Executed = {
  readonly write: WrittenParts;
  readonly answer: Answerer;
  readonly lsn: Lsn;
  readonly executedAtMs: number;
};
/** Sent to the writer; its answer is awaited until the deadline. */
type Forwarded = Held & { readonly id: string };

type Reign = {
  readonly epoch: Epoch;
  readonly driver: WriterDriver;
  /** Ends the watch of its nodes. */
  readonly unwatch: () => void;
  executed: Executed[];
  /** Under way while the writer drains. */
  drain: Drain | null;
};

export class SimGateway implements SimProcess {
  private readonly runtime: SimRuntime;
  private readonly context: SimContext;
  private readonly region: string;
  private readonly name: string;
  private readonly writer: string;
  private readonly time: RuntimeTwin;
  private readonly links: RegionLinks;
  private readonly log: LogFetch;
  private readonly role: WriterRole;
  private readonly store: SimControlStore;
  private readonly bus: BusClient<BusPayload>;
  private readonly roleEvents: RoleEvent[] = [];
  private stepping = false;
  private recovery: RecoveryRun | undefined;
  private recovered: { readonly epoch: Epoch; readonly outcome: Recovered } | undefined;
  private reign: Reign | undefined;
  private held: Held[] = [];
  private readonly forwarded = new Map<string, Forwarded>();
  private nextForward = 1;
  private head: Epoch = genesisEpoch;
  private vdl: Lsn = zeroLsn;
  private readAtMs = 0;
  private gathering = false;
  private readonly patience: Prng;

  constructor(runtime: SimRuntime, context: SimContext, name: string, limits: LeaseLimits) {
    this.runtime = runtime;
    this.context = context;
    this.region = regionOf(runtime.address);
    this.name = name;
    // Unique in the deployment, as the random one of a real gateway is: the record tells holders apart by nothing else.
    const incarnation = `${this.region}.${name}.${runtime.incarnation}`;
    this.writer = writerName(incarnation);
    this.time = new RuntimeTwin(runtime);
    this.links = new RegionLinks(runtime, this.time, this.region);
    this.log = new LogFetch(this.links, runtime.incarnation);
    this.role = new WriterRole(regionId(this.region), { gateway: name, incarnation }, limits);
    this.store = new SimControlStore(runtime.connectControl('control'), () => this.nowMs);
    this.bus = runtime.connectBus('sql');
    this.patience = runtime.random.stream('recovery');
  }

  onStart(): void {
    this.store.watch((reading) => {
      if (reading.kind !== 'record') return;
      const { view } = reading;
      this.context.witness.controlRecord(this.runtime.address, view.seq, view.record.epoch);
      this.roleStep({ kind: 'record', view });
    });
    this.bus.subscribe(this.sqlSubject(this.region, this.name));
    this.bus.subscribe(this.replySubject);
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

  onBus(_client: string, message: BusMessage<BusPayload>): void {
    if (message.subject === this.replySubject) {
      this.forwardAnswered(decodeOutcome(message.payload));
      return;
    }
    const { id, write } = decodeForward(message.payload);
    const { reply } = message;
    if (reply === undefined) return;
    const answer = (outcome: WriteOutcome): void => void this.bus.publish(reply, encodeJson({ id, outcome }));
    if (this.reign === undefined || this.reign.drain !== null) answer({ kind: 'retry' });
    else this.execute(this.reign, write, answer);
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

  private get replySubject(): string {
    return `sextant.${this.context.cluster}.reply.${this.region}.${this.name}-${this.runtime.incarnation}`;
  }

  /** The gateway is named too: of two in a region only the writer may take a write. */
  private sqlSubject(region: string, gateway: string): string {
    return `${subjectsOf(this.context.cluster).sql(regionId(region))}.${gateway}`;
  }

  private tick(): void {
    this.runtime.setTimer('tick', tickUs);
    this.store.tick();
    this.roleStep({ kind: 'tick' });
    this.endByAge();
    this.lookAtDrain();
    this.place();
    for (const [id, forward] of [...this.forwarded]) {
      if (this.nowMs < forward.deadlineMs || !this.forwarded.delete(id)) continue;
      // It may have been executed, or may still be: the message can lie in a buffer.
      forward.answer({ kind: 'unknown' });
    }
    this.readPage();
  }

  private roleStep(event: RoleEvent): void {
    this.roleEvents.push(event);
    if (this.stepping) return;
    this.stepping = true;
    for (let next = this.roleEvents.shift(); next !== undefined; next = this.roleEvents.shift()) {
      for (const effect of this.role.step(next, this.nowMs)) this.carryOut(effect);
    }
    this.stepping = false;
  }

  private carryOut(effect: RoleEffect): void {
    switch (effect.kind) {
      case 'write':
        this.store.compareAndSet(effect.expectedSeq, effect.record, (write) =>
          this.roleStep({ kind: 'written', write }),
        );
        return;
      case 'read':
        this.store.read((reading) => {
          if (reading.kind === 'record') this.roleStep({ kind: 'record', view: reading.view });
        });
        return;
      case 'recover':
        this.recover(effect.epoch);
        return;
      case 'open':
        this.open(effect.epoch);
        return;
      case 'drain':
        this.startDrain();
        return;
      case 'resume':
        this.endDrain();
        this.place();
        return;
      case 'close':
        this.runtime.note(`reign ${effect.epoch} ends: ${effect.reason}`);
        if (
          this.context.defects.has('ignore-lease') &&
          (effect.reason === 'lease-lapsed' || effect.reason === 'deposed')
        )
          return;
        this.close();
        return;
      default:
        unreachable(effect);
    }
  }

  private recover(reign: Epoch): void {
    this.close();
    const goal = { kind: 'fork', branch: mainBranch, epoch: reign } as const;
    const options = {
      skipsReplication: this.context.defects.has('skip-replication'),
      fetchBytesMax: this.context.bounds.fetchBytesMax,
      // Often sooner than a real gateway gives up: what the role makes of it is to be seen.
      timeoutMs: this.patience.within(this.context.recoveryMs),
      losesFork: () => this.context.recoveryMs.max < hastyMs && this.patience.perMille(400),
      onForking: (forks: readonly Fork[]) => this.context.witness.forking(this.region, reign, forks),
    };
    const ended = (end: RecoveryEnd): void => {
      this.runtime.note(`recovery of epoch ${reign}: ${describeEnd(end)}`);
      if (end.kind === 'timeout') this.context.witness.recoveryTimedOut(end.phase === 'forking');
      const event = roleEventOf(reign, end);
      if (event !== null) this.roleStep(event);
    };
    this.recovery = new RecoveryRun(this.links, this.time, goal, options, (result) => {
      if (result.kind === 'failed') this.runtime.note(`epoch ${reign} cannot be forked: ${result.reason}`);
      if (result.kind === 'recovered') {
        this.recovered = { epoch: reign, outcome: result.outcome };
        this.context.witness.forked(this.region, reign, result.outcome.forks);
      }
      ended(result);
    });
  }

  private open(reign: Epoch): void {
    const { recovered } = this;
    if (recovered?.epoch !== reign) throw new Error(`epoch ${reign} is opened and was not recovered`);
    const { forks, vdl } = recovered.outcome;
    const driver = new WriterDriver({
      region: this.witnessed(),
      epoch: reign,
      forks,
      forkLsn: vdl,
      onDurable: (durable) => this.durable(durable),
      onFenced: () => {
        // Only the defect that ignores the lease leaves a reign open that the role has ended.
        if (this.role.epoch !== reign) this.close();
        this.roleStep({ kind: 'fenced', epoch: reign });
      },
      onQuorumLost: (reason) => this.quorumLost(reign, reason),
      isMoreComing: () => this.gathering,
      place: placeOf(this.time, this.context),
    });
    const unwatch = this.links.watch({
      onNodeUp: () => undefined,
      onNodeDown: (node) => this.context.witness.nodeLost(this.region, node),
    });
    this.reign = { epoch: reign, driver, unwatch, executed: [], drain: null };
    this.context.witness.primaryDurable(this.region, reign, vdl);
    this.place();
  }

  /** This region's nodes; what they answer to the writer is told to the judges. */
  private witnessed(): NodeLinks {
    const { links, region } = this;
    const { witness } = this.context;
    return {
      nodes: links.nodes,
      azOf: (node) => links.azOf(node),
      watch: (watcher) => links.watch(watcher),
      notify: (node, request) => links.notify(node, request),
      ask: (node, request, timeoutMs, done) =>
        links.ask(node, request, timeoutMs, (answer) => {
          if (answer.kind === 'acked' && this.reign !== undefined)
            witness.appendAnswered(region, node, answer.scls);
          done(answer);
        }),
    };
  }

  private quorumLost(epoch: Epoch, reason: string): void {
    this.context.witness.quorumLost(this.region, epoch, reason);
    this.roleStep({ kind: 'quorumLost', epoch });
  }

  /** The defect counts the age of what waits, as was once done, whether it gets on or not. */
  private endByAge(): void {
    const { reign } = this;
    const oldest = reign?.executed[0];
    if (reign === undefined || oldest === undefined || !this.context.defects.has('age-ends-reign')) return;
    if (this.nowMs - oldest.executedAtMs <= volumeLimits.quorumLostAfterMs) return;
    reign.driver.close();
    this.quorumLost(reign.epoch, 'the defect: a record is old');
  }

  /** Nothing is acknowledged from here on; what is in flight is unknown to its clients. */
  private close(): void {
    this.recovery?.close();
    this.recovery = undefined;
    const { reign } = this;
    this.endDrain();
    this.reign = undefined;
    reign?.driver.close();
    reign?.unwatch();
    for (const { answer } of reign?.executed ?? []) answer({ kind: 'unknown' });
  }

  private durable(vdl: Lsn): void {
    const { reign } = this;
    if (reign === undefined) return;
    this.context.witness.primaryDurable(this.region, reign.epoch, vdl);
    const done = reign.executed.filter((executed) => executed.lsn <= vdl);
    reign.executed = reign.executed.filter((executed) => executed.lsn > vdl);
    for (const executed of done) this.acknowledge(reign, executed);
    this.lookAtDrain();
  }

  /** R24: the lease is looked at for every response. */
  private acknowledge(reign: Reign, { write, answer, lsn: position }: Executed): void {
    const { witness, defects } = this.context;
    if (!this.role.mayAcknowledge(this.nowMs) && !defects.has('ignore-lease')) {
      answer({ kind: 'unknown' });
      return;
    }
    const { region, writer } = this;
    witness.acknowledged({ writer, region, writeId: write.writeId, epoch: reign.epoch, lsn: position });
    answer({ kind: 'committed', region, epoch: reign.epoch, lsn: position });
  }

  private startDrain(): void {
    if (this.reign === undefined) return;
    this.reign.drain = new Drain(this.nowMs);
    this.reign.drain.step({ kind: 'opened' }, this.nowMs);
    this.lookAtDrain();
  }

  private endDrain(): void {
    if (this.reign === undefined) return;
    this.reign.drain?.step({ kind: 'ended' }, this.nowMs);
    this.reign.drain = null;
  }

  /** Transactions begin and commit at one moment here: only redo that is not durable yet can hold a drain up. */
  private lookAtDrain(): void {
    const { reign } = this;
    if (reign === undefined || reign.drain === null) return;
    const { vdl, lastLsn } = reign.driver;
    const view = { idle: 0, running: 0, isSettled: vdl === lastLsn, threadSilentMs: 0 };
    for (const effect of reign.drain.step({ kind: 'look', view }, this.nowMs))
      if (effect.kind === 'drained') this.roleStep({ kind: 'drained', epoch: reign.epoch, lsn: lastLsn });
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
      if (this.reign?.drain === null && this.reign.driver.hasRoom)
        this.execute(this.reign, held.write, held.answer);
      else if (this.nowMs >= held.deadlineMs) held.answer({ kind: 'refused' });
      else if (this.mayForward && this.nowMs >= held.nextTryMs) this.forward(held);
      else this.held.push(held);
    }
  }

  private get mayForward(): boolean {
    const { record } = this.role;
    if (this.reign !== undefined || record === null || record.holder === null || record.move !== null)
      return false;
    return record.primary !== this.region || record.holder.gateway !== this.name;
  }

  private execute(reign: Reign, write: WrittenParts, answer: Answerer): void {
    const times = this.context.defects.has('apply-twice') && write.parts.length === 4 ? 2 : 1;
    let position: Lsn = zeroLsn;
    for (let time = 0; time < times; time += 1)
      position = reign.driver.commit(encodeWrite(write, this.runtime.wallUs()));
    reign.executed.push({ write, answer, lsn: position, executedAtMs: this.nowMs });
    this.gather(reign);
  }

  /** Now and then the writer says that more is coming, and a crowd's batch waits for it. */
  private gather(reign: Reign): void {
    if (this.gathering || !this.runtime.random.perMille(100)) return;
    this.gathering = true;
    this.time.after(gatherMs, () => {
      this.gathering = false;
      reign.driver.gathered();
    });
  }

  private forward(held: Held): void {
    const { record } = this.role;
    if (record === null || record.holder === null) return;
    const id = `${this.writer}/${this.nextForward}`;
    this.nextForward += 1;
    this.forwarded.set(id, { ...held, id });
    this.bus.publish(
      this.sqlSubject(record.primary, record.holder.gateway),
      encodeJson({ id, write: held.write }),
      this.replySubject,
    );
  }

  private forwardAnswered({ id, outcome }: { readonly id: string; readonly outcome: WriteOutcome }): void {
    const forward = this.forwarded.get(id);
    if (forward === undefined) return;
    this.forwarded.delete(id);
    if (outcome.kind === 'retry') this.held.push({ ...forward, nextTryMs: this.nowMs + retryMs });
    else forward.answer(outcome);
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
    this.log.fetch(request, (reply) => {
      if (reply === null || reply.head < this.head) {
        this.runtime.setTimer('tail', tickUs);
        return;
      }
      if (reply.head > this.head || reply.vdl > this.vdl) {
        this.head = reply.head;
        this.vdl = reply.vdl;
        this.roleStep({ kind: 'regionVdl', head: this.head, vdl: this.vdl });
      }
      this.tail();
    });
  }

  /** Reads one page where a reader of this region would, from two nodes, which have to agree. */
  private readPage(): void {
    if (this.nowMs < this.readAtMs || this.head === genesisEpoch) return;
    this.readAtMs = this.nowMs + readEveryMs;
    const { nodes } = this.links;
    const first = this.runtime.random.below(nodes.length);
    const second = (first + 1 + this.runtime.random.below(nodes.length - 1)) % nodes.length;
    const page = this.runtime.random.pick(workloadPages);
    const { head, vdl: readPoint } = this;
    for (const node of [nodes[first], nodes[second]]) {
      if (node === undefined) continue;
      this.links.ask(node, { kind: 'readPages', head, readPoint, pages: [page] }, 2_000, (reply) => {
        if (reply.kind !== 'pages') return;
        const content = reply.pages[0] ?? null;
        this.context.witness.pageRead(`${this.region}/${node}`, head, readPoint, page, content);
      });
    }
  }
}

/** How the judges name a start of a gateway. */
export const writerName = (incarnation: string): string => `writer ${incarnation}`;

const describeEnd = (end: RecoveryEnd): string =>
  end.kind === 'timeout' ? `timeout ${end.phase}` : end.kind;

const encodeJson = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

const forwardSchema = z.object({
  id: z.string(),
  write: z.object({
    writeId: z.string(),
    parts: z.array(z.object({ page: z.int(), offset: z.int(), whole: z.boolean() })),
  }),
});
const outcomeSchema = z.object({
  id: z.string(),
  outcome: z.discriminatedUnion('kind', [
    z.object({
      kind: z.literal('committed'),
      region: z.string(),
      epoch: z.int().transform(epoch),
      lsn: z.int().transform(lsn),
    }),
    z.object({ kind: z.literal('unknown') }),
    z.object({ kind: z.literal('refused') }),
    z.object({ kind: z.literal('retry') }),
  ]),
});

function decodeForward(bytes: BusPayload): z.infer<typeof forwardSchema> {
  const parsed = parseJson(forwardSchema, Buffer.from(bytes).toString('utf8'));
  if (parsed.kind === 'malformed') throw new Error(`a forwarded write cannot be read: ${parsed.reason}`);
  return parsed.value;
}

function decodeOutcome(bytes: BusPayload): { readonly id: string; readonly outcome: WriteOutcome } {
  const parsed = parseJson(outcomeSchema, Buffer.from(bytes).toString('utf8'));
  if (parsed.kind === 'malformed') throw new Error(`the outcome of a write cannot be read: ${parsed.reason}`);
  return parsed.value;
}
