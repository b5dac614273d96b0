/** Two gateways of a PostgreSQL database: what is asked of the one that does not write is stopped at the one that does. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { performance } from 'node:perf_hooks';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { RunningGateway } from '../../../gateway/process/gateway.ts';
import { eventually } from '../../storage/region-harness.ts';
import { GatewayWorld } from './gateway-harness.ts';

const postgres = { engine: 'postgres', postgres: { listen: '127.0.0.1:0' } } as const;
let world: GatewayWorld;
let writer: RunningGateway;
let other: RunningGateway;
const clients: pg.Client[] = [];

beforeAll(async () => {
  world = await GatewayWorld.start();
  writer = await world.gateway('g1', {}, postgres);
  const client = await connect(writer);
  // On a busy machine the first lease may lapse meanwhile: the statement is unknown then, and is asked again.
  const made = () =>
    client.query('CREATE TABLE IF NOT EXISTS kept (n int)').then(
      () => true,
      () => false,
    );
  await eventually('the table is made', made, 120_000);
  other = await world.gateway('g2', {}, postgres);
}, 240_000);
afterEach(() => {
  for (const client of clients.splice(0)) client.connection.stream.destroy();
});
afterAll(() => world?.close(), 60_000);

async function connect(gateway: RunningGateway, options = ''): Promise<pg.Client> {
  const [host, port] = (gateway.report().postgres ?? '').split(':');
  const client = new pg.Client({ host, port: Number(port), user: 'app', database: 'main', options });
  client.on('error', () => undefined);
  clients.push(client);
  await client.connect();
  return client;
}

/** Seconds of a core, writing and reading what it spills; it is an INSERT, so that it runs where the writer is. */
const slow =
  'INSERT INTO kept SELECT count(*) FROM (SELECT n FROM generate_series(1, 5000000) n ORDER BY md5(n::text)) sorted';

/** What node-postgres has of a client, and does not tell. */
interface Keyed {
  readonly processID: number;
  readonly secretKey: number;
}

/** Sends a cancel request, as `psql` does at Ctrl+C. */
async function cancel(gateway: RunningGateway, client: pg.Client): Promise<void> {
  const { processID, secretKey } = client as unknown as Keyed;
  const [host, port] = (gateway.report().postgres ?? '').split(':');
  const request = Buffer.alloc(16);
  for (const [at, value] of [16, 80_877_102, processID, secretKey].entries())
    request.writeInt32BE(value, at * 4);
  const socket = createConnection({ host: host ?? '', port: Number(port) });
  socket.end(request);
  socket.resume();
  await once(socket, 'close');
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('at a gateway that does not write', { timeout: 60_000 }, () => {
  test('a cancel request stops a forwarded statement at the writer, and its session goes on', async () => {
    const client = await connect(other);
    const running = client.query(slow).catch((error: { code: string }) => error.code);
    await pause(500);
    const sinceMs = performance.now();
    await cancel(other, client);
    expect(await running).toBe('57014');
    expect(performance.now() - sinceMs).toBeLessThan(5_000);
    expect((await client.query('SELECT count(*)::int AS n FROM kept')).rows).toEqual([{ n: 0 }]);
  });

  test('a cancel request that another gateway gets, as behind an endpoint, stops it too', async () => {
    const client = await connect(other);
    const running = client.query(slow).catch((error: { code: string }) => error.code);
    await pause(500);
    await cancel(writer, client);
    expect(await running).toBe('57014');
  });

  test('a cancel request stops a statement of a transaction there, which then has failed', async () => {
    const client = await connect(other);
    await client.query('BEGIN');
    await client.query('INSERT INTO kept VALUES (1)');
    const running = client.query(slow).catch((error: { code: string }) => error.code);
    await pause(500);
    await cancel(other, client);
    expect(await running).toBe('57014');
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' });
    await client.query('ROLLBACK');
    expect((await client.query('SELECT count(*)::int AS n FROM kept')).rows).toEqual([{ n: 0 }]);
  });

  test('a cancel request ends the wait of a statement for its turn: it never runs', async () => {
    const holder = await connect(writer);
    await holder.query('BEGIN');
    await holder.query('INSERT INTO kept VALUES (2)');
    const client = await connect(other);
    const waiting = client
      .query('INSERT INTO kept VALUES (3)')
      .catch((error: { code: string }) => error.code);
    await pause(500);
    await cancel(other, client);
    expect(await waiting).toBe('57014');
    await holder.query('ROLLBACK');
    expect((await client.query('SELECT count(*)::int AS n FROM kept')).rows).toEqual([{ n: 0 }]);
  });

  test('statement_timeout of the client counts at the writer, however it is given', async () => {
    for (const options of ['-c statement_timeout=300ms', '']) {
      const client = await connect(other, options);
      if (options === '') {
        await client.query('BEGIN');
        await client.query("SET LOCAL statement_timeout = '0.3s'");
      }
      const sinceMs = performance.now();
      await expect(client.query(slow)).rejects.toMatchObject({
        code: '57014',
        message: 'canceling statement due to statement timeout',
      });
      expect(performance.now() - sinceMs).toBeLessThan(5_000);
      if (options === '') await client.query('ROLLBACK');
    }
  });

  test('a client that goes away leaves nothing running at the writer', async () => {
    const client = await connect(other);
    client.query(slow).catch(() => undefined);
    await pause(500);
    const near = await connect(writer);
    const sinceMs = performance.now();
    client.connection.stream.destroy();
    expect((await near.query('INSERT INTO kept VALUES (4) RETURNING n')).rows).toEqual([{ n: 4 }]);
    expect(performance.now() - sinceMs).toBeLessThan(8_000);
    expect((await near.query('DELETE FROM kept')).rowCount).toBe(1);
  });
});
