import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { PGliteService } from './pglite-service.ts';
import { type Harness, serve } from './server-harness.ts';

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
beforeEach(() => {
  service.operations.length = 0;
});

const options = (): pg.ClientConfig => ({
  host: '127.0.0.1',
  port: server.port,
  user: 'app',
  database: 'main',
  password: '',
});

async function withClient<T>(use: (client: pg.Client) => Promise<T>, more: pg.ClientConfig = {}): Promise<T> {
  const client = new pg.Client({ ...options(), ...more });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return 'no error';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
};

test('node-postgres reads and writes, with and without parameters', async () => {
  await withClient(async (client) => {
    await client.query('CREATE TABLE notes (id int PRIMARY KEY, body text, at timestamptz)');
    await client.query('INSERT INTO notes VALUES ($1, $2, now())', [1, "it's"]);
    const { rows } = await client.query('SELECT id, body FROM notes WHERE id = $1', [1]);
    expect(rows).toEqual([{ id: 1, body: "it's" }]);
    const both = await client.query('SELECT 1 AS a; SELECT 2 AS b');
    expect(both).toMatchObject([{ rows: [{ a: 1 }] }, { rows: [{ b: 2 }] }]);
  });
});

test('what is tried where is told with each operation', async () => {
  await withClient(async (client) => {
    await client.query('SELECT 1');
    await client.query('CREATE TABLE IF NOT EXISTS placed (id int)');
    await client.query('BEGIN READ ONLY');
    await client.query('END');
  });
  expect(service.operations.map(({ class: kind, statements }) => [kind, ...statements])).toEqual([
    ['read', 'SELECT 1'],
    ['write', 'CREATE TABLE IF NOT EXISTS placed (id int)'],
    ['read', 'BEGIN READONLY'],
    ['read', 'COMMIT'],
  ]);
});

test('a prepared statement is known by its content, and is given again where an engine may not have it', async () => {
  await withClient(async (one) => {
    await withClient(async (other) => {
      const query = { name: 'same', text: 'SELECT $1::int + 1 AS n', values: [1] };
      expect((await one.query(query)).rows).toEqual([{ n: 2 }]);
      expect((await other.query({ ...query, text: 'SELECT $1::int + 2 AS n' })).rows).toEqual([{ n: 3 }]);
      expect((await one.query(query)).rows).toEqual([{ n: 2 }]);
    });
  });
  const [first, , again] = service.operations;
  expect(first?.prepared).toEqual([]);
  expect(again?.prepared).toHaveLength(1);
  expect(Buffer.from(first?.messages ?? []).includes(again?.prepared[0]?.name ?? 'none')).toBe(true);
});

test('a failed transaction stays failed until it is ended, as PostgreSQL has it', async () => {
  await withClient(async (client) => {
    await client.query('BEGIN');
    expect(await codeOf(client.query('SELECT 1/0'))).toBe('22012');
    expect(await codeOf(client.query('SELECT 1'))).toBe('25P02');
    expect((await client.query('COMMIT')).command).toBe('ROLLBACK');
    expect((await client.query('SELECT 1 AS a')).rows).toEqual([{ a: 1 }]);
  });
});

test('what is refused in a transaction fails it, also in the engine', async () => {
  await withClient(async (client) => {
    await client.query('CREATE TABLE kept (id int)');
    await client.query('BEGIN');
    await client.query('INSERT INTO kept VALUES (1)');
    expect(await codeOf(client.query('LISTEN news'))).toBe('0A000');
    expect(await codeOf(client.query('INSERT INTO kept VALUES (2)'))).toBe('25P02');
    await client.query('COMMIT');
    await client.query('BEGIN');
    await client.query('SAVEPOINT here');
    expect(await codeOf(client.query('CREATE TEMP TABLE t (a int)', []))).toBe('0A000');
    await client.query('ROLLBACK TO here');
    await client.query('INSERT INTO kept VALUES (3)');
    await client.query('COMMIT');
    expect((await client.query('SELECT id FROM kept')).rows).toEqual([{ id: 3 }]);
  });
});

test('settings of one client are its own, and the driver hears of them', async () => {
  await withClient(async (one) => {
    await withClient(async (other) => {
      await one.query("SET TimeZone = 'Europe/Paris'");
      await one.query('SET search_path = pg_catalog');
      const zone = async (client: pg.Client) => (await client.query('SHOW TimeZone')).rows[0].TimeZone;
      expect(await zone(other)).toBe('UTC');
      expect(await zone(one)).toBe('Europe/Paris');
      await one.query('RESET ALL');
      expect(await zone(one)).toBe('UTC');
    });
  });
});

test('settings that a client begins with come back with RESET, and are gone with nobody else', async () => {
  const more = { options: '-c TimeZone=Asia/Tokyo' };
  await withClient(async (client) => {
    const zone = async () => (await client.query('SHOW TimeZone')).rows[0].TimeZone;
    expect(await zone()).toBe('Asia/Tokyo');
    await client.query("SET TimeZone = 'UTC'");
    expect(await zone()).toBe('UTC');
    expect((await client.query('RESET TimeZone')).command).toBe('RESET');
    expect(await zone()).toBe('Asia/Tokyo');
    await client.query("BEGIN; SET TimeZone = 'UTC'");
    await client.query('ROLLBACK');
    expect(await zone()).toBe('Asia/Tokyo');
    await client.query("BEGIN; SET TimeZone = 'UTC'");
    expect((await client.query('RESET ALL')).command).toBe('RESET');
    expect(await zone()).toBe('Asia/Tokyo');
    await client.query('COMMIT');
    expect(await zone()).toBe('Asia/Tokyo');
  }, more);
  expect(await codeOf(withClient(async () => undefined, { options: '-c TimeZone=Nowhere/Else' }))).toBe(
    '22023',
  );
});

test('poolers reset a session with DISCARD ALL and DEALLOCATE, and lose nobody else anything', async () => {
  await withClient(async (one) => {
    await withClient(async (other) => {
      const query = { name: 'q', text: 'SELECT 7 AS n' };
      await other.query(query);
      await one.query(query);
      await one.query("SET application_name = 'x'");
      expect((await one.query('DISCARD ALL')).command).toBe('DISCARD');
      expect((await one.query('DEALLOCATE ALL')).command).toBe('DEALLOCATE');
      expect((await one.query('SHOW application_name')).rows).toEqual([{ application_name: '' }]);
      expect((await other.query(query)).rows).toEqual([{ n: 7 }]);
      expect(await codeOf(one.query('DEALLOCATE nothing'))).toBe('26000');
      expect(
        ((await one.query('SELECT 1; UNLISTEN *; SELECT 2')) as unknown as { command: string }[]).map(
          ({ command }) => command,
        ),
      ).toEqual(['SELECT', 'UNLISTEN', 'SELECT']);
    });
  });
});

test('postgres.js prepares, pipelines and keeps transactions', async () => {
  const sql = postgres({
    host: '127.0.0.1',
    port: server.port,
    user: 'app',
    database: 'main',
    max: 3,
    onnotice: () => undefined,
  });
  await sql`CREATE TABLE counted (id int PRIMARY KEY, n int)`;
  await sql`INSERT INTO counted ${sql([
    { id: 1, n: 0 },
    { id: 2, n: 0 },
  ])}`;
  const all = await Promise.all(Array.from({ length: 50 }, (_, at) => sql`SELECT ${at}::int AS at`));
  expect(all.map(([row]) => row?.at)).toEqual(Array.from({ length: 50 }, (_, at) => at));
  await Promise.all(
    Array.from({ length: 20 }, () =>
      sql.begin(async (own) => {
        const [row] = await own`SELECT n FROM counted WHERE id = 1 FOR UPDATE`;
        await own`UPDATE counted SET n = ${Number(row?.n) + 1} WHERE id = 1`;
      }),
    ),
  );
  expect([...(await sql`SELECT n FROM counted WHERE id = 1`)]).toEqual([{ n: 20 }]);
  await expect(sql`SELECT * FROM nowhere`).rejects.toMatchObject({ code: '42P01' });
  const rows: unknown[] = [];
  await sql`SELECT generate_series(1, 100) AS n`.cursor(10, (part) => void rows.push(...part));
  expect(rows).toHaveLength(100);
  const copied = await sql`COPY counted (id, n) FROM STDIN`.writable();
  copied.write('10\t1\n');
  await new Promise<void>((resolve) => copied.end('11\t2\n', () => resolve()));
  expect([...(await sql`SELECT count(*)::int AS n FROM counted`)]).toEqual([{ n: 4 }]);
  await sql.end();
});

test('a transaction that a client leaves behind is gone', async () => {
  const client = new pg.Client(options());
  client.on('error', () => undefined);
  await client.connect();
  await client.query('CREATE TABLE left_behind (id int)');
  await client.query('BEGIN');
  await client.query('INSERT INTO left_behind VALUES (1)');
  const before = service.open;
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  await expect.poll(() => service.open).toBe(before - 1);
  await withClient(async (other) => {
    expect((await other.query('SELECT count(*)::int AS n FROM left_behind')).rows).toEqual([{ n: 0 }]);
  });
});

test('a transaction that Sextant lost is failed until the client ends it, and nothing runs in between', async () => {
  await withClient(async (client) => {
    await client.query('CREATE TABLE lost (id int)');
    await client.query('BEGIN');
    await client.query('INSERT INTO lost VALUES (1)');
    service.failNext = { code: 'SEXTANT_TRANSACTION_ABORTED', message: 'The writer is gone.' };
    expect(await codeOf(client.query('INSERT INTO lost VALUES (2)'))).toBe('40001');
    const ran = service.operations.length;
    expect(await codeOf(client.query('INSERT INTO lost VALUES (3)', []))).toBe('25P02');
    expect(await codeOf(client.query('SELECT $1::int', [3]))).toBe('25P02');
    expect(service.operations).toHaveLength(ran);
    expect((await client.query('COMMIT')).command).toBe('ROLLBACK');
    expect((await client.query('SELECT 1 AS a')).rows).toEqual([{ a: 1 }]);
  });
});

test('an unknown outcome is told with its SQLSTATE and what to do', async () => {
  await withClient(async (client) => {
    service.failNext = { code: 'SEXTANT_COMMIT_UNKNOWN', message: 'The lease ended.' };
    await expect(client.query('SELECT 1')).rejects.toMatchObject({
      code: '08007',
      message: 'The lease ended.',
      hint: expect.stringContaining('Read back'),
    });
    expect((await client.query('SELECT 1 AS a')).rows).toEqual([{ a: 1 }]);
  });
});

test('a branch is a database by its name, and one that is not there is told of', async () => {
  await withClient(async (client) => client.query('SELECT 1'), { database: 'dev' });
  expect(service.options.at(-1)).toEqual({ branch: 'dev' });
  await withClient(async (client) => client.query('SELECT 1'), { database: 'postgres' });
  expect(service.options.at(-1)).toEqual({ branch: 'main' });
  expect(await codeOf(withClient(async () => undefined, { database: 'nothing' }))).toBe('3D000');
  expect(await codeOf(withClient(async () => undefined, { database: 'No Such' }))).toBe('3D000');
});

test('large answers and large parameters pass whole', async () => {
  await withClient(async (client) => {
    const text = 'é'.repeat(500_000);
    const { rows } = await client.query('SELECT $1::text AS t, length($1::text) AS n', [text]);
    expect(rows).toEqual([{ t: text, n: 500_000 }]);
    const many = await client.query("SELECT g, repeat('x', 100) AS x FROM generate_series(1, 50000) g");
    expect(many.rows).toHaveLength(50_000);
  });
});
