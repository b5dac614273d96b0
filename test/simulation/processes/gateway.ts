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
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import type { Recovered } from '../../../storage/quorum/core/recovery.ts';
import { Volume } from '../../../storage/quorum/core/writer-volume.ts';
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
import type { BusClient, BusMessage } from '../twins/bus.ts';
import type { ControlEvent } from '../twins/control-bucket.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';
import type { Prng } from '../world/prng.ts';
import { SimControlStore } from './control-store.ts';
import { QuorumDriver, type QuorumMachine, RecoveryRun } from './drivers.ts';
import { LogFetch, RegionLinks } from './region-links.ts';

const tickUs = 50_000;
/** How long a write may wait for a writer. */
const holdMs = 8_000;
const retryMs = 100;
const heldMax = 10_000;
const readEveryMs = 700;

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
  readonly volume: Volume;
  readonly driver: QuorumDriver;
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
  private readonly links: RegionLinks;
  private readonly log: LogFetch;
  private readonly role: WriterRole;
  private readonly store: SimControlStore;
  private readonly bus: BusClient<BusPayload>;
  private readonly roleEvents: RoleEvent[] = [];
  private stepping = false;
  private recovery: { readonly run: RecoveryRun; readonly untilMs: number; timedOut(): void } | undefined;
  private recovered: { readonly epoch: Epoch; readonly outcome: Recovered } | undefined;
  private reign: Reign | undefined;
  private held: Held[] = [];
  private readonly forwarded = new Map<string, Forwarded>();
  private nextForward = 1;
  private head: Epoch = genesisEpoch;
  private vdl: Lsn = zeroLsn;
  private readAtMs = 0;
  private readonly patience: Prng;

  constructor(runtime: SimRuntime, context: SimContext, name: string, limits: LeaseLimits) {
    this.runtime = runtime;
    this.context = context;
    this.region = regionOf(runtime.address);
    this.name = name;
    // Unique in the deployment, as the random one of a real gateway is: the record tells holders apart by nothing else.
    const incarnation = `${this.region}.${name}.${runtime.incarnation}`;
    this.writer = writerName(incarnation);
    this.links = new RegionLinks(runtime, this.region);
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
    if (name === 'links') this.links.settle();
    else if (name === 'tail') this.tail();
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
    this.links.tick();
    this.roleStep({ kind: 'tick' });
    this.recovery?.run.tick();
    this.endRecovery();
    this.reign?.driver.tick();
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
    let phase = 'before the fork';
    const goal = { kind: 'fork', branch: mainBranch, epoch: reign } as const;
    const options = {
      skipsReplication: this.context.defects.has('skip-replication'),
      fetchBytesMax: this.context.bounds.fetchBytesMax,
      onForking: (forks: readonly Fork[]) => {
        phase = 'forking';
        this.context.witness.forking(this.region, reign, forks);
      },
    };
    const ended = (end: RecoveryEnd): void => {
      this.runtime.note(`recovery of epoch ${reign}: ${describeEnd(end)}`);
      if (end.kind === 'timeout') this.context.witness.recoveryTimedOut(end.phase === 'forking');
      const event = roleEventOf(reign, end);
      if (event !== null) this.roleStep(event);
    };
    const run = new RecoveryRun(this.links, goal, options, (result) => {
      if (result.kind === 'failed') this.runtime.note(`epoch ${reign} cannot be forked: ${result.reason}`);
      if (result.kind === 'recovered') {
        this.recovered = { epoch: reign, outcome: result.outcome };
        this.context.witness.forked(this.region, reign, result.outcome.forks);
      }
      ended(result.kind === 'timeout' ? { kind: 'timeout', phase } : result);
    });
    const timedOut = (): void => ended({ kind: 'timeout', phase });
    this.recovery = { run, untilMs: this.nowMs + this.patience.within(this.context.recoveryMs), timedOut };
    run.start();
  }

  /** Sooner than the run itself gives up: what the role makes of it is to be seen often. */
  private endRecovery(): void {
    const { recovery } = this;
    if (recovery === undefined || recovery.run.isOver || this.nowMs < recovery.untilMs) return;
    recovery.run.close();
    recovery.timedOut();
  }

  private open(reign: Epoch): void {
    const { recovered } = this;
    if (recovered?.epoch !== reign) throw new Error(`epoch ${reign} is opened and was not recovered`);
    const { forks, vdl } = recovered.outcome;
    const { nodes } = this.links;
    const volume = new Volume({
      nodes,
      epoch: reign,
      forks,
      forkLsn: vdl,
      nowMs: this.nowMs,
      bounds: this.context.bounds.quorum,
    });
    const machine: QuorumMachine = {
      step: (event, nowMs) => {
        const effects = volume.step(event, nowMs);
        return event.kind === 'farewell' ? effects : [...effects, ...volume.flush(nowMs)];
      },
    };
    const driver = new QuorumDriver(this.links, reign, machine, {
      onDurable: (durable) => this.durable(durable),
      onFenced: () => {
        // Only the defect that ignores the lease leaves a reign open that the role has ended.
        if (this.role.epoch !== reign) this.close();
        this.roleStep({ kind: 'fenced', epoch: reign });
      },
      onQuorumLost: (reason) => this.quorumLost(reign, reason),
      onAcked: (node, scls) => this.context.witness.appendAnswered(this.region, node, scls),
      onNodeDown: (node) => this.context.witness.nodeLost(this.region, node),
    });
    this.reign = { epoch: reign, volume, driver, executed: [], drain: null };
    this.context.witness.primaryDurable(this.region, reign, vdl);
    driver.open();
    this.place();
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
    this.recovery?.run.close();
    this.recovery = undefined;
    const { reign } = this;
    this.endDrain();
    this.reign = undefined;
    reign?.driver.close();
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
    const { vdl, lastLsn } = reign.volume;
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
      if (this.reign?.drain === null && this.reign.volume.hasRoom)
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
      position = reign.volume.commit(encodeWrite(write, this.runtime.wallUs()));
    reign.executed.push({ write, answer, lsn: position, executedAtMs: this.nowMs });
    reign.driver.carryOut(reign.volume.flush(this.nowMs));
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

  /** Reads one page where a reader of this region would, from one node. */
  private readPage(): void {
    if (this.nowMs < this.readAtMs || this.head === genesisEpoch) return;
    this.readAtMs = this.nowMs + readEveryMs;
    const node = this.runtime.random.pick(this.links.nodes);
    const page = this.runtime.random.pick(workloadPages);
    const { head, vdl: readPoint } = this;
    this.links.ask(node, { kind: 'readPages', head, readPoint, pages: [page] }, 2_000, (reply) => {
      if (reply.kind !== 'pages') return;
      this.context.witness.pageRead(`${this.region}/${node}`, head, readPoint, page, reply.pages[0] ?? null);
    });
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
