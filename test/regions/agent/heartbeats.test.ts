import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Heartbeats } from '../../../regions/agent/heartbeats.ts';
import {
  acquire,
  type ControlRecord,
  initialControlRecord,
} from '../../../regions/control/core/control-record.ts';
import { ControlSight } from '../../../regions/control/core/control-sight.ts';
import type { PairLag } from '../../../regions/replication/core/heartbeat.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { regionId } from '../../../storage/redo/ids.ts';
import type { SpanFact } from '../../../telemetry/index.ts';

vi.mock('../../../storage/process/ticker.ts', () => import('../../storage/process/plain-ticker.ts'));

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance', 'Date', 'hrtime'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** The heartbeats of one region's agent. */
function agentOf(region: typeof us, lags: readonly PairLag[] | null, ageMs: number | null) {
  const spans: SpanFact[] = [];
  const sight = new ControlSight(2_500);
  const state = { lags, ageMs };
  const heartbeats = new Heartbeats({
    region,
    sight,
    lags: () => state.lags,
    ageMs: () => state.ageMs,
    telemetry: { enabled: true, record: (fact) => void spans.push(fact) },
    runtime: machine,
  });
  const saw = (record: ControlRecord): void =>
    void sight.saw({ kind: 'record', view: { seq: record.n + 1, record } }, machine.nowMs());
  return { spans, heartbeats, state, sight, saw };
}

function reignOf(region: typeof us, before?: ControlRecord): ControlRecord {
  const by = { region, holder: { gateway: 'g1', incarnation: 'a' }, lapsed: true };
  const taken = acquire(before ?? initialControlRecord(region), by);
  if (taken.kind === 'refused') throw new Error(taken.reason);
  return taken.record;
}

test('the primary’s agent sends one span a second for each pair, as long as the lag is, which no sampler drops (T8)', async () => {
  const lag = { lagBytes: 700, lagCommits: 3, stalledMs: 0 };
  const { spans, saw, heartbeats } = agentOf(
    us,
    [
      { ...lag, region: eu, lagMs: 1_234.5 },
      { ...lag, region: ap, lagMs: 0 },
    ],
    null,
  );
  saw(reignOf(us));
  await pass(3_000);
  expect(spans).toHaveLength(6);
  const [first, second] = spans;
  const nowUs = Date.now() * 1_000;
  expect(first).toMatchObject({
    name: 'us-east-1→eu-west-1',
    service: 'sextant-lag',
    kind: 'server',
    parentSpanId: null,
    context: { sampled: true },
    attributes: {
      'sextant.source.region': us,
      'sextant.target.region': eu,
      'sextant.epoch': 1,
      'sextant.lag_bytes': 700,
      'sextant.lag_commits': 3,
    },
  });
  expect([first, second].map((span) => (span?.endUs ?? 0) - (span?.startUs ?? 0))).toEqual([1_234_500, 0]);
  expect(Math.abs((first?.endUs ?? 0) + 2_000_000 - nowUs)).toBeLessThan(10_000);
  expect(new Set(spans.map(({ context }) => context.traceId)).size).toBe(6);
  heartbeats.close();
  await pass(3_000);
  expect(spans).toHaveLength(6);
});

test('a deposed primary stops with the record that says so, and one that is cut off after five seconds (R41)', async () => {
  const lags = [{ region: eu, lagMs: 10, lagBytes: 1, lagCommits: 1, stalledMs: 0 }];
  const deposed = agentOf(us, lags, null);
  const record = reignOf(us);
  deposed.saw(record);
  await pass(2_000);
  expect(deposed.spans).toHaveLength(2);
  deposed.saw({ ...record, primary: eu, n: record.n + 1 });
  await pass(10_000);
  expect(deposed.spans).toHaveLength(2);

  const cut = agentOf(us, lags, null);
  cut.saw(record);
  await pass(2_000);
  cut.sight.saw({ kind: 'unavailable', reason: 'no leader' }, machine.nowMs());
  await pass(30_000);
  // Healed, it hears of the reign that took its place before it can read the record.
  cut.heartbeats.heard({ region: eu, epoch: 2, lag: [], following: false, followed: null });
  await pass(3_000);
  // The record was known to be the newest 2.5 s before the look that failed.
  expect(cut.spans.length).toBeGreaterThanOrEqual(4);
  expect(cut.spans.length).toBeLessThanOrEqual(5);
});

test('a secondary begins five seconds after the last word on its lag, and ends with the next', async () => {
  const { spans, saw, heartbeats } = agentOf(eu, null, 6_000);
  saw(reignOf(us));
  const told = {
    region: us,
    epoch: 1,
    lag: [{ region: eu, lagBytes: 0, lagMs: 0, vdl: 1, online: true }],
    following: false,
    followed: null,
  };
  for (let second = 0; second < 20; second += 1) {
    heartbeats.heard(told);
    await pass(1_000);
  }
  expect(spans).toEqual([]);
  for (let second = 0; second < 7; second += 1) {
    heartbeats.heard({ region: ap, epoch: 1, lag: [], following: false, followed: us });
    await pass(1_000);
  }
  expect(spans).toHaveLength(4);
  expect(spans[0]).toMatchObject({
    name: 'us-east-1→eu-west-1',
    error: { code: 'PRIMARY_SILENT' },
  });
  // A report that names no lag of ours is no word on it; the third region receives, so that the primary lives.
  heartbeats.heard({ ...told, lag: [] });
  heartbeats.heard({ region: ap, epoch: 1, lag: [], following: true, followed: us });
  await pass(2_500);
  expect(spans).toHaveLength(4);
  await pass(2_000);
  expect(spans).toHaveLength(6);
  heartbeats.heard(told);
  await pass(4_000);
  expect(spans).toHaveLength(6);
});
