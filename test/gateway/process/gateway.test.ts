import { type Client, createClient } from '@libsql/client';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { takeEvents } from '../../../gateway/console/page/core/event-stream.ts';
import { apiSchemas } from '../../../regions/api/core/api-schemas.ts';
import { changeControl } from '../../../regions/control/control-link.ts';
import { abortMove, beginSwitchover } from '../../../regions/control/core/control-record.ts';
import { defaultLeaseLimits } from '../../../regions/control/core/lease.ts';
import { regionId } from '../../../storage/redo/ids.ts';
import { eventually } from '../../storage/region-harness.ts';
import { codeOf, GatewayWorld, ready, urlOf, writes } from './gateway-harness.ts';

let world: GatewayWorld | null = null;

afterEach(async () => {
  await world?.close();
  world = null;
});

async function start(options: { readonly children?: boolean } = {}): Promise<GatewayWorld> {
  world = await GatewayWorld.start(options);
  return world;
}

interface Tally {
  readonly acknowledged: number[];
  readonly failed: Map<number, string>;
  lastAckAtMs: number;
}

const newTally = (): Tally => ({ acknowledged: [], failed: new Map(), lastAckAtMs: 0 });

/** Inserts numbers one after another until `stop` says so; every failure is noted with its code. */
async function insertUntil(client: Client, stop: () => boolean, tally: Tally, from = 0): Promise<void> {
  for (let id = from; !stop(); id++) {
    try {
      await client.execute({ sql: 'INSERT INTO t VALUES (?, ?)', args: [id, 'x'] });
      tally.acknowledged.push(id);
      tally.lastAckAtMs = performance.now();
    } catch (error) {
      tally.failed.set(id, codeOf(error));
    }
  }
}

async function rowsOf(client: Client): Promise<Set<number>> {
  const { rows } = await client.execute('SELECT id FROM t');
  return new Set(rows.map((row) => Number(row.id)));
}

describe('a gateway', () => {
  it('serves SQL, and the routes around it, as the writer of an empty volume', async () => {
    const { gateway, client } = await writer();
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    const big = 9_007_199_254_740_993n;
    await client.execute({ sql: 'INSERT INTO t VALUES (?, ?)', args: [big, new Uint8Array([0, 255, 7])] });
    const { rows } = await client.execute('SELECT * FROM t');
    expect(rows[0]?.id).toBe(big);
    expect(new Uint8Array(rows[0]?.v as ArrayBuffer)).toEqual(new Uint8Array([0, 255, 7]));
    const url = urlOf(gateway);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(await (await fetch(`${url}/readyz`)).json()).toMatchObject({
      ready: true,
      phase: 'writing',
      reasons: [],
    });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(/sextant_sql_requests_total\{.*operation="INSERT",outcome="ok"\} 1/);
    expect(metrics).toMatch(/sextant_lease_remaining_seconds\{[^}]*\} [1-9]/);
    expect(metrics).toMatch(/sextant_commits_total\{.*outcome="durable"\} 2/);
    const document = z
      .object({
        openapi: z.string(),
        paths: z.record(z.string(), z.unknown()),
        components: z.object({ schemas: z.record(z.string(), z.unknown()) }),
      })
      .parse(await (await fetch(`${url}/openapi.json`)).json());
    expect(Object.keys(document.paths)).toContain('/v1/switchover');
    expect(Object.keys(document.components.schemas)).toContain('Status');
    const status = await (await fetch(`${url}/v1/status`)).json();
    expect(status).toMatchObject({ cluster: 'test', epoch: 1, primary: 'us-east-1', holder: 'us-east-1/g1' });
    const drills = await fetch(`${url}/v1/drills`);
    expect([drills.status, await drills.text()]).toEqual([
      409,
      expect.stringContaining('No supervisor runs this gateway'),
    ]);
  });

  it('serves the console, tells it over /v1/live what the writer does, and ends its stream when it stops', async () => {
    const { gateway, client } = await writer();
    const url = urlOf(gateway);
    const page = await fetch(`${url}/console`);
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    const script = /src="([^"]+)"/.exec(await page.text())?.[1];
    expect(await (await fetch(`${url}${script}`)).text()).toContain("from '../link/live.ts'");
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY)');
    const feed = await fetch(`${url}/v1/live`);
    expect(feed.headers.get('content-type')).toContain('text/event-stream');
    let rest = '';
    let commits = 0;
    let closing: Promise<void> | null = null;
    for await (const part of feed.body ?? []) {
      const events = takeEvents(rest, Buffer.from(part).toString('utf8'));
      rest = events.rest;
      for (const text of events.data) {
        const told = apiSchemas.LiveEvent.parse(JSON.parse(text));
        expect(told).toMatchObject({
          gateway: 'g1',
          status: { cluster: 'test' },
          readiness: { primary: 'us-east-1' },
        });
        commits = Math.max(commits, told.writes?.commits ?? 0);
      }
      if (commits > 0) closing ??= gateway.close();
    }
    await closing;
    expect(commits).toBeGreaterThan(0);
  });

  it('refuses to start on a port that is taken, and says what to do', async () => {
    const { gateway, world: one } = await writer();
    await expect(one.gateway('g2', {}, { listen: gateway.address })).rejects.toThrow(/already in use/);
  });

  it('answers admin requests about regions and operations it does not know, or cannot reach, in words', async () => {
    const { gateway } = await writer();
    const post = async (path: string, body: unknown) => {
      const answer = await fetch(urlOf(gateway) + path, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      });
      return {
        status: answer.status,
        ...z.object({ code: z.string(), message: z.string() }).parse(await answer.json()),
      };
    };
    expect(await post('/v1/switchover', { target: 'mars' })).toMatchObject({
      status: 404,
      code: 'UNKNOWN_REGION',
      message: expect.stringContaining('us-east-1, eu-west-1'),
    });
    expect(await post('/v1/switchover', { to: 'eu-west-1' })).toMatchObject({
      status: 400,
      code: 'BAD_REQUEST',
    });
    expect(await post('/v1/switchover', { target: 'eu-west-1' })).toMatchObject({
      status: 503,
      code: 'AGENT_UNREACHABLE',
    });
    // Over a socket a body may come in chunks, without its length, or not at all.
    const chunked = (text: string) =>
      fetch(`${urlOf(gateway)}/v1/switchover`, {
        method: 'POST',
        body: new Blob([text]).stream(),
        duplex: 'half',
      } as RequestInit);
    expect((await chunked('{"target":"mars"}')).status).toBe(404);
    expect((await chunked('x'.repeat(20_000))).status).toBe(413);
    expect((await fetch(`${urlOf(gateway)}/v1/switchover`, { method: 'POST' })).status).toBe(400);
    expect((await fetch(`${urlOf(gateway)}/v1/status`, { method: 'DELETE' })).status).toBe(404);
    expect((await fetch(`${urlOf(gateway)}/v1/operations/nonsense`)).status).toBe(404);
    expect(await (await fetch(`${urlOf(gateway)}/v1/losses`)).json()).toEqual({
      losses: [],
      unreachable: expect.arrayContaining(['eu-west-1']),
      unanswered: [],
    });
  });

  it('begins a move with the agent of the target and hands its operation on', async () => {
    const { gateway, world: one } = await writer();
    const operation = {
      id: 'eu-west-1.abc',
      kind: 'switchover',
      target: 'eu-west-1',
      from: 'us-east-1',
      state: 'running',
      phases: [],
    };
    const asked: unknown[] = [];
    one.nats.subscribe('sextant.test.agent.eu-west-1', (message) => {
      asked.push(JSON.parse(Buffer.from(message.data).toString()));
      message.respond(Buffer.from(JSON.stringify({ kind: 'operation', operation })));
    });
    await one.nats.flush(2_000);
    const begun = await fetch(`${urlOf(gateway)}/v1/switchover`, {
      method: 'POST',
      body: '{"target":"eu-west-1"}',
    });
    expect([begun.status, await begun.json()]).toEqual([202, operation]);
    const seen = await fetch(`${urlOf(gateway)}/v1/operations/eu-west-1.abc`);
    expect([seen.status, await seen.json()]).toEqual([200, operation]);
    expect(asked).toEqual([
      { kind: 'switchover', target: 'eu-west-1' },
      { kind: 'operation', id: 'eu-west-1.abc' },
    ]);
  });

  it('pushes the status over WebSocket when it changes', async () => {
    const { gateway, client } = await writer();
    const socket = new WebSocket(`ws://${gateway.address}/v1/watch`);
    const messages: string[] = [];
    socket.on('message', (data) => messages.push(data.toString()));
    await eventually('the first status', () => messages.length > 0);
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    await eventually('a status with a higher VDL', () =>
      messages.some((text) => JSON.parse(text).regions[0].vdl > 0),
    );
    socket.terminate();
  });
});

describe('a writer that may not acknowledge', () => {
  it('lets no write out once its lease has lapsed, and goes on in the same epoch when it is renewed (R24)', async () => {
    const one = await start();
    const gateway = await one.gateway('g1');
    await writes(gateway);
    const client = one.client(gateway);
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    const { epoch } = (await one.record()).record;
    one.freezeNats();
    const frozenAt = performance.now();
    const tally = newTally();
    let stop = false;
    const inserting = insertUntil(client, () => stop, tally);
    await eventually('the lease is suspended', () => gateway.report().suspendedMs !== undefined);
    const acknowledged = tally.acknowledged.length;
    expect(acknowledged).toBeGreaterThan(0);
    // Nothing later than the last renewal before the freeze, plus the time to live without the margin.
    const { ttlMs, marginMs } = defaultLeaseLimits;
    expect(tally.lastAckAtMs - frozenAt).toBeLessThan(ttlMs - marginMs + 50);
    const readiness = await fetch(`${urlOf(gateway)}/readyz`);
    expect([readiness.status, await readiness.text()]).toEqual([
      503,
      expect.stringContaining('suspended since'),
    ]);
    // What is durable is enough for such a read; a global one asks whether anybody else has written.
    const session = one.client(gateway);
    expect((await rowsOf(session)).size).toBeGreaterThanOrEqual(acknowledged);
    const global = createClient({ url: `${urlOf(gateway)}/read/global/` });
    const asked = performance.now();
    const globalRead = global.execute('SELECT count(*) FROM t').then(() => performance.now());
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(tally.acknowledged.length).toBe(acknowledged);
    one.thawNats();
    const thawedAt = performance.now();
    await eventually('writes go on', () => tally.acknowledged.length > acknowledged, 20_000);
    expect(await globalRead).toBeGreaterThan(Math.max(asked, thawedAt));
    stop = true;
    await inserting;
    global.close();
    expect([...tally.failed.values()]).toEqual([]);
    expect((await one.record()).record.epoch).toBe(epoch);
    const rows = await rowsOf(client);
    expect(tally.acknowledged.filter((id) => !rows.has(id))).toEqual([]);
    const metrics = await (await fetch(`${urlOf(gateway)}/metrics`)).text();
    expect(metrics).toMatch(/sextant_lease_suspensions_total(?:\{[^}]*\})? 1\n/);
    expect(metrics).toMatch(/sextant_write_stall_duration_seconds_count\{[^}]*cause="lease"[^}]*\} 1\n/);
  });

  it('tells clients what is certain when its lease stays suspended: a commit is unknown, a write has not run', async () => {
    const one = await start();
    const gateway = await one.gateway('g1', { limits: { writeWaitMs: 1_000, quorumWaitMs: 1_000 } });
    await writes(gateway);
    const client = one.client(gateway, 'ws');
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    const open = await client.transaction('write');
    await open.execute("INSERT INTO t VALUES (1, 'committed while suspended')");
    one.freezeNats();
    await eventually('the lease is suspended', () => gateway.report().suspendedMs !== undefined);
    const ends: string[] = [];
    const noted = (of: string) => (how: string) => ends.push(`${of}: ${how}`);
    const committed = open.commit().then(String, codeOf);
    const waiting: Promise<string>[] = [];
    for (const id of [2, 3]) {
      waiting.push(client.execute(`INSERT INTO t VALUES (${id}, 'never run')`).then(String, codeOf));
      // The second one looks for a writer while the first one waits.
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    // Those who wait keep nobody else from being served (G71).
    const read = client.execute('SELECT 1').then(() => 'served', codeOf);
    const before = performance.eventLoopUtilization();
    await Promise.all([read.then(noted('read')), ...waiting.map((write) => write.then(noted('write')))]);
    expect(ends).toEqual(['read: served', 'write: SEXTANT_NO_WRITER', 'write: SEXTANT_NO_WRITER']);
    expect(performance.eventLoopUtilization(before).utilization).toBeLessThan(0.5);
    expect(await committed).toBe('SEXTANT_COMMIT_UNKNOWN');
    one.thawNats();
    await eventually('the lease is resumed', () => gateway.report().suspendedMs === undefined, 20_000);
    expect(await rowsOf(client)).toEqual(new Set([1]));
  });

  it('says that the quorum is lost while three nodes are away, reads on, and writes again when they are back', async () => {
    const one = await start();
    const gateway = await one.gateway('g1', { limits: { quorumWaitMs: 300 } });
    await writes(gateway);
    const client = one.client(gateway);
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    await client.execute("INSERT INTO t VALUES (1, 'before')");
    for (const node of ['n1', 'n3', 'n5']) await one.storage.node(node).kill();
    const first = await client.execute("INSERT INTO t VALUES (2, 'during')").catch(codeOf);
    expect(first).toBe('SEXTANT_COMMIT_UNKNOWN');
    const second = await client.execute("INSERT INTO t VALUES (3, 'during')").catch(codeOf);
    expect(second).toBe('SEXTANT_QUORUM_LOST');
    expect((await client.execute('SELECT v FROM t WHERE id = 1')).rows[0]?.v).toBe('before');
    await one.storage.node('n1').start();
    await eventually(
      'writes are taken again',
      async () => (await client.execute("INSERT INTO t VALUES (4, 'after')").catch(() => null)) !== null,
    );
    const rows = await rowsOf(client);
    expect([rows.has(1), rows.has(3), rows.has(4)]).toEqual([true, false, true]);
  }, 40_000);
});

describe('a killed writer', () => {
  it('is succeeded by its next start, and nothing acknowledged is missing', async () => {
    const one = await start({ children: true });
    const first = await one.process('g1');
    const client = one.client(first.url);
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    const reader = await one.gateway('g2');
    await ready(urlOf(reader));
    const tallies = [0, 1, 2, 3].map(newTally);
    let stop = false;
    const forwarding = one.client(reader, 'ws');
    const load = tallies.map((tally, lane) => insertUntil(forwarding, () => stop, tally, lane * 1_000_000));
    await eventually('there is load', () => tallies.every((tally) => tally.acknowledged.length > 20));
    await first.kill();
    const before = tallies.map((tally) => tally.acknowledged.length);
    await one.process('g1');
    await eventually(
      'the load goes on',
      () => tallies.every((tally, lane) => tally.acknowledged.length > (before[lane] ?? 0) + 5),
      30_000,
    );
    stop = true;
    await Promise.all(load);
    const rows = await rowsOf(forwarding);
    for (const tally of tallies) {
      expect(tally.acknowledged.filter((id) => !rows.has(id))).toEqual([]);
      expect([...tally.failed.values()].filter((code) => code !== 'SEXTANT_COMMIT_UNKNOWN')).toEqual([]);
    }
  }, 60_000);

  it('gives its lease back when it is asked to stop, so that another gateway writes at once', async () => {
    const one = await start();
    const first = await one.gateway('g1');
    await writes(first);
    await one.client(first).execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    const second = await one.gateway('g2');
    await ready(urlOf(second));
    const client = one.client(second);
    await first.close();
    const began = performance.now();
    await client.execute("INSERT INTO t VALUES (1, 'x')");
    expect(performance.now() - began).toBeLessThan(3_000);
    expect(second.report().phase).toBe('writing');
  });
});

describe('a drain', () => {
  it('holds writes, lets an open transaction finish, and resumes both here when the move is given up', async () => {
    const { gateway, client, world: one } = await writer();
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    const transaction = await client.transaction('write');
    await transaction.execute("INSERT INTO t VALUES (1, 'in time')");
    const store = one.store();
    const begun = await changeControl(store, ({ record }) =>
      beginSwitchover(record, { id: 'move', to: regionId('eu-west-1'), startedAtMs: 0 }),
    );
    expect(begun.kind).toBe('changed');
    await eventually('it drains', () => gateway.report().phase === 'draining');
    const held = client.execute("INSERT INTO t VALUES (2, 'held')");
    await transaction.commit();
    expect((await client.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(1n);
    await eventually(
      'it has drained and given its lease back',
      async () => (await one.record()).record.move?.fork !== undefined,
    );
    const { record } = await one.record();
    expect(record.holder).toBeNull();
    await changeControl(store, ({ record: now }) => abortMove(now, { id: 'move' }));
    await held;
    expect((await rowsOf(client)).has(2)).toBe(true);
    store.close();
  });

  it('rolls back a transaction that lasts too long, and tells its client so', async () => {
    const { gateway, client, world: one } = await writer();
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    const transaction = await client.transaction('write');
    await transaction.execute("INSERT INTO t VALUES (1, 'too late')");
    const store = one.store();
    await changeControl(store, ({ record }) =>
      beginSwitchover(record, { id: 'move', to: regionId('eu-west-1'), startedAtMs: 0 }),
    );
    await eventually('it drains', () => gateway.report().phase !== 'writing');
    await eventually('it has drained', async () => (await one.record()).record.move?.fork !== undefined);
    expect(await transaction.execute("INSERT INTO t VALUES (2, 'more')").catch(codeOf)).toBe(
      'SEXTANT_MOVE_IN_PROGRESS',
    );
    await transaction.rollback();
    await changeControl(store, ({ record }) => abortMove(record, { id: 'move' }));
    await client.execute("INSERT INTO t VALUES (3, 'after')");
    expect([...(await rowsOf(client))]).toEqual([3]);
    store.close();
  });
});

async function writer() {
  const one = await start();
  const gateway = await one.gateway('g1');
  await writes(gateway);
  await ready(urlOf(gateway));
  return { world: one, gateway, client: one.client(gateway) };
}
