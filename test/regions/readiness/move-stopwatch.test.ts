import { expect, test } from 'vitest';
import {
  abortMove,
  acquire,
  beginFailover,
  beginSwitchover,
  type ControlRecord,
  completeMove,
  initialControlRecord,
  release,
  type Transition,
} from '../../../regions/control/core/control-record.ts';
import { MoveStopwatch } from '../../../regions/readiness/core/move-stopwatch.ts';
import { lsn, regionId } from '../../../storage/redo/ids.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const next = (transition: Transition): ControlRecord => {
  if (transition.kind === 'refused') throw new Error(transition.reason);
  return transition.record;
};
const old = { gateway: 'g1', incarnation: 'us' };
const fresh = { gateway: 'g1', incarnation: 'eu' };
const held = next(acquire(initialControlRecord(us), { region: us, holder: old, lapsed: false }));
const switching = next(beginSwitchover(held, { id: 'm', to: eu, startedAtMs: 0 }));
const drained = next(release(switching, { holder: old, drainedTo: lsn(9) }));
const taken = next(completeMove(drained, { id: 'm', region: eu, holder: fresh }));

test('a switchover took from its first sight to the first word that a gateway writes', () => {
  const watch = new MoveStopwatch(eu);
  watch.saw(held, 0);
  watch.saw(switching, 100);
  watch.saw(drained, 150);
  // It wrote once before, in an earlier reign.
  watch.wrote(0, 160);
  watch.saw(taken, 170);
  watch.wrote(held.epoch, 175);
  watch.wrote(taken.epoch, 190);
  watch.wrote(taken.epoch, 900);
  expect(watch.took).toEqual({ switchoverMs: 90, promotionMs: null });
});

test('a failover took from deposing the lost primary', () => {
  const watch = new MoveStopwatch(eu);
  const deposed = next(
    beginFailover(held, { id: 'f', to: eu, allowDataLoss: true, startedAtMs: 0, lapsed: true }),
  );
  watch.saw(deposed, 1_000);
  watch.saw(next(completeMove(deposed, { id: 'f', region: eu, holder: fresh })), 1_020);
  watch.wrote(2, 1_130);
  expect(watch.took).toEqual({ switchoverMs: null, promotionMs: 130 });
});

test('a move that was given up, went elsewhere or was overtaken is not measured', () => {
  const watch = new MoveStopwatch(eu);
  watch.saw(switching, 0);
  watch.saw(next(abortMove(switching, { id: 'm' })), 10);
  watch.wrote(9, 20);
  watch.saw(next(beginSwitchover(held, { id: 'n', to: ap, startedAtMs: 0 })), 30);
  watch.wrote(9, 40);
  watch.saw(switching, 50);
  watch.saw(next(beginSwitchover(held, { id: 'n', to: ap, startedAtMs: 0 })), 60);
  watch.saw(taken, 70);
  watch.wrote(9, 80);
  expect(watch.took).toEqual({ switchoverMs: null, promotionMs: null });
});
