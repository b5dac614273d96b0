import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { changeControl } from '../../../regions/control/control-link.ts';
import { release } from '../../../regions/control/core/control-record.ts';
import { nodeId, zeroLsn } from '../../../storage/redo/ids.ts';
import { eventually } from '../../storage/region-harness.ts';
import { codeOf, GatewayWorld, ready, urlOf, writes } from '../process/gateway-harness.ts';

let world: GatewayWorld | null = null;

afterEach(async () => {
  await world?.close();
  world = null;
});

const nobody = { gateway: nodeId('nobody'), incarnation: '0' };

/** A writer and a gateway that forwards, with a table of one row. */
async function pair() {
  const one = await GatewayWorld.start();
  world = one;
  const writer = await one.gateway('g1');
  await writes(writer);
  const reader = await one.gateway('g2');
  await ready(urlOf(reader));
  const client = one.client(reader);
  await client.executeMultiple('CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 0)');
  return { one, writer, reader, client };
}

/** One stream over HTTP; each statement answers with its rows as texts, or with its error's code. */
function stream(url: string) {
  let baton: string | null = null;
  const answer = z.object({
    baton: z.string().nullable(),
    results: z.array(
      z.object({
        error: z.object({ code: z.string() }).optional(),
        response: z
          .object({
            result: z
              .object({ rows: z.array(z.array(z.object({ value: z.unknown().optional() }))) })
              .optional(),
          })
          .optional(),
      }),
    ),
  });
  const send = async (request: object): Promise<unknown> => {
    const response = await fetch(`${url}/v3/pipeline`, {
      method: 'POST',
      body: JSON.stringify({ baton, requests: [request] }),
    });
    const body = answer.parse(await response.json());
    baton = body.baton;
    const [result] = body.results;
    return (
      result?.error?.code ??
      result?.response?.result?.rows.map((row) => row.map(({ value }) => value ?? null)) ??
      'ok'
    );
  };
  return {
    sql: (sql: string) => send({ type: 'execute', stmt: { sql, want_rows: true } }),
    script: (sql: string) => send({ type: 'sequence', sql }),
    close: () => send({ type: 'close' }),
  };
}

describe('a stream of a gateway that is not the writer', () => {
  it('has its temporary tables, counters and settings in one place, as on one connection of SQLite', async () => {
    const { reader } = await pair();
    const one = stream(urlOf(reader));
    const steps: [string, unknown][] = [
      ['CREATE TEMP TABLE t (id, v)', []],
      ["INSERT INTO t VALUES (7, 'scratch')", []],
      ['SELECT v FROM t', [['scratch']]],
      ['SELECT v FROM main.t', [['0']]],
      ['DELETE FROM t', []],
      ['SELECT changes()', [['1']]],
      ['DROP TABLE t', []],
      ['INSERT INTO t VALUES (41, 1)', []],
      ['SELECT last_insert_rowid()', [['41']]],
      ['INSERT INTO t SELECT last_insert_rowid() + 1, 2', []],
      ['SELECT max(id), changes() FROM t', [['42', '1']]],
      ["PRAGMA 'foreign_keys'", [['1']]],
      ['PRAGMA foreign_keys = OFF', []],
      ['PRAGMA foreign_keys', [['0']]],
    ];
    for (const [sql, expected] of steps) expect([sql, await one.sql(sql)]).toEqual([sql, expected]);
    await one.close();
  });

  it('is told once when the writer that held its temporary tables is gone, and goes on without them', async () => {
    const { one, writer, reader } = await pair();
    const held = stream(urlOf(reader));
    await held.sql('CREATE TEMP TABLE scratch (a)');
    await writer.close();
    await eventually(
      'the other gateway writes',
      async () => (await one.record()).record.holder?.gateway === 'g2',
    );
    expect(await held.sql('SELECT * FROM scratch')).toBe('SEXTANT_TRANSACTION_ABORTED');
    expect(await held.sql('SELECT * FROM scratch')).toBe('SQLITE_ERROR');
    expect(await held.sql('SELECT v FROM t')).toEqual([['0']]);
  });

  it('reads what was acknowledged anywhere in a read transaction that asks for it first (V1)', async () => {
    const { one, writer, client } = await pair();
    const here = one.client(writer);
    for (let value = 1; value <= 15; value++) {
      await here.execute({ sql: 'UPDATE t SET v = ?', args: [BigInt(value)] });
      const inBatch = await client.batch(["PRAGMA sextant_read = 'global'", 'SELECT v FROM t'], 'read');
      expect(inBatch[1]?.rows[0]?.v).toBe(BigInt(value));
      await here.execute({ sql: 'UPDATE t SET v = ?', args: [BigInt(value + 100)] });
      const transaction = await client.transaction('read');
      await transaction.execute("PRAGMA sextant_read = 'global'");
      expect((await transaction.execute('SELECT v FROM t')).rows[0]?.v).toBe(BigInt(value + 100));
      await transaction.rollback();
    }
  });
});

describe('a read transaction', () => {
  it('goes on when its gateway becomes the writer, and when it is not any more', async () => {
    const { one, writer, reader } = await pair();
    const client = one.client(reader);
    const open = await client.transaction('read');
    const look = async () => (await open.execute('SELECT v FROM t')).rows[0]?.v;
    expect(await look()).toBe(0n);
    await writer.close();
    await eventually('its gateway writes', async () => (await one.record()).record.holder?.gateway === 'g2');
    await client.execute('UPDATE t SET v = 1');
    expect(await look()).toBe(0n);
    const store = one.store();
    const before = (await one.record()).record.epoch;
    await changeControl(store, ({ record }) =>
      release(record, { holder: record.holder ?? nobody, drainedTo: zeroLsn }),
    );
    store.close();
    await eventually('it writes in another reign', async () => (await one.record()).record.epoch > before);
    await client.execute('UPDATE t SET v = 2');
    expect(await look()).toBe(0n);
    await open.commit();
    expect((await client.execute('SELECT v FROM t')).rows[0]?.v).toBe(2n);
  });
});

describe('a transaction that is lost', () => {
  it('runs nothing more, also when the writer is a third gateway by then, and COMMIT says so (G35)', async () => {
    const { one, writer, reader } = await pair();
    const third = await one.gateway('g3');
    await ready(urlOf(third));
    const streams: Readonly<Record<string, ReturnType<typeof stream>>> = {
      g2: stream(urlOf(reader)),
      g3: stream(urlOf(third)),
    };
    for (const held of Object.values(streams)) expect(await held.sql('BEGIN')).toEqual([]);
    await writer.close();
    let successor = '';
    await eventually('another gateway writes', async () => {
      successor = (await one.record()).record.holder?.gateway ?? '';
      return successor in streams;
    });
    const held = streams[successor === 'g2' ? 'g3' : 'g2'];
    if (held === undefined) throw new Error('one of two is left');
    const lost = 'SEXTANT_TRANSACTION_ABORTED';
    // The first is told at the writer that is gone, the others here.
    expect(await held.sql('INSERT INTO t VALUES (10, 10)')).toBe(lost);
    expect(await held.sql('INSERT INTO t VALUES (11, 11)')).toBe(lost);
    expect(await held.script('INSERT INTO t VALUES (12, 12); DELETE FROM t WHERE id = 1')).toBe(lost);
    expect(await held.sql('SELECT * FROM t')).toBe(lost);
    expect(await held.sql('COMMIT')).toBe(lost);
    expect(await held.sql('SELECT id, v FROM t')).toEqual([['1', '0']]);
    expect(await held.sql('INSERT INTO t VALUES (13, 13)')).toEqual([]);
  });
});

describe('a gateway that is gone', () => {
  it('leaves no transaction at the writer that others have to wait for', async () => {
    const one = await GatewayWorld.start({ children: true });
    world = one;
    const writer = await one.gateway('g1');
    await writes(writer);
    const far = await one.process('g2');
    const here = one.client(writer);
    await here.execute('CREATE TABLE t (a)');
    // The first holds the writer, the others wait for it.
    const opened = stream(far.url);
    expect(await opened.sql('BEGIN IMMEDIATE')).toEqual([]);
    const waiting = [1, 2, 3, 4].map(() => stream(far.url).sql('BEGIN IMMEDIATE').catch(codeOf));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const sinceMs = performance.now();
    await far.kill();
    await here.execute('INSERT INTO t VALUES (1)');
    // Five transactions used to hold the writer for five seconds each.
    expect(performance.now() - sinceMs).toBeLessThan(8_000);
    await Promise.all(waiting);
  });
});
