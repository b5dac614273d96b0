import { expect, test } from 'vitest';
import { RepairSession } from '../../../storage/node/core/repair-session.ts';
import { lsn } from '../../../storage/redo/ids.ts';

test('a repair lasts from the first question to level, over many fetches', () => {
  const session = new RepairSession();
  session.level(lsn(900), 1_000_000);
  expect(session.last).toBeNull();
  session.asked(lsn(400), 2_000_000);
  session.brought(300);
  session.asked(lsn(700), 2_500_000.4);
  session.brought(250);
  expect(session.last).toBeNull();
  session.level(lsn(950), 3_000_000.4);
  expect(session.last).toEqual({
    fromLsn: 400,
    toLsn: 950,
    wasEmpty: false,
    beganAtUs: 2_000_000,
    endedAtUs: 3_000_000,
    bytes: 550,
  });
  session.level(lsn(960), 4_000_000);
  expect(session.last?.endedAtUs).toBe(3_000_000);
});

test('one that found nothing missing was none, and one from nothing fills an empty node', () => {
  const session = new RepairSession();
  session.asked(lsn(400), 1_000_000);
  session.level(lsn(500), 2_000_000);
  expect(session.last).toBeNull();
  session.asked(lsn(0), 5_000_000);
  session.brought(70);
  session.level(lsn(70), 4_000_000);
  expect(session.last).toMatchObject({
    wasEmpty: true,
    bytes: 70,
    beganAtUs: 5_000_000,
    endedAtUs: 5_000_000,
  });
});
