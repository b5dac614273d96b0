/** A deployment whose databases are kept by PostgreSQL, as stock clients of PostgreSQL see it. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { postgresMetrics } from '../../telemetry/metrics/definitions/postgres.ts';
import { besideTheTable, definitionOf, samplesOf, sumOf } from '../telemetry/metrics/exposition.ts';
import { TestDeployment } from './local-deployment.ts';

const regions = ['us-east-1', 'eu-west-1'] as const;
const [east, europe] = regions;
let deployment: TestDeployment;
const clients: pg.Client[] = [];

beforeAll(async () => {
  deployment = await TestDeployment.start({ regions, flags: ['--engine', 'postgres', '--timeout', '200'] });
}, 240_000);
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
});
afterAll(async () => {
  await deployment?.stop();
}, 60_000);

async function connect(region: string, database = 'main'): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: deployment.postgres(region, database) });
  // Who kills gateways hears of it with the next query.
  client.on('error', () => undefined);
  clients.push(client);
  await client.connect();
  return client;
}

/** Inserts numbered rows one by one, and connects again whenever its gateway has gone. */
class Inserter {
  /** Rows that were acknowledged. */
  readonly acked: number[] = [];
  private readonly region: string;
  private stopped = false;
  private readonly over: Promise<void>;

  constructor(region: string) {
    this.region = region;
    this.over = this.run();
  }

  async stop(): Promise<readonly number[]> {
    this.stopped = true;
    await this.over;
    return this.acked;
  }

  private async run(): Promise<void> {
    let client: pg.Client | null = null;
    for (let id = 1; !this.stopped; id++) {
      try {
        client ??= await connect(this.region);
        await client.query('INSERT INTO numbered VALUES ($1, $2)', [id, `row ${id}`]);
        this.acked.push(id);
      } catch {
        // Whether it is there is not known, and does not matter here.
        client = null;
        await sleep(50);
      }
      await sleep(5);
    }
  }
}

describe('a PostgreSQL database', { timeout: 120_000 }, () => {
  it('is written through any region, in transactions too, and read where its client is', async () => {
    const far = await connect(europe);
    await far.query('CREATE TABLE note (id int PRIMARY KEY, text text)');
    await far.query('INSERT INTO note VALUES ($1, $2)', [1, 'from Europe']);
    await far.query('BEGIN');
    await far.query("INSERT INTO note VALUES (2, 'in a transaction')");
    const near = await connect(east);
    expect((await near.query('SELECT count(*)::int AS n FROM note')).rows).toEqual([{ n: 1 }]);
    await far.query('COMMIT');
    for (const client of [near, far])
      expect((await client.query('SELECT id FROM note ORDER BY id')).rows).toEqual([{ id: 1 }, { id: 2 }]);
    await expect(far.query('INSERT INTO note VALUES (1, NULL)')).rejects.toMatchObject({ code: '23505' });
  });

  it('has an address in the status, and says to clients of another engine what it is', async () => {
    const response = await fetch(`${deployment.url(east)}/v1/status`);
    const { regions: shown } = (await response.json()) as { regions: { name: string; postgres: string }[] };
    for (const { name, postgres } of shown) expect(deployment.postgres(name)).toContain(`@${postgres}/`);
    await expect(deployment.client(east).execute('SELECT 1')).rejects.toMatchObject({
      code: 'SEXTANT_WRONG_ENGINE',
    });
  });

  it('is counted, its clients and its engines, in every gateway as the table of metrics says (T14)', async () => {
    const samples = (await deployment.scrape()).flatMap(samplesOf);
    expect([...new Set(besideTheTable(samples))]).toEqual([]);
    const told = new Set(samples.map(({ name }) => definitionOf(name)));
    for (const one of Object.values(postgresMetrics)) expect(told).toContain(one);
    const started = { region: east, engine: 'writer' };
    expect(sumOf(samples, 'sextant_postgres_engine_starts_total', started)).toBeGreaterThan(0);
    const failed = { operation: 'INSERT', outcome: '23505' };
    expect(sumOf(samples, 'sextant_sql_requests_total', failed)).toBe(1);
  });

  it('loses nothing that was acknowledged when the gateway that writes is killed, and goes on elsewhere after a move', async () => {
    await (await connect(east)).query('CREATE TABLE numbered (id int PRIMARY KEY, text text)');
    const inserter = new Inserter(east);
    for (const _ of [1, 2]) {
      await expect.poll(() => inserter.acked.length, { timeout: 30_000 }).toBeGreaterThan(20);
      const before = inserter.acked.length;
      await deployment.signal(`${east}/g1`, 'SIGKILL');
      await expect.poll(() => inserter.acked.length, { timeout: 60_000 }).toBeGreaterThan(before + 20);
    }
    await deployment.run('switchover', '--to', europe);
    const moved = inserter.acked.length;
    await expect.poll(() => inserter.acked.length, { timeout: 30_000 }).toBeGreaterThan(moved + 20);
    const acked = await inserter.stop();
    const reader = await connect(europe);
    const { rows } = await reader.query('SELECT id FROM numbered');
    const there = new Set(rows.map(({ id }) => id));
    expect(acked.filter((id) => !there.has(id))).toEqual([]);
    expect(rows.length).toBe(there.size);
    await reader.query('REINDEX TABLE numbered');
    expect((await reader.query('SELECT id FROM numbered')).rowCount).toBe(rows.length);
    await deployment.run('switchover', '--to', east);
  });

  it('has branches, which are databases of their own by name', async () => {
    const [url] = /postgres:\S+/.exec(await deployment.run('branch', 'create', 'dev')) ?? [];
    expect(url?.replace('//', '//somebody@')).toBe(deployment.postgres(east, 'dev'));
    const branch = await connect(europe, 'dev');
    await branch.query("INSERT INTO note VALUES (9, 'on the branch')");
    expect((await branch.query('SELECT id FROM note ORDER BY id')).rows.at(-1)).toEqual({ id: 9 });
    const main = await connect(east);
    expect((await main.query('SELECT id FROM note WHERE id = 9')).rowCount).toBe(0);
    await expect(connect(east, 'nosuch')).rejects.toMatchObject({ code: '3D000' });
  });
});
