import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  abortMove,
  beginSwitchover,
  completeMove,
  release,
} from '../../../regions/control/core/control-record.ts';
import { defaultLeaseLimits } from '../../../regions/control/core/lease.ts';
import { moveLimits } from '../../../regions/control/core/move-limits.ts';
import { lsn } from '../../../storage/redo/ids.ts';

import { Agent, ap, eu, fresh, old, pass, us } from './moving/moves-agent.ts';

vi.mock('../../../storage/process/ticker.ts', () => import('../../storage/process/plain-ticker.ts'));

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date', 'hrtime'],
  });
});
afterEach(() => {
  vi.useRealTimers();
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
