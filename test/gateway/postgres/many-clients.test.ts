import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PGliteService } from './pglite-service.ts';
import { type Harness, serve } from './server-harness.ts';

const clients = 200;
let service: PGliteService;
let server: Harness;

beforeAll(async () => {
  service = await PGliteService.make();
  server = await serve(service);
});
afterAll(async () => {
  await server.close();
  await service.db.close();
});

async function connected(id: number): Promise<pg.Client> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: server.port,
    user: `user_${id}`,
    database: 'main',
    application_name: `app_${id}`,
    connectionTimeoutMillis: 60_000,
  });
  await client.connect();
  return client;
}

/** Each step says who asked; an answer to anybody else would say another number. */
const steps: readonly ((client: pg.Client, id: number, round: number) => Promise<void>)[] = [
  async (client, id) => {
    const { rows } = await client.query(`SELECT ${id} AS me`);
    expect(rows).toEqual([{ me: id }]);
  },
  async (client, id, round) => {
    // The same name everywhere, with a text of each client's own; the second time it is there already.
    for (const more of [0, 1]) {
      const values = [round + more];
      const { rows } = await client.query({ name: 'mine', text: `SELECT $1::int + ${id} AS sum`, values });
      expect(rows).toEqual([{ sum: id + round + more }]);
    }
  },
  async (client, id) => {
    const { rows } = await client.query('SELECT $1::text AS text, repeat($1::text, 500) AS long', [
      `text ${id} `,
    ]);
    expect(rows).toEqual([{ text: `text ${id} `, long: `text ${id} `.repeat(500) }]);
  },
  async (client, id) => {
    await expect(client.query(`SELECT 'nothing ${id}'::int`)).rejects.toMatchObject({
      code: '22P02',
      message: expect.stringContaining(`"nothing ${id}"`),
    });
  },
  async (client, id) => {
    const { rows } = await client.query('SHOW application_name');
    expect(rows).toEqual([{ application_name: `app_${id}` }]);
  },
  async (client, id) => {
    const asked = Array.from({ length: 5 }, (_, at) => client.query(`SELECT ${id * 10 + at} AS n`));
    expect((await Promise.all(asked)).map(({ rows }) => rows[0].n)).toEqual(
      [0, 1, 2, 3, 4].map((at) => id * 10 + at),
    );
  },
  async (client, id, round) => {
    await client.query('BEGIN');
    const { rows } = await client.query('SELECT n FROM shared FOR UPDATE');
    await client.query('INSERT INTO own VALUES ($1, $2)', [id, round]);
    // Whoever comes between would see this, or change it.
    await client.query("SET LOCAL application_name = 'inside'");
    const inside = await client.query(`SELECT ${id} AS me, current_setting('application_name') AS name`);
    expect(inside.rows).toEqual([{ me: id, name: 'inside' }]);
    await client.query('UPDATE shared SET n = $1', [rows[0].n + 1]);
    await client.query('COMMIT');
  },
  async (client, id) => {
    await client.query('BEGIN');
    await client.query('INSERT INTO own VALUES ($1, -1)', [id]);
    await expect(client.query('LISTEN news')).rejects.toMatchObject({ code: '0A000' });
    expect((await client.query('COMMIT')).command).toBe('ROLLBACK');
  },
];

test("two hundred clients in turn get each their own answers, and no transaction holds what is another's", async () => {
  const setup = await connected(0);
  await setup.query(
    'CREATE TABLE shared (n int); CREATE TABLE own (id int, round int); INSERT INTO shared VALUES (0)',
  );
  const all = await Promise.all(Array.from({ length: clients }, (_, at) => connected(at + 1)));
  await Promise.all(
    all.map(async (client, at) => {
      for (let round = 0; round < steps.length; round++) {
        const step = steps[(at + round * 3) % steps.length];
        await step?.(client, at + 1, round);
      }
    }),
  );
  // Each has gone through every step once, since 3 and the number of steps share nothing.
  expect((await setup.query('SELECT n FROM shared')).rows).toEqual([{ n: clients }]);
  expect(
    (
      await setup.query(
        'SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids, min(round) >= 0 AS whole FROM own',
      )
    ).rows,
  ).toEqual([{ n: clients, ids: clients, whole: true }]);
  await Promise.all([setup, ...all].map((client) => client.end()));
  await expect
    .poll(() => server.counts())
    .toMatchObject({ connections: 0, clients: 0, running: 0, inputBytes: 0 });
  expect(service.open).toBe(0);
}, 120_000);
