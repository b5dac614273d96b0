/** The agent of one region as `Moves` sees it, on a store and reports that a test moves by hand. Timers are to be faked. */
import { pino } from 'pino';
import { vi } from 'vitest';
import type {
  ControlReading,
  ControlStore,
  ControlView,
  ControlWrite,
} from '../../../../regions/control/core/control-port.ts';
import {
  acquire,
  type ControlRecord,
  type Holder,
  initialControlRecord,
  type Transition,
} from '../../../../regions/control/core/control-record.ts';
import { ControlSight } from '../../../../regions/control/core/control-sight.ts';
import { ChallengerTimer, defaultLeaseLimits } from '../../../../regions/control/core/lease.ts';
import type { Survivor } from '../../../../regions/control/core/survivors.ts';
import type { BranchLack } from '../../../../regions/moves/core/branch-lacks.ts';
import type { FailoverWish, KeptOperation } from '../../../../regions/moves/core/operation-log.ts';
import type { Operation } from '../../../../regions/moves/core/operations.ts';
import { MoveTraces } from '../../../../regions/moves/move-traces.ts';
import { Moves } from '../../../../regions/moves/moves.ts';
import { ClusterView } from '../../../../regions/status/core/cluster-view.ts';
import type { RegionReport } from '../../../../regions/status/core/report.ts';
import { machine } from '../../../../storage/process/runtime.ts';
import { epoch, lsn, regionId } from '../../../../storage/redo/ids.ts';
import type { SpanFact } from '../../../../telemetry/index.ts';
import { next } from '../../control-records.ts';

export const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
export const old: Holder = { gateway: 'g1', incarnation: 'us' };
export const fresh: Holder = { gateway: 'g1', incarnation: 'eu' };

/** What a region says that it holds. */
interface Told {
  readonly epoch: number;
  readonly vdl: number | null;
  readonly primaryVdl?: number;
}

/** The agent of eu-west-1 as `Moves` sees it: a store, and what the agent has seen of it, which a test may hold back. */
export class Agent implements ControlStore {
  record: ControlRecord = next(acquire(initialControlRecord(us), { region: us, holder: old, lapsed: false }));
  seq = 2;
  /** False: the agent's own watch brings nothing; what it reads itself it learns all the same. */
  watches = true;
  following = true;
  held: Survivor['held'] = { epoch: epoch(1), vdl: lsn(90), forks: [] };
  followed: Survivor['followed'] = us;
  primaryVdl: Survivor['primaryVdl'] = lsn(100);
  readonly sight = new ControlSight(2_500);
  writes: ControlWrite['kind'][] = [];
  /** Answers the next write with `unknown`, after carrying it out. */
  losesAnswers = 0;
  /** What reads bring once `goodReads` have brought the record. */
  reading: ControlReading | null = null;
  goodReads = 0;
  readonly view = new ClusterView('c1', [us, eu, ap]);
  readonly challenger = new ChallengerTimer(defaultLeaseLimits);
  readonly moves: Moves;

  /** Regions whose redo was asked for, and what sealing the old region comes to. */
  readonly pulls: string[] = [];
  sealed: readonly string[] = [];
  isFenced = false;
  kept: readonly KeptOperation[] = [];
  levelMsAgo: number | null = 0;
  /** What another region was heard to have more of branches. */
  lacks: readonly BranchLack[] = [];
  /** What was told of moves. */
  readonly spans: SpanFact[] = [];

  constructor(kept: readonly KeptOperation[] = []) {
    this.moves = new Moves({
      lease: defaultLeaseLimits,
      pull: (from) => void this.pulls.push(from),
      lackedOf: (region) => (region === us ? this.lacks : []),
      seal: async (region) => {
        this.sealed = [...this.sealed, region];
        return this.isFenced ? 'fenced' : 'unreachable';
      },
      operations: {
        kept,
        keep: (operations) => {
          this.kept = operations;
        },
      },
      traces: new MoveTraces('c1', {
        enabled: true,
        recordMany: (facts) => void this.spans.push(...facts),
      }),
      runtime: machine,
      region: eu,
      store: this,
      view: this.view,
      challenger: this.challenger,
      sight: this.sight,
      looked: (reading) => this.looked(reading),
      me: () => ({
        region: eu,
        held: this.held,
        followed: this.followed,
        heardMsAgo: 0,
        primaryVdl: this.primaryVdl,
        levelMsAgo: this.levelMsAgo,
      }),
      tellView: () => this.tellsOfItself(),
      neighbours: () => ({ heard: [ap], silent: [us] }),
      highestEpoch: () => 1,
      forkOf: () => this.fork,
      lastCommit: async () => this.lastCommit,
      log: pino({ level: 'silent' }),
    });
    this.saw();
    this.reports({});
  }

  /** Where the new reign forked, once the agent has read its path. */
  fork: ReturnType<typeof lsn> | null = lsn(90);

  /** The last write kept was made three seconds before the test, by a clock that is 500 ms ahead of ours. */
  lastCommit: { readonly atUs: number; readonly aheadUs: number } | null = {
    atUs: Date.now() * 1_000 - 3_000_000 + 500_000,
    aheadUs: 500_000,
  };

  get current(): ControlView {
    return { seq: this.seq, record: this.record };
  }

  /** Somebody changes the record. */
  change(transition: Transition): void {
    this.record = next(transition);
    this.seq += 1;
    this.saw();
  }

  /** The record says that this region is primary, in epoch 2. */
  takes(region: typeof eu): void {
    this.change(acquire(initialControlRecord(region, epoch(1)), { region, holder: fresh, lapsed: false }));
  }

  saw(): void {
    if (this.watches) this.looked({ kind: 'record', view: this.current });
  }

  private looked(reading: ControlReading): void {
    if (!this.sight.saw(reading, performance.now()) || reading.kind !== 'record') return;
    this.challenger.saw(reading.view.seq, performance.now());
    this.view.saw(reading.view.record);
  }

  /** The third region's agent says what it holds. */
  third(held: Told): void {
    this.tells(ap, held);
  }

  /** The primary's agent says what its region holds. */
  primaryHolds(vdl: number): void {
    this.tells(us, { epoch: 1, vdl });
  }

  private tells(region: typeof eu, held: Told): void {
    this.view.heard(
      {
        kind: 'region',
        v: 1,
        region,
        agent: 'a',
        gateway: null,
        epoch: held.epoch,
        vdl: held.vdl,
        following: true,
        followed: us,
        primaryVdl: held.primaryVdl ?? 100,
        nodes: [],
        lag: [],
        lossEpochs: [],
        sentAtMs: 0,
      },
      performance.now(),
    );
  }

  /** Reports arrive; what is left out is healthy. */
  reports(change: {
    readonly lagMs?: number;
    readonly usPhase?: 'writing' | 'reading';
    readonly usEpoch?: number;
    readonly eu?: null | { phase: 'writing' | 'reading'; epoch: number | null };
  }): void {
    const {
      lagMs = 40,
      usPhase = 'writing',
      usEpoch = 1,
      eu: target = { phase: 'reading', epoch: null },
    } = change;
    const numbers = { v: 1 as const, epoch: 1, vdl: 90, primaryVdl: 100, sentAtMs: 0 };
    const region = {
      ...numbers,
      kind: 'region' as const,
      agent: 'a',
      gateway: null,
      nodes: ['n1', 'n2', 'n3', 'n4'].map((id) => ({
        id,
        az: 'a',
        state: 'up' as const,
        scl: 90,
        pid: 1,
        address: 'a',
      })),
      lossEpochs: [],
    };
    const gateway = {
      kind: 'gateway',
      v: 1,
      gateway: 'g1',
      address: 'a',
      pid: 1,
      ready: true,
      vdl: 90,
    } as const;
    const nowMs = performance.now();
    this.view.heard(
      {
        ...region,
        region: us,
        following: false,
        lag: [{ region: eu, lagBytes: 10, lagMs, vdl: 90, online: true }],
      },
      nowMs,
    );
    this.tellSelf = () => ({
      ...region,
      region: eu,
      following: this.following,
      followed: this.followed,
      lag: [],
    });
    this.tellsOfItself();
    this.view.heard({ ...gateway, region: us, phase: usPhase, epoch: usEpoch }, nowMs);
    if (target !== null) this.view.heard({ ...gateway, region: eu, ...target }, nowMs);
  }

  /** The newest report of eu-west-1, made of what it knows now. */
  private tellSelf: (() => RegionReport & { readonly kind: 'region' }) | null = null;

  private tellsOfItself(): void {
    if (this.tellSelf !== null) this.view.heard(this.tellSelf(), performance.now());
  }

  read(done: (reading: ControlReading) => void): void {
    this.goodReads -= 1;
    const found: ControlReading = { kind: 'record', view: this.current };
    done(this.goodReads >= 0 ? found : (this.reading ?? found));
  }

  compareAndSet(expectedSeq: number, record: ControlRecord, done: (write: ControlWrite) => void): void {
    const again = expectedSeq === this.seq - 1 && JSON.stringify(record) === JSON.stringify(this.record);
    const won = expectedSeq === this.seq;
    if (won) this.change({ kind: 'next', record });
    const answered: ControlWrite =
      this.losesAnswers > 0
        ? { kind: 'unknown', reason: 'timeout' }
        : won || again
          ? { kind: 'won', seq: this.seq }
          : { kind: 'lost' };
    this.losesAnswers -= 1;
    this.writes.push(answered.kind);
    done(answered);
  }

  watch(): () => void {
    return () => undefined;
  }

  /** Begins a move that is not refused. */
  async begin(kind: 'switchover' | 'failover', sacrifice: FailoverWish['sacrifice'] = []): Promise<string> {
    const begun =
      kind === 'switchover'
        ? await this.moves.switchover()
        : await this.moves.failover({ allowDataLoss: true, sacrifice, maxLossMs: null });
    if ('code' in begun) throw new Error(`${begun.code}: ${begun.message}`);
    return begun.id;
  }

  operation(id: string): Operation {
    const operation = this.moves.get(id);
    if (operation === null) throw new Error('the operation is forgotten');
    return operation;
  }
}

export const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
export const phases = (operation: Operation) => operation.phases.map((phase) => phase.name);
