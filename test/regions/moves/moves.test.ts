import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type {
  ControlReading,
  ControlStore,
  ControlView,
  ControlWrite,
} from '../../../regions/control/core/control-port.ts';
import {
  abortMove,
  acquire,
  beginFailover,
  beginSwitchover,
  type ControlRecord,
  completeMove,
  type Holder,
  initialControlRecord,
  release,
  renew,
  type Transition,
} from '../../../regions/control/core/control-record.ts';
import { ControlSight } from '../../../regions/control/core/control-sight.ts';
import { ChallengerTimer, defaultLeaseLimits } from '../../../regions/control/core/lease.ts';
import { moveLimits } from '../../../regions/control/core/move-limits.ts';
import type { Survivor } from '../../../regions/control/core/survivors.ts';
import type { FailoverWish, KeptOperation } from '../../../regions/moves/core/operation-log.ts';
import type { Operation } from '../../../regions/moves/core/operations.ts';
import { Moves } from '../../../regions/moves/moves.ts';
import { ClusterView } from '../../../regions/status/core/report.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { epoch, lsn, regionId } from '../../../storage/redo/ids.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const old: Holder = { gateway: 'g1', incarnation: 'us' };
const fresh: Holder = { gateway: 'g1', incarnation: 'eu' };

const next = (transition: Transition): ControlRecord => {
  if (transition.kind === 'refused') throw new Error(transition.reason);
  return transition.record;
};

/** The agent of eu-west-1 as `Moves` sees it: a store, and what the agent has seen of it, which a test may hold back. */
class Agent implements ControlStore {
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

  constructor(kept: readonly KeptOperation[] = []) {
    this.moves = new Moves({
      lease: defaultLeaseLimits,
      pull: (from) => void this.pulls.push(from),
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
      following: () => this.following,
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
  third(held: { readonly epoch: number; readonly vdl: number | null; readonly primaryVdl?: number }): void {
    this.view.heard(
      {
        kind: 'region',
        v: 1,
        region: ap,
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
    readonly eu?: null | { phase: 'writing' | 'reading'; epoch: number | null };
  }): void {
    const { lagMs = 40, usPhase = 'writing', eu: target = { phase: 'reading', epoch: null } } = change;
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
    this.view.heard({ ...region, region: eu, following: true, lag: [] }, nowMs);
    this.view.heard({ ...gateway, region: us, phase: usPhase, epoch: 1 }, nowMs);
    if (target !== null) this.view.heard({ ...gateway, region: eu, ...target }, nowMs);
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

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const phases = (operation: Operation) => operation.phases.map((phase) => phase.name);

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date', 'hrtime'],
  });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a switchover is refused', () => {
  const cases: readonly (readonly [string, string, (agent: Agent) => void])[] = [
    [
      'NO_CONTROL_RECORD',
      'while the record cannot be read',
      (agent) => Object.assign(agent, { reading: { kind: 'unavailable', reason: 'no leader' } }),
    ],
    ['ALREADY_PRIMARY', 'to the primary itself', (agent) => agent.takes(eu)],
    [
      'MOVE_IN_PROGRESS',
      'during another move',
      (agent) => agent.change(beginSwitchover(agent.record, { id: 'm', to: eu, startedAtMs: 0 })),
    ],
    [
      'NO_WRITER',
      'from a region whose writer is not heard',
      (agent) => agent.reports({ usPhase: 'reading' }),
    ],
    [
      'NO_WRITER',
      'from a region where nobody holds the lease',
      (agent) => agent.change(release(agent.record, { holder: old, drainedTo: lsn(0) })),
    ],
    [
      'TARGET_NOT_READY',
      'to a region that does not receive',
      (agent) => Object.assign(agent, { following: false }),
    ],
    [
      'TARGET_BEHIND',
      'to a region that lags',
      (agent) => agent.reports({ lagMs: moveLimits.switchoverLagMsMax + 1 }),
    ],
  ];
  for (const [code, name, arrange] of cases) {
    test(`${name} (${code})`, async () => {
      const agent = new Agent();
      arrange(agent);
      expect(await agent.moves.switchover()).toMatchObject({ code });
      expect(agent.writes).toEqual([]);
    });
  }

  test('to a region without a gateway (TARGET_NOT_READY)', async () => {
    const agent = new Agent();
    await pass(10_000);
    agent.reports({ eu: null });
    expect(await agent.moves.switchover()).toMatchObject({
      code: 'TARGET_NOT_READY',
      message: expect.stringContaining('no gateway'),
    });
  });
});

describe('a switchover', () => {
  const drain = (agent: Agent) => agent.change(release(agent.record, { holder: old, drainedTo: lsn(100) }));
  const take = (agent: Agent, id: string) =>
    agent.change(completeMove(agent.record, { id, region: eu, holder: fresh }));

  test('goes through its phases and says how long writes were held', async () => {
    const agent = new Agent();
    const id = await agent.begin('switchover');
    await pass(100);
    expect(agent.record).toMatchObject({ state: 'switching', move: { id, to: eu } });
    drain(agent);
    await pass(40);
    take(agent, id);
    await pass(40);
    expect(agent.operation(id).state).toBe('running');
    agent.reports({ eu: { phase: 'writing', epoch: 2 } });
    await pass(40);
    const done = agent.operation(id);
    expect(done).toMatchObject({ state: 'done', result: { epoch: 2 } });
    expect(done.result?.pauseMs).toBeGreaterThanOrEqual(180);
    expect(done.result?.pauseMs).toBeLessThanOrEqual(260);
    expect(phases(done)).toEqual(['preparing', 'draining', 'catching-up', 'promoting']);
    expect(done.phases.every((phase) => phase.endedAtMs !== null)).toBe(true);
  });

  test('is not judged by what the agent saw before it began', async () => {
    const agent = new Agent();
    agent.watches = false;
    const id = await agent.begin('switchover');
    await pass(500);
    expect(agent.operation(id)).toMatchObject({ state: 'running' });
    agent.watches = true;
    agent.saw();
    drain(agent);
    take(agent, id);
    agent.reports({ eu: { phase: 'writing', epoch: 2 } });
    await pass(100);
    expect(agent.operation(id).state).toBe('done');
  });

  test('is not done because a gateway wrote here in an earlier reign', async () => {
    const agent = new Agent();
    const id = await agent.begin('switchover');
    await pass(20);
    drain(agent);
    take(agent, id);
    agent.reports({ eu: { phase: 'writing', epoch: 1 } });
    await pass(200);
    expect(agent.operation(id).state).toBe('running');
    agent.reports({ eu: { phase: 'writing', epoch: 2 } });
    await pass(40);
    expect(agent.operation(id).state).toBe('done');
  });

  test('whose first write was answered by nobody goes on as the same move', async () => {
    const agent = new Agent();
    agent.losesAnswers = 1;
    const id = await agent.begin('switchover');
    await pass(100);
    expect(agent.writes).toEqual(['unknown', 'won']);
    expect(agent.operation(id)).toMatchObject({ state: 'running' });
    expect(agent.record.move?.id).toBe(id);
  });

  test('that does not drain in time is given up, and the old primary continues', async () => {
    const agent = new Agent();
    const id = await agent.begin('switchover');
    await pass(moveLimits.switchoverMs - 100);
    expect(agent.record.state).toBe('switching');
    await pass(200);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'TIMEOUT' } });
    expect(agent.operation(id).error?.message).toContain(
      'did not drain within 30000 ms; the switchover to eu-west-1 was given up: the old primary us-east-1 continues',
    );
    expect(agent.record).toMatchObject({ state: 'stable', move: null, holder: old, primary: us });
  });

  test('that is not taken over in time is given up', async () => {
    const agent = new Agent();
    const id = await agent.begin('switchover');
    await pass(100);
    drain(agent);
    await pass(moveLimits.switchoverMs);
    expect(agent.operation(id).error?.message).toContain('did not take over within 30000 ms');
    expect(agent.record).toMatchObject({ state: 'stable', move: null, primary: us });
  });

  test('that the writer gives up has failed', async () => {
    const agent = new Agent();
    const id = await agent.begin('switchover');
    await pass(100);
    agent.change(abortMove(agent.record, { id }));
    await pass(100);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'ABORTED' } });
  });

  test('of two begun at once one fails with MOVE_IN_PROGRESS', async () => {
    const agent = new Agent();
    agent.watches = false;
    const begun = await Promise.all([agent.moves.switchover(), agent.moves.switchover()]);
    agent.watches = true;
    agent.saw();
    await pass(100);
    const ends = begun.map((each) =>
      'code' in each ? each.code : (agent.operation(each.id).error?.code ?? 'running'),
    );
    expect(ends.toSorted((a, b) => a.localeCompare(b))).toEqual(['MOVE_IN_PROGRESS', 'running']);
  });

  test('fails when the control record cannot be changed', async () => {
    const agent = new Agent();
    Object.assign(agent, { goodReads: 1, reading: { kind: 'unavailable', reason: 'no leader' } });
    const id = await agent.begin('switchover');
    await pass(100);
    expect(agent.operation(id)).toMatchObject({
      state: 'failed',
      error: {
        code: 'CONTROL_UNAVAILABLE',
        message: expect.stringMatching(/no leader\. 2 of 3 regions are heard over NATS, and not us-east-1/),
      },
    });
  });
});

describe('a failover', () => {
  const lapseMs = defaultLeaseLimits.ttlMs + defaultLeaseLimits.marginMs;

  const wish = (allowDataLoss = true, ...sacrifice: FailoverWish['sacrifice']): FailoverWish => ({
    allowDataLoss,
    maxLossMs: null,
    sacrifice,
  });

  test('without leave to lose data is refused, and says what may be lost and what to do', async () => {
    expect(await new Agent().moves.failover(wish(false))).toEqual({
      code: 'DATA_LOSS_POSSIBLE',
      message:
        'eu-west-1 is durable to LSN 90; us-east-1 was last heard at 100 and may have acknowledged more since. ' +
        'If it can still be reached, use a switchover, which loses nothing. Otherwise allow data loss explicitly (--allow-data-loss); ' +
        'what is lost stays on the old region and is listed when it returns.',
    });
  });

  test('to the primary itself is refused, by a record that was read just now', async () => {
    const agent = new Agent();
    agent.takes(eu);
    expect(await agent.moves.failover(wish())).toMatchObject({
      code: 'ALREADY_PRIMARY',
      message: expect.stringContaining('as read just now'),
    });
  });

  test('is not refused with ALREADY_PRIMARY out of a record that cannot be read any more', async () => {
    const agent = new Agent();
    agent.takes(eu);
    agent.reading = { kind: 'unavailable', reason: 'no leader' };
    await pass(20_000);
    expect(await agent.moves.failover(wish())).toEqual({
      code: 'NO_CONTROL_RECORD',
      message: expect.stringMatching(
        /no leader; the last one seen here \(epoch 2, primary eu-west-1\) was current 2\.5 s ago.*2 of 3 regions are heard/,
      ),
    });
  });

  test('is not refused with ALREADY_PRIMARY out of a read that others have outrun', async () => {
    const agent = new Agent();
    agent.takes(eu);
    agent.third({ epoch: 3, vdl: 90 });
    expect(await agent.moves.failover(wish())).toMatchObject({
      code: 'NO_CONTROL_RECORD',
      message: expect.stringContaining('ap-northeast-1 follows epoch 3 already'),
    });
  });

  test('fetches what a better survivor holds, and deposes once it holds as much', async () => {
    const agent = new Agent();
    agent.third({ epoch: 1, vdl: 250 });
    const id = await agent.begin('failover');
    await pass(lapseMs - 50);
    agent.third({ epoch: 1, vdl: 250 });
    await pass(100);
    expect(agent.operation(id)).toMatchObject({ state: 'running' });
    expect(phases(agent.operation(id))).toEqual(['waiting-for-lease', 'pulling']);
    expect([...new Set(agent.pulls)]).toEqual([ap]);
    expect(agent.record).toMatchObject({ state: 'stable', holder: old });
    agent.held = { epoch: epoch(1), vdl: lsn(250), forks: [] };
    await pass(100);
    expect(phases(agent.operation(id)).slice(2)).toEqual(['deposing', 'promoting']);
    expect(agent.record).toMatchObject({ state: 'failing-over', move: { id } });
  });

  test('past a better survivor that gives nothing is refused by name, also with leave to lose data', async () => {
    const agent = new Agent();
    const id = await agent.begin('failover');
    for (let ms = 0; ms < lapseMs + moveLimits.pullStillMs + 500; ms += 500) {
      agent.third({ epoch: 1, vdl: 250 });
      await pass(500);
    }
    expect(agent.operation(id)).toMatchObject({
      state: 'failed',
      error: { code: 'TARGET_BEHIND', message: expect.stringContaining('--sacrifice ap-northeast-1') },
    });
    expect(agent.record).toMatchObject({ state: 'stable', holder: old });
    expect(await agent.begin('failover', [ap])).toMatch(/^eu-west-1\./);
  });

  test('that began while no record could be read fetches what a survivor holds once it can', async () => {
    const agent = new Agent();
    agent.reading = { kind: 'unavailable', reason: 'no leader' };
    const id = await agent.begin('failover');
    await pass(lapseMs - 1_000);
    agent.reading = null;
    agent.third({ epoch: 1, vdl: 250 });
    await pass(1_100);
    expect(phases(agent.operation(id)).at(-1)).toBe('pulling');
    expect(agent.record).toMatchObject({ state: 'stable', holder: old });
  });

  test('seals the storage of a primary that has not renewed for two renewals, and need not wait any longer', async () => {
    const agent = new Agent();
    agent.isFenced = true;
    const id = await agent.begin('failover');
    await pass(moveLimits.sealAfterMs - 100);
    expect(agent.sealed).toEqual([]);
    await pass(200);
    expect([...new Set(agent.sealed)]).toEqual([us]);
    expect(agent.record).toMatchObject({ state: 'failing-over', move: { id } });
  });

  test('by a policy that bounds what may be lost is refused above the bound, with the ways out', async () => {
    const agent = new Agent();
    agent.levelMsAgo = lapseMs + 9_000;
    const begun = await agent.moves.failover({ allowDataLoss: true, sacrifice: [], maxLossMs: 5_000 }, true);
    if ('code' in begun) throw new Error(begun.message);
    expect(begun.automatic).toBe(true);
    await pass(lapseMs + 100);
    expect(agent.operation(begun.id)).toMatchObject({
      state: 'failed',
      error: { code: 'LOSS_ABOVE_BOUND', message: expect.stringContaining('--max-loss-ms') },
    });
    expect(agent.record).toMatchObject({ state: 'stable' });
  });

  test('goes on past a survivor that is not heard any more', async () => {
    const agent = new Agent();
    agent.third({ epoch: 1, vdl: 250 });
    await pass(moveLimits.survivorHeardMs);
    expect(await agent.begin('failover')).toMatch(/^eu-west-1\./);
  });

  test('whose record turns out to be an old one waits for the lease of the holder it learns of', async () => {
    const agent = new Agent();
    agent.change(renew(agent.record, old));
    agent.watches = false;
    agent.reading = { kind: 'unavailable', reason: 'no leader' };
    const id = await agent.begin('failover');
    await pass(lapseMs - 100);
    // The primary renewed twice more before it was lost, and this agent hears of it only now.
    agent.record = next(renew(next(renew(agent.record, old)), old));
    agent.seq += 2;
    agent.reading = null;
    agent.watches = true;
    await pass(lapseMs);
    expect(agent.operation(id)).toMatchObject({ state: 'running' });
    expect(agent.record).toMatchObject({ state: 'stable', holder: old });
    await pass(300);
    expect(agent.record).toMatchObject({ state: 'failing-over', holder: null, move: { id } });
  });

  test('waits out the lease, deposes, and reports what may be lost', async () => {
    const agent = new Agent();
    const id = await agent.begin('failover');
    await pass(lapseMs - 100);
    expect(agent.record).toMatchObject({ state: 'stable', holder: old });
    await pass(200);
    expect(agent.record).toMatchObject({
      state: 'failing-over',
      holder: null,
      move: { id, allowDataLoss: true },
    });
    agent.change(completeMove(agent.record, { id, region: eu, holder: fresh }));
    agent.reports({ eu: { phase: 'writing', epoch: 2 } });
    await pass(100);
    const done = agent.operation(id);
    expect(done).toMatchObject({
      state: 'done',
      result: { epoch: 2, loss: { forkLsn: 90, lastHeardVdl: 100, atRiskBytes: 10, exact: false } },
    });
    const { rtoMs = 0, rtoFromLastWriteMs } = done.result ?? {};
    expect(rtoMs).toBeGreaterThanOrEqual(lapseMs);
    expect(rtoFromLastWriteMs).toBe(rtoMs + 3_000);
    expect(phases(done)).toEqual(['waiting-for-lease', 'deposing', 'promoting']);
  });

  test('does not wait when nobody holds the lease, and states no time from a last write that is not known', async () => {
    const agent = new Agent();
    agent.lastCommit = null;
    agent.change(release(agent.record, { holder: old, drainedTo: lsn(0) }));
    const id = await agent.begin('failover');
    await pass(100);
    expect(agent.record.state).toBe('failing-over');
    agent.change(completeMove(agent.record, { id, region: eu, holder: fresh }));
    agent.reports({ eu: { phase: 'writing', epoch: 2 } });
    await pass(100);
    expect(agent.operation(id).state).toBe('done');
    expect(agent.operation(id).result).not.toHaveProperty('rtoFromLastWriteMs');
  });

  test('away from a writer that renews its lease fails with PRIMARY_ALIVE and changes nothing', async () => {
    const agent = new Agent();
    const id = await agent.begin('failover');
    await pass(defaultLeaseLimits.renewMs);
    agent.change(renew(agent.record, old));
    await pass(100);
    expect(agent.operation(id).state).toBe('running');
    agent.change(renew(agent.record, old));
    await pass(100);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'PRIMARY_ALIVE' } });
    expect(agent.record).toMatchObject({ state: 'stable', holder: old });
    expect(agent.writes).toEqual([]);
  });

  test('that nobody takes over says that the old primary is deposed all the same', async () => {
    const agent = new Agent();
    const id = await agent.begin('failover');
    await pass(moveLimits.failoverMs + 100);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'TIMEOUT' } });
    expect(agent.operation(id).error?.message).toContain('us-east-1 is deposed');
    expect(agent.record.state).toBe('failing-over');
  });

  test('that is given up has failed', async () => {
    const agent = new Agent();
    const id = await agent.begin('failover');
    await pass(lapseMs + 100);
    agent.change(abortMove(agent.record, { id }));
    await pass(100);
    expect(agent.operation(id)).toMatchObject({
      state: 'failed',
      error: { code: 'ABORTED', message: expect.stringContaining('none of its gateways writes yet') },
    });
  });

  test('of a switchover that it overtook says so, and not that the old primary continues', async () => {
    const agent = new Agent();
    const id = await agent.begin('switchover');
    await pass(100);
    const failing = next(
      beginFailover(agent.record, { id: 'f', to: ap, allowDataLoss: true, startedAtMs: 0, lapsed: true }),
    );
    agent.change({ kind: 'next', record: failing });
    agent.change(completeMove(failing, { id: 'f', region: ap, holder: fresh }));
    await pass(100);
    const message = agent.operation(id).error?.message;
    expect(message).toContain('overtaken by another move: ap-northeast-1 is the primary region in epoch 2');
    expect(message).not.toContain('continues');
  });
});

describe('operations', () => {
  test('are named after the region that runs them, and the oldest are forgotten', async () => {
    const agent = new Agent();
    const first = await agent.begin('switchover');
    expect(first).toMatch(/^eu-west-1\.[0-9a-f]{12}$/);
    agent.change(abortMove(agent.record, { id: first }));
    await pass(40);
    for (let count = 0; count < moveLimits.operationsMax; count++) {
      agent.moves.cancel(await agent.begin('switchover'));
      await pass(1);
    }
    expect(agent.moves.get(first)).toBeNull();
    expect(agent.moves.get('eu-west-1.nothing')).toBeNull();
  });

  test('of the same kind run one at a time', async () => {
    const agent = new Agent();
    const id = await agent.begin('failover');
    expect(await agent.moves.failover({ allowDataLoss: true, sacrifice: [], maxLossMs: null })).toEqual({
      code: 'MOVE_IN_PROGRESS',
      message: `failover ${id} to eu-west-1 is under way; \`sextant cancel ${id}\` gives it up`,
    });
  });
});

describe('a move that has ended', () => {
  test('is not taken up again while its result is put together', async () => {
    const agent = new Agent();
    agent.fork = null;
    const id = await agent.begin('failover');
    await pass(defaultLeaseLimits.ttlMs + defaultLeaseLimits.marginMs + 100);
    agent.change(completeMove(agent.record, { id, region: eu, holder: fresh }));
    agent.reports({ eu: { phase: 'writing', epoch: 2 } });
    await pass(4_000);
    const { state, result, phases: told } = agent.operation(id);
    expect(state).toBe('done');
    expect(told.filter(({ name }) => name === 'promoting')).toHaveLength(1);
    expect(result?.loss).toMatchObject({ lastHeardVdl: 100 });
    expect(agent.moves.isMoving).toBe(false);
  });

  test('of another region is forgotten here once that region is heard again', async () => {
    const agent = new Agent();
    const id = 'ap-northeast-1.m';
    agent.change(beginSwitchover(agent.record, { id, to: ap, startedAtMs: 0 }));
    await pass(1_000);
    expect(agent.moves.get(id)).toMatchObject({ state: 'running', target: ap });
    agent.third({ epoch: 1, vdl: 90 });
    await pass(600);
    expect(agent.moves.get(id)).toBeNull();
    expect(agent.kept).toEqual([]);
  });
});

describe('a move is cancelled', () => {
  test('while the old writer drains: the record is changed back', async () => {
    const agent = new Agent();
    const id = await agent.begin('switchover');
    await pass(50);
    agent.moves.cancel(id);
    await pass(50);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'CANCELLED' } });
    expect(agent.record).toMatchObject({ state: 'stable', move: null, holder: old });
  });

  test('while a failover waits: nothing was changed', async () => {
    const agent = new Agent();
    const id = await agent.begin('failover');
    agent.moves.cancel(id);
    expect(agent.operation(id).error?.message).toContain('nothing had been changed');
    expect(agent.writes).toEqual([]);
  });

  test('while its change of the record is under way: it is changed back as soon as that is known', async () => {
    const agent = new Agent();
    const id = await agent.begin('switchover');
    agent.moves.cancel(id);
    await pass(100);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'CANCELLED' } });
    expect(agent.record).toMatchObject({ state: 'stable', move: null });
  });

  test('not once the target has taken over, nor when it has ended', async () => {
    const agent = new Agent();
    const id = await agent.begin('switchover');
    await pass(20);
    agent.change(release(agent.record, { holder: old, drainedTo: lsn(100) }));
    agent.change(completeMove(agent.record, { id, region: eu, holder: fresh }));
    await pass(40);
    expect(agent.moves.cancel(id)).toMatchObject({ code: 'TOO_LATE' });
    agent.reports({ eu: { phase: 'writing', epoch: 2 } });
    await pass(40);
    expect(agent.operation(id).state).toBe('done');
    expect(agent.moves.cancel(id)).toMatchObject({ code: 'TOO_LATE' });
    expect(agent.moves.cancel('eu-west-1.nothing')).toMatchObject({ code: 'UNKNOWN_OPERATION' });
  });
});

describe('a move whose agent died', () => {
  /** The same region's agent, started again beside the record as it is. */
  const again = (before: Agent): Agent => {
    const agent = new Agent(before.kept);
    agent.record = before.record;
    agent.seq = before.seq;
    agent.saw();
    return agent;
  };

  test('R32: in the middle of a switchover is taken up under its id and completes', async () => {
    const before = new Agent();
    const id = await before.begin('switchover');
    await pass(50);
    before.moves.close();
    const agent = again(before);
    await pass(600);
    expect(agent.operation(id)).toMatchObject({ state: 'running', target: eu });
    agent.change(release(agent.record, { holder: old, drainedTo: lsn(100) }));
    await pass(50);
    agent.change(completeMove(agent.record, { id, region: eu, holder: fresh }));
    agent.reports({ eu: { phase: 'writing', epoch: 2 } });
    await pass(50);
    expect(agent.operation(id)).toMatchObject({ state: 'done', result: { epoch: 2 } });
  });

  test('while a failover waited for the lease waits again and deposes', async () => {
    const before = new Agent();
    const id = await before.begin('failover');
    await pass(50);
    before.moves.close();
    const agent = again(before);
    await pass(lapseOf(agent) + 1_000);
    expect(agent.record).toMatchObject({ state: 'failing-over', move: { id } });
  });

  test('before a switchover was in the record is told as interrupted', async () => {
    const before = new Agent();
    before.losesAnswers = 0;
    const id = await before.begin('switchover');
    const kept = before.kept;
    before.moves.close();
    const agent = new Agent(kept);
    await pass(600);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'INTERRUPTED' } });
  });

  test('after the target had taken over is done once its gateway writes', async () => {
    const before = new Agent();
    const id = await before.begin('switchover');
    await pass(50);
    before.moves.close();
    before.change(release(before.record, { holder: old, drainedTo: lsn(100) }));
    before.change(completeMove(before.record, { id, region: eu, holder: fresh }));
    const agent = again(before);
    agent.reports({ eu: { phase: 'writing', epoch: 2 } });
    await pass(600);
    expect(agent.operation(id)).toMatchObject({ state: 'done', result: { epoch: 2 } });
  });

  test('and whose region stays silent is given up by another region when its time is over', async () => {
    const agent = new Agent();
    agent.change(beginSwitchover(agent.record, { id: 'ap-northeast-1.m', to: ap, startedAtMs: 0 }));
    await pass(moveLimits.switchoverMs);
    expect(agent.record.move).not.toBeNull();
    await pass(reviewsMs);
    expect(agent.record).toMatchObject({ state: 'stable', move: null, primary: us });
  });

  test('is left to its own region as long as that is heard', async () => {
    const agent = new Agent();
    agent.change(beginSwitchover(agent.record, { id: 'ap-northeast-1.m', to: ap, startedAtMs: 0 }));
    for (let ms = 0; ms < moveLimits.switchoverMs + reviewsMs; ms += 1_000) {
      agent.third({ epoch: 1, vdl: 90 });
      await pass(1_000);
    }
    expect(agent.record).toMatchObject({ state: 'switching' });
  });

  const reviewsMs = 5_000;
  const lapseOf = (_: Agent): number => defaultLeaseLimits.ttlMs + defaultLeaseLimits.marginMs;
});
