import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { closeEngines, MemoryVolume, openWriter } from '../../engine-volume.ts';
import { Client, postgres } from './postgres-engine.ts';

afterEach(closeEngines);

/** Made once; each test has tables of its own there, and drops what acts on sessions. */
const volume = new MemoryVolume();

async function two(): Promise<readonly [Client, Client]> {
  const { engine } = await openWriter(postgres, volume, true);
  return [new Client(engine.openSession()), new Client(engine.openSession())];
}

/** Settings that no other session may see of the one that sets them. */
const seen =
  "SELECT current_user, current_setting('work_mem'), current_setting('app.tenant', true), current_setting('app.' || 'made', true)";
const fresh = 'T D[postgres,4MB,,] C[SELECT 1] Z[I]';

const body =
  "SET work_mem = '9MB'; PERFORM set_config('app.tenant', '7', false); PERFORM set_config('app.' || 'made', '8', false); SET ROLE bob;";

test.each([
  ['a block', [], [`DO $$ BEGIN ${body} END $$`], []],
  [
    'a function',
    [`CREATE FUNCTION acts() RETURNS int LANGUAGE plpgsql AS $$ BEGIN /* ; */ ${body} RETURN 1; END $$`],
    ['SELECT acts()'],
    ['DROP FUNCTION acts'],
  ],
  [
    'a function that is gone again',
    [],
    [
      `CREATE FUNCTION acts() RETURNS int LANGUAGE plpgsql AS $$ BEGIN ${body} RETURN 1; END $$; SELECT acts(); RESET ROLE; DROP FUNCTION acts; SET ROLE bob`,
    ],
    [],
  ],
  [
    'a trigger, in a transaction',
    [
      'CREATE TABLE acted (n int)',
      'GRANT ALL ON acted TO bob',
      `CREATE FUNCTION acts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body} RETURN NULL; END $$`,
      'CREATE TRIGGER acts AFTER INSERT ON acted FOR EACH ROW EXECUTE FUNCTION acts()',
    ],
    ['BEGIN', 'INSERT INTO acted VALUES (1)', 'COMMIT'],
    ['DROP TABLE acted', 'DROP FUNCTION acts'],
  ],
  [
    'a procedure that fails after its commit',
    [
      `CREATE PROCEDURE acts() LANGUAGE plpgsql AS $$ BEGIN ${body} COMMIT; PERFORM 1 / (random() * 0)::int; END $$`,
    ],
    ['CALL acts()'],
    ['DROP PROCEDURE acts'],
  ],
] as const)('%s sets what is its session alone', async (_what, before, acts, after) => {
  const [one, other] = await two();
  await one.sql('DO $$ BEGIN CREATE ROLE bob; EXCEPTION WHEN duplicate_object THEN NULL; END $$');
  for (const sql of before) expect(await one.sql(sql)).not.toContain('E[');
  expect(await other.sql(seen)).toBe(fresh);
  for (const sql of acts) await one.sql(sql);
  expect(await other.sql(seen)).toBe(fresh);
  expect(one.settings).toMatchObject({ role: 'bob', work_mem: '9216', 'app.tenant': '7' });
  expect(await one.sql('SELECT current_user')).toContain('D[bob]');
  await one.sql('RESET ROLE');
  for (const sql of after) expect(await one.sql(sql)).not.toContain('E[');
});

test('a view or a default that calls a function sets what is its session alone', async () => {
  const [one, other] = await two();
  await one.sql("CREATE VIEW setting AS SELECT set_config('work_mem', '9MB', false)");
  expect(await other.sql(seen)).toBe(fresh);
  await one.sql('TABLE setting');
  expect(await other.sql(seen)).toBe(fresh);
  await one.sql('DROP VIEW setting; RESET work_mem');
  await one.sql("CREATE TABLE setting (a text DEFAULT set_config('work_mem', '9MB', false))");
  await one.sql('INSERT INTO setting DEFAULT VALUES');
  expect(await other.sql(seen)).toBe(fresh);
  await one.sql('DROP TABLE setting');
});

test('a change of pg_settings is one of the session', async () => {
  const [one, other] = await two();
  await one.sql("UPDATE pg_settings SET setting = '9MB' WHERE name = 'work_mem'");
  expect(await other.sql(seen)).toBe(fresh);
  expect(await one.sql('SHOW work_mem')).toContain('D[9MB]');
});

test('who a session has become is nobody else, and it can go back', async () => {
  const [one, other] = await two();
  await one.sql('DO $$ BEGIN CREATE ROLE bob; EXCEPTION WHEN duplicate_object THEN NULL; END $$');
  await one.sql('SET SESSION AUTHORIZATION bob');
  expect(await other.sql('SELECT session_user, current_user')).toContain('D[postgres,postgres]');
  expect(await one.sql('SELECT session_user')).toContain('D[bob]');
  // What a front end makes of RESET SESSION AUTHORIZATION.
  await one.sql("SELECT set_config('session_authorization', 'postgres', false)");
  expect(one.settings).toEqual({});
  expect(await one.sql('SELECT session_user')).toContain('D[postgres]');
});

test("a session's limits of time end nobody's work in the engine", async () => {
  const [one, other] = await two();
  for (const name of ['idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout'])
    await one.sql(`SET ${name} = 20`);
  expect(one.settings).toMatchObject({ idle_session_timeout: '20', transaction_timeout: '20' });
  await one.sql('BEGIN');
  await sleep(100);
  expect(await one.sql('SELECT 1')).toBe('T D[1] C[SELECT 1] Z[T]');
  await one.sql('COMMIT');
  await sleep(100);
  expect(await other.sql('SELECT 1')).toBe('T D[1] C[SELECT 1] Z[I]');
});

test('temporary objects, locks and cursors that a function makes end with their transaction, and that is told', async () => {
  const [one, other] = await two();
  const warned = /^C\[DO\] N\[01000\] Z\[I\]$/;
  expect(await one.sql('DO $$ BEGIN CREATE TEMP TABLE mine (n int); END $$')).toMatch(warned);
  expect(await one.sql('SELECT * FROM mine')).toBe('E[42P01] Z[I]');
  expect(await one.sql('DO $$ BEGIN PERFORM pg_advisory_lock(7); END $$')).toMatch(warned);
  expect(await other.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).toContain('D[0]');
  expect(await one.sql("DO $$ BEGIN EXECUTE 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'; END $$")).toMatch(
    warned,
  );
  expect(await other.sql('FETCH c')).toBe('E[34000] Z[I]');
  // Inside a transaction nobody else has the backend.
  await one.sql('BEGIN');
  expect(await one.sql('DO $$ BEGIN CREATE TEMP TABLE mine (n int); END $$')).toBe('C[DO] Z[T]');
  expect(await one.sql('SELECT * FROM mine')).toBe('T C[SELECT 0] Z[T]');
  expect(await one.sql('COMMIT')).toBe('C[COMMIT] N[01000] Z[I]');
  expect(await other.sql('SELECT * FROM mine')).toBe('E[42P01] Z[I]');
});

test('a lock that a transaction has taken by a function ends when the transaction is rolled back for its client', async () => {
  const [one, other] = await two();
  await one.sql('BEGIN');
  await one.sql('DO $$ BEGIN PERFORM pg_advisory_lock(7); END $$');
  one.session.close();
  expect(await other.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).toContain('D[0]');
});

test('nobody is told a value that another session has drawn from a sequence', async () => {
  const [one, other] = await two();
  await one.sql('CREATE TABLE numbered (id serial, n int)');
  await one.sql('INSERT INTO numbered (n) VALUES (1)');
  expect(await one.sql('SELECT lastval()')).toContain('D[1]');
  await other.sql('INSERT INTO numbered (n) VALUES (2)');
  expect(await other.sql("SELECT lastval(), currval('numbered_id_seq')")).toContain('D[2,2]');
  expect(await one.sql('SELECT lastval()')).toContain('E[55000] Z[I]');
  expect(await other.sql("SELECT currval('numbered_id_seq')")).toContain('E[55000] Z[I]');
  // Of another session, seen from a transaction that has drawn nothing; and its own.
  await one.sql('INSERT INTO numbered (n) VALUES (3)');
  await other.sql('BEGIN');
  expect(await other.sql("SELECT currval('numbered_id_seq')")).toContain('E[55000] Z[E]');
  await other.sql('ROLLBACK');
  await other.sql('BEGIN');
  await other.sql('INSERT INTO numbered (n) VALUES (4)');
  expect(await other.sql("SELECT currval('numbered_id_seq'), lastval()")).toContain('D[4,4]');
  await other.sql('COMMIT');
});
