import { describe, expect, test } from 'vitest';
import { createBranch, deleteBranch } from '../../../regions/control/core/branch-record.ts';
import type { ControlReading, ControlView } from '../../../regions/control/core/control-port.ts';
import {
  acquire,
  beginSwitchover,
  type ControlRecord,
  initialControlRecord,
  setPolicy,
  setRegions,
} from '../../../regions/control/core/control-record.ts';
import { ControlSight } from '../../../regions/control/core/control-sight.ts';
import {
  describeReading,
  formatAge,
  isAlive,
  moveGone,
  noRecord,
  quorumAdvice,
  type Renewals,
  renewalsSeen,
  staleness,
} from '../../../regions/control/core/record-claims.ts';
import { branchName, epoch, lsn, mainBranch, regionId } from '../../../storage/redo/ids.ts';
import { next } from '../control-records.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const heldBy = (region: typeof us, incarnation = 'a'): ControlRecord =>
  next(
    acquire(initialControlRecord(region, epoch(4)), {
      region,
      holder: { gateway: 'g1', incarnation },
      lapsed: false,
    }),
  );
const view = (seq: number, record: ControlRecord): ControlView => ({ seq, record });
const found = (seq: number, record = heldBy(us)): ControlReading => ({
  kind: 'record',
  view: view(seq, record),
});

describe('what is known of the control record', () => {
  const none: ControlReading = { kind: 'unavailable', reason: 'no leader' };
  const absent: ControlReading = { kind: 'absent' };

  test('is as old as the last look that succeeded, within the time a failed one is told', () => {
    const sight = new ControlSight(2_500);
    expect(sight.lastSeen(0)).toBeNull();
    sight.saw(found(7), 1_000);
    expect(sight.lastSeen(60_000)).toMatchObject({ ageMs: 0 });
    sight.saw(none, 60_000);
    expect(sight.lastSeen(61_000)).toMatchObject({ ageMs: 3_500, view: { seq: 7 } });
    sight.saw(none, 62_000);
    expect(sight.lastSeen(70_000)).toMatchObject({ ageMs: 12_500 });
    expect(sight.saw(found(7), 71_000)).toBe(false);
    expect(sight.lastSeen(72_000)).toMatchObject({ ageMs: 0 });
  });

  test('counts as lost from the first answer without it, whatever silence follows, until it is back', () => {
    const sight = new ControlSight(2_500);
    sight.saw(found(7), 0);
    sight.saw(none, 1_000);
    expect(sight.lostForMs(2_000)).toBe(0);
    sight.saw(absent, 3_000);
    sight.saw(none, 4_000);
    expect(sight.lostForMs(20_000)).toBe(17_000);
    sight.saw(found(8), 21_000);
    expect(sight.lostForMs(22_000)).toBe(0);
  });

  test('is newer only with a higher revision', () => {
    const sight = new ControlSight(2_500);
    expect([found(7), found(7), found(6), found(8)].map((reading, at) => sight.saw(reading, at))).toEqual([
      true,
      false,
      false,
      true,
    ]);
    expect(sight.view?.seq).toBe(8);
  });
});

describe('a missing record is called', () => {
  test.each<[string, Exclude<ControlReading, { kind: 'record' }>, number, string]>([
    ['not set up while no node knows an epoch', { kind: 'absent' }, 0, 'not-set-up'],
    ['lost, with the way back, once any node knows one', { kind: 'absent' }, 3, 'record-lost'],
    [
      'unusable when it is damaged',
      { kind: 'unusable', reason: 'not a control record' },
      3,
      'record-unusable',
    ],
    ['unavailable when nobody answers', { kind: 'unavailable', reason: 'timeout' }, 3, 'unavailable'],
  ])('%s', (_name, reading, highest, code) => {
    const described = describeReading(reading, highest);
    expect(described.code).toBe(code);
    expect(/sextant control rebuild/.test(described.reason)).toBe(code.startsWith('record-'));
  });
});

describe('words about a record', () => {
  test('say how old it is, who is heard, and what to do, and claim nobody as primary', () => {
    const text = noRecord(
      'no leader',
      { view: view(9, heldBy(us)), ageMs: 14_000 },
      { heard: [eu], silent: [ap] },
    );
    expect(text).toContain('(epoch 5, primary us-east-1) was current 14 s ago and may not hold any more');
    expect(text).toContain('2 of 3 regions are heard over NATS, and not ap-northeast-1');
    expect(text).toContain('bring back one more region, or use a newer nats-server');
  });

  test.each([
    [
      'without a majority, to bring one back',
      [],
      [eu, ap],
      /without a majority.*no region can become primary/,
    ],
    ['with a majority, to wait, and then to bring back one more', [eu], [ap], /that is a majority/],
    ['of two regions, to see to the witness', [], [eu], /reaches the witness/],
    ['in a single region, to see to its server', [], [], /NATS server of this region/],
    ['with everybody, to wait, and then to look into the logs', [eu, ap], [], /All 3 regions are heard/],
  ])('advise %s', (_name, heard, silent, expected) => {
    expect(quorumAdvice({ heard, silent })).toMatch(expected);
  });

  test('call a record old that a region has outrun', () => {
    expect(staleness(heldBy(us), [{ region: eu, epoch: 5 }])).toBeNull();
    expect(staleness(heldBy(us), [{ region: eu, epoch: 6 }])).toContain('eu-west-1 follows epoch 6');
  });

  test.each([
    ['that was overtaken', heldBy(ap), /overtaken.*ap-northeast-1 is the primary region in epoch 5/],
    ['that lost against a failover to its own source', { ...heldBy(ap), holder: null }, /overtaken/],
    ['that was given up while the writer writes', heldBy(us), /the old primary us-east-1 continues/],
    [
      'that was given up after the writer had released',
      { ...heldBy(us), holder: null },
      /none of its gateways writes yet/,
    ],
    [
      'that gave way to another one',
      next(beginSwitchover(heldBy(us), { id: 'x', to: ap, startedAtMs: 0 })),
      /gave way to another move.*a switchover to ap-northeast-1 is under way/,
    ],
  ])('of a move %s are true', (_name, record, expected) => {
    const text = moveGone({ kind: 'switchover', from: 'us-east-1', to: eu }, record);
    expect(text).toMatch(expected);
    expect(/continues/.test(text)).toBe(
      record.primary === us && record.holder !== null && record.move === null,
    );
  });

  test('tell ages in seconds, and in minutes when they are long', () => {
    expect([400, 9_940, 14_000, 73_000, 600_000].map(formatAge)).toEqual([
      '0.4 s',
      '9.9 s',
      '14 s',
      '73 s',
      '10 min',
    ]);
  });
});

describe('a holder is alive', () => {
  const whether = (views: readonly ControlView[]): readonly boolean[] => {
    let renewals: Renewals | null = null;
    return views.map((seen) => {
      renewals = renewalsSeen(renewals, seen);
      return isAlive(renewals);
    });
  };

  test('once it was seen to renew twice', () => {
    const seen = [10, 10, 11, 11, 12].map((seq) => view(seq, heldBy(us)));
    expect(whether(seen)).toEqual([false, false, false, false, true]);
  });

  test('not by a leap from an old record to the last one it wrote', () => {
    const seen = [10, 40, 40, 40].map((seq) => view(seq, heldBy(us)));
    expect(whether(seen)).toEqual([false, false, false, false]);
  });

  test('not by an operator who changes the policy meanwhile', () => {
    const policies = [0, 1, 2, 3].map((rpoMs) => next(setPolicy(heldBy(us), { rpoMs })));
    const last = policies.at(-1) ?? heldBy(us);
    const seen = [heldBy(us), ...policies].map((record, at) => view(10 + at, record));
    expect(whether([...seen, view(15, last), view(16, last)])).toEqual([
      ...seen.map(() => false),
      false,
      true,
    ]);
  });

  test('not by operators who make and delete branches or take regions in meanwhile', () => {
    const place = { parent: epoch(0), forkLsn: lsn(0), createdAtMs: 1 };
    const [dev, test] = [branchName('dev'), branchName('test')];
    const first = next(createBranch(heldBy(us), { from: mainBranch, ...place, name: dev }));
    const second = next(createBranch(first, { from: mainBranch, ...place, name: test }));
    const third = next(deleteBranch(second, { name: dev }));
    const fourth = next(setRegions(third, [us, eu]));
    const seen = [heldBy(us), first, second, third, fourth].map((record, at) => view(10 + at, record));
    expect(whether(seen)).toEqual(seen.map(() => false));
    expect(whether([...seen, view(15, fourth), view(16, fourth)]).slice(-2)).toEqual([false, true]);
  });

  test('not by the renewals of another', () => {
    const seen = [view(10, heldBy(us, 'a')), view(11, heldBy(us, 'a')), view(12, heldBy(us, 'b'))];
    expect(whether([...seen, view(13, { ...heldBy(us), holder: null })])).toEqual([
      false,
      false,
      false,
      false,
    ]);
  });
});
