import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeControlRecord, encodeControlRecord } from '../../../regions/control/control-store-wire.ts';
import {
  abortMove,
  acquire,
  beginFailover,
  beginSwitchover,
  type ControlRecord,
  checkControlRecord,
  checkControlStep,
  completeMove,
  type Holder,
  initialControlRecord,
  isMember,
  policyOf,
  type RefusalCode,
  regionsOf,
  release,
  renew,
  sameHolder,
  setPolicy,
  setRegions,
  type Transition,
} from '../../../regions/control/core/control-record.ts';
import { defaultPolicy, samePolicy } from '../../../regions/control/core/policy.ts';
import { epoch, lsn, regionId } from '../../../storage/redo/ids.ts';
import { eu, g1, g2, next, us } from '../control-records.ts';

const ap = regionId('ap-northeast-1');
const g1Restarted: Holder = { gateway: 'g1', incarnation: 'b' };

const vacant = initialControlRecord(us);
const held = next(acquire(vacant, { region: us, holder: g1, lapsed: false }));
const switching = next(beginSwitchover(held, { id: 's1', to: eu, startedAtMs: 1 }));
const drained = next(release(switching, { holder: g1, drainedTo: lsn(4_096) }));
const failing = next(
  beginFailover(held, { id: 'f1', to: eu, allowDataLoss: true, startedAtMs: 1, lapsed: true }),
);

const states = { vacant, held, switching, drained, failing };
type State = keyof typeof states;

/** Every transition anybody can attempt, in the variants that may be told apart. */
const attempts: Record<string, (record: ControlRecord) => Transition> = {
  'acquire by the same incarnation': (r) => acquire(r, { region: us, holder: g1, lapsed: false }),
  'acquire by a later incarnation': (r) => acquire(r, { region: us, holder: g1Restarted, lapsed: false }),
  'acquire by another gateway': (r) => acquire(r, { region: us, holder: g2, lapsed: false }),
  'acquire by another gateway after a lapse': (r) => acquire(r, { region: us, holder: g2, lapsed: true }),
  'acquire by another region after a lapse': (r) => acquire(r, { region: eu, holder: g2, lapsed: true }),
  'renew by the holder': (r) => renew(r, g1),
  'renew by a later incarnation': (r) => renew(r, g1Restarted),
  'release by the holder': (r) => release(r, { holder: g1, drainedTo: lsn(4_096) }),
  'release by another': (r) => release(r, { holder: g2, drainedTo: lsn(4_096) }),
  'begin a switchover': (r) => beginSwitchover(r, { id: 's2', to: ap, startedAtMs: 2 }),
  'begin a switchover to the primary': (r) => beginSwitchover(r, { id: 's2', to: us, startedAtMs: 2 }),
  'begin a failover': (r) =>
    beginFailover(r, { id: 'f2', to: ap, allowDataLoss: true, startedAtMs: 2, lapsed: false }),
  'begin a failover after a lapse': (r) =>
    beginFailover(r, { id: 'f2', to: ap, allowDataLoss: true, startedAtMs: 2, lapsed: true }),
  'begin a failover to the target of the one under way': (r) =>
    beginFailover(r, { id: 'f2', to: eu, allowDataLoss: true, startedAtMs: 2, lapsed: false }),
  'begin a failover to the primary': (r) =>
    beginFailover(r, { id: 'f2', to: us, allowDataLoss: true, startedAtMs: 2, lapsed: true }),
  'complete the switchover': (r) => completeMove(r, { id: 's1', region: eu, holder: g2 }),
  'complete the failover': (r) => completeMove(r, { id: 'f1', region: eu, holder: null }),
  'complete in another region': (r) => completeMove(r, { id: r.move?.id ?? 's1', region: ap, holder: g2 }),
  'abort the switchover': (r) => abortMove(r, { id: 's1' }),
  'abort the failover': (r) => abortMove(r, { id: 'f1' }),
  'set a policy': (r) => setPolicy(r, { rpoMs: 0, prefer: [eu, ap] }),
  'set another policy': (r) => setPolicy(r, { automatic: true, maxLossMs: 1_000 }),
  'set the default policy': (r) => setPolicy(r, defaultPolicy),
  'name all regions': (r) => setRegions(r, [us, eu, ap]),
  'name the regions without one that is no target': (r) => setRegions(r, [us, eu]),
  'name the regions without the primary': (r) => setRegions(r, [eu, ap]),
};

const order: readonly State[] = ['vacant', 'held', 'switching', 'drained', 'failing'];
type Row = readonly ['next' | RefusalCode, ...('next' | RefusalCode)[]];
/** One column per state, in `order`. */
const table: Record<keyof typeof attempts, Row> = {
  'acquire by the same incarnation': ['next', 'held', 'held', 'moving', 'moving'],
  'acquire by a later incarnation': ['next', 'next', 'next', 'moving', 'moving'],
  'acquire by another gateway': ['next', 'held', 'held', 'moving', 'moving'],
  'acquire by another gateway after a lapse': ['next', 'next', 'next', 'moving', 'moving'],
  'acquire by another region after a lapse': [
    'not-primary',
    'not-primary',
    'not-primary',
    'not-primary',
    'not-primary',
  ],
  'renew by the holder': ['not-holder', 'next', 'next', 'not-holder', 'not-holder'],
  'renew by a later incarnation': ['not-holder', 'not-holder', 'not-holder', 'not-holder', 'not-holder'],
  'release by the holder': ['not-holder', 'next', 'next', 'not-holder', 'not-holder'],
  'release by another': ['not-holder', 'not-holder', 'not-holder', 'not-holder', 'not-holder'],
  'begin a switchover': ['next', 'next', 'moving', 'moving', 'moving'],
  'begin a switchover to the primary': ['already-primary', 'already-primary', 'moving', 'moving', 'moving'],
  'begin a failover': ['next', 'held', 'held', 'next', 'next'],
  'begin a failover after a lapse': ['next', 'next', 'next', 'next', 'next'],
  'begin a failover to the target of the one under way': ['next', 'held', 'held', 'next', 'moving'],
  'begin a failover to the primary': [
    'already-primary',
    'already-primary',
    'already-primary',
    'already-primary',
    'already-primary',
  ],
  'complete the switchover': ['no-move', 'no-move', 'not-drained', 'next', 'other-move'],
  'complete the failover': ['no-move', 'no-move', 'other-move', 'other-move', 'next'],
  'complete in another region': ['no-move', 'no-move', 'not-target', 'not-target', 'not-target'],
  'abort the switchover': ['no-move', 'no-move', 'next', 'next', 'other-move'],
  'abort the failover': ['no-move', 'no-move', 'other-move', 'other-move', 'next'],
  'set a policy': ['next', 'next', 'next', 'next', 'next'],
  'set another policy': ['next', 'next', 'next', 'next', 'next'],
  'set the default policy': ['same-policy', 'same-policy', 'same-policy', 'same-policy', 'same-policy'],
  'name all regions': ['next', 'next', 'moving', 'moving', 'moving'],
  'name the regions without one that is no target': ['next', 'next', 'moving', 'moving', 'moving'],
  'name the regions without the primary': ['no-region', 'no-region', 'moving', 'moving', 'moving'],
};

describe('control record', () => {
  for (const [name, attempt] of Object.entries(attempts)) {
    test(`${name}: allowed or refused as the table says in each state`, () => {
      const outcomes = order.map((state) => {
        const transition = attempt(states[state]);
        return transition.kind === 'next' ? 'next' : transition.code;
      });
      expect(outcomes).toEqual(table[name]);
    });
  }

  test('an acquisition takes the next epoch and keeps a switchover going', () => {
    expect(held).toEqual({ ...vacant, epoch: 1, holder: g1, n: 1 });
    const successor = next(acquire(switching, { region: us, holder: g1Restarted, lapsed: false }));
    expect(successor).toEqual({ ...switching, epoch: 2, holder: g1Restarted, n: 3 });
  });

  test('a failover whose target is lost too gives way to one elsewhere, and cannot complete any more', () => {
    const elsewhere = next(
      beginFailover(failing, { id: 'f2', to: ap, allowDataLoss: true, startedAtMs: 2, lapsed: false }),
    );
    expect(elsewhere).toMatchObject({
      state: 'failing-over',
      holder: null,
      primary: us,
      move: { id: 'f2', to: ap },
    });
    expect(completeMove(elsewhere, { id: 'f1', region: eu, holder: g2 })).toMatchObject({
      code: 'other-move',
    });
    expect(next(completeMove(elsewhere, { id: 'f2', region: ap, holder: g2 }))).toMatchObject({
      primary: ap,
      epoch: 2,
    });
  });

  test('a renewal changes only n', () => {
    expect(next(renew(held, g1))).toEqual({ ...held, n: 2 });
  });

  test('a switchover records where the old writer drained to and ends in the next epoch at the target', () => {
    expect(drained.move?.fork).toEqual({ lsn: 4_096 });
    expect(drained.holder).toBeNull();
    const done = next(completeMove(drained, { id: 's1', region: eu, holder: g2 }));
    expect(done).toEqual({ v: 1, epoch: 2, primary: eu, holder: g2, state: 'stable', move: null, n: 4 });
  });

  test('a failover deposes the holder at once, so that its next renewal is refused', () => {
    expect(failing).toMatchObject({ state: 'failing-over', holder: null, primary: us, epoch: 1 });
    expect(renew(failing, g1)).toMatchObject({ kind: 'refused', code: 'not-holder' });
  });

  test('completing without a holder takes an epoch too, and lets a gateway of the target acquire', () => {
    const done = next(completeMove(failing, { id: 'f1', region: eu, holder: null }));
    expect(done).toMatchObject({ primary: eu, holder: null, epoch: 2, state: 'stable', move: null });
    expect(next(acquire(done, { region: eu, holder: g2, lapsed: false })).epoch).toBe(3);
  });

  test('an aborted switchover leaves a holder that has not released where it was', () => {
    expect(next(abortMove(switching, { id: 's1' }))).toMatchObject({ state: 'stable', holder: g1, epoch: 1 });
  });

  test('a failover supersedes a switchover whose source was lost', () => {
    const transition = beginFailover(switching, {
      id: 'f9',
      to: ap,
      allowDataLoss: false,
      startedAtMs: 1,
      lapsed: true,
    });
    expect(next(transition).move).toMatchObject({ id: 'f9', kind: 'failover', from: us, to: ap });
  });

  test('a record rebuilt after the loss of its bucket continues above the epochs the nodes know', () => {
    const rebuilt = initialControlRecord(us, epoch(41));
    expect(next(acquire(rebuilt, { region: us, holder: g1, lapsed: false })).epoch).toBe(42);
  });

  test('a policy is changed by parts, and changes nothing else', () => {
    const rpo = next(setPolicy(switching, { rpoMs: 0 }));
    expect(rpo).toEqual({ ...switching, n: 3, policy: { ...defaultPolicy, rpoMs: 0 } });
    const both = next(setPolicy(rpo, { automatic: true }));
    expect(policyOf(both)).toEqual({ ...defaultPolicy, rpoMs: 0, automatic: true });
  });

  test('a record says nothing of the default policy, so that versions that know none can read it again', () => {
    const set = next(setPolicy(held, { automatic: true }));
    const back = next(setPolicy(set, { automatic: false }));
    expect(back).toEqual({ ...held, n: 3 });
    expect('policy' in back).toBe(false);
  });

  test('the same policy again is no change: its record would be a renewal that nobody sent (R24)', () => {
    const set = next(setPolicy(held, { rpoMs: 5 }));
    expect(setPolicy(set, { rpoMs: 5 })).toMatchObject({ kind: 'refused', code: 'same-policy' });
    expect(setPolicy(set, {})).toMatchObject({ kind: 'refused', code: 'same-policy' });
  });

  test('a region that has gone can be no target, until it is taken in again (R54, R55)', () => {
    const two = next(setRegions(held, [us, eu]));
    expect(two).toEqual({ ...held, n: 2, regions: [us, eu] });
    expect([isMember(two, ap), isMember(two, eu), isMember(held, ap)]).toEqual([false, true, true]);
    expect(beginSwitchover(two, { id: 's', to: ap, startedAtMs: 1 })).toMatchObject({ code: 'not-member' });
    expect(
      beginFailover(two, { id: 'f', to: ap, allowDataLoss: true, startedAtMs: 1, lapsed: true }),
    ).toMatchObject({ code: 'not-member' });
    const again = next(setRegions(two, [us, eu, ap]));
    expect(next(beginSwitchover(again, { id: 's', to: ap, startedAtMs: 1 })).move?.to).toBe(ap);
  });

  test('a record that names no regions leaves those of the file', () => {
    expect(regionsOf(null, [us, eu])).toEqual([us, eu]);
    expect(regionsOf(held, [us, eu])).toEqual([us, eu]);
    expect(regionsOf(next(setRegions(held, [us])), [us, eu])).toEqual([us]);
  });

  test('the same regions again are no change, and to name those of the file is one', () => {
    const named = next(setRegions(held, [us, eu]));
    expect(setRegions(named, [us, eu])).toMatchObject({ kind: 'refused', code: 'same-regions' });
    expect(setRegions(held, [us, eu]).kind).toBe('next');
  });

  test('in any history of attempts R20 to R23, R26 and R54 hold and each record survives its encoding', () => {
    const moves = Object.values(attempts);
    fc.assert(
      fc.property(fc.array(fc.nat(moves.length - 1), { maxLength: 60 }), (choices) => {
        let record = vacant;
        for (const choice of choices) {
          const transition = moves[choice]?.(record);
          if (transition?.kind !== 'next') continue;
          const after = transition.record;
          checkControlStep(record, after);
          expect(after.epoch).toBeGreaterThanOrEqual(record.epoch);
          const decided = Object.keys(attempts)[choice]?.startsWith('set ') === true;
          expect(samePolicy(policyOf(after), policyOf(record))).toBe(!decided);
          const named = Object.keys(attempts)[choice]?.startsWith('name ') === true;
          if (!named) expect(after.regions).toEqual(record.regions);
          if (after.holder !== null && !sameHolder(after.holder, record.holder)) {
            expect(after.epoch).toBe(record.epoch + 1);
          }
          expect(decodeControlRecord(encodeControlRecord(after))).toEqual({ kind: 'record', record: after });
          record = after;
        }
      }),
      { numRuns: 300 },
    );
  });

  test('records that no transition produces are broken invariants', () => {
    expect(() => checkControlRecord({ ...held, state: 'switching' })).toThrow('R22');
    expect(() => checkControlRecord({ ...drained, holder: g1 })).toThrow('R22');
    expect(() => checkControlRecord({ ...failing, holder: g1 })).toThrow('R22');
    expect(() => checkControlStep(held, { ...held, n: 2, holder: g2 })).toThrow('R20');
    expect(() => checkControlStep(held, { ...held, n: 3 })).toThrow('R21');
    const decided = next(setPolicy(held, { rpoMs: 0 }));
    const { policy: _, ...forgotten } = next(release(decided, { holder: g1, drainedTo: lsn(0) }));
    expect(() => checkControlStep(decided, forgotten)).toThrow('R26');
    expect(() => checkControlRecord({ ...held, regions: [eu] })).toThrow('R54');
    expect(() => checkControlRecord({ ...held, regions: [us, us] })).toThrow('R54');
    expect(() => checkControlRecord({ ...switching, regions: [us, ap] })).toThrow('R54');
    const released = next(release(held, { holder: g1, drainedTo: lsn(0) }));
    expect(() => checkControlStep(held, { ...released, regions: [us] })).toThrow('R54');
  });

  test.each([
    ['a deletion marker', ''],
    ['something else', '{"hello":1}'],
    ['a later version', JSON.stringify({ ...held, v: 2 })],
    ['an unknown field', JSON.stringify({ ...held, extra: 1 })],
    ['an epoch that is none', JSON.stringify({ ...held, epoch: -1 })],
    ['a region that cannot be one', JSON.stringify({ ...held, primary: 'US EAST' })],
    ['a policy with an unknown field', JSON.stringify({ ...held, policy: { ...defaultPolicy, extra: 1 } })],
    ['a policy that cannot be one', JSON.stringify({ ...held, policy: { ...defaultPolicy, rpoMs: -1 } })],
    ['regions without the primary', JSON.stringify({ ...held, regions: [eu] })],
    ['no regions at all', JSON.stringify({ ...held, regions: [] })],
    ['a contradiction', JSON.stringify({ ...held, state: 'switching' })],
  ])('%s in the bucket is unusable, with a reason', (_, text) => {
    const decoded = decodeControlRecord(new TextEncoder().encode(text));
    expect(decoded.kind).toBe('unusable');
    expect(decoded.kind === 'unusable' && decoded.reason.length > 0).toBe(true);
  });
});
