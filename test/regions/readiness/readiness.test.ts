import { describe, expect, test } from 'vitest';
import {
  acquire,
  beginSwitchover,
  type ControlRecord,
  initialControlRecord,
  type Transition,
} from '../../../regions/control/core/control-record.ts';
import { defaultLeaseLimits } from '../../../regions/control/core/lease.ts';
import { switchoverProblem } from '../../../regions/control/core/switchover-rules.ts';
import { readinessOf, readinessSchema } from '../../../regions/readiness/core/readiness.ts';
import { promotionGuessMs } from '../../../regions/readiness/core/takeover-time.ts';
import { ClusterView } from '../../../regions/status/core/cluster-view.ts';
import type { GatewayReport, NodeReport, RegionReport } from '../../../regions/status/core/report.ts';
import { reportLimits } from '../../../regions/status/core/report-limits.ts';
import { epoch, lsn, mainBranch, regionId } from '../../../storage/redo/ids.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const regions = [us, eu, ap];
const { offlineAfterMs } = reportLimits;
const leaseMs = defaultLeaseLimits.ttlMs + defaultLeaseLimits.marginMs;
const next = (transition: Transition): ControlRecord => {
  if (transition.kind === 'refused') throw new Error(transition.reason);
  return transition.record;
};
const held = next(
  acquire(initialControlRecord(us), {
    region: us,
    holder: { gateway: 'g1', incarnation: 'a' },
    lapsed: false,
  }),
);
const forks = [{ epoch: epoch(1), branch: mainBranch, parent: epoch(0), forkLsn: lsn(0) }];
const node = (id: number, state: NodeReport['state'] = 'up'): NodeReport => ({
  id: `n${id}`,
  az: 'a',
  state,
  scl: 90,
  pid: 7,
  address: 'a',
});
const six = [1, 2, 3, 4, 5, 6];
const lag = (
  region: string,
  change: Partial<RegionReport['lag'][number]> = {},
): RegionReport['lag'][number] => ({
  region,
  lagBytes: 10,
  lagMs: 40,
  lagCommits: 2,
  lagCommitsExact: true,
  vdl: 90,
  online: true,
  ...change,
});
const regionOf = (region: string, change: Partial<RegionReport> = {}) => ({
  kind: 'region' as const,
  v: 1 as const,
  region,
  agent: 'a',
  gateway: null,
  epoch: 1,
  vdl: region === us ? 100 : 90,
  forks,
  following: region !== us,
  followed: us,
  primaryVdl: 100,
  nodes: six.map((id) => node(id)),
  lag: region === us ? [lag(eu), lag(ap)] : [],
  lossEpochs: [],
  sentAtMs: 0,
  ...change,
});
const gatewayOf = (region: string, change: Partial<GatewayReport> = {}) => ({
  kind: 'gateway' as const,
  v: 1 as const,
  region,
  gateway: 'g1',
  address: 'a',
  pid: 9,
  phase: region === us ? ('writing' as const) : ('reading' as const),
  epoch: 1,
  ready: true,
  vdl: 90,
  ...change,
});

/** Everything is as it should be, at 1,000 ms. */
function healthy(): ClusterView {
  const view = new ClusterView('c1', regions);
  view.saw(held);
  for (const region of regions) {
    view.heard(regionOf(region), 1_000);
    view.heard(gatewayOf(region), 1_000);
  }
  return view;
}
const judged = (
  view: ClusterView,
  nowMs = 1_000,
  problem: Parameters<typeof readinessOf>[0]['problem'] = null,
) => readinessOf({ view, regions, problem, highestEpoch: 1 }, nowMs);
const of = (region: string, view: ClusterView, nowMs = 1_000) => {
  const found = judged(view, nowMs).regions.find((candidate) => candidate.region === region);
  if (found === undefined) throw new Error(`${region} is not judged`);
  return found;
};

test('of a healthy deployment every secondary is ready, with what it would lose and how long it would take', () => {
  const readiness = judged(healthy());
  expect(readinessSchema.parse(readiness)).toEqual(readiness);
  expect(readiness).toMatchObject({ epoch: 1, primary: us });
  expect(readiness.regions.map(({ region, ready }) => [region, ready])).toEqual([
    [eu, true],
    [ap, true],
  ]);
  expect(readiness.regions[0]).toEqual({
    region: eu,
    ready: true,
    reasons: [],
    ageMs: 0,
    switchover: {
      possible: true,
      reason: null,
      aboutMs: 400 + 40 + promotionGuessMs,
      madeOf: expect.stringContaining('none was measured yet'),
    },
    failover: {
      possible: true,
      reason: null,
      aboutMs: offlineAfterMs + promotionGuessMs,
      madeOf: expect.stringContaining(`at most ${offlineAfterMs} ms until us-east-1, which has told of redo`),
      wouldLose: { commits: 2, commitsExact: true, bytes: 10, ms: 40 },
    },
  });
});

test('what was measured takes the place of a guess', () => {
  const view = healthy();
  view.heard(regionOf(eu, { took: { switchoverMs: 82, promotionMs: 130 } }), 1_000);
  expect(of(eu, view)).toMatchObject({
    switchover: { aboutMs: 82 },
    failover: { aboutMs: offlineAfterMs + 130 },
  });
});

describe('R40: a region is not ready', () => {
  const cases: readonly (readonly [string, (view: ClusterView) => void, RegExp])[] = [
    [
      'while its redo stands still',
      (view) => view.heard(regionOf(us, { lag: [lag(eu, { stalledMs: 3_200 }), lag(ap)] }), 1_000),
      /has stored nothing for 3200 ms/,
    ],
    [
      'while it says itself that it stands still',
      (view) => view.heard(regionOf(eu, { stalledMs: 4_000 }), 1_000),
      /has stored nothing for 4000 ms/,
    ],
    [
      'without a write quorum',
      (view) => view.heard(regionOf(eu, { nodes: six.map((id) => node(id, id < 4 ? 'up' : 'down')) }), 1_000),
      /3 of its 6 storage nodes take writes/,
    ],
    [
      'without a write quorum of nodes that take writes',
      (view) =>
        view.heard(
          regionOf(eu, {
            nodes: six.map((id) => ({ ...node(id), ...(id > 3 && { trouble: 'disk full' }) })),
          }),
          1_000,
        ),
      /3 of its 6 storage nodes take writes/,
    ],
    [
      'that does not follow',
      (view) => view.heard(regionOf(eu, { following: false }), 1_000),
      /not receiving/,
    ],
    [
      'that lags too far',
      (view) => view.heard(regionOf(us, { lag: [lag(eu, { lagMs: 5_001 }), lag(ap)] }), 1_000),
      /5001 ms behind/,
    ],
    [
      'whose lag is unknown',
      (view) => view.heard(regionOf(us, { lag: [lag(eu, { lagMs: null }), lag(ap)] }), 1_000),
      /not known yet/,
    ],
    [
      'during a move',
      (view) => view.saw(next(beginSwitchover(held, { id: 'm', to: ap, startedAtMs: 0 }))),
      /switchover m to ap-northeast-1 is under way/,
    ],
    ['while nobody writes', (view) => view.heard(gatewayOf(us, { phase: 'reading' }), 1_000), /no writer/],
    [
      'whose gateway is not ready',
      (view) => view.heard(gatewayOf(eu, { ready: false }), 1_000),
      /no gateway of eu-west-1 says that it is ready/,
    ],
    [
      'that does not know what its nodes hold',
      (view) => view.heard(regionOf(eu, { vdl: null }), 1_000),
      /does not know yet what its own storage nodes hold/,
    ],
    [
      'that never followed this reign',
      (view) => {
        view.saw({ ...held, epoch: epoch(7), n: 9 });
        view.heard(regionOf(us, { epoch: 7 }), 1_000);
      },
      /has not joined/,
    ],
  ];
  for (const [name, arrange, why] of cases) {
    test(name, () => {
      const view = healthy();
      arrange(view);
      const { ready, reasons } = of(eu, view);
      expect(ready).toBe(false);
      expect(reasons.join('; ')).toMatch(why);
    });
  }

  test('that was not heard lately, whatever it said last, and says how long ago that was', () => {
    const view = healthy();
    for (const region of [us, ap]) {
      view.heard(regionOf(region), 1_000 + offlineAfterMs);
      view.heard(gatewayOf(region), 1_000 + offlineAfterMs);
    }
    const nowMs = 1_000 + offlineAfterMs;
    expect(of(ap, view, nowMs).ready).toBe(true);
    expect(of(eu, view, nowMs)).toMatchObject({
      ready: false,
      ageMs: offlineAfterMs,
      reasons: [expect.stringContaining('heard last 3.0 s ago')],
      switchover: { possible: false },
      failover: { possible: false },
    });
    expect(of(eu, new ClusterView('c1', regions)).reasons).toEqual([
      'the control record has not been read yet',
    ]);
  });

  test('while the control record cannot be read: no move could begin', () => {
    const { regions: all } = judged(healthy(), 1_000, { kind: 'unavailable', reason: 'no leader' });
    expect(all.map(({ ready, reasons }) => [ready, reasons])).toEqual(
      [eu, ap].map(() => [false, ['NATS gives no control record: no leader']]),
    );
  });

  test('whenever the rule that refuses switchovers would refuse one', () => {
    const changes: ((view: ClusterView) => void)[] = cases.map(([, arrange]) => arrange);
    for (const arrange of changes) {
      const view = healthy();
      arrange(view);
      for (const { region, ready } of judged(view).regions) {
        const record = view.record ?? held;
        const refused = switchoverProblem(view.switchoverQuestion(regionId(region), record, 1_000));
        if (refused !== null) expect([region, ready]).toEqual([region, false]);
      }
    }
  });
});

describe('a failover', () => {
  test('stays possible when the primary is lost, and its loss is at least what was missing then, and older by now', () => {
    const view = healthy();
    const nowMs = 1_000 + offlineAfterMs;
    for (const region of [eu, ap]) {
      view.heard(regionOf(region), nowMs);
      view.heard(gatewayOf(region), nowMs);
    }
    expect(of(eu, view, nowMs)).toMatchObject({
      ready: false,
      switchover: { possible: false },
      failover: { possible: true, wouldLose: { commits: 2, commitsExact: false, bytes: 10 } },
    });
    expect(of(eu, view, nowMs + 500).failover.wouldLose.ms).toBe(40 + offlineAfterMs + 500);
  });

  test('is not held up by what another secondary has more while the primary ships, and is when it is lost', () => {
    const view = healthy();
    view.heard(regionOf(ap, { vdl: 95 }), 1_000);
    expect(of(eu, view)).toMatchObject({ ready: true, failover: { possible: true } });
    const nowMs = 1_000 + offlineAfterMs;
    for (const region of [eu, ap]) {
      view.heard(regionOf(region, region === ap ? { vdl: 95 } : {}), nowMs);
      view.heard(gatewayOf(region), nowMs);
    }
    expect(of(eu, view, nowMs).failover).toMatchObject({
      possible: false,
      reason: expect.stringContaining('Fail over to ap-northeast-1'),
    });
    expect(of(ap, view, nowMs).failover.possible).toBe(true);
  });

  test('of a region that holds all that the primary has told of waits for the lease alone', () => {
    const view = healthy();
    view.heard(regionOf(eu, { vdl: 100 }), 1_000);
    expect(of(eu, view).failover).toMatchObject({
      possible: true,
      aboutMs: leaseMs + promotionGuessMs,
      madeOf: expect.stringContaining(`at most ${leaseMs} ms until the lost writer's lease has lapsed`),
    });
    expect(of(ap, view).failover.aboutMs).toBe(offlineAfterMs + promotionGuessMs);
  });

  test('of a region that lacks what a primary told that counts as lost by now waits for the lease alone', () => {
    const view = healthy();
    const nowMs = 1_000 + offlineAfterMs;
    for (const region of [eu, ap]) {
      view.heard(regionOf(region), nowMs);
      view.heard(gatewayOf(region), nowMs);
    }
    expect(of(eu, view, nowMs).failover.aboutMs).toBe(leaseMs + promotionGuessMs);
  });

  test('has no lease to wait for when nobody holds it', () => {
    const view = healthy();
    view.saw({ ...held, holder: null, n: 9 });
    view.heard(regionOf(eu, { vdl: 100 }), 1_000);
    expect(of(eu, view).failover).toMatchObject({
      possible: true,
      aboutMs: promotionGuessMs,
      madeOf: expect.stringContaining('no lease to wait for'),
    });
  });
});
