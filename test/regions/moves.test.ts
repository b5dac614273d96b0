import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type {
  ControlReading,
  ControlStore,
  ControlView,
  ControlWrite,
} from '../../regions/core/control-port.ts';
import {
  abortMove,
  acquire,
  beginSwitchover,
  type ControlRecord,
  completeMove,
  type Holder,
  initialControlRecord,
  release,
  renew,
  type Transition,
} from '../../regions/core/control-record.ts';
import { ChallengerTimer, defaultLeaseLimits } from '../../regions/core/lease.ts';
import { moveLimits } from '../../regions/core/limits.ts';
import type { Operation } from '../../regions/core/operations.ts';
import { ClusterView } from '../../regions/core/report.ts';
import { Moves } from '../../regions/shell/moves.ts';
import { lsn, regionId } from '../../storage/core/ids.ts';

const [us, eu] = [regionId('us-east-1'), regionId('eu-west-1')];
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
  /** Null: the agent sees every change at once. */
  seen: ControlView | null = null;
  position = { vdl: 90, primaryVdl: 100, following: true };
  writes: ControlWrite['kind'][] = [];
  /** Answers the next write with `unknown`, after carrying it out. */
  losesAnswers = 0;
  reading: ControlReading | null = null;
  readonly view = new ClusterView('c1', [us, eu]);
  readonly challenger = new ChallengerTimer(defaultLeaseLimits);
  readonly moves: Moves;

  constructor() {
    this.moves = new Moves({
      region: eu,
      store: this,
      view: this.view,
      challenger: this.challenger,
      current: () => this.current(),
      position: () => this.position,
      log: pino({ level: 'silent' }),
    });
    this.saw();
    this.reports({});
  }

  current(): ControlView | null {
    return this.seen ?? { seq: this.seq, record: this.record };
  }

  /** Somebody changes the record. */
  change(transition: Transition): void {
    this.record = next(transition);
    this.seq += 1;
    this.saw();
  }

  private saw(): void {
    this.challenger.saw(this.seq, performance.now());
    this.view.saw(this.record);
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
      nodes: [],
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
    done(this.reading ?? { kind: 'record', view: { seq: this.seq, record: this.record } });
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
  begin(kind: 'switchover' | 'failover'): string {
    const begun = kind === 'switchover' ? this.moves.switchover() : this.moves.failover(true);
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
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a switchover is refused', () => {
  const cases: readonly (readonly [string, string, (agent: Agent) => void])[] = [
    [
      'NO_CONTROL_RECORD',
      'while the record cannot be read',
      (agent) => vi.spyOn(agent, 'current').mockReturnValue(null),
    ],
    [
      'ALREADY_PRIMARY',
      'to the primary itself',
      (agent) => Object.assign(agent, { record: initialControlRecord(eu) }),
    ],
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
      (agent) => Object.assign(agent.position, { following: false }),
    ],
    [
      'TARGET_BEHIND',
      'to a region that lags',
      (agent) => agent.reports({ lagMs: moveLimits.switchoverLagMsMax + 1 }),
    ],
  ];
  for (const [code, name, arrange] of cases) {
    test(`${name} (${code})`, () => {
      const agent = new Agent();
      arrange(agent);
      expect(agent.moves.switchover()).toMatchObject({ code });
      expect(agent.writes).toEqual([]);
    });
  }

  test('to a region without a gateway (TARGET_NOT_READY)', async () => {
    const agent = new Agent();
    await pass(10_000);
    agent.reports({ eu: null });
    expect(agent.moves.switchover()).toMatchObject({
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
    const id = agent.begin('switchover');
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
    agent.seen = agent.current();
    const id = agent.begin('switchover');
    await pass(500);
    expect(agent.operation(id)).toMatchObject({ state: 'running' });
    agent.seen = null;
    drain(agent);
    take(agent, id);
    agent.reports({ eu: { phase: 'writing', epoch: 2 } });
    await pass(100);
    expect(agent.operation(id).state).toBe('done');
  });

  test('is not done because a gateway wrote here in an earlier reign', async () => {
    const agent = new Agent();
    const id = agent.begin('switchover');
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
    const id = agent.begin('switchover');
    await pass(100);
    expect(agent.writes).toEqual(['unknown', 'won']);
    expect(agent.operation(id)).toMatchObject({ state: 'running' });
    expect(agent.record.move?.id).toBe(id);
  });

  test('that does not drain in time is given up, and the old primary continues', async () => {
    const agent = new Agent();
    const id = agent.begin('switchover');
    await pass(moveLimits.switchoverMs - 100);
    expect(agent.record.state).toBe('switching');
    await pass(200);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'TIMEOUT' } });
    expect(agent.operation(id).error?.message).toContain(
      'did not drain within 30000 ms; the old primary continues',
    );
    expect(agent.record).toMatchObject({ state: 'stable', move: null, holder: old, primary: us });
  });

  test('that is not taken over in time is given up', async () => {
    const agent = new Agent();
    const id = agent.begin('switchover');
    await pass(100);
    drain(agent);
    await pass(moveLimits.switchoverMs);
    expect(agent.operation(id).error?.message).toContain('did not take over within 30000 ms');
    expect(agent.record).toMatchObject({ state: 'stable', move: null, primary: us });
  });

  test('that the writer gives up has failed', async () => {
    const agent = new Agent();
    const id = agent.begin('switchover');
    await pass(100);
    agent.change(abortMove(agent.record, { id }));
    await pass(100);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'ABORTED' } });
  });

  test('of two begun at once one fails with MOVE_IN_PROGRESS', async () => {
    const agent = new Agent();
    agent.seen = agent.current();
    const ids = [agent.begin('switchover'), agent.begin('switchover')];
    agent.seen = null;
    await pass(100);
    expect(
      ids.map((id) => agent.operation(id).error?.code ?? 'running').toSorted((a, b) => a.localeCompare(b)),
    ).toEqual(['MOVE_IN_PROGRESS', 'running']);
  });

  test('fails when the control record cannot be changed', async () => {
    const agent = new Agent();
    agent.reading = { kind: 'unavailable', reason: 'no leader' };
    const id = agent.begin('switchover');
    await pass(100);
    expect(agent.operation(id)).toMatchObject({
      state: 'failed',
      error: { code: 'CONTROL_UNAVAILABLE', message: 'no leader' },
    });
  });
});

describe('a failover', () => {
  const lapseMs = defaultLeaseLimits.ttlMs + defaultLeaseLimits.marginMs;

  test('without leave to lose data is refused, and says what may be lost and what to do', () => {
    const refused = new Agent().moves.failover(false);
    expect(refused).toEqual({
      code: 'DATA_LOSS_POSSIBLE',
      message:
        'eu-west-1 is durable to LSN 90; us-east-1 was last heard at 100 and may have acknowledged more since. ' +
        'If it can still be reached, use a switchover, which loses nothing. Otherwise allow data loss explicitly (--allow-data-loss); ' +
        'what is lost stays on the old region and is listed when it returns.',
    });
  });

  test('to the primary itself is refused', () => {
    const agent = new Agent();
    agent.record = initialControlRecord(eu);
    expect(agent.moves.failover(true)).toMatchObject({ code: 'ALREADY_PRIMARY' });
  });

  test('waits out the lease, deposes, and reports what may be lost', async () => {
    const agent = new Agent();
    const id = agent.begin('failover');
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
    expect(done.result?.rtoMs).toBeGreaterThanOrEqual(lapseMs);
    expect(phases(done)).toEqual(['waiting-for-lease', 'deposing', 'promoting']);
  });

  test('does not wait when nobody holds the lease', async () => {
    const agent = new Agent();
    agent.change(release(agent.record, { holder: old, drainedTo: lsn(0) }));
    agent.begin('failover');
    await pass(100);
    expect(agent.record.state).toBe('failing-over');
  });

  test('away from a writer that renews its lease fails with PRIMARY_ALIVE and changes nothing', async () => {
    const agent = new Agent();
    const id = agent.begin('failover');
    await pass(3_000);
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
    const id = agent.begin('failover');
    await pass(moveLimits.failoverMs + 100);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'TIMEOUT' } });
    expect(agent.operation(id).error?.message).toContain('us-east-1 is deposed');
    expect(agent.record.state).toBe('failing-over');
  });

  test('that is given up has failed', async () => {
    const agent = new Agent();
    const id = agent.begin('failover');
    await pass(lapseMs + 100);
    agent.change(abortMove(agent.record, { id }));
    await pass(100);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'ABORTED' } });
  });
});

describe('operations', () => {
  test('are named after the region that runs them, and the oldest are forgotten', async () => {
    const agent = new Agent();
    agent.reading = { kind: 'unavailable', reason: 'no leader' };
    const first = agent.begin('switchover');
    expect(first).toMatch(/^eu-west-1\.[0-9a-f]{12}$/);
    for (let count = 0; count < moveLimits.operationsMax; count++) agent.begin('switchover');
    await pass(10);
    expect(agent.moves.get(first)).toBeNull();
    expect(agent.moves.get('eu-west-1.nothing')).toBeNull();
  });
});
