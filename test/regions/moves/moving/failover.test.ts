/** Moves away from a region that is lost, as the agent of the target carries them out. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  abortMove,
  beginFailover,
  completeMove,
  release,
  renew,
} from '../../../../regions/control/core/control-record.ts';
import { defaultLeaseLimits } from '../../../../regions/control/core/lease.ts';
import { moveLimits } from '../../../../regions/control/core/move-limits.ts';
import type { FailoverWish } from '../../../../regions/moves/core/operation-log.ts';
import { reportLimits } from '../../../../regions/status/core/report-limits.ts';
import { epoch, lsn } from '../../../../storage/redo/ids.ts';
import { next } from '../../control-records.ts';
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

  test('says of which branches more was heard than has arrived, before and after', async () => {
    const agent = new Agent();
    agent.lacks = [{ name: 'dev', lsn: 300, lastHeardLsn: 450, atRiskBytes: 150 }];
    expect(await agent.moves.failover(wish(false))).toMatchObject({
      message: expect.stringContaining('It was heard to have more of branches, too: 150 B of branch dev. '),
    });
    const id = await agent.begin('failover');
    await pass(lapseMs + 100);
    agent.change(completeMove(agent.record, { id, region: eu, holder: fresh }));
    agent.reports({ eu: { phase: 'writing', epoch: 2 } });
    await pass(100);
    expect(agent.operation(id).result?.loss).toMatchObject({ forkLsn: 90, branches: agent.lacks });
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

  test('waits until a primary that had said to hold more is no longer heard, and takes over then', async () => {
    const agent = new Agent();
    agent.primaryHolds(150);
    const id = await agent.begin('failover');
    await pass(lapseMs + 50);
    expect(lapseMs + 50).toBeLessThan(reportLimits.offlineAfterMs);
    expect(agent.operation(id)).toMatchObject({ state: 'running' });
    expect(agent.record).toMatchObject({ state: 'stable', holder: old });
    await pass(reportLimits.offlineAfterMs - lapseMs);
    expect(agent.record).toMatchObject({ state: 'failing-over', move: { id } });
  });

  test('is refused while a primary without a writer goes on saying that it holds more', async () => {
    const agent = new Agent();
    const id = await agent.begin('failover');
    for (let ms = 0; ms < lapseMs + 500; ms += 250) {
      agent.primaryHolds(150);
      await pass(250);
    }
    expect(agent.operation(id)).toMatchObject({
      state: 'failed',
      error: { code: 'TARGET_BEHIND', message: expect.stringContaining('start a gateway there') },
    });
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
    expect(done.result?.loss).not.toHaveProperty('branches');
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
