import { describe, expect, it } from 'vitest';
import { suspicionLimits } from '../../../regions/failover/core/suspicion.ts';
import { epoch } from '../../../storage/redo/ids.ts';
import { FenceJudge } from './fence.ts';
import { ObserversJudge } from './observers.ts';

const [us, eu, ap, sa] = ['us-east-1', 'eu-west-1', 'ap-northeast-1', 'sa-east-1'] as const;
const seconds = 1_000_000;

describe('the judge of observers', () => {
  const { quorumlessMs, silentMs, writerlessMs } = suspicionLimits;
  /** Everybody hears the primary at `seenAtUs`, and sees its lease renewed then. */
  const heardAt = (seenAtUs: number): ObserversJudge => {
    const judge = new ObserversJudge([us, eu, ap, sa]);
    for (const region of [eu, ap, sa]) judge.sawLife(region, us, true, seenAtUs);
    return judge;
  };

  it('allows a failover once most of the others have seen nothing of the primary for long', () => {
    const judge = heardAt(0);
    judge.sawLife(sa, us, false, silentMs * 1_000);
    judge.beganFailover(eu, us, silentMs * 1_000);
    expect(judge.violations()).toEqual([]);
    expect(judge.begun).toBe(1);
  });

  it('objects when half of the others have heard it', () => {
    const judge = new ObserversJudge([us, eu, ap]);
    for (const at of [6, 7.5, 9]) judge.sawLife(ap, us, false, at * seconds);
    judge.beganFailover(eu, us, 9 * seconds);
    expect(judge.violations()).toHaveLength(1);
  });

  it('lets what was suspected in a silence count for a moment after its end, and no longer', () => {
    const heardAgain = (beganAt: number): ObserversJudge => {
      const judge = new ObserversJudge([us, eu, ap]);
      for (const at of [1, 4]) judge.sawLife(ap, us, false, at * seconds);
      judge.beganFailover(eu, us, beganAt * seconds);
      return judge;
    };
    expect(heardAgain(4.35).violations()).toEqual([]);
    expect(heardAgain(4.45).violations()).toHaveLength(1);
  });

  it('allows it for a primary that talks and whose lease nobody renews, after a longer time', () => {
    const atUs = writerlessMs * 1_000;
    const judge = heardAt(0);
    for (const region of [eu, ap, sa]) judge.sawLife(region, us, false, atUs);
    judge.beganFailover(eu, us, atUs);
    expect(judge.violations()).toEqual([]);
    const early = heardAt(0);
    for (let seenAtUs = seconds; seenAtUs <= atUs / 2; seenAtUs += seconds)
      for (const region of [eu, ap, sa]) early.sawLife(region, us, false, seenAtUs);
    early.beganFailover(eu, us, atUs / 2);
    expect(early.violations()).toHaveLength(1);
  });

  it('allows it sooner for one whose own agent said that its nodes make no write quorum', () => {
    const atUs = quorumlessMs * 1_000;
    const judge = heardAt(0);
    for (const region of [eu, ap, sa]) {
      judge.sawLife(region, us, false, atUs);
      judge.heardShort(region, us, atUs);
    }
    judge.beganFailover(eu, us, atUs);
    expect(judge.violations()).toEqual([]);
  });
});

describe('the judge of fences', () => {
  it('allows a region to be called fenced after three seals above the reign', () => {
    const judge = new FenceJudge();
    for (const node of ['n1', 'n2', 'n6']) judge.sealed(us, node, epoch(5));
    judge.fenced(us, epoch(4), seconds);
    expect(judge.violations()).toEqual([]);
  });

  it('objects to two, to seals of an older reign, and to those of another region', () => {
    const judge = new FenceJudge();
    for (const node of ['n1', 'n2', 'n2']) judge.sealed(us, node, epoch(5));
    judge.sealed(us, 'n3', epoch(4));
    judge.sealed(eu, 'n4', epoch(5));
    judge.fenced(us, epoch(4), seconds);
    expect(judge.violations()).toHaveLength(1);
  });
});
