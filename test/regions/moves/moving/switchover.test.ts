/** Planned moves, as the agent of the target carries them out. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  abortMove,
  beginSwitchover,
  completeMove,
  release,
} from '../../../../regions/control/core/control-record.ts';
import { moveLimits } from '../../../../regions/control/core/move-limits.ts';
import { reportLimits } from '../../../../regions/status/core/report-limits.ts';
import { lsn } from '../../../../storage/redo/ids.ts';
import { Agent, ap, eu, fresh, old, pass, phases, us } from './moves-agent.ts';

vi.mock('../../../../storage/process/ticker.ts', () => import('../../../storage/process/plain-ticker.ts'));

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
      'from a region where nobody holds the lease',
      (agent) => agent.change(release(agent.record, { holder: old, drainedTo: lsn(0) })),
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

describe('a switchover waits, and changes nothing meanwhile,', () => {
  const behind = moveLimits.switchoverLagMsMax + 1;
  const cases: readonly (readonly [string, string, (agent: Agent) => void, (agent: Agent) => void])[] = [
    [
      'TARGET_NOT_READY',
      'for a target that joins',
      (agent) => Object.assign(agent, { following: false }),
      (agent) => Object.assign(agent, { following: true }),
    ],
    [
      'TARGET_NOT_READY',
      'for a target that follows the primary before',
      (agent) => Object.assign(agent, { followed: ap }),
      (agent) => Object.assign(agent, { followed: us }),
    ],
    [
      'TARGET_NOT_READY',
      'for a target that follows a reign before that of the writer',
      (agent) => agent.reports({ usEpoch: 2 }),
      (agent) => agent.reports({ usEpoch: 1 }),
    ],
    [
      'TARGET_BEHIND',
      'for a target that catches up',
      (agent) => agent.reports({ lagMs: behind }),
      (agent) => agent.reports({}),
    ],
    [
      'NO_WRITER',
      'for a writer that has just begun',
      (agent) => agent.reports({ usPhase: 'reading' }),
      (agent) => agent.reports({}),
    ],
  ];
  for (const [code, name, arrange, mend] of cases) {
    const status = (agent: Agent) =>
      agent.view.status(performance.now()).regions.find(({ name: region }) => region === eu)?.ready;

    test(`${name}; status says the same`, async () => {
      const agent = new Agent();
      arrange(agent);
      const id = await agent.begin('switchover');
      await pass(1_000);
      expect(phases(agent.operation(id))).toEqual(['waiting-for-target']);
      expect(agent.writes).toEqual([]);
      if (code !== 'NO_WRITER') expect(status(agent)).toBe(false);
      mend(agent);
      await pass(100);
      expect(phases(agent.operation(id)).slice(0, 2)).toEqual(['waiting-for-target', 'preparing']);
      expect(agent.record).toMatchObject({ state: 'switching', move: { id, to: eu } });
    });

    test(`${name} no longer than its limit (${code})`, async () => {
      const agent = new Agent();
      arrange(agent);
      const id = await agent.begin('switchover');
      for (let ms = 0; ms < moveLimits.switchoverTargetMs; ms += 1_000) {
        expect(agent.operation(id).state).toBe('running');
        await pass(1_000);
        agent.reports({});
        arrange(agent);
      }
      await pass(100);
      expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code } });
      expect(agent.operation(id).error?.message).toContain('Waited 10 s for that; nothing was changed');
      expect(agent.writes).toEqual([]);
    });
  }

  test('and ends at once when its target can write no more, or it is cancelled', async () => {
    const agent = new Agent();
    agent.following = false;
    const id = await agent.begin('switchover');
    agent.change(beginSwitchover(agent.record, { id: 'm', to: ap, startedAtMs: 0 }));
    await pass(50);
    expect(agent.operation(id)).toMatchObject({ state: 'failed', error: { code: 'MOVE_IN_PROGRESS' } });
    const other = new Agent();
    other.following = false;
    const second = await other.begin('switchover');
    other.moves.cancel(second);
    await pass(50);
    expect(other.operation(second)).toMatchObject({ state: 'failed', error: { code: 'CANCELLED' } });
    expect(other.writes).toEqual([]);
  });

  test('but not for a writer of a region that is not heard', async () => {
    const agent = new Agent();
    await pass(reportLimits.offlineAfterMs);
    expect(await agent.moves.switchover()).toMatchObject({ code: 'NO_WRITER' });
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
