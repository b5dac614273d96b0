import { describe, expect, test } from 'vitest';
import {
  acquire,
  type Holder,
  initialControlRecord,
  renew,
} from '../../../../regions/control/core/control-record.ts';
import { epoch } from '../../../../storage/redo/ids.ts';
import { next } from '../../control-records.ts';
import { Bench, bench, failingOverTo, limits, me, other, switchingTo, us } from './writer-role-bench.ts';

const { renewMs, ttlMs, marginMs, retryMs } = limits;

describe('a recovery that too few nodes answer', () => {
  const timedOut = (mayHaveForked: boolean) =>
    ({ kind: 'recoveryTimedOut', epoch: epoch(1), mayHaveForked }) as const;

  test('is tried again with its epoch, and with what a switchover drained, as long as the record names it', () => {
    const at = bench('recovering');
    for (let time = 0; time < 3; time += 1) {
      expect(at.step(timedOut(false))).toEqual(['recover']);
      expect(at.effects.at(-1)).toEqual({ kind: 'recover', epoch: 1, atLeast: 0 });
    }
    // The lease lapses meanwhile: nothing is acknowledged, and the record still names this reign.
    at.nowMs = ttlMs;
    expect(at.step(timedOut(false))).toContain('recover');
    at.change(next(acquire(at.record, { region: us, holder: other, lapsed: true })));
    expect(at.show()).toContain('close');
    expect(at.step(timedOut(false))).not.toContain('recover');
  });

  test('is given up when its epoch may have been forked (S3)', () => {
    const at = bench('recovering');
    expect(at.step(timedOut(true))).toEqual(['close', 'write']);
    expect(at.effects.at(-2)).toEqual({ kind: 'close', epoch: 1, reason: 'recovery-failed' });
  });
});

describe('a claim', () => {
  test('takes the next epoch, and the lease counts from before it was sent', () => {
    const at = new Bench();
    at.nowMs = 1_000;
    at.show();
    at.nowMs = 1_400;
    at.settle();
    expect(at.effects.at(-1)).toEqual({ kind: 'recover', epoch: 1, atLeast: 0 });
    expect(at.role.mayAcknowledge(1_000 + ttlMs - marginMs - 1)).toBe(true);
    expect(at.role.mayAcknowledge(1_000 + ttlMs - marginMs)).toBe(false);
  });

  test('waits out the lease of another gateway, and not that of an earlier start of its own', () => {
    const held = new Bench(
      next(acquire(initialControlRecord(us), { region: us, holder: other, lapsed: false })),
    );
    held.show();
    expect(held.tick(ttlMs + marginMs - 1)).toEqual([]);
    // R25: it may, and looks once more first.
    expect(held.tick(1)).toEqual(['read']);
    expect(held.show()).toEqual(['write']);
    const before: Holder = { gateway: 'g1', incarnation: 'before' };
    const own = new Bench(
      next(acquire(initialControlRecord(us), { region: us, holder: before, lapsed: false })),
    );
    expect(own.show()).toEqual(['write']);
  });

  test('does not wait for a holder whose reign is fenced, nor takes one reign for another (R28, R78)', () => {
    const at = new Bench(
      next(acquire(initialControlRecord(us), { region: us, holder: other, lapsed: false })),
    );
    at.show();
    expect(at.step({ kind: 'holderFenced', reign: epoch(at.record.epoch + 1) })).toEqual([]);
    expect(at.step({ kind: 'holderFenced', reign: at.record.epoch })).toEqual(['write']);
    expect(at.write?.record).toMatchObject({ epoch: at.record.epoch + 1, holder: me });
    // The holder renewed in between: its reign is fenced all the same.
    at.change(next(renew(at.record, other)));
    at.answer(at.apply());
    expect(at.show()).toEqual(['write']);
    at.settle();
    expect(at.role.phase).toBe('recovering');
  });

  test('leaves alone a gateway that has taken the epoch that the nodes were sealed for', () => {
    const at = new Bench(
      next(acquire(initialControlRecord(us), { region: us, holder: other, lapsed: false })),
    );
    at.show();
    at.step({ kind: 'holderFenced', reign: at.record.epoch });
    const third: Holder = { gateway: 'g3', incarnation: 'y' };
    at.change(next(acquire(at.record, { region: us, holder: third, lapsed: true })));
    at.answer(at.apply());
    at.show();
    expect(at.tick(2_000)).toEqual([]);
    expect(at.role.phase).toBe('reading');
  });

  test('starts its wait anew at every renewal of the other', () => {
    const at = new Bench(
      next(acquire(initialControlRecord(us), { region: us, holder: other, lapsed: false })),
    );
    at.show();
    at.nowMs = 10_000;
    at.change(next(renew(at.record, other)));
    at.show();
    expect(at.tick(ttlMs + marginMs - 1)).toEqual([]);
    expect(at.tick(1)).toEqual(['read']);
    expect(at.show()).toEqual(['write']);
  });

  test('gives a holder that nobody could see the time to renew first, once the record can be read again', () => {
    const at = new Bench(
      next(acquire(initialControlRecord(us), { region: us, holder: other, lapsed: false })),
    );
    at.show();
    at.nowMs = 10_000;
    expect(at.step({ kind: 'unseen' })).toEqual(['read']);
    expect(at.show()).toEqual([]);
    expect(at.tick(renewMs - 1)).toEqual(['read']);
    expect(at.show()).toEqual([]);
    at.tick(retryMs);
    expect(at.show()).toEqual(['write']);
  });

  test('that was lost is not sent again before a newer record was seen', () => {
    const at = new Bench();
    at.show();
    at.change(next(acquire(at.record, { region: us, holder: other, lapsed: false })));
    expect(at.answer(at.apply())).toEqual(['read']);
    expect(at.role.phase).toBe('reading');
    expect(at.tick(retryMs - 1)).toEqual([]);
    expect(at.tick(1)).toEqual(['read']);
    at.show();
    expect(at.tick()).toEqual([]);
    expect(at.role.record?.holder).toEqual(other);
  });

  test('of unknown outcome is sent again as it was, and counts from the first sending', () => {
    const at = new Bench();
    at.show();
    const first = at.write;
    at.apply();
    at.nowMs = 1_500;
    expect(at.answer('unknown')).toEqual(['read']);
    at.tick(5_000);
    expect(at.write).toEqual(first);
    at.answer(at.apply());
    expect(at.role.phase).toBe('recovering');
    expect(at.role.mayAcknowledge(ttlMs - marginMs - 1)).toBe(true);
    expect(at.role.mayAcknowledge(ttlMs - marginMs)).toBe(false);
  });

  test('of unknown outcome that took place is given back, and the next one has an epoch of its own', () => {
    const at = new Bench();
    at.show();
    at.apply();
    at.answer('unknown');
    at.show();
    expect(at.tick(retryMs)).toEqual(['write']);
    expect(at.role.phase).toBe('releasing');
    expect(at.write?.record).toMatchObject({ holder: null, epoch: 1 });
    at.answer(at.apply());
    at.tick(retryMs);
    at.settle();
    expect(at.epoch).toBe(2);
  });

  test('made after a shutdown was asked for is given back at once', () => {
    const at = bench('claiming');
    at.step({ kind: 'shutdown' });
    expect(at.answer(at.apply())).toEqual(['write']);
    at.settle();
    expect(at.record.holder).toBeNull();
    expect(at.tick(60_000)).toEqual([]);
    expect(at.effects.map((effect) => effect.kind)).not.toContain('recover');
  });
});

describe('the lease of a reign', () => {
  test('is renewed in time, and every renewal extends it', () => {
    const at = bench('writing');
    for (let nowMs = 0; nowMs < 5 * ttlMs; nowMs += 100) {
      at.tick(100);
      at.settle();
      expect(at.role.mayAcknowledge(at.nowMs)).toBe(true);
    }
    expect(at.role.phase).toBe('writing');
    expect(at.record.n).toBeGreaterThan((4 * ttlMs) / renewMs);
  });

  test('is renewed while it recovers and while it drains', () => {
    for (const phase of ['recovering', 'draining'] as const) {
      const at = bench(phase);
      for (let nowMs = 0; nowMs < 2 * ttlMs; nowMs += 100) {
        at.tick(100);
        at.settle();
      }
      expect(at.role.phase).toBe(phase);
      expect(at.role.mayAcknowledge(at.nowMs)).toBe(true);
    }
  });

  /** Nobody answers until the lease has lapsed. */
  const suspended = (at: Bench): Bench => {
    while (at.role.mayAcknowledge(at.nowMs)) {
      at.tick(100);
      if (at.write !== null) at.answer('unknown');
    }
    return at;
  };

  test('is suspended when nobody acknowledges, and the reign goes on', () => {
    const at = suspended(bench('writing'));
    expect(at.nowMs).toBe(Math.ceil((ttlMs - marginMs) / 100) * 100);
    expect(at.role.phase).toBe('writing');
    expect(at.effects.filter((effect) => effect.kind !== 'write' && effect.kind !== 'read').at(-1)).toEqual({
      kind: 'suspend',
      epoch: 1,
    });
    expect(at.tick(60_000)).not.toContain('close');
    expect(at.role.phase).toBe('writing');
  });

  test('opens the gate again with the first renewal that is won, in the same epoch and without a recovery', () => {
    for (const phase of ['writing', 'draining'] as const) {
      const at = suspended(bench(phase));
      // What was sent again and again is settled first; the next renewal is another change, and counts for itself.
      for (let time = 0; time < 10 && !at.role.mayAcknowledge(at.nowMs); time += 1) {
        at.tick(100);
        at.settle();
      }
      const reopened = at.effects.find((effect) => effect.kind === 'reopen');
      expect(reopened).toEqual({ kind: 'reopen', epoch: 1, afterMs: at.nowMs - (ttlMs - marginMs) });
      expect(at.role.mayAcknowledge(at.nowMs)).toBe(true);
      expect([at.role.phase, at.epoch]).toEqual([phase, 1]);
      expect(at.effects.filter(({ kind }) => kind === 'recover')).toHaveLength(1);
    }
  });

  test('opens nothing because the record still names this reign: only a compare-and-set does', () => {
    const at = bench('writing');
    at.tick(renewMs);
    at.answer('unknown');
    at.nowMs = 40_000;
    at.tick();
    // The first renewal is stored at last, and its newer revision is seen.
    at.change(next(renew(at.record, me)));
    at.show();
    expect(at.role.mayAcknowledge(at.nowMs)).toBe(false);
    expect(at.effects).not.toContainEqual(expect.objectContaining({ kind: 'reopen' }));
    if (at.write !== null) at.answer(at.apply());
    at.tick(retryMs);
    at.settle();
    expect(at.role.mayAcknowledge(at.nowMs)).toBe(true);
  });

  test('a suspended reign whose record names somebody else ends', () => {
    const at = suspended(bench('writing'));
    at.change(failingOverTo(at.record));
    if (at.write !== null) at.answer(at.apply());
    expect(at.show()).toEqual(['close', 'read']);
    expect(at.role.phase).toBe('reading');
    expect(at.tick(60_000)).not.toContain('reopen');
  });

  test('lapses also when the first thing that is heard in time is the outcome of a renewal', () => {
    for (const outcome of ['won', 'lost', 'unknown'] as const) {
      const at = bench('writing');
      at.tick(renewMs);
      // The process was frozen.
      at.nowMs = 60_000;
      if (outcome === 'won') at.apply();
      expect(at.answer(outcome)).toContain('suspend');
      expect(at.role.mayAcknowledge(at.nowMs)).toBe(false);
    }
  });

  test('R24: a renewal sent again and acknowledged at last counts from its first sending', () => {
    const at = bench('writing');
    at.tick(renewMs);
    at.apply();
    at.nowMs += 1_500;
    at.answer('unknown');
    at.tick(5_500);
    expect(at.write).not.toBeNull();
    expect(at.apply()).toBe('won');
    at.answer('won');
    expect(at.role.mayAcknowledge(renewMs + ttlMs - marginMs - 1)).toBe(true);
    expect(at.role.mayAcknowledge(renewMs + ttlMs - marginMs)).toBe(false);
    // Its next renewal is another change, and counts for itself.
    at.tick();
    const sentAt = at.nowMs;
    at.settle();
    expect(at.role.mayAcknowledge(sentAt + ttlMs - marginMs - 1)).toBe(true);
  });

  test('a renewal lost against another change is made again upon that change', () => {
    const at = bench('writing');
    at.tick(renewMs);
    at.change(switchingTo(at.record));
    expect(at.answer(at.apply())).toContain('read');
    expect(at.show()).toEqual(['drain']);
    at.tick(retryMs);
    expect(at.answer(at.apply())).toEqual([]);
    expect(at.record.state).toBe('switching');
  });

  test('a record that names somebody else ends the reign at once', () => {
    const at = bench('writing');
    at.change(next(acquire(at.record, { region: us, holder: other, lapsed: true })));
    expect(at.show()).toEqual(['close', 'read']);
    expect(at.role.mayAcknowledge(at.nowMs)).toBe(false);
    expect(at.tick(1_000)).toEqual([]);
  });
});

describe('the end of a reign', () => {
  test('a lost quorum gives the lease back, and claims again after a pause, in a new epoch', () => {
    const at = bench('writing');
    at.step({ kind: 'quorumLost', epoch: at.epoch });
    expect(at.role.mayAcknowledge(at.nowMs)).toBe(false);
    at.settle();
    expect(at.record.holder).toBeNull();
    expect(at.tick(499)).toEqual([]);
    expect(at.tick(1)).toEqual(['write']);
    at.settle();
    expect(at.epoch).toBe(2);
  });

  test('waits for the renewal under way before it gives the lease back', () => {
    const at = bench('writing');
    at.tick(renewMs);
    expect(at.step({ kind: 'quorumLost', epoch: at.epoch })).toEqual(['close']);
    expect(at.answer(at.apply())).toEqual(['write']);
    at.settle();
    expect(at.record.holder).toBeNull();
  });

  test('tries a release of unknown outcome again, not in a tight loop, until it is settled', () => {
    const at = bench('writing');
    at.step({ kind: 'shutdown' });
    at.apply();
    expect(at.answer('unknown')).toEqual(['read']);
    expect(at.tick(retryMs - 1)).toEqual([]);
    expect(at.tick(1)).toEqual(['write']);
    at.settle();
    expect(at.role.phase).toBe('reading');
    expect(at.record.holder).toBeNull();
  });

  test('a release lost against another change is made upon that change', () => {
    const at = bench('writing');
    at.step({ kind: 'shutdown' });
    at.change(switchingTo(at.record));
    expect(at.answer(at.apply())).toEqual(['read']);
    expect(at.show()).toEqual(['write']);
    at.settle();
    expect(at.record).toMatchObject({ holder: null, state: 'stable', primary: us });
  });

  test('a fenced writer gives back what still names it', () => {
    const at = bench('writing');
    at.step({ kind: 'fenced', epoch: at.epoch });
    at.tick(500);
    at.answer(at.apply());
    expect(at.record).toMatchObject({ holder: null, epoch: 1 });
    at.settle();
    expect(at.epoch).toBe(2);
  });

  test('a shutdown leaves nothing behind, also when the record still names it later', () => {
    const at = bench('claiming');
    at.apply();
    at.step({ kind: 'shutdown' });
    at.answer('unknown');
    at.show();
    at.tick(retryMs);
    at.settle();
    expect(at.record.holder).toBeNull();
    expect(at.tick(60_000)).toEqual([]);
  });
});
