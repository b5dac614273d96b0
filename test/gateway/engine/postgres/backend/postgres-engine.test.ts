import { afterEach, describe, expect, test } from 'vitest';
import type { EngineOptions } from '../../../../../gateway/engine/engine.ts';
import { queryMessage, syncMessage } from '../../../../../gateway/postgres/protocol/core/client-messages.ts';
import { defaultGeometry } from '../../../../../storage/core.ts';
import { closeEngines, MemoryVolume, openReader, openWriter, run } from '../../engine-volume.ts';
import { Client, postgres, told } from './postgres-engine.ts';
import { bind, execute, flush, parse } from './postgres-wire.ts';

afterEach(closeEngines);

/** Made once; each test has tables of its own there. */
const shared = new MemoryVolume();

async function writer(options: Partial<EngineOptions> = {}, volume = shared, durable = true) {
  const { engine } = await openWriter({ ...postgres, ...options }, volume, durable);
  return { engine, volume, client: () => new Client(engine.openSession()) };
}

async function reader(volume: MemoryVolume, options: Partial<EngineOptions> = {}) {
  const { engine } = await openReader(volume, { ...postgres, ...options });
  return { engine, client: () => new Client(engine.openSession()) };
}

describe('a PostgreSQL database', () => {
  test('is made in an empty volume, and is there when another engine opens it', async () => {
    const { volume, client } = await writer({}, new MemoryVolume());
    const one = client();
    expect(await one.sql('CREATE TABLE t0 (id int PRIMARY KEY, n int)')).toBe('C[CREATE TABLE] Z[I]');
    expect(await one.sql('INSERT INTO t0 VALUES (1, 10)')).toBe('C[INSERT 0 1] Z[I]');
    expect(one.last).toMatchObject({ wrote: true, autocommit: true, seenLsn: volume.end });
    expect(one.last?.commits.map(({ lsn }) => lsn)).toEqual([volume.end]);
    expect(await one.sql('SELECT * FROM t0')).toBe('T D[1,10] C[SELECT 1] Z[I]');
    expect(one.last).toMatchObject({ wrote: false, seenLsn: volume.end });
    const again = await writer({}, volume);
    expect(await again.client().sql('SELECT * FROM t0')).toBe('T D[1,10] C[SELECT 1] Z[I]');
  });

  test('writes no file of the server, whatever text asks for it (G96)', async () => {
    const { client } = await writer();
    const one = client();
    await one.sql('CREATE TABLE t_file (n int)');
    expect(await one.sql("SELECT lo_from_bytea(4242, 'x')")).toBe('T D[4242] C[SELECT 1] Z[I]');
    for (const sql of [
      "DO $$ BEGIN COPY t_file TO '/tmp/t_file'; END $$",
      "DO $$ BEGIN EXECUTE 'COPY t_file TO ''/pglite/share/t_file'''; END $$",
      "DO $$ BEGIN COPY t_file TO '/pglite/data/../t_file'; END $$",
      "DO $$ BEGIN COPY t_file TO '/pglite/data/base/1/1259'; END $$",
      "SELECT lo_export(4242, 'base/1/1259')",
      "SELECT lo_export(4242, '/tmp/t_file')",
    ])
      expect(await one.sql(sql)).toContain('E[42501');
    expect(await one.sql('SELECT count(*) FROM t_file')).toBe('T D[0] C[SELECT 1] Z[I]');
    // What PostgreSQL writes by itself is no such file: what it spills, and the map of its system tables.
    await one.sql("SET work_mem = '64kB'");
    expect(
      await one.sql('SELECT count(*) FROM (SELECT g FROM generate_series(1, 50000) g ORDER BY g DESC) s'),
    ).toBe('T D[50000] C[SELECT 1] Z[I]');
    expect(await one.sql('VACUUM FULL pg_class')).toBe('C[VACUUM] Z[I]');
  });

  test('keeps a transaction to its session, and lets others wait', async () => {
    const { client } = await writer();
    const [one, other] = [client(), client()];
    await one.sql('CREATE TABLE t1 (n int)');
    expect(await one.sql('BEGIN')).toBe('C[BEGIN] Z[T]');
    expect(one.last?.autocommit).toBe(false);
    const waiting = other.sql('SELECT count(*) FROM t1');
    await one.sql('INSERT INTO t1 VALUES (1)');
    expect(one.last?.commits).toEqual([]);
    expect(await one.sql('COMMIT')).toBe('C[COMMIT] Z[I]');
    expect(one.last?.commits).toHaveLength(1);
    expect(await waiting).toBe('T D[1] C[SELECT 1] Z[I]');
  });

  test('shares prepared statements by name, and loses none', async () => {
    const { client } = await writer({ limits: { preparedStatements: 2 } });
    const clients = [client(), client()];
    const statements = ['a', 'b', 'c', 'd'].map((name) => ({
      name,
      parse: parse(name, `SELECT '${name}'`),
      fresh: false,
    }));
    for (const one of clients)
      for (const { name, parse: text } of statements) {
        expect(await one.send([text, syncMessage])).toBe('1 Z[I]');
        expect(
          await one.send([bind(name), execute(), syncMessage], {
            prepared: [{ name, parse: text, fresh: false }],
          }),
        ).toBe(`2 D[${name}] C[SELECT 1] Z[I]`);
      }
    for (const { name, parse: text } of statements)
      expect(
        await clients[0]?.send([bind(name), execute(), syncMessage], {
          prepared: [{ name, parse: text, fresh: false }],
        }),
      ).toBe(`2 D[${name}] C[SELECT 1] Z[I]`);
    await clients[1]?.sql('DISCARD ALL');
    const [first] = statements;
    expect(
      await clients[0]?.send([bind('a'), execute(), syncMessage], {
        prepared: first === undefined ? [] : [first],
      }),
    ).toBe('2 D[a] C[SELECT 1] Z[I]');
    const broken = { name: 'gone', parse: parse('gone', 'SELECT * FROM nowhere'), fresh: false };
    expect(await clients[0]?.send([bind('gone'), execute(), syncMessage], { prepared: [broken] })).toBe(
      'E[42P01] Z[I]',
    );
  });

  test('gives each session its settings, and reads them back', async () => {
    const { client } = await writer();
    const [one, other] = [client(), client()];
    await one.sql(
      "SET application_name = 'it''s one'; SET search_path TO public, pg_catalog; SET app.tenant = '7'",
    );
    expect(one.settings).toEqual({
      application_name: "it's one",
      search_path: 'public, pg_catalog',
      'app.tenant': '7',
    });
    expect(
      await other.sql("SELECT current_setting('app.tenant', true), current_setting('application_name')"),
    ).toMatch(/^T D\[,\]/);
    expect(await one.sql('SHOW application_name')).toBe("T D[it's one] C[SHOW] Z[I]");
    expect(await one.sql('BEGIN; SET work_mem = 8192')).toBe('C[BEGIN] C[SET] Z[T]');
    await one.sql('ROLLBACK');
    expect(one.settings).not.toHaveProperty('work_mem');
    await one.sql('RESET ALL');
    expect(one.settings).toEqual({});
    other.settings = { nonsense: '1' };
    expect(await other.sql('SELECT 1')).toBe('E[42704] Z[I]');
    expect(await other.sql('SELECT 1', { settings: {} })).toBe('T D[1] C[SELECT 1] Z[I]');
  });

  test('keeps the backend for a batch until its Sync', async () => {
    const { client } = await writer();
    const [one, other] = [client(), client()];
    expect(await one.send([parse('', 'SELECT 1'), bind(''), execute(), flush])).toBe('1 2 D[1] C[SELECT 1]');
    expect(one.status).toBe('B');
    const waiting = other.sql('SELECT 2');
    expect(await one.send([parse('', 'SELECT 3'), bind(''), execute(), syncMessage])).toBe(
      '1 2 D[3] C[SELECT 1] Z[I]',
    );
    expect(await waiting).toBe('T D[2] C[SELECT 1] Z[I]');
  });

  test('rolls back what a client leaves open when it goes, or is idle while others wait', async () => {
    const { client } = await writer({ limits: { idleTransactionMs: 150 } });
    const [gone, idle, other] = [client(), client(), client()];
    await other.sql('CREATE TABLE t5 (n int)');
    await gone.sql('BEGIN; INSERT INTO t5 VALUES (1)');
    gone.session.close();
    expect(await other.sql('SELECT count(*) FROM t5')).toBe('T D[0] C[SELECT 1] Z[I]');
    await idle.sql('BEGIN; INSERT INTO t5 VALUES (2)');
    expect(await other.sql('SELECT count(*) FROM t5')).toBe('T D[0] C[SELECT 1] Z[I]');
    expect(await idle.sql('SELECT 1')).toBe('(TRANSACTION_TIMEOUT)');
    expect(idle.last?.autocommit).toBe(false);
    expect(await idle.sql('ROLLBACK')).toBe('');
    expect(await idle.sql('SELECT 1')).toBe('T D[1] C[SELECT 1] Z[I]');
  });

  test('acknowledges nothing of what is too large for one transaction, and goes on', async () => {
    const { client } = await writer({ limits: { memoryPageBytes: 6_000 * 8_192 } });
    const one = client();
    await one.sql('CREATE TABLE t6 (n int, pad text)');
    const large = "INSERT INTO t6 SELECT i, repeat('x', 1000) FROM generate_series(1, 60000) i";
    expect(await one.sql(large)).toBe('(SEXTANT_TRANSACTION_TOO_LARGE)');
    expect(await one.sql('SELECT count(*) FROM t6')).toBe('T D[0] C[SELECT 1] Z[I]');
  });

  test('goes on after a statement that ends the backend', async () => {
    const { client } = await writer();
    const [one, other] = [client(), client()];
    await one.sql('CREATE TABLE t7 (n int)');
    await one.sql('BEGIN; INSERT INTO t7 VALUES (1)');
    expect(await one.sql("SELECT convert_to('é', 'LATIN1')")).toBe('(SEXTANT_TRANSACTION_ABORTED)');
    expect(await one.sql('COMMIT')).toBe('(SEXTANT_TRANSACTION_ABORTED)');
    expect(await other.sql('SELECT count(*) FROM t7')).toBe('T D[0] C[SELECT 1] Z[I]');
    expect(await one.sql('SELECT 1')).toBe('T D[1] C[SELECT 1] Z[I]');
  });

  test('opened anew, it shows what was durable, and tells whoever had a transaction open', async () => {
    const volume = new MemoryVolume();
    const { engine, client } = await writer({}, volume, false);
    const [one, other] = [client(), client()];
    await one.sql('CREATE TABLE t8 (n int)');
    volume.durable = volume.end;
    engine.setDurable(volume.end);
    await one.sql('INSERT INTO t8 VALUES (1)');
    await one.sql('BEGIN');
    const waiting = other.ask({ messages: queryMessage('SELECT 1') });
    await engine.open({ kind: 'reader', readPoint: volume.durable });
    expect(await waiting).toMatchObject({ aborted: true, outcome: { ok: false } });
    expect(await one.sql('INSERT INTO t8 VALUES (2)')).toBe('(SEXTANT_TRANSACTION_ABORTED)');
    expect(await one.sql('ROLLBACK')).toBe('');
    expect(await one.sql('SELECT count(*) FROM t8')).toBe('T D[0] C[SELECT 1] Z[I]');
    expect(await one.sql('INSERT INTO t8 VALUES (3)')).toBe('(SEXTANT_READ_ONLY)');
    await engine.open({ kind: 'writer', lsn: volume.durable, pgBytes: defaultGeometry.pgBytes });
  });
});

test('a volume that SQLite keeps its database in is refused and not touched', async () => {
  const volume = new MemoryVolume();
  await run((await openWriter({}, volume)).engine.openSession(), 'CREATE TABLE t (a)');
  const { end } = volume;
  const { client } = await writer({}, volume);
  expect(await client().sql('SELECT 1')).toBe('(SEXTANT_VOLUME_UNREADABLE)');
  expect(volume.end).toBe(end);
});

describe('a reader of a PostgreSQL database', () => {
  test('shows newer commits when they are asked for, and after a while in any case', async () => {
    const { volume, client } = await writer();
    const one = client();
    await one.sql('CREATE TABLE t9 (n int); INSERT INTO t9 VALUES (1)');
    const read = await reader(volume, { limits: { refreshMs: 60_000 } });
    const other = read.client();
    const count = (more = {}) => other.sql('SELECT count(*) FROM t9', { class: 'read', ...more });
    expect(await count()).toBe('T D[1] C[SELECT 1] Z[I]');
    const at = volume.frames.length;
    await one.sql('INSERT INTO t9 VALUES (2)');
    read.engine.apply(Buffer.concat(volume.frames.slice(at)), volume.durable);
    expect(await count()).toBe('T D[1] C[SELECT 1] Z[I]');
    expect(await count({ atLeast: volume.durable, mayMove: true })).toBe('(SEXTANT_READ_ONLY)');
    expect(await count({ atLeast: volume.durable })).toBe('T D[2] C[SELECT 1] Z[I]');
    expect(other.last?.seenLsn).toBe(volume.durable);
    expect(volume.end).toBe(one.last?.seenLsn);
  });

  test('does not move within a transaction', async () => {
    const { volume, client } = await writer();
    const one = client();
    await one.sql('CREATE TABLE t10 (n int)');
    const read = await reader(volume, { limits: { refreshMs: 1 } });
    const other = read.client();
    await other.sql('BEGIN READ ONLY', { statements: ['BEGIN READONLY'], class: 'read' });
    const at = volume.frames.length;
    await one.sql('INSERT INTO t10 VALUES (2)');
    read.engine.apply(Buffer.concat(volume.frames.slice(at)), volume.durable);
    const count = () => other.sql('SELECT count(*) FROM t10', { atLeast: volume.durable });
    expect(await count()).toBe('T D[0] C[SELECT 1] Z[T]');
    expect(await other.sql('INSERT INTO t10 VALUES (3)')).toBe('E[25006] Z[E]');
    const third = read.client();
    const reads = { class: 'read', mayMove: true } as const;
    expect(await third.sql('SELECT count(*) FROM t10', reads)).toBe('(SEXTANT_READ_ONLY)');
    await other.sql('ROLLBACK');
    expect(await count()).toBe('T D[1] C[SELECT 1] Z[I]');
  });

  test('sends away what writes, however it is worded, and keeps nothing of it', async () => {
    const { volume, client } = await writer();
    await client().sql('CREATE TABLE t11 (n int)');
    const end = volume.end;
    const other = (await reader(volume)).client();
    for (const sql of [
      'INSERT INTO t11 VALUES (1)',
      'BEGIN; INSERT INTO t11 VALUES (1)',
      'BEGIN READ WRITE; INSERT INTO t11 VALUES (1); COMMIT',
      'SET default_transaction_read_only = off; INSERT INTO t11 VALUES (1)',
      'CREATE TABLE u (n int)',
    ])
      expect([sql, await other.sql(sql)]).toEqual([sql, '(SEXTANT_READ_ONLY)']);
    expect(await other.sql('SELECT count(*) FROM t11')).toBe('T D[0] C[SELECT 1] Z[I]');
    expect(volume.end).toBe(end);
  });

  test('sends everything away from a volume that has no database yet', async () => {
    const { client } = await reader(new MemoryVolume());
    expect(told(await client().ask({ messages: queryMessage('SELECT 1') }))).toBe('(SEXTANT_READ_ONLY)');
  });
});
