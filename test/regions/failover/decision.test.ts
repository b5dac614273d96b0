import { describe, expect, test } from 'vitest';
import {
  acquire,
  beginFailover,
  type ControlRecord,
  initialControlRecord,
} from '../../../regions/control/core/control-record.ts';
import { defaultLeaseLimits } from '../../../regions/control/core/lease.ts';
import { defaultPolicy, type Policy } from '../../../regions/control/core/policy.ts';
import {
  decideFailover,
  type FailoverDecision,
  type Observer,
} from '../../../regions/failover/core/decision.ts';
import { type Sight, suspicionLimits, suspicionOf } from '../../../regions/failover/core/suspicion.ts';
import { epoch, lsn, type RegionId, regionId } from '../../../storage/redo/ids.ts';
import { next } from '../control-records.ts';

const [us, eu, ap, sa] = ['us-east-1', 'eu-west-1', 'ap-northeast-1', 'sa-east-1'].map(regionId) as [
  RegionId,
  RegionId,
  RegionId,
  RegionId,
];
const record = next(
  acquire(initialControlRecord(us), {
    region: us,
    holder: { gateway: 'g1', incarnation: 'a' },
    lapsed: false,
  }),
);
const { silentMs, quorumlessMs, writerlessMs } = suspicionLimits;

describe('a primary is suspected', () => {
  const silent: Sight = {
    record,
    stillMs: 60_000,
    agentMsAgo: silentMs,
    gatewayMsAgo: null,
    redoMsAgo: silentMs + 5,
    writableNodes: null,
    awakeMs: 60_000,
  };

  test('when every sign of life has been absent for the limit, by name and with what is missing', () => {
    expect(suspicionOf(silent)).toEqual({
      primary: us,
      epoch: 1,
      reason: expect.stringContaining('nothing of us-east-1 has been seen for 2.0 s'),
    });
  });

  const alive: readonly (readonly [string, Partial<Sight>])[] = [
    ['its lease was renewed', { stillMs: silentMs - 1 }],
    ['its agent spoke', { agentMsAgo: silentMs - 1 }],
    ['a gateway of it spoke', { gatewayMsAgo: 0 }],
    ['redo of it arrived', { redoMsAgo: 100 }],
    ['this agent was frozen itself until lately', { awakeMs: silentMs - 1 }],
  ];
  for (const [name, change] of alive)
    test(`not while ${name}`, () => {
      expect(suspicionOf({ ...silent, stillMs: writerlessMs - 1, ...change })).toBeNull();
    });

  const lacking: Sight = { ...silent, agentMsAgo: 100, stillMs: quorumlessMs, writableNodes: 3 };

  test('when it says itself that three of its nodes take writes, and its lease is not renewed', () => {
    expect(suspicionOf(lacking)?.reason).toContain('3 of its six storage nodes take writes, of which 4');
    expect(suspicionOf({ ...lacking, writableNodes: 4 })).toBeNull();
    expect(suspicionOf({ ...lacking, writableNodes: null })).toBeNull();
    expect(suspicionOf({ ...lacking, stillMs: quorumlessMs - 1 })).toBeNull();
    expect(suspicionOf({ ...lacking, awakeMs: quorumlessMs - 1 })).toBeNull();
  });

  test('when it lives and nobody has written there for long', () => {
    expect(suspicionOf({ ...silent, agentMsAgo: 100, stillMs: writerlessMs })?.reason).toContain(
      'nobody has written there',
    );
  });
});

describe('a failover by the policy', () => {
  const policy: Policy = { ...defaultPolicy, automatic: true };
  const observer = (region: RegionId, change: Partial<Observer & { vdl: number }> = {}): Observer => ({
    survivor: {
      region,
      held: { epoch: epoch(1), vdl: lsn(change.vdl ?? 100), forks: [] },
      followed: us,
      heardMsAgo: 0,
      primaryVdl: lsn(100),
      levelMsAgo: 3_000,
    },
    suspicion: { primary: us, epoch: 1, reason: 'nothing was seen' },
    canWrite: true,
    ...change,
  });
  const decide = (
    observers: readonly Observer[],
    change: { policy?: Partial<Policy>; regions?: readonly RegionId[]; record?: ControlRecord } = {},
  ): FailoverDecision =>
    decideFailover({
      region: eu,
      regions: change.regions ?? [us, eu, ap],
      record: change.record ?? record,
      policy: { ...policy, ...change.policy },
      observers,
      stillMs: 3_000,
      lease: defaultLeaseLimits,
    });

  test('begins when a majority of the other regions suspect the primary, and says who', () => {
    expect(decide([observer(eu), observer(ap)])).toEqual({
      kind: 'begin',
      target: eu,
      reason: '2 of 2 regions (eu-west-1, ap-northeast-1) agree: nothing was seen',
    });
  });

  test('R31: does not begin by one of two, nor by two that suspect different reigns', () => {
    expect(decide([observer(eu), observer(ap, { suspicion: null })])).toEqual({ kind: 'watching' });
    const other = { primary: us, epoch: 0, reason: '' };
    expect(decide([observer(eu), observer(ap, { suspicion: other })])).toEqual({ kind: 'watching' });
  });

  test('R31: in four regions takes two of three', () => {
    const regions = [us, eu, ap, sa];
    expect(decide([observer(eu), observer(ap)], { regions }).kind).toBe('begin');
    expect(decide([observer(eu)], { regions }).kind).toBe('watching');
  });

  test('is off by default, and with two regions, and says why', () => {
    expect(decide([observer(eu), observer(ap)], { policy: { automatic: false } }).kind).toBe('off');
    expect(decide([observer(eu)], { regions: [us, eu] })).toMatchObject({
      kind: 'off',
      reason: expect.stringContaining('without a witness'),
    });
  });

  test('goes to whoever holds most, to the first of equals, and to who is preferred', () => {
    const most = [observer(eu), observer(ap, { vdl: 130 })];
    expect(decide(most)).toMatchObject({ target: ap });
    expect(decide(most, { policy: { prefer: [us, eu] } })).toMatchObject({ target: eu });
    expect(decide([observer(ap), observer(eu)])).toMatchObject({ target: eu });
  });

  test('passes over a region that cannot write, and is refused when none can', () => {
    const cannot = { canWrite: false };
    expect(decide([observer(eu, cannot), observer(ap)], { policy: { prefer: [eu] } })).toMatchObject({
      target: ap,
    });
    expect(decide([observer(eu, cannot), observer(ap, cannot)])).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('storage nodes'),
    });
  });

  test('does not begin beside one to a region that is heard, and does beside one to a region that is lost, too', () => {
    const failing = (to: RegionId): ControlRecord =>
      next(beginFailover(record, { id: 'm', to, allowDataLoss: true, startedAtMs: 0, lapsed: true }));
    expect(decide([observer(eu), observer(ap)], { record: failing(ap) }).kind).toBe('watching');
    const regions = [us, eu, ap, sa];
    expect(decide([observer(eu), observer(ap)], { regions, record: failing(sa) }).kind).toBe('begin');
    const stuck = [observer(eu), observer(ap, { canWrite: false })];
    expect(decide(stuck, { record: failing(ap) })).toMatchObject({ kind: 'begin', target: eu });
  });

  test('is refused when more may be lost than the policy allows, with the ways out', () => {
    const bound = (maxLossMs: number): FailoverDecision =>
      decide([observer(eu), observer(ap)], { policy: { maxLossMs } });
    // Level 3 s ago, as was the last renewal: the holder may have acknowledged for a term after that.
    expect(bound(defaultLeaseLimits.ttlMs).kind).toBe('begin');
    expect(bound(defaultLeaseLimits.ttlMs - 1)).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining(`up to ${defaultLeaseLimits.ttlMs} ms of commits`),
    });
  });

  test('may always begin when an RPO keeps what can be lost within the bound', () => {
    const kept = decide([observer(eu), observer(ap)], { policy: { maxLossMs: 0, rpoMs: 0 } });
    expect(kept.kind).toBe('begin');
    // The region that has what was answered may be the one that is not heard.
    const regions = [us, eu, ap, sa];
    const alone = decide([observer(eu), observer(ap)], { regions, policy: { maxLossMs: 0, rpoMs: 0 } });
    expect(alone.kind).toBe('refused');
  });
});
