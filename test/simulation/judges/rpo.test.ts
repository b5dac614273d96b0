import { describe, expect, it } from 'vitest';
import { epoch, lsn } from '../../../storage/redo/ids.ts';
import { RpoJudge } from './rpo.ts';

describe('RPO judge', () => {
  const [us, eu] = ['us-east-1', 'eu-west-1'];
  const begun = (rpoMs: number | null): RpoJudge => {
    const judge = new RpoJudge();
    judge.policy(rpoMs);
    judge.forked(us, epoch(1), epoch(0), lsn(0));
    for (const [at, atUs] of [
      [10, 0],
      [20, 400_000],
      [30, 800_000],
    ] as const)
      judge.committed(epoch(1), lsn(at), atUs);
    return judge;
  };

  it('objects to an answer that no other region has with an RPO of 0, and to none that one has', () => {
    const judge = begun(0);
    judge.durable(us, epoch(1), lsn(30));
    judge.durable(eu, epoch(1), lsn(10));
    judge.acknowledged(epoch(1), lsn(10));
    expect(judge.violations()).toEqual([]);
    judge.acknowledged(epoch(1), lsn(20));
    expect(judge.violations()).toHaveLength(1);
    expect(judge.judged).toBe(2);
  });

  it('knows that what came from another region is durable there, also when that never knew its own fork', () => {
    const judge = new RpoJudge();
    judge.policy(0);
    judge.forked(us, epoch(1), epoch(0), lsn(0));
    judge.forking(eu, epoch(2));
    judge.forked('ap-northeast-1', epoch(3), epoch(2), lsn(10));
    judge.acknowledged(epoch(3), lsn(10));
    expect(judge.violations()).toEqual([]);
  });

  it('knows what others hold of a reign whose writer has yet to hear that its fork is made', () => {
    for (const [told, found] of [
      [{ reign: 2, at: 10 }, 0],
      [{ reign: 1, at: 20 }, 0],
      [{ reign: 1, at: 9 }, 1],
    ] as const) {
      const judge = new RpoJudge();
      judge.policy(300);
      judge.forked(us, epoch(1), epoch(0), lsn(0));
      judge.durable(eu, epoch(told.reign), lsn(told.at));
      judge.forked(us, epoch(2), epoch(1), lsn(10));
      judge.acknowledged(epoch(2), lsn(12));
      expect(judge.violations()).toHaveLength(found);
    }
  });

  it('grants slow clocks their share, and no more', () => {
    for (const [driftPpm, found] of [
      [200, 1],
      [100_000, 1],
      [250_000, 0],
    ] as const) {
      const judge = new RpoJudge(driftPpm);
      judge.policy(300);
      judge.forked(us, epoch(1), epoch(0), lsn(0));
      judge.committed(epoch(1), lsn(10), 0);
      judge.committed(epoch(1), lsn(20), 390_000);
      judge.acknowledged(epoch(1), lsn(20));
      expect(judge.violations()).toHaveLength(found);
    }
  });

  it('objects to an answer further from the oldest commit that is missing elsewhere than the RPO', () => {
    const judge = begun(500);
    judge.acknowledged(epoch(1), lsn(20));
    expect(judge.violations()).toEqual([]);
    judge.acknowledged(epoch(1), lsn(30));
    expect(judge.violations()).toHaveLength(1);
    const level = begun(500);
    level.durable(eu, epoch(1), lsn(20));
    level.acknowledged(epoch(1), lsn(30));
    expect(level.violations()).toEqual([]);
  });

  it('objects to a reign that answers before another region has what it began with, but for what came from there', () => {
    const judge = begun(500);
    judge.forked(us, epoch(2), epoch(1), lsn(30));
    judge.committed(epoch(2), lsn(40), 900_000);
    judge.acknowledged(epoch(2), lsn(40));
    expect(judge.violations()).toHaveLength(1);
    const moved = begun(500);
    moved.forked(eu, epoch(2), epoch(1), lsn(30));
    moved.committed(epoch(2), lsn(40), 900_000);
    moved.acknowledged(epoch(2), lsn(40));
    expect(moved.violations()).toEqual([]);
  });

  it('objects to a failover that loses what its own region had made durable, whatever the policy', () => {
    const judge = begun(null);
    for (const at of [10, 20, 30]) judge.acknowledged(epoch(1), lsn(at));
    judge.durable(eu, epoch(1), lsn(20));
    judge.forked(eu, epoch(2), epoch(1), lsn(20));
    expect(judge.violations()).toEqual([]);
    judge.forked(eu, epoch(3), epoch(1), lsn(10));
    expect(judge.violations()).toHaveLength(1);
  });

  it('says nothing once the policy has changed: a writer may not know yet', () => {
    const judge = begun(0);
    judge.policy(null);
    judge.acknowledged(epoch(1), lsn(30));
    expect(judge.violations()).toEqual([]);
  });
});
