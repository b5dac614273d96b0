import { expect, test } from 'vitest';
import { mayWriteSoon } from '../../../gateway/database/core/soon.ts';
import { beginSwitchover, initialControlRecord } from '../../../regions/control/core/control-record.ts';
import { regionId } from '../../../storage/redo/ids.ts';

const [east, europe, asia] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];

test('the target of a move starts its engine while the old writer still drains, and nobody else does', () => {
  const stable = initialControlRecord(east);
  const begun = beginSwitchover(stable, { id: 'm', to: europe, startedAtMs: 0 });
  if (begun.kind !== 'next') throw new Error(begun.reason);
  const soon = [east, europe, asia].map((region) => mayWriteSoon('reading', begun.record, region));
  expect(soon).toEqual([false, true, false]);
  expect(mayWriteSoon('reading', stable, europe)).toBe(false);
  expect(mayWriteSoon('reading', null, europe)).toBe(false);
});

test('so does who claims or recovers, whatever the occasion; who writes has it', () => {
  const stable = initialControlRecord(east);
  const soon = (['claiming', 'recovering', 'writing', 'draining', 'releasing'] as const).map((phase) =>
    mayWriteSoon(phase, stable, east),
  );
  expect(soon).toEqual([true, true, false, false, false]);
});
