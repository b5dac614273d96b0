/** Letting regions come and go over a control store. */
import { describe, expect, test } from 'vitest';
import type { ControlStore, ControlView } from '../../../regions/control/core/control-port.ts';
import {
  acquire,
  beginSwitchover,
  type ControlRecord,
  initialControlRecord,
  renew,
} from '../../../regions/control/core/control-record.ts';
import { changeMembership, type MembershipOptions } from '../../../regions/membership/membership.ts';
import { ClusterView } from '../../../regions/status/core/cluster-view.ts';
import { regionId } from '../../../storage/core.ts';
import { machine } from '../../../storage/process/runtime.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const holder = { gateway: 'g1', incarnation: 'a' };

function held(): ControlRecord {
  const acquired = acquire(initialControlRecord(us), { region: us, holder, lapsed: false });
  if (acquired.kind !== 'next') throw new Error(acquired.reason);
  return acquired.record;
}

/** A register that its holder renews before the first change arrives; null has lost its record. */
function deployment(record: ControlRecord | null) {
  let view: ControlView | null = record === null ? null : { seq: 7, record };
  let renewals = 1;
  const store: ControlStore = {
    read: (done) => done(view === null ? { kind: 'absent' } : { kind: 'record', view }),
    compareAndSet: (expectedSeq, next, done) => {
      if (view === null) return done({ kind: 'lost' });
      const renewed = renewals > 0 ? renew(view.record, holder) : null;
      renewals -= 1;
      if (renewed?.kind === 'next') view = { seq: view.seq + 1, record: renewed.record };
      if (expectedSeq !== view.seq) return done({ kind: 'lost' });
      view = { seq: view.seq + 1, record: next };
      done({ kind: 'won', seq: view.seq });
    },
    watch: (onReading) => {
      const now = view;
      if (now !== null) queueMicrotask(() => onReading({ kind: 'record', view: now }));
      return () => undefined;
    },
  };
  const cluster = new ClusterView('test', [us, eu]);
  if (record !== null) cluster.saw(record);
  const options: MembershipOptions = {
    configured: [us, eu],
    view: cluster,
    store,
    looked: (reading) => reading.kind === 'record' && cluster.saw(reading.view.record),
    noRecord: (reason) => `no record: ${reason}`,
    runtime: { ...machine, nowMs: () => 1_000 },
    log: { info: () => undefined },
  };
  return { options, cluster, record: () => view?.record };
}

describe('the regions of a deployment', () => {
  test('change in the record, also against a renewal that was first, and whoever sees it knows them at once', async () => {
    const { options, cluster, record } = deployment(held());
    expect(await changeMembership({ add: ap }, options)).toMatchObject({
      kind: 'regions',
      body: { regions: [us, eu, ap], left: null },
    });
    expect(record()).toMatchObject({ regions: [us, eu, ap], holder, n: 3 });
    expect(cluster.regions).toEqual([us, eu, ap]);
    expect(await changeMembership({ add: ap }, options)).toMatchObject({ body: { regions: [us, eu, ap] } });
    expect(record()?.n).toBe(3);
  });

  test('one that goes is told as it was last heard, and is forgotten', async () => {
    const { options, cluster } = deployment(held());
    const report = {
      v: 1,
      region: eu,
      agent: 'a',
      gateway: null,
      epoch: 1,
      vdl: 90,
      following: true,
    } as const;
    const rest = { primaryVdl: 100, nodes: [], lag: [], lossEpochs: [], sentAtMs: 0 };
    cluster.heard({ kind: 'region', ...report, ...rest }, 400);
    expect(cluster.status(1_000).regions.find(({ name }) => name === eu)).toMatchObject({ headless: true });
    expect(await changeMembership({ remove: eu }, options)).toEqual({
      kind: 'regions',
      body: {
        regions: [us],
        left: { region: eu, epoch: 1, vdl: 90, lagBytes: 10, lagMs: null, heardMsAgo: 600 },
      },
    });
    cluster.heard({ kind: 'region', ...report, ...rest }, 1_100);
    expect(cluster.region(eu, 1_100)).toBeNull();
    expect(cluster.lastReports).toEqual([]);
  });

  test('stay as they are while something moves, and where no record can be read', async () => {
    const moving = beginSwitchover(held(), { id: 's', to: eu, startedAtMs: 1 });
    if (moving.kind !== 'next') throw new Error(moving.reason);
    const busy = deployment(moving.record);
    expect(await changeMembership({ add: ap }, busy.options)).toMatchObject({ code: 'MOVE_IN_PROGRESS' });
    const lost = deployment(null);
    expect(await changeMembership({ add: ap }, lost.options)).toMatchObject({ code: 'NO_CONTROL_RECORD' });
  });
});
