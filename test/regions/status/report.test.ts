import { describe, expect, test } from 'vitest';
import {
  acquire,
  beginFailover,
  beginSwitchover,
  initialControlRecord,
} from '../../../regions/control/core/control-record.ts';

import { moveLimits } from '../../../regions/control/core/move-limits.ts';
import { ClusterView } from '../../../regions/status/core/cluster-view.ts';
import {
  type GatewayReport,
  type NodeReport,
  type RegionReport,
  reportSchema,
} from '../../../regions/status/core/report.ts';
import { reportLimits } from '../../../regions/status/core/report-limits.ts';
import { regionId } from '../../../storage/redo/ids.ts';
import { next } from '../control-records.ts';

const [us, eu] = [regionId('us-east-1'), regionId('eu-west-1')];
const { offlineAfterMs } = reportLimits;
const readyLagMs = moveLimits.switchoverLagMsMax;

const node = (state: NodeReport['state']): NodeReport => ({
  id: 'n1',
  az: 'us-east-1a',
  state,
  scl: 90,
  pid: 7,
  address: '127.0.0.1:7001',
});
const regionOf = (region: string, change: Partial<RegionReport> = {}) => ({
  kind: 'region' as const,
  v: 1 as const,
  region,
  agent: `agent of ${region}`,
  gateway: `gateway of ${region}`,
  epoch: 1,
  vdl: 90,
  following: region !== us,
  primaryVdl: 100,
  nodes: [node('up')],
  lag: [],
  lossEpochs: [],
  sentAtMs: 0,
  ...change,
});
const gatewayOf = (region: string, change: Partial<GatewayReport> = {}) => ({
  kind: 'gateway' as const,
  v: 1 as const,
  region,
  gateway: 'g1',
  address: `gateway of ${region}`,
  pid: 9,
  phase: 'writing' as const,
  epoch: 1,
  ready: true,
  vdl: 100,
  ...change,
});
const holder = { gateway: 'g1', incarnation: 'a' };
const held = next(acquire(initialControlRecord(us), { region: us, holder, lapsed: false }));
const lagOf = (lagMs: number, lagBytes = 10) => [{ region: eu, lagBytes, lagMs, vdl: 90, online: true }];

/** Everything is as it should be, at 1,000 ms. */
function healthy(): ClusterView {
  const view = new ClusterView('c1', [us, eu]);
  view.saw(held);
  view.heard(regionOf(us, { lag: lagOf(40) }), 1_000);
  view.heard(regionOf(eu), 1_000);
  view.heard(gatewayOf(us), 1_000);
  return view;
}

test('a region that stands still is named with the reason, and no other', () => {
  const view = healthy();
  expect(view.stallReason(eu, 1_000)).toBeNull();
  view.heard(regionOf(us, { lag: lagOf(40).map((lag) => ({ ...lag, stalledMs: 3_200 })) }), 1_000);
  expect(view.stallReason(eu, 1_000)).toMatch(/^eu-west-1 has received nothing from us-east-1 for 3 s/);
  expect(view.stallReason(us, 1_000)).toBeNull();
  // What the primary said long ago says nothing about now.
  expect(view.stallReason(eu, 60_000)).toBeNull();
});

test('what keeps a node from writing and NATS from keeping the record is told on, and only while it is reported', () => {
  const view = new ClusterView('c', [us, eu]);
  const full = { ...node('behind'), trouble: 'the disk takes no writes' };
  view.heard(reportSchema.parse(regionOf(us, { nodes: [full], trouble: 'no changes since 20 s' })), 0);
  view.heard(reportSchema.parse(regionOf(eu)), 0);
  const statusOf = (name: string, nowMs = 0) =>
    view.status(nowMs).regions.find((region) => region.name === name);
  expect(statusOf(us)).toMatchObject({
    trouble: 'no changes since 20 s',
    nodes: [{ state: 'behind', trouble: 'the disk takes no writes' }],
  });
  expect(statusOf(eu)).not.toHaveProperty('trouble');
  expect(statusOf(eu)?.nodes[0]).not.toHaveProperty('trouble');
  expect(statusOf(us, offlineAfterMs)).not.toHaveProperty('trouble');
});

test('answers that wait for another region are told with how long, for whom, and make the primary unready in time', () => {
  const view = healthy();
  expect(view.status(1_000)).toMatchObject({ hold: null, policy: { rpoMs: null } });
  const held = (forMs: number) => {
    view.heard(reportSchema.parse(gatewayOf(us, { hold: { rpoMs: 0, answers: 3, forMs } })), 1_000);
    return view.status(1_000);
  };
  expect(held(40.4)).toMatchObject({
    state: 'stable',
    hold: { rpoMs: 0, answers: 3, forMs: 40, waitsFor: [eu] },
    regions: [
      { name: us, ready: true, holdsMs: 0 },
      { name: eu, ready: true, holdsMs: 40 },
    ],
  });
  expect(held(reportLimits.heldMs)).toMatchObject({ state: 'degraded', regions: [{ ready: false }, {}] });
});

describe('status of the cluster', () => {
  const cases: readonly (readonly [string, (view: ClusterView) => void, object])[] = [
    [
      'stable when all is well',
      () => undefined,
      { state: 'stable', holder: 'us-east-1/g1', primary: us, epoch: 1 },
    ],
    [
      'switching during a switchover',
      (view) => view.saw(next(beginSwitchover(held, { id: 'm', to: eu, startedAtMs: 0 }))),
      { state: 'switching' },
    ],
    [
      'failing over during a failover',
      (view) =>
        view.saw(
          next(beginFailover(held, { id: 'm', to: eu, allowDataLoss: true, startedAtMs: 0, lapsed: true })),
        ),
      { state: 'failing-over', holder: null },
    ],
    [
      'degraded with a node down',
      (view) => view.heard(regionOf(eu, { nodes: [node('up'), node('down')] }), 1_000),
      { state: 'degraded' },
    ],
    [
      'stable with a node behind',
      (view) => view.heard(regionOf(eu, { nodes: [node('behind')] }), 1_000),
      { state: 'stable' },
    ],
    [
      'degraded with a secondary that does not follow',
      (view) => view.heard(regionOf(eu, { following: false }), 1_000),
      { state: 'degraded' },
    ],
    [
      'degraded with a secondary that lags',
      (view) => view.heard(regionOf(us, { lag: lagOf(readyLagMs + 1) }), 1_000),
      { state: 'degraded' },
    ],
    [
      'degraded with a secondary that stands still, as its primary says',
      (view) =>
        view.heard(regionOf(us, { lag: lagOf(40).map((lag) => ({ ...lag, stalledMs: 3_200 })) }), 1_000),
      {
        state: 'degraded',
        regions: [
          { name: us, stalledMs: 0, ready: true },
          { name: eu, stalledMs: 3_200, ready: false },
        ],
      },
    ],
    [
      'degraded with a secondary that stands still, as it says itself',
      (view) => view.heard(regionOf(eu, { stalledMs: 4_000 }), 1_000),
      {
        state: 'degraded',
        regions: [
          { name: us, ready: true },
          { name: eu, stalledMs: 4_000, ready: false },
        ],
      },
    ],
    [
      'degraded without a writer',
      (view) => view.heard(gatewayOf(us, { phase: 'recovering' }), 1_000),
      { state: 'degraded' },
    ],
  ];
  for (const [name, change, expected] of cases) {
    test(`is ${name}`, () => {
      const view = healthy();
      change(view);
      expect(view.status(1_500)).toMatchObject(expected);
    });
  }

  test('is degraded while nothing is known', () => {
    const status = new ClusterView('c1', [us, eu]).status(0);
    expect(status).toMatchObject({ state: 'degraded', primary: null, holder: null, epoch: 0 });
    expect(status.regions.map((region) => [region.role, region.ready])).toEqual([
      ['offline', false],
      ['offline', false],
    ]);
  });

  test('tells every region its role, position and lag', () => {
    expect(healthy().status(1_500).regions).toMatchObject([
      { name: us, role: 'primary', vdl: 100, lagBytes: 0, lagMs: 0, rpoMs: 0, ready: true, writer: 'g1' },
      { name: eu, role: 'secondary', vdl: 90, lagBytes: 10, lagMs: 40, rpoMs: 40, ready: true, writer: null },
    ]);
  });

  test('calls a region offline that has not reported lately, with all its nodes down', () => {
    const view = healthy();
    view.heard(regionOf(us, { lag: lagOf(40) }), 1_000 + offlineAfterMs);
    view.heard(gatewayOf(us), 1_000 + offlineAfterMs);
    const status = view.status(1_000 + offlineAfterMs);
    expect(status.state).toBe('degraded');
    expect(status.regions[1]).toMatchObject({
      role: 'offline',
      ready: false,
      vdl: 90,
      nodes: [{ state: 'down', scl: null }],
    });
  });

  test('knows which failover ended a reign, from whoever carried it out, however long ago that was', () => {
    const view = healthy();
    view.heard(
      regionOf(eu, {
        failovers: [
          { id: 'e2', epoch: 2 },
          { id: 'e7', epoch: 7 },
        ],
      }),
      1_000,
    );
    view.heard(regionOf(us, { failovers: [{ id: 'u5', epoch: 5 }] }), 1_000);
    expect([1, 2, 4, 5, 6, 7].map((reign) => view.failoverAfter(reign, 8))).toEqual([
      'e2',
      'u5',
      'u5',
      'e7',
      'e7',
      null,
    ]);
    expect(view.failoverAfter(2, 4)).toBeNull();
  });

  test('shows a lag that rises while the primary is silent', () => {
    const view = healthy();
    const laterMs = 1_000 + offlineAfterMs + 500;
    view.heard(regionOf(eu), laterMs);
    expect(view.status(laterMs).regions[1]).toMatchObject({
      role: 'secondary',
      lagMs: 40 + offlineAfterMs + 500,
      ready: true,
    });
    view.heard(regionOf(eu), 1_000 + readyLagMs);
    expect(view.status(1_000 + readyLagMs).regions[1]).toMatchObject({
      lagMs: 40 + readyLagMs,
      ready: false,
    });
  });

  test('shows no lag of a region that had everything when the primary fell silent', () => {
    const view = healthy();
    view.heard(regionOf(us, { lag: lagOf(0, 0) }), 1_000);
    view.heard(regionOf(eu), 9_000);
    expect(view.status(9_000).regions[1]).toMatchObject({ lagMs: 0, lagBytes: 0, ready: true });
  });

  test('takes the secondary’s own word for bytes before the primary has spoken, and knows no time', () => {
    const view = new ClusterView('c1', [us, eu]);
    view.saw(held);
    view.heard(regionOf(eu, { vdl: 70, primaryVdl: 100 }), 0);
    expect(view.status(0).regions[1]).toMatchObject({ lagBytes: 30, lagMs: null, rpoMs: null, ready: false });
  });

  test('says that a position or a lag is unknown, and not 0', () => {
    const view = healthy();
    view.heard(regionOf(us, { lag: lagOf(0).map((lag) => ({ ...lag, lagMs: null })) }), 1_000);
    view.heard(regionOf(eu, { epoch: 0, vdl: null, primaryVdl: null }), 1_000);
    const status = view.status(1_500);
    expect(status.regions[1]).toMatchObject({ vdl: null, lagMs: null, rpoMs: null, ready: false });
    expect(status.state).toBe('degraded');
  });

  test('never shows a secondary above the primary of the same reign, and how old each word is', () => {
    const view = healthy();
    view.heard(regionOf(eu, { vdl: 140 }), 1_400);
    expect(view.status(1_500).regions).toMatchObject([
      { vdl: 140, ageMs: 500 },
      { vdl: 140, ageMs: 100 },
    ]);
    // Of another reign its position says nothing about this one.
    view.heard(regionOf(eu, { epoch: 0, vdl: 170 }), 1_400);
    expect(view.status(1_500).regions).toMatchObject([{ vdl: 100 }, { vdl: 170 }]);
  });

  test('tells a failover who is heard, what they hold and whom they follow', () => {
    const view = healthy();
    view.heard(regionOf(eu, { followed: us, highestEpoch: 4 }), 1_400);
    expect(view.survivors(1_500, 1_000)).toMatchObject([
      { region: us, held: { epoch: 1, vdl: 90 }, heardMsAgo: 500 },
      { region: eu, followed: us, primaryVdl: 100, heardMsAgo: 100 },
    ]);
    expect(view.survivors(2_300, 1_000)).toMatchObject([{ region: eu }]);
    expect([view.highestEpoch(), view.highestEpochOf(us)]).toEqual([4, 0]);
  });

  test('never goes back to an older control record', () => {
    const view = new ClusterView('c1', [us, eu]);
    view.saw(held);
    view.saw(initialControlRecord(eu));
    expect(view.record).toEqual(held);
  });

  test('names where PostgreSQL clients connect, and says nothing of it where there are none', () => {
    const view = healthy();
    view.heard(gatewayOf(us, { postgres: '127.0.0.1:7160' }), 1_000);
    const [first, second] = view.status(1_000).regions;
    expect(first?.postgres).toBe('127.0.0.1:7160');
    expect(first?.gateways[0]?.postgres).toBe('127.0.0.1:7160');
    expect(second).not.toHaveProperty('postgres');
  });

  test('tells what keeps the databases as its gateways say it, also when they are gone or do not say it', () => {
    const view = new ClusterView('c1', [us, eu]);
    expect(view.status(0).engine).toBeNull();
    view.heard(gatewayOf(us, { engine: 'sqlite' }), 0);
    expect(view.status(1_000_000).engine).toBe('sqlite');
    const older = new ClusterView('c1', [us, eu]);
    older.heard(gatewayOf(us), 0);
    expect(older.status(0).engine).toBeNull();
    older.heard(gatewayOf(eu, { postgres: '127.0.0.1:7160' }), 0);
    older.heard(gatewayOf(us), 1);
    expect(older.status(1).engine).toBe('postgres');
  });

  test('keeps only what belongs to the deployment, and forgets gateways that are gone', () => {
    const view = healthy();
    view.heard(regionOf('elsewhere'), 1_000);
    view.heard(gatewayOf('elsewhere'), 1_000);
    expect(view.region('elsewhere', 1_000)).toBeNull();
    expect(view.gateways('elsewhere', 1_000)).toEqual([]);
    expect(view.gateways(us, 1_000 + offlineAfterMs)).toEqual([]);
    view.heard(gatewayOf(us, { gateway: 'g2' }), 1_000 + offlineAfterMs);
    expect(view.gateways(us, 1_000).map((gateway) => gateway.gateway)).toEqual(['g2']);
  });

  test('lists each lost reign once, whoever found it', () => {
    const view = healthy();
    view.heard(regionOf(us, { lossEpochs: [7, 3] }), 1_000);
    view.heard(regionOf(eu, { lossEpochs: [3] }), 1_000);
    expect(view.lossEpochs()).toEqual([3, 7]);
  });

  test('reports read back as they were sent, and nothing else is taken for one', () => {
    for (const report of [regionOf(eu, { lag: lagOf(4) }), gatewayOf(us)])
      expect(reportSchema.parse(report)).toEqual(report);
    expect(reportSchema.safeParse({ ...regionOf(eu), v: 2 }).success).toBe(false);
    expect(reportSchema.safeParse({ ...gatewayOf(us), phase: 'dreaming' }).success).toBe(false);
  });
});
