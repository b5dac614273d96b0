import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { controlStream } from '../../../regions/bus/core/control-subjects.ts';
import { type NatsConnection, openNatsConnection } from '../../../regions/bus/nats-connection.ts';
import { openControlStore } from '../../../regions/control/control-store.ts';
import { jsonBytes } from '../../../regions/control/control-store-wire.ts';
import { ControlLeader } from '../../../regions/control/copies/control-leader.ts';
import {
  betterLeader,
  LeaderPlacement,
  leaderPlacementLimits,
  regionOfServer,
  StaleLeader,
  type StreamGroup,
} from '../../../regions/control/copies/core/leader-placement.ts';
import { parseGroup } from '../../../regions/control/copies/stream-group.ts';
import {
  acquire,
  beginSwitchover,
  type ControlRecord,
  initialControlRecord,
  release,
} from '../../../regions/control/core/control-record.ts';
import { genesisEpoch, lsn, regionId } from '../../../storage/redo/ids.ts';
import { startNatsServers, type TestServers, testToken } from '../../conformance/control-store-servers.ts';
import { next } from '../control-records.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const regions = [us, eu, ap];
const holder = { gateway: 'g1', incarnation: 'a' };
const { settleMs, againMs, againMaxMs } = leaderPlacementLimits;

const held = next(acquire(initialControlRecord(us), { region: us, holder, lapsed: false }));
const group = (leader: string | null, ...others: readonly string[]): StreamGroup => ({
  leader,
  replicas: others.map((name) => ({ name, isCurrent: true })),
});
const atHome = group('c-us-east-1', 'c-eu-west-1', 'c-ap-northeast-1');
const away = group('c-eu-west-1', 'c-us-east-1', 'c-ap-northeast-1');

describe('the leader of the control stream', () => {
  test('belongs to the region that its server is named after', () => {
    const named = [...regions, regionId('east-1')];
    expect(regionOfServer('us-east-1', named)).toBe(us);
    expect(regionOfServer('nats-us-east-1', named)).toBe(us);
    expect(regionOfServer('nats-east-1', named)).toBe('east-1');
    for (const other of ['witness', 'us-east-1-b', 'bus-east-1'])
      expect(regionOfServer(other, regions)).toBeNull();
  });

  test('gives way to a server of another region, or of none, that has everything', () => {
    expect(betterLeader(atHome, us, regions)).toBe('c-ap-northeast-1');
    expect(betterLeader(group('c-us-east-1', 'c-witness', 'c-us-east-1'), us, regions)).toBe('c-witness');
    const late = { ...atHome, replicas: atHome.replicas.map((peer) => ({ ...peer, isCurrent: false })) };
    expect(betterLeader(late, us, regions)).toBeNull();
  });

  test('stays where it is outside the primary, in an election, and where there are fewer than three votes', () => {
    for (const stays of [
      away,
      group(null, 'c-us-east-1', 'c-eu-west-1'),
      group('c-us-east-1'),
      group('c-us-east-1', 'c-eu-west-1'),
      group('c-us-east-1', 'd-us-east-1', 'e-us-east-1'),
    ])
      expect(betterLeader(stays, us, regions)).toBeNull();
  });

  test('R27: is moved only while the record is stable and held here, and has been for a while', () => {
    const due = (record: ControlRecord | null, region = us): boolean => {
      const placement = new LeaderPlacement(region, regions);
      return placement.isDue(record, 0) || placement.isDue(record, settleMs);
    };
    expect(due(held)).toBe(true);
    expect(new LeaderPlacement(us, regions).isDue(held, 0)).toBe(false);
    expect(due(held, eu)).toBe(false);
    expect(due(null)).toBe(false);
    expect(due(next(release(held, { holder, drainedTo: lsn(0) })))).toBe(false);
    expect(due(next(beginSwitchover(held, { id: 'm', to: eu, startedAtMs: 0 })))).toBe(false);
  });

  test('R27: begins to wait anew after a move or a new reign', () => {
    const placement = new LeaderPlacement(us, regions);
    placement.isDue(held, 0);
    placement.isDue(next(beginSwitchover(held, { id: 'm', to: eu, startedAtMs: 0 })), settleMs);
    expect(placement.isDue(held, settleMs + 1)).toBe(false);
    expect(placement.isDue(held, 2 * settleMs + 1)).toBe(true);
    const successor = next(
      acquire(held, { region: us, holder: { gateway: 'g1', incarnation: 'b' }, lapsed: false }),
    );
    expect(placement.isDue(successor, 2 * settleMs + 2)).toBe(false);
  });

  test('R27: is asked again ever more seldom when nothing comes of it, and soon again once it had left', () => {
    const placement = new LeaderPlacement(us, regions);
    placement.isDue(held, 0);
    let nowMs: number = settleMs;
    let waitMs: number = againMs;
    for (let time = 0; time < 10; time += 1) {
      expect(placement.isDue(held, nowMs)).toBe(true);
      expect(placement.looked(atHome, nowMs)).toBe('c-ap-northeast-1');
      expect(placement.isDue(held, nowMs + waitMs - 1)).toBe(false);
      nowMs += waitMs;
      waitMs = Math.min(waitMs * 2, againMaxMs);
    }
    expect(placement.looked(away, nowMs)).toBeNull();
    expect(placement.isDue(held, nowMs)).toBe(true);
    placement.looked(atHome, nowMs);
    expect(placement.isDue(held, nowMs + againMs)).toBe(true);
  });
});

describe('a leader that answers with an older record than was seen', () => {
  const { staleMs } = leaderPlacementLimits;

  test('is asked to step down after a while, then ever more seldom, and soon again once it had caught up', () => {
    const stale = new StaleLeader();
    expect([0, 100, staleMs - 1, staleMs].map((forMs) => stale.looked(forMs, forMs))).toEqual([
      false,
      false,
      false,
      true,
    ]);
    const asked: number[] = [];
    for (let ms = staleMs + 1_000; ms < 100_000; ms += 1_000) if (stale.looked(ms, ms)) asked.push(ms);
    expect(asked).toEqual([15_000, 35_000, 75_000]);
    stale.looked(0, 200_000);
    expect(stale.looked(staleMs, 210_000)).toBe(true);
    expect(stale.looked(staleMs + againMs, 210_000 + againMs)).toBe(true);
  });

  test('is asked by whichever agent sees it, whatever the record is', async () => {
    const asked: string[] = [];
    const warned: unknown[] = [];
    const keeper = new ControlLeader({
      connection: {
        request: async (subject) => {
          asked.push(subject);
          return { kind: 'reply', data: jsonBytes({ success: true }), header: () => undefined };
        },
      },
      cluster: 'c',
      region: eu,
      regions,
      staleForMs: () => staleMs,
      record: () => null,
      log: { info: () => undefined, warn: (facts: unknown) => void warned.push(facts) },
    });
    await keeper.look();
    await keeper.look();
    expect(asked).toEqual([`$JS.API.STREAM.LEADER.STEPDOWN.${controlStream('c')}`]);
    expect(warned).toEqual([{ staleForMs: staleMs, outcome: 'stepped down' }]);
  });
});

describe('the agent of the primary region', () => {
  let servers: TestServers | undefined;
  let connection: NatsConnection | undefined;

  afterEach(async () => {
    await connection?.close();
    await servers?.stop();
  });

  test('moves the leader to another region and leaves it there', {
    timeout: 90_000,
  }, async () => {
    servers = await startNatsServers(3);
    const [first] = servers.servers;
    if (first === undefined) throw new Error('there is a server');
    const nats = openNatsConnection({ servers: [first.url], token: testToken, name: 'test' });
    connection = nats;
    const named = servers.servers.map(({ name }) => regionId(name));
    const store = openControlStore({ connection: nats, cluster: 'c', replicas: 3 });
    const made = await store.bootstrap({
      primary: regionId(first.name),
      replicas: 3,
      highestLocalEpoch: genesisEpoch,
    });
    if (made.kind !== 'created') throw new Error(JSON.stringify(made));
    const leader = async (): Promise<string> => {
      for (;;) {
        const info = await nats.request(`$JS.API.STREAM.INFO.${controlStream('c')}`, jsonBytes({}), 2_000);
        const found = info.kind === 'reply' ? parseGroup(info.data) : null;
        if (found?.kind === 'ok' && found.value.leader !== null) return found.value.leader;
        await delay(100);
      }
    };
    const before = await leader();
    const primary = regionId(before);
    const keeper = new ControlLeader({
      connection: nats,
      cluster: 'c',
      region: primary,
      regions: named,
      staleForMs: () => 0,
      record: () => next(acquire(initialControlRecord(primary), { region: primary, holder, lapsed: false })),
      log: { info: () => undefined, warn: () => undefined },
    });
    await keeper.look();
    expect(await leader()).toBe(before);
    await delay(settleMs + 100);
    const deadline = performance.now() + 60_000;
    while ((await leader()) === before && performance.now() < deadline) {
      await keeper.look();
      await delay(1_000);
    }
    const after = await leader();
    expect(after).not.toBe(before);
    for (let time = 0; time < 3; time += 1) await keeper.look();
    expect(await leader()).toBe(after);
    store.close();
  });
});
