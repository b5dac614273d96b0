/** Reading the past with stock clients, at the writer and at a gateway that forwards (G54, G55). */
import type { Client } from '@libsql/client';
import { afterEach, describe, expect, it } from 'vitest';
import { LibsqlSession } from '../../../regions/cli/sql/libsql-session.ts';
import { codeOf, GatewayWorld, ready, urlOf, writes } from '../process/gateway-harness.ts';

let world: GatewayWorld | null = null;
const streams: LibsqlSession[] = [];
afterEach(async () => {
  for (const stream of streams.splice(0)) await stream.close();
  await world?.close();
  world = null;
});

function streamOn(url: string) {
  const session = new LibsqlSession(url, null);
  streams.push(session);
  return async (sql: string): Promise<unknown> => {
    try {
      return (await session.execute(sql)).rows.map((row) => row.map(({ json }) => json));
    } catch (error) {
      return codeOf(error);
    }
  };
}

const values = async (client: Client, ...sql: string[]): Promise<unknown[]> => {
  const results = await client.batch(sql, 'read');
  return results.flatMap(({ rows }) => rows.map((row) => row[0]));
};

/** Where the newest commit is, as `PRAGMA sextant_position` says it. */
async function positionOf(client: Client): Promise<{ lsn: string; time: string }> {
  const { rows } = await client.execute('PRAGMA sextant_position');
  const [lsn = '', time = ''] = String(rows[0]?.[0]).split(' ');
  return { lsn, time };
}

const laterMs = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('a stream that reads the past', () => {
  it('sees what was there at an LSN or a time, at any gateway, writes nothing, and comes back', async () => {
    world = await GatewayWorld.start();
    const writer = await world.gateway('g1');
    await writes(writer);
    const reader = await world.gateway('g2', { limits: { pastPlaces: 2, readWaitMs: 500 } });
    await ready(urlOf(reader));
    const client = world.client(writer);
    const atStart = new Date(Date.now() - 60_000).toISOString();
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    await client.execute("INSERT INTO t VALUES (1, 'one')");
    const first = await positionOf(client);
    await laterMs();
    const between = new Date().toISOString();
    await laterMs();
    await client.batch(["UPDATE t SET v = 'two'", "INSERT INTO t VALUES (2, 'new')"], 'write');
    const second = await positionOf(client);

    for (const gateway of [writer, reader]) {
      const here = world.client(gateway);
      const set = `PRAGMA sextant_at = '${first.lsn}'`;
      expect(await values(here, set, 'SELECT v FROM t')).toEqual([
        expect.stringMatching(`^1:${first.lsn} `),
        'one',
      ]);
      expect(await values(here, `PRAGMA sextant_at = '${between}'`, 'SELECT v FROM t')).toEqual([
        expect.stringMatching(`^1:${first.lsn} `),
        'one',
      ]);
      expect(await values(here, `PRAGMA sextant_at = '1:${second.lsn}'`, 'SELECT v FROM t')).toEqual([
        expect.any(String),
        'two',
        'new',
      ]);
      expect(
        await values(here, `PRAGMA sextant_at = '${atStart}'`, 'SELECT count(*) FROM sqlite_schema'),
      ).toEqual(['1:0', 0n]);
      expect(await values(here, 'SELECT count(*) FROM t')).toEqual([2n]);
    }

    const sql = streamOn(urlOf(reader));
    expect(await sql('PRAGMA sextant_at')).toEqual([['now']]);
    await sql(`PRAGMA sextant_at = '${first.lsn}'`);
    expect(await sql('SELECT v FROM t')).toEqual([['one']]);
    expect(await sql('PRAGMA sextant_at')).toEqual([[expect.stringMatching(`^1:${first.lsn} `)]]);
    expect(await sql('PRAGMA sextant_position')).toEqual([[first.lsn]]);
    for (const write of [
      'DELETE FROM t',
      'BEGIN IMMEDIATE',
      'CREATE TEMP TABLE s (a)',
      'PRAGMA user_version = 3',
    ])
      expect([write, await sql(write)]).toEqual([write, 'SEXTANT_READ_ONLY']);
    // A deferred transaction reads there; where it reads is settled until it ends.
    await sql('BEGIN');
    expect(await sql('SELECT count(*) FROM t')).toEqual([[1]]);
    expect(await sql("PRAGMA sextant_at = 'now'")).toBe('SEXTANT_POINT_UNAVAILABLE');
    await sql('COMMIT');
    await sql("PRAGMA sextant_at = 'now'");
    expect(await sql("INSERT INTO t VALUES (3, 'back')")).toEqual([]);
    expect(await sql('SELECT count(*) FROM t')).toEqual([[3]]);
    await sql('BEGIN IMMEDIATE');
    expect(await sql(`PRAGMA sextant_at = '${first.lsn}'`)).toBe('SEXTANT_POINT_UNAVAILABLE');
    await sql('ROLLBACK');
  });

  it('is told what cannot be read: the future, what nobody knows, and more places at once than there are threads for', async () => {
    world = await GatewayWorld.start();
    const writer = await world.gateway('g1', { limits: { pastPlaces: 2, readWaitMs: 300 } });
    await writes(writer);
    const client = world.client(writer);
    const places: string[] = [];
    for (let at = 0; at < 3; at++) {
      await client.execute(`CREATE TABLE t${at} (a)`);
      places.push((await positionOf(client)).lsn);
    }
    const refusal = async (place: string): Promise<string> =>
      String(await client.batch([`PRAGMA sextant_at = '${place}'`], 'read').catch((error) => error));
    expect(await refusal('99999999')).toMatch(/SEXTANT_POINT_UNAVAILABLE.*lies above/);
    expect(await refusal('9:1')).toMatch(/SEXTANT_POINT_UNAVAILABLE.*knows epoch 9/);
    expect(await refusal('2099-01-01T00:00:00Z')).toMatch(/SEXTANT_POINT_UNAVAILABLE.*lies ahead/);
    expect(await refusal('noon')).toMatch(/SQLITE_ERROR.*EPOCH:LSN/);
    const [one, two, three] = places.map(() => streamOn(urlOf(writer)));
    await one?.(`PRAGMA sextant_at = '${places[0]}'`);
    await two?.(`PRAGMA sextant_at = '${places[1]}'`);
    expect(await three?.(`PRAGMA sextant_at = '${places[2]}'`)).toBe('SEXTANT_LIMIT');
    expect(await three?.(`PRAGMA sextant_at = '${places[1]}'`)).toEqual([
      [expect.stringContaining(`1:${places[1]}`)],
    ]);
    await one?.("PRAGMA sextant_at = 'now'");
    // The thread that is free goes to the new place.
    expect(await one?.(`PRAGMA sextant_at = '${places[2]}'`)).toEqual([
      [expect.stringContaining(`1:${places[2]}`)],
    ]);
    expect(await one?.('SELECT count(*) FROM sqlite_schema')).toEqual([[3]]);
    expect(await two?.('SELECT count(*) FROM sqlite_schema')).toEqual([[2]]);
  });
});
