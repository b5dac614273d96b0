import { describe, expect, test } from 'vitest';
import {
  abortMove,
  acquire,
  type ControlRecord,
  initialControlRecord,
  release,
} from '../../../../regions/control/core/control-record.ts';
import { moveLimits } from '../../../../regions/control/core/move-limits.ts';
import { epoch, lsn, regionId, zeroLsn } from '../../../../storage/redo/ids.ts';
import { next } from '../../control-records.ts';
import { Bench, bench, eu, failingOverTo, limits, me, other, switchingTo, us } from './writer-role-bench.ts';

const { renewMs, retryMs } = limits;

describe('a switchover', () => {
  test('drains, says where to, and releases for the target alone', () => {
    const at = bench('draining');
    expect(at.effects.at(-1)).toEqual({ kind: 'drain', epoch: 1, to: eu });
    at.drained(700);
    expect(at.role.mayAcknowledge(at.nowMs)).toBe(false);
    at.settle();
    expect(at.record).toMatchObject({ holder: null, state: 'switching', move: { fork: { lsn: 700 } } });
    expect(at.tick(moveLimits.switchoverMs)).toEqual([]);
  });

  test('that nobody completes is given up by the region that drained, which writes again (R7)', () => {
    const at = bench('draining');
    at.drained(700);
    at.settle();
    at.tick(1);
    at.tick(moveLimits.switchoverMs + 1);
    expect(at.answer('unknown')).toEqual(['read']);
    expect(at.tick(retryMs - 1)).toEqual([]);
    expect(at.tick(1)).toEqual(['write']);
    at.settle();
    expect(at.record).toMatchObject({ state: 'stable', primary: us, epoch: 2, holder: me });
  });

  test('that is given up while it drains lets the writer go on', () => {
    const at = bench('draining');
    at.change(next(abortMove(at.record, { id: `to-${eu}` })));
    expect(at.show()).toEqual(['resume']);
    expect(at.role.phase).toBe('writing');
    expect(at.step({ kind: 'drained', epoch: at.epoch, lsn: lsn(5) })).toEqual([]);
  });

  test('that is given up after it drained is followed by a new reign', () => {
    const at = bench('releasing');
    at.change(next(abortMove(at.record, { id: `to-${eu}` })));
    at.answer(at.apply());
    at.show();
    at.settle();
    expect(at.record).toMatchObject({ state: 'stable', primary: us, epoch: 2, holder: me });
  });

  test('drains at once, also while a renewal is under way', () => {
    const at = bench('writing');
    at.tick(renewMs);
    at.change(switchingTo(at.record));
    expect(at.show()).toEqual(['drain']);
  });

  test('that begins while the writer recovers is drained for when it is open', () => {
    const at = bench('recovering');
    at.change(switchingTo(at.record));
    at.show();
    expect(at.recovered()).toEqual(['open', 'drain']);
  });

  test('R7: a writer that cannot drain gives the move up before it gives the lease back', () => {
    for (const kind of ['quorumLost', 'shutdown'] as const) {
      const at = bench('draining');
      at.step(kind === 'shutdown' ? { kind } : { kind, epoch: at.epoch });
      expect(at.write?.record).toMatchObject({ state: 'stable', move: null, holder: me });
      at.answer(at.apply());
      expect(at.write?.record).toMatchObject({ state: 'stable', holder: null });
      at.settle();
      expect(at.record).toMatchObject({ primary: us, holder: null, move: null });
    }
  });

  test('R7: a move that begins while the lease is given back undrained is given up too', () => {
    const at = bench('writing');
    at.step({ kind: 'quorumLost', epoch: at.epoch });
    at.change(switchingTo(at.record));
    at.answer(at.apply());
    at.show();
    at.settle();
    expect(at.record).toMatchObject({ primary: us, holder: null, state: 'stable' });
  });

  const drainedRecord = (): ControlRecord => {
    const acquired = next(acquire(initialControlRecord(eu), { region: eu, holder: other, lapsed: false }));
    return next(release(switchingTo(acquired, us), { holder: other, drainedTo: lsn(700) }));
  };

  test('R6: the target claims when all that was drained is durable there, on the path of the drained reign', () => {
    const at = new Bench(drainedRecord());
    expect(at.show()).toEqual([]);
    expect(at.step({ kind: 'regionVdl', head: epoch(1), vdl: lsn(699) })).toEqual([]);
    expect(at.step({ kind: 'regionVdl', head: epoch(0), vdl: lsn(9_000) })).toEqual([]);
    expect(at.step({ kind: 'regionVdl', head: epoch(1), vdl: lsn(700) })).toEqual(['write']);
    at.settle();
    expect(at.effects.at(-1)).toEqual({ kind: 'recover', epoch: 2, atLeast: 700 });
    expect(at.record).toMatchObject({ primary: us, holder: me, state: 'stable', epoch: 2 });
  });

  test('R6: a recovery that finds less than was drained is a broken invariant', () => {
    const at = new Bench(drainedRecord());
    at.show();
    at.step({ kind: 'regionVdl', head: epoch(1), vdl: lsn(700) });
    at.settle();
    expect(() => at.recovered(699)).toThrow('R6');
  });

  test('is not claimed by a third region, nor by the target before the source has drained', () => {
    const third = new Bench(drainedRecord(), regionId('ap-northeast-1'));
    third.step({ kind: 'regionVdl', head: epoch(1), vdl: lsn(9_000) });
    expect(third.show()).toEqual([]);
    const early = new Bench(
      switchingTo(next(acquire(initialControlRecord(eu), { region: eu, holder: other, lapsed: false })), us),
    );
    early.step({ kind: 'regionVdl', head: epoch(1), vdl: lsn(9_000) });
    expect(early.show()).toEqual([]);
    expect(early.tick(60_000)).toEqual([]);
  });
});

describe('a failover', () => {
  test('is taken over by a gateway of the target, whatever is durable there', () => {
    const at = new Bench(failingOverTo(initialControlRecord(eu), us));
    expect(at.show()).toEqual(['write']);
    at.settle();
    expect(at.record).toMatchObject({ primary: us, holder: me, state: 'stable', epoch: 1 });
    expect(at.effects.at(-1)).toEqual({ kind: 'recover', epoch: 1, atLeast: zeroLsn });
  });

  test('deposes the writer that sees it, which claims nothing afterwards', () => {
    const at = bench('draining');
    at.change(failingOverTo(at.record));
    expect(at.show()).toEqual(['close', 'read']);
    expect(at.tick(60_000)).toEqual([]);
  });
});
