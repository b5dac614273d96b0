import { expect, test } from 'vitest';
import {
  type BranchPlace,
  branchLaneLimits,
  isLevel,
  lanesOf,
  sharedBounds,
} from '../../../regions/replication/core/branch-lanes.ts';
import { epoch, lsn, regionId } from '../../../storage/redo/ids.ts';

const [eu, ap] = [regionId('eu-west-1'), regionId('ap-northeast-1')];
const origin = epoch(5);
const at = (head: number, vdl: number): BranchPlace => ({ head: epoch(head), vdl: lsn(vdl) });
const { idleMs } = branchLaneLimits;

test.each<[string, BranchPlace, number, BranchPlace | null, boolean]>([
  ['nobody has written', at(5, 100), 0, at(5, 100), false],
  ['the region does not have the fork (R71)', at(7, 200), 0, null, false],
  ['it lacks redo', at(7, 200), idleMs, at(7, 150), true],
  ['it follows an older reign', at(7, 100), idleMs, at(5, 100), true],
  ['it is level, and something was written just now', at(7, 200), idleMs - 1, at(7, 200), true],
  ['it is level, and nothing was written for long', at(7, 200), idleMs, at(7, 200), false],
  ['it has more of the same reign', at(7, 200), idleMs, at(7, 250), false],
  ['it follows a newer reign', at(7, 200), idleMs, at(8, 100), false],
])('a branch has a lane to a region or not: %s', (_, mine, movedMsAgo, theirs, expected) => {
  const others = new Map([[eu, theirs]]);
  expect(lanesOf({ origin, mine, movedMsAgo, others })).toEqual(expected ? [eu] : []);
});

test('each region has a lane or not by itself', () => {
  const others = new Map([
    [eu, at(7, 200)],
    [ap, at(7, 100)],
  ]);
  expect(lanesOf({ origin, mine: at(7, 200), movedMsAgo: idleMs, others })).toEqual([ap]);
  expect(isLevel(at(7, 200), at(7, 200))).toBe(true);
});

test('the branches of a secondary share one window, whatever comes and goes, and each can send a message', () => {
  const whole = { windowBytes: 8_000_000, messageBytes: 500_000, queueMs: 200 };
  let lanes = 1;
  const bounds = sharedBounds(whole, () => lanes);
  expect(bounds).toMatchObject({ messageBytes: 250_000, windowBytes: 8_000_000 });
  lanes = 4;
  expect(bounds.windowBytes).toBe(2_000_000);
  lanes = 32;
  expect(bounds.windowBytes).toBe(2 * bounds.messageBytes);
  lanes = 0;
  expect(bounds.windowBytes).toBe(8_000_000);
});
