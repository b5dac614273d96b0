import { type Client, createClient, LibsqlError } from '@libsql/client';
import { afterEach, describe, expect, it } from 'vitest';
import { type Harness, type HarnessOptions, startHarness } from './hrana-harness.ts';

describe.each(['http', 'ws'] as const)('the stock client over %s', (transport) => {
  const clients: Client[] = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });

  async function connect(
    intMode: 'number' | 'bigint' | 'string' = 'number',
    options: HarnessOptions = {},
  ): Promise<{ client: Client; harness: Harness }> {
    const harness = await startHarness(options);
    const client = createClient({ url: harness[transport], intMode, concurrency: 200 });
    clients.push(client);
    return { client, harness };
  }

  it('executes statements and reports columns, types, counts and rowids', async () => {
    const { client } = await connect();
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(10))');
    const inserted = await client.execute("INSERT INTO t (name) VALUES ('a'), ('b')");
    expect(inserted.rowsAffected).toBe(2);
    expect(inserted.lastInsertRowid).toBe(2n);
    const { columns, columnTypes, rows } = await client.execute('SELECT id, name FROM t ORDER BY id');
    expect(columns).toEqual(['id', 'name']);
    expect(columnTypes).toEqual(['INTEGER', 'VARCHAR(10)']);
    expect(rows.map((row) => [row[0], row.name])).toEqual([
      [1, 'a'],
      [2, 'b'],
    ]);
  });

  it('closes the stream of each statement', async () => {
    const { client, harness } = await connect();
    await client.execute('SELECT 1');
    await client.batch(['SELECT 1', 'SELECT 2']);
    await harness.twin.idle();
    expect(harness.server.counts().httpStreams).toBe(0);
  });

  it('carries every kind of value there and back', async () => {
    const { client } = await connect('bigint');
    const big = 9_223_372_036_854_775_807n;
    const low = -9_223_372_036_854_775_808n;
    const bytes = new Uint8Array([0, 1, 254, 255]);
    const { rows } = await client.execute({
      sql: 'SELECT ?, ?, ?, ?, ?, ?, ?',
      args: [big, low, 1.5, 'zażółć 🜛', bytes, null, true],
    });
    const row = rows[0];
    expect(Array.from({ length: 4 }, (_, i) => row?.[i])).toEqual([big, low, 1.5, 'zażółć 🜛']);
    expect(new Uint8Array(row?.[4] as ArrayBuffer)).toEqual(bytes);
    expect(row?.[5]).toBeNull();
    expect(row?.[6]).toBe(1n);
  });

  it('gives infinities as NULL, which every client can read', async () => {
    const { client } = await connect();
    const { rows } = await client.execute('SELECT 9e999, -9e999, 1e308');
    expect([rows[0]?.[0], rows[0]?.[1], rows[0]?.[2]]).toEqual([null, null, 1e308]);
  });

  it('reads at the consistency its URL names, in statements, batches and transactions', async () => {
    const { harness } = await connect();
    const client = createClient({ url: `${harness[transport]}/read/global/` });
    clients.push(client);
    await client.execute('SELECT 1');
    await client.batch(['SELECT 1', 'SELECT 2'], 'read');
    const transaction = await client.transaction('read');
    await transaction.execute('SELECT 1');
    transaction.close();
    expect(harness.twin.opened).toEqual(Array(3).fill({ readPreference: 'global' }));
  });

  it('keeps 64-bit integers as strings when asked to', async () => {
    const { client } = await connect('string');
    const { rows } = await client.execute('SELECT 9223372036854775807');
    expect(rows[0]?.[0]).toBe('9223372036854775807');
  });

  it('takes named arguments with any prefix', async () => {
    const { client } = await connect();
    const { rows } = await client.execute({ sql: 'SELECT :a, @b, $c', args: { ':a': 1, '@b': 'two', c: 3 } });
    expect([rows[0]?.[0], rows[0]?.[1], rows[0]?.[2]]).toEqual([1, 'two', 3]);
  });

  it('runs a batch in one transaction and rolls it back on error', async () => {
    const { client } = await connect();
    await client.execute('CREATE TABLE t (a UNIQUE)');
    const results = await client.batch(['INSERT INTO t VALUES (1)', 'SELECT count(*) FROM t'], 'write');
    expect(results[1]?.rows[0]?.[0]).toBe(1);
    const failed = client.batch(['INSERT INTO t VALUES (2)', 'INSERT INTO t VALUES (1)'], 'write');
    await expect(failed).rejects.toMatchObject({ code: 'SQLITE_CONSTRAINT', statementIndex: 1 });
    expect((await client.execute('SELECT count(*) FROM t')).rows[0]?.[0]).toBe(1);
  });

  it('runs batches of 4000 steps and more SQL texts than can be stored', async () => {
    const { client } = await connect();
    await client.execute('CREATE TABLE t (a)');
    const steps = Array.from({ length: 4000 }, (_, i) => `INSERT INTO t VALUES (${i})`);
    await client.batch(steps, 'write');
    expect((await client.execute('SELECT count(*) FROM t')).rows[0]?.[0]).toBe(4000);
  });

  it('stores SQL texts of 4999 characters of three bytes each', async () => {
    const { client } = await connect();
    const text = `SELECT '${'€'.repeat(4980)}' AS v`;
    const results = await client.batch([text, text]);
    expect(results[1]?.rows[0]?.v).toBe('€'.repeat(4980));
  });

  it('commits and rolls back write transactions', async () => {
    const { client } = await connect();
    await client.execute('CREATE TABLE t (a)');
    const first = await client.transaction('write');
    await first.execute('INSERT INTO t VALUES (1)');
    expect((await client.execute('SELECT count(*) FROM t')).rows[0]?.[0]).toBe(0);
    await first.commit();
    const second = await client.transaction('write');
    await second.execute({ sql: 'INSERT INTO t VALUES (?)', args: [2] });
    await second.rollback();
    expect((await client.execute('SELECT count(*) FROM t')).rows[0]?.[0]).toBe(1);
  });

  it('rolls back when a transaction is closed without an end', async () => {
    const { client, harness } = await connect();
    await client.execute('CREATE TABLE t (a)');
    const transaction = await client.transaction('write');
    await transaction.execute('INSERT INTO t VALUES (1)');
    transaction.close();
    await client.execute('INSERT INTO t VALUES (2)');
    await harness.twin.idle();
    expect((await client.execute('SELECT a FROM t')).rows.map((row) => row.a)).toEqual([2]);
  });

  it('does not roll back an interactive transaction when a statement fails', async () => {
    const { client } = await connect();
    await client.execute('CREATE TABLE t (a UNIQUE)');
    const transaction = await client.transaction('deferred');
    await transaction.execute('INSERT INTO t VALUES (1)');
    await expect(transaction.execute('INSERT INTO t VALUES (1)')).rejects.toThrow(/UNIQUE/);
    await transaction.execute('INSERT INTO t VALUES (2)');
    await transaction.commit();
    expect((await client.execute('SELECT count(*) FROM t')).rows[0]?.[0]).toBe(2);
  });

  it('reads in a read transaction beside an open writer', async () => {
    const { client } = await connect();
    await client.execute('CREATE TABLE t (a)');
    const writer = await client.transaction('write');
    await writer.execute('INSERT INTO t VALUES (1)');
    const reader = await client.transaction('read');
    expect((await reader.execute('SELECT count(*) FROM t')).rows[0]?.[0]).toBe(0);
    await writer.commit();
    expect((await reader.execute('SELECT count(*) FROM t')).rows[0]?.[0]).toBe(0);
    await reader.commit();
  });

  it('runs 100 write batches at once', async () => {
    const { client } = await connect();
    await client.execute('CREATE TABLE t (a)');
    const batches = Array.from({ length: 100 }, (_, i) =>
      client.batch([{ sql: 'INSERT INTO t VALUES (?)', args: [i] }, 'SELECT max(a) FROM t'], 'write'),
    );
    await Promise.all(batches);
    expect((await client.execute('SELECT count(*), sum(a) FROM t')).rows[0]).toMatchObject({
      0: 100,
      1: 4950,
    });
  });

  it('runs several statements, stops at the first error and keeps what came before', async () => {
    const { client } = await connect();
    await client.executeMultiple('CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1); SELECT 1;');
    const failed = client.executeMultiple(
      'INSERT INTO t VALUES (2); INSERT INTO t VALUES (1); INSERT INTO t VALUES (3)',
    );
    await expect(failed).rejects.toMatchObject({ code: 'SQLITE_CONSTRAINT' });
    expect((await client.execute('SELECT a FROM t')).rows.map((row) => row.a)).toEqual([1, 2]);
  });

  it('rolls back a BEGIN left open by executeMultiple', async () => {
    const { client, harness } = await connect();
    await client.executeMultiple('CREATE TABLE t (a); BEGIN; INSERT INTO t VALUES (1);');
    await harness.twin.idle();
    expect((await client.execute('SELECT count(*) FROM t')).rows[0]?.[0]).toBe(0);
  });

  it('runs migrations', async () => {
    const { client } = await connect();
    await client.migrate(['CREATE TABLE t (a)', 'INSERT INTO t VALUES (1)']);
    expect((await client.execute('SELECT a FROM t')).rows.length).toBe(1);
  });

  it('gives errors their code and message', async () => {
    const { client } = await connect();
    const error = await client.execute('SELECT foo').catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(LibsqlError);
    expect(error).toMatchObject({ code: 'SQLITE_ERROR', message: expect.stringContaining('no such column') });
    const notThere = client.execute('SELECT * FROM nope');
    await expect(notThere).rejects.toThrow(/no such table/);
  });

  it('passes the reason on when no session can be opened', async () => {
    const { client, harness } = await connect();
    harness.twin.maxSessions = 0;
    await expect(client.execute('SELECT 1')).rejects.toMatchObject({ code: 'SEXTANT_LIMIT' });
  });

  it('answers a too large result with a code and goes on', async () => {
    const { client } = await connect('number', { limits: { responseBytes: 1_000_000 } });
    const large = client.execute('SELECT hex(zeroblob(800000))');
    await expect(large).rejects.toMatchObject({ code: 'RESPONSE_TOO_LARGE' });
    expect((await client.execute('SELECT 1')).rows.length).toBe(1);
  });

  it('uses one SQL text again and again in a transaction', async () => {
    const { client } = await connect();
    await client.execute('CREATE TABLE t (a)');
    const transaction = await client.transaction('write');
    for (let i = 0; i < 60; i++) {
      await transaction.execute({ sql: 'INSERT INTO t VALUES (?)', args: [i] });
      await transaction.execute(`SELECT ${i}`);
    }
    await transaction.commit();
    expect((await client.execute('SELECT count(*) FROM t')).rows[0]?.[0]).toBe(60);
  });
});
