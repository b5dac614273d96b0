/** What only the real store can show: its bucket's settings, its bootstrap, and a cluster that loses its leader. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type NatsConnection, openNatsConnection } from '../../../regions/bus/nats-connection.ts';
import { type JetStreamControlStore, openControlStore } from '../../../regions/control/control-store.ts';
import { streamConfig } from '../../../regions/control/control-store-wire.ts';
import type {
  ControlReading,
  ControlView,
  ControlWrite,
} from '../../../regions/control/core/control-port.ts';
import type { ControlRecord } from '../../../regions/control/core/control-record.ts';
import { epoch, genesisEpoch, regionId } from '../../../storage/redo/ids.ts';
import { acquired, viewOf } from '../../conformance/control-store.ts';
import {
  startNatsServers,
  type TestServer,
  type TestServers,
  testToken,
} from '../../conformance/control-store-servers.ts';

const primary = regionId('us-east-1');
const first = { primary, replicas: 1, highestLocalEpoch: genesisEpoch, timeoutMs: 5_000 };

const read = (store: JetStreamControlStore): Promise<ControlReading> =>
  new Promise((resolve) => store.read(resolve));
const write = (store: JetStreamControlStore, seq: number, record: ControlRecord): Promise<ControlWrite> =>
  new Promise((resolve) => store.compareAndSet(seq, record, resolve));
const current = async (store: JetStreamControlStore): Promise<ControlView> => viewOf(await read(store));
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

async function connect(server: TestServer | undefined): Promise<NatsConnection> {
  if (server === undefined) throw new Error('there is such a server');
  const connection = openNatsConnection({ servers: [server.url], token: testToken, name: 'test' });
  if (!(await connection.whenConnected(10_000))) throw new Error(`no connection to ${server.url}`);
  return connection;
}

async function api(connection: NatsConnection, subject: string, body: unknown): Promise<unknown> {
  const answer = await connection.request(`$JS.API.${subject}`, json(body), 2_000);
  if (answer.kind !== 'reply') throw new Error(`${subject}: ${answer.kind}`);
  return JSON.parse(new TextDecoder().decode(answer.data));
}

/** A connection to a leader that is so far away, or whose followers are; requests are heard and answered all the same. */
function distant(connection: NatsConnection, roundTripMs: number) {
  const far = { isNear: true, connection };
  const request: NatsConnection['request'] = async (subject, data, timeoutMs, headers) => {
    if (far.isNear) return connection.request(subject, data, timeoutMs, headers);
    const answer = delay(roundTripMs / 2)
      .then(() => connection.request(subject, data, timeoutMs, headers))
      .then((heard) => delay(roundTripMs / 2, heard));
    return Promise.race([answer, delay(timeoutMs, { kind: 'timeout' as const })]);
  };
  far.connection = {
    get connected() {
      return connection.connected;
    },
    get maxPayloadBytes() {
      return connection.maxPayloadBytes;
    },
    request,
    publish: (...args) => connection.publish(...args),
    subscribe: (...args) => connection.subscribe(...args),
    requestMany: (...args) => connection.requestMany(...args),
    flush: (timeoutMs) => connection.flush(timeoutMs),
    whenConnected: (timeoutMs) => connection.whenConnected(timeoutMs),
    close: () => connection.close(),
  };
  return far;
}

describe('bucket of the control record', () => {
  let servers: TestServers;
  let connection: NatsConnection;
  const stores: JetStreamControlStore[] = [];
  let clusters = 0;

  beforeAll(async () => {
    servers = await startNatsServers(1);
    connection = await connect(servers.servers[0]);
  });
  afterAll(async () => {
    for (const store of stores) store.close();
    await connection.close();
    await servers.stop();
  });

  const open = (cluster: string, replicas: number | null = 1, through = connection) => {
    const store = openControlStore({ connection: through, cluster, replicas });
    stores.push(store);
    return store;
  };
  const freshCluster = () => {
    clusters += 1;
    return `b${clusters}`;
  };

  test('is created once; a second bootstrap answers what there is', async () => {
    const cluster = freshCluster();
    const created = await open(cluster).bootstrap(first);
    expect(created).toMatchObject({ kind: 'created', view: { seq: 1, record: { epoch: 0, primary, n: 0 } } });
    const again = await open(cluster).bootstrap({ ...first, primary: regionId('eu-west-1') });
    expect(again).toMatchObject({ kind: 'exists', view: { seq: 1, record: { primary } } });
  });

  test('is created once when two bootstrap at the same time', async () => {
    const cluster = freshCluster();
    const outcomes = await Promise.all([
      open(cluster).bootstrap(first),
      open(cluster).bootstrap({ ...first, primary: regionId('eu-west-1') }),
    ]);
    expect(outcomes.map((outcome) => outcome.kind).sort()).toEqual(['created', 'exists']);
    expect((await current(open(cluster))).seq).toBe(1);
  });

  test('is not created anew where storage nodes know an epoch, unless an operator says it is lost', async () => {
    const cluster = freshCluster();
    const lost = { ...first, highestLocalEpoch: epoch(7) };
    expect(await open(cluster).bootstrap(lost)).toMatchObject({ kind: 'refused', code: 'record-lost' });
    expect(await read(open(cluster))).toEqual({ kind: 'absent' });
    const rebuilt = await open(cluster).bootstrap({ ...lost, rebuild: true });
    expect(rebuilt).toMatchObject({ kind: 'created', view: { record: { epoch: 7 } } });
  });

  test('that is there and was never written is a lost one where storage nodes know an epoch', async () => {
    const cluster = freshCluster();
    const bucket = `sextant-${cluster}-control`;
    await api(connection, `STREAM.CREATE.KV_${bucket}`, streamConfig(bucket, 1));
    const lost = { ...first, highestLocalEpoch: epoch(7) };
    expect(await open(cluster).bootstrap(lost)).toMatchObject({ kind: 'refused', code: 'record-lost' });
    expect(await open(cluster).bootstrap({ ...lost, rebuild: true })).toMatchObject({ kind: 'created' });
  });

  test('whose record is damaged is given a new one as its next revision, on an operator’s word', async () => {
    const cluster = freshCluster();
    const store = open(cluster);
    await store.bootstrap(first);
    const lost = { ...first, primary: regionId('eu-west-1'), highestLocalEpoch: epoch(23) };
    expect(await store.bootstrap({ ...lost, rebuild: true })).toMatchObject({ kind: 'exists' });
    await connection.request(`$KV.sextant-${cluster}-control.control`, json('damaged'), 1_000);
    expect(await store.bootstrap(lost)).toMatchObject({ kind: 'refused', code: 'unusable' });
    const rebuilt = await store.bootstrap({ ...lost, rebuild: true });
    expect(rebuilt).toMatchObject({ kind: 'created', view: { seq: 3, record: { epoch: 23 } } });
    // Whoever saw the damaged one believes the next.
    expect(await current(store)).toMatchObject({ seq: 3, record: { primary: 'eu-west-1' } });
  });

  test('whose record a later version wrote is not replaced by this one', async () => {
    const cluster = freshCluster();
    const store = open(cluster);
    await store.bootstrap(first);
    await connection.request(`$KV.sextant-${cluster}-control.control`, json({ v: 2 }), 1_000);
    expect(await store.bootstrap({ ...first, highestLocalEpoch: epoch(23), rebuild: true })).toMatchObject({
      kind: 'refused',
      code: 'unusable',
      reason: expect.stringContaining('later version'),
    });
  });

  test('with other settings is neither bootstrapped nor read', async () => {
    const cluster = freshCluster();
    const bucket = `sextant-${cluster}-control`;
    const careless = { ...streamConfig(bucket, 1), max_age: 60_000_000_000, allow_direct: true };
    await api(connection, `STREAM.CREATE.KV_${bucket}`, careless);
    const refused = await open(cluster).bootstrap(first);
    expect(refused).toMatchObject({ kind: 'refused', code: 'settings' });
    expect(refused.kind === 'refused' && refused.reason).toMatch(
      /max_age is 60000000000.*allow_direct is true/,
    );
    expect(await read(open(cluster))).toMatchObject({ kind: 'unusable' });
  });

  test('with fewer copies than the deployment wants is not read', async () => {
    const cluster = freshCluster();
    await open(cluster).bootstrap(first);
    expect(await read(open(cluster, 3))).toMatchObject({ kind: 'unusable' });
    expect(await read(open(cluster, null))).toMatchObject({ kind: 'record' });
  });

  test('with copies a single server cannot keep is refused', async () => {
    const outcome = await open(freshCluster(), 3).bootstrap({ ...first, replicas: 3 });
    expect(outcome).toMatchObject({ kind: 'refused', code: 'replicas' });
  });

  test('whose record was deleted is unusable and stays so', async () => {
    const cluster = freshCluster();
    const store = open(cluster);
    await store.bootstrap(first);
    await connection.request(`$KV.sextant-${cluster}-control.control`, json(''), 1_000, {
      'KV-Operation': 'DEL',
    });
    expect(await read(store)).toMatchObject({ kind: 'unusable' });
    expect(await store.bootstrap(first)).toMatchObject({ kind: 'refused', code: 'unusable' });
  });

  test.each([
    ['changed', 600],
    ['read', 1_000],
  ] as const)('is %s in one attempt where the leader’s answer takes %d ms', async (what, roundTripMs) => {
    const cluster = freshCluster();
    const far = distant(connection, roundTripMs);
    const store = open(cluster, 1, far.connection);
    // The settings of the bucket are looked at as well here, once in a store's life.
    await store.bootstrap(first);
    const view = await current(store);
    far.isNear = false;
    if (what === 'read') expect(await current(store)).toEqual(view);
    else
      expect(await write(store, view.seq, acquired(view.record, 'g1', 'i1'))).toEqual({
        kind: 'won',
        seq: 2,
      });
  });

  test('is not made by reading, writing or watching', async () => {
    const cluster = freshCluster();
    const store = open(cluster);
    const reported = new Promise<ControlReading>((resolve) => store.watch(resolve));
    expect(await reported).toEqual({ kind: 'absent' });
    const other = open(freshCluster());
    await other.bootstrap(first);
    const { record } = await current(other);
    expect(await write(store, 1, acquired(record, 'g1', 'a'))).toMatchObject({ kind: 'unknown' });
    expect(await read(store)).toEqual({ kind: 'absent' });
  });

  test('a write nobody could expect is a broken invariant', async () => {
    const store = open(freshCluster());
    const bootstrapped = await store.bootstrap(first);
    if (bootstrapped.kind !== 'created') throw new Error(bootstrapped.kind);
    expect(() => store.compareAndSet(0, bootstrapped.view.record, () => undefined)).toThrow('not a sequence');
  });
});

/**
 * Stops a server and waits until all of its threads have. A signal takes effect when it is delivered: on a busy machine the
 * server went on for milliseconds and answered the write it was to be frozen for.
 */
async function freeze({ process: server }: TestServer): Promise<void> {
  server.kill('SIGSTOP');
  const threads = `/proc/${server.pid}/task`;
  const isStopped = (thread: string): boolean =>
    / [Tt] /.test(readFileSync(`${threads}/${thread}/stat`, 'utf8').replace(/^.*\)/, ''));
  if (!existsSync(threads)) return delay(100);
  for (let tries = 0; tries < 1_000; tries++) {
    if (readdirSync(threads).every(isStopped)) return;
    await delay(5);
  }
  throw new Error(`server ${server.pid} does not stop`);
}

const bucketInfo = 'STREAM.INFO.KV_sextant-c-control';
const streamInfo = z.object({ cluster: z.object({ leader: z.string() }) });

describe('bucket on three servers whose leader fails', () => {
  let servers: TestServers;
  const connections: NatsConnection[] = [];

  afterEach(async () => {
    await Promise.all(connections.splice(0).map((connection) => connection.close()));
    await servers.stop();
  });

  const bootstrap = async () => {
    servers = await startNatsServers(3);
    const scout = await connect(servers.servers[0]);
    connections.push(scout);
    const request = { ...first, replicas: 3, timeoutMs: 30_000 };
    const bootstrapped = await openControlStore({ connection: scout, cluster: 'c', replicas: 3 }).bootstrap(
      request,
    );
    if (bootstrapped.kind !== 'created') throw new Error(JSON.stringify(bootstrapped));
    return scout;
  };

  /** A store on a server that does not lead the bucket, and the server that does. */
  const openBesideLeader = async (scout: NatsConnection) => {
    // A new cluster may hand the bucket's lead on once more; the one to take away is the one that kept it.
    let name: string | undefined;
    for (let kept = 0; kept < 5; ) {
      const info = streamInfo.parse(await api(scout, bucketInfo, {}));
      kept = info.cluster.leader === name ? kept + 1 : 0;
      name = info.cluster.leader;
      await delay(200);
    }
    const leader = servers.servers.find((server) => server.name === name);
    const connection = await connect(servers.servers.find((server) => server !== leader));
    connections.push(connection);
    if (leader === undefined) throw new Error('the bucket has a leader');
    return { store: openControlStore({ connection, cluster: 'c', replicas: 3 }), leader, connection };
  };

  /** As above, and the leader is frozen. On a busy machine the lead moves at any time: it was the leader's if nobody answers. */
  const openBesideFrozenLeader = async (scout: NatsConnection) => {
    for (;;) {
      const { store, leader, connection } = await openBesideLeader(scout);
      const before = await current(store);
      await freeze(leader);
      const info = await connection.request(`$JS.API.${bucketInfo}`, json({}), 500);
      if (info.kind === 'timeout') return { store, leader, before };
      leader.process.kill('SIGCONT');
    }
  };

  /** Attempts `record` at `seq` until something is certain. */
  const settle = async (
    store: JetStreamControlStore,
    seq: number,
    record: ControlRecord,
    withinMs: number,
  ) => {
    const started = performance.now();
    const outcomes: ControlWrite['kind'][] = [];
    while (performance.now() - started < withinMs) {
      const outcome = await write(store, seq, record);
      outcomes.push(outcome.kind);
      if (outcome.kind !== 'unknown') return { outcome };
    }
    throw new Error(`nothing certain after ${withinMs} ms: ${outcomes.join(' ')}`);
  };

  /** The record, read until there is an answer: servers that elect a leader say that they have none. */
  const settled = async (store: JetStreamControlStore, withinMs: number): Promise<ControlView> => {
    const started = performance.now();
    for (;;) {
      const reading = await read(store);
      if (reading.kind !== 'unavailable' || performance.now() - started > withinMs) return viewOf(reading);
      await delay(100);
    }
  };

  test('killed: the same write goes on being unknown and is won once, after the election', async () => {
    const { store, leader } = await openBesideLeader(await bootstrap());
    const before = await current(store);
    const record = acquired(before.record, 'g1', 'a');
    leader.process.kill('SIGKILL');
    const { outcome } = await settle(store, before.seq, record, 20_000);
    expect(outcome).toEqual({ kind: 'won', seq: before.seq + 1 });
    expect(await current(store)).toEqual({ seq: before.seq + 1, record });
  }, 60_000);

  test('frozen: a write is unknown, never won by two, and settles after the election', async () => {
    const { store, leader, before } = await openBesideFrozenLeader(await bootstrap());
    const record = acquired(before.record, 'g1', 'a');
    const during = await write(store, before.seq, record);
    expect(during).toMatchObject({ kind: 'unknown' });
    const { outcome } = await settle(store, before.seq, record, 20_000);
    expect(outcome).toEqual({ kind: 'won', seq: before.seq + 1 });
    // The old leader wakes with the write it was sent while frozen: that one must not count.
    leader.process.kill('SIGCONT');
    expect(await write(store, before.seq, acquired(before.record, 'g2', 'b'))).toEqual({ kind: 'lost' });
    await delay(1_000);
    expect(await settled(store, 20_000)).toEqual({ seq: before.seq + 1, record });
  }, 60_000);
});
