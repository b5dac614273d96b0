import { expect, test } from 'vitest';
import { ControlHealth, controlHealthLimits } from '../../../regions/control/writer/core/control-health.ts';

const { unreadableMs, unchangedMs, tryMs } = controlHealthLimits;

test('a record that cannot be read is told after an election had its time, and no more once it was read', () => {
  const health = new ControlHealth(0);
  health.read(7, 1_000);
  for (let nowMs = 2_000; nowMs <= 2_000 + unreadableMs; nowMs += 1_000)
    health.unreadable('STREAM.INFO: timeout', nowMs);
  expect(health.trouble(2_000 + unreadableMs - 1)).toBeNull();
  expect(health.trouble(2_000 + unreadableMs)).toMatch(
    /^the control record cannot be read since 10 s \(STREAM\.INFO: timeout\): is the disk of the NATS server full/,
  );
  health.read(7, 30_000);
  expect(health.trouble(30_000)).toBeNull();
});

test('a record that stands still is trouble only while a gateway tries to change it', () => {
  const health = new ControlHealth(0);
  health.read(7, 0);
  // No gateway: the record has no reason to change.
  expect(health.trouble(unchangedMs * 10)).toBeNull();
  health.heard('reading', unchangedMs);
  expect(health.trouble(unchangedMs)).toBeNull();
  for (const phase of ['claiming', 'writing'] as const) {
    health.heard(phase, unchangedMs);
    expect(health.trouble(unchangedMs - 1)).toBeNull();
    expect(health.trouble(unchangedMs)).toMatch(/^the control record takes no changes since 10 s, although/);
    expect(health.trouble(unchangedMs + tryMs)).toBeNull();
  }
  // The same revision again is no change; the next one is.
  health.heard('writing', unchangedMs);
  health.read(7, unchangedMs);
  expect(health.trouble(unchangedMs)).not.toBeNull();
  health.read(8, unchangedMs);
  expect(health.trouble(unchangedMs)).toBeNull();
});
